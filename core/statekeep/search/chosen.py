"""Sessions and journals that are to be looked through, one after the other."""

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
    """What fits, the newest first.

    Args:
        store: Where it lies.
        wanted: Which ones.
        collections: Of journals; None for all.
        problems: To which what cannot be read is added.
        sessions: Whether the sessions are among them.
    """
    names = journal_collections(store) if collections is None else [*collections]
    # Where a page costs the page, not all of them are held at once; elsewhere a page costs a scan.
    limit = _PAGE if power(store, SupportsQuery) else None
    cursor = None
    while True:
        listing = list_together(store, names, wanted, sessions=sessions, limit=limit, cursor=cursor)
        if cursor is None:  # each page has all of them
            problems += listing.problems
        yield from listing
        if (cursor := listing.cursor) is None:
            return
