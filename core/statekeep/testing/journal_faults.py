"""Tests of journals when any single call to the store fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pytest

from statekeep import Journals, StateStoreError, UnavailableError
from statekeep.store import ANY, StoreWrapper
from statekeep.testing.checks import refusal
from statekeep.testing.faults import FaultyStore
from statekeep.testing.journal_checks import COLLECTION, KEY, NAME, small_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep import Journal, StateStore, Version
    from statekeep.journals import Draft
    from statekeep.store import Blob, Entry, Expect, ExpectSeen

__all__ = ["JournalFaults"]

T = TypeVar("T")

_MOST_CALLS = 40
_BEFORE = [[number, "x" * 30] for number in range(8)]


class _Write(NamedTuple):
    """An operation, the journal's items before it, and those after it; None for no journal."""

    do: Callable[[Journal], object]
    before: list[Any] | None
    after: list[Any] | None


def _changing(change: Callable[[Draft], object]) -> Callable[[Journal], object]:
    return lambda journal: journal.change(change)


_WRITES: dict[str, _Write] = {
    "create": _Write(lambda journal: journal.create([9]), None, [9]),
    "first append": _Write(lambda journal: journal.append([9]), None, [9]),
    "append": _Write(lambda journal: journal.append([9]), _BEFORE, [*_BEFORE, 9]),
    "append with a key": _Write(
        lambda journal: journal.append([9], key="request"), _BEFORE, [*_BEFORE, 9]
    ),
    "append of a segment": _Write(
        lambda journal: journal.append(["x" * 700]), _BEFORE, [*_BEFORE, "x" * 700]
    ),
    "append of metadata": _Write(
        lambda journal: journal.append([], set={"k": 1}), _BEFORE, _BEFORE
    ),
    "pop": _Write(_changing(lambda draft: draft.pop()), _BEFORE, _BEFORE[:-1]),
    "replace": _Write(_changing(lambda draft: draft.replace(0, 0)), _BEFORE, [0, *_BEFORE[1:]]),
    "truncate": _Write(_changing(lambda draft: draft.truncate(3)), _BEFORE, _BEFORE[:3]),
    "clear": _Write(_changing(lambda draft: draft.clear()), _BEFORE, []),
    "delete": _Write(lambda journal: journal.delete(), _BEFORE, None),
}

_READS: dict[str, Callable[[Journals], object]] = {
    "read": lambda journals: journals.open(*NAME).read(),
    "read of the last": lambda journals: journals.open(*NAME).read(last=3),
    "head": lambda journals: journals.open(*NAME).head(),
    "heads": lambda journals: [*journals.heads()],
    "list": lambda journals: [*journals.list()],
}

# What another worker does after the failed call, and the items then, without the failed append.
_OTHERS: dict[str, tuple[Callable[[Journals], object], list[Any] | None]] = {
    "nothing": (lambda _: None, _BEFORE),
    "append": (lambda journals: journals.open(*NAME).append(["theirs"]), [*_BEFORE, "theirs"]),
    "many appends": (
        lambda journals: [journals.open(*NAME).append(["theirs", "x" * 90]) for _ in range(12)],
        _BEFORE + ["theirs", "x" * 90] * 12,
    ),
    "clear": (lambda journals: journals.open(*NAME).change(lambda draft: draft.clear()), []),
    "delete": (lambda journals: journals.open(*NAME).delete(), None),
    "recreate": (
        lambda journals: (journals.open(*NAME).delete(), journals.open(*NAME).append(["theirs"])),
        ["theirs"],
    ),
}


@pytest.mark.usefixtures("_detects")
class JournalFaults:
    """The part of `JournalsContract` about a store whose calls fail."""

    @pytest.mark.parametrize("kind", ["before", "after"])
    @pytest.mark.parametrize("what", _WRITES)
    def test_a_failed_write_says_correctly_whether_it_landed(
        self, store: StateStore, what: str, kind: str
    ) -> None:
        write = _WRITES[what]
        for warm in (False, True):
            for at in range(_MOST_CALLS):
                with small_bounds():
                    _prepare(store, write.before)
                    fails = _Fails(store, after=kind == "after")
                    journal = Journals(fails, COLLECTION).open(*NAME)
                    if warm:
                        journal.head()
                    fails.at = at
                    landed = _attempt(partial(write.do, journal), what)
                    fails.at = None
                found = _what_is_there(store, f"a failure {kind} call {at + 1} of a {what}")
                allowed = {"yes": [write.after], "no": [write.before]}.get(
                    landed, [write.before, write.after]
                )
                assert found in allowed, (
                    f"a failure {kind} call {at + 1} of a {what}: landed is {landed!r}, but the "
                    f"journal is {found!r:.200}"
                )
                again = None if write.after is None else journal.read()
                assert again is None or again == found, (
                    f"a failure {kind} call {at + 1} of a {what}: its handle reads {again!r:.80}"
                )
                if not fails.happened:
                    break
            else:
                pytest.fail(f"an operation ({what}) takes more than {_MOST_CALLS} calls")

    @pytest.mark.parametrize("kind", ["before", "after"])
    @pytest.mark.parametrize("others", _OTHERS)
    def test_whether_an_append_landed_is_looked_up_and_never_guessed(
        self, store: StateStore, others: str, kind: str
    ) -> None:
        act, without = _OTHERS[others]
        for bound in (False, True):
            for at in range(_MOST_CALLS):
                with small_bounds():
                    _prepare(store, _BEFORE)
                    fails = _Fails(
                        store, after=kind == "after", then=lambda: act(Journals(store, COLLECTION))
                    )
                    journal = Journals(fails, COLLECTION).open(*NAME)
                    if bound:
                        journal.append([], set={"k": 1})
                    fails.at = at
                    landed = _attempt(lambda: journal.append([9]), "append")  # noqa: B023
                    fails.at = None
                when = f"a failure {kind} call {at + 1} of an append, and then {others}"
                found = _what_is_there(store, when)
                rest = found and [item for item in found if item != 9]
                count = (found or []).count(9)
                there = without if fails.happened else _BEFORE
                assert count <= 1, f"{when}: it is there {count} times"
                assert not (landed == "no" and count), (
                    f"{when}: it landed, though the error says it did not"
                )
                if others in {"delete", "recreate"} and fails.happened:
                    # A new journal may get it only if none was seen before and it was not sent.
                    assert not (count and (bound or fails.sent)), (
                        f"{when}: it was appended to another journal"
                    )
                    assert landed == "unknown" or not fails.sent, (
                        f"{when}: nobody can know whether it landed, but the error says {landed!r}"
                    )
                    rest = rest or there
                else:
                    assert landed != "unknown", (
                        f"{when}: whether it landed can be known, but the error says {landed!r}"
                    )
                    if others == "clear" and fails.landed:
                        assert not count, f"{when}: the cleared item is back"
                    else:
                        assert count or landed == "no", (
                            f"{when}: the error says {landed!r}, but it is not there"
                        )
                assert rest == there, f"{when}: apart from it, the journal is {rest!r:.200}"
                if not fails.happened:
                    break
            else:
                pytest.fail(f"an append takes more than {_MOST_CALLS} calls")

    @pytest.mark.parametrize("kind", ["before", "after"])
    @pytest.mark.parametrize("what", _READS)
    def test_a_read_is_complete_or_raises(self, store: StateStore, what: str, kind: str) -> None:
        with small_bounds():
            _prepare(store, [*_BEFORE, *_BEFORE])
        read = _READS[what]
        expected = read(Journals(store, COLLECTION))
        for at in range(_MOST_CALLS):
            fails = _Fails(store, after=kind == "after")
            fails.at = at
            found = _read_or_error(partial(read, Journals(fails, COLLECTION)))
            if isinstance(found, UnavailableError):
                said = found.landed
                assert said is None, f"the error of a read ({what}) says landed={said!r}"
            else:
                assert found == expected, (
                    f"a read ({what}) on a failing store returned {found!r:.200}"
                )
            if not fails.happened:
                return
        pytest.fail(f"an operation ({what}) takes more than {_MOST_CALLS} calls")

    @pytest.mark.parametrize("seed", [1, 2])
    def test_threads_on_a_failing_store_neither_lose_nor_repeat_items(
        self, store: StateStore, seed: int
    ) -> None:
        faulty = FaultyStore(store, seed=seed, before=0.1, after=0.1, throttled=0.02, burst=2)

        def work(worker: int) -> list[tuple[list[Any], str]]:
            journal = Journals(faulty, COLLECTION).open(*NAME)
            items = [[worker, number, "x" * 20] for number in range(12)]
            return [(item, _attempt(lambda: journal.append([item]), "append")) for item in items]  # noqa: B023

        with small_bounds(), ThreadPoolExecutor(3) as pool:
            told = [each for worker in pool.map(work, range(3)) for each in worker]
        found = Journals(store, COLLECTION).open(*NAME).read() or []
        for item, landed in told:
            count = found.count(item)
            wanted = {"yes": {1}, "no": {0}}.get(landed, {0, 1})
            assert count in wanted, (
                f"landed of an append is {landed!r}, but its item is there {count} times"
            )
        assert len(found) == len({tuple(item) for item in found}), "an item is there twice"
        for worker in range(3):
            numbers = [item[1] for item in found if item[0] == worker]
            assert numbers == sorted(numbers), f"a worker's appends are out of order: {numbers}"
        assert faulty.faults, "no call failed"


def _prepare(store: StateStore, items: list[Any] | None) -> None:
    """Recreate the journal with several writes."""
    journal = Journals(store, COLLECTION).open(*NAME)
    journal.delete()
    for item in items or []:
        journal.append([item])


def _what_is_there(store: StateStore, when: str) -> list[Any] | None:
    try:
        return Journals(store, COLLECTION).open(*NAME).read()
    except StateStoreError as error:
        raise AssertionError(f"{when}: the journal can no longer be read: {error}") from error


def _attempt(call: Callable[[], object], what: str) -> str:
    """Make a call and return what the caller is told about whether it landed."""
    error = refusal(call)
    if error is None:
        return "yes"
    landed = error.landed
    assert landed is not None, f"the error does not say whether the {what} landed: {error!r}"
    return landed


def _read_or_error(call: Callable[[], object]) -> object:
    try:
        return call()
    except UnavailableError as error:
        return error


class _Fails(StoreWrapper):
    """A store that fails one call, before or after it takes effect.

    Attributes:
        at: The number of calls before the one that fails; None if none fails.
        happened: Whether a call has failed.
        sent: Whether that call was to write the head.
        landed: Whether it did write it.
    """

    def __init__(
        self, inner: StateStore, *, after: bool, then: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(inner)
        self._after = after
        self._then = then
        self.at: int | None = None
        self.happened = self.sent = self.landed = False

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        return self._call(key, lambda: self._inner.get(key))

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        return self._call(key, lambda: self._inner.put(key, data, expect=expect), sends=key == KEY)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        self._call(key, lambda: self._inner.delete(key, expect=expect))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        return iter(self._call(prefix, lambda: [*self._inner.scan(prefix)]))

    def _call(self, key: str, call: Callable[[], T], *, sends: bool = False) -> T:
        fails = self.at == 0
        self.at = None if self.at is None or fails else self.at - 1
        if not fails:
            return call()
        self.happened, self.sent = True, sends
        if self._after:
            with suppress(StateStoreError):  # whatever the response, it is lost
                call()
                self.landed = sends
        self._then()
        raise UnavailableError("a fault was injected: no response", key=key, store=self)
