"""The trash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from statekeep.retention.copies import list_copies
from statekeep.retention.trash import list_trash
from statekeep_web.rendering import conversation_query

if TYPE_CHECKING:
    from starlette.responses import Response

    from statekeep.retention import Trashed
    from statekeep_web.visits import Visit

__all__ = ["show_trash"]

_PAGE: Final = 50


def show_trash(visit: Visit) -> Response:
    """Show a page of the trash, newest first; reads only the copies on that page."""
    store = visit.site.store
    before = visit.exact("before")
    copies = sorted(((copy.trashed_at, copy.key) for copy in list_copies(store)), reverse=True)
    keys = [key for _, key in copies]
    start = keys.index(before) + 1 if before in keys else 0
    shown = {*keys[start : start + _PAGE]}
    return visit.render(
        "trash.html",
        trash=list_trash(store, lambda copy: copy.key in shown),
        count=len(keys),
        start=start,
        following=keys[start + _PAGE - 1] if len(keys) > start + _PAGE else None,
        restore_query=_restore_query,
        done=visit.get("done"),
    )


def _restore_query(trashed: Trashed) -> dict[str, Any]:
    """The query parameters to restore a copy; a session with a long id is named by its stem."""
    if trashed.collection is not None:
        return conversation_query(collection=trashed.collection, name=trashed.name)
    return conversation_query(trashed.id or trashed.stem)
