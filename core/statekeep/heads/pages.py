"""Listings: pages of what is known of the heads of one collection, or of several."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import orjson

from statekeep.errors import InvalidKeyError
from statekeep.store.query import ORDERS, Filter, Order, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.format.record import HeadRecord, IndexSnapshot, Problem
    from statekeep.format.summary import Summary

__all__ = ["Heads", "Listing", "merged", "page", "selected"]


class Heads(Protocol):
    """What knows the heads of a collection."""

    def read(self, *, times: bool = False) -> IndexSnapshot:
        """Give all as they are now.

        Args:
            times: Whether `IndexSnapshot.modified` is needed; for very many it takes much memory.
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
        """Give a part of them as they are now, and all that cannot be read.

        Args:
            wanted: Which ones.
            order: What they are sorted by.
            after: Only those that come after.
            limit: So many are enough; None if all are wanted.
            below: Only those below this prefix, and the journal that is named like it.
        """
        ...

    def count(self, wanted: Filter, below: str | None) -> int:
        """Count those that `select` would give."""
        ...


S = TypeVar("S", bound="Summary")


@dataclass(frozen=True, slots=True)
class Listing(Generic[S]):
    """One page of sessions or journals; iterating yields its summaries.

    Attributes:
        summaries: In the order that was asked for, ties by id.
        problems: Every document that should be one of them and cannot be read, whatever the
            filters and the page.
        cursor: What to hand to the next call for the next page; None if this was the last.
    """

    summaries: tuple[S, ...]
    problems: tuple[Problem, ...]
    cursor: str | None

    def __iter__(self) -> Iterator[S]:
        return iter(self.summaries)

    def __len__(self) -> int:
        return len(self.summaries)


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
    """List what lies in one or more collections as one, a page at a time.

    Args:
        heads: Each knows a collection.
        wanted: Which ones.
        kind: What the collections hold.
        order: What they are sorted by.
        limit: At most so many; None for all.
        cursor: Where the last page ended.
        below: Only those below this prefix, and the journal that is named like it.

    Raises:
        InvalidKeyError: The cursor is not one of a listing in this order.
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
    """Those of some records that are asked for, in order.

    Args:
        records: The newest first.
        wanted: Which ones.
        order: What they are sorted by then.
        after: Only those that come after.
    """
    # Made once, because a listing asks thousands of times.
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
    """The records of several lists in an order as one."""
    return merge(*parts, key=partial(_in_order, _position_in(order)))


def _position_in(order: Order) -> Callable[[HeadRecord], Position]:
    """Gives the place of a record in an order."""
    value = attrgetter(ORDERS[order])
    return lambda record: Position(value(record), record.id, record.key)


def _in_order(
    position: Callable[[HeadRecord], Position], record: HeadRecord
) -> tuple[int, str, str]:
    return _sortable(position(record))


def _sortable(position: Position) -> tuple[int, str, str]:
    # Of several collections in one list, two may have the same id.
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
