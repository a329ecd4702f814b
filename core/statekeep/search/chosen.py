"""The sessions and journals to look through, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from statekeep.heads.everything import journal_collections, list_together
from statekeep.store.powers import power
from statekeep.store.query import SupportsQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from statekeep.format.record import Problem
    from statekeep.format.summary import Summary
    from statekeep.store.protocol import StateStore
    from statekeep.store.query import Filter

__all__ = ["chosen"]

_PAGE: Final = 1000


def chosen(
    store: StateStore,
    wanted: Filter,
    collections: Iterable[str] | None,
    problems: list[Problem],
    *,
    sessions: bool,
) -> Iterator[Summary]:
    """Yield the summaries that match, newest first.

    Args:
        store: The store.
        wanted: What they must match.
        collections: Collections of journals to include; None for all.
        problems: A list to which unreadable documents are added.
        sessions: Whether to include sessions.
    """
    names = journal_collections(store) if collections is None else [*collections]
    # Stores that can query read only the page; others scan everything for each page.
    limit = _PAGE if power(store, SupportsQuery) else None
    cursor = None
    while True:
        listing = list_together(store, names, wanted, sessions=sessions, limit=limit, cursor=cursor)
        if cursor is None:  # each page repeats all problems
            problems += listing.problems
        yield from listing
        if (cursor := listing.cursor) is None:
            return
