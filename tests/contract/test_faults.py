"""What `Sessions` promises while its store fails; and the store that fails."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import (
    ABSENT,
    ANY,
    ConflictError,
    Documents,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    Version,
    load_pruner,
    open_store,
)
from statekeep.store import Expect, StoreWrapper
from statekeep.store.keys import session_key
from statekeep.testing import FaultyStore, StateStoreContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAULTS: dict[str, dict[str, Any]] = {
    "before": {"before": 0.3},
    "after": {"after": 0.3},
    "slow": {"slow": 0.3, "delay": 0.001},
    "throttled": {"throttled": 0.1, "burst": 3},
    "all": {"before": 0.1, "after": 0.1, "slow": 0.1, "throttled": 0.05, "delay": 0.001},
}
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture(params=[1, 2, 3])
def seed(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(params=FAULTS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def make_faulty(store: StateStore, kind: str, seed: int) -> Callable[..., FaultyStore]:
    """Makes a store that fails, around the one that does not."""
    return lambda **more: FaultyStore(store, seed=seed, **FAULTS[kind], **more)


@pytest.fixture
def faulty(make_faulty: Callable[..., FaultyStore]) -> FaultyStore:
    return make_faulty()


def attempt(operation: Callable[[], object]) -> bool:
    """Whether it was acknowledged; no other error than one of statekeep may come."""
    try:
        operation()
    except StateStoreError:
        return False
    return True


@pytest.mark.parametrize("backend", ["memory", "local, renaming", "sqlite"])
class TestSessions:
    def test_no_acknowledged_update_is_lost_and_none_happens_twice(
        self, store: StateStore, faulty: FaultyStore, kind: str
    ) -> None:
        Sessions(store).get_or_create("ada", "s")
        sessions = Sessions(faulty)

        def say(n: int) -> bool:
            return attempt(
                lambda: sessions.update("s", lambda session: session.add_user_message(str(n)))
            )

        with ThreadPoolExecutor(4) as pool:
            acknowledged = list(pool.map(say, range(60)))
        session = Sessions(store).load("s")
        assert session
        said = [int(message.content) for message in session.user_messages]
        assert len(set(said)) == len(said)
        promised = {n for n in range(60) if acknowledged[n]}
        assert promised <= set(said)
        if kind in {"before", "slow", "throttled"}:
            assert promised == set(said)
        if kind == "slow":
            assert all(acknowledged)
        else:
            assert not all(acknowledged)
        assert faulty.faults

    def test_a_save_that_was_acknowledged_is_what_is_loaded(
        self, store: StateStore, faulty: FaultyStore
    ) -> None:
        sessions = Sessions(faulty)
        for n in range(30):
            session = Session.new("ada", str(n))
            if attempt(lambda session=session: sessions.save(session)):  # type: ignore[misc]
                assert Sessions(store).load(str(n)) == session

    def test_all_who_get_a_session_get_the_same(
        self, store: StateStore, faulty: FaultyStore
    ) -> None:
        sessions = Sessions(faulty)
        for n in range(5):

            def get(_: int, session_id: str = str(n)) -> Session | None:
                try:
                    return sessions.get_or_create("ada", session_id)
                except UnavailableError:
                    return None

            with ThreadPoolExecutor(4) as pool:
                got = [session for session in pool.map(get, range(8)) if session]
            stored = Sessions(store).load(str(n))
            assert all(session == stored for session in got)

    def test_a_listing_is_whole_or_raises(
        self, store: StateStore, make_faulty: Callable[..., FaultyStore], kind: str
    ) -> None:
        for n in range(10):
            Sessions(store).get_or_create("ada", str(n))
        sessions = Sessions(make_faulty(operations=["scan"]))
        raised = 0
        for _ in range(20):
            try:
                listing = sessions.list()
            except UnavailableError:
                raised += 1
            else:
                assert len(listing) == 10
                assert listing.problems == ()
        assert raised < 20
        assert bool(raised) == (kind != "slow")

    def test_a_prune_reports_what_vanished_and_what_it_does_not_know(
        self, store: StateStore, make_faulty: Callable[..., FaultyStore], kind: str
    ) -> None:
        for n in range(40):
            moment = NOW - timedelta(hours=n)
            session = Session(id=str(n), user_id="ada", created_at=moment, updated_at=moment)
            store.put(session_key(session.id), session.to_json())
        sessions = Sessions(make_faulty(operations=["delete"]))
        plan = sessions.plan_prune(load_pruner("ttl", ttl_hours=10), now=NOW)
        report = sessions.prune(plan)
        left = {summary.id for summary in Sessions(store).list()}
        pruned = {victim.summary.id for victim in report.pruned}
        unknown = {each.victim.summary.id for each in report.unknown}
        assert pruned | unknown == {victim.summary.id for victim in plan.victims}
        assert not pruned & left
        assert left | pruned | unknown == {str(n) for n in range(40)}
        assert bool(unknown) == (kind != "slow")
        if kind in {"before", "throttled"}:
            assert unknown <= left
        if kind == "after":
            assert not unknown & left
        assert (report.skipped, report.failed) == ((), ())


class _ReplacedInTime(StoreWrapper):
    """Loses the response to its first write, which somebody replaces before it is looked for."""

    is_lost = False

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        version = super().put(key, data, expect=expect)
        if self.is_lost:
            return version
        self.is_lost = True
        self.inner.put(key, data + b" ", expect=version)
        raise ConflictError("someone wrote since", key=key, store=self, landed="unknown")


class TestAChangeThatMayHaveLanded:
    @pytest.mark.parametrize(
        "change",
        [
            lambda sessions: sessions.update("s", lambda it: it.add_user_message("Hello")),
            lambda sessions: sessions.add_turn("s", user=["Hello"]),
        ],
        ids=["update", "add_turn"],
    )
    def test_is_not_made_again(self, store: StateStore, change: Callable[[Sessions], Any]) -> None:
        Sessions(store).get_or_create("ada", "s")
        attempt(lambda: change(Sessions(_ReplacedInTime(store))))
        session = Sessions(store).load("s", required=True)
        assert [each.content for each in session.messages] == ["Hello"]

    def test_is_not_made_again_to_a_document(self, store: StateStore) -> None:
        Documents(store).save_json("a", "n", 1)
        documents = Documents(_ReplacedInTime(store))
        with pytest.raises(ConflictError) as caught:
            documents.update("a", "n", lambda value: value + 1)
        assert caught.value.landed == "unknown"
        document = Documents(store).load_json("a", "n")
        assert document
        assert document.value == 2

    @pytest.mark.parametrize(
        "mark",
        [
            lambda sessions: sessions.pin("s"),
            lambda sessions: sessions.unpin("s"),
            lambda sessions: sessions.expire("s", NOW),
        ],
        ids=["pin", "unpin", "expire"],
    )
    def test_is_made_again_if_that_gives_the_same(
        self, store: StateStore, mark: Callable[[Sessions], Session]
    ) -> None:
        Sessions(store).get_or_create("ada", "s")
        session = mark(Sessions(_ReplacedInTime(store)))
        assert session == Sessions(store).load("s")

    def test_is_no_obstacle_to_get_or_create(self, store: StateStore) -> None:
        session = Sessions(_ReplacedInTime(store)).get_or_create("ada", "s")
        assert session == Sessions(store).load("s")


@pytest.mark.parametrize("chances", [{"before": 1.0}, {"after": 1.0}, {"throttled": 1.0}])
def test_a_prune_without_a_whole_listing_deletes_nothing(chances: dict[str, Any]) -> None:
    with open_store("memory:") as store:
        Sessions(store).get_or_create("ada", "s")
        with pytest.raises(UnavailableError):
            Sessions(FaultyStore(store, **chances)).prune(
                load_pruner("ttl"), now=NOW + timedelta(days=10_000), trust_clock=True
            )
        assert Sessions(store).load("s")


class TestFaultyStore(StateStoreContract):
    """Without faults it is a store like any other."""

    @pytest.fixture
    def location(self) -> str:
        return f"memory:{secrets.token_hex(8)}"

    @pytest.fixture
    def store(self, location: str) -> Iterator[StateStore]:
        with FaultyStore(open_store(location)) as store:
            yield store


class TestFaults:
    @staticmethod
    def use(seed: int) -> FaultyStore:
        faulty = FaultyStore(open_store("memory:"), seed=seed, **{**FAULTS["all"], "delay": 0})
        for n in range(50):
            for operation in (
                lambda n=n: faulty.put(f"{n % 3}.md", b"x"),
                lambda n=n: faulty.get(f"{n % 3}.md"),
                lambda n=n: faulty.delete(f"{n % 3}.md"),
                lambda: list(faulty.scan()),
            ):
                attempt(operation)
        return faulty

    def test_are_the_same_each_time_and_others_with_another_seed(self) -> None:
        first = self.use(seed=1).faults
        assert self.use(seed=1).faults == first
        assert self.use(seed=2).faults != first
        assert {fault.kind for fault in first} == {"before", "after", "slow", "throttled"}
        assert {fault.operation for fault in first} == {"get", "put", "delete", "scan"}

    def test_of_a_key_do_not_depend_on_other_threads(self) -> None:
        def faults_of(key: str, faulty: FaultyStore) -> list[str]:
            for _ in range(50):
                attempt(lambda: faulty.get(key))
            return [fault.kind for fault in faulty.faults if fault.key == key]

        alone = faults_of("a.md", FaultyStore(open_store("memory:"), before=0.2, after=0.2))
        crowded = FaultyStore(open_store("memory:"), before=0.2, after=0.2)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda key: faults_of(key, crowded), ["a.md", "b.md", "c.md"]))
        assert found[0] == alone
        assert found[1] != alone

    def test_before_the_effect_leave_things_as_they_were(self) -> None:
        inner = open_store("memory:")
        faulty = FaultyStore(inner, before=1)
        with pytest.raises(UnavailableError) as caught:
            faulty.put("a.md", b"x")
        assert (caught.value.key, caught.value.store) == ("a.md", str(faulty))
        assert inner.get("a.md") is None

    def test_after_the_effect_hide_it(self) -> None:
        inner = open_store("memory:")
        faulty = FaultyStore(inner, after=1)
        for operation in (
            lambda: faulty.put("a.md", b"x"),
            lambda: faulty.put("b.md", b"x"),
            lambda: faulty.delete("b.md"),
        ):
            with pytest.raises(UnavailableError):
                operation()
        assert [entry.key for entry in inner.scan()] == ["a.md"]
        with pytest.raises(ConflictError):
            faulty.put("a.md", b"y", expect=ABSENT)

    def test_of_a_scan_come_half_way(self) -> None:
        inner = open_store("memory:")
        for n in range(10):
            inner.put(f"{n}.md", b"")
        scan = FaultyStore(inner, after=1).scan()
        assert len(list(islice(scan, 5))) == 5
        with pytest.raises(UnavailableError):
            next(scan)

    def test_of_throttling_come_in_bursts(self) -> None:
        faulty = FaultyStore(open_store("memory:"), seed=3, throttled=0.1, burst=5)
        said = "".join(
            "." if attempt(lambda n=n: faulty.get(f"{n}.md")) else "x"  # type: ignore[misc]
            for n in range(100)
        )
        assert "." in said
        bursts = said.strip("x").replace(".", " ").split()
        assert bursts
        assert all(len(burst) >= 5 for burst in bursts)

    def test_of_slowness_take_their_time(self) -> None:
        faulty = FaultyStore(open_store("memory:"), slow=1, delay=0.05)
        begun = time.monotonic()
        assert faulty.get("a.md") is None
        assert time.monotonic() - begun >= 0.05

    def test_need_chances_that_make_sense(self) -> None:
        with pytest.raises(ValueError, match="probabilities"):
            FaultyStore(open_store("memory:"), before=-0.1)
        with pytest.raises(ValueError, match="probabilities"):
            FaultyStore(open_store("memory:"), before=0.6, after=0.6)
