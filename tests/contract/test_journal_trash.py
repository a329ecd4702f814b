"""Journals in the trash: as sessions there, and what only journals have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support import facts

from statekeep import (
    ConflictError,
    CorruptDataError,
    Journals,
    NotFoundError,
    Sessions,
    StateStore,
    load_pruner,
)
from statekeep.events import Event, JournalDeleted, JournalRestored
from statekeep.format.contents import BOUNDS
from statekeep.format.journal import Change, Header, decode_head, encode_head
from statekeep.retention.copies import copy_key, copy_of
from statekeep.store import Blob, Version, check_key
from statekeep.store.keys import SEGMENTS, TRASH, journal_key, journal_name
from statekeep.timestamps import format_timestamp
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = load_pruner("max-sessions", max_sessions=1)
NAMES = [("a",), ("ada", "thread-17"), ("", ".", "x.JSONL"), ("a/b", "😀" * 200), ("x" * 300,) * 6]


@pytest.fixture
def journals(store: StateStore) -> Journals:
    return Journals(store, "agents")


def prune(journals: Journals) -> None:
    """Put all journals into the trash, but for the one that a strategy must leave."""
    journals.open("newest").append([], set={"statekeep.pin": True})
    journals.open("newer still").append([])
    journals.prune(EVERYTHING, trash=WEEK)
    for name in ("newest", "newer still"):
        journals.open(name).delete()


def throw_away(store: StateStore, name: tuple[str, ...] = ("a",), **more: Any) -> str:
    """Put a journal of one's own making into the trash."""
    key = journal_key("agents", name)
    data = made(name, **more)
    copy = copy_key(key, Blob(data, Version("v"), None), NOW)
    store.put(copy, data)
    return copy


def made(
    name: tuple[str, ...], *, uid: str = "a" * 32, n: int = 1, at: datetime = NOW, item: object = 1
) -> bytes:
    time = format_timestamp(at)
    about = {"name": [*name], "user_id": "ada", "created_at": time, "updated_at": time}
    change = Change(n=n, id=f"{n:024x}", at=time, items=(item,))
    return encode_head(Header(uid=uid, n=n - 1, about=about), [change])


def lines(store: StateStore, key: str) -> Any:
    blob = store.get(key)
    assert blob
    return decode_head(blob.data)


def trash(store: StateStore) -> list[str]:
    return [entry.key for entry in store.scan(TRASH)]


class TestAPrunedJournal:
    @pytest.mark.parametrize("name", NAMES)
    def test_comes_back_as_it_was(self, journals: Journals, name: tuple[str, ...]) -> None:
        before = journals.open(*name).append([1, {"two": 2}], set={"title": "Hi"}, user_id="ada")
        prune(journals)
        assert journals.open(*name).head() is None
        (trashed,) = journals.list_trash()
        assert (trashed.collection, trashed.name, trashed.user_id) == ("agents", name, "ada")
        assert trashed.updated_at == before.updated_at
        check_key(trashed.key)

        after = journals.restore(*name)
        assert after.metadata.pop("statekeep.restored")
        for field in ("name", "uid", "user_id", "created_at", "updated_at", "metadata", "length"):
            assert getattr(after, field) == getattr(before, field)
        assert journals.open(*name).read() == [1, {"two": 2}]
        assert journals.open(*name).append([3]).length == 3

    def test_has_one_change_more_that_no_delete_on_its_way_can_match(
        self, journals: Journals, store: StateStore
    ) -> None:
        key = journal_key("agents", ["a"])
        version = journals.open("a").append([1]).version
        n = lines(store, key).n
        prune(journals)
        journals.restore("a")
        assert lines(store, key).n == n + 1
        assert lines(store, key).changes[-1].at is None
        with pytest.raises(ConflictError):
            store.delete(key, expect=version)

    def test_is_told_of(self, store: StateStore) -> None:
        events: list[Event] = []
        journals = Journals(store, "agents", observers=[events.append])
        journals.open("ada", "a").append([1], user_id="ada")
        prune(journals)
        head = journals.restore("ada", "a")
        where = str(store)
        assert facts(events)[-1] == JournalRestored(
            where, "agents", ("ada", "a"), "ada", head.version
        )
        gone = JournalDeleted(where, "agents", ("ada", "a"), pruned=True, trashed=True)
        assert gone in events

    def test_lies_below_a_folder_of_its_own_under_its_whole_key(
        self, journals: Journals, store: StateStore
    ) -> None:
        journals.open("ada", "a").append([1])
        prune(journals)
        copy = next(each for each in map(parsed, trash(store)) if each.stem == "ada/a")
        assert copy.key.endswith("/journals/agents/ada/a.jsonl")
        assert copy.key.removeprefix(f"{TRASH}/").index("/") == 81
        assert copy.source == "journals/agents/ada/a.jsonl"
        assert copy.digest


def parsed(key: str) -> Any:
    return copy_of(key, None, 0)


class TestTheTrash:
    @pytest.fixture
    def full(self, store: StateStore) -> StateStore:
        for collection in ("agents", "others"):
            data = made(("a",))
            key = journal_key(collection, ("a",))
            store.put(copy_key(key, Blob(data, Version("v"), None), NOW), data)
        sessions = Sessions(store)
        sessions.get_or_create("ada", "s")
        sessions.delete("s", trash=True)
        return store

    def test_shows_each_its_own(self, full: StateStore, journals: Journals) -> None:
        assert [each.name for each in journals.list_trash()] == [("a",)]
        assert [each.collection for each in Journals(full, "others").list_trash()] == ["others"]
        (session,) = Sessions(full).list_trash()
        assert (session.id, session.collection, session.name) == ("s", None, ())

    def test_is_emptied_by_each_of_its_own(self, full: StateStore, journals: Journals) -> None:
        assert journals.empty_trash(older_than=WEEK) == 0
        assert journals.empty_trash() == 1
        assert len(trash(full)) == 2
        assert Sessions(full).empty_trash() == 1
        assert [parsed(key).collection for key in trash(full)] == ["others"]
        with pytest.raises(ValueError, match="negative"):
            journals.empty_trash(older_than=-WEEK)

    def test_is_emptied_whole_by_a_prune(
        self, full: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        far = datetime.now(UTC) + 2 * WEEK
        monkeypatch.setattr("statekeep.retention.stamp.Stamp.write", lambda _: far)
        assert Sessions(full).prune(load_pruner("ttl"), trash=WEEK).purged == 3
        assert trash(full) == []


class TestRestoring:
    def test_never_replaces_a_journal(self, journals: Journals, store: StateStore) -> None:
        throw_away(store)
        journals.open("a").append(["live"])
        with pytest.raises(ConflictError, match="the journal already exists"):
            journals.restore("a")
        assert journals.open("a").read() == ["live"]
        assert len(trash(store)) == 1

    def test_says_what_is_not_there(self, journals: Journals, store: StateStore) -> None:
        throw_away(store, ("a", "b"))
        for name in (("a",), ("b",), ("a", "b", "c")):
            with pytest.raises(NotFoundError, match="no such journal in the trash"):
                journals.restore(*name)
        with pytest.raises(NotFoundError):
            Journals(store, "others").restore("a", "b")
        with pytest.raises(NotFoundError):
            journals.restore("a", "b", copy="no such copy")

    def test_of_one_journal_takes_the_copy_with_the_most_changes(
        self, journals: Journals, store: StateStore
    ) -> None:
        for n in (2, 3, 1):
            throw_away(store, n=n, at=NOW - n * HOUR, item=n)  # a clock that steps back
        journals.restore("a")
        assert journals.open("a").read() == [3]

    def test_of_several_journals_takes_the_one_that_was_updated_last(
        self, journals: Journals, store: StateStore
    ) -> None:
        throw_away(store, uid="a" * 32, n=9, at=NOW, item="older")
        throw_away(store, uid="b" * 32, n=1, at=NOW, item="step back")
        throw_away(store, uid="b" * 32, n=2, at=NOW + HOUR, item="newest")
        throw_away(store, uid="c" * 32, n=99, at=NOW - HOUR, item="oldest")
        journals.restore("a")
        assert journals.open("a").read() == ["newest"]

    def test_takes_the_copy_that_was_chosen(self, journals: Journals, store: StateStore) -> None:
        older = throw_away(store, n=1, item="older")
        throw_away(store, n=2, item="newer")
        journals.restore("a", copy=older)
        assert journals.open("a").read() == ["older"]

    def test_passes_over_a_copy_that_is_damaged(
        self, journals: Journals, store: StateStore
    ) -> None:
        damaged = throw_away(store, n=9)
        store.put(damaged, b"{")
        with pytest.raises(CorruptDataError, match="stays in the trash"):
            journals.restore("a")
        (trashed,) = journals.list_trash()
        assert (trashed.name, trashed.id, trashed.updated_at) == (("a",), None, None)
        throw_away(store, n=1, item="sound")
        journals.restore("a")
        assert journals.open("a").read() == ["sound"]

    def test_passes_over_a_copy_of_another_journal(
        self, journals: Journals, store: StateStore
    ) -> None:
        store.put(throw_away(store), made(("b",)))
        with pytest.raises(CorruptDataError, match="does not belong here"):
            journals.restore("a")

    def test_keeps_a_young_copy_and_removes_an_old_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = NOW
        monkeypatch.setattr("statekeep_backends.memory.utc_now", lambda: now)
        store = MemoryStore()
        journals = Journals(store, "agents")
        for age, left in ((HOUR - timedelta(seconds=1), 1), (HOUR, 0)):
            throw_away(store)
            now += age
            journals.restore("a")
            assert len(trash(store)) == left
            journals.open("a").delete()
            journals.empty_trash()

    def test_keeps_the_lines_within_their_bound(
        self, journals: Journals, store: StateStore
    ) -> None:
        key = journal_key("agents", ["a"])
        journal = journals.open("a")
        journal.append([])
        room = BOUNDS.lines - sum(lines(store, key).sizes) - 150
        head = journal.append(["x" * room])
        assert not lines(store, key).header.segments
        prune(journals)
        restored = journals.restore("a")
        assert sum(lines(store, key).sizes) <= BOUNDS.lines
        assert (restored.length, restored.updated_at) == (head.length, head.updated_at)
        assert journals.open("a").read() == ["x" * room]

    def test_takes_metadata_that_is_as_large_as_may_be(self, journals: Journals) -> None:
        journals.open("a").append([], set={"k": "x" * (2**20 - 8)})
        prune(journals)
        assert journals.restore("a").metadata["statekeep.restored"]


class TestAJournalThatWasDeletedForGood:
    """Its head is in the trash, and a segment that it names is gone."""

    @pytest.fixture
    def older(self, journals: Journals, store: StateStore) -> str:
        journal = journals.open("a")
        journal.append(["early"])
        seen = store.get(journal_key("agents", ["a"]))
        assert seen
        older = copy_key(journal_key("agents", ["a"]), seen, NOW)
        for number in range(8):
            journal.append([[number, "x" * 16_000]])
        prune(journals)
        store.put(older, seen.data)
        first = min(entry.key for entry in store.scan(SEGMENTS) if entry.key.endswith(".jsonl"))
        store.delete(first)
        return older

    @pytest.mark.usefixtures("older")
    def test_does_not_come_back(self, journals: Journals, store: StateStore) -> None:
        with pytest.raises(CorruptDataError, match=r"segments are gone.*stays in the trash"):
            journals.restore("a")
        assert journals.open("a").head() is None
        assert len(trash(store)) == 2

    def test_comes_back_in_an_older_state_if_that_is_chosen(
        self, journals: Journals, older: str
    ) -> None:
        assert journals.restore("a", copy=older).length == 1


class KilledError(BaseException):
    """This process is no more."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(1, 5))
@pytest.mark.parametrize("way", ["prune", "restore"])
def test_whoever_dies_at_any_step_leaves_it_somewhere(
    way: str, step: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    journals = Journals(store, "agents")
    journals.open("a").append([1])
    journals.open("kept").append([1])
    if way == "restore":
        journals.prune(EVERYTHING, trash=WEEK)
    left = step
    for name in ("put", "delete", "get"):
        call = getattr(store, name)

        def dying(*args: Any, call: Callable[..., Any] = call, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise KilledError
            result = call(*args, **more)
            if left == 0:
                raise KilledError
            return result

        monkeypatch.setattr(store, name, dying)
    died = False
    try:
        _ = journals.restore("a") if way == "restore" else journals.prune(EVERYTHING, trash=WEEK)
    except KilledError:
        died = True
    monkeypatch.undo()
    assert died or way == "restore"
    if journals.open("a").head() is None:
        assert journals.restore("a").length == 1
    assert journals.open("a").read() == [1]


@pytest.mark.parametrize("name", NAMES)
def test_the_key_of_a_copy_is_legal_and_tells_all(name: tuple[str, ...]) -> None:
    key = journal_key("agents", name)
    copy = copy_of(copy_key(key, Blob(b"x", Version("v"), NOW), NOW + HOUR), None, 1)
    assert copy
    check_key(copy.key)
    assert len(copy.key.encode()) < 940
    assert (copy.source, copy.collection) == (key, "agents")
    assert (copy.modified, copy.trashed_at) == (NOW, NOW + HOUR)
    assert copy.source
    assert len(journal_name(copy.source)) == len(name)
