"""Threads whose results tasks of any event loop can await."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from inspect import iscoroutinefunction
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from statekeep._arguments import checked, refuse_type
from statekeep.aio.loops import Loops
from statekeep.observe.emitter import closed_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from statekeep.aio.loops import Call
    from statekeep.errors import ClosedError

__all__ = ["Pool", "Threads", "run_to_the_end"]

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """A bounded number of threads whose results tasks of any event loop can await.

    However many tasks call at once, only enough calls to keep the threads busy are handed over:
    handing over thousands in one iteration of a loop would block it, because threads that are
    already working take their share of the interpreter.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._executor = ThreadPoolExecutor(self._size, "statekeep")
        self._pid = os.getpid()
        self._loops = Loops(2 * self._size)
        self._calls: deque[Call[Any]] = deque()
        self._working = 0
        self._handing_over = Lock()

    async def run(
        self,
        refusal: Callable[[], Exception],
        function: Callable[[], T],
        /,
        *,
        to_the_end: bool = False,
    ) -> T:
        """Run a call in a thread; if this is cancelled before the call starts, it never runs.

        Args:
            refusal: Returns the error to raise after `shutdown`.
            function: The call.
            to_the_end: If this is cancelled while the call is running, wait for the call first.
        """
        if self._pid != os.getpid():
            self._start()  # threads do not survive a fork
        self.refuse_closed(refusal)
        loop = self._loops.get()
        call = loop.call(partial(copy_context().run, function))
        loop.hand_over(call, partial(self._hand_over, refusal))
        return await (loop.wait_to_the_end if to_the_end else loop.wait)(call)

    def refuse_closed(self, refusal: Callable[[], Exception]) -> None:
        """Raise the given error after `shutdown`."""
        if self._closed:
            raise refusal()

    def shutdown(self) -> None:
        """Stop handing over calls, and wait for running ones; threads end even without the loop."""
        if self._pid != os.getpid():
            self._start()
        with self._handing_over:
            self._closed = True
        self._executor.shutdown()

    def _hand_over(self, refusal: Callable[[], Exception], call: Call[Any]) -> None:
        with self._handing_over:
            self.refuse_closed(refusal)
            # A working thread takes this call, too, which costs less than what an executor does
            # for each call. It cannot end while the lock is held.
            if self._working < self._size:
                self._executor.submit(self._work)
                self._working += 1
            self._calls.append(call)

    def _work(self) -> None:
        """Make calls until there are none left."""
        while True:
            try:
                call = self._calls.popleft()
            except IndexError:
                with self._handing_over:
                    if not self._calls:
                        self._working -= 1
                        return
            else:
                call.make()
                del call  # and its result, before waiting for another


class Threads:
    """A bounded number of threads whose results tasks of any event loop can await.

    `AsyncSessions` and the like have threads of their own. Use this class for what they do not do
    in one operation: several calls of synchronous objects in one hop.

    It works under asyncio and trio, with or without anyio, for several loops at once, and in a
    forked child. Each call has the caller's context variables. A cancelled call ends at once for
    the caller: if it was still waiting for a thread, it never runs; if it was running, it goes on
    and may still take effect. Close it, or use it as an asynchronous context manager.

    Args:
        size: How many calls run at once; further ones wait.

    Raises:
        ValueError: `size` is less than 1.

    Examples:
        >>> import asyncio
        >>> from statekeep import Journals, open_store
        >>> from statekeep.aio import Threads
        >>> def say(journals: Journals) -> int:
        ...     journal = journals.open("ada")
        ...     journal.append(["Hello"])
        ...     return len(journal.read())
        >>> async def main() -> int:
        ...     with open_store("memory:") as store:
        ...         async with Threads() as threads:
        ...             return await threads.run(say, Journals(store, "support"))
        >>> asyncio.run(main())
        1
    """

    @checked
    def __init__(self, size: int = 16) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self._size = size
        self._pool = Pool(size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._size})"

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread and return its result.

        Args:
            function: A plain function, which must not touch the loop.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Raises:
            ClosedError: It was closed; the function was not called.
            TypeError: The function is asynchronous; it was not called.
        """
        call = self._checked(function, *args, **kwargs)
        return await self._pool.run(self._refusal("run"), call)

    async def run_to_the_end(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `run`, but if cancelled while the call is running, first wait for its end.

        So after a cancelled write, the write is done and not still to come.

        Raises:
            ClosedError, TypeError: As in `run`.
        """
        call = self._checked(function, *args, **kwargs)
        return await self._pool.run(self._refusal("run_to_the_end"), call, to_the_end=True)

    async def close(self) -> None:
        """Wait for the running calls, and release the threads.

        Calls that still wait for a thread raise `ClosedError`, and so does every later call.
        Closing twice is fine.
        """
        await run_to_the_end(self._pool.shutdown)

    async def __aenter__(self) -> Self:
        self._pool.refuse_closed(self._refusal("__aenter__"))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _checked(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        if not callable(function):
            refuse_type("function", "a function", function)
        if iscoroutinefunction(function):
            raise TypeError("function: it runs in a thread; give one that is not async")
        return partial(function, *args, **kwargs)

    def _refusal(self, operation: str) -> Callable[[], ClosedError]:
        return partial(closed_error, type(self).__name__, operation, None)


async def run_to_the_end(function: Callable[[], None]) -> None:
    """Run a function in its own thread, whatever happens, and wait for it."""
    loop = Loops(1).get()
    call = loop.call(function)
    Thread(target=call.make, name="statekeep-close").start()
    await loop.wait_for_what_must_be(call)
