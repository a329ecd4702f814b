"""Control who may see the page, and what a browser may do with it."""

from __future__ import annotations

import inspect
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from anyio import to_thread
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from statekeep_web.rendering import link, path_of, refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from statekeep_web.tokens import Tokens

__all__ = ["LOCAL", "Authenticate", "Safety", "Visitor", "visitor"]

Authenticated = bool | str | Response | None
Authenticate = Callable[[Request], Authenticated | Awaitable[Authenticated]]
"""Decides whether a request may see and do everything. True or the caller's name allows it, False
or None refuses it, and a response, such as a redirect to a sign-in page, is sent as it is."""

LOCAL: Final = ("127.0.0.1", "localhost", "::1")
"""The names of this machine."""

_TOKEN: Final = "token"  # noqa: S105 - the name of a parameter
_READING: Final = {"GET", "HEAD"}
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\[\]\\]+)(?::([0-9]{1,5}))?")
_OURS: Final = {"same-origin", "none"}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Visitor(NamedTuple):
    """The sender of a request.

    Attributes:
        name: The name of the signed-in user; empty if unknown.
        cookie: The value of the browser's cookie.
    """

    name: str
    cookie: str


def visitor(request: Request) -> Visitor:
    """The sender of a request that `Safety` has let in."""
    found: Visitor = request.scope["statekeep.visitor"]
    return found


class Safety:
    """ASGI middleware that checks who may see the page, and adds security headers to every answer.

    Args:
        app: The page.
        tokens: The tokens of the link, the cookie and the forms.
        authenticate: Decides who may see the page; None for anyone who has the link.
        hosts: The host names under which the page may be requested, so that another site whose name
            resolves to this machine cannot read it; ``"*"`` for any, ``"*ip"`` for any IP address.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        authenticate: Authenticate | None,
        hosts: Iterable[str],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._authenticate = authenticate
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see the ASGI specification."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookie: str | None = None

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        request = Request(scope)
        answer = self._refused(request)
        if answer is None and not _is_static(request):
            value = next(filter(self._tokens.is_cookie, _cookies(request)), "")
            known = bool(value)
            if self._authenticate is not None:
                answer, name = await _ask(self._authenticate, request)
                if answer is None and not known:
                    value = self._tokens.new_cookie()
                    cookie = _set_cookie(request, value)
                scope["statekeep.visitor"] = Visitor(name, value)
            elif (token := request.query_params.get(_TOKEN)) and self._tokens.opens(token):
                # Redirect right away, so that the token is in no history and no screenshot.
                cookie = _set_cookie(request, value if known else self._tokens.new_cookie())
                answer = RedirectResponse(_without_token(request), 303)
            elif known:
                scope["statekeep.visitor"] = Visitor("", value)
            else:
                answer = _refuse(request, 401, "Open the link", _NO_COOKIE)
        await (self._app if answer is None else answer)(scope, receive, guarded)

    def _refused(self, request: Request) -> Response | None:
        """Refuse requests that nobody may make: unknown hosts and other sites; None if allowed."""
        if not self._is_known_host(_host_and_port(request)[0]):
            return _refuse(request, 421, "Unknown host name", _UNKNOWN_HOST)
        headers = request.headers
        site = headers.get("sec-fetch-site", "none")
        visits = headers.get("sec-fetch-mode") == "navigate"
        whole = headers.get("sec-fetch-dest", "document") == "document"
        if site not in _OURS and not (request.method in _READING and visits and whole):
            return _refuse(request, 403, "Request from another site", _OTHER_SITE)
        origin = headers.get("origin")
        if request.method in _READING or origin is None:
            return None
        # Forms of a page without referrers have the origin "null"; then Sec-Fetch-Site decides.
        # Browsers send it only to sites they trust: not over HTTP, except to this machine.
        # Otherwise the cookie, which is SameSite=Strict, and the form's token must be enough.
        scheme = request.scope.get("scheme", "http")
        untold = "same-origin" if scheme == "http" and not _is_loopback(request) else ""
        site = headers.get("sec-fetch-site", untold)
        own = f"{scheme}://{headers.get('host', '')}"
        if origin == own or (origin == "null" and site == "same-origin"):
            return None
        return _refuse(request, 403, "Request from another site", _OTHER_SITE)

    def _is_known_host(self, name: str) -> bool:
        if "*" in self._hosts or name in self._hosts:
            return True
        if "*ip" not in self._hosts:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


_NO_COOKIE: Final = (
    "To see this page, open the link that `statekeep browse` printed. If you have just done so, "
    "reload this page."
)
_UNKNOWN_HOST: Final = (
    "Someone else's site with that name could be trying to read this page through your browser. "
    "If the name is yours, allow it with `--listen` or `create_app(…, hosts=[…])`."
)
_OTHER_SITE: Final = "Only this page itself may send that request. Nothing was changed."


def _refuse(request: Request, status: int, title: str, text: str) -> Response:
    return refusal(request, status, title, text)


async def _ask(authenticate: Authenticate, request: Request) -> tuple[Response | None, str]:
    """Return an answer that refuses the request, or None; and the name of an allowed caller."""
    if inspect.iscoroutinefunction(authenticate):
        found = await authenticate(request)
    else:
        found = await to_thread.run_sync(authenticate, request)
        if inspect.isawaitable(found):
            found = await found
    if isinstance(found, Response):
        return found, ""
    if found is None or found is False or found == "":
        return _refuse(request, 403, "Not allowed", "You may not see this page."), ""
    if found is True or isinstance(found, str):
        return None, "" if found is True else found
    # Values meant to refuse may be truthy, such as (False, "why") or {"error": "why"}.
    raise TypeError(
        f"authenticate returned {type(found).__name__}; it must return True, a name, False, None "
        "or a response"
    )


def _is_static(request: Request) -> bool:
    path = path_of(request)
    return request.method in _READING and (path.startswith("/static/") or path == "/favicon.ico")


def _host_and_port(request: Request) -> tuple[str, str]:
    """The host and port that the browser requested; empty if the header is not valid."""
    match = _HOST.fullmatch(request.headers.get("host", ""))
    return (match[1].lower().strip("[]"), match[2] or "") if match else ("", "")


def _is_loopback(request: Request) -> bool:
    return _host_and_port(request)[0] in LOCAL


def _cookies(request: Request) -> list[str]:
    """The values of our cookie; those of another path or another port's page may be among them."""
    name = _cookie_name(request)
    pairs = [
        each.strip().partition("=")
        for header in request.headers.getlist("cookie")
        for each in header.split(";")
    ]
    return [value for found, _, value in pairs if found == name]


def _cookie_name(request: Request) -> str:
    # Browsers share cookies among all ports of a host.
    return f"statekeep-{_host_and_port(request)[1] or request.scope.get('scheme', 'http')}"


def _set_cookie(request: Request, value: str) -> str:
    secure = "; Secure" if request.scope.get("scheme") == "https" else ""
    path = quote(request.scope.get("root_path", "")) or "/"
    return f"{_cookie_name(request)}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}"


def _without_token(request: Request) -> str:
    left = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = urlencode([(name, value) for name, value in left if name != _TOKEN])
    # Two slashes at the beginning would lead to another host.
    path = link(request, "/" + quote(path_of(request).lstrip("/")))
    return f"{path}?{query}" if query else path
