"""Listings: filters over what an index knows, and pages of it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import orjson

from statekeep.errors import InvalidKeyError
from statekeep.timestamps import to_microseconds, to_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from statekeep.format.record import HeadRecord, IndexSnapshot, Problem
    from statekeep.format.summary import Summary

__all__ = ["Filter", "Listing", "page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which heads of a collection a listing shows; None is any.

    Attributes:
        user_id: Only this user's.
        project_id: Only this project's.
        active_seed_id: Only those with this seed at work.
        title: Only those of this title.
        updated_before: Only those updated before; aware.
        updated_after: Only those updated after; aware.

    Raises:
        ValueError: A time is naive.
    """

    user_id: str | None = None
    project_id: str | None = None
    active_seed_id: str | None = None
    title: str | None = None
    updated_before: datetime | None = None
    updated_after: datetime | None = None

    def matches(self) -> Callable[[HeadRecord], bool]:
        """The test of a record: a closure, because a listing makes it thousands of times."""
        user_id, project_id, seed_id = self.user_id, self.project_id, self.active_seed_id
        title = self.title
        before, after = _microseconds(self.updated_before), _microseconds(self.updated_after)

        def matches(record: HeadRecord) -> bool:
            return (
                (user_id is None or record.user_id == user_id)
                and (project_id is None or record.project_id == project_id)
                and (seed_id is None or record.active_seed_id == seed_id)
                and (title is None or record.title == title)
                and (before is None or record.updated_at < before)
                and (after is None or record.updated_at > after)
            )

        return matches


S = TypeVar("S", bound="Summary")


@dataclass(frozen=True, slots=True)
class Listing(Generic[S]):
    """One page of sessions or journals, newest first; iterating yields its summaries.

    Attributes:
        summaries: Newest `updated_at` first, ties by id.
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
    snapshot: IndexSnapshot,
    wanted: Filter,
    kind: type[S],  # noqa: ARG001 - for the checker: what the collection holds
    *,
    limit: int | None,
    cursor: str | None,
) -> Listing[S]:
    """Filter a snapshot and cut one page out of it."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    matches = wanted.matches()
    start = _decode_cursor(cursor) if cursor is not None else None
    found: list[HeadRecord] = []
    more = False
    for record in snapshot.records:
        if matches(record) and (start is None or _comes_after(record, *start)):
            if len(found) == limit:
                more = True
                break
            found.append(record)
    return Listing(
        cast("tuple[S, ...]", tuple([record.summary() for record in found])),
        snapshot.problems,
        _encode_cursor(found[-1]) if more else None,
    )


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(to_utc(moment))


def _comes_after(record: HeadRecord, updated_at: int, head_id: str, key: str) -> bool:
    if record.updated_at == updated_at:
        # Of several collections in one list, two may have the same id.
        return (record.id, record.key) > (head_id, key)
    return record.updated_at < updated_at


def _encode_cursor(last: HeadRecord) -> str:
    text = orjson.dumps([last.updated_at, last.id, last.key])
    return base64.urlsafe_b64encode(text).decode()


def _decode_cursor(cursor: str) -> tuple[int, str, str]:
    try:
        updated_at, head_id, key = orjson.loads(base64.urlsafe_b64decode(cursor))
        if isinstance(updated_at, int) and isinstance(head_id, str) and isinstance(key, str):
            return updated_at, head_id, key
    except (binascii.Error, ValueError, TypeError):
        pass
    raise InvalidKeyError(f"not a cursor of a listing: {cursor[:40]!r}")
