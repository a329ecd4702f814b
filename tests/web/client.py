"""A browser without a screen: requests to an ASGI application, cookies, redirects."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlencode, urljoin, urlsplit

import anyio
from anyio.from_thread import BlockingPortalProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

    from anyio.from_thread import BlockingPortal


@dataclass(frozen=True)
class Answer:
    """What came back."""

    url: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name.lower()), None)

    @property
    def page(self) -> Page:
        return Page(self.text)


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and the text that is seen."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._texts).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    def links(self) -> list[str]:
        return [found["href"] for found in self.all("a") if "href" in found]


class Browser:
    """Asks an application for pages, and keeps its cookies."""

    def __init__(self, app: Any, base: str = "http://127.0.0.1:8765", root: str = "") -> None:
        self.app = app
        self.base = base
        self.root = root
        self.cookies: dict[str, str] = {}
        self._running: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        self._running = BlockingPortalProvider()
        self._portal = self._running.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._running is not None
        self._running.__exit__(None, None, None)

    def run(self, function: Callable[[], Awaitable[object]]) -> object:
        """Run something in the loop in which the application is asked."""
        assert self._portal is not None
        return self._portal.call(function)

    def get(
        self, url: str, *, follow: bool = True, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self.send("GET", url, headers=headers, follow=follow)

    def post(
        self,
        url: str,
        form: Mapping[str, str],
        *,
        follow: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {"origin": "null", "sec-fetch-site": "same-origin"} if headers is None else headers
        kind = {"content-type": "application/x-www-form-urlencoded", **sent}
        return self.send("POST", url, urlencode(form).encode(), headers=kind, follow=follow)

    def send(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Answer:
        assert self._portal is not None
        whole = urljoin(self.base, url)
        answer: Answer = self._portal.call(self._send, method, whole, body, dict(headers or {}))
        for name, value in answer.headers:
            if name == "set-cookie":
                cookie, _, _ = value.partition(";")
                self.cookies.__setitem__(*cookie.split("=", 1))
        place = answer.header("location")
        if follow and place is not None and answer.status in {302, 303, 307}:
            return self.get(urljoin(whole, place))
        return answer

    async def _send(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(url)
        sent = {"host": parts.netloc, **headers}
        if self.cookies and "cookie" not in sent:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": parts.scheme, "path": unquote(parts.path) or "/",
            "raw_path": parts.path.encode(), "query_string": parts.query.encode(),
            "root_path": self.root, "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", parts.port or 80),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }  # fmt: skip
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        status, got, answered = 0, b"", []

        async def receive() -> dict[str, Any]:
            if not messages:  # who leaves before the end gets none of it
                await anyio.sleep_forever()
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            nonlocal status, got, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = [(k.decode().lower(), v.decode()) for k, v in message["headers"]]
            else:
                got += message.get("body", b"")

        await self.app(scope, receive, send)
        return Answer(url, status, answered, got)
