"""What is measured: one interface over statekeep, the original, others and bare calls."""

from __future__ import annotations

import gc
import inspect
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, urlsplit

from benchmarks.conversations import documents, turn

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from benchmarks.conversations import Size
    from statekeep import Session

__all__ = [
    "AtOnce",
    "Bucket",
    "Cost",
    "Statekeep",
    "StatekeepBucket",
    "StatekeepFile",
    "Subject",
    "is_on_server",
]


class Cost(NamedTuple):
    """Seconds.

    Attributes:
        wall: That passed.
        cpu: That processors worked, for the user and in the kernel, in all threads.
    """

    wall: float
    cpu: float

    def __add__(self, other: object) -> Cost:
        assert isinstance(other, Cost)
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, count: int) -> Cost:
        return Cost(self.wall / count, self.cpu / count)


def is_on_server(place: str) -> bool:
    """Whether a place is none of the filesystem."""
    return "://" in place or place.startswith("memory:")


class Subject(ABC):
    """Something that keeps sessions in one place, opened in a process of its own.

    What is measured is done to all sessions that are at hand, one after the other: `create`,
    `load`, `update` and `turn`; or to all that are stored: `newest` and `prune`. Any of these may
    be a coroutine.

    Args:
        place: A folder, or ``s3://bucket/prefix?endpoint_url=…``.
    """

    modules: ClassVar[Sequence[str]] = ()
    """What it imports, so that importing is not measured."""

    keeps_index: ClassVar[bool] = False
    """Whether the first listing leaves something that makes later ones faster."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.loop: asyncio.Runner
        self._turns = 0
        self.documents: list[tuple[str, bytes]] = []
        self.numbers = range(0)

    def prepare(self, size: Size, count: int, first: int = 0) -> None:
        """Have sessions at hand that are not stored yet. Not measured."""
        self.size, self.first = size, first
        self.documents = [*documents(size, count, first)]
        self.numbers = range(count)
        for number in range(count):
            self.make(number)

    def change(self) -> None:
        """Let each session that is worked on have another question and answer. Not measured.

        What stores whole sessions replaces the last ones, so that the session stays as long.
        """
        self._turns += 1
        for number in self.numbers:
            self.add(number, *turn(self.size, self.first + number, self._turns))

    def measure(self, work: str, *arguments: Any) -> tuple[Cost, Any]:
        """Do one kind of work; what it costs in all, and its result."""
        gc.collect()
        gc.freeze()  # what is at hand is the benchmark's, and nobody's to collect
        start = Cost(time.perf_counter(), time.process_time())
        result = self._do(work, *arguments)
        cost = Cost(time.perf_counter(), time.process_time()) - start
        gc.unfreeze()
        return cost, result

    def _do(self, work: str, *arguments: Any) -> Any:
        if work not in {"create", "load", "turn", "update"}:
            result = getattr(self, work)(*arguments)
            return self.loop.run(result) if inspect.iscoroutine(result) else result
        each = getattr(self, work)
        if inspect.iscoroutinefunction(each):
            return self.loop.run(_await_all(each, self.numbers))
        for number in self.numbers:
            each(number)
        return None

    @abstractmethod
    def make(self, number: int) -> None:
        """Have a session at hand. Not measured."""

    @abstractmethod
    def add(self, number: int, question: str, answer: str) -> None:
        """Add an exchange to a session at hand. Not measured."""

    @abstractmethod
    def create(self, number: int) -> object:
        """Store a session that is new."""

    @abstractmethod
    def update(self, number: int) -> object:
        """Store a session's turn."""

    @abstractmethod
    def load(self, number: int) -> object:
        """Read a session with all its messages."""

    def turn(self, number: int) -> object:
        """Load a session, add a message, and store it."""
        raise NotImplementedError

    def newest(self, limit: int | None) -> object:
        """The newest sessions, or all, as a sequence of something for each."""
        raise NotImplementedError

    def prune(self, victims: list[str], keep: int) -> object:
        """Delete the oldest sessions, which are these, and keep so many; how many were deleted."""
        raise NotImplementedError

    def close(self) -> object:
        """Give back what was opened."""
        return None

    @classmethod
    def can(cls, work: str) -> bool:
        """Whether there is an equivalent of some work."""
        return getattr(cls, work) is not getattr(Subject, work)


async def _await_all(each: Any, numbers: range) -> None:
    for number in numbers:
        await each(number)


class Statekeep(Subject):
    """statekeep itself.

    Args:
        place: A folder, ``memory:`` or an S3 URL.
        options: Of the backend.
    """

    modules: ClassVar[Sequence[str]] = (
        "statekeep.plugins",
        "statekeep_backends.local",
        "statekeep_backends.memory",
        "statekeep_plugins.pruners",
    )
    keeps_index = True

    def __init__(self, place: str, **options: str) -> None:
        from statekeep import Sessions, open_store

        super().__init__(place)
        self._store = open_store(place, **options)
        self._sessions = Sessions(self._store)
        self._at_hand: dict[int, Session] = {}

    def make(self, number: int) -> None:
        from statekeep import Session

        session = self._at_hand[number] = Session.from_json(self.documents[number][1])
        assert session.messages  # which makes them

    def add(self, number: int, question: str, answer: str) -> None:
        session = self._at_hand[number]
        del session.user_messages[-1], session.agent_responses[-1]
        session.add_user_message(question)
        session.add_agent_response(answer)

    def create(self, number: int) -> None:
        self._sessions.save(self._at_hand[number])

    update = create  # the session knows which version it is

    def load(self, number: int) -> object:
        loaded = self._sessions.load(self.documents[number][0])
        assert loaded is not None
        return loaded

    def turn(self, number: int) -> None:
        session = self._sessions.load(self.documents[number][0])
        assert session is not None
        session.add_user_message("go on")
        self._sessions.save(session)

    def newest(self, limit: int | None) -> Sequence[object]:
        return self._sessions.list(limit=limit).summaries

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        from statekeep import load_pruner

        report = self._sessions.prune(load_pruner("max-sessions", max_sessions=keep))
        return len(report.pruned)

    def close(self) -> None:
        self._sessions.close()
        self._store.close()


class StatekeepFile(Statekeep):
    """statekeep in a SQLite file."""

    modules: ClassVar[Sequence[str]] = (
        "statekeep.plugins",
        "statekeep_backends.sqlite",
        "statekeep_plugins.pruners",
    )
    keeps_index = False

    def __init__(self, place: str, **options: str) -> None:
        super().__init__(f"sqlite:{place}/state.db", **options)


class StatekeepBucket(Statekeep):
    """statekeep on S3."""

    modules: ClassVar[Sequence[str]] = (
        "statekeep.plugins",
        "statekeep_backends.s3.store",
        "statekeep_plugins.pruners",
    )


class AtOnce(StatekeepBucket):
    """All operations on S3 begun at once, by tasks of a loop.

    Args:
        place: An S3 URL.
        by: ``"statekeep"`` for its asynchronous classes, or ``"asyncio"`` for the synchronous ones
            in threads of asyncio's executor.
    """

    modules: ClassVar[Sequence[str]] = (
        *StatekeepBucket.modules,
        "asyncio",
        "concurrent.futures.thread",
        "obstore.store",
        "statekeep.aio",
    )

    def __init__(self, place: str, by: str) -> None:
        super().__init__(place, client="obstore")
        self._by = by

    async def save_all(self) -> None:
        await self._all(self._sessions.save, [*self._at_hand.values()])

    async def load_all(self) -> None:
        await self._all(self._sessions.load, [name for name, _ in self.documents])

    async def _all(self, method: Callable[[Any], object], arguments: Sequence[object]) -> None:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        from statekeep import AsyncSessions

        if self._by == "statekeep":
            async with AsyncSessions(self._store) as sessions:
                run = getattr(sessions, method.__name__)
                await asyncio.gather(*map(run, arguments))
            return
        call = asyncio.get_running_loop().run_in_executor
        with ThreadPoolExecutor(16) as threads:  # as many as `AsyncSessions` has
            await asyncio.gather(*(call(threads, method, each) for each in arguments))


class Bucket:
    """The parts of an S3 URL, for those who want them one by one."""

    def __init__(self, place: str) -> None:
        split = urlsplit(place)
        self.name = split.netloc
        self.prefix = split.path.strip("/")
        self.endpoint = parse_qs(split.query)["endpoint_url"][0]
