"""Sessions and journals in one list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.errors import InvalidKeyError
from statekeep.format.summary import Summary
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.journals import journal_heads
from statekeep.heads.pages import Listing, page
from statekeep.heads.queries import heads_of
from statekeep.observe.emitter import Emitter
from statekeep.store.keys import JOURNALS, is_journal_key, journal_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.store.protocol import StateStore
    from statekeep.store.query import Filter, Order

__all__ = ["journal_collections", "list_together"]


def journal_collections(store: StateStore) -> list[str]:
    """Return the collections of journals in a store, sorted; one scan of all journals."""
    keys = (entry.key for entry in store.scan(JOURNALS) if is_journal_key(entry.key))
    return [name for name in sorted({key.split("/", 2)[1] for key in keys}) if _is_legal(name)]


def list_together(
    store: StateStore,
    collections: Iterable[str],
    wanted: Filter,
    *,
    sessions: bool = True,
    order: Order = "updated",
    limit: int | None = None,
    cursor: str | None = None,
) -> Listing[Summary]:
    """List several collections as one.

    Args:
        store: The store that holds them.
        collections: Names of collections of journals.
        wanted: Which heads; journals have no project and no seed.
        sessions: Whether to include the sessions.
        order: What they are sorted by.
        limit: Maximum number of heads; None for all.
        cursor: The `Listing.cursor` of the previous page.

    Raises:
        InvalidKeyError: The name of a collection, or the cursor, is not legal.
        ValueError: The limit is not positive.
    """
    emitter = Emitter(store, (), "Sessions")
    chosen = [journal_heads(name) for name in sorted({*collections})]
    if sessions:
        chosen.insert(0, SESSION_HEADS)
    with emitter.operation("list"):
        heads = [heads_of(store, each, emitter) for each in chosen]
        return page(heads, wanted, Summary, order=order, limit=limit, cursor=cursor)


def _is_legal(collection: str) -> bool:
    try:
        journal_prefix(collection)
    except InvalidKeyError:
        return False
    return True
