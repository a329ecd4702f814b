"""Heads in a store that keeps records: it is queried, and only heads without a record are read."""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import TYPE_CHECKING

from statekeep.errors import StateStoreError
from statekeep.format.record import (
    RECORD_VERSION,
    IndexSnapshot,
    Problem,
    decode_record,
    encode_record,
)
from statekeep.heads.index import SummaryIndex
from statekeep.heads.pages import merged, selected
from statekeep.heads.reading import ProblemReports, read_heads
from statekeep.store.powers import power
from statekeep.store.query import Filter, SupportsQuery

if TYPE_CHECKING:
    from statekeep.format.record import HeadRecord
    from statekeep.heads.collection import Collection
    from statekeep.heads.pages import Heads
    from statekeep.heads.reading import FreshHeads
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import StateStore
    from statekeep.store.query import Order, Position, Record, Row

__all__ = ["heads_of"]

_logger = logging.getLogger(__name__)


def heads_of(store: StateStore, collection: Collection, emitter: Emitter) -> Heads:
    """Return the heads of a collection: by queries if the store keeps records, else by an index.

    Args:
        store: The store that holds the heads.
        collection: Which heads.
        emitter: Tells observers of each problem once, and again when the document changes.
    """
    able = power(store, SupportsQuery)
    if able is None:
        return SummaryIndex(store, collection, emitter)
    return QueriedHeads(store, able, collection, emitter)


class QueriedHeads:
    """The heads of a collection, from the records that a store keeps.

    A head without a record, written by something that does not know of records, is read here, and
    its record is given to the store.
    """

    def __init__(
        self, store: StateStore, able: SupportsQuery, collection: Collection, emitter: Emitter
    ) -> None:
        self._store = store
        self._able = able
        self._collection = collection
        self._reports = ProblemReports(store, emitter)

    def read(self, *, times: bool = False) -> IndexSnapshot:
        """See `Heads.read`."""
        modified: dict[str, int | None] | None = {} if times else None
        return self._find(Filter(), "updated", None, None, None, modified)

    def select(
        self,
        wanted: Filter,
        order: Order,
        after: Position | None,
        limit: int | None,
        below: str | None,
    ) -> IndexSnapshot:
        """See `Heads.select`."""
        return self._find(wanted, order, after, limit, below, None)

    def count(self, wanted: Filter, below: str | None) -> int:
        """See `Heads.count`."""
        prefix = self._collection.prefix if below is None else below
        found = self._able.query(prefix, wanted, known=RECORD_VERSION, limit=1)
        if any(map(self._collection.holds, found.missing)):
            # The store's count leaves out heads without a record.
            return sum(1 for _ in self.select(wanted, "updated", None, None, below).records)
        number = self._able.count(prefix, wanted, known=RECORD_VERSION)
        if below is not None:
            named = read_heads(self._store, self._collection, [f"{below}.jsonl"])
            number += sum(1 for _ in selected(named.records, wanted, "updated", None))
        return number

    def _find(
        self,
        wanted: Filter,
        order: Order,
        after: Position | None,
        limit: int | None,
        below: str | None,
        modified: dict[str, int | None] | None,
    ) -> IndexSnapshot:
        holds = self._collection.holds
        found = self._able.query(
            self._collection.prefix if below is None else below,
            wanted,
            known=RECORD_VERSION,
            order=order,
            after=after,
            limit=limit,
        )
        missing = [key for key in found.missing if holds(key)]
        records: list[HeadRecord] = []
        for row in found.rows:
            if not holds(row.key):
                continue
            if (record := decode_record(row)) is None:
                missing.append(row.key)
                continue
            records.append(record)
            if modified is not None:
                modified[row.key] = row.modified_ns
        problems = [problem for row in found.problems if (problem := _problem(row))]
        fresh = read_heads(self._store, self._collection, missing, modified)
        self._keep(fresh)
        if below is not None:  # no query below the prefix finds the journal of that name itself
            fresh += read_heads(self._store, self._collection, [f"{below}.jsonl"])
        problems += [problem for _, problem in fresh.problems]
        problems.sort(key=attrgetter("key"))
        self._reports.tell(tuple(problems), below)
        parts = [records, selected(fresh.records, wanted, order, after)]
        return IndexSnapshot(merged(parts, order), tuple(problems), modified or {})

    def _keep(self, fresh: FreshHeads) -> None:
        """Give the store the records of what was read, so that it is not read again."""
        records = [(each.key, each.version, encode_record(each)) for each in fresh.records]
        records += [
            (each.key, each.version, _problem_record(each.reason))
            for _, each in fresh.problems
            if each.version is not None
        ]
        if not records:
            return
        try:
            self._able.set_records(records)
        except StateStoreError as error:
            _logger.debug("records cannot be written: %s", error)


def _problem_record(reason: str) -> Record:
    return {"v": RECORD_VERSION, "problem": reason}


def _problem(row: Row) -> Problem | None:
    reason = row.record.get("problem")
    return Problem(row.key, row.version, reason) if isinstance(reason, str) else None
