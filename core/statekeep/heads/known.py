"""What is known of some heads, in memory: rows of the persisted index, and what was read since."""

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
    """What was read of some documents. Never changed, only replaced, so threads may share it.

    Attributes:
        rows: Of the persisted index.
        gone: The places of those rows that are not so any more.
        read: What was read since, newest first.
        problems: What could not be read.
        names: The `Survey.names` under which there are no other documents; None if nobody knows.
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
        """What an index tells that is persisted in this version."""
        return cls(stored.rows, problems=stored.problems, names=stored.names, base=version)

    def changed(self, stored: StoredIndex) -> Known:
        """What it is with the changes that were persisted since.

        Raises:
            DamagedIndexError: They are damaged.
        """
        read, problems = [*stored.rows.records()], stored.problems
        if stored.base != self.base:
            keys = {*stored.rows.keys, *(problem.key for _, problem in problems)}
            # Of another index; but what it knows of a document, it has read.
            return self.only(lambda key: key not in keys).plus(read, problems)
        return replace(self, gone=stored.gone, read=read, problems=problems, names=stored.names)

    def __len__(self) -> int:
        return len(self.rows) - len(self.gone) + len(self.read) + len(self.problems)

    def records(self) -> Iterable[HeadRecord]:
        """The records, newest first; of rows, each is made when it is come to.

        Raises:
            DamagedIndexError: The persisted index is damaged there; when it is come to.
        """
        if not len(self.rows):
            return self.read
        rows = self.rows.records(self.gone)
        return merge(rows, self.read, key=_newest_first) if self.read else rows

    def survey(self) -> Survey:
        """The documents, for a store to look at again."""
        if not (self.gone or self.read or self.problems):
            return Survey(self.rows.keys, self.rows.fingerprints, (), self.names)
        found = [*self._found()]
        marks = "\n".join([mark or "" for _, mark in found])
        return Survey([key for key, _ in found], marks, (), self.names)

    def fingerprints(self) -> dict[str, str | None]:
        """Of which documents, each with the fingerprint under which it was read."""
        return dict(self._found())

    def retain(
        self,
        fingerprints: Mapping[str, str | None],
        concerned: Callable[[str], bool] | None = None,
    ) -> Known:
        """What is still so, as the fingerprints of a scan say.

        Args:
            fingerprints: What the scan says.
            concerned: Of which keys it would have told; None for all. The others stay.
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
        """What is known of some keys."""
        return self.retain({}, lambda key: not concerned(key))

    def plus(self, read: Iterable[HeadRecord], problems: Iterable[KnownProblem]) -> Known:
        """What it is with more, of which nothing was known."""
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
