"""Threads whose results tasks of any event loop can wait for."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from contextvars import copy_context
from functools import partial
from inspect import iscoroutinefunction
from threading import Lock
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar
from weakref import WeakValueDictionary

from statekeep._arguments import checked, refuse_type
from statekeep.observe.emitter import closed_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    import trio

    from statekeep.errors import ClosedError

__all__ = ["Pool", "Threads", "Turns", "run_to_the_end"]

P = ParamSpec("P")
T = TypeVar("T")


class Turns:
    """Lets so many tasks of each loop go on at once; the others wait, in order.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # Kept by those who hold or await it alone: a semaphore keeps its loop.
        self._limits: WeakValueDictionary[object, AbstractAsyncContextManager[object]]
        self._limits = WeakValueDictionary()
        self._looking = Lock()

    def take(self) -> AbstractAsyncContextManager[object]:
        """What a task of the running loop holds while it goes on."""
        loop, limit = _running_loop()
        with self._looking:
            return self._limits.setdefault(loop, limit(self._size))


class Pool:
    """A bounded executor whose results tasks of any event loop can wait for.

    However many tasks call at once, only so many calls are handed over as keep the threads busy:
    handing over thousands in one turn of a loop would hold it up, since the threads that work
    already take their share of the interpreter.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._executor = ThreadPoolExecutor(self._size, "statekeep")
        self._pid = os.getpid()
        self._turns = Turns(2 * self._size)
        self._handing_over = Lock()

    async def run(
        self,
        refusal: Callable[[], Exception],
        function: Callable[[], T],
        /,
        *,
        to_the_end: bool = False,
    ) -> T:
        """Run a call in a thread; if this is cancelled before the call is, it never runs.

        Args:
            refusal: What to raise after `shutdown`.
            function: The call.
            to_the_end: If this is cancelled while the call runs, wait for it first.
        """
        if self._pid != os.getpid():
            self._start()  # a fork takes no threads along
        self.refuse_closed(refusal)
        async with self._turns.take():
            # All who wait for their turn do so before the first thread begins.
            await _checkpoint()
            call = partial(copy_context().run, _without_stop, function)
            with self._handing_over:
                self.refuse_closed(refusal)
                future = self._executor.submit(call)
            return await (_outcome_of if to_the_end else _result_of)(future)

    def refuse_closed(self, refusal: Callable[[], Exception]) -> None:
        """Raise what is given after `shutdown`."""
        if self._closed:
            raise refusal()

    def shutdown(self) -> None:
        """Hand over nothing more, and wait for what was: threads end also without the loop."""
        if self._pid != os.getpid():
            self._start()
        with self._handing_over:
            self._closed = True
        self._executor.shutdown()


class Threads:
    """A bounded number of threads whose results tasks of any event loop can wait for.

    `AsyncSessions` and the others have some of their own. These are for what they do not do in one
    operation: several calls of synchronous objects in one hop.

    They work under asyncio and trio, with anyio or without it, for several loops at once, and in a
    forked child. Each call has the caller's context variables. A call that is cancelled ends at
    once for the caller: if it still waited for a thread, it never runs; if it was running, it goes
    on, and may still have its effect. Close them, or use them as an asynchronous context manager.

    Args:
        size: How many calls run at once; others wait for their turn.

    Raises:
        ValueError: There are no threads.

    Example:
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
        """Call a function in a thread and give what it returns.

        Args:
            function: A plain function, which must not touch the loop.
            args: Its arguments.
            kwargs: Its arguments by name.

        Raises:
            ClosedError: After `close`; it did not run.
            TypeError: The function is asynchronous; it did not run.
        """
        call = self._checked(function, *args, **kwargs)
        return await self._pool.run(self._refusal("run"), call)

    async def run_to_the_end(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `run`; but who is cancelled while the call runs waits for it, and is cancelled then.

        So whoever goes on after a cancelled write finds it done, and not still to come.

        Raises:
            ClosedError, TypeError: As `run`.
        """
        call = self._checked(function, *args, **kwargs)
        return await self._pool.run(self._refusal("run_to_the_end"), call, to_the_end=True)

    async def close(self) -> None:
        """Wait for the calls that threads have, and give those back.

        What still waits for a thread raises `ClosedError`, and so does whatever else is called
        afterwards. Closing twice is fine.
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
            raise TypeError("function: it is called in a thread; give one that is not async")
        return partial(function, *args, **kwargs)

    def _refusal(self, operation: str) -> Callable[[], ClosedError]:
        return partial(closed_error, type(self).__name__, operation, None)


async def run_to_the_end(function: Callable[[], None]) -> None:
    """Run in a thread of its own what must be run, and wait for it."""
    executor = ThreadPoolExecutor(1, "statekeep-close")
    future = executor.submit(function)
    executor.shutdown(wait=False)
    await _end_of(future)


def _without_stop(function: Callable[[], T]) -> T:
    # asyncio takes no StopIteration for a result, and would wait for ever.
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


async def _result_of(future: Future[T]) -> T:
    """Wait for a call in a thread; if this is cancelled while the call is queued, it never runs."""
    if _in_trio():
        await _end_in_trio(future)
        return future.result()
    import asyncio  # noqa: PLC0415 - costs more than all of statekeep, and here it is loaded

    return await asyncio.wrap_future(future)


async def _outcome_of(future: Future[T]) -> T:
    """Wait for a call in a thread; if this is cancelled while it runs, wait nevertheless."""
    if _in_trio():
        import trio  # noqa: PLC0415 - whose loop this is

        ended = _event_in_trio(future)
        try:
            await ended.wait()
        except trio.Cancelled:
            if not future.cancel():
                with trio.CancelScope(shield=True):
                    await ended.wait()
            raise
        return future.result()
    import asyncio  # noqa: PLC0415

    waiting, cancelled = asyncio.wrap_future(future), None
    anyio: Any = sys.modules.get("anyio")
    while not waiting.done():
        # anyio cancels again at each turn of the loop, until it is told to wait.
        shield = anyio.CancelScope(shield=True) if cancelled and anyio else nullcontext()
        try:
            with shield:
                await asyncio.wait([waiting])
        except asyncio.CancelledError as error:
            future.cancel()  # which does nothing to a call that runs
            cancelled = error
    if cancelled is not None:
        if not waiting.cancelled():
            waiting.exception()  # or asyncio says that nobody asked for it
        raise cancelled
    return waiting.result()


async def _end_of(future: Future[None]) -> None:
    """Wait for what must be run whatever happens to the task."""
    if _in_trio():
        import trio  # noqa: PLC0415 - whose loop this is

        with trio.CancelScope(shield=True):
            await _end_in_trio(future)
        return future.result()
    import asyncio  # noqa: PLC0415

    return await asyncio.shield(asyncio.wrap_future(future))


async def _checkpoint() -> None:
    if _in_trio():
        import trio  # noqa: PLC0415

        await trio.lowlevel.checkpoint()
    else:
        import asyncio  # noqa: PLC0415

        await asyncio.sleep(0)


def _running_loop() -> tuple[object, Callable[[int], AbstractAsyncContextManager[object]]]:
    """What stands for the loop that runs, and its kind of semaphore."""
    if _in_trio():
        import trio  # noqa: PLC0415

        return trio.lowlevel.current_trio_token(), trio.Semaphore
    import asyncio  # noqa: PLC0415

    return asyncio.get_running_loop(), asyncio.Semaphore


def _in_trio() -> bool:
    # Asked first: trio can be a guest in a thread that also has a loop of asyncio.
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


async def _end_in_trio(future: Future[Any]) -> None:
    try:
        await _event_in_trio(future).wait()
    finally:
        future.cancel()


def _event_in_trio(future: Future[Any]) -> trio.Event:
    """What tasks of the running loop can wait for until the call has ended."""
    import trio  # noqa: PLC0415 - whose loop this is

    ended = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def wake(_: object) -> None:
        with suppress(trio.RunFinishedError):  # nobody waits any more
            token.run_sync_soon(ended.set)

    future.add_done_callback(wake)
    return ended
