"""Pruning deletes what the strategy chose, and only what was seen."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support import facts

from statekeep import (
    AccessDeniedError,
    ConfigError,
    PluginError,
    Session,
    Sessions,
    SessionSummary,
    StateStore,
    Summary,
    UnavailableError,
    load_pruner,
    open_store,
)
from statekeep.events import Event, PruneFinished, SessionDeleted
from statekeep.retention import PruneThrottle, Victim
from statekeep.store import StoreWrapper
from statekeep.store.keys import session_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from statekeep import StateStoreError
    from statekeep.retention import PrunePlan, PruningStrategy

NOW = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def summary(session_id: str, age: timedelta, user_id: str = "ada") -> SessionSummary:
    moment = NOW - age
    session = Session(id=session_id, user_id=user_id, created_at=moment, updated_at=moment)
    return session.summary()


def chosen(strategy: PruningStrategy, summaries: Sequence[Summary]) -> str:
    return "".join(sorted(victim.summary.id for victim in strategy.select(summaries, NOW)))


ALL = ["ttl", "max-sessions", "max-per-user", "keep-last-per-phase", "ttl+count"]
FIVE = [summary(name, HOUR * hours) for hours, name in enumerate("abcde")]


class Refusing(StoreWrapper):
    """A store that does not delete one document."""

    def __init__(self, inner: StateStore, error: StateStoreError) -> None:
        super().__init__(inner)
        self._error = error

    def delete(self, key: str, **kwargs: Any) -> None:
        if key == self._error.key:
            raise self._error
        super().delete(key, **kwargs)


class TestStrategies:
    def test_ttl_takes_what_was_not_updated_for_so_long(self) -> None:
        assert chosen(load_pruner("ttl", ttl_hours=2), FIVE) == "de"

    def test_ttl_keeps_what_is_just_that_old(self) -> None:
        exact = [summary("x", 2 * HOUR), summary("y", 2 * HOUR + timedelta(microseconds=1))]
        assert chosen(load_pruner("ttl", ttl_hours=2), exact) == "y"

    def test_max_sessions_keeps_the_newest(self) -> None:
        assert chosen(load_pruner("max-sessions", max_sessions=2), FIVE) == "cde"
        assert chosen(load_pruner("max-sessions", max_sessions=5), FIVE) == ""

    def test_max_per_user_keeps_each_users_newest(self) -> None:
        mixed = [
            summary(name, HOUR * n, "ada" if n % 2 else "bob") for n, name in enumerate("abcde")
        ]
        assert chosen(load_pruner("max-per-user", max_sessions=2), mixed) == "e"
        assert chosen(load_pruner("max-per-user", max_sessions=1), mixed) == "cde"

    def test_ttl_and_count_does_first_the_one_then_the_other(self) -> None:
        strategy = load_pruner("ttl+count", ttl_hours=3, max_sessions=2)
        victims = {v.summary.id: v.reason for v in strategy.select(FIVE, NOW)}
        assert sorted(victims) == ["c", "d", "e"]
        assert "hours" in victims["e"]
        assert "newest 2" in victims["c"]

    def test_the_defaults_are_the_originals(self) -> None:
        many = [summary(f"{n:03}", timedelta(minutes=n)) for n in range(120)]
        old = [summary("old", timedelta(hours=168, seconds=1)), summary("ok", timedelta(hours=168))]
        assert chosen(load_pruner("ttl+count"), old) == "old"
        assert len(list(load_pruner("ttl+count").select(many, NOW))) == 20

    @pytest.mark.parametrize("name", ALL)
    def test_zero_switches_a_rule_off(self, name: str) -> None:
        options = {"ttl": ["ttl_hours"], "ttl+count": ["ttl_hours", "max_sessions"]}
        off = dict.fromkeys(options.get(name, ["max_sessions"]), 0)
        many = [summary(str(n), n * 1000 * HOUR) for n in range(300)]
        assert chosen(load_pruner(name, **off), many) == ""

    @pytest.mark.parametrize("hours", [2**64 - 1, 10**300])
    def test_no_number_of_hours_overflows(self, hours: float) -> None:
        ages = [timedelta(0), timedelta(days=700_000), timedelta(days=-700_000)]
        everything = [summary(str(n), age) for n, age in enumerate(ages)]
        assert chosen(load_pruner("ttl", ttl_hours=hours), everything) == ""

    @pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), "many"])
    def test_negative_and_senseless_limits_are_refused(self, value: object) -> None:
        with pytest.raises(ConfigError, match="ttl_hours"):
            load_pruner("ttl", ttl_hours=value)
        with pytest.raises(ConfigError, match="max_sessions"):
            load_pruner("max-sessions", max_sessions=value)
        with pytest.raises(ConfigError, match="known: max_sessions, ttl_hours"):
            load_pruner("ttl+count", ttl=5)

    @pytest.mark.parametrize("name", ALL)
    def test_every_strategy_is_a_pure_function(self, name: str) -> None:
        strategy = load_pruner(name)
        tied = [summary(str(n), 200 * HOUR, f"user{n % 2}") for n in range(250)]
        future = [summary(f"f{n}", -HOUR) for n in range(5)]
        offered = future + tied
        first = list(strategy.select(offered, NOW))
        assert first == list(strategy.select(offered, NOW))
        victims = [victim.summary for victim in first]
        assert len(set(victims)) == len(victims)
        assert set(victims) <= set(offered)
        assert not set(victims) & set(future)
        assert all(victim.reason for victim in first)
        rest = [each for each in offered if each not in victims]
        assert list(strategy.select(rest, NOW)) == []
        assert list(strategy.select([], NOW)) == []
        # The same choice, in whatever order they are offered.
        assert {v.summary for v in strategy.select(offered[::-1], NOW)} == set(victims)


@pytest.fixture
def sessions(store: StateStore) -> Sessions:
    """Sessions `0` (the newest) to `9`, an hour apart."""
    for n in range(10):
        moment = NOW - n * HOUR
        session = Session(id=str(n), user_id="ada", created_at=moment, updated_at=moment)
        store.put(session_key(session.id), session.to_json())
    return Sessions(store)


def ids(sessions: Sessions) -> str:
    return "".join(each.id for each in sessions.list())


def victims(plan: PrunePlan) -> str:
    return "".join(sorted(victim.summary.id for victim in plan.victims))


class TestPlanning:
    def test_shows_each_victim_and_why_and_changes_nothing(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("ttl", ttl_hours=6), now=NOW)
        assert victims(plan) == "789"
        assert all("6 hours" in victim.reason for victim in plan.victims)
        assert (plan.kept, plan.now) == (7, NOW)
        assert ids(sessions) == "0123456789"

    def test_withholds_what_is_pinned_and_does_not_count_it(self, sessions: Sessions) -> None:
        sessions.pin("1")
        sessions.pin("9", until=NOW + HOUR)
        sessions.pin("8", until=NOW - HOUR)
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=3), now=NOW)
        assert victims(plan) == "45678"
        assert {each.summary.id: each.reason for each in plan.protected} == {
            "1": "pinned",
            "9": "pinned",
        }

    def test_withholds_what_is_protected(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(
            load_pruner("max-sessions", max_sessions=1), now=NOW, protect=["5"]
        )
        assert victims(plan) == "12346789"

    def test_withholds_what_changed_lately_in_the_store(self, sessions: Sessions) -> None:
        everything = load_pruner("max-sessions", max_sessions=1)
        present = datetime.now(UTC)
        plan = sessions.plan_prune(everything, now=present, min_idle=HOUR)
        assert victims(plan) == ""
        later = present + 2 * HOUR
        assert victims(sessions.plan_prune(everything, now=later, min_idle=HOUR)) == "123456789"

    def test_names_what_cannot_be_read(self, sessions: Sessions, store: StateStore) -> None:
        store.put("sessions/bad.json", b"")
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=1), now=NOW)
        assert [problem.key for problem in plan.problems] == ["sessions/bad.json"]
        sessions.prune(plan)
        assert store.get("sessions/bad.json")

    def test_a_strategy_that_invents_victims_prunes_nothing(self, sessions: Sessions) -> None:
        class Inventor:
            def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
                assert now.tzinfo
                return [Victim(each, "mine") for each in (*summaries, summary("x", HOUR))]

        with pytest.raises(PluginError, match="not shown"):
            sessions.prune(Inventor())
        assert ids(sessions) == "0123456789"

    def test_a_naive_present_is_refused(self, sessions: Sessions) -> None:
        with pytest.raises(ValueError, match="naive"):
            sessions.plan_prune(load_pruner("ttl"), now=datetime(2024, 1, 1))  # noqa: DTZ001


class TestPruning:
    def test_by_count_keeps_the_newest(self, sessions: Sessions) -> None:
        report = sessions.prune(load_pruner("max-sessions", max_sessions=4))
        assert len(report.pruned) == 6
        assert ids(sessions) == "0123"

    def test_by_age_deletes_what_is_old(self, sessions: Sessions, store: StateStore) -> None:
        fresh = sessions.get_or_create("ada", "fresh")
        report = sessions.prune(load_pruner("ttl", ttl_hours=24))
        assert len(report.pruned) == 10
        assert sessions.list().summaries == (fresh.summary(size=_size(store, "fresh")),)

    def test_carries_out_a_plan(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("ttl", ttl_hours=6), now=NOW)
        report = sessions.prune(plan)
        assert report.pruned == plan.victims
        assert (report.skipped, report.unknown, report.failed) == ((), (), ())
        assert ids(sessions) == "0123456"

    def test_spares_what_was_saved_since_the_plan(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("ttl", ttl_hours=6), now=NOW)
        sessions.update("8", lambda session: session.add_user_message("alive"))
        report = sessions.prune(plan)
        assert [victim.summary.id for victim in report.skipped] == ["8"]
        assert sorted(victim.summary.id for victim in report.pruned) == ["7", "9"]
        assert sessions.load("8")

    def test_spares_what_was_pinned_since_the_plan(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("ttl", ttl_hours=6), now=NOW)
        sessions.pin("8")
        assert [victim.summary.id for victim in sessions.prune(plan).skipped] == ["8"]

    def test_does_not_claim_what_another_has_deleted(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("ttl", ttl_hours=6), now=NOW)
        sessions.delete("8")
        report = sessions.prune(plan)
        assert sorted(victim.summary.id for victim in report.pruned) == ["7", "9"]
        assert [victim.summary.id for victim in report.skipped] == ["8"]

    def test_two_prunes_at_once_together_report_what_vanished(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=2), now=NOW)
        gate = threading.Barrier(4)

        def prune(_: int) -> list[str]:
            gate.wait()
            return [victim.summary.id for victim in sessions.prune(plan).pruned]

        with ThreadPoolExecutor(4) as pool:
            pruned = [each for part in pool.map(prune, range(4)) for each in part]
        assert sorted(pruned) == list("23456789")

    def test_deletes_by_file_and_never_by_the_id_inside(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        store.put("specs/victim.json", b"1")
        old = Session(id="../specs/victim", user_id="eve", created_at=NOW, updated_at=NOW)
        store.put("sessions/planted.json", old.to_json())
        renamed = Session(id="0", user_id="eve", created_at=NOW, updated_at=NOW)
        store.put("sessions/copy.json", renamed.to_json())
        for _ in range(2):
            report = sessions.prune(load_pruner("max-sessions", max_sessions=1))
        assert report.pruned == ()
        assert ids(sessions) == "0"
        for key in ("specs/victim.json", "sessions/planted.json", "sessions/copy.json"):
            assert store.get(key)

    def test_a_markdown_file_beside_a_session_is_no_session(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        for n in range(10):
            store.put(f"sessions/{n}.md", b"")
        report = sessions.prune(load_pruner("max-sessions", max_sessions=4))
        assert len(report.pruned) == 6
        assert ids(sessions) == "0123"

    @pytest.mark.usefixtures("sessions")
    def test_says_of_which_it_does_not_know(self, store: StateStore) -> None:
        error = UnavailableError("no answer", key="sessions/9.json")
        sessions = Sessions(Refusing(store, error))
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=8), now=NOW)
        report = sessions.prune(plan)
        assert [victim.summary.id for victim in report.pruned] == ["8"]
        assert [each.victim.summary.id for each in report.unknown] == ["9"]

    def test_tells_observers_and_reports_progress(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        assert ids(sessions)
        events: list[Event] = []
        done: list[int] = []
        observed = Sessions(store, observers=[events.append])
        observed.prune(load_pruner("max-sessions", max_sessions=8), progress=done.append)
        assert facts(events)[-1] == PruneFinished(str(store), 2, 0, 0, 0, 0, 0)
        pruned = [e.session_id for e in events if isinstance(e, SessionDeleted) and e.pruned]
        assert sorted(pruned) == ["8", "9"]
        assert done == [1, 2]


class TestPins:
    def test_do_not_move_the_time_of_the_session(self, sessions: Sessions) -> None:
        before = sessions.load("3")
        assert before
        sessions.pin("3")
        after = sessions.load("3")
        assert after
        assert after.updated_at == before.updated_at
        assert after.version != before.version

    def test_end_with_unpin(self, sessions: Sessions) -> None:
        sessions.pin("9")
        sessions.unpin("9")
        session = sessions.load("9")
        assert session
        assert session.metadata == {}
        assert victims(sessions.plan_prune(load_pruner("ttl", ttl_hours=8), now=NOW)) == "9"


class TestThrottle:
    def test_says_yes_first_and_then_once_per_cool_down(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = [0.0]
        monkeypatch.setattr("statekeep.retention.types.time.monotonic", lambda: clock[0])
        throttle = PruneThrottle(timedelta(seconds=10))
        said = []
        for second in (0, 1, 9.9, 10, 11, 19, 25, 34, 35):
            clock[0] = second
            said.append(throttle.should_prune())
        assert said == [True, False, False, True, False, False, True, False, True]

    def test_says_yes_to_one_of_many_threads(self) -> None:
        throttle = PruneThrottle(timedelta(hours=1))
        gate = threading.Barrier(16)

        def ask(_: int) -> bool:
            gate.wait()
            return throttle.should_prune()

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(ask, range(16))) == 1

    def test_without_a_cool_down_always_says_yes(self) -> None:
        throttle = PruneThrottle(timedelta(0))
        assert throttle.should_prune()
        assert throttle.should_prune()

    def test_a_negative_cool_down_is_refused(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            PruneThrottle(timedelta(seconds=-1))


def _size(store: StateStore, session_id: str) -> int:
    blob = store.get(session_key(session_id))
    assert blob
    return len(blob.data)


class TestMistakes:
    def test_one_id_is_no_collection_of_ids(self, sessions: Sessions) -> None:
        with pytest.raises(TypeError, match="protect"):
            sessions.plan_prune(load_pruner("ttl"), protect="123")

    def test_any_iterable_of_ids_protects(self, sessions: Sessions) -> None:
        everything = load_pruner("max-sessions", max_sessions=1)
        plan = sessions.plan_prune(everything, now=NOW, protect=iter(["2", "4", "6"]))
        assert victims(plan) == "135789"

    def test_a_negative_idle_time_is_refused(self, sessions: Sessions) -> None:
        with pytest.raises(ValueError, match="negative"):
            sessions.plan_prune(load_pruner("ttl"), min_idle=-HOUR)

    def test_a_plan_has_its_own_conditions(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("ttl"), now=NOW)
        for condition in (
            {"min_idle": HOUR},
            {"protect": ["1"]},
            {"now": NOW, "trust_clock": True},
        ):
            with pytest.raises(TypeError, match="plan_prune"):
                sessions.prune(plan, **condition)

    def test_a_plan_is_for_one_store(self, sessions: Sessions) -> None:
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=1))
        with open_store("memory:elsewhere") as elsewhere, pytest.raises(ValueError, match="made"):
            Sessions(elsewhere).prune(plan)
        assert ids(sessions) == "0123456789"

    @pytest.mark.parametrize("gives", [None, [1], RuntimeError("broken")])
    def test_a_strategy_that_fails_prunes_nothing(self, sessions: Sessions, gives: Any) -> None:
        class Broken:
            def select(self, *_: object) -> Any:
                if isinstance(gives, Exception):
                    raise gives
                return gives

        with pytest.raises(PluginError, match="strategy"):
            sessions.prune(Broken())
        assert ids(sessions) == "0123456789"


class TestBoundaries:
    def test_a_pin_ends_at_its_moment(self, sessions: Sessions) -> None:
        sessions.pin("9", until=NOW)
        everything = load_pruner("max-sessions", max_sessions=1)
        assert "9" in victims(sessions.plan_prune(everything, now=NOW))
        before = NOW - timedelta(microseconds=1)
        assert "9" not in victims(sessions.plan_prune(everything, now=before))

    def test_idle_for_exactly_so_long_is_idle(self, sessions: Sessions) -> None:
        session = sessions.load("0")
        assert session
        session.updated_at = datetime(2999, 1, 1, tzinfo=UTC)
        sessions.save(session)
        late = session.updated_at + HOUR
        everything = load_pruner("ttl", ttl_hours=0.5)
        assert "0" in victims(sessions.plan_prune(everything, now=late, min_idle=HOUR))
        early = late - timedelta(microseconds=1)
        assert "0" not in victims(sessions.plan_prune(everything, now=early, min_idle=HOUR))


class TestTrouble:
    @pytest.mark.usefixtures("sessions")
    def test_what_the_store_refuses_is_reported_and_the_rest_pruned(
        self, store: StateStore
    ) -> None:
        error = AccessDeniedError("not yours", key="sessions/8.json", landed="no")
        sessions = Sessions(Refusing(store, error))
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=8), now=NOW)
        report = sessions.prune(plan)
        assert [each.victim.summary.id for each in report.failed] == ["8"]
        assert [victim.summary.id for victim in report.pruned] == ["9"]
        assert report.unknown == ()

    def test_an_interrupted_prune_is_reported_to_observers(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        assert ids(sessions)
        events: list[Event] = []

        def interrupt(done: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        before = ids(sessions)
        observed = Sessions(store, observers=[events.append])
        with pytest.raises(KeyboardInterrupt):
            observed.prune(load_pruner("max-sessions", max_sessions=1), progress=interrupt)
        gone = len(before) - len(ids(sessions))
        # Where several are deleted at once, those under way are finished.
        assert gone == 2 or store.capabilities.remote
        assert facts(events)[-1] == PruneFinished(str(store), gone, 0, 0, 0, 0, 0)

    def test_leftovers_that_cannot_be_removed_do_not_lose_the_report(
        self,
        sessions: Sessions,
        store: StateStore,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(*, older_than: timedelta) -> int:
            raise UnavailableError(f"no answer within {older_than}")

        monkeypatch.setattr(store, "sweep", fail, raising=False)
        report = sessions.prune(load_pruner("max-sessions", max_sessions=9))
        assert (len(report.pruned), report.swept) == (1, 0)
        assert "leftovers" in caplog.text
