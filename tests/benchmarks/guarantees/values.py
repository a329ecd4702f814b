"""Stores that know only keys and values, each used as its docs do."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from benchmarks.guarantees.candidates import Candidate

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DiskCache", "KeyValueDisk", "KeyValueFiles"]


class _Values(Candidate):
    """Keeps a conversation as one value, a list of what was said."""

    _held: tuple[str, list[str]]

    @abstractmethod
    def _get(self, key: str) -> list[str] | None: ...

    @abstractmethod
    def _put(self, key: str, value: list[str]) -> None: ...

    def create(self, session_id: str) -> None:
        self._put(session_id, [])

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        said = self.read(session_id)
        time.sleep(pause)
        self._put(session_id, [*said, text])

    def read(self, session_id: str) -> list[str]:
        found = self._get(session_id)
        if found is None:
            raise KeyError(session_id)
        return found

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        self._put(session_id, [*self.read(session_id), *texts])

    def hold(self, session_id: str) -> None:
        self._held = session_id, self.read(session_id)

    def append(self, text: str) -> None:
        key, said = self._held
        said.append(text)
        self._put(key, said)


class DiskCache(_Values):
    """A `Cache` without eviction; what is read and changed, in its `transact`."""

    name = "diskcache"
    distributions = ("diskcache",)
    modules = ("diskcache",)

    def __init__(self, place: str) -> None:
        import diskcache

        super().__init__(place)
        self._cache: Any = diskcache.Cache(place, eviction_policy="none")

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        with self._cache.transact():
            super().turn(session_id, text, pause)

    def delete(self, seen: Any) -> None:
        self._cache.delete(seen)

    def close(self) -> None:
        self._cache.close()

    def _get(self, key: str) -> list[str] | None:
        found: list[str] | None = self._cache.get(key)
        return found

    def _put(self, key: str, value: list[str]) -> None:
        self._cache[key] = value


class _KeyValue(_Values):
    distributions = ("py-key-value-aio",)
    _store: Any

    def delete(self, seen: Any) -> None:
        self.run(self._store.delete(seen))

    def close(self) -> None:
        if close := getattr(self._store, "close", None):
            self.run(close())

    def _get(self, key: str) -> list[str] | None:
        found = self.run(self._store.get(key))
        return None if found is None else list(found["said"])

    def _put(self, key: str, value: list[str]) -> None:
        self.run(self._store.put(key, {"said": value}))


class KeyValueDisk(_KeyValue):
    """Its DiskStore, which is diskcache; its interface has no transactions."""

    name = "py-key-value, DiskStore"
    modules = ("key_value.aio.stores.disk",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores.disk import DiskStore

        super().__init__(place)
        self._store = DiskStore(directory=place)


class KeyValueFiles(_KeyValue):
    """Its FileTreeStore, with the strategies for names that its docs advise."""

    name = "py-key-value, FileTreeStore"
    modules = ("key_value.aio.stores.filetree",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores import filetree

        super().__init__(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self._store = filetree.FileTreeStore(
            data_directory=self.place,
            key_sanitization_strategy=filetree.FileTreeV1KeySanitizationStrategy(self.place),
            collection_sanitization_strategy=filetree.FileTreeV1CollectionSanitizationStrategy(
                self.place
            ),
        )
