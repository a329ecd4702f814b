"""A store around a store, to change one thing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.protocol import ANY, Blob, Capabilities, Entry, Expect, ExpectSeen, StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.protocol import Version

__all__ = ["StoreWrapper"]


class StoreWrapper(StateStore):
    """Passes everything on; subclass it.

    The optional powers are not passed on, so that whatever is done comes through these methods.
    Closing it closes the store inside.

    Args:
        inner: The store inside.
    """

    def __init__(self, inner: StateStore) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner})"

    @property
    def capabilities(self) -> Capabilities:
        """See `StateStore.capabilities`."""
        return self._inner.capabilities

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        return self._inner.get(key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        return self._inner.put(key, data, expect=expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        self._inner.delete(key, expect=expect)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        return self._inner.scan(prefix)

    def close(self) -> None:
        """See `StateStore.close`."""
        self._inner.close()
