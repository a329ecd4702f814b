"""Files that are kept with a journal, over every store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from statekeep import (
    SKIP,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    Journals,
    NotFoundError,
)
from statekeep.errors import UnavailableError
from statekeep.format.journal import decode_head
from statekeep.store import StoreWrapper
from statekeep.store.keys import ATTACHMENTS, journal_key

if TYPE_CHECKING:
    from statekeep import Journal, StateStore
    from statekeep.journals import Draft, Loaded

PLOT = b"\x89PNG\r\n\x1a\n\0"


@pytest.fixture
def journals(store: StateStore) -> Journals:
    return Journals(store, "agents")


@pytest.fixture
def journal(journals: Journals) -> Journal:
    journal = journals.open("a")
    journal.append([1])
    return journal


def is_marked(store: StateStore) -> bool:
    blob = store.get(journal_key("agents", ["a"]))
    assert blob
    return decode_head(blob.data).header.attached


def kept(store: StateStore) -> list[str]:
    return sorted(entry.key for entry in store.scan(ATTACHMENTS))


class TestAttaching:
    def test_gives_a_ref_that_an_item_can_hold(self, journals: Journals, journal: Journal) -> None:
        ref = journal.attach(PLOT, "plot.png")
        journal.append([{"image": ref}])
        other = journals.open("a")
        items = other.read()
        assert items
        assert other.attachments([items[-1]["image"]]) == {ref: PLOT}

    def test_lies_below_the_uid_by_its_content(self, journal: Journal, store: StateStore) -> None:
        ref = journal.attach(PLOT, "plot.png")
        assert ref == f"{blake3(PLOT).hexdigest()[:32]}.png"
        head = journal.head()
        assert head
        assert kept(store) == [f"{ATTACHMENTS}/{head.uid}/{ref}"]

    @pytest.mark.parametrize(
        ("name", "suffix"),
        [
            ("plot.png", ".png"),
            ("Plot.PNG", ".png"),
            ("a/b\\c.tar.gz", ".gz"),
            ("../../etc/passwd", ""),
            ("x.", ""),
            ("", ""),
            (".hidden", ""),
            ("x.tmp", ""),
            ("x.tmp2", ".tmp2"),
            ("x.ä", ""),
            ("x.p/g", ""),
            ("x.\0", ""),
            ("x." + "y" * 11, ""),
            ("\u0130.\u0130", ""),
        ],
    )
    def test_keeps_only_a_harmless_ending(self, journal: Journal, name: str, suffix: str) -> None:
        ref = journal.attach(PLOT, name)
        assert ref == blake3(PLOT).hexdigest()[:32] + suffix
        assert journal.attachments([ref]) == {ref: PLOT}

    def test_the_same_again_keeps_it_once(self, journal: Journal, store: StateStore) -> None:
        version = journal.append([2]).version
        refs = {journal.attach(PLOT, name) for name in ("a.png", "b.png")}
        head = journal.head()
        assert head
        assert len(refs) == len(kept(store)) == 1
        journal.attach(b"other", "c.png")
        again = journal.head()
        assert again
        assert head.version == again.version != version

    def test_is_no_change_of_the_conversation(self, journal: Journal) -> None:
        before = journal.head()
        journal.attach(PLOT, "plot.png")
        after = journal.head()
        assert before
        assert after
        assert (after.updated_at, after.length, after.metadata) == (
            before.updated_at,
            before.length,
            before.metadata,
        )

    def test_marks_the_head_before_the_file_is_there(self, store: StateStore) -> None:
        class Failing(StoreWrapper):
            def put(self, key: str, data: bytes, **expect: Any) -> Any:
                if key.startswith(ATTACHMENTS):
                    raise UnavailableError("no answer", key=key, landed="no")
                return super().put(key, data, **expect)

        journal = Journals(Failing(store), "agents").open("a")
        journal.append([1])
        assert not is_marked(store)
        with pytest.raises(UnavailableError):
            journal.attach(PLOT, "plot.png")
        assert is_marked(store)
        assert kept(store) == []
        # So a fork looks for files, and finds none.
        assert journal.fork("b").read() == [1]

    def test_keeps_all_that_was_appended(self, journals: Journals, journal: Journal) -> None:
        journal.append([2, 3], key="k", set={"title": "T"})
        other = journals.open("a")
        other.append([4])
        journal.attach(PLOT, "plot.png")
        assert other.append([5], key="k").length == 4
        assert other.read() == [1, 2, 3, 4]

    def test_of_two_at_once_both_are_kept(self, journals: Journals, journal: Journal) -> None:
        other = journals.open("a")
        other.read()
        one, two = journal.attach(b"one", "1.txt"), other.attach(b"two", "2.txt")
        assert journal.attachments([one, two]) == {one: b"one", two: b"two"}


class TestReading:
    def test_of_what_is_not_there_gives_none(self, journal: Journal) -> None:
        ref = journal.attach(PLOT, "plot.png")
        other = "0" * 32
        assert journal.attachments([other, ref]) == {other: None, ref: PLOT}
        assert journal.attachments([]) == {}

    def test_of_what_was_changed_is_damage(self, journal: Journal, store: StateStore) -> None:
        ref = journal.attach(PLOT, "plot.png")
        store.put(kept(store)[0], b"another")
        with pytest.raises(CorruptDataError, match="not what was attached") as caught:
            journal.attachments([ref])
        assert caught.value.key == kept(store)[0]

    @pytest.mark.parametrize("ref", ["", "plot.png", "0" * 31, "../" + "0" * 32, "0" * 32 + "/x"])
    def test_of_what_is_no_ref_is_refused(self, journal: Journal, ref: str) -> None:
        for call in (journal.attachments, journal.detach):
            with pytest.raises(InvalidKeyError, match="not the ref of an attachment"):
                call([ref])


class TestInAChange:
    def test_a_file_comes_with_the_item_that_names_it(
        self, journals: Journals, store: StateStore
    ) -> None:
        def add(draft: Draft) -> str:
            ref = draft.attach(PLOT, "plot.png")
            draft.append([{"image": ref}])
            return ref

        for name in ("new", "new", "a"):
            journal = journals.open(name)
            journal.append([1])
            ref = journal.change(add)
            assert ref.endswith(".png")
            other = journals.open(name)
            assert (other.read() or [])[-1] == {"image": ref}
            assert other.attachments([ref]) == {ref: PLOT}
        assert len(kept(store)) == 2
        assert is_marked(store)

    def test_makes_the_journal_with_it(self, journals: Journals) -> None:
        journal = journals.open("new")
        ref = journal.change(lambda draft: draft.attach(PLOT, "plot.png"))
        assert journal.attachments([ref]) == {ref: PLOT}
        fork = journal.fork("b")
        journal.detach([ref])
        assert fork.attachments([ref]) == {ref: PLOT}

    @pytest.mark.parametrize("is_marked_before", [False, True])
    def test_keeps_what_a_rewritten_head_keeps(
        self, journals: Journals, journal: Journal, store: StateStore, is_marked_before: bool
    ) -> None:
        journal.append([2], key="k", set={"title": "T"})
        if is_marked_before:
            journal.attach(b"before", "b.txt")

        def rewrite(draft: Draft) -> str:
            draft.replace(0, "one")
            return draft.attach(PLOT, "plot.png")

        ref = journal.change(rewrite)
        assert is_marked(store)
        assert journals.open("a").append([3], key="k").metadata == {"title": "T"}
        assert journal.read() == ["one", 2]
        assert journal.attachments([ref]) == {ref: PLOT}

    def test_the_mark_survives_a_rewritten_head(self, journal: Journal, store: StateStore) -> None:
        ref = journal.attach(PLOT, "plot.png")
        journal.change(lambda draft: draft.clear())
        assert is_marked(store)
        assert journal.fork("b").attachments([ref]) == {ref: PLOT}

    def test_of_a_change_to_nothing_leaves_the_head(
        self, journal: Journal, store: StateStore
    ) -> None:
        def nothing(draft: Draft) -> object:
            draft.attach(PLOT, "plot.png")
            return SKIP

        journal.change(nothing)
        assert not is_marked(store)

    def test_that_fails_writes_nothing(self, store: StateStore) -> None:
        class Failing(StoreWrapper):
            def put(self, key: str, data: bytes, **expect: Any) -> Any:
                if key.startswith(ATTACHMENTS):
                    raise UnavailableError("no answer", key=key, landed="unknown")
                return super().put(key, data, **expect)

        journal = Journals(Failing(store), "agents").open("a")

        def add(draft: Draft) -> None:
            draft.append([draft.attach(PLOT, "plot.png")])

        with pytest.raises(UnavailableError) as caught:
            journal.change(add)
        assert caught.value.landed == "no"
        assert journal.read() is None

    def test_after_a_conflict_it_is_there_once(self, journals: Journals, journal: Journal) -> None:
        other = journals.open("a")
        other.append([2])
        lengths = []

        def add(draft: Draft) -> str:
            lengths.append(draft.length)
            ref = draft.attach(PLOT, "plot.png")
            draft.append([ref])
            return ref

        ref = journal.change(add)
        assert lengths == [1, 2]
        assert other.read() == [1, 2, ref]
        assert other.attachments([ref]) == {ref: PLOT}

    def test_a_lost_answer_is_looked_at(self, store: StateStore) -> None:
        class Lossy(StoreWrapper):
            def put(self, key: str, data: bytes, **expect: Any) -> Any:
                version = super().put(key, data, **expect)
                if key.startswith(ATTACHMENTS):
                    raise UnavailableError("no answer", key=key, landed="unknown")
                return version

        journal = Journals(Lossy(store), "agents").open("a")
        ref = journal.change(lambda draft: draft.attach(PLOT, "plot.png"))
        assert journal.attach(PLOT, "plot.png") == ref
        assert journal.attachments([ref]) == {ref: PLOT}

    def test_a_metadata_that_is_too_large_is_refused(self, journal: Journal) -> None:
        def add(draft: Draft) -> None:
            draft.attach(PLOT, "plot.png")
            draft.metadata["x"] = "x" * 2**20

        with pytest.raises(InvalidDocumentError, match="metadata"):
            journal.change(add)


class TestLoading:
    def test_gives_the_files_that_items_name(self, journals: Journals, journal: Journal) -> None:
        one, two = journal.attach(b"one", "1.txt"), journal.attach(b"two", "2.txt")
        journal.append([one, two], set={"from": 2})
        loaded = journals.open("a").load(
            start=lambda head: head.metadata["from"], refs=lambda loaded: loaded.items
        )
        assert loaded
        assert (loaded.start, loaded.items, loaded.attachments) == (2, [two], {two: b"two"})
        assert journals.open("none").load(refs=lambda loaded: loaded.items) is None

    def test_of_one_that_is_not_there_is_damage(self, journal: Journal) -> None:
        with pytest.raises(
            CorruptDataError, match="an item of the journal refers to this attachment"
        ) as caught:
            journal.load(refs=lambda _: ["0" * 32])
        assert str(caught.value.key).endswith("0" * 32)

    def test_reads_a_newer_head_if_a_file_went_with_an_item(
        self, journals: Journals, journal: Journal
    ) -> None:
        ref = journal.attach(PLOT, "plot.png")
        journal.append([ref])
        other = journals.open("a")
        other.read()

        def named(loaded: Loaded) -> list[str]:
            if ref in loaded.items:  # and then another takes it away
                other.change(lambda draft: draft.pop())
                other.detach([ref])
            return [item for item in loaded.items if isinstance(item, str)]

        loaded = journal.load(refs=named)
        assert loaded
        assert (loaded.items, loaded.attachments) == ([1], {})


class TestDetaching:
    def test_deletes_what_is_named(self, journal: Journal, store: StateStore) -> None:
        one, two = journal.attach(b"one", "1.txt"), journal.attach(b"two", "2.txt")
        journal.detach([one, "0" * 32])
        assert journal.attachments([one, two]) == {one: None, two: b"two"}
        journal.detach([one])
        assert len(kept(store)) == 1

    def test_leaves_what_a_fork_has(self, journal: Journal) -> None:
        ref = journal.attach(PLOT, "plot.png")
        fork = journal.fork("b")
        journal.detach([ref])
        assert fork.attachments([ref]) == {ref: PLOT}


class TestAFork:
    def test_resolves_the_same_refs(self, journal: Journal) -> None:
        refs = [journal.attach(each, "f.bin") for each in (b"one", b"two")]
        fork = journal.fork("b", upto=0)
        journal.delete()
        assert fork.attachments(refs) == dict(zip(refs, (b"one", b"two"), strict=True))
        assert fork.fork("c").attachments(refs) == fork.attachments(refs)

    def test_of_a_journal_without_files_looks_for_none(self, store: StateStore) -> None:
        class NoScan(StoreWrapper):
            def scan(self, prefix: str = "") -> Any:
                raise AssertionError(prefix)

        journal = Journals(NoScan(store), "agents").open("a")
        journal.append([1])
        assert journal.fork("b").read() == [1]


class Counting(StoreWrapper):
    """Remembers what was asked of the store."""

    def __init__(self, store: StateStore) -> None:
        super().__init__(store)
        self.calls: list[str] = []

    def get(self, key: str) -> Any:
        self.calls.append("get")
        return super().get(key)

    def put(self, key: str, data: bytes, **expect: Any) -> Any:
        self.calls.append("put")
        return super().put(key, data, **expect)

    def scan(self, prefix: str = "") -> Any:
        self.calls.append("scan")
        return super().scan(prefix)

    def said(self) -> str:
        said, self.calls = " ".join(self.calls), []
        return said


def test_files_cost_what_they_must(store: StateStore) -> None:
    counting = Counting(store)
    journal = Journals(counting, "agents").open("a")
    journal.append([1])
    counting.said()
    journal.attach(b"one", "1.txt")
    assert counting.said() == "put put"
    ref = journal.attach(b"two", "2.txt")
    assert counting.said() == "get put"
    journal.change(lambda draft: draft.append([draft.attach(b"three", "3.txt")]))
    assert counting.said() == "put put"
    assert journal.load(last=1, refs=lambda loaded: loaded.items)
    assert counting.said() == "get get"
    journal.fork("b")
    assert counting.said() == "get get scan get put get put get put put"
    journal.append([{"file": ref}])
    assert counting.said() == "put"
    journal.delete()
    assert counting.said() == "get"


class TestWithoutAJournal:
    def test_is_refused(self, journals: Journals, store: StateStore) -> None:
        journal = journals.open("none")
        for call in (
            lambda: journal.attach(PLOT, "plot.png"),
            lambda: journal.attachments(["0" * 32]),
            lambda: journal.detach(["0" * 32]),
        ):
            with pytest.raises(NotFoundError, match="no such journal"):
                call()
        assert list(store.scan()) == []

    def test_that_this_handle_saw_is_a_conflict(self, journals: Journals, journal: Journal) -> None:
        journals.open("a").delete()
        journals.open("a").append([2])
        for call in (
            lambda: journal.attach(PLOT, "plot.png"),
            lambda: journal.detach(["0" * 32]),
        ):
            with pytest.raises(ConflictError, match="recreated since"):
                call()
