"""What the adapters share: the store, its journals, and how to call them from an event loop."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from statekeep import (
    SKIP,
    ConflictError,
    Journals,
    open_store,
)
from statekeep.aio.loops import Turns
from statekeep.aio.threads import Pool, run_to_the_end
from statekeep.config import load_settings
from statekeep.config.opening import configured_journal_retention
from statekeep.journals.items import read_object, storable
from statekeep.observe.emitter import closed_error
from statekeep_plugins.layouts.titles import title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from statekeep import Journal, Retention, StateStore
    from statekeep.events import Observer
    from statekeep.journals import Draft

__all__ = [
    "Adapter",
    "Recent",
    "append_objects",
    "erase",
    "framework",
    "read_object",
    "storable",
    "title_of",
]

P = ParamSpec("P")
T = TypeVar("T")

_HANDLES = 128
"""How many journals an adapter remembers: appending to one of them is a single request."""

_AT_ONCE = 16
"""How many calls run at once, each in its own thread."""

_REMEMBERED = 65_536


@contextmanager
def framework(extra: str) -> Iterator[None]:
    """Tell users without the framework which extra to install.

    Raises:
        ImportError: Something imported in the block is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{error}; install it with pip install 'statekeep[{extra}]'", name=error.name
        ) from error


def append_objects(
    draft: Draft, objects: Sequence[Any], keys: Sequence[str | None] | None = None
) -> list[bool]:
    """Append JSON values, each encoded by `storable`; `read_object` decodes them.

    Raises:
        InvalidDocumentError: JSON cannot hold one of them, or it is larger than 16 MiB.
    """
    return draft.append([storable(value) for value in objects], keys)


def erase(journal: Journal, check: Callable[[Draft], object]) -> None:
    """Delete a journal and everything that it ever held, at once.

    Args:
        journal: The journal; one that is recreated under its name in the meantime stays.
        check: Raises if the journal must not be deleted; also called if there is no journal, but
            not for one that an earlier attempt has emptied.
    """

    def clear(draft: Draft) -> object:
        if draft.exists and not (draft.length or draft.metadata):
            return SKIP  # emptied by an earlier attempt
        check(draft)
        if not draft.exists:
            return SKIP
        draft.clear()
        draft.metadata.clear()
        draft.forget = True
        return None

    journal.change(clear)
    head = journal.head()
    if head is not None and not (head.length or head.metadata):
        with suppress(ConflictError):
            journal.delete(expect=head.version)


class Recent(Generic[T]):
    """Remembers values by name, the latest 65,536 of them. Thread-safe."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, name: str, default: T) -> T:
        """Return the value for a name."""
        return self._values.get(name, default)

    def put(self, name: str, value: T) -> None:
        """Remember a value, replacing the one with that name."""
        self._values[name] = value
        with suppress(KeyError):  # another thread may have removed it
            self._values.move_to_end(name)
            if len(self._values) > _REMEMBERED:
                self._values.popitem(last=False)


class _Handle:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.users = 0
        self.lock = RLock()  # an observer may call back
        self.turns = Turns(1)


class Adapter:
    """Base class of the adapters: opens the store, keeps handles, and runs calls in threads.

    Safe to use from several threads, tasks and event loops. A task that is cancelled while a call
    is running first waits for its outcome.

    Args:
        store: The store for the conversations. A store stays open; one that is opened by its URL
            is closed with the adapter.
        collection: The collection of journals.
        user_id: The user who owns new conversations; those of other users are refused.
        retention: As in `statekeep.Journals`; by default, if `store` is a URL, what is configured
            for the collection.
        observers: As in `statekeep.Journals`.
    """

    def __init__(
        self,
        store: StateStore | str,
        collection: str,
        *,
        user_id: str | None = None,
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        configured = None
        if isinstance(store, str) and retention is None:
            configured = configured_journal_retention(load_settings(), collection)
        self._opened = open_store(store) if isinstance(store, str) else None
        self._user_id = user_id
        try:
            self._journals = Journals(
                store if self._opened is None else self._opened,  # type: ignore[arg-type]
                collection,
                retention=retention,
                journal_retention=configured,
                observers=observers,
            )
        except BaseException:
            if self._opened is not None:
                self._opened.close()
            raise
        self._threads = Pool(_AT_ONCE)
        self._start()

    def _start(self) -> None:
        self._handles: OrderedDict[tuple[str, ...], _Handle] = OrderedDict()
        self._looking = Lock()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._journals.store})"

    def close(self) -> None:
        """Wait for running calls, and close the store if it was opened by its URL.

        Closing twice is fine.
        """
        self._threads.shutdown()
        self._journals.close()
        if self._opened is not None:
            self._opened.close()

    async def aclose(self) -> None:
        """Like `close`; if cancelled, it does not wait, but closing goes on."""
        await run_to_the_end(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in a thread, and wait for its outcome even if cancelled."""
        call = partial(function, *args, **kwargs)
        refusal = partial(closed_error, type(self).__name__, "call", self._journals.store)
        return await self._threads.run(refusal, call, to_the_end=True)

    async def _run_on(self, name: tuple[str, ...], work: Callable[[Journal], T]) -> T:
        """Like `_on`, but in a thread, which is taken only once it is the call's turn."""
        async with self._turn(name):
            return await self._run(self._on, name, work)

    def _turn(self, name: tuple[str, ...]) -> AbstractAsyncContextManager[object]:
        """Return the context manager that a task holds while it works on a journal."""
        with self._handle(name) as handle:
            return handle.turns.take()

    def _on(self, name: tuple[str, ...], work: Callable[[Journal], T]) -> T:
        """Work on a journal, and remember its handle; one call at a time for each.

        If the journal was deleted or recreated since it was remembered, the work is retried once.
        """
        with self._handle(name) as handle, handle.lock:
            try:
                return work(handle.journal)
            except ConflictError as error:
                if error.landed != "no":
                    raise
            handle.journal = self._open(name)
            return work(handle.journal)

    @contextmanager
    def _handle(self, name: tuple[str, ...]) -> Iterator[_Handle]:
        """Yield the handle of a journal, which is not forgotten while in use."""
        if self._pid != os.getpid():
            self._start()  # after a fork, nothing would release the parent's locks
        with self._looking:
            handle = self._handles.pop(name, None) or _Handle(self._open(name))
            self._handles[name] = handle
            handle.users += 1
            if len(self._handles) > _HANDLES:
                oldest = (old for old, each in self._handles.items() if not each.users)
                if (old := next(oldest, None)) is not None:
                    del self._handles[old]
        try:
            yield handle
        finally:
            with self._looking:
                handle.users -= 1

    def _open(self, name: tuple[str, ...]) -> Journal:
        return self._journals.open(*name, user_id=self._user_id)
