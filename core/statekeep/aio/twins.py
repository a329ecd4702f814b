"""What the asynchronous twins share."""

from __future__ import annotations

from datetime import timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from statekeep._arguments import checked
from statekeep.aio.threads import Pool, run_to_the_end
from statekeep.observe.emitter import closed_error

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from statekeep.errors import ClosedError
    from statekeep.store.protocol import StateStore

    class Synchronous(Protocol):
        """A class that has a twin."""

        @property
        def store(self) -> StateStore:
            """The underlying store."""
            ...

    class Closable(Synchronous, Protocol):
        """A class that prunes in the background until it is closed."""

        def close(self, timeout: timedelta = ...) -> None:
            """Stop pruning."""
            ...


__all__ = ["ClosingTwin", "Hopping", "Twin", "hop"]

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
W = TypeVar("W", bound="Synchronous")
C = TypeVar("C", bound="Closable")


class Hopping(Generic[S]):
    """Runs the methods of a synchronous object in threads."""

    def __init__(self, sync: S, threads: Pool, store: StateStore, owner: str) -> None:
        self._sync: S = sync
        self._threads = threads
        self._store = store
        self._owner = owner

    async def _run(self, method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = partial(method, *args, **kwargs)
        return await self._threads.run(self._refusal(method.__name__), call)

    def _refusal(self, operation: str) -> Callable[[], ClosedError]:
        return partial(closed_error, self._owner, operation, self._store)


def hop(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[Hopping[S], P], Coroutine[Any, Any, T]]:
    """Wrap a method as a coroutine function with the same signature that runs in a thread."""

    @wraps(method)
    async def run(self: Hopping[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(method, self._sync, *args, **kwargs)

    return run


class Twin(Hopping[W]):
    """The twin of a synchronous object, with its own threads."""

    def __init__(self, sync: W, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        super().__init__(sync, Pool(workers), sync.store, type(self).__name__)

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"

    @property
    def store(self) -> StateStore:
        """The underlying store."""
        return self._store

    async def close(self) -> None:
        """Wait for the running operations, and release the threads; the store stays open.

        Operations that still wait for a thread raise `ClosedError`, and so does every later call.
        Closing twice is fine.
        """
        await run_to_the_end(self._threads.shutdown)

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


class ClosingTwin(Twin[C]):
    """The twin of an object that must itself be closed."""

    async def close(self, timeout: timedelta = timedelta(seconds=30)) -> None:  # noqa: ASYNC109
        """Wait for the running operations, and close the synchronous object.

        This goes on in a thread if it is cancelled. Operations that still wait for a thread raise
        `ClosedError`, and so does every later call. Closing twice is fine.

        Args:
            timeout: How long to wait for a running background prune.
        """
        await run_to_the_end(self._closing(timeout))

    @checked
    def _closing(self, timeout: timedelta) -> Callable[[], None]:
        def close() -> None:
            self._threads.shutdown()
            self._sync.close(timeout)

        return close
