"""Corners of journals: what meets what, and what must not be lost there."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import (
    ABSENT,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    Journals,
    OwnershipError,
    UnavailableError,
)
from statekeep.aio import AsyncJournals
from statekeep.format.contents import BOUNDS
from statekeep.format.journal import MAX_KEYS, decode_head
from statekeep.journals import committing, writing
from statekeep.store.keys import SEGMENTS, journal_key
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from statekeep.journals import Draft
    from statekeep.store import Blob


class Store(MemoryStore):
    """Counts what is read, calls something before a segment is, and may not delete."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self.before: Callable[[], object] | None = None
        self.refuses_to_delete = False

    def get(self, key: str) -> Blob | None:
        if key.startswith(SEGMENTS):
            self.read.append(key)
            if self.before is not None:
                before, self.before = self.before, None
                thread = threading.Thread(target=before)  # somebody else's
                thread.start()
                thread.join()
        return super().get(key)

    def delete(self, key: str, **expect: Any) -> None:
        if self.refuses_to_delete:
            raise UnavailableError("503", key=key, store=self, landed="no")
        super().delete(key, **expect)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(BOUNDS, "lines", 1000)
    monkeypatch.setattr(BOUNDS, "kept", 300)
    return Store()


@pytest.fixture
def journals(store: Store) -> Journals:
    return Journals(store, "agents")


def fill(journals: Journals, items: Iterable[Any] = range(60)) -> None:
    journal = journals.open("a")
    for item in items:
        journal.append([item, "x" * 20])


def forget(act: Callable[[Draft], object]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        act(draft)
        draft.forget = True

    return change


class TestBesideOneWhoForgets:
    def test_a_change_reads_the_head_again(self, store: Store, journals: Journals) -> None:
        fill(journals)
        other = Journals(store, "agents").open("a")
        store.before = lambda: other.change(forget(lambda draft: draft.replace(0, "redacted")))
        assert journals.open("a").change(lambda draft: draft.items(0, 2)) == ["redacted", "x" * 20]

    def test_a_fork_and_an_append_lose_nothing(self, store: Store, journals: Journals) -> None:
        fill(journals)
        other = Journals(store, "agents").open("a")
        journal = journals.open("a")
        store.before = lambda: other.change(forget(lambda draft: draft.replace(0, "redacted")))
        copy = journal.fork("b").read()
        assert copy is not None
        assert (copy[0], len(copy)) == ("redacted", 120)
        store.before = lambda: other.change(forget(lambda draft: draft.replace(1, "too")))
        journal.append(["y" * 100] * 20)
        assert journal.read(stop=2) == ["redacted", "too"]
        assert journal.append([1]).length == 141

    def test_a_segment_that_stays_away_is_damage(self, store: Store, journals: Journals) -> None:
        fill(journals)
        for entry in [*store.scan(SEGMENTS)]:
            store.delete(entry.key)
        with pytest.raises(CorruptDataError) as caught:
            journals.open("a").change(lambda draft: draft.items(0, 2))
        assert type(caught.value) is CorruptDataError
        assert caught.value.landed == "no"


class TestForgetting:
    def test_that_is_not_done_says_that_the_change_is(
        self, store: Store, journals: Journals
    ) -> None:
        fill(journals)
        store.refuses_to_delete = True
        with pytest.raises(UnavailableError, match="the change was written, but") as caught:
            journals.open("a").change(forget(lambda draft: draft.replace(0, "redacted")))
        assert caught.value.landed == "unknown"
        assert journals.open("a").read(stop=1) == ["redacted"]
        store.refuses_to_delete = False
        count = len([*store.scan(SEGMENTS)])
        journals.open("a").change(forget(lambda _: None))
        assert len([*store.scan(SEGMENTS)]) < count

    def test_reaches_what_was_popped_before(self, store: Store, journals: Journals) -> None:
        fill(journals, ["secret", *range(20)])
        journal = journals.open("a")
        journal.change(lambda draft: [draft.pop() for _ in range(draft.length - 0)] and None)
        fill(journals, ["first", "secret", *range(20)])

        def pop(draft: Draft) -> None:
            while draft.length > 2:
                draft.pop()

        journal.change(pop)
        assert journal.read() == ["first", "x" * 20]
        assert any(b"secret" in _data(store, each.key) for each in store.scan())
        journal.change(forget(lambda _: None))
        assert not any(b"secret" in _data(store, each.key) for each in store.scan())
        assert journal.read() == ["first", "x" * 20]


def _data(store: Store, key: str) -> bytes:
    blob = store.get(key)
    return b"" if blob is None else blob.data


class TestMetadata:
    @pytest.mark.parametrize(
        ("old", "new"),
        [(1, True), (True, 1), (0, False), (1.0, 1), ([1], [True]), ({"a": 0}, {"a": False})],
    )
    def test_changes_that_python_calls_equal_are_changes(
        self, journals: Journals, old: Any, new: Any
    ) -> None:
        journals.open("a").append([], set={"k": old})
        journals.open("a").change(lambda draft: draft.metadata.update(k=new))
        head = journals.open("a").head()
        assert head is not None
        assert repr(head.metadata["k"]) == repr(new)

    def test_beyond_its_bound_may_still_become_smaller(
        self, journals: Journals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal = journals.open("a")
        journal.append([1], set={"k": "x" * 100, "other": 1})
        journal.pin()
        monkeypatch.setattr(writing, "MAX_METADATA", 100)
        journal.append([2])
        journal.unpin()
        journal.append([3], unset=["other"])
        journal.change(lambda draft: draft.pop())
        with pytest.raises(InvalidDocumentError, match="more than 100"):
            journal.append([4], set={"more": "y"})
        assert journal.append([5], set={"k": "x"}).length == 3

    def test_that_is_no_dict_is_refused(self, journals: Journals) -> None:
        def change(draft: Draft) -> None:
            draft.metadata = None  # type: ignore[assignment]

        with pytest.raises(TypeError, match=r"draft\.metadata: a dict, not None"):
            journals.open("a").change(change)


class TestKeys:
    def test_may_be_empty(self, journals: Journals) -> None:
        journals.open("a").append([1, 2], keys=["", "k"])
        assert journals.open("a").append([1, 3], keys=["", "l"]).length == 3
        journals.open("b").append([1], keys=[""])
        assert journals.open("b").append([1], key="").length == 1

    def test_are_at_most_as_many_as_are_remembered(self, journals: Journals) -> None:
        many = [str(number) for number in range(MAX_KEYS + 1)]
        with pytest.raises(ValueError, match="remembers the last 1024"):
            journals.open("a").append(many, keys=many)
        with pytest.raises(ValueError, match="remembers the last 1024"):
            journals.open("a").change(
                lambda draft: [
                    draft.append(many[:600], many[:600]),
                    draft.append(many[600:], many[600:]),
                ]
            )
        assert journals.open("a").head() is None
        assert journals.open("a").append(many, keys=[None, *many[1:]]).length == MAX_KEYS + 1

    def test_of_a_retry_come_before_what_is_expected(self, journals: Journals) -> None:
        first = journals.open("a").append([1], key="k", expect=ABSENT)
        assert journals.open("a").append([1], key="k", expect=ABSENT) == first
        second = journals.open("a").append([2], key="l", expect=first.version)
        assert journals.open("a").append([2], key="l", expect=first.version) == second
        with pytest.raises(ConflictError):
            journals.open("a").append([3], key="m", expect=first.version)

    def test_show_nobody_anothers_journal(self, journals: Journals) -> None:
        journals.open("a").append([1], key="k", user_id="ada")
        with pytest.raises(OwnershipError):
            journals.open("a").append([1], key="k", user_id="eve")

    def test_that_are_all_known_change_nothing(self, journals: Journals) -> None:
        head = journals.open("a").append([1, 2], keys=["k", "l"])
        assert journals.open("a").append([1, 2], keys=["k", "l"]) == head
        assert journals.open("a").append([1, 2], keys=["k", "l"], set={"t": 1}).metadata == {"t": 1}

    def test_are_as_many_as_items(self, journals: Journals) -> None:
        def change(draft: Draft) -> None:
            with pytest.raises(ValueError, match="one for each of 2 items, not 1"):
                draft.append([1, 2], ["k"])
            assert draft.length == 0

        journals.open("a").change(change)


class TestDamage:
    def test_of_an_old_segment_keeps_nobody_from_appending(
        self, store: Store, journals: Journals
    ) -> None:
        fill(journals)
        header = decode_head(_data(store, journal_key("agents", ["a"]))).header
        store.put(f"{SEGMENTS}/{header.uid}/{header.segments[0].name}.jsonl", b"garbage\n")
        fill(journals, range(200))
        assert journals.open("a").read(last=2) == [199, "x" * 20]
        with pytest.raises(CorruptDataError, match="not what the journal wrote"):
            journals.open("a").read()


class TestInsideAChange:
    def test_other_changes_of_the_same_journal_are_refused(self, journals: Journals) -> None:
        journal = journals.open("a")
        acts: list[Callable[[], object]] = [
            lambda: journal.append([1]),
            lambda: journals.open("a").append([1]),
            lambda: journals.open("a").delete(),
            journal.unpin,
            lambda: journal.change(lambda _: None),
            lambda: journal.attach(b"", "a.txt"),
        ]
        for act in acts:
            with pytest.raises(RuntimeError, match="use the draft it passes"):
                journal.change(lambda _, act=act: act())  # type: ignore[misc]
        assert journal.head() is None
        journal.change(lambda draft: draft.append([journals.open("b").append([1]).length]))
        assert journal.read() == [1]

    def test_an_asynchronous_twin_does_not_wait_for_itself(self, store: Store) -> None:
        async def main() -> None:
            async with AsyncJournals(store, "agents") as journals:
                journal = journals.open("a")

                def change(_: Draft) -> None:
                    asyncio.run(_await(journal.append([1])))

                with pytest.raises(RuntimeError, match="use the draft"):
                    await asyncio.wait_for(journal.change(change), 30)
                assert await journal.append([2]) is not None

        asyncio.run(main())


async def _await(work: Any) -> object:
    return await work


class TestDrafts:
    def test_read_a_segment_once(self, store: Store, journals: Journals) -> None:
        fill(journals)
        store.read.clear()

        def change(draft: Draft) -> list[Any]:
            return [draft.pop() for _ in range(100)]

        popped = journals.open("a").change(change)
        assert popped[1::2] == [*range(59, 9, -1)]
        assert len(store.read) <= len({*store.read}) + 3  # and for a merge

    def test_have_no_last_items_of_a_negative_number(self, journals: Journals) -> None:
        with pytest.raises(ValueError, match="n must be at least 0"):
            journals.open("a").change(lambda draft: draft.last(-1))


def test_a_fork_with_files_is_not_written_an_hour_after_them(
    journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journals.open("a")
    journal.append([1])
    journal.attach(b"png", "a.png")
    hours = iter(range(0, 1000, 2))
    monkeypatch.setattr(committing, "_clocks", lambda: (next(hours) * 3600.0, 0.0))
    with pytest.raises(UnavailableError, match="more than an hour") as caught:
        journal.fork("b")
    assert caught.value.landed == "no"
    assert timedelta(hours=1).total_seconds() == committing._SOON
