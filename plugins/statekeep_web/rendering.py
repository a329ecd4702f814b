"""Templates, in which everything is escaped and control characters are made visible."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, StreamingResponse

from statekeep._text import printable, repair_text
from statekeep.format.summary import FOREVER, JournalSummary
from statekeep.timestamps import format_timestamp
from statekeep.views.wording import ago, size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from starlette.requests import Request

    from statekeep.format.summary import Summary

__all__ = [
    "LONGEST_LINK",
    "as_json",
    "conversation_query",
    "cut",
    "link",
    "path_of",
    "refusal",
    "render",
    "stream",
    "summary_query",
]

_NAVIGATION: Final = (
    ("/", "Sessions"),
    ("/search", "Search"),
    ("/users", "Users"),
    ("/statistics", "Statistics"),
    ("/prune", "Prune"),
    ("/trash", "Trash"),
    ("/doctor", "Doctor"),
    ("/plugins", "Plugins"),
    ("/settings", "Settings"),
)
LONGEST_LINK: Final = 8_000
"""The most characters of an address that servers and browsers accept."""

_AT_ONCE: Final = 1000
"""How many pieces of a template are sent together."""

Values = Any
"""The value of a parameter: text, a number, or a list of these; None leaves it out."""


def path_of(request: Request) -> str:
    """The requested path, relative to the page's root, wherever that is mounted."""
    path: str = request.scope["path"]
    root: str = request.scope.get("root_path", "").rstrip("/")
    # A proxy may have stripped the root, and the path may begin like it by chance.
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    return path or "/"


def link(request: Request, path: str, /, **parameters: Values) -> str:
    """The address of a page, wherever the application is mounted.

    Names of sessions and users are parameters, never parts of the path, which proxies normalize.

    Args:
        request: The request being answered.
        path: The path from the page's root, such as ``/search``.
        parameters: Query parameters.
    """
    query = _query(parameters)
    root = quote(request.scope.get("root_path", "")).rstrip("/")
    return f"{root}{path}?{query}" if query else f"{root}{path}"


def _query(parameters: dict[str, Values]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if value is None or value == "":
            continue
        values = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, repair_text(str(each))) for each in values]
    return urlencode(pairs, quote_via=quote, safe="")


def conversation_query(
    session: str | None = None, collection: str | None = None, name: Iterable[str] = ()
) -> dict[str, Values]:
    """The query parameters that name a session or a journal."""
    if collection is None:
        return {"session": session}
    return {"collection": collection, "name": [*name]}


def summary_query(summary: Summary) -> dict[str, Values]:
    """The query parameters that name a session or journal in a listing."""
    if isinstance(summary, JournalSummary):
        return conversation_query(collection=summary.collection, name=summary.name)
    return conversation_query(summary.id)


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    **values: Any,  # noqa: ANN401 - what the template shows
) -> HTMLResponse:
    """Answer with a page.

    Args:
        request: The request being answered.
        template: The file name of the template.
        status: The HTTP status.
        values: What the template shows.
    """
    shown = _templates.get_template(template).render(**_of_all(request), **values)
    return HTMLResponse(shown, status)


def stream(
    request: Request,
    template: str,
    **values: Any,  # noqa: ANN401 - what the template shows
) -> StreamingResponse:
    """Answer with a page that is sent while it is rendered, and never held in memory.

    Args:
        request: The request being answered.
        template: The file name of the template.
        values: What the template shows; iterators are advanced in a thread.
    """
    parts = _templates.get_template(template).stream(**_of_all(request), **values)
    parts.enable_buffering(_AT_ONCE)
    return StreamingResponse(parts, media_type="text/html")


def _of_all(request: Request) -> dict[str, Any]:
    """The values that every template has."""
    return {
        "link": partial(link, request),
        "here": path_of(request),
        "navigation": _NAVIGATION,
        "visitor": request.scope.get("statekeep.visitor"),
    }


def refusal(request: Request, status: int, title: str, text: str) -> HTMLResponse:
    """Answer with a page that says why the request was refused or failed."""
    return render(request, "error.html", status=status, title=title, text=text)


def as_json(value: object) -> str:
    """Format a value as indented JSON, or say that it is nested too deeply for that."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except RecursionError:
        return "(This is nested too deeply to be shown; it is in the raw JSON.)"


def cut(text: object, longest: int = 160) -> str:
    """Shorten text for a table; longer text ends in an ellipsis."""
    whole = str(text)
    return whole if len(whole) <= longest else f"{whole[: longest - 1]}…"


def _visible(value: object) -> object:
    """Make control characters in a value visible; None becomes empty."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, keep="\n\t")
    return value


def _typed(text: str | None) -> Markup:
    """The value of a form field, unchanged because it is sent back."""
    return escape(repair_text(text or ""))


def _time(moment: datetime | None) -> Markup:
    """A time in words, with the exact time as its tooltip."""
    if moment is None:
        return Markup()
    if moment == FOREVER:
        return escape(ago(moment))
    exact = format_timestamp(moment)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, ago(moment))


def _user_link(request_link: Any, user_id: str | None, label: str | None = None) -> Markup:  # noqa: ANN401
    """A user's name, linked to the page about what is kept for them."""
    if user_id is None:
        return Markup()
    shown = printable(cut(label or user_id, 60))
    if len(address := request_link("/user", id=user_id)) > LONGEST_LINK:
        return escape(shown)
    return Markup('<a href="{}">{}</a>').format(address, shown)


def _title(summary: Summary) -> str:
    """The name of a session or journal in a list."""
    if isinstance(summary, JournalSummary):
        return " / ".join(summary.name)
    return summary.id


def _many(value: int, one: str, many: str) -> str:
    """A count with its noun, singular or plural."""
    return f"{_number(value)} {one if value == 1 else many}"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


_templates = Environment(
    loader=PackageLoader("statekeep_web"),
    autoescape=True,
    finalize=_visible,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(
    cut=cut, many=_many, number=_number, size=size, time=_time, title_of=_title, typed=_typed
)
_templates.globals.update(summary_query=summary_query, user_link=_user_link)
