"""Who may see the page, and what a browser may do with it."""

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
"""Says whether a request may see and do everything: true, or the name of who it is; false or None
refuses it, and a response is sent as it is, such as one that leads to where people sign in."""

LOCAL: Final = ("127.0.0.1", "localhost", "::1")
"""What this machine calls itself."""

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
    """Who asks.

    Attributes:
        name: Of who signed in; empty if that is not known.
        cookie: The value of the browser's cookie.
    """

    name: str
    cookie: str


def visitor(request: Request) -> Visitor:
    """Who asks; `Safety` has let him in."""
    found: Visitor = request.scope["statekeep.visitor"]
    return found


class Safety:
    """Lets in who may see the page, and sends what keeps a browser safe with every answer.

    Args:
        app: The page.
        tokens: Of the link, the cookie and the forms.
        authenticate: Says who may see it; None for who has the link.
        hosts: The names under which it may be asked for, so that no other site's name that leads
            here can read it; ``"*"`` for any, ``"*ip"`` for any address in digits.
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
        """See the specification of ASGI."""
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
                # At once elsewhere, so that the token stays in no history and no picture.
                cookie = _set_cookie(request, value if known else self._tokens.new_cookie())
                answer = RedirectResponse(_without_token(request), 303)
            elif known:
                scope["statekeep.visitor"] = Visitor("", value)
            else:
                answer = _refuse(request, 401, "Open the link", _NO_COOKIE)
        await (self._app if answer is None else answer)(scope, receive, guarded)

    def _refused(self, request: Request) -> Response | None:
        """What no right would allow: an answer that says why not, or None."""
        if not self._is_known_host(_host_and_port(request)[0]):
            return _refuse(request, 421, "Not known by this name", _UNKNOWN_HOST)
        headers = request.headers
        site = headers.get("sec-fetch-site", "none")
        visits = headers.get("sec-fetch-mode") == "navigate"
        whole = headers.get("sec-fetch-dest", "document") == "document"
        if site not in _OURS and not (request.method in _READING and visits and whole):
            return _refuse(request, 403, "Asked for by another site", _OTHER_SITE)
        origin = headers.get("origin")
        if request.method in _READING or origin is None:
            return None
        # Forms of a page that tells no referrer have the origin "null"; then the browser's own word
        # decides. Browsers give it to sites that they trust: never by HTTP, but to this machine.
        # Elsewhere the cookie, which is strict, and the form's token must do.
        scheme = request.scope.get("scheme", "http")
        untold = "same-origin" if scheme == "http" and not _is_loopback(request) else ""
        site = headers.get("sec-fetch-site", untold)
        own = f"{scheme}://{headers.get('host', '')}"
        if origin == own or (origin == "null" and site == "same-origin"):
            return None
        return _refuse(request, 403, "Asked for by another site", _OTHER_SITE)

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
    "This page is for who has the link that `statekeep browse` printed. Open it again; if you have "
    "just done so, reload this page."
)
_UNKNOWN_HOST: Final = (
    "A site of that name may be somebody else's who wants to read this page through your browser. "
    "If the name is yours, say so: `--listen`, or `create_app(…, hosts=[…])`."
)
_OTHER_SITE: Final = "Only this page itself may ask for that. Nothing was changed."


def _refuse(request: Request, status: int, title: str, text: str) -> Response:
    return refusal(request, status, title, text)


async def _ask(authenticate: Authenticate, request: Request) -> tuple[Response | None, str]:
    """What to answer who may not come in, or None; and the name of who may."""
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
    # Much that is meant to refuse is true, such as (False, "why") or {"error": "why"}.
    raise TypeError(
        f"authenticate gave {type(found).__name__}; True, a name, False, None or a response is "
        "needed"
    )


def _is_static(request: Request) -> bool:
    path = path_of(request)
    return request.method in _READING and (path.startswith("/static/") or path == "/favicon.ico")


def _host_and_port(request: Request) -> tuple[str, str]:
    """What the browser asked for; empty where it is no host."""
    match = _HOST.fullmatch(request.headers.get("host", ""))
    return (match[1].lower().strip("[]"), match[2] or "") if match else ("", "")


def _is_loopback(request: Request) -> bool:
    return _host_and_port(request)[0] in LOCAL


def _cookies(request: Request) -> list[str]:
    """The values of our cookie: one of another path, or another port's page, may be among them."""
    name = _cookie_name(request)
    pairs = [
        each.strip().partition("=")
        for header in request.headers.getlist("cookie")
        for each in header.split(";")
    ]
    return [value for found, _, value in pairs if found == name]


def _cookie_name(request: Request) -> str:
    # Browsers keep cookies of all ports together.
    return f"statekeep-{_host_and_port(request)[1] or request.scope.get('scheme', 'http')}"


def _set_cookie(request: Request, value: str) -> str:
    secure = "; Secure" if request.scope.get("scheme") == "https" else ""
    path = quote(request.scope.get("root_path", "")) or "/"
    return f"{_cookie_name(request)}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}"


def _without_token(request: Request) -> str:
    left = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = urlencode([(name, value) for name, value in left if name != _TOKEN])
    # Two slashes at its beginning would lead to another host.
    path = link(request, "/" + quote(path_of(request).lstrip("/")))
    return f"{path}?{query}" if query else path
