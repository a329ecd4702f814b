"""PostgreSQL: for state that several machines share; a page of a listing costs only that page.

Needs the extra ``postgres``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.errors import ConfigError
from statekeep.plugins import BackendSpec, hookimpl
from statekeep_backends.postgres.config import PostgresConfig

if TYPE_CHECKING:
    from statekeep.store import StoreURL
    from statekeep_backends.postgres.store import PostgresStore

__all__ = ["PostgresConfig"]


def _open(url: StoreURL, config: PostgresConfig) -> PostgresStore:
    try:
        from statekeep_backends.postgres.store import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        # psycopg also raises this if it finds no libpq.
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{url.scheme}: needs psycopg and its pool ({what}): pip install 'statekeep[postgres]'"
        ) from error
    return PostgresStore(url.location, config)


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Provide ``postgresql:`` and ``postgres:``."""
    summary = "a PostgreSQL database"
    return [
        BackendSpec(name, summary, PostgresConfig, _open) for name in ("postgres", "postgresql")
    ]
