"""A proxy before any server that speaks over TCP, which loses what is sent or what is answered."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Fault = Literal["cut", "drop", "hang"] | None
"""What to do to what a client sends: close the connection instead of passing it on; pass it on, and
close the connection instead of passing the answer back; or keep it, and say nothing."""


@dataclass
class TcpProxy:
    """Use it as a context manager; clients go to `port` of 127.0.0.1."""

    target: int
    """The port of 127.0.0.1 at which the server listens."""
    fault: Callable[[bytes], Fault] = lambda _: None
    tls: ssl.SSLContext | None = None
    """How clients speak to it that ask, as those of PostgreSQL do."""
    is_asked: bool = True
    """Whether they ask for TLS; others begin with it."""
    sent: list[bytes] = field(default_factory=list)
    """What clients have sent, in the pieces in which it came."""

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: set[socket.socket] = {self._server}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def cut(self) -> None:
        """Close all connections."""
        for each in self._open - {self._server}:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        if self.tls:
            if self.is_asked:
                client.recv(8)
                client.sendall(b"S")
            try:
                client = self.tls.wrap_socket(client, server_side=True)
            except OSError:  # whoever asked does not trust us
                server.close()
                return
        both = {client, server}
        self._open |= both
        with client, server, selectors.DefaultSelector() as selector, suppress(OSError):
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            fault: Fault = None
            while True:
                for key, _ in selector.select():
                    data = client.recv(2**16) if key.fileobj is client else server.recv(2**16)
                    while isinstance(client, ssl.SSLSocket) and client.pending():
                        data += client.recv(2**16)
                    if not data:
                        return
                    if key.fileobj is server:
                        if fault == "drop":
                            return
                        client.sendall(data)
                        continue
                    self.sent.append(data)
                    fault = fault or self.fault(data)
                    if fault == "cut":
                        return
                    if fault != "hang":
                        server.sendall(data)
        self._open -= both
