"""A proxy before an S3 server that counts requests, and loses, refuses or delays them."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

CUT = "cut"
"""Close the connection instead of forwarding the request."""

DROP = "drop"
"""Forward the request and close the connection instead of answering."""

HALF = "half"
"""Forward the request and close the connection in the middle of the answer's body."""


@dataclass
class Late:
    """Forward the request and answer this status and code instead of what the server says."""

    status: int
    code: str


@dataclass
class Answer:
    """Answer so instead of forwarding the request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """What a client sent; `status` is what the server behind said, 0 if it was not asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0

    @property
    def agent(self) -> str:
        return self.headers.get("user-agent", "")

    @property
    def changed_something(self) -> bool:
        return self.method in {"PUT", "POST", "DELETE"} and 200 <= self.status < 300

    def __str__(self) -> str:
        return "LIST" if "list-type" in self.query else self.method


Fault = str | tuple[int, str] | Answer | Late | bytes | float | None
"""What to do to a request: `CUT`, `DROP`, `HALF` or `Late`, or answer a status and a code instead
of forwarding it, or 200 and a body, or an `Answer`, or wait for so many seconds."""


@dataclass
class Proxy:
    """Use it as a context manager; `url` is where clients go."""

    target: str
    fault: Callable[[Request], Fault] = lambda _: None
    drop_headers: frozenset[str] = frozenset()
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if self.tls:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self) -> list[str]:
        """The requests since the last time it was asked."""
        seen = [str(request) for request in self.requests]
        self.requests.clear()
        return seen

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                proxy.connections.add(self)
                super().setup()

            def finish(self) -> None:
                super().finish()
                proxy.connections.discard(self)

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # whoever asked has gone, or shakes no hands with us
                    self.close_connection = True

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                split = urlsplit(self.path)
                query = parse_qs(split.query, keep_blank_values=True)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, split.path, query, headers)
                proxy.requests.append(request)
                fault = proxy.fault(request)
                if fault == CUT:
                    self.close_connection = True
                    return
                if isinstance(fault, float):
                    time.sleep(fault)
                if isinstance(fault, tuple):
                    self.answer_error(*fault)
                    return
                if isinstance(fault, bytes):
                    self.answer(200, fault, {})
                    return
                if isinstance(fault, Answer):
                    self.answer(fault.status, fault.body, fault.headers)
                    return
                connection = http.client.HTTPConnection(urlsplit(proxy.target).netloc)
                passed_on = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in proxy.drop_headers
                }
                connection.request(self.command, self.path, body, passed_on)
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
                request.status = answer.status
                if fault == DROP:
                    self.close_connection = True
                    return
                if isinstance(fault, Late):
                    self.answer_error(fault.status, fault.code)
                    return
                sent = len(data)
                if fault == HALF:
                    self.close_connection = True
                    sent //= 2
                self.answer(answer.status, data, dict(answer.getheaders()), sent)

            def do_CONNECT(self) -> None:
                proxy.requests.append(Request("CONNECT", self.path, {}))
                self.answer(403, b"", {})

            def answer_error(self, status: int, code: str) -> None:
                self.answer(status, f"<Error><Code>{code}</Code></Error>".encode(), {})

            def answer(
                self, status: int, data: bytes, headers: dict[str, str], sent: int | None = None
            ) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                        self.send_header(name, value)
                # The answer to a HEAD has the length of what it is about.
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[:sent])

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
