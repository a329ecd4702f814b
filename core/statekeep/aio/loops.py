"""What asyncio and trio each do in their own way: taking turns, and waiting for threads."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import deque
from contextlib import nullcontext, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import trio

__all__ = ["Call", "Loop", "Loops", "PerLoop", "Turns"]

T = TypeVar("T")
L = TypeVar("L")


class Call(Generic[T]):
    """A call for a thread to make, on behalf of a waiting task.

    Args:
        function: The function to call.
        ended: What the task awaits.
        tell: Called in the thread when the call has ended.
    """

    _value: T

    def __init__(
        self,
        function: Callable[[], T],
        ended: Any,  # noqa: ANN401
        tell: Callable[[Call[Any]], None],
    ) -> None:
        # If a thread starts the call while its task withdraws it, only one of them gets it.
        self._to_do = [function]
        self._tell = tell
        self._error: BaseException | None = None
        self.ended = ended

    def make(self) -> None:
        """Make the call, unless it was withdrawn."""
        with suppress(IndexError):
            function = self._to_do.pop()
            try:
                self._value = function()
            except BaseException as error:  # noqa: BLE001 - passed to the task, whatever it is
                self._error = error
            del function  # and what it holds, before the task goes on
        self._tell(self)

    def refuse(self, error: BaseException) -> None:
        """End the call without a thread."""
        self._to_do.clear()
        self._error = error
        self._tell(self)

    @property
    def is_withdrawn(self) -> bool:
        """Whether nobody waits for the call anymore; only before it is handed over."""
        return not self._to_do

    def withdraw(self) -> bool:
        """Make sure that the call is never made; return false if it has already begun."""
        with suppress(IndexError):
            self._to_do.pop()
            return True
        return False

    def result(self) -> T:
        """Return the call's result, or raise its error; works once."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame


class Loop(ABC):
    """A running event loop, for tasks that wait for threads.

    Args:
        at_once: How many calls to hand over to threads at once.
        call_soon: Schedules a callback in the loop, from any thread.
    """

    def __init__(self, at_once: int, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._free = at_once
        self._waiting: deque[tuple[Call[Any], Callable[[Call[Any]], object]]] = deque()
        self._ended: deque[Call[Any]] = deque()
        self._is_told = False

    def hand_over(self, call: Call[Any], to: Callable[[Call[Any]], object]) -> None:
        """Hand a call over to a thread as soon as there is room.

        Not immediately: all tasks that start in this iteration of the loop do so before a thread
        does.

        Args:
            call: The call.
            to: Accepts the call, or raises the error that the task will get.
        """
        self._waiting.append((call, to))
        if self._free and len(self._waiting) == 1:
            self._in_next_turn(self._fill)

    @abstractmethod
    def _in_next_turn(self, function: Callable[[], object], /) -> None:
        """Schedule a callback in the loop, from the loop."""

    @abstractmethod
    def call(self, function: Callable[[], T]) -> Call[T]:
        """Create a call for a thread, to wait for in this loop."""

    @staticmethod
    @abstractmethod
    def _wake(ended: Any) -> None:  # noqa: ANN401
        """Wake the task that waits for a call."""

    @abstractmethod
    async def wait(self, call: Call[T]) -> T:
        """Wait for a call; if cancelled before a thread starts it, it is never made."""

    @abstractmethod
    async def wait_to_the_end(self, call: Call[T]) -> T:
        """Like `wait`, but if cancelled while the call is running, wait for its end anyway."""

    @abstractmethod
    async def wait_for_what_must_be(self, call: Call[T]) -> T:
        """Wait for a call that is made whatever happens to the task."""

    def _tell(self, call: Call[Any]) -> None:
        """Tell the loop, from any thread, that a call has ended.

        Scheduling a callback costs more than waking a task, so there is at most one pending.
        """
        self._ended.append(call)
        if not self._is_told:
            self._is_told = True
            with suppress(RuntimeError):  # the loop is gone, and everything that waited in it
                self._call_soon(self._collect)

    def _collect(self) -> None:
        self._is_told = False  # first, so that no call goes unnoticed
        while self._ended:
            self._wake(self._ended.popleft().ended)
            self._free += 1
        self._fill()

    def _fill(self) -> None:
        while self._free and self._waiting:
            call, to = self._waiting.popleft()
            if call.is_withdrawn:
                continue
            self._free -= 1
            try:
                to(call)
            except Exception as error:  # noqa: BLE001 - passed to the task, whatever it is
                call.refuse(error)


class _Asyncio(Loop):
    def __init__(self, at_once: int) -> None:
        import asyncio  # noqa: PLC0415 - costs more than all of statekeep, but is loaded here

        self._asyncio = asyncio
        self._loop = asyncio.get_running_loop()
        super().__init__(at_once, self._loop.call_soon_threadsafe)

    def _in_next_turn(self, function: Callable[[], object], /) -> None:
        self._loop.call_soon(function)

    def call(self, function: Callable[[], T]) -> Call[T]:
        return Call(function, self._loop.create_future(), self._tell)

    @staticmethod
    def _wake(ended: asyncio.Future[None]) -> None:
        if not ended.done():  # otherwise the task was cancelled
            ended.set_result(None)

    async def wait(self, call: Call[T]) -> T:
        try:
            await call.ended
        except self._asyncio.CancelledError:
            call.withdraw()
            raise
        return call.result()

    async def wait_to_the_end(self, call: Call[T]) -> T:
        cancelled = None
        anyio: Any = sys.modules.get("anyio")
        while not call.ended.done():
            # anyio cancels again in every iteration of the loop, until it is told to wait.
            shield = anyio.CancelScope(shield=True) if cancelled and anyio else nullcontext()
            try:
                with shield:
                    await self._asyncio.wait([call.ended])
            except self._asyncio.CancelledError as error:
                cancelled = error
                if call.withdraw():
                    break
        if cancelled is not None:
            raise cancelled
        return call.result()

    async def wait_for_what_must_be(self, call: Call[T]) -> T:
        await call.ended
        return call.result()


class _Trio(Loop):
    def __init__(self, at_once: int) -> None:
        import trio  # noqa: PLC0415 - this is trio's loop

        self._trio = trio
        token = trio.lowlevel.current_trio_token()
        super().__init__(at_once, token.run_sync_soon)

    def _in_next_turn(self, function: Callable[[], object], /) -> None:
        self._call_soon(function)

    def call(self, function: Callable[[], T]) -> Call[T]:
        return Call(function, self._trio.Event(), self._tell)

    @staticmethod
    def _wake(ended: trio.Event) -> None:
        ended.set()

    async def wait(self, call: Call[T]) -> T:
        try:
            await call.ended.wait()
        except self._trio.Cancelled:
            call.withdraw()
            raise
        return call.result()

    async def wait_to_the_end(self, call: Call[T]) -> T:
        try:
            await call.ended.wait()
        except self._trio.Cancelled:
            if not call.withdraw():
                with self._trio.CancelScope(shield=True):
                    await call.ended.wait()
            raise
        return call.result()

    async def wait_for_what_must_be(self, call: Call[T]) -> T:
        with self._trio.CancelScope(shield=True):
            await call.ended.wait()
        return call.result()


class PerLoop(Generic[L]):
    """One object per loop, kept alive only by its users, most of which keep their loop.

    Args:
        make: Creates the object for the running loop.
    """

    def __init__(self, make: Callable[[], L]) -> None:
        self._make = make
        self._made: WeakValueDictionary[object, L] = WeakValueDictionary()
        self._looking = Lock()

    def get(self) -> L:
        """Return the object for the running loop."""
        loop = _running()
        with self._looking:
            made = self._made.get(loop)
            if made is None:
                made = self._made[loop] = self._make()
            return made


class Loops(PerLoop[Loop]):
    """How tasks wait, for each loop.

    Args:
        at_once: How many calls of each loop to hand over at once.
    """

    def __init__(self, at_once: int) -> None:
        super().__init__(lambda: (_Trio if _in_trio() else _Asyncio)(at_once))


class Turns(PerLoop["AbstractAsyncContextManager[object]"]):
    """Lets `size` tasks of each loop run at once; the others wait, in order.

    Args:
        size: The number of tasks.
    """

    def __init__(self, size: int) -> None:
        super().__init__(lambda: _semaphore(size))

    def take(self) -> AbstractAsyncContextManager[object]:
        """Return the context manager that a task of the running loop holds while it runs."""
        return self.get()


def _semaphore(size: int) -> AbstractAsyncContextManager[object]:
    if _in_trio():
        import trio  # noqa: PLC0415 - this is trio's loop

        return trio.Semaphore(size)
    import asyncio  # noqa: PLC0415

    return asyncio.Semaphore(size)


def _running() -> object:
    """Return an object that stands for the running loop."""
    if _in_trio():
        import trio  # noqa: PLC0415 - this is trio's loop

        return trio.lowlevel.current_trio_token()
    import asyncio  # noqa: PLC0415

    return asyncio.get_running_loop()


def _in_trio() -> bool:
    # Check trio first: it can be a guest in a thread that also has an asyncio loop.
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())
