"""SQLite: everything in one file; a page of a listing costs only that page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from statekeep.errors import ConfigError
from statekeep.plugins import BackendSpec, hookimpl
from statekeep.store import MAX_DOCUMENT_BYTES
from statekeep_backends.sqlite.store import Durability, SqliteStore

if TYPE_CHECKING:
    from statekeep.store import StoreURL

__all__ = ["SqliteConfig", "SqliteStore"]


class SqliteConfig(BaseModel):
    """Options of a SQLite file."""

    model_config = ConfigDict(extra="forbid")

    durability: Durability = "full"
    """``full`` survives a power cut, ``normal`` only the death of the process; like SQLite's own
    ``synchronous``."""

    busy_timeout: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Seconds to wait for another writer."""

    max_document_bytes: PositiveInt = Field(default=MAX_DOCUMENT_BYTES, le=SqliteStore.LARGEST)
    """Maximum size of a document; a larger one is not written, and reading it is an error."""


def _open(url: StoreURL, config: SqliteConfig) -> SqliteStore:
    if url.location.startswith(":"):
        raise ConfigError(
            "sqlite: needs a file; for a store in memory write memory:, and for a file with such "
            "a name put ./ before it"
        )
    return SqliteStore(url.path, **config.model_dump())


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Provide ``sqlite:``."""
    return [BackendSpec("sqlite", "one SQLite file on this machine", SqliteConfig, _open)]
