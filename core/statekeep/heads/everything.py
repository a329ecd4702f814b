"""Sessions and journals in one list."""

from __future__ import annotations

from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING

from statekeep.errors import InvalidKeyError
from statekeep.format.record import IndexSnapshot
from statekeep.format.summary import Summary
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.index import SummaryIndex
from statekeep.heads.journals import journal_heads
from statekeep.heads.pages import Filter, Listing, page
from statekeep.observe.emitter import Emitter
from statekeep.store.keys import JOURNALS, is_journal_key, journal_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.format.record import HeadRecord
    from statekeep.store.protocol import StateStore

__all__ = ["journal_collections", "list_together"]


def journal_collections(store: StateStore) -> list[str]:
    """The collections of journals that a store has, sorted; one scan of all journals."""
    keys = (entry.key for entry in store.scan(JOURNALS) if is_journal_key(entry.key))
    return [name for name in sorted({key.split("/", 2)[1] for key in keys}) if _is_legal(name)]


def list_together(
    store: StateStore,
    collections: Iterable[str],
    wanted: Filter,
    *,
    sessions: bool = True,
    limit: int | None = None,
    cursor: str | None = None,
) -> Listing[Summary]:
    """List what lies in several collections as one, newest first.

    Args:
        store: Where they lie.
        collections: Of journals.
        wanted: Which of them; journals have no project and no seed.
        sessions: Whether the sessions are in the list, too.
        limit: At most so many; None for all.
        cursor: Where the last page ended.

    Raises:
        InvalidKeyError: A collection or the cursor is not legal.
        ValueError: The limit is not positive.
    """
    emitter = Emitter(store, (), "Sessions")
    chosen = [journal_heads(name) for name in sorted({*collections})]
    if sessions:
        chosen.insert(0, SESSION_HEADS)
    with emitter.operation("list"):
        found = [SummaryIndex(store, each, emitter).read() for each in chosen]
        problems = sorted((each for one in found for each in one.problems), key=attrgetter("key"))
        records = merge(*(one.records for one in found), key=_order)
        snapshot = IndexSnapshot(records, tuple(problems), {})
        return page(snapshot, wanted, Summary, limit=limit, cursor=cursor)


def _order(record: HeadRecord) -> tuple[int, str, str]:
    return -record.updated_at, record.id, record.key


def _is_legal(collection: str) -> bool:
    try:
        journal_prefix(collection)
    except InvalidKeyError:
        return False
    return True
