"""Reads what a listing needs of heads, and reports those that cannot be read."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from statekeep._text import printable
from statekeep.errors import CorruptDataError, StateStoreError, UnsupportedError
from statekeep.format.record import Problem, sort_newest_first
from statekeep.observe.events import ProblemFound
from statekeep.store.powers import get_many
from statekeep.timestamps import to_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.format.record import HeadRecord
    from statekeep.heads.collection import Collection
    from statekeep.heads.records import KnownProblem
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import StateStore, Version

__all__ = ["FreshHeads", "ProblemReports", "read_heads"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FreshHeads:
    """What was read.

    Attributes:
        records: The records, newest first.
        problems: What could not be read.
    """

    records: list[HeadRecord]
    problems: list[KnownProblem]

    def __len__(self) -> int:
        return len(self.records) + len(self.problems)

    def __add__(self, other: FreshHeads) -> FreshHeads:
        records = [*self.records, *other.records]
        sort_newest_first(records)
        return FreshHeads(records, self.problems + other.problems)

    def cacheable(self) -> FreshHeads:
        """Return what can be used again: what has a fingerprint, and one of a single line."""
        if all(_is_line(each.fingerprint) for each in self.records) and not self.problems:
            return self
        return FreshHeads(
            [record for record in self.records if _is_line(record.fingerprint)],
            [each for each in self.problems if _is_line(each[0])],
        )


def read_heads(
    store: StateStore,
    collection: Collection,
    keys: Iterable[str],
    modified: dict[str, int | None] | None = None,
    *,
    is_second: bool = False,
) -> FreshHeads:
    """Read the documents at some keys, leaving out those that are gone by now.

    Args:
        store: The store to read from.
        collection: The collection that the heads belong to.
        keys: The keys to read.
        modified: Receives when each was last written.
        is_second: Whether this is the second look, so that damaged heads are not read once more.

    Raises:
        UnavailableError, ClosedError: As in `StateStore.get`.
    """
    damaged: list[str] = []
    records: list[HeadRecord] = []
    problems: list[KnownProblem] = []
    for key, blob in get_many(store, keys):
        if blob is None:
            continue
        if isinstance(blob, StateStoreError):
            problems.append((None, Problem(key, None, blob.message)))
            continue
        if modified is not None and blob.modified is not None:
            modified[key] = to_nanoseconds(blob.modified)
        try:
            records.append(collection.read(key, blob))
        except (CorruptDataError, UnsupportedError) as error:
            if isinstance(error, CorruptDataError) and not is_second:
                damaged.append(key)  # perhaps read while being copied: read it once more
                continue
            problems.append((blob.fingerprint, Problem(key, blob.version, error.message)))
    sort_newest_first(records)
    read = FreshHeads(records, problems)
    if damaged:
        read += read_heads(store, collection, damaged, modified, is_second=True)
    return read


def _is_line(fingerprint: str | None) -> bool:
    return fingerprint is not None and "\n" not in fingerprint


class ProblemReports:
    """Reports each problem once, and again when the document changes.

    Args:
        store: The store that holds the heads.
        emitter: Tells observers.
    """

    def __init__(self, store: StateStore, emitter: Emitter) -> None:
        self._store = store
        self._emitter = emitter
        self._reported: dict[str, Version | None] = {}

    def tell(self, problems: tuple[Problem, ...], below: str | None) -> None:
        """Report problems.

        Args:
            problems: All problems there are.
            below: If given, `problems` covers only what is below this prefix.
        """
        reported = self._reported
        self._reported = {problem.key: problem.version for problem in problems}
        if below is not None:
            self._reported = reported | self._reported
        for problem in problems:
            if problem.key not in reported or reported[problem.key] != problem.version:
                reason = printable(problem.reason)
                _logger.warning("%r on %s: %s", problem.key, self._store, reason)
                self._emitter.emit(ProblemFound, problem.key, problem.reason)
