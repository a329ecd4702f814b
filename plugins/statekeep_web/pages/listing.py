"""The list of sessions and journals of all collections."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from statekeep.config.sizes import parse_size
from statekeep.heads.everything import journal_collections, list_together
from statekeep.store.query import ORDERS, Filter
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from starlette.responses import Response

    from statekeep.format.summary import Summary
    from statekeep.heads.pages import Listing
    from statekeep.store.query import Order
    from statekeep_web.visits import Visit

__all__ = ["show_list"]

_PAGE: Final = 50
_SESSIONS: Final = "*"
"""The filter's value for sessions only; no collection can have this name."""

_FILTERS: Final = (
    "user", "collection", "project", "phase", "seed", "title", "after", "before", "larger", "order"
)  # fmt: skip
_FURTHER: Final = _FILTERS[2:]
"""Filters that are folded away unless one is used."""


def show_list(visit: Visit) -> Response:
    """Show a page of the sessions and journals that match the filters."""
    asked = {name: visit.get(name) for name in _FILTERS} | {"user": visit.exact("user")}
    collections = journal_collections(visit.site.store)
    shown: dict[str, Any] = {
        "asked": asked, "collections": collections, "orders": [*ORDERS],
        "further": any(asked[name] for name in _FURTHER),
    }  # fmt: skip
    try:
        listing = _list(visit, asked, collections)
    except (BadRequest, ValueError) as error:
        return visit.render("list.html", status=400, listing=None, error=str(error), **shown)
    chosen = {name: value for name, value in asked.items() if value}
    return visit.render(
        "list.html", listing=listing, error=None, cursor=visit.get("cursor"), chosen=chosen, **shown
    )


def _list(visit: Visit, asked: dict[str, str | None], collections: list[str]) -> Listing[Summary]:
    only = asked["collection"]
    if only is not None and only != _SESSIONS:
        collections = [only]
    wanted = Filter(
        user_id=asked["user"] or None,
        project_id=asked["project"],
        active_seed_id=asked["seed"],
        last_phase=asked["phase"],
        title=asked["title"],
        updated_after=visit.moment("after"),
        updated_before=visit.moment("before"),
    )
    larger = _size(asked["larger"])
    listing = list_together(
        visit.site.store,
        () if only == _SESSIONS else collections,
        wanted,
        sessions=only in {None, _SESSIONS},
        order="size" if larger is not None else _order(asked["order"]),
        limit=_PAGE,
        cursor=visit.get("cursor"),
    )
    return listing if larger is None else _larger(listing, larger)


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise BadRequest(f"larger: {error}, not {text[:80]!r}") from None


def _order(name: str | None) -> Order:
    for order in ORDERS:
        if name in {None, order}:
            return order
    raise BadRequest(f"order: there is no order {name!r}")


def _larger(listing: Listing[Summary], size: int) -> Listing[Summary]:
    """End a listing by size where entries are no longer larger than `size`."""
    kept = tuple(takewhile(lambda each: each.size > size, listing))
    cursor = listing.cursor if len(kept) == len(listing) else None
    return replace(listing, summaries=kept, cursor=cursor)
