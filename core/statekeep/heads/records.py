"""What is known of heads, in memory and as the persisted index has it.

The persisted form is JSON Lines: what it is and a checksum of the rest, then the problems, then
records by columns. What does not look like that in every value is damage, and made anew.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import eq
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from statekeep.errors import CorruptDataError
from statekeep.format.record import TYPES, HeadRecord, Problem, sort_newest_first
from statekeep.store.protocol import Version
from statekeep.timestamps import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


__all__ = ["CachedRecords", "decode_index", "encode_index"]

_FORMAT = "statekeep summaries 4"
_ROWS = 10_000
"""Records in a line, so that no more than these are in memory twice while they are read."""
_KEY, _FINGERPRINT, _VERSION, _ID = map(
    HeadRecord._fields.index, ("key", "fingerprint", "version", "id")
)
_USER, _UPDATED, _NAME = map(HeadRecord._fields.index, ("user_id", "updated_at", "name"))
_REPEATED = [
    *map(HeadRecord._fields.index, ("user_id", "active_seed_id", "project_id", "last_phase"))
]
_TIMES = [
    *map(HeadRecord._fields.index, ("created_at", "updated_at", "pinned_until", "expires_at"))
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

    def outside(self, prefix: str) -> CachedRecords:
        """What is known of all but the heads below a prefix, and the one that is named like it."""
        below, itself = f"{prefix}/", f"{prefix}.jsonl"
        return CachedRecords(
            [
                each
                for each in self.records
                if each.key != itself and not each.key.startswith(below)
            ],
            [
                (mark, each)
                for mark, each in self.problems
                if each.key != itself and not each.key.startswith(below)
            ],
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
            _refuse()
        problems = [_problem(*row) for row in orjson.loads(next(lines))]
        blocks = []
        # Thousands of sessions have few users, projects and phases.
        shared: dict[str | None, str | None] = {}
        for line in lines:
            columns = orjson.loads(line)
            pairs = zip(columns[_FINGERPRINT], columns[_VERSION], strict=True)
            columns[_VERSION] = [mark if version is None else version for mark, version in pairs]
            _check_columns(columns)
            for place in _REPEATED:
                columns[place] = [*map(shared.setdefault, columns[place], columns[place])]
            blocks.append(columns)
        _check_rows(blocks, problems)
    except (orjson.JSONDecodeError, StopIteration, IndexError, KeyError, OverflowError, TypeError,
            ValueError):  # fmt: skip
        _refuse()
    return CachedRecords(PersistedRecords(blocks), problems)


def _refuse() -> NoReturn:
    raise CorruptDataError("damaged, or no index") from None


def _problem(
    fingerprint: str, key: str, version: str | None, reason: str
) -> tuple[str | None, Problem]:
    if not (type(fingerprint) is type(key) is type(reason) is str):
        _refuse()
    if not isinstance(version, str | None):
        _refuse()
    return fingerprint, Problem(key, None if version is None else Version(version), reason)


def _check_columns(columns: Any) -> None:  # noqa: ANN401 - any JSON value
    # By columns and in C: each listing in a new process waits for this.
    if len(columns) != len(TYPES) or len({*map(len, columns)}) != 1:
        _refuse()
    for column, types in zip(columns, TYPES.values(), strict=True):
        if type(column) is not list or not {*map(type, column)} <= types:
            _refuse()
    named = {*map(type, columns[_NAME])}
    if named == {str}:
        for name in columns[_NAME]:
            parts = orjson.loads(name)
            if type(parts) is not list or {*map(type, parts)} != {str}:
                _refuse()
    elif named > {type(None)} or None in columns[_USER]:
        _refuse()  # only journals have a name, and only they may have no user
    for place in _TIMES:
        if moments := [moment for moment in columns[place] if moment is not None]:
            from_microseconds(min(moments))
            from_microseconds(max(moments))


def _check_rows(
    blocks: Sequence[Sequence[Sequence[Any]]], problems: Sequence[tuple[str | None, Problem]]
) -> None:
    """Each document is there once, and the newest come first, ties by id."""
    keys = [key for columns in blocks for key in columns[_KEY]]
    keys += [problem.key for _, problem in problems]
    if len({*keys}) != len(keys):
        _refuse()
    updated = [*chain.from_iterable(columns[_UPDATED] for columns in blocks)]
    if updated != sorted(updated, reverse=True):
        _refuse()
    if any(map(eq, updated, updated[1:])):
        ids = chain.from_iterable(columns[_ID] for columns in blocks)
        rows = [*zip([-moment for moment in updated], ids, strict=True)]
        if rows != sorted(rows):
            _refuse()


def _lines(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield view[start:end]
        start = end + 1
    yield view[start:]
