"""Background retention: saves trigger it, and it deletes nothing that lives."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support import facts

from statekeep import (
    ANY,
    ConfigError,
    Retention,
    Session,
    Sessions,
    StateStore,
    Version,
    load_pruner,
    open_sessions,
    open_store,
)
from statekeep.errors import ClosedError
from statekeep.events import Event, PruneFailed, PruneFinished, SessionDeleted
from statekeep.format import session as session_module
from statekeep.retention import stamp as stamp_module
from statekeep.sessions import sessions as sessions_module
from statekeep.store.keys import STAMP, session_key
from statekeep_backends import memory as memory_module
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from statekeep import Summary
    from statekeep.retention import Victim
    from statekeep.store import Entry, Expect

HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)
NEVER_IDLE = timedelta(0)


def age(store: StateStore, session_id: str, by: timedelta, pin: object = None) -> None:
    session = Session.new("ada", session_id)
    session.updated_at = datetime.now(UTC) - by
    if pin is not None:
        session.metadata["statekeep.pin"] = pin
    store.put(session_key(session_id), session.to_json())


def wait(sessions: Sessions) -> None:
    """Let a background prune come to its end."""
    background = sessions._background
    assert background
    if background._thread:
        background._thread.join(60)
        assert not background._thread.is_alive()


def ids(store: StateStore) -> set[str]:
    return {summary.id for summary in Sessions(store).list()}


def ttl(**options: object) -> Retention:
    values = {"every": HOUR, "min_idle": NEVER_IDLE, **options}
    return Retention(load_pruner("ttl", ttl_hours=168), **values)  # type: ignore[arg-type]


class TestASave:
    def test_prunes_in_the_background(self, store: StateStore) -> None:
        age(store, "old", YEAR)
        events: list[Event] = []
        with Sessions(store, retention=ttl(), observers=[events.append]) as sessions:
            sessions.get_or_create("ada", "new")
            wait(sessions)
        assert ids(store) == {"new"}
        where = str(store)
        assert facts(events)[1:] == [
            SessionDeleted(where, "old", pruned=True, trashed=False),
            PruneFinished(where, pruned=1, skipped=0, unknown=0, failed=0, swept=0, purged=0),
        ]

    def test_is_never_in_its_way(self) -> None:
        gate = threading.Event()

        class Slow(MemoryStore):
            def scan(self, prefix: str = "") -> Iterator[Entry]:
                assert gate.wait(60)
                return super().scan(prefix)

        with Slow() as store, Sessions(store, retention=ttl(every=timedelta(0))) as sessions:
            age(store, "old", YEAR)
            for n in range(10):
                sessions.get_or_create("ada", f"s{n}")
            assert store.get(session_key("old"))
            running = [thread.name for thread in threading.enumerate()]
            assert running.count("statekeep-retention") == 1
            gate.set()
            wait(sessions)
            assert store.get(session_key("old")) is None

    def test_prunes_once_per_period_in_a_process(self, store: StateStore) -> None:
        events: list[Event] = []
        with Sessions(store, retention=ttl(), observers=[events.append]) as sessions:
            for n in range(5):
                sessions.get_or_create("ada", f"s{n}")
                wait(sessions)
        assert sum(isinstance(event, PruneFinished) for event in events) == 1

    def test_prunes_once_per_period_in_a_fleet(self, location: str) -> None:
        events: list[Event] = []
        for n in range(5):
            with (
                open_store(location) as store,
                Sessions(store, retention=ttl(), observers=[events.append]) as sessions,
            ):
                sessions.get_or_create("ada", f"s{n}")
                wait(sessions)
        assert sum(isinstance(event, PruneFinished) for event in events) == 1

    @pytest.mark.rest
    def test_prunes_again_after_the_period(self, store: StateStore) -> None:
        events: list[Event] = []
        every = timedelta(seconds=1.5)
        with Sessions(store, retention=ttl(every=every), observers=[events.append]) as sessions:
            sessions.get_or_create("ada", "a")
            wait(sessions)
            time.sleep(3)
            sessions.get_or_create("ada", "b")
            wait(sessions)
        assert sum(isinstance(event, PruneFinished) for event in events) == 2

    def test_prunes_nothing_without_retention(self, store: StateStore) -> None:
        age(store, "old", YEAR)
        Sessions(store).get_or_create("ada", "new")
        assert ids(store) == {"old", "new"}
        assert store.get(STAMP) is None

    def test_trashes_if_asked(self, store: StateStore) -> None:
        age(store, "old", YEAR)
        with Sessions(store, retention=ttl(trash=HOUR)) as sessions:
            sessions.get_or_create("ada", "new")
            wait(sessions)
            assert [each.stem for each in sessions.list_trash()] == ["old"]


class TestWhatLives:
    def test_is_what_the_save_wrote(self, store: StateStore) -> None:
        class All:
            def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
                from statekeep.retention import Victim

                return [Victim(summary, f"all, at {now}") for summary in summaries]

        age(store, "other", NEVER_IDLE)
        retention = Retention(All(), every=HOUR, min_idle=NEVER_IDLE)
        with Sessions(store, retention=retention) as sessions:
            sessions.get_or_create("ada", "mine")
            wait(sessions)
        assert ids(store) == {"mine"}

    def test_is_what_is_pinned_or_protected(self, store: StateStore) -> None:
        later = (datetime.now(UTC) + HOUR).isoformat()
        earlier = (datetime.now(UTC) - HOUR).isoformat()
        age(store, "for ever", YEAR, pin=True)
        age(store, "until later", YEAR, pin=later)
        age(store, "until an hour ago", YEAR, pin=earlier)
        age(store, "named", YEAR)
        with Sessions(store, retention=ttl(protect=frozenset({"named"}))) as sessions:
            sessions.get_or_create("ada", "new")
            wait(sessions)
        assert ids(store) == {"for ever", "until later", "named", "new"}

    def test_is_what_was_written_within_the_last_hour(self, store: StateStore) -> None:
        age(store, "just restored from somewhere", YEAR)
        retention = Retention(load_pruner("ttl"))
        assert retention.min_idle == HOUR
        with Sessions(store, retention=retention) as sessions:
            sessions.get_or_create("ada", "new")
            wait(sessions)
        assert ids(store) == {"just restored from somewhere", "new"}

    @pytest.mark.parametrize("skew", [YEAR, -YEAR])
    def test_does_not_depend_on_the_clock_of_the_worker(
        self, store: StateStore, skew: timedelta, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        age(store, "live", HOUR)
        age(store, "old", YEAR)
        now = datetime.now(UTC)
        age(store, "pinned", YEAR, pin=(now + HOUR).isoformat())
        for module in (stamp_module, sessions_module, session_module):
            monkeypatch.setattr(module, "utc_now", lambda: datetime.now(UTC) + skew)
        for _ in range(2):
            with Sessions(store, retention=ttl()) as sessions:
                session = Session.new("ada")
                session.updated_at = now
                sessions.save(session)
                wait(sessions)
        assert {"live", "pinned"} <= ids(store)
        assert "old" not in ids(store)


class TestAStamp:
    def test_of_nobody_knows_when_is_due(self, store: StateStore) -> None:
        store.put(STAMP, b"garbage")
        events: list[Event] = []
        retention = ttl(every=timedelta(0))
        with Sessions(store, retention=retention, observers=[events.append]) as sessions:
            sessions.get_or_create("ada", "s")
            wait(sessions)
        assert any(isinstance(event, PruneFinished) for event in events)

    def test_is_claimed_by_one_of_many(self, location: str) -> None:
        finished: list[Event] = []

        def work(n: int) -> None:
            with (
                open_store(location) as store,
                Sessions(store, retention=ttl(), observers=[finished.append]) as sessions,
            ):
                gate.wait(30)
                sessions.get_or_create("ada", f"s{n}")
                wait(sessions)

        gate = threading.Barrier(6)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert Counter(type(event) for event in finished)[PruneFinished] == 1

    def test_is_no_session_and_no_document(self, store: StateStore) -> None:
        with Sessions(store, retention=ttl()) as sessions:
            sessions.get_or_create("ada", "s")
            wait(sessions)
            assert store.get(STAMP)
            assert len(sessions.list()) == 1
            assert sessions.list().problems == ()

    def test_of_the_far_future_holds_nothing_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = MemoryStore()
        with monkeypatch.context() as patch:
            patch.setattr(memory_module, "utc_now", lambda: datetime.now(UTC) + YEAR)
            store.put(STAMP, b"{}")
        age(store, "old", YEAR)
        with Sessions(store, retention=ttl()) as sessions:
            sessions.get_or_create("ada", "new")
            wait(sessions)
        assert ids(store) == {"new"}

    def test_claimed_twice_by_one_process_has_two_versions(self) -> None:
        store = MemoryStore()
        versions = set()
        for _ in range(2):
            with Sessions(store, retention=ttl(every=timedelta(0))) as sessions:
                sessions.get_or_create("ada")
            blob = store.get(STAMP)
            assert blob
            versions.add(blob.version)
        assert len(versions) == 2


class TestAFailure:
    def test_is_logged_and_reported_and_tried_again(
        self, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken:
            def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
                raise ZeroDivisionError(len(summaries), now)

        events: list[Event] = []
        retention = Retention(Broken(), every=timedelta(0))
        with Sessions(store, retention=retention, observers=[events.append]) as sessions:
            for n in range(2):
                sessions.get_or_create("ada", f"s{n}")
                wait(sessions)
        failures = [event for event in events if isinstance(event, PruneFailed)]
        assert len(failures) == 2
        assert "ZeroDivisionError" in str(failures[0].error)
        assert "background pruning of" in caplog.text

    def test_to_start_a_thread_does_not_reach_the_save(
        self, store: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(thread: threading.Thread) -> None:
            raise RuntimeError(f"can't start {thread.name}")

        events: list[Event] = []
        with Sessions(store, retention=ttl(), observers=[events.append]) as sessions:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", fail)
                session = Session.new("ada", "s")
                sessions._background.saved("s")  # type: ignore[union-attr]
            sessions.save(session)
        assert any(isinstance(event, PruneFailed) for event in events)
        assert ids(store) == {"s"}

    def test_of_a_protection_that_is_one_id_is_said_at_once(self) -> None:
        with pytest.raises(TypeError, match="protect: a collection, not str"):
            ttl(protect="weekly")


class TestClosing:
    def test_waits_for_a_prune_but_not_for_ever(self, caplog: pytest.LogCaptureFixture) -> None:
        gate = threading.Event()

        class Slow(MemoryStore):
            def scan(self, prefix: str = "") -> Iterator[Entry]:
                gate.wait(60)
                return super().scan(prefix)

        store = Slow()
        sessions = Sessions(store, retention=ttl())
        sessions.get_or_create("ada", "s")
        sessions.close(timeout=timedelta(seconds=0.05))
        assert "was cut short after" in caplog.text
        gate.set()
        sessions.close()
        wait(sessions)

    def test_cuts_a_prune_short_that_takes_too_long(self) -> None:
        reached = threading.Event()
        gate = threading.Event()

        class Slow(MemoryStore):
            def delete(self, key: str, **options: object) -> None:
                reached.set()
                gate.wait(60)
                super().delete(key, **options)  # type: ignore[arg-type]

        store = Slow()
        for n in range(10):
            age(store, f"s{n}", YEAR)
        events: list[Event] = []
        sessions = Sessions(store, retention=ttl(), observers=[events.append])
        sessions.get_or_create("ada", "new")
        assert reached.wait(60)
        sessions.close(timeout=timedelta(seconds=0.05))
        gate.set()
        wait(sessions)
        assert (
            PruneFinished(str(store), pruned=1, skipped=0, unknown=0, failed=0, swept=0, purged=0)
            in events
        )
        assert len(ids(store)) == 10

    def test_leaves_the_store_to_others(self, store: StateStore) -> None:
        sessions = Sessions(store, retention=ttl())
        sessions.close()
        sessions.close()
        age(store, "old", YEAR)
        with pytest.raises(ClosedError):
            sessions.get_or_create("ada", "s")
        wait(sessions)
        assert len(Sessions(store).list()) == 1


class TestConfiguration:
    @pytest.fixture(autouse=True)
    def _folder(self, empty_folder: Path) -> None:
        pass

    def test_of_a_period_asks_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
        monkeypatch.setenv("STATEKEEP_RETENTION__EVERY", "PT5M")
        monkeypatch.setenv("STATEKEEP_RETENTION__TRASH", "P7D")
        monkeypatch.setenv("STATEKEEP_RETENTION__MIN_IDLE", "0")
        with open_sessions() as sessions:
            age(sessions.store, "old", YEAR)
            sessions.get_or_create("ada", "new")
            wait(sessions)
            assert [each.stem for each in sessions.list_trash()] == ["old"]
        assert sessions._background
        assert sessions._background._retention.every == timedelta(minutes=5)
        assert sessions._background._retention.trash == timedelta(days=7)

    def test_spares_the_last_hour_unless_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
        monkeypatch.setenv("STATEKEEP_RETENTION__EVERY", "PT0S")
        with open_sessions("memory:") as sessions:
            assert sessions._background
            assert sessions._background._retention.min_idle == HOUR

    @pytest.mark.parametrize("value", ["7", "7 moons", "1.5", "-P1D", "P1X", ""])
    def test_of_a_duration_needs_a_unit(self, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
        monkeypatch.setenv("STATEKEEP_RETENTION__TRASH", value)
        with pytest.raises(ConfigError, match=r"retention\.trash"), open_sessions():
            pass

    def test_without_a_period_prunes_nothing_by_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
        with open_sessions() as sessions:
            age(sessions.store, "old", YEAR)
            sessions.get_or_create("ada", "new")
            assert sessions._background is None
            assert len(sessions.list()) == 2


@pytest.mark.parametrize("name", ["every", "trash", "min_idle"])
def test_a_negative_time_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ttl(**{name: timedelta(seconds=-1)})


def test_two_days(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Two workers save every ten minutes; sessions live six hours, then 27 in the trash."""
    caplog.set_level(logging.ERROR)
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def clock() -> float:
        return now.timestamp()

    for module in (stamp_module, sessions_module, session_module, memory_module):
        monkeypatch.setattr(module, "utc_now", lambda: now)
    monkeypatch.setattr(time, "monotonic", clock)
    strategy = load_pruner("ttl", ttl_hours=6)
    retention = Retention(strategy, every=HOUR, trash=3 * HOUR)
    store = MemoryStore()
    events: list[tuple[datetime, Event]] = []

    def note(event: Event) -> None:
        events.append((now, event))

    workers = [Sessions(store, retention=retention, observers=[note]) for _ in range(2)]
    born: dict[str, datetime] = {}
    workers[0].get_or_create("ada", "pinned")
    workers[0].pin("pinned", until=now + timedelta(hours=20))
    for minute in range(0, 48 * 60, 10):
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        for number, worker in enumerate(workers):
            name = f"{minute}-{number}"
            worker.get_or_create("ada", name)
            wait(worker)
            born[name] = now
    prunes = [moment for moment, event in events if isinstance(event, PruneFinished)]
    assert len(prunes) == 48
    assert all(later - sooner >= HOUR for sooner, later in pairwise(prunes))
    deleted = {
        event.session_id: moment for moment, event in events if isinstance(event, SessionDeleted)
    }
    assert all(deleted[name] - born[name] > 6 * HOUR for name in deleted if name != "pinned")
    assert deleted["pinned"] >= datetime(2026, 1, 1, 20, tzinfo=UTC)
    left = ids(store)
    assert left == born.keys() - deleted.keys()
    assert all(now - born[name] <= 7 * HOUR for name in left)
    trash = workers[0].list_trash()
    assert trash
    assert all(now - each.trashed_at <= 28 * HOUR for each in trash)
    assert len(trash) < len(deleted)


class FarAway(MemoryStore):
    """A store with a clock of its own, which is right."""

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        version = super().put(key, data, expect=expect)
        blobs = self._place.blobs
        blobs[key] = replace(blobs[key], modified=datetime.now(UTC))
        return version


@pytest.mark.parametrize("skew", [YEAR, -YEAR])
class TestAWrongClockOfAWorker:
    """The store's is right: nothing goes that should not, in the foreground as from cron."""

    @pytest.fixture
    def store(self, skew: timedelta, monkeypatch: pytest.MonkeyPatch) -> FarAway:
        for module in (stamp_module, sessions_module, session_module, memory_module):
            monkeypatch.setattr(module, "utc_now", lambda: datetime.now(UTC) + skew)
        store = FarAway()
        age(store, "live", HOUR)
        age(store, "old", 2 * YEAR)
        return store

    def test_a_prune_deletes_what_is_old(self, store: FarAway) -> None:
        report = Sessions(store).prune(load_pruner("ttl"))
        assert [each.summary.id for each in report.pruned] == ["old"]
        assert ids(store) == {"live"}

    def test_a_plan_that_was_shown_is_narrowed(self, store: FarAway, skew: timedelta) -> None:
        sessions = Sessions(store)
        plan = sessions.plan_prune(load_pruner("ttl"))
        report = sessions.prune(plan)
        assert "live" in ids(store)
        if skew > timedelta(0):
            assert {each.summary.id for each in plan.victims} == {"live", "old"}
            assert [each.summary.id for each in report.skipped] == ["live"]
            assert [each.summary.id for each in report.pruned] == ["old"]

    def test_the_trash_is_not_emptied_too_soon(self, store: FarAway) -> None:
        sessions = Sessions(store)
        sessions.prune(load_pruner("max-sessions", max_sessions=1), trash=timedelta(days=7))
        sessions.prune(load_pruner("max-sessions", max_sessions=1), trash=timedelta(days=7))
        assert sessions.empty_trash(older_than=timedelta(days=7)) == 0
        assert len(sessions.list_trash()) == 1

    def test_is_trusted_if_the_caller_says_so(self, store: FarAway) -> None:
        sessions = Sessions(store)
        late = datetime.now(UTC) + YEAR
        with pytest.raises(ValueError, match="trust_clock"):
            sessions.prune(load_pruner("ttl"), now=late)
        assert ids(store) == {"live", "old"}
        sessions.prune(load_pruner("ttl"), now=late, trust_clock=True)
        assert ids(store) == set()
