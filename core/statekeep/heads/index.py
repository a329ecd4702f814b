"""The summary index: lists sessions without reading those that were read before.

It is a cache. What it holds of a document is used only as long as a scan of the store gives the
fingerprint that the document was read with. It can be deleted at any time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from statekeep.errors import StateStoreError
from statekeep.format.record import IndexSnapshot
from statekeep.heads.known import Known
from statekeep.heads.pages import selected
from statekeep.heads.reading import ProblemReports, read_heads
from statekeep.heads.records import DamagedIndexError, encode_index, open_index
from statekeep.store.powers import SupportsSurvey, power

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from statekeep.format.record import Problem
    from statekeep.heads.collection import Collection
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import StateStore
    from statekeep.store.query import Filter, Order, Position

__all__ = ["SummaryIndex"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

# Reading this many documents is about as fast as reading the index.
_FEW = 16
# Changes are written beside an index until they exceed one record in this many.
_PART = 10
# With fewer documents, reading the names is about as fast as recording the time of their folder.
_MANY = 1000


@dataclass(frozen=True, slots=True)
class _Found:
    """What the store says is there.

    Attributes:
        count: How many heads there are.
        missing: The keys of those that must be read.
        known: What is known of the others.
        lost: How many entries are no longer valid.
        names: The `Survey.names`, if the store gave any.
        stored: The persisted `Survey.names`, if the index was read.
    """

    count: int
    missing: list[str]
    known: Known
    lost: int
    names: str | None = None
    stored: str | None = None


class SummaryIndex:
    """Summaries of the heads of a collection, in memory and persisted in the store.

    Thread-safe, and safe among several processes and beside writers that do not know of it.

    Args:
        store: The store that holds the heads.
        collection: Which heads.
        emitter: Tells observers of each problem once, and again when the document changes.
    """

    def __init__(self, store: StateStore, collection: Collection, emitter: Emitter) -> None:
        self._store = store
        self._collection = collection
        self._cached = Known()
        self._unsaved = 0
        self._is_damaged = False
        self._reports = ProblemReports(store, emitter)

    def read(self, below: str | None = None, *, times: bool = False) -> IndexSnapshot:
        """Return the heads as they are now: one scan, and reads of what changed.

        Args:
            below: Only those below this prefix, and the journal of that name itself.
            times: Whether `IndexSnapshot.modified` is needed; it takes much memory for many heads.

        Raises:
            UnavailableError, AccessDeniedError: As in `StateStore.scan`. An index that cannot be
                read or written is not an error.
        """

        def read() -> IndexSnapshot:
            modified: dict[str, int | None] = {}
            known, problems = self._read(below, modified if times else None)
            known.rows.check()
            return IndexSnapshot(known.records(), problems, modified)

        return self._undamaged(read)

    def select(
        self,
        wanted: Filter,
        order: Order,
        after: Position | None,
        limit: int | None,
        below: str | None,
    ) -> IndexSnapshot:
        """See `Heads.select`."""

        def select() -> IndexSnapshot:
            known, problems = self._read(below)
            if limit is None:
                known.rows.check()
            found = selected(known.records(), wanted, order, after)
            return IndexSnapshot(found if limit is None else [*islice(found, limit)], problems, {})

        return self._undamaged(select)

    def count(self, wanted: Filter, below: str | None) -> int:
        """See `Heads.count`."""

        def count() -> int:
            known, _ = self._read(below)
            return sum(1 for _ in selected(known.records(), wanted, "updated", None))

        return self._undamaged(count)

    def _undamaged(self, work: Callable[[], T]) -> T:
        """Run some work; run it once more if it comes upon a damaged block of the index."""
        try:
            return work()
        except DamagedIndexError as error:
            self._warn(self._collection.index, error)
            self._cached, self._is_damaged = Known(), True
            return work()

    def _read(
        self, below: str | None, modified: dict[str, int | None] | None = None
    ) -> tuple[Known, tuple[Problem, ...]]:
        # Read once and set once: other threads do the same at the same time.
        before = self._cached
        able = power(self._store, SupportsSurvey) if below is None else None
        if able is not None:
            found = self._survey(able, before, modified)
        else:
            found = self._scan(before, below, modified)
        missing = found.missing
        if below is not None:
            missing = [*missing, f"{below}.jsonl"]  # no scan below it shows its fingerprint
        fresh = read_heads(self._store, self._collection, missing, modified)
        reusable = fresh.cacheable()
        known = cached = found.known
        if reusable:
            cached = known.plus(reusable.records, reusable.problems)
        if below is None:
            # With an incomplete list, the store would say that nothing else is there.
            is_complete = len(cached) == found.count
            cached = replace(cached, names=found.names if is_complete else None)
            self._unsaved += found.lost + len(reusable)
            is_worth_it = cached.names not in {None, found.stored} and found.count >= _MANY
            if _are_many(self._unsaved, found.count) or (is_worth_it and not before):
                cached = self._save(cached)
        self._cached = cached
        everything = cached
        if len(reusable) != len(fresh):
            everything = known.plus(fresh.records, fresh.problems)
        if below is not None:
            everything = everything.only(_is_below(below))
        problems = sorted((each for _, each in everything.problems), key=attrgetter("key"))
        self._reports.tell(tuple(problems), below)
        return everything, tuple(problems)

    def _survey(
        self, able: SupportsSurvey, before: Known, modified: dict[str, int | None] | None
    ) -> _Found:
        stored = None
        if not before:
            before = stored = self._load_changes(self._load())
        known = before.survey()
        survey = able.survey(self._collection.prefix, known if known.names else None)
        holds = self._collection.holds
        if modified is not None:
            times = zip(survey.keys, survey.modified_ns, strict=True)
            modified.update((key, time) for key, time in times if holds(key))
        if known.names is None or survey.names != known.names or survey.keys != known.keys:
            pairs = zip(survey.keys, survey.fingerprints.split("\n"), strict=False)
            marks = {key: mark or None for key, mark in pairs if holds(key)}
            found = self._compare(before, marks, None, stored)
            return replace(found, names=survey.names, stored=before.names)
        if survey.fingerprints == known.fingerprints:
            return _Found(len(before), [], before, 0, survey.names, survey.names)
        texts = (survey.fingerprints, known.fingerprints)
        seen = zip(known.keys, *(text.split("\n") for text in texts), strict=True)
        changed = {key: None for key, mark, before_it in seen if mark != before_it}
        remaining = before.only(lambda key: key not in changed)
        lost = len(before) - len(remaining)
        return _Found(len(before), [*changed], remaining, lost, survey.names, survey.names)

    def _scan(
        self, before: Known, below: str | None, modified: dict[str, int | None] | None
    ) -> _Found:
        holds = self._collection.holds
        fingerprints: dict[str, str | None] = {}
        # By key, because scanning a folder while it is written to can list a file twice.
        for entry in self._store.scan(self._collection.prefix if below is None else below):
            if holds(entry.key):
                fingerprints[entry.key] = entry.fingerprint
                if modified is not None:
                    modified[entry.key] = entry.modified_ns
        return self._compare(before, fingerprints, below)

    def _compare(
        self,
        before: Known,
        fingerprints: Mapping[str, str | None],
        below: str | None,
        stored: Known | None = None,
    ) -> _Found:
        """Compare what is known with what is there; read the persisted index if worthwhile."""
        concerned = None if below is None else _is_below(below)

        def compared(known: Known) -> tuple[Known, list[str]]:
            known = known.retain(fingerprints, concerned)
            return known, _missing(known.only(concerned) if concerned else known, fingerprints)

        known, missing = compared(before)
        lost = len(before) - len(known)
        if stored is None and _are_many(len(missing), len(fingerprints)):
            stored = self._load()
            more, lacking = compared(stored)
            if _are_many(len(lacking), len(fingerprints)):
                stored = self._load_changes(stored)
                more, lacking = compared(stored)
            lost += len(stored) - len(more)
            if known:
                more = more.only({*missing}.__contains__)
                known, missing = compared(known.plus(more.records(), more.problems))
            else:
                known, missing = more, lacking
        return _Found(len(fingerprints), missing, known, lost)

    def _load(self) -> Known:
        if self._is_damaged:
            return Known()
        key = self._collection.index
        try:
            blob = self._store.get(key)
            return Known() if blob is None else Known.of(open_index(blob.data), blob.version)
        except DamagedIndexError as error:
            self._warn(key, error)
        except StateStoreError as error:
            _logger.debug("the index cannot be read: %s", error)
        return Known()

    def _load_changes(self, known: Known) -> Known:
        """Add the changes that were persisted beside the index."""
        if known.base is None:
            return known
        key = self._collection.changes
        try:
            blob = self._store.get(key)
            return known if blob is None else known.changed(open_index(blob.data))
        except DamagedIndexError as error:
            self._warn(key, error)
        except StateStoreError as error:
            _logger.debug("changes of the index cannot be read: %s", error)
        return known

    def _save(self, known: Known) -> Known:
        """Write what is known, and return it as written."""
        self._unsaved = 0
        collection = self._collection
        problems, names, base = known.problems, known.names, known.base
        few = _FEW + len(known.rows) // _PART
        try:
            if base is not None and len(known.gone) + len(known.read) <= few:
                changes = encode_index(
                    known.read, problems, names=names, base=base, gone=known.gone
                )
                self._store.put(collection.changes, changes)
                return known
            data = encode_index(known.records(), problems, names=names)
            saved = Known.of(open_index(data), self._store.put(collection.index, data))
            self._is_damaged = False
            if base is not None:
                self._store.delete(collection.changes)
        except DamagedIndexError:
            raise
        except StateStoreError as error:
            _logger.debug("the index cannot be written: %s", error)
            return known
        return saved

    def _warn(self, key: str, error: DamagedIndexError) -> None:
        _logger.warning("%s on %s is rebuilt: %s", key, self._store, error.message)


def _missing(known: Known, found: Mapping[str, str | None]) -> list[str]:
    if len(known) == len(found):
        return []
    fingerprints = known.fingerprints()
    return [key for key in found if key not in fingerprints]


def _are_many(count: int, found: int) -> bool:
    return count > max(_FEW, found // 100)


def _is_below(prefix: str) -> Callable[[str], bool]:
    """Return a function that tells whether a key is below a prefix, or is that journal's own."""
    inside, itself = f"{prefix}/", f"{prefix}.jsonl"
    return lambda key: key == itself or key.startswith(inside)
