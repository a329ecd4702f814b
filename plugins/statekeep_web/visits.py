"""A request and how it is answered: in a thread, because stores are read there."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from anyio import CapacityLimiter, to_thread
from starlette.responses import RedirectResponse, Response

from statekeep.config.times import parse_moment
from statekeep.errors import (
    AccessDeniedError,
    ClosedError,
    ConfigError,
    ConflictError,
    InvalidKeyError,
    NotFoundError,
    PluginError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep_web.rendering import link, refusal, render, stream
from statekeep_web.safety import visitor

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request

    from statekeep_web.site import Site
    from statekeep_web.tokens import Tokens

__all__ = ["BadRequest", "Visit", "Workers"]

_logger = logging.getLogger(__name__)

_MOST_FORM: Final = 64 * 1024
_STATUS: Final[dict[type[StateStoreError], tuple[int, str]]] = {
    NotFoundError: (404, "Not there"),
    InvalidKeyError: (400, "Not a legal name"),
    ConfigError: (400, "Not possible so"),
    PluginError: (400, "A plugin does not work"),
    ConflictError: (409, "Changed meanwhile"),
    AccessDeniedError: (502, "The store refused"),  # 403 is what this page refuses
    UnavailableError: (503, "The store did not answer"),
    ClosedError: (503, "The store is closed"),
    UnsupportedError: (501, "Not possible here"),
}


class BadRequest(Exception):  # noqa: N818 - said to a person, as it is
    """What was asked for makes no sense; its text says why."""


@dataclass(slots=True)
class Visit:
    """One request, with what it takes to answer it.

    Attributes:
        request: What was asked for.
        site: What is shown.
        tokens: Those of the forms.
        form: What a form sent.
    """

    request: Request
    site: Site
    tokens: Tokens
    form: dict[str, list[str]] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """A parameter of the query, without blanks around it; None if it is empty."""
        return (self.request.query_params.get(name) or "").strip() or None

    def exact(self, name: str) -> str | None:
        """A parameter of the query that names something, to the letter; None if it is not there."""
        return self.request.query_params.get(name)

    def all(self, name: str) -> list[str]:
        """All values of a parameter of the query, to the letter."""
        return self.request.query_params.getlist(name)

    def moment(self, name: str) -> datetime | None:
        """A point in time that was typed into a field.

        Raises:
            BadRequest: It is none.
        """
        if (text := self.get(name)) is None:
            return None
        try:
            return parse_moment(text)
        except ValueError as error:
            raise BadRequest(f"{name}: {error}, not {text[:80]!r}") from None

    def link(self, path: str, /, **parameters: Any) -> str:  # noqa: ANN401 - as in a query
        """The address of a page; see `rendering.link`."""
        return link(self.request, path, **parameters)

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:  # noqa: ANN401
        """Answer with a page; the template also has `site` and `form_token`."""
        who = visitor(self.request)
        token = self.tokens.for_forms(who.cookie, who.name)
        return render(
            self.request, template, status=status, site=self.site, form_token=token, **values
        )

    def stream(self, template: str, **values: Any) -> Response:  # noqa: ANN401
        """Answer with a page that is sent while it is made; else as `render`."""
        who = visitor(self.request)
        token = self.tokens.for_forms(who.cookie, who.name)
        return stream(self.request, template, site=self.site, form_token=token, **values)

    def go_to(self, path: str, /, **parameters: Any) -> Response:  # noqa: ANN401
        """Answer what a form sent: lead to a page."""
        return RedirectResponse(self.link(path, **parameters), 303)

    def may_change(self) -> Response | None:
        """Why a form is refused; None if it is one of this page, and changes are allowed."""
        if not self.site.allow_changes:
            text = "The page was started without `--allow-changes`. Nothing was changed."
            return refusal(self.request, 403, "Only for looking", text)
        who = visitor(self.request)
        given = self.form.get("form_token", [""])[0]
        if not self.tokens.is_for_forms(given, who.cookie, who.name):
            text = "The form is not of this page, or is old: go back, reload, try again."
            return refusal(self.request, 403, "Nothing was changed", text)
        return None


class Workers:
    """Answers in threads: a few for what takes a moment, and others for what reads everything.

    Args:
        site: What is shown.
        tokens: Those of the forms.
    """

    def __init__(self, site: Site, tokens: Tokens) -> None:
        self._site = site
        self._tokens = tokens
        self._quick = CapacityLimiter(16)
        self._slow = CapacityLimiter(3)
        self._threads = CapacityLimiter(math.inf)  # those two say how many

    def endpoint(self, handler: Callable[[Visit], Response], *, slow: bool = False) -> Any:  # noqa: ANN401
        """What Starlette calls for a page.

        Args:
            handler: Answers; it may block.
            slow: Whether it reads everything, so that only a few are to run at once.
        """

        async def answer(request: Request) -> Response:
            visit = Visit(request, self._site, self._tokens)
            if request.method == "POST":
                if (sent := await _body(request)) is None:
                    return refusal(request, 413, "Too much", "That is more than a form sends.")
                visit.form = parse_qs(sent.decode(errors="replace"), keep_blank_values=True)
            limiter = self._slow if slow else self._quick
            async with limiter:
                # Whoever reloads what takes long leaves the requests before, and nobody reads
                # their answers.
                if slow and await request.is_disconnected():
                    return Response(status_code=499)
                return await to_thread.run_sync(_answer, handler, visit, limiter=self._threads)

        return answer


def _answer(handler: Callable[[Visit], Response], visit: Visit) -> Response:
    try:
        if visit.request.method == "POST" and (refused := visit.may_change()):
            return refused
        return handler(visit)
    except BadRequest as error:
        return refusal(visit.request, 400, "Not possible so", str(error))
    except StateStoreError as error:
        status, title = next(
            (found for kind, found in _STATUS.items() if isinstance(error, kind)),
            (500, "Not readable"),
        )
        _logger.debug("answered %s: %s", status, error)
        return refusal(visit.request, status, title, str(error))


async def _body(request: Request) -> bytes | None:
    """What a form sent; None if it is too much."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM:
            return None
    return body
