"""What the adapters have in common: the store, its journals, and the way there from a loop."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from statekeep import (
    SKIP,
    ClosedError,
    ConflictError,
    InvalidDocumentError,
    Journals,
    open_store,
    repair_text,
)
from statekeep.aio import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
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
    "title_of",
]

P = ParamSpec("P")
T = TypeVar("T")

_HANDLES = 128
"""So many journals an adapter remembers: an append to one of them is a single request."""

_REMEMBERED = 65_536

_TITLE = 80


@contextmanager
def framework(extra: str) -> Iterator[None]:
    """Tell whoever lacks the framework which extra brings it.

    Raises:
        ImportError: What is imported inside is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{error.name} is not installed; pip install 'statekeep[{extra}]' brings it",
            name=error.name,
        ) from error


def title_of(text: str) -> str:
    """A conversation's title, made of what was said first: one short line."""
    words = " ".join(repair_text(text).split())
    return words if len(words) <= _TITLE else f"{words[: _TITLE - 1].rstrip()}…"


def append_objects(
    draft: Draft, objects: Sequence[Any], keys: Sequence[str | None] | None = None
) -> list[bool]:
    """Append objects of JSON as `Draft.append` does; `read_object` reads them.

    One that a journal does not hold as it is goes in as its JSON text: half a character, where a
    text was cut, an integer of more than 64 bits, or what lies too deep.

    Raises:
        InvalidDocumentError: One is nothing that JSON holds, or has more than 16 MiB.
    """
    new: list[bool] = []
    for value, key in zip(objects, keys or [None] * len(objects), strict=True):
        try:
            new += draft.append([value], [key])
        except InvalidDocumentError as error:
            new += draft.append([_as_text(value, error)], [key])
    return new


def read_object(item: Any) -> Any:  # noqa: ANN401
    """What `append_objects` appended as this item."""
    return json.loads(item) if isinstance(item, str) else item


def _as_text(value: object, refused: InvalidDocumentError) -> str:
    with suppress(RecursionError, TypeError, ValueError):
        text = json.dumps(value)
        if json.loads(text) == value:
            return text
    raise refused


def erase(journal: Journal, check: Callable[[Draft], object]) -> None:
    """Delete a journal, and at once all that it ever held.

    Args:
        journal: Which one; what is made anew under its name meanwhile stays.
        check: Raises if it must not be deleted; also asked of a journal that is not there.
    """

    def clear(draft: Draft) -> object:
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
    """What was put under the latest 65,536 texts. Safe under threads."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, name: str, default: T) -> T:
        """Return what was put under a text."""
        return self._values.get(name, default)

    def put(self, name: str, value: T) -> None:
        """Remember a value, perhaps in the place of another."""
        self._values[name] = value
        with suppress(KeyError):  # another thread may come between
            self._values.move_to_end(name)
            if len(self._values) > _REMEMBERED:
                self._values.popitem(last=False)


class Adapter:
    """Base of the adapters: opens the store, keeps handles, and runs calls in threads.

    Safe under threads and tasks, of several loops as well. Whoever is cancelled while a call runs
    waits for its outcome first.

    Args:
        store: Where conversations are kept. A store stays open; one that is opened by its URL is
            closed with the adapter.
        collection: The collection of journals.
        user_id: Whom new conversations belong to; those of others are refused.
        retention: As for `statekeep.Journals`.
        observers: As for `statekeep.Journals`.
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
        self._opened = open_store(store) if isinstance(store, str) else None
        self._user_id = user_id
        try:
            self._journals = Journals(
                store if self._opened is None else self._opened,  # type: ignore[arg-type]
                collection,
                retention=retention,
                observers=observers,
            )
        except BaseException:
            if self._opened is not None:
                self._opened.close()
            raise
        self._threads = Threads()
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._handles: OrderedDict[tuple[str, ...], tuple[Journal, Lock]] = OrderedDict()
        self._looking = Lock()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._journals.store})"

    def close(self) -> None:
        """Close the adapter, and the store if it was opened by its URL. Twice is fine."""
        self._closed = True
        self._journals.close()
        if self._opened is not None:
            self._opened.close()

    async def aclose(self) -> None:
        """As `close`, once the calls that run have ended."""
        if not self._closed:
            self._closed = True
            await self._threads.run_to_the_end(self.close)
        await self._threads.close()

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
        """Run a call in a thread, and wait for its outcome even when cancelled."""
        if self._closed:
            raise ClosedError(f"this {type(self).__name__} was closed", store=self._journals.store)
        return await self._threads.run_to_the_end(function, *args, **kwargs)

    def _on(self, name: tuple[str, ...], work: Callable[[Journal], T]) -> T:
        """Work on a journal, which is remembered; one call at a time for each.

        One that was deleted, or made anew, since it was remembered is looked at once more.
        """
        if self._pid != os.getpid():
            self._start()  # whoever held a lock is not in this process
        with self._looking:
            handle = self._handles.pop(name, None) or (self._open(name), Lock())
            self._handles[name] = handle
            if len(self._handles) > _HANDLES:
                self._handles.popitem(last=False)
        journal, lock = handle
        with lock:
            try:
                return work(journal)
            except ConflictError as error:
                if error.landed != "no":
                    raise
            with self._looking:
                self._handles.pop(name, None)
        return work(self._open(name))

    def _open(self, name: tuple[str, ...]) -> Journal:
        return self._journals.open(*name, user_id=self._user_id)
