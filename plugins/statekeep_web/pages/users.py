"""Users: how much is kept for each, and what erasing one would delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from statekeep.erasure import plan_erasure
from statekeep.search import statistics
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from starlette.responses import Response

    from statekeep_web.visits import Visit

__all__ = ["show_user", "show_users"]

_PAGE: Final = 100
_MOST: Final = 500


def show_users(visit: Visit) -> Response:
    """List all users, largest first."""
    text = visit.get("start") or "0"
    start = int(text) if text.isdecimal() and len(text) < 10 else 0
    found = statistics(visit.site.store, biggest=0).by_user
    users = sorted(found.items(), key=lambda each: each[1].bytes, reverse=True)
    following = start + _PAGE if len(users) > start + _PAGE else None
    return visit.render(
        "users.html", users=users[start : start + _PAGE], count=len(users), start=start,
        following=following,
    )  # fmt: skip


def show_user(visit: Visit) -> Response:
    """Show what is kept for one user or, with `erasure`, what erasing them would delete."""
    if not (user := visit.exact("id")):
        raise BadRequest("The address names no user.")
    store = visit.site.store
    if visit.get("erasure") is None:
        found = statistics(store, user_id=user, biggest=20)
        return visit.render("user.html", user=user, found=found, plan=None, most=_MOST)
    plan = plan_erasure(store, user)
    return visit.render("user.html", user=user, found=None, plan=plan, most=_MOST)
