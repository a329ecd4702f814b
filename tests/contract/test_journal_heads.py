"""Journals are listed, pruned, pinned and deleted as sessions are, by their heads alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statekeep import (
    ClosedError,
    CorruptDataError,
    InvalidKeyError,
    Journals,
    JournalSummary,
    NotFoundError,
    OwnershipError,
    Retention,
    Session,
    Sessions,
    StateStore,
    UnsupportedError,
    load_pruner,
    open_store,
)
from statekeep.events import (
    ConflictDetected,
    Event,
    JournalDeleted,
    JournalSaved,
    OperationFinished,
    ProblemFound,
    PruneFinished,
)
from statekeep.format.journal import Header, encode_head
from statekeep.format.summary import FOREVER
from statekeep.heads import index as index_module
from statekeep.heads.journals import journal_heads
from statekeep.heads.records import decode_index, encode_index
from statekeep.retention import Victim
from statekeep.store import Capabilities
from statekeep.store.keys import journal_key
from statekeep.testing.faults import FaultyStore
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from statekeep import Listing, Summary
    from statekeep.store import Blob

HOUR = timedelta(hours=1)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    with open_store("memory:" if request.param == "memory" else str(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def journals(store: StateStore) -> Journals:
    return Journals(store, "agents")


class All:
    """A strategy that chooses everything."""

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        return (Victim(each, "all") for each in summaries)


def names(listing: Listing[JournalSummary]) -> list[tuple[str, ...]]:
    return [summary.name for summary in listing]


class TestListings:
    def test_say_what_a_head_says(self, journals: Journals) -> None:
        end = datetime(2031, 1, 1, tzinfo=UTC)
        journal = journals.open("ada", "thread/17")
        journal.append([1, 2], set={"title": "Plans"}, user_id="ada")
        journal.pin()
        head = journal.expire(end)
        (found,) = journals.list()
        assert found == JournalSummary(
            id="ada/%..thread%2F17",
            user_id="ada",
            created_at=head.created_at,
            updated_at=head.updated_at,
            size=head.size,
            pinned_until=FOREVER,
            expires_at=end,
            title="Plans",
            collection="agents",
            name=("ada", "thread/17"),
            length=2,
        )

    def test_show_the_newest_first_in_pages(self, journals: Journals) -> None:
        for name in "abcde":
            journals.open(name).append([name])
        journals.open("b").append([1])
        everything = names(journals.list())
        assert everything == [("b",), ("e",), ("d",), ("c",), ("a",)]
        first = journals.list(limit=2)
        second = journals.list(limit=2, cursor=first.cursor)
        third = journals.list(limit=2, cursor=second.cursor)
        assert names(first) + names(second) + names(third) == everything
        assert third.cursor is None

    def test_are_of_one_collection(self, store: StateStore, journals: Journals) -> None:
        Journals(store, "agents2").open("x").append([1])
        journals.open("y").append([1])
        Sessions(store).save(Session.new("ada", "z"))
        assert names(journals.list()) == [("y",)]
        assert [each.id for each in Sessions(store).list()] == ["z"]

    def test_go_by_the_beginning_of_a_name(self, journals: Journals) -> None:
        for name in (("ada",), ("ada", "1"), ("ada", "1", "x"), ("adam",), ("bob", "1"), ("", "1")):
            journals.open(*name).append([1])
        assert sorted(names(journals.list("ada"))) == [("ada",), ("ada", "1"), ("ada", "1", "x")]
        assert sorted(names(journals.list("ada", "1"))) == [("ada", "1"), ("ada", "1", "x")]
        assert names(journals.list("")) == [("", "1")]
        assert names(journals.list("eve")) == []
        assert len(journals.list()) == 6

    def test_of_a_beginning_see_changes_and_deletions(self, journals: Journals) -> None:
        for name in ("1", "2", "3"):
            journals.open("ada", name).append([1])
        journals.open("ada").append([1])
        assert [each.length for each in journals.list("ada")] == [1, 1, 1, 1]
        journals.open("ada").append([2])
        journals.open("ada", "2").append([2])
        journals.open("ada", "1").delete()
        assert {each.name: each.length for each in journals.list("ada")} == {
            ("ada",): 2,
            ("ada", "2"): 2,
            ("ada", "3"): 1,
        }
        journals.open("ada").delete()
        assert sorted(names(journals.list("ada"))) == [("ada", "2"), ("ada", "3")]
        assert sorted(names(journals.list())) == [("ada", "2"), ("ada", "3")]

    def test_filter_by_user_title_and_time(self, journals: Journals) -> None:
        journals.open("1").append([1], user_id="ada", set={"title": "Plans"})
        middle = journals.open("2").append([1], user_id="bob", set={"title": "Plans"})
        journals.open("3").append([1], user_id="ada", set={"title": 3})
        assert names(journals.list(user_id="ada")) == [("3",), ("1",)]
        assert names(journals.list(title="Plans")) == [("2",), ("1",)]
        assert names(journals.list(user_id="ada", title="Plans")) == [("1",)]
        assert names(journals.list(updated_before=middle.updated_at)) == [("1",)]
        assert names(journals.list(updated_after=middle.updated_at)) == [("3",)]

    def test_name_what_cannot_be_read(self, store: StateStore) -> None:
        events: list[Event] = []
        journals = Journals(store, "agents", observers=[events.append])
        journals.open("sound").append([1])
        key = journal_key("agents", ["torn"])
        store.put(key, b"garbage\n")
        about = {"name": ["else"], "created_at": "2024-01-01T00:00:00Z"}
        about["updated_at"] = about["created_at"]
        misplaced = journal_key("agents", ["misplaced"])
        store.put(misplaced, encode_head(Header(uid="0" * 32, n=0, about=about)))
        for _ in range(2):
            listing = journals.list()
            assert names(listing) == [("sound",)]
            assert [problem.key for problem in listing.problems] == [misplaced, key]
            assert "'else'" in listing.problems[0].reason
        assert [each.key for each in events if isinstance(each, ProblemFound)] == [misplaced, key]
        assert [each.key for each in journals.list("torn").problems] == [key]

    def test_refuse_what_no_listing_takes(self, journals: Journals) -> None:
        with pytest.raises(InvalidKeyError, match="cursor"):
            journals.list(cursor="x")
        with pytest.raises(TypeError, match="prefix: text, not int"):
            journals.list(1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="limit must be at least 1"):
            journals.list(limit=0)

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["append", "delete", "list", "list ada", "garbage"]),
                st.sampled_from([("ada",), ("ada", "1"), ("ada", "2"), ("bob", "1"), ("b",)]),
            ),
            max_size=25,
        )
    )
    def test_equal_a_full_read_whatever_was_listed_before(
        self, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, tuple[str, ...]]]
    ) -> None:
        monkeypatch.setattr(index_module, "_FEW", 0)
        store = MemoryStore()
        journals = Journals(store, "agents")
        for step, name in steps:
            key = journal_key("agents", name)
            if step == "append":
                blob = store.get(key)
                if blob is not None and blob.data == b"x":
                    store.delete(key)
                Journals(store, "agents").open(*name).append([1])
            elif step == "garbage":
                store.put(key, b"x")
            elif step == "delete":
                store.delete(key)
            else:
                below = ("ada",) if step == "list ada" else ()
                listing, anew = journals.list(*below), Journals(store, "agents").list()
                wanted = [each for each in anew if each.name[: len(below)] == below]
                assert [*listing] == wanted
                for problem in anew.problems:
                    inside = problem.key.startswith(
                        ("journals/agents/ada/", "journals/agents/ada.")
                    )
                    assert (problem in listing.problems) == (inside or not below)


class CountingStore(MemoryStore):
    """A store that counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0

    def get(self, key: str) -> Blob | None:
        self.gets += 1
        return super().get(key)


class MidCopyStore(MemoryStore):
    """A store in which the first read of a document finds half of it."""

    def __init__(self) -> None:
        super().__init__()
        self.halved: set[str] = set()

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        if blob is None or key not in self.halved:
            return blob
        self.halved.remove(key)
        return replace(blob, data=blob.data[: len(blob.data) // 2])


class TestDamage:
    @pytest.fixture
    def store(self) -> MidCopyStore:
        store = MidCopyStore()
        Journals(store, "agents").open("ada", "1").append([1])
        Journals(store, "agents").open("ada", "2").append([2])
        Sessions(store).save(Session.new("ada", "s"))
        store.halved = {journal_key("agents", ["ada", "1"]), "sessions/s.json"}
        return store

    def test_that_a_second_read_does_not_show_is_no_problem(self, store: MidCopyStore) -> None:
        events: list[Event] = []
        listing = Journals(store, "agents", observers=[events.append]).list()
        assert sorted(names(listing)) == [("ada", "1"), ("ada", "2")]
        assert not listing.problems
        assert not [each for each in events if isinstance(each, ProblemFound)]
        assert [each.id for each in Sessions(store).list()] == ["s"]
        assert not store.halved

    def test_that_a_second_read_does_not_show_hides_no_head(self, store: MidCopyStore) -> None:
        heads = Journals(store, "agents").heads("ada")
        assert {head.name for head in heads} == {("ada", "1"), ("ada", "2")}

    def test_that_goes_before_the_second_read_is_forgotten(self, store: MidCopyStore) -> None:
        key = journal_key("agents", ["ada", "1"])
        journals = Journals(store, "agents")
        get = store.get

        def get_once(wanted: str) -> Blob | None:
            blob = get(wanted)
            if wanted == key:
                store.delete(key)
            return blob

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(store, "get", get_once)
            assert {head.name for head in journals.heads("ada")} == {("ada", "2")}
        assert not journals.list().problems


def test_a_line_added_by_hand_is_dropped_and_several_are_damage(store: StateStore) -> None:
    def add(lines: bytes) -> None:
        blob = store.get(key)
        assert blob is not None
        store.put(key, blob.data + lines)

    key = journal_key("agents", ["a"])
    Journals(store, "agents").open("a").append([1])
    add(b'{"items":[2]}\n')
    assert Journals(store, "agents").open("a").read() == [1]
    Journals(store, "agents").open("a").append([3])
    assert Journals(store, "agents").open("a").read() == [1, 3]
    add(b'{"items":[2]}\n{"items":[2]}\n')
    with pytest.raises(CorruptDataError, match="and more follow"):
        Journals(store, "agents").open("a").read()


class TestTheIndex:
    def test_saves_reading_heads_that_were_read_before(self) -> None:
        store = CountingStore()
        for number in range(40):
            Journals(store, "agents").open(str(number % 4), str(number)).append([number])
        assert len(Journals(store, "agents").list()) == 40
        store.gets = 0
        anew = Journals(store, "agents")
        assert len(anew.list()) == 40
        assert store.gets == 1  # the index
        store.gets = 0
        assert len(anew.list("2")) == 10
        assert store.gets == 1  # whether there is a journal of that very name

    def test_of_a_beginning_does_not_replace_that_of_all(self) -> None:
        store = CountingStore()
        for number in range(40):
            Journals(store, "agents").open(str(number % 2), str(number)).append([number])
        Journals(store, "agents").list()
        for number in range(40, 80):
            Journals(store, "agents").open("0", str(number)).append([number])
        Journals(store, "agents").list("0")
        blob = store.get(journal_heads("agents").index)
        assert blob is not None
        assert len(decode_index(blob.data).rows) == 40

    def test_is_refused_if_it_is_not_one_of_journals(self) -> None:
        store = MemoryStore()
        Journals(store, "agents").open("a").append([1])
        snapshot = index_module.SummaryIndex(store, journal_heads("agents"), None).read()  # type: ignore[arg-type]
        (record,) = snapshot.records
        for wrong in ('["a",1]', '"a"', "nonsense", None):
            data = encode_index([record._replace(name=wrong)])
            with pytest.raises(CorruptDataError, match="not an index"):
                decode_index(data)
        assert [*decode_index(encode_index([record])).rows.records()] == [record]


class TestHeads:
    def test_are_given_with_their_metadata(self, journals: Journals) -> None:
        journals.open("ada").append([1], set={"k": [1]})
        journals.open("ada", "1").append([1, 2])
        journals.open("bob").append([1])
        found = {head.name: head for head in journals.heads("ada")}
        assert {name: head.length for name, head in found.items()} == {("ada",): 1, ("ada", "1"): 2}
        assert found["ada",].metadata == {"k": [1]}
        assert len([*journals.heads()]) == 3

    def test_are_read_of_names_with_so_many_parts_alone(
        self, store: StateStore, journals: Journals
    ) -> None:
        for name in (("ada",), ("ada", "1"), ("ada", "a/b"), ("ada", "1", "2"), ("bob", "1")):
            journals.open(*name).append([1])
        counting = FaultyStore(store, slow=1, delay=0)
        journals = Journals(counting, "agents")
        found = {head.name for head in journals.heads("ada", parts=2)}
        assert found == {("ada", "1"), ("ada", "a/b")}
        assert sorted(fault.operation for fault in counting.faults) == ["get", "get", "scan"]
        assert [head.name for head in journals.heads("ada", parts=1)] == [("ada",)]
        assert [head.name for head in journals.heads(parts=1)] == [("ada",)]
        assert not [*journals.heads("ada", parts=4)]

    def test_that_are_damaged_raise(self, store: StateStore, journals: Journals) -> None:
        key = journal_key("agents", ["a"])
        store.put(key, b"garbage")
        with pytest.raises(CorruptDataError, match="header of the journal") as caught:
            journals.heads()
        assert caught.value.key == key

    def test_of_another_name_are_refused_where_they_lie(
        self, store: StateStore, journals: Journals
    ) -> None:
        journals.open("a").append([1])
        blob = store.get(journal_key("agents", ["a"]))
        assert blob is not None
        store.put(journal_key("agents", ["b"]), blob.data)
        with pytest.raises(CorruptDataError, match="'a', does not belong here"):
            journals.open("b").read()


class TestDeletingBelow:
    def test_takes_the_name_itself_and_what_is_below(self, journals: Journals) -> None:
        for name in (("ada",), ("ada", "1"), ("adam",), ("bob",)):
            journals.open(*name).append([1])
        assert journals.delete_below("ada") == 2
        assert sorted(names(journals.list())) == [("adam",), ("bob",)]
        assert journals.delete_below("ada") == 0
        assert journals.delete_below() == 2
        assert not journals.list()

    def test_is_told_to_observers(self, store: StateStore) -> None:
        events: list[Event] = []
        journals = Journals(store, "agents", observers=[events.append])
        journals.open("ada", "a/b").append([1])
        journals.open("ada", "x" * 200).append([1])
        journals.delete_below("ada")
        deleted = {each.name for each in events if isinstance(each, JournalDeleted)}
        assert ("ada", "a/b") in deleted
        assert len(deleted) == 2

    def test_takes_the_longest_names_first(self, store: StateStore) -> None:
        counting = FaultyStore(store, slow=1, delay=0, operations=["delete"])
        journals = Journals(counting, "agents")
        for name in (("ada",), ("ada", "1"), ("ada", "1", "x"), ("ada", "2"), ("ada", "0", "y")):
            journals.open(*name).append([1])
        assert journals.delete_below("ada") == 5
        assert [fault.key.count("/") for fault in counting.faults] == [4, 4, 3, 3, 2]

    def test_spares_all_if_one_belongs_to_another_user(self, journals: Journals) -> None:
        journals.open("ada", user_id="ada").append([1])
        journals.open("ada", "1").append([1])
        journals.open("ada", "2", user_id="bob").append([1])
        with pytest.raises(OwnershipError, match="'ada'") as caught:
            journals.delete_below("ada", user_id="ada")
        assert caught.value.key == journal_key("agents", ["ada", "2"])
        assert caught.value.landed == "no"
        assert len(journals.list()) == 3
        journals.open("ada", "2").delete()
        assert journals.delete_below("ada", user_id="ada") == 2

    def test_refuses_a_handle_that_saw_the_journal(self, journals: Journals) -> None:
        journal = journals.open("ada", "1")
        journal.append([1])
        journals.delete_below("ada")
        with pytest.raises(Exception, match="was deleted or recreated"):
            journal.append([2])


class TestRetention:
    def test_prunes_journals_as_it_prunes_sessions(self, store: StateStore) -> None:
        events: list[Event] = []
        journals = Journals(store, "agents", observers=[events.append])
        for name in "abcd":
            journals.open("ada", name).append([1])
        journals.open("ada", "a").pin()
        journals.open("ada", "b").append([2])
        plan = journals.plan_prune(load_pruner("max-sessions", max_sessions=1))
        assert [victim.summary.id for victim in plan.victims] == ["ada/d", "ada/c"]
        assert [each.summary.id for each in plan.protected] == ["ada/a"]
        journals.open("ada", "c").append([3])
        report = journals.prune(plan)
        assert [each.summary.id for each in report.pruned] == ["ada/d"]
        assert [each.summary.id for each in report.skipped] == ["ada/c"]
        assert [each for each in events if isinstance(each, JournalDeleted)] == [
            JournalDeleted(str(store), "agents", ("ada", "d"), pruned=True, trashed=False)
        ]
        assert [each.pruned for each in events if isinstance(each, PruneFinished)] == [1]

    def test_is_told_by_metadata_that_a_change_may_clear(self, journals: Journals) -> None:
        journal = journals.open("a")
        journal.append([1], set={"k": 1})
        journal.pin()
        journal.expire(NOW)
        journal.unpin()
        journals.prune(All(), trash=HOUR)
        restored = journals.restore("a")
        assert [*restored.metadata] == ["k", "statekeep.expires", "statekeep.restored"]
        journal = journals.open("a")
        journal.pin()
        journal.change(lambda draft: draft.metadata.clear())
        (summary,) = journals.list()
        assert (summary.pinned_until, summary.expires_at) == (None, None)
        head = journal.head()
        assert head is not None
        assert head.metadata == {}

    def test_takes_a_plan_of_this_store_only(self, journals: Journals) -> None:
        plan = Journals(MemoryStore("other"), "agents").plan_prune(load_pruner("ttl"))
        with pytest.raises(ValueError, match="the plan was made for memory:other"):
            journals.prune(plan)
        with pytest.raises(TypeError, match="belong to plan_prune"):
            journals.prune(plan, min_idle=HOUR)
        with pytest.raises(ValueError, match="trash must not be negative"):
            journals.prune(load_pruner("ttl"), trash=-HOUR)

    def test_lets_go_what_has_come_to_its_own_end(self, journals: Journals) -> None:
        expired = load_pruner("expired")
        for name, hours in (("past", -1), ("future", 1)):
            journals.open(name).append([1])
            journals.open(name).expire(NOW + HOUR * hours)
        journals.open("endless").append([1])
        journals.open("no time").append([1], set={"statekeep.expires": "soon"})
        journals.open("changed mind").append([1])
        journals.open("changed mind").expire(NOW - HOUR)
        journals.open("changed mind").expire(None)
        plan = journals.plan_prune(expired, now=NOW)
        assert [each.summary.id for each in plan.victims] == ["past"]

    def test_lets_sessions_go_that_say_so(self, store: StateStore) -> None:
        sessions = Sessions(store)
        for name in ("past", "future", "endless"):
            sessions.save(Session.new("ada", name))
        before = sessions.load("past", required=True).updated_at
        assert sessions.expire("past", NOW - HOUR).updated_at == before
        sessions.expire("future", NOW + HOUR)
        plan = sessions.plan_prune(load_pruner("expired"), now=NOW)
        assert [each.summary.id for each in plan.victims] == ["past"]
        assert {each.id: each.expires_at for each in sessions.list()}["future"] == NOW + HOUR
        sessions.expire("past", None)
        assert not sessions.plan_prune(load_pruner("expired"), now=NOW).victims
        with pytest.raises(NotFoundError, match="no such session"):
            sessions.expire("nobody", NOW)

    def test_counts_no_journals_of_no_user_towards_a_users(self, journals: Journals) -> None:
        for name, user in (("1", "ada"), ("2", "ada"), ("3", None), ("4", None)):
            journals.open(name).append([1], user_id=user)
        plan = journals.plan_prune(load_pruner("max-per-user", max_sessions=1))
        assert [each.summary.id for each in plan.victims] == ["1"]

    def test_asks_every_strategy_about_journals(self, journals: Journals) -> None:
        journals.open("1").append([1])
        asked: list[tuple[str, dict[str, Any]]] = [
            ("ttl", {"ttl_hours": 0.001}),
            ("keep-last-per-phase", {}),
            ("total-bytes", {"max_bytes": 1}),
            ("ttl+count", {"ttl_hours": 0.001}),
            ("any-of", {"strategies": [{"strategy": "ttl", "options": {"ttl_hours": 0.001}}]}),
        ]
        for name, options in asked:
            strategy = load_pruner(name, **options)
            plan = journals.plan_prune(strategy, now=NOW + 1000 * HOUR)
            assert len(plan.victims) == (0 if name == "keep-last-per-phase" else 1), name

    def test_in_the_background_may_cover_several_collections(self, store: StateStore) -> None:
        events: list[Event] = []
        Journals(store, "one").open("a").append([1])
        Journals(store, "two").open("a").append([1])
        Journals(store, "three").open("a").append([1])
        retention = Retention(All(), min_idle=timedelta(0), collections=frozenset({"one", "two"}))
        with Sessions(store, retention=retention, observers=[events.append]) as sessions:
            sessions.save(Session.new("ada", "a-session"))
        deleted = {each.collection for each in events if isinstance(each, JournalDeleted)}
        assert deleted == {"one", "two"}
        assert len(Journals(store, "three").list()) == 1
        assert sessions.store.get("sessions/a-session.json") is not None  # just saved

    def test_in_the_background_is_begun_by_a_change_of_a_journal(self, store: StateStore) -> None:
        Journals(store, "agents").open("old").append([1])
        with Journals(
            store, "agents", retention=Retention(All(), min_idle=timedelta(0))
        ) as journals:
            journals.open("new").append([1])
        assert names(Journals(store, "agents").list()) == [("new",)]

    def test_of_no_legal_collection_is_refused(self) -> None:
        with pytest.raises(InvalidKeyError, match="a collection's name has"):
            Retention(load_pruner("ttl"), collections=frozenset({"A/b"}))


class TestEvents:
    def test_tell_of_each_change_and_its_cost(self, store: StateStore) -> None:
        events: list[Event] = []
        journals = Journals(store, "agents", observers=[events.append])
        journal = journals.open("ada", "1")
        journal.create([1], user_id="ada")
        journal.append([2], key="k")
        journal.append([2], key="k")
        journal.change(lambda draft: draft.pop())
        journal.delete()
        saved = [each for each in events if isinstance(each, JournalSaved)]
        assert [(each.name, each.user_id, each.created) for each in saved] == [
            (("ada", "1"), "ada", True),
            (("ada", "1"), "ada", False),
            (("ada", "1"), "ada", False),
        ]
        operations = [
            (each.operation, each.subject, each.outcome)
            for each in events
            if isinstance(each, OperationFinished)
        ]
        assert operations == [
            (f"Journals.{name}", "agents/ada/1", "ok")
            for name in ("create", "append", "append", "change", "delete")
        ]

    def test_tell_of_conflicts(self, store: StateStore) -> None:
        events: list[Event] = []
        journals = Journals(store, "agents", observers=[events.append])
        head = journals.open("a").append([1])
        journals.open("a").append([2])
        with pytest.raises(Exception, match="version"):
            journals.open("a").append([3], expect=head.version)
        found = [each for each in events if isinstance(each, ConflictDetected)]
        assert [each.key for each in found] == [journal_key("agents", ["a"])]


class TestClosed:
    def test_journals_refuse_everything(self, journals: Journals) -> None:
        journal = journals.open("a")
        journals.close()
        journals.close()
        for work in (
            journals.list,
            journals.heads,
            journals.delete_below,
            journal.head,
            journal.read,
            journal.unpin,
            journal.delete,
            lambda: journal.append([1]),
            journals.__enter__,
        ):
            with pytest.raises(ClosedError, match="this Journals was closed"):
                work()

    def test_the_store_stays_open(self, store: StateStore) -> None:
        with Journals(store, "agents") as journals:
            journals.open("a").append([1])
        assert names(Journals(store, "agents").list()) == [("a",)]


class Unconditional(MemoryStore):
    """A store that keeps no conditions."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=False, conditional_delete=False, shared=False)


def test_a_store_that_cannot_compare_is_refused_unless_asked_for() -> None:
    with pytest.raises(
        UnsupportedError, match=r"cannot compare and swap.*STATEKEEP_CONFLICTS=last-writer-wins"
    ):
        Journals(Unconditional(), "agents")
    journals = Journals(Unconditional(), "agents", conflicts="last-writer-wins")
    journals.open("a").append([1])
    assert journals.open("a").read() == [1]
