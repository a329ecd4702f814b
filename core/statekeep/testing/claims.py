"""What a store claims it can do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from statekeep.errors import ConflictError, UnsupportedError
from statekeep.store import StateStore, Version

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_SUCH_VERSION", "Power", "claims"]

Power = Literal["conditional_put", "conditional_delete"]

NO_SUCH_VERSION = Version("no such version")


def claims(store: StateStore, power: Power) -> bool:
    """Try a power and return whether the store claims it; some only learn that by trying."""
    use: dict[Power, Callable[[], object]] = {
        "conditional_put": lambda: store.put("asked.json", b"", expect=NO_SUCH_VERSION),
        "conditional_delete": lambda: store.delete("asked.json", expect=NO_SUCH_VERSION),
    }
    with suppress(ConflictError, UnsupportedError):
        use[power]()
    return getattr(store.capabilities, power) is True
