"""One at a time: who goes on, and what time it is, is decided here and nowhere else."""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Crash", "Process", "Scheduler", "Task"]

T = TypeVar("T")

_MOST_STEPS = 20_000
"""A history that takes more is stuck."""


class Crash(BaseException):
    """The process was killed: unwinds its threads, past every ``except Exception``."""


class Process:
    """What is killed as a whole, and has a clock of its own.

    Attributes:
        offset: By how many microseconds its clock is ahead.
        alive: Whether it still runs.
    """

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self.alive = True


class Task(Generic[T]):
    """A thread of a process.

    Attributes:
        process: The process.
        operation: What it is at.
        done: Whether it has ended.
    """

    def __init__(self, process: Process, operation: T) -> None:
        self.process = process
        self.operation = operation
        self.done = False
        self.turn = threading.Lock()
        self.turn.acquire()


class Scheduler(Generic[T]):
    """Runs tasks one at a time, in the order of the moments at which they want to go on.

    There is no chance in it: the same tasks that sleep equally long run in the same order.

    Attributes:
        now: Microseconds since the beginning: the true time, which no clock need show.
        current: The task that runs.
        broken: What escaped from tasks.
    """

    def __init__(self) -> None:
        self.now = 0
        self.current: Task[T]
        self.broken: list[BaseException] = []
        self._waiting: list[tuple[int, int, Task[T] | Callable[[], object]]] = []
        self._numbers = count()
        self._finished = threading.Semaphore(0)

    def start(
        self, process: Process, operation: T, work: Callable[[], object], *, after: int = 0
    ) -> Task[T]:
        """Let a new task begin after some microseconds."""
        task = Task(process, operation)
        threading.Thread(target=self._run, args=(task, work), daemon=True).start()
        self._wait(after, task)
        return task

    def later(self, after: int, act: Callable[[], object]) -> None:
        """Do something that takes no time, after some microseconds, whoever runs then."""
        self._wait(after, act)

    def sleep(self, microseconds: int) -> None:
        """Let others run meanwhile.

        Raises:
            Crash: The process was killed, meanwhile or before.
        """
        task = self.current
        self.check()
        self._wait(microseconds, task)
        following = self._following()
        if following is not task and following is not None:
            following.turn.release()
            task.turn.acquire()
        self.check()

    def check(self) -> None:
        """Go no further in a process that was killed.

        Raises:
            Crash: It was.
        """
        if not self.current.process.alive:
            raise Crash

    def crash(self) -> None:
        """Kill the process that runs.

        Raises:
            Crash: Always.
        """
        self.current.process.alive = False
        raise Crash

    def run(self) -> None:
        """Run until all tasks have ended and nothing is left to be done later."""
        if following := self._following():
            following.turn.release()
            self._finished.acquire()

    def _run(self, task: Task[T], work: Callable[[], object]) -> None:
        task.turn.acquire()
        try:
            work()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 - the history reports it
            self.broken.append(error)
        task.done = True
        if following := self._following():
            following.turn.release()
        else:
            self._finished.release()

    def _wait(self, microseconds: int, who: Task[T] | Callable[[], object]) -> None:
        heappush(self._waiting, (self.now + microseconds, next(self._numbers), who))

    def _following(self) -> Task[T] | None:
        while self._waiting:
            moment, number, who = heappop(self._waiting)
            self.now = moment
            if isinstance(who, Task):
                if number > _MOST_STEPS:
                    who.process.alive = False
                    self.broken = self.broken or [TimeoutError("the history does not end")]
                self.current = who
                return who
            who()
        return None
