"""The summary index: lists sessions without reading those that were read before.

It is a cache. What it holds of a document is used only while a scan of the store gives the
fingerprint under which the document was read; it can be deleted at any time.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from statekeep.errors import CorruptDataError, StateStoreError
from statekeep.format.record import IndexSnapshot
from statekeep.heads.pages import selected
from statekeep.heads.reading import ProblemReports, read_heads
from statekeep.heads.records import CachedRecords, decode_index, encode_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized

    from statekeep.heads.collection import Collection
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import StateStore
    from statekeep.store.query import Filter, Order, Position

__all__ = ["SummaryIndex"]

_logger = logging.getLogger(__name__)

# So many documents are read about as fast as the index.
_FEW = 16


class SummaryIndex:
    """What the heads of a collection say of themselves, in memory and persisted in the store.

    Safe under threads, in several processes, and beside writers that know nothing of it.

    Args:
        store: Where they lie.
        collection: Which heads.
        emitter: Tells observers of each problem once, and anew when the document changes.
    """

    def __init__(self, store: StateStore, collection: Collection, emitter: Emitter) -> None:
        self._store = store
        self._collection = collection
        self._cached = CachedRecords()
        self._unsaved = 0
        self._reports = ProblemReports(store, emitter)

    def read(self, below: str | None = None, *, times: bool = False) -> IndexSnapshot:
        """Give the heads as they are now: one scan, and reads of what changed.

        Args:
            below: Only those below this prefix, and the journal that is named like it.
            times: Whether `IndexSnapshot.modified` is needed; for very many it takes much memory.

        Raises:
            UnavailableError, AccessDeniedError: As `StateStore.scan`. An index that cannot be
                read or written is no error.
        """
        modified: dict[str, int | None] = {}
        fingerprints: dict[str, str | None] = {}
        holds = self._collection.holds
        # By key, because a folder that is written while it is scanned may name a file twice.
        for entry in self._store.scan(self._collection.prefix if below is None else below):
            if holds(entry.key):
                fingerprints[entry.key] = entry.fingerprint
                if times:
                    modified[entry.key] = entry.modified_ns
        before = self._cached
        known = before.retain_matching(fingerprints)
        if below is None:
            self._unsaved += len(before) - len(known)
        missing = _missing(known, fingerprints)
        if _are_many(len(missing), fingerprints):
            persisted = self._load()
            wanted = {key: fingerprints[key] for key in missing} if known else fingerprints
            more = persisted.retain_matching(wanted)
            if below is None:
                self._unsaved += len(persisted) - len(known) - len(more)
            known += more
            missing = _missing(known, fingerprints)
        if below is not None:
            missing.append(f"{below}.jsonl")  # no scan below it shows its fingerprint
        fresh = read_heads(self._store, self._collection, missing, modified if times else None)
        reusable = fresh.cacheable()
        # Read once and set once: other threads do the same meanwhile.
        self._cached = cached = known + reusable
        if below is not None:
            self._cached = before.outside(below) + cached
        else:
            self._unsaved += len(reusable)
            if _are_many(self._unsaved, fingerprints):
                self._save(cached)
        everything = cached if len(reusable) == len(fresh) else known + fresh
        problems = tuple(sorted((each for _, each in everything.problems), key=attrgetter("key")))
        self._reports.tell(problems, below)
        return IndexSnapshot(everything.records, problems, modified)

    def select(
        self,
        wanted: Filter,
        order: Order,
        after: Position | None,
        limit: int | None,  # noqa: ARG002 - all were read
        below: str | None,
    ) -> IndexSnapshot:
        """See `Heads.select`."""
        snapshot = self.read(below)
        return replace(snapshot, records=selected(snapshot.records, wanted, order, after))

    def count(self, wanted: Filter, below: str | None) -> int:
        """See `Heads.count`."""
        return sum(1 for _ in self.select(wanted, "updated", None, None, below).records)

    def _load(self) -> CachedRecords:
        try:
            blob = self._store.get(self._collection.index)
            return CachedRecords() if blob is None else decode_index(blob.data)
        except CorruptDataError as error:
            index = self._collection.index
            _logger.warning("%s on %s is made anew: %s", index, self._store, error.message)
        except StateStoreError as error:
            _logger.debug("the index cannot be read: %s", error)
        return CachedRecords()

    def _save(self, known: CachedRecords) -> None:
        self._unsaved = 0
        try:
            self._store.put(self._collection.index, encode_index(known))
        except StateStoreError as error:
            _logger.debug("the index cannot be written: %s", error)


def _missing(known: CachedRecords, found: Mapping[str, str | None]) -> list[str]:
    if len(known) == len(found):
        return []
    fingerprints = known.fingerprints()
    return [key for key in found if key not in fingerprints]


def _are_many(count: int, found: Sized) -> bool:
    return count > max(_FEW, len(found) // 100)
