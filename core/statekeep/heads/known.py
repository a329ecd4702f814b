"""What is known of some heads, in memory: rows of the persisted index, and later reads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING

from statekeep.format.record import sort_newest_first
from statekeep.heads.records import Rows
from statekeep.store.powers import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from statekeep.format.record import HeadRecord
    from statekeep.heads.records import KnownProblem, StoredIndex
    from statekeep.store.protocol import Version

__all__ = ["Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """What was read of some documents. Immutable, so threads can share it.

    Attributes:
        rows: Rows of the persisted index.
        gone: The positions of those rows that are no longer valid.
        read: What was read since, newest first.
        problems: What could not be read.
        names: The `Survey.names` under which there are no other documents; None if unknown.
        base: The version of the persisted index.
    """

    rows: Rows = field(default_factory=lambda: Rows([], ""))
    gone: frozenset[int] = frozenset()
    read: list[HeadRecord] = field(default_factory=list)
    problems: list[KnownProblem] = field(default_factory=list)
    names: str | None = None
    base: Version | None = None

    @classmethod
    def of(cls, stored: StoredIndex, version: Version) -> Known:
        """Return what an index with this version knows."""
        return cls(stored.rows, problems=stored.problems, names=stored.names, base=version)

    def changed(self, stored: StoredIndex) -> Known:
        """Apply the changes that were persisted after the index.

        Raises:
            DamagedIndexError: The changes are damaged.
        """
        read, problems = [*stored.rows.records()], stored.problems
        if stored.base != self.base:
            keys = {*stored.rows.keys, *(problem.key for _, problem in problems)}
            # They belong to another index; but what they say of a document was read from it.
            return self.only(lambda key: key not in keys).plus(read, problems)
        return replace(self, gone=stored.gone, read=read, problems=problems, names=stored.names)

    def __len__(self) -> int:
        return len(self.rows) - len(self.gone) + len(self.read) + len(self.problems)

    def records(self) -> Iterable[HeadRecord]:
        """Return the records, newest first; those of rows are made only when needed.

        Raises:
            DamagedIndexError: The persisted index is damaged; raised when that part is reached.
        """
        if not len(self.rows):
            return self.read
        rows = self.rows.records(self.gone)
        return merge(rows, self.read, key=_newest_first) if self.read else rows

    def survey(self) -> Survey:
        """Return the documents as a survey, for a store to check again."""
        if not (self.gone or self.read or self.problems):
            return Survey(self.rows.keys, self.rows.fingerprints, (), self.names)
        found = [*self._found()]
        marks = "\n".join([mark or "" for _, mark in found])
        return Survey([key for key, _ in found], marks, (), self.names)

    def fingerprints(self) -> dict[str, str | None]:
        """Return the known documents, each with the fingerprint it was read with."""
        return dict(self._found())

    def retain(
        self,
        fingerprints: Mapping[str, str | None],
        concerned: Callable[[str], bool] | None = None,
    ) -> Known:
        """Keep what is still valid according to the fingerprints of a scan.

        Args:
            fingerprints: The fingerprints.
            concerned: Tells which keys the scan covers; None for all. Other keys are kept.
        """

        def is_so(key: str, mark: str | None) -> bool:
            return fingerprints.get(key) == mark or (concerned is not None and not concerned(key))

        if concerned is None and self.fingerprints() == fingerprints:
            return self
        pairs = zip(self.rows.keys, self.rows.marks(), strict=True)
        gone = {place for place, (key, mark) in enumerate(pairs) if not is_so(key, mark)}
        return replace(
            self,
            gone=self.gone | gone,
            read=[each for each in self.read if is_so(each.key, each.fingerprint)],
            problems=[each for each in self.problems if is_so(each[1].key, each[0])],
            names=None,
        )

    def only(self, concerned: Callable[[str], bool]) -> Known:
        """Keep only what is known of some keys."""
        return self.retain({}, lambda key: not concerned(key))

    def plus(self, read: Iterable[HeadRecord], problems: Iterable[KnownProblem]) -> Known:
        """Add documents of which nothing was known."""
        records = [*self.read, *read]
        sort_newest_first(records)
        return replace(self, read=records, problems=[*self.problems, *problems], names=None)

    def _found(self) -> Iterator[tuple[str, str | None]]:
        pairs = zip(self.rows.keys, self.rows.marks(), strict=True)
        if self.gone:
            yield from (pair for place, pair in enumerate(pairs) if place not in self.gone)
        else:
            yield from pairs
        yield from map(attrgetter("key", "fingerprint"), self.read)
        yield from ((problem.key, mark) for mark, problem in self.problems)


def _newest_first(record: HeadRecord) -> tuple[int, str]:
    return -record.updated_at, record.id
