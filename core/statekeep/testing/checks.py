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
    """Get a document, which must be there.

    Raises:
        AssertionError: It is not there.
    """
    blob = store.get(key)
    assert blob is not None, f"{key!r} was written, but a get does not find it"
    return blob


def holds(store: StateStore, data: bytes, key: str) -> None:
    """Check that a key holds these bytes.

    Raises:
        AssertionError: It does not.
    """
    found = read(store, key).data
    # Compare first, because pytest takes a minute to explain how long bytes differ.
    equal = found == data
    assert equal, f"{key!r} should hold {shown(data)} but holds {shown(found)}"


def is_gone(store: StateStore, key: str) -> None:
    """Check that there is no document under a key.

    Raises:
        AssertionError: There is one.
    """
    found = store.get(key)
    assert found is None, f"{key!r} should not be there but holds {shown(found.data)}"


def lists(
    store: StateStore,
    keys: Iterable[str],
    prefix: str = "",
    *,
    besides: Collection[str] = (),
    when: str = "",
) -> None:
    """Check that a scan lists these keys, each once, and no others.

    Args:
        store: The store to scan.
        keys: The keys that must be listed.
        prefix: The prefix to scan.
        besides: Keys that may or may not be listed, even twice, because they come and go meanwhile.
        when: What was going on, for the message.

    Raises:
        AssertionError: It does not.
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
    """Describe bytes for a message: in full if short, otherwise their length and hash."""
    if len(data) <= _SHORT:
        return repr(data)
    return f"{len(data)} bytes (SHA-256 {hashlib.sha256(data).hexdigest()[:12]}…)"


def refusal(operation: Callable[[], object]) -> StateStoreError | None:
    """Call an operation and return the `StateStoreError` it raises, if any."""
    try:
        operation()
    except StateStoreError as error:
        return error
    return None


def names(error: StateStoreError, key: str) -> None:
    """Check that an error names its key and a store; a wrapper may name its inner store.

    Raises:
        AssertionError: It does not.
    """
    assert error.key == key, f"the error is about {key!r} but names {error.key!r}: {error!r}"
    assert error.store, f"the error does not name the store: {error!r}"


def race(attempts: Iterable[Callable[[], object]]) -> list[int]:
    """Make all attempts at once and return the indices of those without a conflict."""
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
    """Make all attempts at once and check that exactly one succeeds.

    Args:
        attempts: The calls that race.
        what: A name for them, for the message.

    Returns:
        The index of the one that succeeded.

    Raises:
        AssertionError: None succeeds, or several do.
    """
    racers = list(attempts)
    wins = race(racers)
    assert len(wins) == 1, f"{len(wins)} of {len(racers)} {what} won, instead of one"
    return wins[0]
