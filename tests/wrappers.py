"""The wrappers of the guide, each in some ten lines; the kit runs over them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from statekeep import StateStore, StateStoreError, open_store
from statekeep.store import StoreWrapper, TransformingStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from statekeep.store import Blob


class ReadCounter(StoreWrapper):
    """Counts what is read, without losing the power to read many at once."""

    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self.reads = 0

    def get(self, key: str) -> Blob | None:
        self.reads += 1
        return super().get(key)

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        for each in super().get_many(keys):
            self.reads += 1
            yield each


class CompressingStore(TransformingStore):
    """Keeps every document compressed."""

    def encode(self, key: str, data: bytes) -> bytes:  # noqa: ARG002
        return zlib.compress(data)

    def decode(self, key: str, data: bytes) -> bytes:  # noqa: ARG002
        return zlib.decompress(data)


def open_counted(location: str) -> StateStore:
    return ReadCounter(open_store(location))


def open_compressed(location: str) -> StateStore:
    return CompressingStore(open_store(location))
