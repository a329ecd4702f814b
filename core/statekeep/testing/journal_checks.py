"""Checks shared by the journal contracts, with assertions that say what is wrong."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from statekeep.format.contents import BOUNDS
from statekeep.store import Blob, StoreWrapper
from statekeep.store.keys import journal_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from statekeep import Journal, Journals, JournalSummary, StateStore

__all__ = [
    "COLLECTION",
    "KEY",
    "NAME",
    "Meanwhile",
    "Watching",
    "appended_once",
    "in_order",
    "is_gone",
    "lists",
    "refuses",
    "says",
    "small_bounds",
]

E = TypeVar("E", bound=Exception)

COLLECTION: Final = "contract"
NAME: Final = ("ada", "thread/17")
KEY: Final = journal_key(COLLECTION, NAME)

_FEW = 8


@contextmanager
def small_bounds(lines: int = 700, kept: int = 300, merged: int = 1500) -> Iterator[None]:
    """Make journals in this process write segments after a few items, and merge them early.

    Args:
        lines: The maximum size of a head's lines, in bytes.
        kept: The size of the newest lines that stay when older ones move to a segment.
        merged: The size up to which segments are merged.
    """
    before = astuple(BOUNDS)
    BOUNDS.lines, BOUNDS.kept, BOUNDS.merged = lines, kept, merged
    try:
        yield
    finally:
        for field, value in zip(fields(BOUNDS), before, strict=True):
            setattr(BOUNDS, field.name, value)


def says(journals: Journals, expected: Sequence[Any], *, handle: Journal | None = None) -> None:
    """Check that the journal has these items.

    Raises:
        AssertionError: It does not.
    """
    found = (handle or journals.open(*NAME)).read()
    assert found is not None, f"a journal of {len(expected)} items is missing"
    equal = found == [*expected]  # compare first, because pytest explains long lists slowly
    assert equal, f"a journal of {_shown(expected)} is read as {_shown(found)}"


def is_gone(journals: Journals) -> None:
    """Check that there is no journal.

    Raises:
        AssertionError: There is one.
    """
    found = journals.open(*NAME).read()
    assert found is None, f"there should be no journal, but there is one of {_shown(found)}"


def appended_once(journals: Journals, expected: Sequence[Any], when: str) -> None:
    """Like `says`, after appends whose keys were known.

    Raises:
        AssertionError: It does not.
    """
    found = journals.open(*NAME).read()
    assert found == [*expected], (
        f"{when} used keys must still be known, but a journal of {_shown(expected)} is read "
        f"as {_shown(found or [])}"
    )


def in_order(journals: Journals, workers: int, times: int) -> None:
    """Check that each worker's numbers are there once and in order, however interleaved.

    Raises:
        AssertionError: Something is lost, duplicated or out of order.
    """
    found = journals.open(*NAME).read() or []
    for worker in range(workers):
        numbers = [item[1] for item in found if item[0] == worker]
        lost = len(set(range(times)) - set(numbers))
        assert not lost, f"{lost} of a worker's {times} acknowledged appends are lost"
        twice = len(numbers) - len(set(numbers))
        assert not twice, f"{twice} of a worker's {times} appends are there twice"
        assert numbers == [*range(times)], f"a worker's appends are out of order: {numbers}"
    assert len(found) == workers * times, (
        f"there are {len(found)} items instead of {workers * times}"
    )


def lists(listing: Iterable[JournalSummary], names: Iterable[tuple[str, ...]]) -> None:
    """Check that a listing has these journals, in any order.

    Raises:
        AssertionError: It does not.
    """
    found = sorted(summary.name for summary in listing)
    assert found == sorted(names), f"the journals are listed as {found} but are {sorted(names)}"


def refuses(call: Callable[[], object], error: type[E] | tuple[type[E], ...], what: str) -> E:
    """Check that a call raises this error, and return it.

    Raises:
        AssertionError: It does not.
    """
    wanted = getattr(error, "__name__", error)
    try:
        found = call()
    except error as caught:
        return caught
    except Exception as caught:
        raise AssertionError(
            f"{what}: expected {wanted}, but this was raised: {caught!r}"
        ) from caught
    raise AssertionError(f"{what} should be refused ({wanted}) but returned {str(found)[:80]}")


class Meanwhile(StoreWrapper):
    """A store that makes a call right after the first read of a document."""

    def __init__(self, inner: StateStore, key: str, happens: Callable[[], object]) -> None:
        super().__init__(inner)
        self._key = key
        self._happens = [happens]

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        blob = super().get(key)
        while key == self._key and self._happens:
            self._happens.pop()()
        return blob


class Watching:
    """Reads continuously in a thread, and checks that no item it has seen disappears.

    Use it as a context manager; leaving it raises the error if a check failed.

    Args:
        journals: The journals to read from.
        name: The name of the journal to read; by default, the contract's.

    Attributes:
        looks: How often the journal was found with items.
    """

    def __init__(self, journals: Journals, *name: str) -> None:
        self._journals = journals
        self._name = name or NAME
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._error: Exception | None = None
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _watch(self) -> None:
        seen: list[Any] = []
        journal: Journal = self._journals.open(*self._name)
        try:
            while not self._done.is_set():
                found = journal.read() or []
                assert found[: len(seen)] == seen, "a reader no longer sees what it saw before"
                last = self._journals.open(*self._name).read(last=3) or []
                assert len(last) >= min(3, len(found)), f"the last of {len(found)} items are {last}"
                seen = found
                self.looks += bool(found)
        except Exception as error:  # noqa: BLE001 - raised again by __exit__
            self._error = error


def _shown(items: Sequence[Any]) -> str:
    few = ", ".join(f"{item!r:.40}" for item in items[-_FEW:])
    return f"{len(items)} items ({'… ' * (len(items) > _FEW)}{few})"
