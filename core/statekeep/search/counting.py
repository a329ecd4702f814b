"""Count how much is stored: by user, by day and by place."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from heapq import nlargest
from typing import TYPE_CHECKING, Final

from statekeep.format.summary import JournalSummary, SessionSummary
from statekeep.search.chosen import chosen
from statekeep.store.keys import JOURNALS, RESERVED, SESSIONS
from statekeep.store.query import Filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime

    from statekeep.format.record import Problem
    from statekeep.format.summary import Summary
    from statekeep.store.protocol import StateStore

__all__ = ["Statistics", "Tally", "statistics"]

_BIGGEST: Final = 10


@dataclass(slots=True)
class Tally:
    """A count of sessions and journals, their items and bytes.

    Attributes:
        count: Number of sessions and journals; for a place in the store, of documents.
        items: User messages of sessions, plus items of journals.
        bytes: Their size in the store.
    """

    count: int = 0
    items: int = 0
    bytes: int = 0

    def add(self, items: int, size: int) -> None:
        """Count one more session, journal or document."""
        self.count += 1
        self.items += items
        self.bytes += size


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much a store contains.

    Attributes:
        total: All sessions and journals that were counted.
        by_collection: Journals by collection; sessions are under None.
        by_user: By user; journals without a user are under None.
        by_phase: Sessions by the last phase they reached; None if they reached none.
        by_day: By the day of the last update, in UTC.
        biggest: The largest sessions and journals, largest first.
        places: All documents in the store by place, whatever the filter: ``sessions``,
            ``journals``, ``blobs``, ``.statekeep/trash``, other categories.
        problems: Documents that could not be read; they are not counted.
    """

    total: Tally
    by_collection: Mapping[str | None, Tally]
    by_user: Mapping[str | None, Tally]
    by_phase: Mapping[str | None, Tally]
    by_day: Mapping[date, Tally]
    biggest: Sequence[Summary]
    places: Mapping[str, Tally]
    problems: Sequence[Problem] = field(default_factory=list)


def statistics(
    store: StateStore,
    *,
    sessions: bool = True,
    collections: Iterable[str] | None = None,
    user_id: str | None = None,
    updated_before: datetime | None = None,
    updated_after: datetime | None = None,
    biggest: int = _BIGGEST,
) -> Statistics:
    """Count sessions and journals from their summaries, without reading them.

    Args:
        store: The store.
        sessions: Whether to count sessions.
        collections: Collections whose journals to count; None for all, ``()`` for none.
        user_id: Count only what belongs to this user.
        updated_before: Count only what was last updated before this time; aware.
        updated_after: Count only what was last updated after this time; aware.
        biggest: How many of the largest to return.

    Raises:
        ValueError: A time is naive, or `biggest` is negative.
        InvalidKeyError: The name of a collection is not legal.
        UnavailableError, AccessDeniedError: The store did not answer, or refused.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     _ = Sessions(store).get_or_create("ada", "s")
        ...     statistics(store).by_user["ada"].count
        1
    """
    if biggest < 0:
        raise ValueError(f"biggest must be at least 0, not {biggest}")
    wanted = Filter(user_id=user_id, updated_before=updated_before, updated_after=updated_after)
    problems: list[Problem] = []
    total = Tally()
    by_collection: dict[str | None, Tally] = defaultdict(Tally)
    by_user: dict[str | None, Tally] = defaultdict(Tally)
    by_phase: dict[str | None, Tally] = defaultdict(Tally)
    by_day: dict[date, Tally] = defaultdict(Tally)

    def counted() -> Iterator[Summary]:
        for each in chosen(store, wanted, collections, problems, sessions=sessions):
            items, collection = _items_and_collection(each)
            tallies = [total, by_collection[collection], by_user[each.user_id]]
            tallies.append(by_day[each.updated_at.date()])
            if collection is None:
                tallies.append(by_phase[each.last_phase])
            for tally in tallies:
                tally.add(items, each.size)
            yield each

    largest = nlargest(biggest or 1, counted(), key=lambda each: each.size)[:biggest]
    return Statistics(
        total, dict(by_collection), dict(by_user), dict(by_phase),
        dict(sorted(by_day.items())), largest, _places(store), problems,
    )  # fmt: skip


def _items_and_collection(summary: Summary) -> tuple[int, str | None]:
    if isinstance(summary, JournalSummary):
        return summary.length, summary.collection
    return (summary.message_count if isinstance(summary, SessionSummary) else 0), None


def _places(store: StateStore) -> dict[str, Tally]:
    places: dict[str, Tally] = defaultdict(Tally)
    for entry in store.scan():
        first, *rest = entry.key.split("/")
        name = f"{first}/{rest[0]}" if first == RESERVED and len(rest) > 1 else first
        if not rest:
            name = "."
        places[name].add(0, entry.size)
    order = {SESSIONS: 0, JOURNALS: 1}
    return dict(sorted(places.items(), key=lambda each: (order.get(each[0], 2), each[0])))
