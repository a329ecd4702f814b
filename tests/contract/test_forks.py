"""A fork of a journal is a journal of its own, over every store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support import facts

from statekeep import ConflictError, CorruptDataError, InvalidKeyError, Journals, NotFoundError
from statekeep.errors import UnavailableError
from statekeep.events import Event, JournalSaved
from statekeep.format.journal import decode_head
from statekeep.store import StoreWrapper
from statekeep.store.keys import ATTACHMENTS, SEGMENTS, journal_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep import Journal, StateStore
    from statekeep.journals import Draft
    from statekeep.store import Blob

LINES = 40
"""Items of 4 KiB: most lie in segments, some in the head."""


def fill(journal: Journal, count: int = LINES) -> list[Any]:
    items = [[number, "x" * 4000] for number in range(count)]
    for item in items:
        journal.append([item])
    return items


def segments(store: StateStore, uid: str) -> dict[str, bytes]:
    found = {}
    for entry in store.scan(f"{SEGMENTS}/{uid}"):
        blob = store.get(entry.key)
        assert blob
        found[entry.key] = blob.data
    return found


@pytest.fixture
def journals(store: StateStore) -> Journals:
    return Journals(store, "agents")


class TestAFork:
    def test_begins_as_a_copy_and_goes_its_own_way(self, journals: Journals) -> None:
        journal = journals.open("ada", "one")
        items = fill(journal)
        before = journal.append([], set={"title": "Plans"}, user_id="ada")
        fork = journal.fork("ada", "two")
        head = fork.head()
        assert head
        assert (head.name, head.user_id, head.length) == (("ada", "two"), "ada", LINES)
        assert head.metadata == {"title": "Plans"}
        assert head.uid != before.uid
        assert head.created_at >= before.updated_at
        assert journals.open("ada", "two").read() == items
        fork.append(["theirs"])
        journal.append(["ours"])
        assert fork.read() == [*items, "theirs"]
        assert journal.read() == [*items, "ours"]

    @pytest.mark.parametrize("upto", [0, 1, LINES // 2, LINES - 1, LINES, LINES + 5])
    def test_may_take_the_first_items_only(self, journals: Journals, upto: int) -> None:
        journal = journals.open("a")
        items = fill(journal)
        fork = journal.fork("b", upto=upto)
        assert fork.read() == items[:upto]
        fork.append([1])
        assert fork.read() == [*items[:upto], 1]
        assert journal.read() == items

    def test_holds_no_byte_of_what_was_left_out(
        self, journals: Journals, store: StateStore
    ) -> None:
        journal = journals.open("a")
        for number in range(LINES):
            journal.append([f"secret-{number:03} " + "x" * 4000])
        head = journal.fork("b", upto=LINES // 2).head()
        assert head
        blob = store.get(journal_key("agents", ["b"]))
        assert blob
        kept = b"".join([blob.data, *segments(store, head.uid).values()])
        said = [f"secret-{number:03}".encode() in kept for number in range(LINES)]
        assert said == [number < LINES // 2 for number in range(LINES)]

    def test_shares_no_segment(self, journals: Journals, store: StateStore) -> None:
        journal = journals.open("a")
        items = fill(journal)
        fork = journal.fork("b")
        head = journal.head()
        assert head
        assert segments(store, head.uid)
        for key in segments(store, head.uid):
            store.delete(key)
        assert fork.read() == items

    def test_knows_none_of_the_keys(self, journals: Journals, store: StateStore) -> None:
        journal = journals.open("a")
        journal.append([1], key="request-1")
        fork = journal.fork("b")
        assert fork.append([2], key="request-1").length == 2
        blob = store.get(journal_key("agents", ["b"]))
        assert blob
        lines = decode_head(blob.data)
        assert (lines.header.keys, lines.header.ids) == ((), ())

    def test_is_neither_pinned_nor_about_to_end(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([1], set={"k": 1})
        journal.pin()
        journal.expire(datetime(2030, 1, 1, tzinfo=UTC))
        head = journal.fork("b").head()
        assert head
        assert head.metadata == {"k": 1}
        assert head.expires_at is None

    def test_is_not_made_where_there_is_a_journal(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([1])
        journals.open("b").append([2])
        for name in ("a", "b"):
            with pytest.raises(ConflictError, match="a journal of this name already exists"):
                journal.fork(name)
        assert journals.open("b").read() == [2]
        assert journal.read() == [1]

    def test_needs_a_journal(self, journals: Journals) -> None:
        with pytest.raises(NotFoundError, match="no such journal") as caught:
            journals.open("a").fork("b")
        assert caught.value.key == journal_key("agents", ["a"])
        assert journals.open("b").head() is None

    def test_is_not_made_of_another_journal_than_this_handle_saw(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([1])
        journals.open("a").delete()
        journals.open("a").append([2])
        with pytest.raises(ConflictError, match="recreated since"):
            journal.fork("b")
        assert journals.open("b").head() is None

    def test_refuses_what_makes_no_sense(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([1])
        with pytest.raises(ValueError, match="upto must be at least 0, not -1"):
            journal.fork("b", upto=-1)
        with pytest.raises(InvalidKeyError, match="at least one part"):
            journal.fork()

    def test_is_told_of(self, store: StateStore) -> None:
        told: list[Event] = []
        journal = Journals(store, "agents", observers=[told.append]).open("a")
        journal.append([1], user_id="ada")
        told.clear()
        journal.fork("b")
        (saved,) = facts(told)
        assert isinstance(saved, JournalSaved)
        assert (saved.name, saved.user_id, saved.created) == (("b",), "ada", True)


class Watched(StoreWrapper):
    """Calls something before each write."""

    def __init__(self, store: StateStore) -> None:
        super().__init__(store)
        self.before_put: Callable[[str], object] = lambda _: None

    def put(self, key: str, data: bytes, **expect: Any) -> Any:
        self.before_put(key)
        return super().put(key, data, **expect)


class TestWhileOthersAreAtIt:
    def test_what_they_append_is_in_one_of_both_or_in_the_first(self, store: StateStore) -> None:
        watched = Watched(store)
        journal, other = Journals(watched, "c").open("a"), Journals(store, "c").open("a")
        items = fill(journal)

        def append(_: str) -> None:
            watched.before_put = lambda _: None
            other.append(["meanwhile"])

        watched.before_put = append
        assert journal.fork("b").read() == items
        assert journal.read() == [*items, "meanwhile"]

    def test_who_takes_the_name_first_keeps_it(self, store: StateStore) -> None:
        watched = Watched(store)
        journal = Journals(watched, "c").open("a")
        fill(journal)

        def take(key: str) -> None:
            if key == journal_key("c", ["b"]):
                watched.before_put = lambda _: None
                Journals(store, "c").open("b").append(["mine"])

        watched.before_put = take
        with pytest.raises(ConflictError) as caught:
            journal.fork("b")
        assert caught.value.landed == "no"
        assert Journals(store, "c").open("b").read() == ["mine"]

    def test_a_segment_that_was_replaced_meanwhile_is_looked_for_in_the_new_head(
        self, store: StateStore
    ) -> None:
        watched = Watched(store)
        journal, other = Journals(watched, "c").open("a"), Journals(store, "c").open("a")
        fill(journal)
        head = journal.head()
        assert head
        old = segments(store, head.uid)

        def number_all(draft: Draft) -> None:
            for number in range(LINES):
                draft.replace(number, number)

        def replace(_: str) -> None:
            watched.before_put = lambda _: None
            other.change(number_all)
            for key in old:
                store.delete(key)

        watched.before_put = replace
        assert journal.fork("b").read() == [*range(LINES)]

    def test_a_segment_that_is_gone_is_damage(self, journals: Journals, store: StateStore) -> None:
        journal = journals.open("a")
        fill(journal)
        head = journal.head()
        assert head
        for key in segments(store, head.uid):
            store.delete(key)
        with pytest.raises(CorruptDataError, match="which is missing"):
            journal.fork("b")
        assert journals.open("b").head() is None


class Failing(StoreWrapper):
    """Fails at the write of a number, before or after its effect."""

    def __init__(self, store: StateStore) -> None:
        super().__init__(store)
        self.fails_at: int | None = None
        self.lands = False

    def put(self, key: str, data: bytes, **expect: Any) -> Any:
        if self.fails_at is None:
            return super().put(key, data, **expect)
        self.fails_at -= 1
        fails = self.fails_at < 0
        if not fails or self.lands:
            version = super().put(key, data, **expect)
        if fails:
            raise UnavailableError("no answer", key=key, landed="unknown")
        return version


@pytest.mark.parametrize("lands", [False, True])
def test_a_fork_that_fails_anywhere_is_there_whole_or_not_at_all(
    store: StateStore, lands: bool
) -> None:
    failing = Failing(store)
    journal = Journals(failing, "c").open("a")
    items = fill(journal)
    journal.attach(b"plot", "plot.png")
    for at in range(10):
        failing.fails_at, failing.lands = at, lands
        try:
            journal.fork(f"fork-{at}")
        except UnavailableError:
            pass
        else:
            break
        finally:
            failing.fails_at = None
        assert journal.read() == items
        assert Journals(store, "c").open(f"fork-{at}").read() in (None, items)
        assert journal.fork(f"again-{at}").read() == items
    assert at > 2  # a segment, the file and the head were tried, each


class Counting(StoreWrapper):
    """Remembers what is read and written, in order."""

    def __init__(self, store: StateStore) -> None:
        super().__init__(store)
        self.calls: list[tuple[str, str]] = []

    def get(self, key: str) -> Blob | None:
        self.calls.append(("get", key))
        return super().get(key)

    def put(self, key: str, data: bytes, **expect: Any) -> Any:
        self.calls.append(("put", key))
        return super().put(key, data, **expect)

    def get_many(self, keys: Any) -> Any:
        keys = list(keys)
        self.calls += [("get", key) for key in keys]
        return super().get_many(keys)


def test_copying_holds_one_segment_or_file_at_a_time(store: StateStore) -> None:
    counting = Counting(store)
    journal = Journals(counting, "c").open("a")
    for number in range(6):
        journal.append([number, "x" * 70_000 * 4**number if number < 3 else "y" * 70_000])
    for content in (b"one", b"two"):
        journal.attach(content, "f.bin")
    counting.calls.clear()
    journal.fork("b")
    copies = [what for what, key in counting.calls if key.startswith((SEGMENTS, ATTACHMENTS))]
    assert len(copies) > 6
    assert copies == ["get", "put"] * (len(copies) // 2)
