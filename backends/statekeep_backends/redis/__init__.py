"""Valkey and Redis: several machines can share a store; a page of a listing costs only that page.

It can be imported without the extra ``redis``, but a store cannot be opened then.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from statekeep.errors import ConfigError
from statekeep.plugins import BackendSpec, hookimpl
from statekeep_backends.redis.config import Place, RedisConfig

if TYPE_CHECKING:
    from statekeep.store import StoreURL
    from statekeep_backends.redis.store import RedisStore

__all__ = ["RedisConfig"]


def _open(url: StoreURL, config: RedisConfig) -> RedisStore:
    place = Place.read(url, config)
    if find_spec("redis") is None:
        raise ConfigError(
            f"{url.scheme}: needs a package that is not installed (redis): "
            "pip install 'statekeep[redis]'"
        )
    from statekeep_backends.redis.store import RedisStore  # noqa: PLC0415 - needs the package

    return RedisStore(place.named(url.scheme), place, config)


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Provide ``redis:``, ``rediss:``, ``valkey:`` and ``unix:``."""
    of_server = partial(BackendSpec, config=RedisConfig, factory=_open, nests=True)
    return [
        of_server("redis", "a Redis or Valkey server"),
        of_server("rediss", "a Redis or Valkey server, over TLS"),
        of_server("valkey", "a Valkey or Redis server"),
        BackendSpec("unix", "a Valkey or Redis server's socket", RedisConfig, _open),
    ]
