"""What is measured: one interface over statekeep, what others offer, and the bare calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, TypeVar
from urllib.parse import parse_qs, urlsplit

from benchmarks.conversations import as_json, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.conversations import Size
    from statekeep import Session

__all__ = ["Bucket", "Statekeep", "StatekeepBucket", "Subject", "in_threads"]

T = TypeVar("T")


class Subject(ABC):
    """Something that keeps sessions in one place, opened in a process of its own.

    What is measured is `save`, `load`, `newest` and `prune`; any of them may be a coroutine.

    Args:
        place: A folder, or ``s3://bucket/prefix?endpoint_url=…``.
    """

    modules: ClassVar[Sequence[str]] = ()
    """What it imports, so that importing is not measured."""

    most: ClassVar[int] = 1_000_000
    """More sessions than these take too long to store for a measurement."""

    keeps_index: ClassVar[bool] = False
    """Whether the first listing leaves something that makes later ones faster."""

    def __init__(self, place: str) -> None:
        self.place = place

    @abstractmethod
    def fill(self, size: Size, session_ids: list[str]) -> object:
        """Store sessions of one size, oldest first. Not measured."""

    @abstractmethod
    def take(self, session_id: str, size: Size) -> object:
        """Have a stored session at hand, as an agent does. Not measured."""

    @abstractmethod
    def turn(self, number: int) -> object:
        """Let the session at hand have another question and answer. Not measured.

        What stores whole sessions replaces the last ones, so that the session stays as long.
        """

    @abstractmethod
    def save(self) -> object:
        """Store the turn."""

    @abstractmethod
    def load(self, session_id: str) -> object:
        """Read a session with all its messages."""

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
        """Whether there is an equivalent of `newest` or `prune`."""
        return getattr(cls, work) is not getattr(Subject, work)


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
        self._options = options
        self._store = open_store(place, **options)
        self._sessions = Sessions(self._store)
        self._session: Session | None = None

    def fill(self, size: Size, session_ids: list[str]) -> None:
        from statekeep import open_store
        from statekeep.store.keys import session_key

        # Each on the way that is fastest: they are not what is measured.
        store = self._store
        if self._options.get("durability"):
            store = open_store(self.place, durability="rename")
        threads = 32 if self.place.startswith("s3:") else 1
        documents = ((session_key(each), data) for each, data in as_json(size, session_ids))
        in_threads(threads, lambda document: store.put(*document), documents)

    def take(self, session_id: str, size: Size) -> None:  # noqa: ARG002
        self._session = self._sessions.load(session_id)

    def turn(self, number: int) -> None:
        assert self._session is not None
        length = len(self._session.user_messages[-1].content)
        del self._session.user_messages[-1], self._session.agent_responses[-1]
        self._session.add_user_message(text(length, number))
        self._session.add_agent_response(text(length, number))

    def save(self) -> None:
        assert self._session is not None
        self._sessions.save(self._session)

    def load(self, session_id: str) -> object:
        return self._sessions.load(session_id)

    def newest(self, limit: int | None) -> Sequence[object]:
        return self._sessions.list(limit=limit).summaries

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        from statekeep import load_pruner

        report = self._sessions.prune(load_pruner("max-sessions", max_sessions=keep))
        return len(report.pruned)

    def close(self) -> None:
        self._sessions.close()
        self._store.close()


class StatekeepBucket(Statekeep):
    """statekeep on S3."""

    modules: ClassVar[Sequence[str]] = (
        "statekeep.plugins",
        "statekeep_backends.s3.store",
        "statekeep_plugins.pruners",
    )

    def get_many(self, session_ids: list[str], threads: int) -> None:  # noqa: ARG002
        """Read the bytes of sessions as a listing does: as many at once as the store is set to."""
        from statekeep.store import Blob, get_many
        from statekeep.store.keys import session_key

        for key, got in get_many(self._store, map(session_key, session_ids)):
            assert isinstance(got, Blob), (key, got)

    def put_many(self, documents: list[tuple[str, bytes]], threads: int) -> None:
        """Write the bytes of sessions, many at once."""
        from statekeep.store.keys import session_key

        in_threads(threads, lambda one: self._store.put(session_key(one[0]), one[1]), documents)


class Bucket:
    """The parts of an S3 URL, for those who want them one by one."""

    def __init__(self, place: str) -> None:
        split = urlsplit(place)
        self.name = split.netloc
        self.prefix = split.path.strip("/")
        self.endpoint = parse_qs(split.query)["endpoint_url"][0]


def in_threads(threads: int, work: Callable[[T], object], items: Iterable[T]) -> None:
    """Do work for each item, in so many threads."""
    if threads == 1:
        for each in items:
            work(each)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in pool.map(work, items):
            del done
