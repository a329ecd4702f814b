"""Subjects in processes of their own: what one imports or allocates never slows another.

A nursery imports what a subject needs and forks; so each worker is a new process that has opened
nothing, and starting Python is never measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import inspect
import multiprocessing
import os
import shutil
import signal
import tempfile
import traceback
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from typing import TYPE_CHECKING, Any, Self

from benchmarks.conversations import SMALL
from benchmarks.subjects import Subject, is_on_server

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.conversations import Size
    from benchmarks.subjects import Cost

__all__ = ["Make", "Nursery", "Worker", "subject_of"]

Make = Callable[[str], Subject]
"""A subject's class, or a `partial` of one."""


def subject_of(make: Make) -> type[Subject]:
    """The subject's class."""
    if isinstance(make, partial):
        return subject_of(make.func)
    assert isinstance(make, type)
    return make


class Worker:
    """A subject in a new process; calls are sent with `ask` and answered with `answer`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, what: str, *arguments: object) -> None:
        """Send a call of one of the methods of `_Server`."""
        with contextlib.suppress(BrokenPipeError):  # then the answer is why it could not open
            self._connection.send((what, arguments))

    def answer(self) -> Any:
        """Wait for the result.

        Raises:
            RuntimeError: The call failed; the message has the traceback.
        """
        good, result = self._connection.recv()
        if not good:
            raise RuntimeError(result)
        return result

    def call(self, what: str, *arguments: object) -> Any:
        """Send a call and wait for its result."""
        self.ask(what, *arguments)
        return self.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.call("close")
        except (RuntimeError, OSError, EOFError):
            if error is None:
                raise
        finally:
            self._connection.close()


class Nursery:
    """Makes workers of one subject; use it as a context manager."""

    def __init__(self, make: Make) -> None:
        self._make = make

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp()
        self._listener = Listener(f"{self._folder}/socket")
        context = multiprocessing.get_context("spawn")
        arguments = (self._make, self._listener.address)
        self._process = context.Process(target=_nurse, args=arguments)
        self._process.start()
        self._orders = self._listener.accept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._orders.close()
        self._process.join()
        self._listener.close()
        shutil.rmtree(self._folder)

    def worker(self, place: str) -> Worker:
        """A new process with the subject, opened at a place."""
        self._orders.send(place)
        return Worker(self._listener.accept())


def _nurse(make: Make, address: str) -> None:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers
    for module in subject_of(make).modules:
        importlib.import_module(module)
    with Client(address) as orders:
        while True:
            try:
                place = orders.recv()
            except EOFError:
                return
            if os.fork() == 0:
                break
        _Server(make, place, Client(address)).serve()
        os._exit(0)


class _Server:
    """What a worker does."""

    def __init__(self, make: Make, place: str, connection: Connection) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._connection = connection
        self._loop = asyncio.Runner()
        self._make = make
        self._place = place

    def serve(self) -> None:
        try:
            self._warm_up()
            self._subject = self._open(self._place)
        except Exception:  # noqa: BLE001 - whatever it is, the other side must hear of it
            self._connection.send((False, traceback.format_exc()))
            return
        while True:
            try:
                what, arguments = self._connection.recv()
            except EOFError:
                return
            try:
                answer = True, getattr(self, what)(*arguments)
            except Exception:  # noqa: BLE001
                answer = False, traceback.format_exc()
            with contextlib.suppress(BrokenPipeError):
                self._connection.send(answer)

    def prepare(self, size: Size, count: int, first: int = 0) -> None:
        """Have so many sessions at hand, none of them stored."""
        self._subject.prepare(size, count, first)

    def each(self, work: str, part: int = 0, parts: int = 1) -> Cost:
        """Do some work for a part of the sessions at hand; what that costs for one."""
        subject = self._subject
        subject.numbers = range(part, len(subject.documents), parts)
        if work == "update":
            subject.change()
        cost, _ = subject.measure(work)
        return cost / len(subject.numbers)

    def fill(self, turns: int) -> None:
        """Let the conversation have so many turns; of those who keep one."""
        subject: Any = self._subject
        subject.fill(turns)

    def whole(self, work: str, *arguments: object) -> Cost:
        """Do some work once that is not done for each session."""
        cost, _ = self._subject.measure(work, *arguments)
        return cost

    def newest(self, limit: int | None, expected: int) -> Cost:
        """List once."""
        cost, found = self._subject.measure("newest", limit)
        _check(len(found), expected)
        return cost

    def prune(self, victims: list[str], keep: int) -> Cost:
        """Prune once."""
        cost, pruned = self._subject.measure("prune", victims, keep)
        _check(pruned, len(victims))
        return cost

    def memory_of_listing(self) -> tuple[int, int]:
        """List all; the bytes that the listing and what is kept for the next take, and the peak."""
        tracemalloc.start()
        found: Any = self._subject.newest(None)
        gc.collect()
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del found
        return kept, peak

    def close(self) -> None:
        closing = self._subject.close()
        if inspect.iscoroutine(closing):
            self._loop.run(closing)

    def _open(self, place: str) -> Subject:
        subject = self._make(place)
        subject.loop = self._loop
        return subject

    def _warm_up(self) -> None:
        # What a library does on its first use only is part of starting it.
        place = _beside(self._place)
        self._subject = self._open(place)
        self.prepare(SMALL, 1)
        self.each("create")
        if self._subject.can("newest"):
            self.newest(None, 1)
        for work in ("load", "update", "turn"):
            if self._subject.can(work):
                self.each(work)
        self.close()
        if not is_on_server(place):
            shutil.rmtree(place)


def _beside(place: str) -> str:
    path, question, query = place.partition("?")
    if query.startswith("store="):
        return f"{place}_{os.getpid()}"
    return f"{path}-{os.getpid()}{question}{query}"


def _check(found: int, expected: int) -> None:
    if found != expected:
        raise AssertionError(f"{found} sessions instead of {expected}")
