"""Every page that there is, by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from browser.content import LONG, NEEDLE, PARSER, SUPPORT, TOOLS

if TYPE_CHECKING:
    from browser.serving import Served


def places(served: Served) -> dict[str, str]:
    """The address of each page over what `content.fill` puts into a store."""
    return {
        "list": served.at("/"),
        "filtered": served.at("/", user="grace", order="size"),
        "nothing": served.at("/", user="nobody"),
        "wrong filter": served.at("/", after="the day before"),
        "search": served.at("/search"),
        "found": served.at("/search", q=NEEDLE),
        "conversation": served.conversation(PARSER),
        "tools": served.conversation(collection=TOOLS, name=SUPPORT),
        "pages": served.conversation(collection=TOOLS, name=LONG),
        "last page": served.conversation(collection=TOOLS, name=LONG) + "&at=-1",
        "damaged": served.conversation("damaged"),
        "users": served.at("/users"),
        "user": served.at("/user", id="grace"),
        "erasure": served.at("/user", id="grace", erasure=1),
        "statistics": served.at("/statistics"),
        "prune": served.at("/prune"),
        "plan": served.at(
            "/prune", strategy="max-sessions", plan=1, min_idle="0s", **{"option.max_sessions": 20}
        ),
        "trash": served.at("/trash"),
        "doctor": served.at("/doctor"),
        "findings": served.at("/doctor", examine=1),
        "plugins": served.at("/plugins"),
        "settings": served.at("/settings"),
        "not there": served.at("/nothing"),
    }
