"""Listings: pages of what is known of the heads of one or more collections."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast, overload

import orjson

from statekeep.errors import InvalidKeyError
from statekeep.store.query import ORDERS, Filter, Order, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.format.record import HeadRecord, IndexSnapshot, Problem
    from statekeep.format.summary import Summary

__all__ = ["Heads", "Listing", "merged", "page", "selected"]


class Heads(Protocol):
    """Knows the heads of a collection."""

    def read(self, *, times: bool = False) -> IndexSnapshot:
        """Return all heads as they are now.

        Args:
            times: Whether `IndexSnapshot.modified` is needed; it takes much memory for many heads.
        """
        ...

    def select(
        self,
        wanted: Filter,
        order: Order,
        after: Position | None,
        limit: int | None,
        below: str | None,
    ) -> IndexSnapshot:
        """Return some heads as they are now, and all that cannot be read.

        Args:
            wanted: Which heads.
            order: What they are sorted by.
            after: Return only those after this position.
            limit: How many are enough; None if all are wanted.
            below: Only those below this prefix, and the journal of that name itself.
        """
        ...

    def count(self, wanted: Filter, below: str | None) -> int:
        """Count what `select` would return."""
        ...


S = TypeVar("S", bound="Summary")


@dataclass(frozen=True, slots=True)
class Listing(Generic[S]):
    """One page of sessions or journals: a sequence of their summaries.

    Attributes:
        summaries: The summaries in the requested order, ties by id.
        problems: Every document that should be one of them and cannot be read, whatever the
            filters and the page.
        cursor: Pass this to the next call for the next page; None if this was the last.
    """

    summaries: tuple[S, ...]
    problems: tuple[Problem, ...]
    cursor: str | None

    def __iter__(self) -> Iterator[S]:
        return iter(self.summaries)

    def __len__(self) -> int:
        return len(self.summaries)

    @overload
    def __getitem__(self, index: int) -> S: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[S, ...]: ...
    def __getitem__(self, index: int | slice) -> S | tuple[S, ...]:
        return self.summaries[index]


def page(
    heads: Iterable[Heads],
    wanted: Filter,
    kind: type[S],  # noqa: ARG001 - for the checker
    *,
    order: Order = "updated",
    limit: int | None = None,
    cursor: str | None = None,
    below: str | None = None,
) -> Listing[S]:
    """List one or more collections as one, a page at a time.

    Args:
        heads: The heads of each collection.
        wanted: Which heads.
        kind: The type of the summaries.
        order: What they are sorted by.
        limit: Maximum number of heads; None for all.
        cursor: The `Listing.cursor` of the previous page.
        below: Only those below this prefix, and the journal of that name itself.

    Raises:
        InvalidKeyError: The cursor does not come from a listing in this order.
        ValueError: The limit is not positive.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    after = _decode_cursor(cursor, order) if cursor is not None else None
    most = None if limit is None else limit + 1
    parts = [each.select(wanted, order, after, most, below) for each in heads]
    records = merged([part.records for part in parts], order)
    found = [*(records if most is None else islice(records, most))]
    more = limit is not None and len(found) > limit
    if more:
        found.pop()
    problems = sorted((each for part in parts for each in part.problems), key=attrgetter("key"))
    return Listing(
        cast("tuple[S, ...]", tuple([record.summary() for record in found])),
        tuple(problems),
        _encode_cursor(order, _position_in(order)(found[-1])) if more else None,
    )


def selected(
    records: Iterable[HeadRecord], wanted: Filter, order: Order, after: Position | None
) -> Iterator[HeadRecord]:
    """Return the records that match a filter, in order.

    Args:
        records: The records, newest first.
        wanted: Which records.
        order: What to sort them by.
        after: Return only those after this position.
    """
    # Built once, because a listing tests thousands of records.
    tests = [
        (attrgetter(condition.field), condition.holds_for) for condition in wanted.conditions()
    ]
    found = iter(records)
    if tests:
        found = (each for each in found if all(holds(field(each)) for field, holds in tests))
    position = _position_in(order)
    if order != "updated":
        found = iter(sorted(found, key=partial(_in_order, position)))
    if after is None:
        return found
    start = _sortable(after)
    return (record for record in found if _in_order(position, record) > start)


def merged(parts: Iterable[Iterable[HeadRecord]], order: Order) -> Iterator[HeadRecord]:
    """Merge several sorted lists of records into one."""
    return merge(*parts, key=partial(_in_order, _position_in(order)))


def _position_in(order: Order) -> Callable[[HeadRecord], Position]:
    """Return a function that gives a record's position in an order."""
    value = attrgetter(ORDERS[order])
    return lambda record: Position(value(record), record.id, record.key)


def _in_order(
    position: Callable[[HeadRecord], Position], record: HeadRecord
) -> tuple[int, str, str]:
    return _sortable(position(record))


def _sortable(position: Position) -> tuple[int, str, str]:
    # In a list of several collections, two can have the same id.
    return -position.value, position.id, position.key


def _encode_cursor(order: Order, last: Position) -> str:
    text = orjson.dumps([*last] if order == "updated" else [*last, order])
    return base64.urlsafe_b64encode(text).decode()


def _decode_cursor(cursor: str, order: Order) -> Position:
    try:
        value, head_id, key, *rest = orjson.loads(base64.urlsafe_b64decode(cursor))
        if (
            type(value) is int
            and isinstance(head_id, str)
            and isinstance(key, str)
            and rest == ([] if order == "updated" else [order])
        ):
            return Position(value, head_id, key)
    except (binascii.Error, ValueError, TypeError):
        pass
    raise InvalidKeyError(f"not a cursor of a listing in this order: {cursor[:40]!r}")
