"""One conversation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from statekeep.errors import NotFoundError
from statekeep.views import views
from statekeep_web.pages.targets import target_of
from statekeep_web.rendering import cut

if TYPE_CHECKING:
    from starlette.responses import Response

    from statekeep_web.visits import Visit

__all__ = ["show_conversation"]

_LAST: Final = 50
_LONGEST: Final = 20_000


def show_conversation(visit: Visit) -> Response:
    """Show the last items of a session or journal."""
    target = target_of(visit)
    about: dict[str, Any] = {}
    if target.session is not None:
        messages = visit.site.sessions().tail(target.session, last=_LAST)
        if messages is None:
            raise NotFoundError("no such session", key=target.session, store=visit.site.store)
        items, start = views.messages(messages), None
    else:
        journal = visit.site.journals(str(target.collection)).open(*target.name)
        loaded = journal.load(last=_LAST)
        if loaded is None:
            raise NotFoundError("no such journal", key=target.title, store=visit.site.store)
        items, start = loaded.items, loaded.start
        about = views.head(loaded.head)
    shown = [cut(json.dumps(each, ensure_ascii=False, indent=2), _LONGEST) for each in items]
    return visit.render(
        "conversation.html", target=target, about=about, items=shown, start=start or 0,
        done=visit.get("done"),
    )  # fmt: skip
