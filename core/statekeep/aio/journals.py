"""`Journals` for programs with an event loop."""

from __future__ import annotations

import os
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from statekeep._arguments import checked
from statekeep.aio.loops import Turns
from statekeep.aio.twins import ClosingTwin, Hopping, hop
from statekeep.journals.journal import Journal
from statekeep.journals.journals import Journals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from statekeep.aio.threads import Pool
    from statekeep.journals.draft import Draft
    from statekeep.observe.events import Observer
    from statekeep.retention.types import Retention
    from statekeep.store.protocol import StateStore
    from statekeep.store.transfer import ConflictPolicy

__all__ = ["AsyncJournal", "AsyncJournals"]

P = ParamSpec("P")
T = TypeVar("T")

_TIMEOUT = timedelta(seconds=30)


class AsyncJournal(Hopping[Journal]):
    """`Journal` for programs with an event loop: the same methods, to be awaited.

    `AsyncJournals.open` returns one. Calls on it run one after the other, in the order in which
    they were made, no matter how many tasks make them.
    """

    def __init__(self, sync: Journal, threads: Pool, store: StateStore, owner: str) -> None:
        super().__init__(sync, threads, store, owner)
        self._start()

    def _start(self) -> None:
        self._turns = Turns(1)
        # Also held by calls that go on after their task was cancelled, and by other loops.
        self._at_work = Lock()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"

    @property
    def name(self) -> tuple[str, ...]:
        """The journal's name in the collection."""
        return self._sync.name

    async def _run(self, method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._pid != os.getpid():
            self._start()  # whatever held the lock is not in this process

        def call() -> T:
            with self._at_work:
                return method(*args, **kwargs)

        self._sync._refuse_nested()  # noqa: SLF001 - it would deadlock
        async with self._turns.take():
            return await self._threads.run(self._refusal(method.__name__), call)

    head = hop(Journal.head)
    create = hop(Journal.create)
    append = hop(Journal.append)
    load = hop(Journal.load)
    read = hop(Journal.read)
    attach = hop(Journal.attach)
    attachments = hop(Journal.attachments)
    detach = hop(Journal.detach)
    pin = hop(Journal.pin)
    unpin = hop(Journal.unpin)
    expire = hop(Journal.expire)
    delete = hop(Journal.delete)

    # A decorator cannot preserve the type variable.
    async def change(
        self,
        fn: Callable[[Draft], T],
        *,
        create: bool = True,
        timeout: timedelta = _TIMEOUT,  # noqa: ASYNC109 - how long to keep retrying
    ) -> T:
        """See `Journal.change`; the function runs in a thread."""
        return await self._run(self._sync.change, fn, create=create, timeout=timeout)

    async def fork(self, *name: str, upto: int | None = None) -> AsyncJournal:
        """See `Journal.fork`."""
        made = await self._run(self._sync.fork, *name, upto=upto)
        return AsyncJournal(made, self._threads, self._store, self._owner)


class AsyncJournals(ClosingTwin[Journals]):
    """`Journals` for programs with an event loop: the same methods, to be awaited.

    Threads, cancellation and closing work as in `AsyncSessions`.

    Args:
        store: As in `Journals`.
        collection: As in `Journals`.
        conflicts: As in `Journals`.
        observers: As in `Journals`.
        retention: As in `Journals`.
        journal_retention: As in `Journals`.
        workers: How many operations run at once; further ones wait.

    Raises:
        UnsupportedError, InvalidKeyError: As in `Journals`.
        ValueError: `workers` is less than 1.

    Examples:
        >>> import asyncio
        >>> from statekeep import AsyncJournals, open_store
        >>> async def main() -> list[str]:
        ...     with open_store("memory:") as store:
        ...         async with AsyncJournals(store, "support") as journals:
        ...             journal = journals.open("ada", "thread-17")
        ...             await journal.append(["Hello"])
        ...             return await journal.read(last=1)
        >>> asyncio.run(main())
        ['Hello']
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        collection: str,
        *,
        conflicts: ConflictPolicy = "detect",
        observers: Iterable[Observer] = (),
        retention: Retention | None = None,
        journal_retention: Mapping[str, Retention | None] | None = None,
        workers: int = 16,
    ) -> None:
        super().__init__(
            Journals(
                store,
                collection,
                conflicts=conflicts,
                observers=observers,
                retention=retention,
                journal_retention=journal_retention,
            ),
            workers,
        )

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._sync.collection

    def open(self, *name: str, user_id: str | None = None) -> AsyncJournal:
        """Return a handle to the journal of that name, which need not exist; see `Journals.open`.

        Not a coroutine, because it sends no request.
        """
        journal = self._sync.open(*name, user_id=user_id)
        return AsyncJournal(journal, self._threads, self._store, self._owner)

    list = hop(Journals.list)
    count = hop(Journals.count)
    heads = hop(Journals.heads)
    delete_below = hop(Journals.delete_below)
    plan_prune = hop(Journals.plan_prune)
    prune = hop(Journals.prune)
    restore = hop(Journals.restore)
    list_trash = hop(Journals.list_trash)
    empty_trash = hop(Journals.empty_trash)
    sweep = hop(Journals.sweep)
