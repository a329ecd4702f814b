"""Journals over a store in memory: what is appended is read, whoever comes between."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statekeep import (
    ABSENT,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    NotFoundError,
    OwnershipError,
    UnavailableError,
    Version,
)
from statekeep.journals.journal import SKIP, Journal
from statekeep.journals.journals import Journals
from statekeep.store.keys import journal_key
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.journals.draft import Draft


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def journals(store: MemoryStore) -> Journals:
    return Journals(store, "agents")


class TestAppending:
    def test_makes_the_journal_and_adds_at_its_end(self, journals: Journals) -> None:
        journal = journals.open("ada", "thread-17")
        assert journal.head() is None
        assert journal.read() is None
        head = journal.append([{"role": "user"}], set={"title": "Hi"}, user_id="ada")
        assert (head.name, head.user_id, head.length) == (("ada", "thread-17"), "ada", 1)
        head = journal.append([1, "two", None], unset=["title"], set={"k": 1})
        assert (head.length, head.metadata) == (4, {"k": 1})
        other = journals.open("ada", "thread-17")
        assert other.read() == [{"role": "user"}, 1, "two", None]
        assert other.head() == head

    def test_of_two_handles_loses_nothing(self, journals: Journals) -> None:
        one, two = journals.open("a"), journals.open("a")
        for number in range(5):
            one.append([["one", number]])
            two.append([["two", number]])
        items = journals.open("a").read()
        assert items is not None
        for name in ("one", "two"):
            assert [item for item in items if item[0] == name] == [[name, n] for n in range(5)]

    def test_may_expect_a_version_or_that_there_is_none(self, journals: Journals) -> None:
        journal = journals.open("a")
        head = journal.create([1], metadata={"k": 1})
        with pytest.raises(ConflictError, match="already exists"):
            journals.open("a").append([2], expect=ABSENT)
        journal.append([2], expect=head.version)
        with pytest.raises(ConflictError, match="not the version that was expected"):
            journals.open("a").append([3], expect=head.version)
        assert journal.read() == [1, 2]

    def test_under_a_known_key_does_nothing_again(self, journals: Journals) -> None:
        journals.open("a").append([1], key="request-1", set={"k": 1})
        head = journals.open("a").append([2], key="request-1", set={"k": 2})
        assert (head.length, head.metadata) == (1, {"k": 1})

    def test_leaves_out_items_whose_keys_are_known(self, journals: Journals) -> None:
        journals.open("a").append([1, 2, 3], keys=["x", None, "y"])
        head = journals.open("a").append([4, 5, 6, 7], keys=["y", None, "z", "z"], set={"k": 1})
        assert journals.open("a").read() == [1, 2, 3, 5, 6]
        assert head.metadata == {"k": 1}
        with pytest.raises(ValueError, match="one for each of 1 items, not 2"):
            journals.open("a").append([1], keys=["a", "b"])

    def test_refuses_what_cannot_be_stored(self, journals: Journals) -> None:
        journal = journals.open("a")
        for wrong in ({1}, "\ud83d", 2**64, float("nan")):
            with pytest.raises(InvalidDocumentError):
                journal.append([1, wrong])
        with pytest.raises(InvalidDocumentError, match="more than 1048576"):
            journal.append([], set={"k": "x" * 2**20})
        with pytest.raises(InvalidDocumentError, match="more than 16777216"):
            journal.append(["x" * 2**24])
        assert journal.head() is None

    def test_by_another_user_is_refused(self, journals: Journals) -> None:
        journals.open("a").append([1], user_id="ada")
        journals.open("a").append([2], user_id="ada")
        with pytest.raises(OwnershipError, match="'bob'"):
            journals.open("a").append([3], user_id="bob")

    def test_keeps_nothing_of_the_callers(self, journals: Journals) -> None:
        item = {"deep": [1]}
        journal = journals.open("a")
        journal.append([item])
        item["deep"].append(2)
        read = journal.read()
        assert read == [{"deep": [1]}]
        read[0]["deep"].append(3)
        assert journal.read() == [{"deep": [1]}]


class TestAHandleForAUser:
    def test_makes_journals_that_are_the_users(self, journals: Journals) -> None:
        assert journals.open("a", user_id="ada").append([1]).user_id == "ada"
        journals.open("b", user_id="ada").change(lambda draft: draft.append([1]))
        journals.open("c").append([1])
        journals.open("c", user_id="ada").change(lambda draft: draft.append([2]))
        journals.open("b", user_id="ada").fork("d")
        assert {head.user_id for head in journals.heads()} == {"ada"}

    @pytest.mark.parametrize(
        "method",
        [
            lambda journal: journal.head(),
            lambda journal: journal.read(),
            lambda journal: journal.append([2]),
            lambda journal: journal.append([2], expect=ABSENT),
            lambda journal: journal.change(lambda draft: draft.append([2])),
            lambda journal: journal.change(lambda _: SKIP),
            lambda journal: journal.fork("other"),
            lambda journal: journal.pin(),
            lambda journal: journal.attach(b"", "a.txt"),
            lambda journal: journal.attachments([]),
            lambda journal: journal.detach([]),
            lambda journal: journal.delete(),
        ],
    )
    def test_refuses_those_of_others(
        self, journals: Journals, method: Callable[[Journal], object]
    ) -> None:
        before = journals.open("a").append([1], user_id="ada")
        with pytest.raises(OwnershipError, match="does not belong to 'bob'"):
            method(journals.open("a", user_id="bob"))
        assert journals.open("a").head() == before
        assert len(journals.list()) == 1


class TestReading:
    @pytest.fixture
    def long(self, journals: Journals) -> Journal:
        journal = journals.open("long")
        for number in range(400):
            journal.append([[number, "x" * 1000]])
        return journal

    def test_gives_any_part(self, long: Journal) -> None:
        def numbers(**part: Any) -> list[int]:
            items = long.read(**part)
            assert items is not None
            return [item[0] for item in items]

        assert numbers() == [*range(400)]
        assert numbers(last=20) == [*range(380, 400)]
        assert numbers(last=300) == [*range(100, 400)]
        assert numbers(last=0) == []
        assert numbers(start=5, stop=8) == [5, 6, 7]
        assert numbers(start=-3) == [397, 398, 399]
        assert numbers(start=500) == []
        loaded = long.load(last=2)
        assert loaded is not None
        assert (loaded.start, loaded.head.length) == (398, 400)

    def test_needs_few_documents(self, long: Journal, store: MemoryStore) -> None:
        assert len(list(store.scan(".statekeep/segments"))) < 20
        head = long.head()
        assert head is not None
        assert head.size > 400_000

    @pytest.mark.parametrize(
        "part", [{"last": -1}, {"last": 1, "start": 2}, {"last": 1, "stop": 2}]
    )
    def test_refuses_what_makes_no_sense(self, long: Journal, part: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="last"):
            long.read(**part)

    def test_of_a_segment_that_is_gone_is_damage(self, long: Journal, store: MemoryStore) -> None:
        for entry in list(store.scan(".statekeep/segments")):
            store.delete(entry.key)
        assert long.read(last=2) is not None
        with pytest.raises(CorruptDataError, match="which is missing"):
            long.read()

    def test_of_a_segment_that_was_changed_is_damage(
        self, long: Journal, store: MemoryStore
    ) -> None:
        for entry in list(store.scan(".statekeep/segments")):
            store.put(entry.key, b"[1]\n")
        with pytest.raises(CorruptDataError, match="not what the journal wrote"):
            long.read()


class TestAHandle:
    def test_of_a_journal_that_was_made_anew_is_told(self, journals: Journals) -> None:
        stale = journals.open("a")
        stale.append([1])
        journals.open("a").delete()
        with pytest.raises(ConflictError, match="deleted"):
            stale.append([2])
        journals.open("a").append([3])
        with pytest.raises(ConflictError, match="recreated since"):
            stale.append([2])
        assert journals.open("a").read() == [3]

    def test_answers_no_other_journal_than_the_one_that_it_read(self, journals: Journals) -> None:
        journals.open("a").append([1])
        for read in (Journal.head, Journal.load, Journal.read):
            handle = journals.open("a")
            assert read(handle)
            journals.open("a").delete()
            with pytest.raises(ConflictError, match="deleted"):
                handle.append(["answer"])
            journals.open("a").append([2])
            with pytest.raises(ConflictError, match="recreated since"):
                handle.append(["answer"])
            assert read(handle)
            handle.append(["answer"])
            assert journals.open("a").read() == [2, "answer"]

    def test_that_read_that_there_is_none_makes_it(self, journals: Journals) -> None:
        handle = journals.open("a")
        handle.append([1])
        journals.open("a").delete()
        assert handle.read() is None
        handle.append([2])
        assert handle.read() == [2]

    def test_that_deleted_it_begins_anew(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([1])
        assert journal.delete()
        assert not journal.delete()
        journal.append([2])
        assert journal.read() == [2]

    def test_deletes_only_what_is_expected(self, journals: Journals) -> None:
        journal = journals.open("a")
        version = journal.append([1]).version
        journal.append([2])
        with pytest.raises(ConflictError, match="not the version"):
            journals.open("a").delete(expect=version)
        assert journal.read() == [1, 2]


class TestMarks:
    def test_leave_the_time_of_the_last_change(self, journals: Journals) -> None:
        journal = journals.open("a")
        before = journal.append([1])
        end = datetime(2030, 1, 1, tzinfo=UTC)
        head = journal.expire(end)
        assert (head.expires_at, head.updated_at) == (end, before.updated_at)
        assert journal.pin().metadata["statekeep.pin"] is True
        assert journal.expire(None).expires_at is None

    def test_need_a_journal(self, journals: Journals) -> None:
        with pytest.raises(NotFoundError, match="no such journal"):
            journals.open("a").pin()


class TestChanging:
    def test_sees_what_it_did(self, journals: Journals) -> None:
        def fn(draft: Draft) -> int:
            assert not draft.exists
            assert draft.append([1, 2, 3], keys=["a", "b", "a"]) == [True, True, False]
            assert draft.has("b")
            draft.metadata["k"] = [1]
            assert draft.pop() == 2
            draft.replace(0, "one")
            return draft.length

        journal = journals.open("a")
        assert journal.change(fn) == 1
        loaded = journal.load()
        assert loaded is not None
        assert (loaded.items, loaded.head.metadata) == (["one"], {"k": [1]})

    def test_may_write_nothing(self, journals: Journals) -> None:
        journal = journals.open("a")
        version = journal.append([1]).version
        assert journal.change(lambda draft: SKIP if draft.append([2]) else None) is SKIP
        head = journal.head()
        assert head is not None
        assert head.version == version

    def test_may_need_that_there_is_one(self, journals: Journals) -> None:
        with pytest.raises(NotFoundError):
            journals.open("a").change(lambda draft: draft.append([1]), create=False)

    def test_of_a_segment_of_one_item_leaves_none_empty(
        self, journals: Journals, store: MemoryStore
    ) -> None:
        journal = journals.open("a")
        journal.append(["x" * 2**16])

        def replace_and_pop(draft: Draft) -> None:
            draft.replace(0, "other")
            draft.pop()

        journal.change(replace_and_pop)
        assert journal.read() == []
        assert all(entry.size for entry in store.scan(".statekeep/segments"))

    def test_may_not_store_too_much(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([1])

        def rewrite(draft: Draft) -> None:
            draft.metadata["k"] = "x" * 2**20
            draft.replace(0, 2)

        with pytest.raises(InvalidDocumentError, match="more than 1048576"):
            journal.change(rewrite)
        with pytest.raises(InvalidDocumentError, match="more than 16777216"):
            journal.change(lambda draft: draft.replace(0, "x" * 2**24))
        assert journal.read() == [1]

    def test_of_two_at_once_loses_nothing(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([0])
        calls = 0

        def add(draft: Draft) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                other = Thread(target=lambda: journals.open("a").append([1]))
                other.start()
                other.join()
            draft.append([draft.length])

        journal.change(add)
        assert journal.read() == [0, 1, 2]

    def test_is_not_told_of_what_is_no_longer_so(self, journals: Journals) -> None:
        stale = journals.open("a")
        stale.append([1])
        journals.open("a").change(lambda draft: draft.pop())
        journals.open("a").append([2, 3])

        def fn(draft: Draft) -> object:
            if draft.length < 2:
                raise LookupError("too few")
            return draft.pop()

        assert stale.change(fn) == 3

    steps = st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.lists(st.sampled_from([1, 9_000, 30_000]), max_size=4)),
            st.tuples(st.just("pop"), st.none()),
            st.tuples(st.just("replace"), st.integers(0, 30)),
            st.tuples(st.just("truncate"), st.integers(0, 30)),
            st.tuples(st.just("clear"), st.none()),
            st.tuples(st.just("commit"), st.none()),
        ),
        max_size=40,
    )

    @given(steps)
    @settings(max_examples=20)
    def test_is_what_a_list_would_be(self, steps: list[tuple[str, Any]]) -> None:
        journals = Journals(MemoryStore(), "c")
        expected: list[Any] = []
        pending: list[tuple[str, Any]] = []
        count = 0

        def apply(draft: Draft) -> None:
            nonlocal count
            for name, value in pending:
                count += 1
                match name:
                    case "append":
                        items = [[count, "x" * size] for size in value]
                        draft.append(items)
                        expected.extend(items)
                    case "pop" if expected:
                        assert draft.pop() == expected.pop()
                    case "replace" if value < len(expected):
                        draft.replace(value, count)
                        expected[value] = count
                    case "truncate":
                        draft.truncate(value)
                        del expected[value:]
                    case "clear":
                        draft.clear()
                        expected.clear()
                assert draft.length == len(expected)
            assert draft.items() == expected
            assert draft.last(3) == expected[-3:]

        for name, value in steps:
            if name != "commit":
                pending.append((name, value))
                continue
            journals.open("a").change(apply)
            pending.clear()
            assert journals.open("a").read() == expected
            assert journals.open("a").read(last=2) == expected[-2:]


class Flaky(MemoryStore):
    """Loses the answers of some puts, before or after their effect."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[str] = []
        self.between: Callable[[], object] = lambda: None

    def put(self, key: str, data: bytes, **expect: Any) -> Any:
        what = self.plan.pop(0) if self.plan and key.startswith("journals") else ""
        if what == "lost before":
            self.between()
            raise UnavailableError("no answer", key=key, landed="unknown")
        version = super().put(key, data, **expect)
        if what == "lost after":
            self.between()
            raise UnavailableError("no answer", key=key, landed="unknown")
        return version


class TestALostAnswer:
    @pytest.mark.parametrize("plan", [["lost before"], ["lost after"], ["lost before"] * 3])
    def test_is_made_good(self, plan: list[str]) -> None:
        store = Flaky()
        journal = Journals(store, "c").open("a")
        journal.append([0])
        store.plan = [*plan]
        journal.append([1])
        assert journal.read() == [0, 1]

    @pytest.mark.parametrize("lost", ["lost before", "lost after"])
    def test_to_what_makes_the_journal_is_looked_up_and_not_sent_again(self, lost: str) -> None:
        store = Flaky()
        journal = Journals(store, "c").open("a")
        store.plan = [lost]
        if lost == "lost after":
            journal.append([1])
            assert journal.read() == [1]
        else:
            with pytest.raises(UnavailableError, match="may have landed") as caught:
                journal.append([1])
            assert caught.value.landed == "unknown"
            assert journal.read() is None

    def test_that_stays_lost_is_said(self) -> None:
        store = Flaky()
        journal = Journals(store, "c").open("a")
        journal.append([0])
        store.plan = ["lost before"] * 10
        with pytest.raises(UnavailableError, match="may have landed") as caught:
            journal.append([1])
        assert caught.value.landed == "unknown"

    @pytest.mark.parametrize("lost", ["lost before", "lost after"])
    def test_before_anothers_change_is_seen_by_its_id(self, lost: str) -> None:
        store = Flaky()
        journals = Journals(store, "c")
        journal, other = journals.open("a"), journals.open("a")
        journal.append([0])
        store.plan = [lost]
        store.between = lambda: other.append([2])
        journal.append([1])
        items = other.read()
        assert items is not None
        assert sorted(items) == [0, 1, 2]

    @pytest.mark.parametrize("lost", ["lost before", "lost after"])
    def test_in_a_journal_that_was_made_anew_is_never_guessed(self, lost: str) -> None:
        store = Flaky()
        journals = Journals(store, "c")
        journal = journals.open("a")
        journal.append([0])

        def make_anew() -> None:
            journals.open("a").delete()
            journals.open("a").append([5])

        store.plan, store.between = [lost], make_anew
        with pytest.raises(UnavailableError) as caught:
            journal.append([1])
        assert caught.value.landed == "unknown"
        assert journals.open("a").read() == [5]

    @pytest.mark.parametrize("lost", ["lost before", "lost after"])
    def test_after_which_all_was_cleared_is_seen_by_its_id(self, lost: str) -> None:
        store = Flaky()
        journals = Journals(store, "c")
        journal = journals.open("a")
        journal.append([0])
        store.plan = [lost]
        store.between = lambda: journals.open("a").change(lambda draft: draft.clear())
        journal.append([1])
        assert journals.open("a").read() == ([] if lost == "lost after" else [1])


class TestAHead:
    def test_is_damaged_only_if_it_is_so_twice(self) -> None:
        store = OncePage()
        journal = Journals(store, "c").open("a")
        journal.append([1])
        store.pages = [b"<html>log in</html>"]
        assert journal.append([2]).length == 2
        store.pages = [b"<html>log in</html>"] * 2
        with pytest.raises(CorruptDataError, match="header"):
            Journals(store, "c").open("a").append([3])
        assert journal.read() == [1, 2]


class OncePage(MemoryStore):
    """Gives something else than the head, now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[bytes] = []

    def get(self, key: str) -> Any:
        blob = super().get(key)
        return (
            replace(blob, data=self.pages.pop(), version=Version("w"))
            if blob and self.pages
            else blob
        )


class TestNames:
    @pytest.mark.parametrize(
        ("name", "key"),
        [
            (("ada", "thread-17"), "journals/c/ada/thread-17.jsonl"),
            (("",), "journals/c/%...jsonl"),
            ((".",), "journals/c/%...jsonl".replace("%..", "%...")),
            (("x.JSONL", "y"), "journals/c/%..x.JSONL/y.jsonl"),
            (("a/b",), "journals/c/%..a%2Fb.jsonl"),
        ],
    )
    def test_become_keys(self, name: tuple[str, ...], key: str) -> None:
        assert journal_key("c", name) == key

    @given(
        st.lists(st.lists(st.text(max_size=130), min_size=1, max_size=6), min_size=2, max_size=2)
    )
    def test_become_keys_of_their_own(self, names: list[list[str]]) -> None:
        one, two = (journal_key("c", name) for name in names)
        assert (one == two) == (names[0] == names[1])
        assert not two.startswith(f"{one}/")
        assert len(one.encode()) < 850

    @pytest.mark.parametrize("collection", ["", "A", ".a", "a/b", "x" * 65, "ä"])
    def test_of_collections_are_few_letters(self, collection: str) -> None:
        with pytest.raises(InvalidKeyError, match="a collection's name has"):
            Journals(MemoryStore(), collection)

    @pytest.mark.parametrize("name", [(), ("a",) * 7, ("\ud83d",)])
    def test_have_one_to_six_parts_of_text(self, journals: Journals, name: tuple[str, ...]) -> None:
        with pytest.raises(InvalidKeyError):
            journals.open(*name)
