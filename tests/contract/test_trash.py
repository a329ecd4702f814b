"""The trash: a session is in one place or in both, never in none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support import facts

from statekeep import (
    ANY,
    ConflictError,
    CorruptDataError,
    NotFoundError,
    Session,
    Sessions,
    StateStore,
    UnavailableError,
    Version,
    load_pruner,
    open_store,
)
from statekeep.events import Event, PruneFinished, SessionDeleted, SessionRestored
from statekeep.retention.copies import copy_key, copy_of, stems_of
from statekeep.store import Blob, Expect, ExpectSeen, check_key
from statekeep.store.keys import TRASH, session_key
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
IDS = ["plain", "slack:C1/17.5", "../../etc/passwd", "😀" * 100, "é" * 125, "x" * 250]


@dataclass
class Clock:
    """The clock of a machine, and so of a store in its memory."""

    now: datetime


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(datetime.now(UTC))
    for module in ("statekeep_backends.memory", "statekeep.sessions.sessions"):
        monkeypatch.setattr(f"{module}.utc_now", lambda: clock.now)
    return clock


def age(store: StateStore, session_id: str, by: timedelta) -> Session:
    """Store a session that was last updated so long ago."""
    session = Session.new("ada", session_id)
    session.add_user_message("Hello")
    session.updated_at = datetime.now(UTC) - by
    session.version = store.put(session_key(session_id), session.to_json())
    return session


def places(store: StateStore) -> tuple[int, int]:
    """How many sessions there are, and how many in the trash."""
    return len(list(store.scan("sessions"))), len(list(store.scan(TRASH)))


class TestPruningIntoTheTrash:
    def test_keeps_a_copy_that_can_be_restored(self, store: StateStore) -> None:
        sessions = Sessions(store)
        before = age(store, "old", 2 * WEEK)
        report = sessions.prune(load_pruner("ttl"), trash=WEEK)
        assert len(report.pruned) == 1
        assert sessions.load("old") is None
        assert sessions.list().summaries == ()
        [trashed] = sessions.list_trash()
        assert trashed.stem == "old"
        assert trashed.size == len(before.to_json())
        assert abs(datetime.now(UTC) - trashed.trashed_at) < timedelta(minutes=1)
        restored = sessions.restore("old")
        assert restored.metadata.pop("statekeep.restored")
        assert restored.to_json() == before.to_json()
        restored.add_user_message("again")
        sessions.save(restored)

    def test_spares_what_was_saved_meanwhile_and_leaves_no_copy(self, store: StateStore) -> None:
        sessions = Sessions(store)
        for name in ("a", "b"):
            age(store, name, 2 * WEEK)
        plan = sessions.plan_prune(load_pruner("ttl"))
        sessions.update("a", lambda session: session.add_user_message("alive"))
        report = sessions.prune(plan, trash=WEEK)
        assert [victim.summary.id for victim in report.skipped] == ["a"]
        assert [victim.summary.id for victim in report.pruned] == ["b"]
        assert [each.stem for each in sessions.list_trash()] == ["b"]

    def test_spares_what_is_saved_between_the_copy_and_the_delete(self) -> None:
        class Meddled(MemoryStore):
            def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
                version = super().put(key, data, expect=expect)
                if key.startswith(TRASH):
                    age(self, "s", timedelta(0))
                return version

        store = Meddled()
        age(store, "s", 2 * WEEK)
        report = Sessions(store).prune(load_pruner("ttl"), trash=WEEK)
        assert len(report.skipped) == 1
        assert places(store) == (1, 0)

    def test_empties_it_a_day_after_what_was_asked_for(self, clock: Clock) -> None:
        events: list[Event] = []
        store = MemoryStore()
        sessions = Sessions(store, observers=[events.append])
        age(store, "a", 2 * WEEK)
        assert sessions.prune(load_pruner("ttl"), trash=WEEK).purged == 0
        clock.now += WEEK + DAY - timedelta(minutes=1)
        age(store, "b", 2 * WEEK)
        report = sessions.prune(load_pruner("ttl"), trash=WEEK)
        assert (len(report.pruned), report.purged) == (1, 0)
        clock.now += timedelta(minutes=1)
        report = sessions.prune(load_pruner("ttl"), trash=WEEK)
        assert (len(report.pruned), report.purged) == (0, 1)
        told = [event.purged for event in events if isinstance(event, PruneFinished)]
        assert told == [0, 0, 1]
        assert places(store) == (0, 1)

    def test_adds_no_second_copy_within_a_day(self, clock: Clock) -> None:
        class Refusing(MemoryStore):
            answers = False

            def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
                if key.startswith("sessions/") and not self.answers:
                    raise UnavailableError("no answer", key=key, store=self)
                super().delete(key, expect=expect)

        store = Refusing()
        sessions = Sessions(store)
        for n in range(3):
            age(store, str(n), 2 * WEEK)
        for _ in range(5):
            report = sessions.prune(load_pruner("ttl"), trash=WEEK)
            assert len(report.unknown) == 3
            assert places(store) == (3, 3)
        store.answers = True
        clock.now += DAY - timedelta(minutes=1)
        assert len(sessions.prune(load_pruner("ttl"), trash=WEEK).unknown) == 3
        clock.now += timedelta(minutes=1)
        assert len(sessions.prune(load_pruner("ttl"), trash=WEEK).pruned) == 3
        assert places(store) == (0, 6)

    def test_for_less_than_no_time_is_refused_before_anything_is_done(
        self, store: StateStore
    ) -> None:
        age(store, "a", 2 * WEEK)
        with pytest.raises(ValueError, match="negative"):
            Sessions(store).prune(load_pruner("ttl"), trash=-WEEK)
        assert places(store) == (1, 0)

    def test_loses_nothing_where_a_delete_that_worked_is_called_a_conflict(self) -> None:
        class Confused(MemoryStore):
            def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
                super().delete(key, expect=expect)
                if key.startswith("sessions/"):
                    raise ConflictError("it is gone", key=key, store=self)

        store = Confused()
        age(store, "s", 2 * WEEK)
        assert len(Sessions(store).prune(load_pruner("ttl"), trash=WEEK).unknown) == 1
        assert places(store) == (0, 1)

    def test_is_not_done_unless_asked_for(self, store: StateStore) -> None:
        age(store, "a", 2 * WEEK)
        Sessions(store).prune(load_pruner("ttl"))
        assert places(store) == (0, 0)


class TestDeletingIntoTheTrash:
    @pytest.mark.parametrize("session_id", IDS)
    def test_takes_any_id(self, store: StateStore, session_id: str) -> None:
        sessions = Sessions(store)
        created = sessions.get_or_create("ada", session_id)
        assert sessions.delete(session_id, trash=True)
        assert places(store) == (0, 1)
        restored = sessions.restore(session_id)
        assert restored.metadata.pop("statekeep.restored")
        assert restored.to_json() == created.to_json()
        assert places(store) == (1, 1)

    def test_bypasses_it_unless_asked(self, store: StateStore) -> None:
        sessions = Sessions(store)
        sessions.get_or_create("ada", "s")
        assert sessions.delete("s")
        assert places(store) == (0, 0)
        assert not sessions.delete("s", trash=True)

    def test_tells_observers(self, store: StateStore) -> None:
        events: list[Event] = []
        sessions = Sessions(store, observers=[events.append])
        sessions.get_or_create("ada", "s")
        sessions.delete("s", trash=True)
        version = sessions.restore("s").version
        assert version
        where = str(store)
        assert facts(events)[-2:] == [
            SessionDeleted(where, "s", pruned=False, trashed=True),
            SessionRestored(where, "s", "ada", version),
        ]


class TestRestoring:
    def test_never_replaces_a_session(self, store: StateStore) -> None:
        sessions = Sessions(store)
        sessions.get_or_create("ada", "s")
        sessions.delete("s", trash=True)
        sessions.get_or_create("bob", "s")
        with pytest.raises(ConflictError, match="the session already exists"):
            sessions.restore("s")
        session = sessions.load("s")
        assert session
        assert session.user_id == "bob"
        assert places(store) == (1, 1)

    def test_what_is_not_there_is_said(self, store: StateStore) -> None:
        with pytest.raises(NotFoundError, match="no such session in the trash"):
            Sessions(store).restore("s")

    @pytest.mark.parametrize("session_id", IDS)
    def test_takes_the_name_that_the_list_shows(self, store: StateStore, session_id: str) -> None:
        sessions = Sessions(store)
        sessions.get_or_create("ada", session_id)
        sessions.delete(session_id, trash=True)
        [trashed] = sessions.list_trash()
        assert sessions.restore(trashed.stem).id == session_id
        assert sessions.load(session_id)

    def test_passes_over_what_is_no_copy(self, store: StateStore) -> None:
        store.put(f"{TRASH}/99999999T999999.999999Z-{'0' * 16}-x.json", b"x")
        assert Sessions(store).list_trash() == []

    def test_gives_the_newest_state_whichever_copy_came_last(self, store: StateStore) -> None:
        sessions = Sessions(store)
        older = sessions.get_or_create("ada", "s")
        older.add_user_message("first")
        sessions.save(older)
        seen = store.get(session_key("s"))
        assert seen
        sessions.update("s", lambda session: session.add_user_message("second"))
        sessions.delete("s", trash=True)
        late = copy_key(session_key("s"), seen, datetime.now(UTC) + HOUR)
        store.put(late, seen.data)
        restored = sessions.restore("s")
        assert [each.content for each in restored.user_messages] == ["first", "second"]

    def test_of_equal_times_gives_what_was_written_last(self, store: StateStore) -> None:
        session = Session.new("ada", "s")
        now = datetime.now(UTC)
        for phase, hours in (("newest", 3), ("older", 2), ("oldest", 1)):
            session.metadata["phase"] = phase
            blob = Blob(session.to_json(), Version(phase), now + hours * HOUR)
            store.put(copy_key(session_key("s"), blob, now - hours * HOUR), blob.data)
        assert Sessions(store).restore("s").get_metadata("phase") == "newest"

    def test_gives_the_copy_that_was_chosen(self, store: StateStore) -> None:
        sessions = Sessions(store)
        for text in ("first", "second"):
            session = sessions.get_or_create("ada", "s")
            session.add_user_message(text)
            sessions.save(session)
            sessions.delete("s", trash=True)
        copies = sorted(sessions.list_trash(), key=lambda each: str(each.updated_at))
        restored = sessions.restore("s", copy=copies[0].key)
        assert restored.user_messages[0].content == "first"
        sessions.delete("s")
        with pytest.raises(NotFoundError):
            sessions.restore("s", copy="no such copy")

    def test_cannot_be_undone_by_a_delete_that_was_on_its_way(self, store: StateStore) -> None:
        sessions = Sessions(store)
        version = sessions.save(Session.new("ada", "s"))
        sessions.delete("s", trash=True)
        sessions.restore("s")
        with pytest.raises(ConflictError):
            store.delete(session_key("s"), expect=version)
        assert sessions.load("s")

    def test_keeps_a_young_copy_and_removes_an_old_one(self, clock: Clock) -> None:
        store = MemoryStore()
        sessions = Sessions(store)
        for age_of_copy, left in ((HOUR - timedelta(seconds=1), 1), (HOUR, 0)):
            sessions.get_or_create("ada", "s")
            sessions.delete("s", trash=True)
            clock.now += age_of_copy
            sessions.restore("s")
            assert places(store) == (1, left)
            sessions.delete("s")
            sessions.empty_trash()

    def test_takes_copies_under_the_names_of_before(self, store: StateStore) -> None:
        sessions = Sessions(store)
        for session_id in IDS:
            stem = max(stems_of(session_id), key=len)
            session = Session.new("ada", session_id)
            store.put(f"{TRASH}/20240131T120000.000000Z-{'0' * 16}-{stem}.json", session.to_json())
        assert {each.id for each in sessions.list_trash()} == {*IDS}
        for session_id in IDS:
            assert sessions.restore(session_id).id == session_id
        assert sessions.empty_trash() == len(IDS)

    def test_leaves_a_copy_alone_that_is_no_session(self, store: StateStore) -> None:
        blob = Blob(b"garbage", Version("v"), None)
        store.put(copy_key(session_key("s"), blob, datetime.now(UTC)), blob.data)
        with pytest.raises(CorruptDataError):
            Sessions(store).restore("s")
        assert places(store) == (0, 1)
        (unreadable,) = Sessions(store).list_trash()
        assert (unreadable.stem, unreadable.id, unreadable.updated_at) == ("s", None, None)


class TestEmptying:
    def test_deletes_what_is_old_enough(self, store: StateStore) -> None:
        sessions = Sessions(store)
        for name in ("a", "b"):
            sessions.get_or_create("ada", name)
            sessions.delete(name, trash=True)
        assert sessions.empty_trash(older_than=WEEK) == 0
        store.put(f"{TRASH}/not-ours.json", b"x")
        assert sessions.empty_trash() == 2
        assert places(store) == (0, 1)

    def test_refuses_a_negative_age(self, store: StateStore) -> None:
        with pytest.raises(ValueError, match="negative"):
            Sessions(store).empty_trash(older_than=-WEEK)


@pytest.mark.parametrize("session_id", IDS)
def test_every_key_of_the_trash_is_legal_and_its_own(session_id: str) -> None:
    now = datetime(2024, 1, 31, tzinfo=UTC)
    key = session_key(session_id)
    blob = Blob(b"x", Version("v"), now + HOUR)
    keys = {copy_key(key, blob, now) for _ in range(3)}
    assert len(keys) == 3
    for each in keys:
        check_key(each)
        copy = copy_of(each, None, 1)
        assert copy is not None
        assert (copy.trashed_at, copy.modified) == (now, now + HOUR)
        assert copy.stem in stems_of(session_id)


class KilledError(BaseException):
    """This process is no more."""


class Mortal(MemoryStore):
    """A store whose user dies at a given operation, before or after its effect."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9
        self.after = False

    def _do(self, operation: Callable[[], object]) -> object:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise KilledError
        result = operation()
        if self.left == 0:
            raise KilledError
        return result

    def get(self, key: str) -> Blob | None:
        return self._do(lambda: super(Mortal, self).get(key))  # type: ignore[return-value]

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        put = super().put
        return self._do(lambda: put(key, data, expect=expect))  # type: ignore[return-value]

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        delete = super().delete
        self._do(lambda: delete(key, expect=expect))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(1, 4))
@pytest.mark.parametrize("way", ["prune", "delete", "restore"])
def test_whoever_dies_at_any_step_leaves_it_somewhere(
    way: str, step: int, after: bool, clock: Clock
) -> None:
    store = Mortal()
    sessions = Sessions(store)
    age(store, "s", 2 * WEEK)
    if way == "restore":
        sessions.delete("s", trash=True)
    store.left, store.after = step, after
    ways: dict[str, Callable[[], object]] = {
        "prune": lambda: sessions.prune(load_pruner("ttl"), trash=WEEK),
        "delete": lambda: sessions.delete("s", trash=True),
        "restore": lambda: sessions.restore("s"),
    }
    with pytest.raises(KilledError):
        ways[way]()
    store.left = 10**9
    there, trashed = places(store)
    assert there + trashed >= 1
    if not there:
        sessions.restore("s")
    session = sessions.load("s")
    assert session
    assert session.user_messages[0].content == "Hello"
    # And the next one finishes the work, a day later if a copy is there.
    clock.now += DAY
    sessions.prune(load_pruner("ttl"), trash=WEEK)
    assert places(store)[0] == 0
    assert places(store)[1] >= 1


def test_the_budget_on_s3_is_three_requests_for_each_victim(moto_url: str) -> None:
    import secrets

    import boto3
    from proxy import Proxy

    bucket = f"trash-{secrets.token_hex(4)}"
    client = boto3.client("s3", endpoint_url=moto_url)
    client.create_bucket(Bucket=bucket)
    client.close()
    with Proxy(moto_url) as proxy, open_store(f"s3://{bucket}", endpoint_url=proxy.url) as store:
        for name in ("warm", "a", "b"):
            age(store, name, 2 * WEEK)
        sessions = Sessions(store)
        sessions.delete("warm", trash=True)
        plan = sessions.plan_prune(load_pruner("ttl"))
        proxy.count()
        sessions.prune(plan, trash=timedelta(days=3650))
        stamp, listing, emptying = ["PUT", "GET"], ["LIST"], ["LIST"]
        victims, sweep = ["GET", "PUT", "DELETE"] * 2, ["GET", "LIST", "LIST"]
        assert sorted(proxy.count()) == sorted(stamp + listing + victims + emptying + sweep)
        sessions.restore("a")
        assert proxy.count() == ["GET", "LIST", "GET", "PUT", "GET"]
        sessions.delete("a", trash=True)
        assert proxy.count() == ["GET", "PUT", "DELETE"]
        sessions.empty_trash()
        assert proxy.count() == ["LIST", "POST"]
