"""What is known of heads, in the form of the persisted index.

A document of the index is lines of JSON: a checksum, a description, the keys, their fingerprints,
and the records in blocks, each by columns. The first four say which documents are known under which
fingerprints, and are always read; a block is read, and its checksum verified, only when one of its
records is needed. Anything that does not have this form in every value is damage, and rebuilt.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial
from itertools import compress, islice
from operator import eq
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from statekeep.errors import CorruptDataError
from statekeep.format.record import TYPES, HeadRecord, Problem
from statekeep.store.protocol import Version
from statekeep.timestamps import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


__all__ = [
    "DamagedIndexError",
    "KnownProblem",
    "Rows",
    "StoredIndex",
    "decode_index",
    "encode_index",
    "open_index",
]

_FORMAT = "statekeep summaries 5"
_ROWS = 256
"""Records in a block: most pages need only one block."""
_HEAD = 4
"""Number of lines before the blocks."""
_OF_THE_HEAD = 2
"""Fields of a record that are not columns of a block: its key and its fingerprint."""
_FIELDS = HeadRecord._fields[_OF_THE_HEAD:]
_TYPES = [*TYPES.values()][_OF_THE_HEAD:]
_VERSION, _ID, _USER, _UPDATED, _NAME = map(
    _FIELDS.index, ("version", "id", "user_id", "updated_at", "name")
)
_REPEATED = [*map(_FIELDS.index, ("user_id", "active_seed_id", "project_id", "last_phase"))]
_TIMES = [*map(_FIELDS.index, ("created_at", "updated_at", "pinned_until", "expires_at"))]
_ENDING = ".json"

KnownProblem = tuple[str | None, Problem]
"""A problem, and the fingerprint it was found under."""


class DamagedIndexError(CorruptDataError):
    """An index is damaged; it is rebuilt."""


class Rows:
    """Records as they are persisted, newest first. Blocks are read only when needed.

    Args:
        keys: The keys of all records.
        fingerprints: The fingerprints of all records, one per line.
        blocks: The lines of the blocks, each with its number of records, the length of their
            fingerprints in characters, and its checksum.
    """

    __slots__ = ("_blocks", "fingerprints", "keys")

    def __init__(
        self,
        keys: list[str],
        fingerprints: str,
        blocks: Sequence[tuple[Sequence[int], memoryview]] = (),
    ) -> None:
        self.keys = keys
        self.fingerprints = fingerprints
        self._blocks = blocks

    def __len__(self) -> int:
        return len(self.keys)

    def marks(self) -> list[str]:
        """Return the fingerprints."""
        return self.fingerprints.split("\n") if self.keys else []

    def records(self, gone: Collection[int] = ()) -> Iterator[HeadRecord]:
        """Read the records.

        Args:
            gone: The positions of records to leave out.

        Raises:
            DamagedIndexError: A block is damaged.
        """
        # Thousands of sessions share few users, projects and phases.
        shared: dict[Any, Any] = {}
        last: tuple[int, str] | None = None
        end, place = -1, 0
        for (count, length, crc), line in self._blocks:
            at, end = end + 1, end + 1 + length
            marks = self.fingerprints[at:end].split("\n")
            keys = self.keys[place : place + count]
            columns = _read_block(line, crc, keys, marks)
            last = _check_order(columns, last)
            for repeated in _REPEATED:
                columns[repeated] = [*map(shared.setdefault, columns[repeated], columns[repeated])]
            # As `HeadRecord._make` does it, but without a Python call for each of thousands.
            found: Iterator[HeadRecord]
            found = map(partial(tuple.__new__, HeadRecord), zip(keys, marks, *columns, strict=True))
            if gone:
                found = compress(found, [n not in gone for n in range(place, place + count)])
            yield from found
            place += count

    def check(self) -> None:
        """Read all blocks.

        Raises:
            DamagedIndexError: One is damaged, or a document occurs twice.
        """
        if len({*self.keys}) != len(self.keys):
            _refuse()
        for _ in self.records():
            pass


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """One document of an index.

    Attributes:
        rows: The records.
        problems: What could not be read.
        names: The `Survey.names` under which no other documents exist.
        base: In changes, the version of the index they belong to; None in the index itself.
        gone: In changes, the positions of rows of the index that are no longer valid.
    """

    rows: Rows
    problems: list[KnownProblem]
    names: str | None = None
    base: Version | None = None
    gone: frozenset[int] = frozenset()


def encode_index(
    records: Iterable[HeadRecord] = (),
    problems: Iterable[KnownProblem] = (),
    *,
    names: str | None = None,
    base: Version | None = None,
    gone: Iterable[int] = (),
) -> bytes:
    """Encode a document of an index.

    Args:
        records: Newest first; each has a fingerprint of one line.
        problems: What could not be read.
        names: As in `StoredIndex`.
        base: As in `StoredIndex`.
        gone: As in `StoredIndex`.
    """
    keys: list[str] = []
    texts: list[str] = []
    blocks: list[bytes] = []
    counts: list[int] = []
    left = iter(records)
    while rows := [*islice(left, _ROWS)]:
        block_keys, marks, *columns = map(list, zip(*rows, strict=True))
        pairs = zip(marks, columns[_VERSION], strict=True)
        columns[_VERSION] = [None if mark == version else version for mark, version in pairs]
        stems = zip(map(_stem, block_keys), columns[_ID], strict=True)
        columns[_ID] = [None if stem == head_id else head_id for stem, head_id in stems]
        keys += block_keys
        texts.append("\n".join(marks))
        counts.append(len(rows))
        blocks.append(orjson.dumps(columns))
    about = {
        "names": names,
        "base": base,
        "gone": sorted(gone),
        "problems": [
            [fingerprint, problem.key, problem.version, problem.reason]
            for fingerprint, problem in problems
        ],
        "blocks": [*zip(counts, map(len, texts), map(zlib.crc32, blocks), strict=True)],
    }
    head = b"\n".join([*map(orjson.dumps, (about, keys, "\n".join(texts)))])
    first = orjson.dumps({"format": _FORMAT, "crc32": zlib.crc32(head)})
    return b"\n".join([first, head, *blocks])


def decode_index(data: bytes) -> StoredIndex:
    """Decode what `encode_index` returned, completely.

    Raises:
        DamagedIndexError: It is damaged, or something else.
    """
    stored = open_index(data)
    stored.rows.check()
    return stored


def open_index(data: bytes) -> StoredIndex:
    """Decode what `encode_index` returned, but its blocks only when needed.

    Raises:
        DamagedIndexError: What is read now is damaged, or something else.
    """
    lines = [*_lines(data)]
    try:
        described, about, *rest = lines[:_HEAD]
        start = len(described) + 1
        end = start + sum(map(len, (about, *rest))) + len(rest)
        crc = zlib.crc32(memoryview(data)[start:end])
        if orjson.loads(described) != {"format": _FORMAT, "crc32": crc}:
            _refuse()
        known = orjson.loads(about)
        keys, fingerprints = map(orjson.loads, rest)
        problems = [_problem(*row) for row in known["problems"]]
        blocks = [*zip(known["blocks"], lines[_HEAD:], strict=True)]
        _check_head(known, keys, fingerprints, problems)
        rows = Rows(keys, fingerprints, blocks)
        base, gone = known["base"], frozenset(known["gone"])
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        _refuse()
    return StoredIndex(rows, problems, known["names"], base and Version(base), gone)


def _refuse() -> NoReturn:
    raise DamagedIndexError("damaged, or not an index") from None


def _problem(fingerprint: str, key: str, version: str | None, reason: str) -> KnownProblem:
    if not (type(fingerprint) is type(key) is type(reason) is str):
        _refuse()
    if not isinstance(version, str | None):
        _refuse()
    return fingerprint, Problem(key, None if version is None else Version(version), reason)


def _check_head(
    known: dict[str, Any], keys: list[str], fingerprints: str, problems: list[KnownProblem]
) -> None:
    """Check that each document has a fingerprint, and that the blocks have as many."""
    if not (
        isinstance(known["names"], str | None)
        and isinstance(known["base"], str | None)
        and {*map(type, known["gone"])} <= {int}
        and {*map(type, keys)} <= {str}
    ):
        _refuse()
    numbers = [*zip(*known["blocks"], strict=True)] or [(), (), ()]
    counts, lengths, _ = numbers
    if (
        sum(counts) != len(keys)
        or fingerprints.count("\n") + bool(keys) != len(keys)
        or sum(lengths) + max(0, len(lengths) - 1) != len(fingerprints)
        or min(counts, default=1) < 1
        or min(lengths, default=0) < 0
    ):
        _refuse()
    named = {problem.key for _, problem in problems}
    if len(named) != len(problems) or (named and not named.isdisjoint(keys)):
        _refuse()


def _read_block(
    line: memoryview, crc: int, keys: Sequence[str], marks: Sequence[str]
) -> list[list[Any]]:
    """Return the columns of a block, without the two that are not in it."""
    try:
        if zlib.crc32(line) != crc or len(marks) != len(keys):
            _refuse()
        columns = orjson.loads(line)
        pairs = zip(marks, columns[_VERSION], strict=True)
        columns[_VERSION] = [mark if version is None else version for mark, version in pairs]
        pairs = zip(keys, columns[_ID], strict=True)
        columns[_ID] = [_stem(key) if head_id is None else head_id for key, head_id in pairs]
        _check_columns(columns, len(keys))
    except (orjson.JSONDecodeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
        _refuse()
    found: list[list[Any]] = columns
    return found


def _stem(key: str) -> str | None:
    """Return the id that a key implies, which is right for most sessions."""
    name = key.rpartition("/")[2]
    return name.removesuffix(_ENDING) if name.endswith(_ENDING) else None


def _check_columns(columns: Any, count: int) -> None:  # noqa: ANN401 - any JSON value
    # By columns and in C: every listing in a new process waits for this.
    if len(columns) != len(_TYPES) or {*map(len, columns)} != {count}:
        _refuse()
    for column, types in zip(columns, _TYPES, strict=True):
        if type(column) is not list or not {*map(type, column)} <= types:
            _refuse()
    named = {*map(type, columns[_NAME])}
    if named == {str}:
        for name in columns[_NAME]:
            parts = orjson.loads(name)
            if type(parts) is not list or {*map(type, parts)} != {str}:
                _refuse()
    elif named > {type(None)} or None in columns[_USER]:
        _refuse()  # only journals have a name, and only they can be without a user
    for place in _TIMES:
        if moments := [moment for moment in columns[place] if moment is not None]:
            from_microseconds(min(moments))
            from_microseconds(max(moments))


def _check_order(columns: list[list[Any]], last: tuple[int, str] | None) -> tuple[int, str]:
    """Check that the newest come first, ties by id; return the last one's place in this order."""
    updated, ids = columns[_UPDATED], columns[_ID]
    first, end = (-updated[0], ids[0]), (-updated[-1], ids[-1])
    if updated != sorted(updated, reverse=True) or (last is not None and last > first):
        _refuse()
    if any(map(eq, updated, updated[1:])):
        rows = [*zip([-moment for moment in updated], ids, strict=True)]
        if rows != sorted(rows):
            _refuse()
    return end


def _lines(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield view[start:end]
        start = end + 1
    yield view[start:]
