"""A proxy before an S3 server that counts requests and loses, refuses or delays answers."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

DROP = "drop"
"""Forward the request and close the connection instead of answering."""


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]

    def __str__(self) -> str:
        return "LIST" if "list-type" in self.query else self.method


Fault = Callable[[Request], "str | tuple[int, str] | float | None"]
"""What to do to a request: `DROP`, a status and a code to answer instead, seconds to wait."""


@dataclass
class Proxy:
    """Use it as a context manager; `url` is where clients go."""

    target: str
    fault: Fault = lambda _: None
    drop_headers: frozenset[str] = frozenset()
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
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

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                split = urlsplit(self.path)
                query = parse_qs(split.query, keep_blank_values=True)
                request = Request(self.command, split.path, query)
                proxy.requests.append(request)
                fault = proxy.fault(request)
                if isinstance(fault, float):
                    time.sleep(fault)
                if isinstance(fault, tuple):
                    status, code = fault
                    self.answer(status, f"<Error><Code>{code}</Code></Error>".encode(), {})
                    return
                connection = http.client.HTTPConnection(urlsplit(proxy.target).netloc)
                kept = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in proxy.drop_headers
                }
                connection.request(self.command, self.path, body, kept)
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
                if fault == DROP:
                    self.close_connection = True
                    return
                headers = dict(answer.getheaders())
                self.answer(answer.status, data, headers)

            def answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                        self.send_header(name, value)
                # The answer to a HEAD has the length of what it is about.
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
