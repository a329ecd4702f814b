"""The pages, one module for each group of them, and the list of all routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from statekeep_web.pages import (
    changes,
    conversation,
    doctor,
    installed,
    listing,
    prune,
    searching,
    statistics,
    stored,
    trash,
    users,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from statekeep_web.visits import Visit

__all__ = ["ROUTES", "Page"]


class Page(NamedTuple):
    """A page and its handler.

    Attributes:
        path: The path from the root of the application.
        handler: Answers the request; it may block.
        method: ``POST`` if it changes something; then the form's token has been checked.
        slow: Whether it reads everything.
    """

    path: str
    handler: Callable[[Visit], Response]
    method: str = "GET"
    slow: bool = False


ROUTES = (
    Page("/", listing.show_list),
    Page("/conversation", conversation.show_conversation),
    Page("/live", conversation.show_news),
    Page("/raw", stored.show_raw),
    Page("/download", stored.download),
    Page("/text", stored.show_text),
    Page("/image", stored.show_image),
    Page("/search", searching.show_search, slow=True),
    Page("/users", users.show_users, slow=True),
    Page("/user", users.show_user, slow=True),
    Page("/statistics", statistics.show_statistics, slow=True),
    Page("/prune", prune.show_plan, slow=True),
    Page("/trash", trash.show_trash),
    Page("/doctor", doctor.show_findings, slow=True),
    Page("/plugins", installed.show_plugins),
    Page("/settings", installed.show_settings),
    Page("/pin", changes.pin, "POST"),
    Page("/unpin", changes.unpin, "POST"),
    Page("/to-trash", changes.put_into_trash, "POST"),
    Page("/restore", changes.restore, "POST"),
)
