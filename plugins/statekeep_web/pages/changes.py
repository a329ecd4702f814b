"""Requests that change something: pin, unpin, move to the trash, and restore.

Each comes from a form whose token was checked, and only if changes are allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.config.times import parse_moment
from statekeep.sessions.turns import no_such_session
from statekeep.timestamps import utc_now
from statekeep_web.pages.targets import target_of
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.responses import Response

    from statekeep_web.visits import Visit

__all__ = ["pin", "put_into_trash", "restore", "unpin"]


def pin(visit: Visit) -> Response:
    """Protect a session or journal from pruning, until a time in the future or for ever."""
    target, until = target_of(visit), _until(visit)
    if target.session is not None:
        visit.site.sessions(changing=True).pin(target.session, until)
    else:
        visit.site.journals(str(target.collection), changing=True).open(*target.name).pin(until)
    return visit.go_to("/conversation", **target.query, done="pinned")


def unpin(visit: Visit) -> Response:
    """End the protection of a session or journal from pruning."""
    target = target_of(visit)
    if target.session is not None:
        visit.site.sessions(changing=True).unpin(target.session)
    else:
        visit.site.journals(str(target.collection), changing=True).open(*target.name).unpin()
    return visit.go_to("/conversation", **target.query, done="unpinned")


def put_into_trash(visit: Visit) -> Response:
    """Delete a session, and leave a copy in the trash."""
    target = target_of(visit)
    if target.session is None:
        raise BadRequest("The page deletes no journals: a deleted journal cannot be restored.")
    if not visit.site.sessions(changing=True).delete(target.session, trash=True):
        raise no_such_session(target.session, visit.site.store)
    return visit.go_to("/trash", done="trashed")


def restore(visit: Visit) -> Response:
    """Restore a copy from the trash."""
    copy = visit.exact("copy")
    target = target_of(visit)
    if target.session is not None:
        restored = visit.site.sessions(changing=True).restore(target.session, copy=copy)
        return visit.go_to("/conversation", session=restored.id, done="restored")
    visit.site.journals(str(target.collection), changing=True).restore(*target.name, copy=copy)
    return visit.go_to("/conversation", **target.query, done="restored")


def _until(visit: Visit) -> datetime | None:
    text = visit.form.get("until", [""])[0].strip()
    if not text:
        return None
    try:
        until = parse_moment(text, durations="future")
    except ValueError as error:
        raise BadRequest(f"Pin until: {error}, not {text[:80]!r}") from None
    if until <= utc_now():
        raise BadRequest("Pin until: use a time in the future, such as 7d or tomorrow.")
    return until
