"""The page as people start it: `statekeep browse` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import uvicorn

from statekeep import open_store
from statekeep_web import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep import StateStore

_RUN = "from statekeep.cli import main; main()"


@dataclass(frozen=True)
class Served:
    """A page that is served.

    Attributes:
        link: What was printed: it lets in.
        store: The same store, for what others do meanwhile.
        location: Its URL.
        pid: The process that serves it.
    """

    link: str
    store: StateStore
    location: str
    pid: int

    @property
    def base(self) -> str:
        """Where the page is, without the token."""
        return self.link.partition("/?")[0]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.base.rpartition(":")[2])

    def at(self, path: str, **parameters: object) -> str:
        """The address of one of its pages."""
        query = urlencode(parameters, doseq=True, quote_via=quote)
        return f"{self.base}{path}?{query}" if query else f"{self.base}{path}"

    def conversation(
        self, session: str | None = None, collection: str = "", name: tuple[str, ...] = ()
    ) -> str:
        """The address of a conversation."""
        if session is not None:
            return self.at("/conversation", session=session)
        return self.at("/conversation", collection=collection, name=[*name])


@contextmanager
def serve(location: str, *options: str, fill: Callable[[StateStore], object]) -> Iterator[Served]:
    """Start it for a store, and end it as Ctrl-C does.

    Args:
        location: The store's URL; what is in memory is served by this process.
        options: Of the command.
        fill: Puts something into the store, because nobody looks at one that is not there.
    """
    with open_store(location) as store:
        fill(store)
        if location.startswith("memory:"):
            with _served_here(store, allow_changes="--allow-changes" in options) as link:
                yield Served(link, store, location, os.getpid())
        else:
            with _command(location, *options) as (link, pid):
                yield Served(link, store, location, pid)


@contextmanager
def _command(location: str, *options: str) -> Iterator[tuple[str, int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, "browse", "--port", "0", "--store", location, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "STATEKEEP_STORE"},
        text=True,
    )
    assert process.stdout is not None
    try:
        link = process.stdout.readline().strip()
        assert link.startswith("http://127.0.0.1:"), "the page did not come up"
        yield link, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        try:
            ended = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
        assert ended in {0, 130}


@contextmanager
def _served_here(store: StateStore, *, allow_changes: bool) -> Iterator[str]:
    app = create_app(store, allow_changes=allow_changes)
    with serve_app(app) as base:
        yield f"{base}/?token={app.token}"


@contextmanager
def serve_app(app: Any) -> Iterator[str]:
    """Serve an application of ASGI in a thread of this process; gives where."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline, "the page did not come up"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
