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
from typing import TYPE_CHECKING, Final

import orjson

from statekeep.errors import CorruptDataError, StateStoreError
from statekeep.keys import CACHE, SESSIONS, is_session_key
from statekeep.listing import Catalogue, Problem, Record, read_record, sort_newest_first
from statekeep.protocol import get_many, scan_marks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from statekeep.protocol import StateStore

__all__ = ["INDEX", "Known", "SummaryIndex", "decode_index", "encode_index"]

INDEX: Final = f"{CACHE}/summaries-3.jsonl"
"""Where it is persisted. The number is that of its format, so that older and newer versions of
statekeep can share a store."""

_logger = logging.getLogger(__name__)

_FORMAT = "statekeep summaries 3"
_ROWS = 10_000
"""Records in a line, so that no more than these are in memory twice while they are read."""
# So many documents are read about as fast as the index.
_FEW = 16
_KEY, _MARK, _VERSION = map(Record._fields.index, ("key", "fingerprint", "version"))
_REPEATED = [*map(Record._fields.index, ("user_id", "active_seed_id", "project_id", "last_phase"))]


class PersistedRecords:
    """Records by columns, as they are persisted; each is made when it is come to.

    Most who list want a page, and two of the columns are enough to confirm all.

    Args:
        blocks: The columns of some records each, in the order of `Record`.
    """

    __slots__ = ("_blocks",)

    def __init__(self, blocks: Sequence[Sequence[Sequence[Any]]]) -> None:
        self._blocks = blocks

    def __len__(self) -> int:
        return sum(len(columns[_KEY]) for columns in self._blocks)

    def __iter__(self) -> Iterator[Record]:
        for columns in self._blocks:
            # As `Record._make` does it, but without a call of Python's for each of thousands.
            yield from map(partial(tuple.__new__, Record), zip(*columns, strict=True))

    def marks(self) -> dict[str, str | None]:
        """The fingerprints by key."""
        marks: dict[str, str | None] = {}
        for columns in self._blocks:
            marks.update(zip(columns[_KEY], columns[_MARK], strict=True))
        return marks


@dataclass(frozen=True, slots=True)
class Known:
    """What was read of some documents. Never changed, only replaced, so threads may share it.

    Attributes:
        records: Newest first.
        problems: Each with the fingerprint under which it was found.
    """

    records: list[Record] | PersistedRecords = field(default_factory=list)
    problems: list[tuple[str | None, Problem]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records) + len(self.problems)

    def marks(self) -> dict[str, str | None]:
        """Of which documents, each with the fingerprint under which it was read."""
        if isinstance(self.records, PersistedRecords):
            marks = self.records.marks()
        else:
            marks = {record.key: record.fingerprint for record in self.records}
        marks.update({problem.key: mark for mark, problem in self.problems})
        return marks

    def confirmed_by(self, marks: Mapping[str, str | None]) -> Known:
        """What is still so, as the fingerprints of a scan say."""
        if self.marks() == marks:
            return self
        get = marks.get
        return Known(
            [record for record in self.records if get(record.key) == record.fingerprint],
            [(mark, problem) for mark, problem in self.problems if get(problem.key) == mark],
        )

    def vouched_for(self) -> Known:
        """What may be used again: the store gave a fingerprint with it."""
        return Known(
            [record for record in self.records if record.fingerprint is not None],
            [(mark, problem) for mark, problem in self.problems if mark is not None],
        )

    def __add__(self, other: Known) -> Known:
        if not self:
            return other
        if not other:
            return self
        records = [*self.records, *other.records]
        sort_newest_first(records)
        return Known(records, self.problems + other.problems)


class SummaryIndex:
    """What a store's sessions say of themselves, in memory and persisted in the store.

    Safe under threads, in several processes, and beside writers that know nothing of it.

    Args:
        store: Where the sessions lie.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._known = Known()
        self._unsaved = 0

    def read(self, *, times: bool = False) -> Catalogue:
        """Give the sessions as they are now: one scan, and reads of what changed.

        Args:
            times: Whether `Catalogue.modified` is needed; for very many it takes much memory.

        Raises:
            UnavailableError, AccessDeniedError: As `StateStore.scan`. An index that cannot be
                read or written is no error.
        """
        modified: dict[str, int | None] = {}
        # By key, because a folder that is written while it is scanned may name a file twice.
        if times:
            entries = {e.key: e for e in self._store.scan(SESSIONS) if is_session_key(e.key)}
            marks = {key: entry.fingerprint for key, entry in entries.items()}
            modified = {key: entry.modified_ns for key, entry in entries.items()}
        else:
            found = scan_marks(self._store, SESSIONS)
            marks = {key: mark for key, mark in found if is_session_key(key)}
        before = self._known
        known = before.confirmed_by(marks)
        self._unsaved += len(before) - len(known)
        missing = _missing(known, marks)
        if _are_many(len(missing), marks):
            persisted = self._load()
            more = persisted.confirmed_by({key: marks[key] for key in missing} if known else marks)
            self._unsaved += len(persisted) - len(known) - len(more)
            known += more
            missing = _missing(known, marks)
        fresh = self._read(missing)
        reusable = fresh.vouched_for()
        # Read once and set once: other threads do the same meanwhile.
        self._known = kept = known + reusable
        self._unsaved += len(reusable)
        if _are_many(self._unsaved, marks):
            self._save(kept)
        everything = kept if len(reusable) == len(fresh) else known + fresh
        problems = sorted((flaw for _, flaw in everything.problems), key=attrgetter("key"))
        return Catalogue(everything.records, tuple(problems), modified)

    def _read(self, keys: Iterable[str]) -> Known:
        records: list[Record] = []
        problems: list[tuple[str | None, Problem]] = []
        for key, blob in get_many(self._store, keys):
            if blob is None:
                continue  # deleted since the scan
            if isinstance(blob, StateStoreError):
                problems.append((None, Problem(key, None, blob.message)))
                continue
            try:
                records.append(read_record(key, blob))
            except CorruptDataError as error:
                problem = Problem(key, blob.version, error.message)
                problems.append((blob.fingerprint, problem))
        sort_newest_first(records)
        return Known(records, problems)

    def _load(self) -> Known:
        try:
            blob = self._store.get(INDEX)
            return Known() if blob is None else decode_index(blob.data)
        except CorruptDataError as error:
            _logger.warning("%s on %s is made anew: %s", INDEX, self._store, error.message)
        except StateStoreError as error:
            _logger.debug("the index cannot be read: %s", error)
        return Known()

    def _save(self, known: Known) -> None:
        self._unsaved = 0
        try:
            self._store.put(INDEX, encode_index(known))
        except StateStoreError as error:
            _logger.debug("the index cannot be written: %s", error)


def encode_index(known: Known) -> bytes:
    """Write what is known: a line about the others, one of problems, and records by columns."""
    problems = [
        [mark, problem.key, problem.version, problem.reason] for mark, problem in known.problems
    ]
    lines = [orjson.dumps(problems)]
    records = [*known.records]
    for start in range(0, len(records), _ROWS):
        columns = [*zip(*records[start : start + _ROWS], strict=True)]
        pairs = zip(columns[_MARK], columns[_VERSION], strict=True)
        columns[_VERSION] = tuple([None if mark == version else version for mark, version in pairs])
        lines.append(orjson.dumps(columns))
    body = b"\n".join(lines)
    return orjson.dumps({"format": _FORMAT, "crc32": zlib.crc32(body)}) + b"\n" + body


def decode_index(data: bytes) -> Known:
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
            if len(columns) != len(Record._fields) or len({*map(len, columns)}) != 1:
                raise CorruptDataError("damaged, or no index")
            for place in _REPEATED:
                columns[place] = [*map(shared.setdefault, columns[place], columns[place])]
            pairs = zip(columns[_MARK], columns[_VERSION], strict=True)
            columns[_VERSION] = [version or mark for mark, version in pairs]
            blocks.append(columns)
    except (orjson.JSONDecodeError, StopIteration, TypeError, ValueError, KeyError):
        raise CorruptDataError("damaged, or no index") from None
    return Known(PersistedRecords(blocks), problems)


def _lines(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield view[start:end]
        start = end + 1
    yield view[start:]


def _missing(known: Known, found: Collection[str]) -> list[str]:
    if len(known) == len(found):
        return []
    marks = known.marks()
    return [key for key in found if key not in marks]


def _are_many(count: int, found: Collection[str]) -> bool:
    return count > max(_FEW, len(found) // 100)
