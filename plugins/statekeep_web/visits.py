"""A request, and the threads that answer requests, because reading a store blocks."""

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
    NotFoundError: (404, "Not found"),
    InvalidKeyError: (400, "Not a legal name"),
    ConfigError: (400, "Not possible"),
    PluginError: (400, "A plugin does not work"),
    ConflictError: (409, "Changed meanwhile"),
    AccessDeniedError: (502, "The store refused"),  # 403 is what this page refuses
    UnavailableError: (503, "The store did not answer"),
    ClosedError: (503, "The store is closed"),
    UnsupportedError: (501, "Not supported"),
}


class BadRequest(Exception):  # noqa: N818 - its text is shown to the user
    """The request makes no sense; the text says why."""


@dataclass(slots=True)
class Visit:
    """One request, with what is needed to answer it.

    Attributes:
        request: The request.
        site: The store that the page shows.
        tokens: The tokens of forms.
        form: The fields of a submitted form.
    """

    request: Request
    site: Site
    tokens: Tokens
    form: dict[str, list[str]] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """A query parameter without surrounding whitespace; None if it is empty or missing."""
        return (self.request.query_params.get(name) or "").strip() or None

    def exact(self, name: str) -> str | None:
        """A query parameter exactly as sent, for names; None if it is missing."""
        return self.request.query_params.get(name)

    def all(self, name: str) -> list[str]:
        """All values of a query parameter, exactly as sent."""
        return self.request.query_params.getlist(name)

    def moment(self, name: str) -> datetime | None:
        """A time typed into a field; None if the field is empty.

        Raises:
            BadRequest: It is not a time.
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
        """Answer with a page that is sent while it is rendered; otherwise like `render`."""
        who = visitor(self.request)
        token = self.tokens.for_forms(who.cookie, who.name)
        return stream(self.request, template, site=self.site, form_token=token, **values)

    def go_to(self, path: str, /, **parameters: Any) -> Response:  # noqa: ANN401
        """Answer a submitted form with a redirect to a page."""
        return RedirectResponse(self.link(path, **parameters), 303)

    def may_change(self) -> Response | None:
        """Check a submitted form: an answer that refuses it, or None if it is valid and allowed."""
        if not self.site.allow_changes:
            text = "The page was started without `--allow-changes`. Nothing was changed."
            return refusal(self.request, 403, "Read-only", text)
        who = visitor(self.request)
        given = self.form.get("form_token", [""])[0]
        if not self.tokens.is_for_forms(given, who.cookie, who.name):
            text = "The form is out of date or not from this page: go back, reload, and try again."
            return refusal(self.request, 403, "Nothing was changed", text)
        return None


class Workers:
    """Answers requests in threads: some for quick pages, and a few for those that read everything.

    Args:
        site: The store that the page shows.
        tokens: The tokens of forms.
    """

    def __init__(self, site: Site, tokens: Tokens) -> None:
        self._site = site
        self._tokens = tokens
        self._quick = CapacityLimiter(16)
        self._slow = CapacityLimiter(3)
        self._threads = CapacityLimiter(math.inf)  # the two above limit how many

    def endpoint(self, handler: Callable[[Visit], Response], *, slow: bool = False) -> Any:  # noqa: ANN401
        """Make the endpoint of a page for Starlette.

        Args:
            handler: Answers the request; it may block.
            slow: Whether it reads everything, so that only a few may run at once.
        """

        async def answer(request: Request) -> Response:
            visit = Visit(request, self._site, self._tokens)
            if request.method == "POST":
                if (sent := await _body(request)) is None:
                    return refusal(request, 413, "Too large", "No form of this page sends so much.")
                visit.form = parse_qs(sent.decode(errors="replace"), keep_blank_values=True)
            limiter = self._slow if slow else self._quick
            async with limiter:
                # Reloading a slow page abandons the earlier requests, whose answers nobody reads.
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
        return refusal(visit.request, 400, "Not possible", str(error))
    except StateStoreError as error:
        status, title = next(
            (found for kind, found in _STATUS.items() if isinstance(error, kind)),
            (500, "Cannot be read"),
        )
        _logger.debug("answered %s: %s", status, error)
        return refusal(visit.request, status, title, str(error))


async def _body(request: Request) -> bytes | None:
    """The body of a submitted form; None if it is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM:
            return None
    return body
