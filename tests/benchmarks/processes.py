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
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from typing import TYPE_CHECKING, Any, Self

from benchmarks.adapters import Subject, in_threads
from benchmarks.conversations import SMALL, ids

if TYPE_CHECKING:
    from types import TracebackType

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
        self._turns = 0

    def serve(self) -> None:
        try:
            self._warm_up()
            self._subject = self._make(self._place)
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

    def fill(self, *arguments: Any) -> None:
        self._wait(self._subject.fill(*arguments))

    def take(self, *arguments: Any) -> None:
        self._wait(self._subject.take(*arguments))

    def save(self, seconds: float, most: int) -> list[float]:
        """Save turns again and again; the seconds that each took."""

        def turn() -> None:
            self._turns += 1
            self._subject.turn(self._turns)

        return self._repeat(turn, self._subject.save, seconds, most)

    def load(self, session_id: str, seconds: float, most: int) -> list[float]:
        """Load a session again and again; the seconds that each took."""
        subject = self._subject
        return self._repeat(lambda: None, lambda: subject.load(session_id), seconds, most)

    def load_in_threads(self, session_ids: list[str], threads: int) -> float:
        """Load sessions in threads, once each; the seconds for all."""
        start = time.monotonic()
        in_threads(threads, self._subject.load, session_ids)
        return time.monotonic() - start

    def transfer(self, what: str, items: list[Any], threads: int) -> float:
        """Get or put bytes, many at once; the seconds it took."""
        start = time.monotonic()
        getattr(self._subject, what)(items, threads)
        return time.monotonic() - start

    def memory_of_listing(self) -> int:
        """List all; the bytes that the listing, and what is kept for the next, take."""
        tracemalloc.start()
        found = self._wait(self._subject.newest(None))
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del found
        return taken

    def newest(self, limit: int | None, expected: int) -> float:
        """List once; the seconds it took."""
        start = time.monotonic()
        found: Any = self._wait(self._subject.newest(limit))
        end = time.monotonic()
        _check(len(found), expected)
        return end - start

    def prune(self, victims: list[str], keep: int) -> tuple[float, float, int]:
        """Prune; when that began and ended, and how many were deleted."""
        start = time.monotonic()
        pruned: Any = self._wait(self._subject.prune(victims, keep))
        return start, time.monotonic(), pruned

    def close(self) -> None:
        self._wait(self._subject.close())

    def _warm_up(self) -> None:
        # What a library does on its first use only is part of starting it.
        place = _beside(self._place)
        self._subject = self._make(place)
        (one,) = ids(1)
        self.fill(SMALL, [one])
        if self._subject.can("newest"):
            self.newest(None, 1)
        self.take(one, SMALL)
        self.save(0, 1)
        self.load(one, 0, 1)
        self.close()
        if not place.startswith(("s3:", "memory:")):
            shutil.rmtree(place)

    def _repeat(
        self,
        before: Callable[[], object],
        run: Callable[[], object],
        seconds: float,
        most: int,
    ) -> list[float]:
        """Run something for so many seconds, but at most so often and at least once."""
        deadline = time.monotonic() + seconds
        if inspect.iscoroutinefunction(self._subject.save):
            return self._loop.run(_repeat_awaited(before, run, deadline, most))
        times: list[float] = []
        clock = time.perf_counter
        while not times or (len(times) < most and time.monotonic() < deadline):
            before()
            start = clock()
            run()
            times.append(clock() - start)
        return times

    def _wait(self, result: Any) -> object:
        if inspect.iscoroutine(result):
            return self._loop.run(result)
        return result


async def _repeat_awaited(
    before: Callable[[], object], run: Callable[[], Any], deadline: float, most: int
) -> list[float]:
    times: list[float] = []
    clock = time.perf_counter
    while not times or (len(times) < most and time.monotonic() < deadline):
        before()
        start = clock()
        await run()
        times.append(clock() - start)
    return times


def _beside(place: str) -> str:
    path, question, query = place.partition("?")
    return f"{path}-{os.getpid()}{question}{query}"


def _check(found: int, expected: int) -> None:
    if found != expected:
        raise AssertionError(f"{found} sessions instead of {expected}")
