"""Sessions and documents for programs with an event loop.

The stores are synchronous. Here each operation is handed over whole to a thread: one hop, not one
for each file or request that it needs. The threads belong to no loop, so asyncio and trio can wait
for them, with or without anyio, and several loops at once.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from functools import partial, wraps
from threading import Lock
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from weakref import WeakValueDictionary

from statekeep._arguments import checked
from statekeep.config.opening import settings_for
from statekeep.documents.documents import Document, Documents
from statekeep.observe.emitter import closed_error
from statekeep.sessions.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from statekeep.config.settings import Settings
    from statekeep.errors import ClosedError
    from statekeep.format.json import RepairText
    from statekeep.observe.events import Observer
    from statekeep.retention.types import Retention
    from statekeep.store.protocol import StateStore
    from statekeep.store.transfer import ConflictPolicy

__all__ = ["AsyncDocuments", "AsyncSessions"]

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", Sessions, Documents)


class _Threads:
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
        # Kept by those who hold or await it alone: a semaphore keeps its loop.
        self._turns: WeakValueDictionary[object, AbstractAsyncContextManager[object]]
        self._turns = WeakValueDictionary()
        self._handing_over = Lock()

    async def run(self, refusal: Callable[[], Exception], function: Callable[[], T], /) -> T:
        """Run a call in a thread; if this is cancelled before the call is, it never runs.

        Args:
            refusal: What to raise after `shutdown`.
            function: The call.
        """
        if self._pid != os.getpid():
            self._start()  # a fork takes no threads along
        self.refuse_closed(refusal)
        async with self._turn():
            # All who wait for their turn do so before the first thread begins.
            await _checkpoint()
            call = partial(copy_context().run, _without_stop, function)
            with self._handing_over:
                self.refuse_closed(refusal)
                future = self._executor.submit(call)
            return await _result_of(future)

    def _turn(self) -> AbstractAsyncContextManager[object]:
        loop, limit = _running_loop()
        with self._handing_over:
            return self._turns.setdefault(loop, limit(2 * self._size))

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


class _Async(Generic[S]):
    def __init__(self, sync: S, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self._sync: S = sync
        self._threads = _Threads(workers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._sync.store})"

    @property
    def store(self) -> StateStore:
        """The store below."""
        return self._sync.store

    async def close(self) -> None:
        """Wait for the operations that threads have, and give those back; the store stays open.

        What still waits for a thread raises `ClosedError`, and so does whatever else is called
        afterwards. Closing twice is fine.
        """
        await _run_to_the_end(self._threads.shutdown)

    async def _run(self, method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._threads.run(
            self._refusal(method.__name__), partial(method, *args, **kwargs)
        )

    def _refusal(self, operation: str) -> Callable[[], ClosedError]:
        return partial(closed_error, type(self).__name__, operation, self.store)

    async def __aenter__(self) -> Self:
        self._threads.refuse_closed(self._refusal("__aenter__"))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _hop(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[_Async[S], P], Coroutine[Any, Any, T]]:
    """The same method with the same signature, run in a thread."""

    @wraps(method)
    async def hop(self: _Async[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(method, self._sync, *args, **kwargs)

    return hop


class AsyncSessions(_Async[Sessions]):
    """`Sessions` for programs with an event loop: the same methods, to be awaited.

    Each call runs whole in one of its own threads, with the caller's context variables; so do the
    functions given to it (the `change` of `update`, the `progress` of `prune`) and the observers.
    They are plain functions and must not touch the loop.

    A call that is cancelled ends at once for the caller. If it still waited for a thread, it never
    runs. If it was running, it goes on and may still be stored: load the session again before
    changing it further. `close` waits for such calls, and refuses those that wait for a thread.

    It may be used from several event loops. `close` it, or use it as an asynchronous context
    manager. A store that it is given it does not close; `open` opens one that it does.

    Args:
        store: As for `Sessions`.
        conflicts: As for `Sessions`.
        observers: As for `Sessions`.
        retention: As for `Sessions`.
        workers: How many operations run at once; others wait for their turn.

    Raises:
        UnsupportedError: As for `Sessions`.
        ValueError: There are no workers.

    Example:
        >>> import asyncio
        >>> from statekeep import AsyncSessions, open_store
        >>> async def main() -> int:
        ...     with open_store("memory:") as store:
        ...         async with AsyncSessions(store) as sessions:
        ...             session = await sessions.get_or_create("ada", "plan")
        ...             session.add_user_message("Hello")
        ...             await sessions.save(session)
        ...             return len(await sessions.list(user_id="ada"))
        >>> asyncio.run(main())
        1
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        *,
        conflicts: ConflictPolicy = "detect",
        observers: Iterable[Observer] = (),
        retention: Retention | None = None,
        workers: int = 16,
    ) -> None:
        super().__init__(
            Sessions(store, conflicts=conflicts, observers=observers, retention=retention), workers
        )

    async def close(self, timeout: timedelta = timedelta(seconds=30)) -> None:  # noqa: ASYNC109
        """Wait for the operations that threads have, and do what `Sessions.close` does.

        That goes on in a thread if the wait is cancelled. What still waits for a thread raises
        `ClosedError`, and so does whatever else is called afterwards. Closing twice is fine.

        Args:
            timeout: How long to wait for a prune that runs, as in `Sessions.close`.
        """
        await _run_to_the_end(self._closing(timeout))

    @checked
    def _closing(self, timeout: timedelta) -> Callable[[], None]:
        def close() -> None:
            self._threads.shutdown()
            self._sync.close(timeout)

        return close

    @classmethod
    def open(cls, config: str | os.PathLike[str] | Settings | None = None) -> Self:
        """Open what a deployment configured; use it as a context manager, or close it.

        What `Sessions.open` does. It reads the configuration and imports the backend, so call it
        where a program starts. No connection is made before the first use.

        Args:
            config: As for `Sessions.open`.

        Raises:
            ConfigError, PluginError, UnsupportedError: As `Sessions.open`.

        Example:
            >>> import asyncio
            >>> async def main() -> None:
            ...     async with AsyncSessions.open("memory:") as sessions:
            ...         print(len(await sessions.list()))
            >>> asyncio.run(main())
            0
        """
        settings = settings_for(config)
        made = cls.__new__(cls)
        _Async.__init__(made, Sessions.open(settings), settings.async_workers)
        return made

    load = _hop(Sessions.load)
    save = _hop(Sessions.save)
    update = _hop(Sessions.update)
    get_or_create = _hop(Sessions.get_or_create)
    delete = _hop(Sessions.delete)
    restore = _hop(Sessions.restore)
    list_trash = _hop(Sessions.list_trash)
    empty_trash = _hop(Sessions.empty_trash)
    list = _hop(Sessions.list)
    expire = _hop(Sessions.expire)
    pin = _hop(Sessions.pin)
    unpin = _hop(Sessions.unpin)
    plan_prune = _hop(Sessions.plan_prune)
    prune = _hop(Sessions.prune)


class AsyncDocuments(_Async[Documents]):
    """`Documents` for programs with an event loop: the same methods, to be awaited.

    Threads, cancelling and closing are as with `AsyncSessions`.

    Args:
        store: As for `Documents`.
        observers: As for `Documents`.
        workers: How many operations run at once; others wait for their turn.

    Raises:
        ValueError: There are no workers.
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        *,
        observers: Iterable[Observer] = (),
        workers: int = 16,
    ) -> None:
        super().__init__(Documents(store, observers=observers), workers)

    save_json = _hop(Documents.save_json)

    # A decorator cannot carry the overloads over.
    @overload
    async def load_json(
        self, category: str, name: str, *, repair_text: RepairText = ...
    ) -> Document[Any] | None: ...
    @overload
    async def load_json(
        self, category: str, name: str, *, type: type[T], repair_text: RepairText = ...
    ) -> Document[T] | None: ...
    @overload
    async def load_json(
        self,
        category: str,
        name: str,
        *,
        type: Any,  # noqa: ANN401
        repair_text: RepairText = ...,
    ) -> Document[Any] | None: ...
    async def load_json(
        self,
        category: str,
        name: str,
        *,
        type: Any = None,  # noqa: A002
        repair_text: RepairText = "refuse",
    ) -> Document[Any] | None:
        """See `Documents.load_json`."""
        return await self._run(
            self._sync.load_json, category, name, type=type, repair_text=repair_text
        )

    save_markdown = _hop(Documents.save_markdown)
    load_markdown = _hop(Documents.load_markdown)
    update = _hop(Documents.update)
    list = _hop(Documents.list)
    delete = _hop(Documents.delete)


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


async def _run_to_the_end(function: Callable[[], None]) -> None:
    """Run in a thread of its own what must be run, and wait for it."""
    executor = ThreadPoolExecutor(1, "statekeep-close")
    future = executor.submit(function)
    executor.shutdown(wait=False)
    await _end_of(future)


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
    import trio  # noqa: PLC0415 - whose loop this is

    ended = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def wake(_: object) -> None:
        with suppress(trio.RunFinishedError):  # nobody waits any more
            token.run_sync_soon(ended.set)

    future.add_done_callback(wake)
    try:
        await ended.wait()
    finally:
        future.cancel()
