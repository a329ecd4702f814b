"""A conversation, a page at a time, and its new messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.responses import Response

from statekeep.conversations import Conversation
from statekeep.errors import (
    CorruptDataError,
    InvalidDocumentError,
    NotFoundError,
    UnsupportedError,
)
from statekeep.format.record import read_record
from statekeep.format.summary import expires_at, pinned_until
from statekeep_web.pages.targets import target_of
from statekeep_web.rendering import as_json
from statekeep_web.showing import Viewer, mark_of
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from datetime import datetime

    from statekeep.conversations import Excerpt
    from statekeep_web.pages.targets import Target
    from statekeep_web.visits import Visit

__all__ = ["number", "opened", "show_conversation", "show_news", "unreadable"]

_PAGE: Final = 100
"""Messages on a page."""


@dataclass(frozen=True, slots=True)
class _About:
    """What the page shows above the messages.

    Attributes:
        title: The title, if it has one.
        user_id: The user it belongs to, if any.
        created_at: When it was created.
        updated_at: When it was last updated.
        size: Its size in the store, in bytes.
        pinned_until: Until when it is protected from pruning.
        expires_at: When it expires.
        phase: The last phase that was reached.
        evaluation: Whether the last evaluation passed.
    """

    title: str | None
    user_id: str | None
    created_at: datetime
    updated_at: datetime
    size: int
    pinned_until: datetime | None
    expires_at: datetime | None
    phase: str | None
    evaluation: bool | None


class _Pages(NamedTuple):
    """The position of a page among all messages.

    Attributes:
        start: The index of its first message.
        stop: The index after its last message.
        length: How many messages there are in all.
    """

    start: int
    stop: int
    length: int

    @property
    def earlier(self) -> int:
        """The start of the previous page."""
        return max(0, self.start - _PAGE)


def show_conversation(visit: Visit) -> Response:
    """Show a page of a session or journal, from `start` or with the message `at` on it."""
    target = target_of(visit)
    start, at = number(visit, "start"), number(visit, "at")
    try:
        excerpt = _page(opened(visit, target), start, at)
        if excerpt is None:
            raise _not_there(visit, target)
        about = _about(visit, target, excerpt)
    except (CorruptDataError, InvalidDocumentError, UnsupportedError) as error:
        return unreadable(visit, target, error)
    pages = _Pages(excerpt.start, excerpt.start + len(excerpt.entries), excerpt.length)
    return visit.stream(
        "conversation.html",
        target=target,
        about=about,
        pages=pages,
        metadata=as_json(excerpt.metadata) if excerpt.metadata else "",
        views=Viewer(visit.link, target.query).views(excerpt.entries),
        follow=visit.link("/live", **target.query) if pages.stop == pages.length else None,
        version=excerpt.version,
        mark=mark_of(excerpt.entries),
        done=visit.get("done"),
    )


def show_news(visit: Visit) -> Response:
    """Send the messages that came after `after`, for the script on the last page.

    The answer is 204 if nothing has changed, 404 if the conversation is gone, and 409 if the last
    message shown is no longer there, because the conversation was cut back or re-created.
    """
    target = target_of(visit)
    after, mark = number(visit, "after") or 0, visit.get("mark")
    blob = visit.site.store.get(target.key)
    if blob is None:
        raise _not_there(visit, target)
    if blob.version == visit.exact("version"):
        return Response(status_code=204)
    # Include the last message shown, to check that it is still there.
    begin = max(0, after - 1)
    excerpt = opened(visit, target).load(start=begin, stop=begin + _PAGE)
    if excerpt is None:
        raise _not_there(visit, target)
    shown, new = excerpt.entries[: after - begin], excerpt.entries[after - begin :]
    if excerpt.length < after or (after and mark_of(shown) != mark):
        return Response("Messages shown are no longer there.", 409, media_type="text/plain")
    reached = excerpt.start + len(excerpt.entries)
    more = reached < excerpt.length
    return visit.render(
        "live.html",
        views=Viewer(visit.link, target.query).views(new),
        after=reached,
        count=len(new),
        version="" if more else excerpt.version,
        mark=mark_of(excerpt.entries),
        more=more,
    )


def opened(visit: Visit, target: Target) -> Conversation:
    """The conversation that a request names."""
    if target.session is not None:
        return Conversation(visit.site.store, target.session)
    return Conversation(visit.site.store, *target.name, collection=target.collection)


def number(visit: Visit, name: str) -> int | None:
    """An integer query parameter; None if it is missing.

    Raises:
        BadRequest: It is not an integer.
    """
    text = visit.get(name)
    try:
        return None if text is None else int(text[:20])
    except ValueError:
        raise BadRequest(f"{name}: must be a whole number, not {text!r:.60}") from None


def unreadable(
    visit: Visit,
    target: Target,
    error: CorruptDataError | InvalidDocumentError | UnsupportedError,
) -> Response:
    """Answer that a conversation exists but cannot be shown."""
    is_damaged = not isinstance(error, UnsupportedError)
    return visit.render(
        "unreadable.html",
        status=500 if is_damaged else 501,
        target=target,
        title="It is damaged" if is_damaged else "It cannot be read by this version",
        text=str(error),
        advice="The doctor says what can be done." if is_damaged else "Upgrade statekeep.",
    )


def _page(conversation: Conversation, start: int | None, at: int | None) -> Excerpt | None:
    """The requested page; the last one if there is no such page."""
    if at is not None and at < 0:
        return conversation.load(last=_PAGE)
    begin = max(0, start or 0) if at is None else at // _PAGE * _PAGE
    excerpt = conversation.load(start=begin, stop=begin + _PAGE)
    if excerpt is not None and excerpt.length and not excerpt.entries:
        return conversation.load(last=_PAGE)
    return excerpt


def _about(visit: Visit, target: Target, excerpt: Excerpt) -> _About:
    size, phase, evaluation = 0, None, None
    if target.session is not None:
        blob = visit.site.store.get(target.key)
        if blob is not None:  # else it was deleted just now
            summary = read_record(target.key, blob).summary()
            size, phase, evaluation = summary.size, summary.last_phase, summary.last_evaluation
    else:
        head = visit.site.journals(str(target.collection)).open(*target.name).head()
        size = 0 if head is None else head.size
    return _About(
        excerpt.title,
        excerpt.user_id,
        excerpt.created_at,
        excerpt.updated_at,
        size,
        pinned_until(excerpt.metadata),
        expires_at(excerpt.metadata),
        phase,
        evaluation,
    )


def _not_there(visit: Visit, target: Target) -> NotFoundError:
    what = "session" if target.session is not None else "journal"
    return NotFoundError(f"no such {what}", key=target.key, store=visit.site.store)
