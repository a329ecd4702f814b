"""Checks shared by the contracts, with assertions that say what is wrong."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from statekeep.errors import ConflictError, StateStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from statekeep.store import Blob, StateStore

__all__ = [
    "compare_keys",
    "holds",
    "is_gone",
    "lists",
    "names",
    "one_wins",
    "race",
    "read",
    "refusal",
    "shown",
]

_FEW = 3
_SHORT = 40


def read(store: StateStore, key: str) -> Blob:
    """What is under a key; there must be something.

    Raises:
        AssertionError: There is nothing.
    """
    blob = store.get(key)
    assert blob is not None, f"{key!r} was written, but a get says that it is not there"
    return blob


def holds(store: StateStore, data: bytes, key: str) -> None:
    """There must be these bytes under a key.

    Raises:
        AssertionError: There is nothing, or something else.
    """
    found = read(store, key).data
    # Compare first, because pytest takes a minute to explain how long bytes differ.
    equal = found == data
    assert equal, f"{key!r} should hold {shown(data)} and holds {shown(found)}"


def is_gone(store: StateStore, key: str) -> None:
    """There must be nothing under a key.

    Raises:
        AssertionError: There is something.
    """
    found = store.get(key)
    assert found is None, f"{key!r} should not be there and holds {shown(found.data)}"


def lists(
    store: StateStore,
    keys: Iterable[str],
    prefix: str = "",
    *,
    besides: Collection[str] = (),
    when: str = "",
) -> None:
    """A scan must list these keys, each once, and no other.

    Args:
        store: The store to scan.
        keys: The keys that must be listed.
        prefix: The prefix to scan.
        besides: Keys that may be listed as well, even twice, because they come and go meanwhile.
        when: What was going on, for the message.

    Raises:
        AssertionError: It lists others.
    """
    compare_keys((each.key for each in store.scan(prefix)), keys, prefix, besides, when)


def compare_keys(
    found: Iterable[str],
    keys: Iterable[str],
    prefix: str = "",
    besides: Collection[str] = (),
    when: str = "",
) -> None:
    """Compare what a scan found with what it must find; see `lists`."""
    counts, wanted = Counter(found), set(keys)
    missing = sorted(wanted - counts.keys())
    twice = sorted(key for key in wanted if counts[key] > 1)
    foreign = sorted(counts.keys() - wanted - set(besides))
    wrong = [
        f"{what} {len(each)} ({', '.join(map(repr, each[:_FEW]))}{', …' * (len(each) > _FEW)})"
        for what, each in (
            ("misses", missing),
            ("repeats", twice),
            ("lists, though not there or not a document:", foreign),
        )
        if each
    ]
    scan = f"a scan of {prefix!r}" if prefix else "a scan"
    assert not wrong, f"{scan}{when} of {len(wanted)} documents {'; '.join(wrong)}"


def shown(data: bytes) -> str:
    """Bytes for a message: in full if short, else their length and a hash."""
    if len(data) <= _SHORT:
        return repr(data)
    return f"{len(data)} bytes (SHA-256 {hashlib.sha256(data).hexdigest()[:12]}…)"


def refusal(operation: Callable[[], object]) -> StateStoreError | None:
    """The store's error, if it raises one; no other exception is caught."""
    try:
        operation()
    except StateStoreError as error:
        return error
    return None


def names(error: StateStoreError, key: str) -> None:
    """An error must name its key and its store; a wrapping store may name the one inside.

    Raises:
        AssertionError: It does not name them.
    """
    assert error.key == key, f"the error is of {key!r} and names {error.key!r}: {error!r}"
    assert error.store, f"the error does not name the store: {error!r}"


def race(attempts: Iterable[Callable[[], object]]) -> list[int]:
    """Make all attempts at once; return the indices of those that met no conflict."""
    racers = list(attempts)
    gate = threading.Barrier(len(racers))

    def run(attempt: Callable[[], object]) -> bool:
        gate.wait()
        try:
            attempt()
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(len(racers)) as pool:
        return [number for number, won in enumerate(pool.map(run, racers)) if won]


def one_wins(attempts: Iterable[Callable[[], object]], what: str) -> int:
    """Make all attempts at once; exactly one must succeed.

    Args:
        attempts: The calls that race.
        what: A name for them, for the message.

    Returns:
        The index of that one.

    Raises:
        AssertionError: None succeeds, or several do.
    """
    racers = list(attempts)
    wins = race(racers)
    assert len(wins) == 1, f"{len(wins)} of {len(racers)} {what} won, instead of one"
    return wins[0]
