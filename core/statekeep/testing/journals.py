"""Tests of what `Journals` promises on every store."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import (
    ABSENT,
    SKIP,
    ConflictError,
    InvalidDocumentError,
    Journals,
    NotFoundError,
    OwnershipError,
    StateStore,
    UnsupportedError,
    Version,
)
from statekeep.events import JournalDeleted, JournalSaved, OperationFinished
from statekeep.journals import Draft
from statekeep.store.keys import SEGMENTS
from statekeep.testing.checks import one_wins, read
from statekeep.testing.fixtures import PolicyFixtures
from statekeep.testing.hostile import hostile_ids
from statekeep.testing.journal_checks import (
    COLLECTION,
    KEY,
    NAME,
    Meanwhile,
    Watching,
    appended_once,
    in_order,
    is_gone,
    lists,
    refuses,
    says,
    small_bounds,
)
from statekeep.testing.journal_damage import JournalDamage
from statekeep.testing.journal_faults import JournalFaults
from statekeep.testing.processes import append_often, in_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep import Journal, JournalSummary
    from statekeep.events import Event
    from statekeep.store import ConflictPolicy

__all__ = ["JournalsContract"]

_ITEMS: list[Any] = [{"role": "user", "content": "Hi\n\u2028"}, 1, 1.5, "two", None, True, [[]], {}]


class JournalsContract(JournalDamage, JournalFaults, PolicyFixtures):
    """What `Journals` promises on every store; subclass it and override `location`.

    On a store that cannot detect conflicts, journals are opened with ``"last-writer-wins"``, and
    the tests that need more are skipped with the reason ``not claimed: …``.

    Examples:
        >>> class TestJournalsInMine(JournalsContract):
        ...     @pytest.fixture
        ...     def location(self, tmp_path: Path) -> str:
        ...         return f"mine:{tmp_path}"
    """

    @pytest.fixture
    def race(self) -> tuple[int, int]:
        """The number of racing processes and of appends by each; lower it for a slow store."""
        return 8, 50

    @pytest.fixture
    def journals(self, store: StateStore, conflicts: ConflictPolicy) -> Journals:
        """The store's journals."""
        return Journals(store, COLLECTION, conflicts=conflicts)

    @pytest.fixture
    def others(self, location: str, conflicts: ConflictPolicy) -> Iterator[Journals]:
        """Another worker's view of the same location."""
        with self.open(location) as store:
            yield Journals(store, COLLECTION, conflicts=conflicts)

    @pytest.fixture
    def _small(self) -> Iterator[None]:
        """Lower the limits, so that a few items make segments and a few segments are merged."""
        with small_bounds():
            yield

    def test_detecting_conflicts_works_or_is_refused(
        self, store: StateStore, conflicts: ConflictPolicy
    ) -> None:
        if conflicts == "detect":
            Journals(store, COLLECTION).open(*NAME).append([1])
        else:
            with pytest.raises(UnsupportedError, match="last-writer-wins"):
                Journals(store, COLLECTION)

    # appending and reading

    def test_appended_items_can_be_read(self, journals: Journals, others: Journals) -> None:
        journal = journals.open(*NAME)
        journal.append(_ITEMS[:3], user_id="ada", set={"title": "Hi", "k": [1]})
        head = journal.append(_ITEMS[3:], unset=["title"], set={"j": {"é": None}})
        says(others, _ITEMS)
        found = others.open(*NAME).head()
        assert found == head, f"the head is {found}, but the append returned {head}"
        assert (head.length, head.user_id) == (len(_ITEMS), "ada"), f"the head says {head}"
        assert head.metadata == {"k": [1], "j": {"é": None}}, f"the metadata is {head.metadata}"
        assert head.created_at <= head.updated_at, f"it was updated before it was created: {head}"

    def test_a_missing_journal_is_none(self, journals: Journals, store: StateStore) -> None:
        is_gone(journals)
        assert journals.open(*NAME).head() is None, (
            "there is a head of a journal that was never created"
        )
        assert journals.open(*NAME).delete() is False, (
            "deleting a missing journal says there was one"
        )
        assert [*store.scan()] == [], "reading a missing journal left something behind"

    def test_a_name_is_never_taken_for_a_path(self, journals: Journals, others: Journals) -> None:
        names = [(each, "thread") for each in hostile_ids()] + [("",), ("a", ".jsonl"), (".", ".")]
        for number, name in enumerate(names):
            journals.open(*name).append([number])
        lists(others.list(), names)
        for number, name in enumerate(names):
            found = others.open(*name).read()
            assert found == [number], f"the journal {name!r} holds {found}, not {[number]}"
            assert others.open(*name).delete(), f"the journal {name!r} was not there"
        lists(journals.list(), [])

    def test_slices_are_those_of_a_list(self, journals: Journals, others: Journals) -> None:
        items = [[number, "x" * 20] for number in range(30)]
        with small_bounds():
            journal = journals.open(*NAME)
            for number in range(0, 30, 2):
                journal.append(items[number : number + 2])
        # It is read under the default limits, though it was written under others.
        for start, stop in ((0, None), (0, 1), (3, 9), (-5, None), (-25, -20), (29, 99), (7, 7)):
            found = others.open(*NAME).read(start=start, stop=stop)
            assert found == items[start:stop], f"items {start} to {stop} are read as {found}"
        for last in (0, 1, 2, 11, 30, 99):
            found = others.open(*NAME).read(last=last)
            assert found == items[30 - min(30, last) :], (
                f"the last {last} items are read as {found}"
            )
            loaded = journal.load(last=last)
            assert loaded is not None, "an existing journal loads as None"
            assert loaded.start == 30 - min(30, last), (
                f"the last {last} items start at {loaded.start}"
            )
            assert loaded.head.length == 30, (
                f"the head of 30 items gives the length {loaded.head.length}"
            )

    @pytest.mark.usefixtures("_detects", "_small")
    def test_two_writers_taking_turns_lose_nothing(
        self, journals: Journals, others: Journals
    ) -> None:
        one, two = journals.open(*NAME), others.open(*NAME)
        for number in range(12):
            one.append([["one", number]])
            two.append([["two", number]])
        says(journals, [[name, number] for number in range(12) for name in ("one", "two")])

    @pytest.mark.usefixtures("_detects", "_small")
    def test_threads_appending_at_once_lose_nothing(
        self, journals: Journals, others: Journals
    ) -> None:
        gate = threading.Barrier(4)

        def append(worker: int) -> None:
            journal = (journals, others)[worker % 2].open(*NAME)
            gate.wait()
            for number in range(10):
                journal.append([[worker, number]])

        with ThreadPoolExecutor(4) as pool:
            [*pool.map(append, range(4))]
        in_order(others, 4, 10)
        problems = journals.list().problems
        assert problems == (), f"appending at once left problems: {problems}"

    @pytest.mark.usefixtures("_detects", "_shared")
    def test_processes_appending_at_once_lose_nothing(
        self, others: Journals, location: str, race: tuple[int, int]
    ) -> None:
        workers, times = race
        with Watching(others) as watch:
            calls = [(self.open, location, COLLECTION, NAME, n, times) for n in range(workers)]
            in_processes(append_often, calls)
        in_order(others, workers, times)
        assert watch.looks > 1, "no read succeeded while others appended"

    def test_a_value_that_cannot_be_stored_changes_nothing(self, journals: Journals) -> None:
        journal = journals.open(*NAME)
        journal.append([1])
        for bad in (float("nan"), 2**70, {"a set"}, "\ud83d", "x" * 2**24):
            calls: dict[str, Callable[[], object]] = {
                "an append": partial(journal.append, [2, bad]),
                "an append of metadata": partial(journal.append, [], set={"k": bad}),
                "a change": partial(journal.change, partial(Draft.append, items=[2, bad])),
                "a change of metadata": partial(journal.change, partial(_set, value=bad)),
            }
            for way, call in calls.items():
                error = refuses(call, InvalidDocumentError, f"{way} of {str(bad)[:9]!r}")
                assert error.landed in {"no", None}, f"the error of {way} says {error.landed!r}"
        says(journals, [1])

    def test_the_callers_objects_are_not_kept(self, journals: Journals) -> None:
        item, metadata = {"deep": [1]}, {"deep": [1]}
        journal = journals.open(*NAME)
        head = journal.append([item], set={"m": metadata})
        for each in (item, metadata, head.metadata["m"], *(journal.read() or [])):
            each["deep"].append(2)
        says(journals, [{"deep": [1]}], handle=journal)
        found = journal.head()
        assert found is not None, "the journal is gone"
        assert found.metadata == {"m": {"deep": [1]}}, (
            "a caller's later change reached the stored metadata"
        )

    def test_the_last_writer_wins_if_requested(self, store: StateStore) -> None:
        journals = Journals(store, COLLECTION, conflicts="last-writer-wins")
        for number in range(3):
            journals.open(*NAME).append([number])
        journals.open(*NAME).change(lambda draft: draft.pop())
        says(journals, [0, 1])
        assert journals.open(*NAME).delete(), "deleting a journal says there was none"
        is_gone(journals)

    # creating, and expecting a version

    @pytest.mark.usefixtures("_creates")
    def test_a_journal_is_created_once(self, journals: Journals, others: Journals) -> None:
        journals.open(*NAME).create([1], metadata={"k": 1}, user_id="ada")
        refuses(partial(others.open(*NAME).create, [2]), ConflictError, "creating it again")
        refuses(
            partial(others.open(*NAME).append, [2], expect=ABSENT),
            ConflictError,
            "an append that creates it",
        )
        says(journals, [1])

    @pytest.mark.usefixtures("_creates")
    def test_only_one_of_several_racing_creators_wins(
        self, journals: Journals, others: Journals
    ) -> None:
        for turn in range(3):
            name = f"race-{turn}"
            opened = [each.open(name) for each in (journals, others) * 2]
            winner = one_wins(
                [partial(each.create, [number]) for number, each in enumerate(opened)],
                "creators of a journal",
            )
            found = journals.open(name).read()
            assert found == [winner], f"creator {winner} won, but the journal holds {found}"

    @pytest.mark.usefixtures("_detects")
    def test_an_outdated_version_is_refused(self, journals: Journals, others: Journals) -> None:
        journal = journals.open(*NAME)
        refuses(
            partial(journal.append, [0], expect=Version("none")), ConflictError, "a false version"
        )
        old = journal.append([1]).version
        new = journal.append([2], expect=old).version
        for handle in (journal, others.open(*NAME)):
            refuses(partial(handle.append, [3], expect=old), ConflictError, "an old version")
            refuses(partial(handle.delete, expect=old), ConflictError, "a delete of an old version")
        says(others, [1, 2])
        assert others.open(*NAME).delete(expect=new), "deleting the version seen did nothing"
        is_gone(journals)

    @pytest.mark.usefixtures("_detects")
    def test_a_delete_of_a_version_spares_a_newer_one(
        self, store: StateStore, journals: Journals, others: Journals
    ) -> None:
        version = journals.open(*NAME).append([1]).version
        busy = Meanwhile(store, KEY, lambda: others.open(*NAME).append([2]))
        refuses(
            partial(Journals(busy, COLLECTION).open(*NAME).delete, expect=version),
            ConflictError,
            "a delete of a version that another append has replaced",
        )
        says(others, [1, 2])

    def test_another_users_journal_is_refused(self, journals: Journals, others: Journals) -> None:
        journals.open(*NAME).append([1])
        journals.open(*NAME).append([2], user_id="ada")
        refuses(
            partial(others.open(*NAME).append, [3], user_id="eve"),
            OwnershipError,
            "an append by another user",
        )
        others.open(*NAME).append([4], user_id="ada")
        says(journals, [1, 2, 4])

    # keys

    @pytest.mark.usefixtures("_small")
    @pytest.mark.parametrize("between", ["nothing", "lines that leave", "pop", "truncate", "clear"])
    def test_an_append_with_a_key_happens_once(
        self, journals: Journals, others: Journals, between: str
    ) -> None:
        journal = journals.open(*NAME)
        journal.append([1], key="request")
        journal.append([2, 3, 4], keys=["a", None, "b"])
        expected: list[Any] = [1, 2, 3, 4]
        match between:
            case "lines that leave":
                added = ["x" * 40] * 20
                for item in added:
                    journal.append([item])
                expected += added
            case "pop":
                journal.change(lambda draft: [draft.pop() for _ in range(4)])
                expected = []
            case "truncate":
                journal.change(lambda draft: draft.truncate(2))
                expected = expected[:2]
            case "clear":
                journal.change(lambda draft: draft.clear())
                expected = []
        for handle in (journal, others.open(*NAME)):
            handle.append([5], key="request", set={"k": 1})
            head = handle.append([6, 7], keys=["b", "a"], set={"j": 1})
            assert handle.change(lambda draft: draft.append([8], keys=["a"])) == [False], (
                f"after {between}, a draft does not know a key"
            )
            assert head.metadata == {"j": 1}, (
                f"the metadata is {head.metadata}: a known key must prevent the whole "
                "append, known keys of items only those items"
            )
        appended_once(others, expected, f"after {between},")

    def test_a_delete_forgets_keys(self, journals: Journals, others: Journals) -> None:
        journals.open(*NAME).append([1], key="request")
        others.open(*NAME).delete()
        journals.open(*NAME).append([2], key="request")
        says(others, [2])

    def test_a_key_repeated_in_one_call_counts_once(self, journals: Journals) -> None:
        journals.open(*NAME).append([1, 2, 3], keys=["a", "a", None])
        says(journals, [1, 3])

    # segments

    @pytest.mark.usefixtures("_small", "_detects")
    def test_a_reader_during_a_merge_sees_a_state_that_existed(
        self, store: StateStore, journals: Journals, others: Journals
    ) -> None:
        journal = others.open(*NAME)
        written = [["first", number] for number in range(9)]
        for item in written:
            journal.append([item])

        def more() -> None:
            for number in range(9):
                written.append(["more", number])
                journal.append(written[-1:])

        busy = Journals(Meanwhile(store, KEY, more), COLLECTION)
        found = busy.open(*NAME).read()
        assert found in (written[:9], written), f"a reader saw {found}, which never existed"
        says(journals, written)

    @pytest.mark.usefixtures("_small")
    def test_segments_named_by_older_heads_are_kept(
        self, journals: Journals, store: StateStore, others: Journals
    ) -> None:
        journal = journals.open(*NAME)
        items: list[Any] = []
        heads = []
        for number in range(20):
            items.append([number, "x" * 20])
            journal.append(items[-1:])
            heads.append(store.get(KEY))
        journal.change(lambda draft: draft.replace(0, "other"))
        journal.change(lambda draft: draft.clear())
        there = {entry.key for entry in store.scan(SEGMENTS)}
        assert len(there) > 3, f"20 items are in too few segments: {there}"
        # As when a copy is restored from the trash or a backup.
        for number, blob in enumerate(heads, start=1):
            assert blob is not None, "the head was missing right after an append"
            store.put(KEY, blob.data)
            try:
                found = others.open(*NAME).read()
            except Exception as error:  # noqa: BLE001 - reported below
                pytest.fail(f"the journal cannot be read by its head of {number} items: {error}")
            assert found == items[:number], f"the head of {number} items now reads as {found}"

    @pytest.mark.usefixtures("_small")
    def test_a_journal_has_few_segments(self, journals: Journals, store: StateStore) -> None:
        journal = journals.open(*NAME)
        for number in range(60):
            journal.append([number])
        loaded = journal.load()
        assert loaded is not None, "the journal is gone"
        assert loaded.items == [*range(60)], f"sixty items are read as {loaded.items}"
        header = json.loads(read(store, KEY).data.splitlines()[0])
        named = len(header["segments"])
        assert named < 9, f"the head of sixty small items names {named} segments"

    @pytest.mark.usefixtures("_small")
    def test_items_can_be_popped_from_segments_too(
        self, journals: Journals, others: Journals
    ) -> None:
        journal = journals.open(*NAME)
        items: list[Any] = []
        for number in range(40):
            items.append([number, "x" * 20])
            journal.append(items[-1:])
            if number % 3 == 2:
                _pops(journal, items)
            says(others, items)
        while items:
            _pops(journal, items)
        says(others, [])
        refuses(
            partial(journal.change, lambda draft: draft.pop()),
            IndexError,
            "a pop from an empty journal",
        )

    # changing

    @pytest.mark.usefixtures("_small")
    def test_a_draft_behaves_like_a_list(self, journals: Journals, others: Journals) -> None:
        journal = journals.open(*NAME)
        items = [[number] for number in range(30)]
        for item in items:
            journal.append([item])

        def change(draft: Draft) -> str:
            assert draft.exists, "a draft says that its journal does not exist"
            assert draft.items() == items, f"a draft of {items} gives {draft.items()}"
            assert draft.last(3) == items[-3:], f"its last three are {draft.last(3)}"
            draft.append(["a", "b"])
            assert draft.pop() == "b", "a draft popped an item other than the last"
            draft.replace(2, "two")
            draft.replace(-1, "last")
            draft.truncate(40)
            draft.metadata["k"] = [1]
            assert draft.length == 31, f"a draft of 31 items has the length {draft.length}"
            return "result"

        assert journal.change(change) == "result", (
            "a change does not return what its function returned"
        )
        says(others, [[0], [1], "two", *items[3:], "last"])
        journal.change(lambda draft: draft.truncate(2))
        says(others, [[0], [1]])
        head = journal.head()
        assert head is not None, "a truncate deleted the journal"
        assert head.metadata == {"k": [1]}, f"after a truncate the metadata is {head.metadata}"

    @pytest.mark.usefixtures("_detects")
    def test_a_change_sees_concurrent_appends(self, journals: Journals, others: Journals) -> None:
        journal = journals.open(*NAME)
        journal.append([0])
        seen: list[int] = []

        def change(draft: Draft) -> None:
            if not seen:
                others.open(*NAME).append(["theirs"])
            seen.append(draft.length)
            draft.append(["mine"])

        journal.change(change)
        says(others, [0, "theirs", "mine"])
        assert seen == [1, 2], f"the change saw {seen} items instead of one and then two"

    def test_a_change_that_writes_nothing_sees_the_current_items(
        self, journals: Journals, others: Journals
    ) -> None:
        journal = journals.open(*NAME)
        version = journal.append([]).version

        def look(draft: Draft) -> object:
            return draft.pop() if draft.length else SKIP

        assert journal.change(look) is SKIP, "a change of an empty journal found an item"
        head = journal.head()
        assert head is not None, "the journal is gone"
        assert head.version == version, "a change that returned SKIP was written"
        others.open(*NAME).append(["theirs"])
        found = journal.change(look)
        assert found == "theirs", f"a change used outdated items and returned {found!r}"

    @pytest.mark.usefixtures("_detects")
    def test_a_change_never_fails_because_of_outdated_items(
        self, journals: Journals, others: Journals
    ) -> None:
        journal = journals.open(*NAME)
        journal.append([])
        others.open(*NAME).append([1])
        try:
            found = journal.change(lambda draft: draft.pop())
        except IndexError:
            pytest.fail("a change saw an empty journal, though there is an item")
        assert found == 1, f"the last item is 1, but a pop returned {found!r}"

    def test_a_change_that_raises_changes_nothing(self, journals: Journals) -> None:
        journal = journals.open(*NAME)
        journal.append([1])

        def fail(draft: Draft) -> None:
            draft.append([2])
            draft.metadata["k"] = 1
            raise RuntimeError

        refuses(partial(journal.change, fail), RuntimeError, "a change that fails")
        says(journals, [1])
        refuses(
            partial(journals.open("none").change, fail, create=False),
            NotFoundError,
            "a change of no journal",
        )

    # deleted and recreated

    @pytest.mark.usefixtures("_detects")
    @pytest.mark.parametrize("anew", [False, True])
    def test_a_handle_of_a_deleted_journal_is_refused(
        self, journals: Journals, others: Journals, *, anew: bool
    ) -> None:
        stale = journals.open(*NAME)
        stale.append([1], set={"k": 1})
        others.open(*NAME).delete()
        if anew:
            others.open(*NAME).append([3])
        what = "recreated" if anew else "deleted"
        calls: dict[str, Callable[[], object]] = {
            "append": partial(stale.append, [2]),
            "change": partial(stale.change, lambda draft: draft.append([2])),
            "pin": stale.pin,
        }
        for way, call in calls.items():
            refuses(call, ConflictError, f"{way} by a handle of a journal that was {what}")
        if anew:
            refuses(stale.delete, ConflictError, "a delete by a handle of the earlier journal")
        found = others.open(*NAME).read()
        assert found == ([3] if anew else None), f"a stale handle left {found}"

    def test_a_handle_can_recreate_the_journal_it_deleted(
        self, journals: Journals, others: Journals
    ) -> None:
        journal = journals.open(*NAME)
        old = journal.append([1]).uid
        assert journal.delete(), "deleting a journal says there was none"
        assert not journal.delete(), "deleting it again says there was one"
        head = journal.append([2])
        assert head.uid != old, "a recreated journal has the uid of the one before"
        says(others, [2])

    # many together

    def test_a_listing_has_every_journal(self, journals: Journals, others: Journals) -> None:
        names = [("ada",), ("ada", "1"), ("ada", "2"), ("adam", "1"), ("bob", "1", "x")]
        for number, name in enumerate(names):
            journals.open(*name).append(
                [1] * number, user_id=name[0], set={"title": "/".join(name)}
            )
        lists(others.list(), names)
        lists(others.list("ada"), names[:3])
        lists(others.list("bob", "1"), names[4:])
        lists(others.list(user_id="adam"), [names[3]])
        lists(others.list(title="ada/2"), [names[2]])
        lists(others.list("eve"), [])
        counts = [others.count(), others.count("ada"), others.count(title="ada/2")]
        assert counts == [len(names), 3, 1]
        assert others.count("bob", "1", user_id="eve") == others.count("eve") == 0
        whole = others.list()
        for summary in whole:
            number = names.index(summary.name)
            assert summary.length == number, (
                f"{summary.name} has {number} items, but is listed as {summary}"
            )
            found = summary.user_id, summary.title
            assert found == (summary.name[0], "/".join(summary.name)), (
                f"{summary.name} is listed with the user and title {found}"
            )
        paged: list[JournalSummary] = []
        cursor = None
        while True:
            page = others.list(limit=2, cursor=cursor)
            paged += page.summaries
            cursor = page.cursor
            if cursor is None:
                break
        assert tuple(paged) == whole.summaries, (
            "the pages add up to something other than the whole listing"
        )
        heads = sorted(head.name for head in others.heads("ada"))
        assert heads == names[:3], f"the heads below 'ada' are {heads}"
        heads = sorted(head.name for head in others.heads("ada", parts=2))
        assert heads == names[1:3], f"the heads below 'ada' with names of two parts are {heads}"

    def test_a_listing_is_up_to_date(self, journals: Journals, others: Journals) -> None:
        lists(others.list(), [])
        for length in (1, 2):
            journals.open(*NAME).append([length])
            (summary,) = others.list()
            assert summary.length == length, (
                f"a listing is outdated: {summary.length} items after {length} appends"
            )
        journals.open(*NAME).delete()
        lists(others.list(), [])

    def test_journals_below_a_name_are_deleted_together(
        self, journals: Journals, others: Journals
    ) -> None:
        for name in (("ada",), ("ada", "1"), ("ada", "2", "x"), ("adam",)):
            journals.open(*name).append([1])
        deleted = others.delete_below("ada")
        assert deleted == 3, f"three journals were below the name, but {deleted} were deleted"
        lists(journals.list(), [("adam",)])

    def test_collections_are_separate(self, journals: Journals, store: StateStore) -> None:
        other = Journals(store, f"{COLLECTION}.x", conflicts="last-writer-wins")
        other.open(*NAME).append([1])
        is_gone(journals)
        lists(journals.list(), [])
        assert other.delete_below() == 1, "the journal of the other collection is gone"

    # events

    def test_observers_are_told_what_happened(
        self, store: StateStore, conflicts: ConflictPolicy
    ) -> None:
        events: list[Event] = []
        journals = Journals(store, COLLECTION, conflicts=conflicts, observers=[events.append])
        journal = journals.open(*NAME)
        versions = [journal.append([1], user_id="ada").version, journal.append([2]).version]
        journal.delete()
        where = str(store)
        facts = [event for event in events if not isinstance(event, OperationFinished)]
        assert facts == [
            JournalSaved(where, COLLECTION, NAME, "ada", versions[0], created=True),
            JournalSaved(where, COLLECTION, NAME, "ada", versions[1], created=False),
            JournalDeleted(where, COLLECTION, NAME, pruned=False, trashed=False),
        ], f"for two appends and a delete, observers are told {facts}"


def _pops(journal: Journal, items: list[Any]) -> None:
    found, last = journal.change(lambda draft: draft.pop()), items.pop()
    assert found == last, f"the last item is {last}, but a pop returned {found!r:.80}"


def _set(draft: Draft, value: object) -> None:
    draft.metadata["k"] = value
