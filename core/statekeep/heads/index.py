"""The summary index: lists sessions without reading those that were read before.

It is a cache. What it holds of a document is used only while a scan of the store gives the
fingerprint under which the document was read; it can be deleted at any time.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

import orjson

from statekeep.errors import CorruptDataError, StateStoreError, UnsupportedError
from statekeep.format.record import HeadRecord, IndexSnapshot, Problem, sort_newest_first
from statekeep.observe.events import ProblemFound
from statekeep.store.powers import get_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
    from typing import Any

    from statekeep.heads.collection import Collection
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import StateStore, Version

__all__ = ["CachedRecords", "SummaryIndex", "decode_index", "encode_index"]

_logger = logging.getLogger(__name__)

_FORMAT = "statekeep summaries 3"
_ROWS = 10_000
"""Records in a line, so that no more than these are in memory twice while they are read."""
# So many documents are read about as fast as the index.
_FEW = 16
_KEY, _FINGERPRINT, _VERSION = map(HeadRecord._fields.index, ("key", "fingerprint", "version"))
_REPEATED = [
    *map(HeadRecord._fields.index, ("user_id", "active_seed_id", "project_id", "last_phase"))
]


class PersistedRecords:
    """Records by columns, as they are persisted; each is made when it is come to.

    Most who list want a page, and two of the columns are enough to confirm all.

    Args:
        blocks: The columns of some records each, in the order of `HeadRecord`.
    """

    __slots__ = ("_blocks",)

    def __init__(self, blocks: Sequence[Sequence[Sequence[Any]]]) -> None:
        self._blocks = blocks

    def __len__(self) -> int:
        return sum(len(columns[_KEY]) for columns in self._blocks)

    def __iter__(self) -> Iterator[HeadRecord]:
        for columns in self._blocks:
            # As `HeadRecord._make` does it, but without a call of Python's for each of thousands.
            yield from map(partial(tuple.__new__, HeadRecord), zip(*columns, strict=True))

    def fingerprints(self) -> dict[str, str | None]:
        """The fingerprints by key."""
        fingerprints: dict[str, str | None] = {}
        for columns in self._blocks:
            fingerprints.update(zip(columns[_KEY], columns[_FINGERPRINT], strict=True))
        return fingerprints


@dataclass(frozen=True, slots=True)
class CachedRecords:
    """What was read of some documents. Never changed, only replaced, so threads may share it.

    Attributes:
        records: Newest first.
        problems: Each with the fingerprint under which it was found.
    """

    records: list[HeadRecord] | PersistedRecords = field(default_factory=list)
    problems: list[tuple[str | None, Problem]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records) + len(self.problems)

    def fingerprints(self) -> dict[str, str | None]:
        """Of which documents, each with the fingerprint under which it was read."""
        if isinstance(self.records, PersistedRecords):
            fingerprints = self.records.fingerprints()
        else:
            fingerprints = {record.key: record.fingerprint for record in self.records}
        fingerprints.update({problem.key: fingerprint for fingerprint, problem in self.problems})
        return fingerprints

    def retain_matching(self, fingerprints: Mapping[str, str | None]) -> CachedRecords:
        """What is still so, as the fingerprints of a scan say."""
        if self.fingerprints() == fingerprints:
            return self
        get = fingerprints.get
        return CachedRecords(
            [record for record in self.records if get(record.key) == record.fingerprint],
            [each for each in self.problems if get(each[1].key) == each[0]],
        )

    def cacheable(self) -> CachedRecords:
        """What may be used again: the store gave a fingerprint with it."""
        return CachedRecords(
            [record for record in self.records if record.fingerprint is not None],
            [each for each in self.problems if each[0] is not None],
        )

    def __add__(self, other: CachedRecords) -> CachedRecords:
        if not self:
            return other
        if not other:
            return self
        records = [*self.records, *other.records]
        sort_newest_first(records)
        return CachedRecords(records, self.problems + other.problems)


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
        self._emitter = emitter
        self._cached = CachedRecords()
        self._unsaved = 0
        self._reported: dict[str, Version | None] = {}

    def read(self, *, times: bool = False) -> IndexSnapshot:
        """Give the heads as they are now: one scan, and reads of what changed.

        Args:
            times: Whether `IndexSnapshot.modified` is needed; for very many it takes much memory.

        Raises:
            UnavailableError, AccessDeniedError: As `StateStore.scan`. An index that cannot be
                read or written is no error.
        """
        modified: dict[str, int | None] = {}
        fingerprints: dict[str, str | None] = {}
        holds = self._collection.holds
        # By key, because a folder that is written while it is scanned may name a file twice.
        for entry in self._store.scan(self._collection.prefix):
            if holds(entry.key):
                fingerprints[entry.key] = entry.fingerprint
                if times:
                    modified[entry.key] = entry.modified_ns
        before = self._cached
        known = before.retain_matching(fingerprints)
        self._unsaved += len(before) - len(known)
        missing = _missing(known, fingerprints)
        if _are_many(len(missing), fingerprints):
            persisted = self._load()
            wanted = {key: fingerprints[key] for key in missing} if known else fingerprints
            more = persisted.retain_matching(wanted)
            self._unsaved += len(persisted) - len(known) - len(more)
            known += more
            missing = _missing(known, fingerprints)
        fresh = self._read(missing)
        reusable = fresh.cacheable()
        # Read once and set once: other threads do the same meanwhile.
        self._cached = cached = known + reusable
        self._unsaved += len(reusable)
        if _are_many(self._unsaved, fingerprints):
            self._save(cached)
        everything = cached if len(reusable) == len(fresh) else known + fresh
        problems = tuple(sorted((each for _, each in everything.problems), key=attrgetter("key")))
        self._report(problems)
        return IndexSnapshot(everything.records, problems, modified)

    def _report(self, problems: tuple[Problem, ...]) -> None:
        reported = self._reported
        self._reported = {problem.key: problem.version for problem in problems}
        for problem in problems:
            if problem.key not in reported or reported[problem.key] != problem.version:
                _logger.warning("%s on %s: %s", problem.key, self._store, problem.reason)
                self._emitter.emit(ProblemFound, problem.key, problem.reason)

    def _read(self, keys: Iterable[str]) -> CachedRecords:
        records: list[HeadRecord] = []
        problems: list[tuple[str | None, Problem]] = []
        for key, blob in get_many(self._store, keys):
            if blob is None:
                continue  # deleted since the scan
            if isinstance(blob, StateStoreError):
                problems.append((None, Problem(key, None, blob.message)))
                continue
            try:
                records.append(self._collection.read(key, blob))
            except (CorruptDataError, UnsupportedError) as error:
                problem = Problem(key, blob.version, error.message)
                problems.append((blob.fingerprint, problem))
        sort_newest_first(records)
        return CachedRecords(records, problems)

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


def encode_index(known: CachedRecords) -> bytes:
    """Write what is known: a line about the others, one of problems, and records by columns."""
    problems = [
        [fingerprint, problem.key, problem.version, problem.reason]
        for fingerprint, problem in known.problems
    ]
    lines = [orjson.dumps(problems)]
    records = [*known.records]
    for start in range(0, len(records), _ROWS):
        columns = [*zip(*records[start : start + _ROWS], strict=True)]
        pairs = zip(columns[_FINGERPRINT], columns[_VERSION], strict=True)
        columns[_VERSION] = tuple([None if mark == version else version for mark, version in pairs])
        lines.append(orjson.dumps(columns))
    body = b"\n".join(lines)
    return orjson.dumps({"format": _FORMAT, "crc32": zlib.crc32(body)}) + b"\n" + body


def decode_index(data: bytes) -> CachedRecords:
    """Read what `encode_index` wrote.

    Raises:
        CorruptDataError: It is damaged, or something else.
    """
    lines = _lines(data)
    try:
        described, start = orjson.loads(next(lines)), data.find(b"\n") + 1
        if described != {"format": _FORMAT, "crc32": zlib.crc32(memoryview(data)[start:])}:
            raise CorruptDataError("damaged, or no index")
        problems = [(mark, Problem(*rest)) for mark, *rest in orjson.loads(next(lines))]
        blocks = []
        # Thousands of sessions have few users, projects and phases.
        shared: dict[str | None, str | None] = {}
        for line in lines:
            columns = orjson.loads(line)
            if len(columns) != len(HeadRecord._fields) or len({*map(len, columns)}) != 1:
                raise CorruptDataError("damaged, or no index")
            for place in _REPEATED:
                columns[place] = [*map(shared.setdefault, columns[place], columns[place])]
            pairs = zip(columns[_FINGERPRINT], columns[_VERSION], strict=True)
            columns[_VERSION] = [version or mark for mark, version in pairs]
            blocks.append(columns)
    except (orjson.JSONDecodeError, StopIteration, TypeError, ValueError, KeyError):
        raise CorruptDataError("damaged, or no index") from None
    return CachedRecords(PersistedRecords(blocks), problems)


def _lines(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield view[start:end]
        start = end + 1
    yield view[start:]


def _missing(known: CachedRecords, found: Mapping[str, str | None]) -> list[str]:
    if len(known) == len(found):
        return []
    fingerprints = known.fingerprints()
    return [key for key in found if key not in fingerprints]


def _are_many(count: int, found: Sized) -> bool:
    return count > max(_FEW, len(found) // 100)
