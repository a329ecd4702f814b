"""Base classes for stores that wrap another, to observe, limit, route or transform."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from statekeep.errors import (
    CorruptDataError,
    InvalidDocumentError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.store import powers
from statekeep.store.powers import (
    SupportsAppend,
    SupportsDeleteSeen,
    SupportsInitialize,
    SupportsInspect,
    SupportsQuery,
    SupportsRemains,
    SupportsSurvey,
    SupportsSweep,
    SupportsVacuum,
    power,
)
from statekeep.store.protocol import ANY, Blob, Capabilities, Entry, Expect, ExpectSeen, StateStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from statekeep.store.powers import Anomaly, Seen, Survey
    from statekeep.store.protocol import Version
    from statekeep.store.query import Filter, Found, Order, Position, Record

__all__ = ["StoreWrapper", "TransformingStore"]

P = TypeVar("P")

# Each power, with those of its methods that speed up a `StateStore` member.
_POWERS: Final[dict[type, tuple[tuple[str, str], ...]]] = {
    SupportsInitialize: (),
    SupportsInspect: (),
    SupportsRemains: (),
    SupportsSweep: (),
    SupportsVacuum: (),
    **powers.FASTER,
}


class StoreWrapper(StateStore):
    """A store that forwards every member and every power to another; subclass it.

    It has the powers of the inner store, with one exception, so that an override is never
    bypassed: if a subclass overrides `get` but not `get_many`, documents are read one by one. The
    same goes for `delete` with `delete_many` and `delete_seen`, `put` with `append`, and `scan`
    with `survey`. Of `SupportsQuery`, `put_record` goes with `put`, and `query` and `count` go with
    `get` and with `scan`. Override both to keep the power. A subclass that adds a power that the
    inner store lacks overrides all methods of that power.

    Closing it closes the inner store.

    Args:
        inner: The store to wrap.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> class ReadCounter(StoreWrapper):
        ...     reads = 0
        ...
        ...     def get(self, key):
        ...         self.reads += 1
        ...         return super().get(key)
        ...
        ...     def get_many(self, keys):
        ...         for each in super().get_many(keys):
        ...             self.reads += 1
        ...             yield each
        >>> with ReadCounter(open_store("memory:")) as store:
        ...     _ = Sessions(store).get_or_create("ada", "s")
        ...     store.reads
        1
    """

    def __init__(self, inner: StateStore) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner})"

    @property
    def inner(self) -> StateStore:
        """The wrapped store."""
        return self._inner

    def power(self, protocol: type[P]) -> P | None:
        """Return the store typed as having a power, or None; see `statekeep.store.power`."""
        if not isinstance(self, protocol):
            return None
        pairs = _POWERS.get(protocol)
        if pairs is None or all(map(self._overrides, powers.methods_of(protocol))):
            return self  # its own
        if any(self._overrides(slow) and not self._overrides(quick) for quick, slow in pairs):
            return None  # it would bypass the override
        return self if power(self._inner, protocol) else None

    def _overrides(self, name: str) -> bool:
        forwards = (getattr(StoreWrapper, name), getattr(TransformingStore, name))
        return getattr(type(self), name) not in forwards

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

    def append(
        self, key: str, data: bytes, *, expect: Version, record: Record | None = None
    ) -> Version:
        """See `SupportsAppend`."""
        able = power(self._inner, SupportsAppend)
        if able is None:
            raise UnsupportedError("this store does not append", key=key, store=self)
        if record is None:
            return able.append(key, data, expect=expect)
        return able.append(key, data, expect=expect, record=record)

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`."""
        return powers.get_many(self._inner, keys)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `SupportsDeleteMany`."""
        powers.delete_many(self._inner, keys)

    def delete_seen(self, seen: Iterable[Seen]) -> Iterator[dict[str, StateStoreError | None]]:
        """See `SupportsDeleteSeen`."""
        able = power(self._inner, SupportsDeleteSeen)
        if able is None:
            raise UnsupportedError("this store deletes one by one", store=self)
        return able.delete_seen(seen)

    def put_record(self, key: str, data: bytes, record: Record, *, expect: Expect) -> Version:
        """See `SupportsQuery`."""
        return self._querying().put_record(key, data, record, expect=expect)

    def set_records(self, records: Iterable[tuple[str, Version, Record]]) -> None:
        """See `SupportsQuery`."""
        self._querying().set_records(records)

    def query(
        self,
        prefix: str,
        wanted: Filter,
        *,
        known: int,
        order: Order = "updated",
        after: Position | None = None,
        limit: int | None = None,
    ) -> Found:
        """See `SupportsQuery`."""
        return self._querying().query(
            prefix, wanted, known=known, order=order, after=after, limit=limit
        )

    def count(self, prefix: str, wanted: Filter, *, known: int) -> int:
        """See `SupportsQuery`."""
        return self._querying().count(prefix, wanted, known=known)

    def _querying(self) -> SupportsQuery:
        if (able := power(self._inner, SupportsQuery)) is None:
            raise UnsupportedError("this store keeps no records", store=self)
        return able

    def survey(self, prefix: str, known: Survey | None = None) -> Survey:
        """See `SupportsSurvey`."""
        able = power(self._inner, SupportsSurvey)
        if able is None:
            raise UnsupportedError("this store makes no surveys", key=prefix or None, store=self)
        return able.survey(prefix, known)

    def sweep(self, *, older_than: timedelta) -> int:
        """See `SupportsSweep`."""
        return powers.sweep(self._inner, older_than=older_than)

    def initialize(self) -> None:
        """See `SupportsInitialize`."""
        powers.initialize(self._inner)

    def remains(self) -> Sequence[str]:
        """See `SupportsRemains`."""
        return powers.remains(self._inner)

    def vacuum(self) -> None:
        """See `SupportsVacuum`."""
        powers.vacuum(self._inner)

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:
        """See `SupportsInspect`."""
        return powers.inspect(self._inner, older_than=older_than)

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:
        """See `SupportsInspect`."""
        able = power(self._inner, SupportsInspect)
        if able is None:
            raise UnsupportedError("this store repairs nothing", key=anomaly.place, store=self)
        return able.repair(anomaly, quarantine)


class TransformingStore(StoreWrapper):
    """A store that transforms documents before storing them; subclass it.

    A subclass writes only `encode` and `decode`. Everything that carries bytes goes through them:
    `get`, `put` and `get_many`. It cannot append, because a document is encoded whole, and it
    keeps no records, because they would reveal what the encoding may hide. Versions, fingerprints,
    times and `Entry.size` are those of the encoded bytes.

    Args:
        inner: The store to wrap.

    Examples:
        >>> import zlib
        >>> from statekeep import open_store
        >>> class CompressingStore(TransformingStore):
        ...     def encode(self, key, data):
        ...         return zlib.compress(data)
        ...
        ...     def decode(self, key, data):
        ...         return zlib.decompress(data)
        >>> with CompressingStore(open_store("memory:")) as store:
        ...     version = store.put("notes/a.md", b"a" * 1000)
        ...     len(store.inner.get("notes/a.md").data), len(store.get("notes/a.md").data)
        (17, 1000)
    """

    @abstractmethod
    def encode(self, key: str, data: bytes) -> bytes:
        """Turn a document into the bytes to store.

        Args:
            key: The key it is put under.
            data: The document.

        Raises:
            Exception: It cannot be stored; `put` then raises `InvalidDocumentError`.
        """

    @abstractmethod
    def decode(self, key: str, data: bytes) -> bytes:
        """Turn stored bytes back into the document; the inverse of `encode`.

        Args:
            key: The key of the document.
            data: The stored bytes.

        Raises:
            Exception: `encode` did not return these bytes; `get` then raises `CorruptDataError`.
        """

    def append(
        self,
        key: str,
        data: bytes,  # noqa: ARG002
        *,
        expect: Version,  # noqa: ARG002
        record: Record | None = None,  # noqa: ARG002
    ) -> Version:
        """Raise `UnsupportedError`, because a document is encoded whole."""
        raise UnsupportedError(f"{type(self).__name__} does not append", key=key, store=self)

    def power(self, protocol: type[P]) -> P | None:
        """See `StoreWrapper.power`."""
        if protocol in {SupportsAppend, SupportsQuery} and not any(
            map(self._overrides, powers.methods_of(protocol))
        ):
            return None
        return super().power(protocol)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        blob = self._inner.get(key)
        return None if blob is None else self._decoded(key, blob)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        try:
            encoded = self.encode(key, data)
        except StateStoreError:
            raise
        except Exception as error:
            raise InvalidDocumentError(
                f"{type(self).__name__} cannot encode it: {error!r}", key=key, store=self
            ) from error
        return self._inner.put(key, encoded, expect=expect)

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`."""
        for key, blob in powers.get_many(self._inner, keys):
            try:
                yield key, self._decoded(key, blob) if isinstance(blob, Blob) else blob
            except CorruptDataError as error:
                yield key, error

    def _decoded(self, key: str, blob: Blob) -> Blob:
        try:
            return replace(blob, data=self.decode(key, blob.data))
        except StateStoreError:
            raise
        except Exception as error:
            raise CorruptDataError(
                f"{type(self).__name__} cannot decode it: {error!r}", key=key, store=self
            ) from error
