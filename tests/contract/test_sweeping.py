"""The sweep deletes what no journal names, and nothing else, whoever works meanwhile."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from statekeep import (
    ABSENT,
    ANY,
    AccessDeniedError,
    ConflictError,
    Journals,
    Retention,
    Sessions,
    StateStore,
    UnavailableError,
    Version,
    load_pruner,
    open_store,
)
from statekeep.events import Event, PruneFinished
from statekeep.format.journal import Header, SegmentName, decode_head, encode_head
from statekeep.journals import committing
from statekeep.retention import PruneReport, SweepReport, sweeping
from statekeep.retention.copies import copy_key
from statekeep.retention.stamp import Stamp
from statekeep.retention.sweeping import CANDIDATES, sweep_unnamed
from statekeep.store import Blob, Expect
from statekeep.store.keys import (
    ATTACHMENTS,
    JOURNALS,
    QUARANTINE,
    SEGMENTS,
    TRASH,
    journal_key,
    session_key,
)
from statekeep.store.transfer import Transfer
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from statekeep.store import Entry

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TICK = timedelta(seconds=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = journal_key("agents", ["a"])
UID, OTHER = "a" * 32, "b" * 32


@dataclass
class Clock:
    """The clock of a store in memory."""

    now: datetime = NOW


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("statekeep_backends.memory.utc_now", lambda: clock.now)
    return clock


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


def segment_key(number: int, uid: str = UID) -> str:
    return f"{SEGMENTS}/{uid}/{number:012d}-{number:016x}.jsonl"


def put_segment(store: StateStore, number: int, uid: str = UID) -> str:
    key = segment_key(number, uid)
    store.put(key, b"1\n")
    return key


def head(*numbers: int, uid: str = UID, name: Sequence[str] = ("a",), n: int = 1) -> bytes:
    """A head that names segments."""
    time = "2026-01-01T00:00:00Z"
    about = {"name": [*name], "user_id": None, "created_at": time, "updated_at": time}
    segments = [
        SegmentName(f"{number:012d}-{number:016x}", 1, 2, "0" * 32, place)
        for place, number in enumerate(numbers)
    ]
    return encode_head(Header(uid=uid, n=n, about=about, segments=tuple(segments)))


def copy_of(data: bytes, key: str = KEY) -> str:
    return copy_key(key, Blob(data, Version("v"), None), NOW)


def files(store: StateStore) -> set[str]:
    found = {entry.key for prefix in (SEGMENTS, ATTACHMENTS) for entry in store.scan(prefix)}
    return found - {CANDIDATES}


def sweep(store: StateStore, **more: Any) -> SweepReport:
    return sweep_unnamed(Transfer(store), **more)


def sweep_twice(store: StateStore, clock: Clock) -> SweepReport:
    """Both phases, a day apart."""
    sweep(store)
    clock.now += DAY
    return sweep(store)


class TestASessionThatIsAJournal:
    def test_keeps_its_segments_alive_and_in_the_trash(
        self, memory: MemoryStore, clock: Clock
    ) -> None:
        sessions = long_session(memory)
        sweep_twice(memory, clock)  # what was merged goes
        named = files(memory)
        assert len(sessions.load("s", required=True).messages) == 100
        sessions.delete("s", trash=True)
        sweep_twice(memory, clock)
        assert files(memory) == named
        assert len(sessions.restore("s").messages) == 100
        sessions.delete("s")
        for copy in sessions.list_trash():  # the one that was restored stays there
            memory.delete(copy.key)
        clock.now += DAY
        sweep_twice(memory, clock)
        assert files(memory) == set()

    def test_leaves_them_to_the_sweep_when_it_becomes_a_document(
        self, memory: MemoryStore, clock: Clock
    ) -> None:
        sessions = long_session(memory)
        sessions.convert("s", "document")
        sweep_twice(memory, clock)
        assert files(memory) == set()
        sessions.convert("s", "journal")
        sweep_twice(memory, clock)
        assert len(sessions.load("s", required=True).messages) == 100


def long_session(store: StateStore) -> Sessions:
    sessions = Sessions(store, form="journal")
    for number in range(100):
        sessions.add_turn("s", user=[f"{number} {'x' * 2000}"], user_id="ada")
    return sessions


class TestWhatNobodyNames:
    def test_goes_a_day_after_it_was_found(self, memory: MemoryStore, clock: Clock) -> None:
        memory.put(KEY, head(1))
        named, left = put_segment(memory, 1), put_segment(memory, 2)
        assert sweep(memory) == SweepReport(candidates=1, deleted=0, kept=1)
        clock.now += DAY - TICK
        assert sweep(memory) == SweepReport(candidates=1)
        assert files(memory) == {named, left}
        clock.now += TICK
        assert sweep(memory) == SweepReport(candidates=0, deleted=1, kept=1)
        assert files(memory) == {named}

    def test_is_found_anew_each_time(self, memory: MemoryStore, clock: Clock) -> None:
        put_segment(memory, 1)
        sweep(memory)
        put_segment(memory, 2)
        clock.now += DAY
        assert sweep(memory) == SweepReport(candidates=1, deleted=1)
        clock.now += DAY
        assert sweep(memory) == SweepReport(deleted=1)
        assert files(memory) == set()

    def test_is_what_a_journal_leaves_that_is_deleted_or_merges(
        self, memory: MemoryStore, clock: Clock
    ) -> None:
        journals = Journals(memory, "agents")
        long = journals.open("long")
        for number in range(60):
            long.append([[number, "x" * 8000]])
        gone = journals.open("gone")
        gone.append([["x" * 100_000]])
        gone.delete()
        assert len(files(memory)) > 6
        journals.sweep()
        clock.now += DAY
        assert journals.sweep().deleted > 2
        items = long.read()
        assert items
        assert [item[0] for item in items] == [*range(60)]
        blob = memory.get(journal_key("agents", ["long"]))
        assert blob
        header = decode_head(blob.data).header
        names = {f"{SEGMENTS}/{header.uid}/{each.name}.jsonl" for each in header.segments}
        assert files(memory) == names

    def test_is_all_that_goes_and_only_under_names_of_ours(
        self, memory: MemoryStore, clock: Clock
    ) -> None:
        foreign = [f"{SEGMENTS}/notes.txt", f"{SEGMENTS}/{UID}/x.jsonl", f"{ATTACHMENTS}/x/y.png"]
        for key in foreign:
            memory.put(key, b"x")
        put_segment(memory, 1)
        assert sweep_twice(memory, clock).deleted == 1
        assert files(memory) == {*foreign}

    def test_is_looked_for_by_every_prune(self, memory: MemoryStore, clock: Clock) -> None:
        prunes: list[Callable[[], PruneReport]] = [
            lambda: Sessions(memory).prune(load_pruner("ttl")),
            lambda: Journals(memory, "agents").prune(load_pruner("ttl"), trash=DAY),
        ]
        for prune in prunes:
            put_segment(memory, 1)
            clock.now += DAY
            assert prune().swept == 0
            clock.now += DAY
            assert prune().swept == 1
            assert files(memory) == set()

    def test_is_looked_for_in_the_background(self, memory: MemoryStore, clock: Clock) -> None:
        put_segment(memory, 1)
        sweep(memory)
        clock.now += DAY
        events: list[Event] = []
        retention = Retention(load_pruner("ttl"))
        with Sessions(memory, retention=retention, observers=[events.append]) as sessions:
            sessions.get_or_create("ada", "s")
        assert [each.swept for each in events if isinstance(each, PruneFinished)] == [1]
        assert files(memory) == set()

    def test_stays_if_a_prune_is_stopped(self, memory: MemoryStore, clock: Clock) -> None:
        put_segment(memory, 1)
        memory.put(KEY, head())
        sweep(memory)
        clock.now += DAY
        assert sweep(memory, stop=lambda: True) == SweepReport()
        assert files(memory)


class TestWhatIsNamed:
    PLACES: ClassVar = {
        "a live head": KEY,
        "the head of any collection": journal_key("others", ["x", "y"]),
        "a session in format 2": session_key("s"),
        "a copy in the trash": copy_of(head(1)),
        "a session in format 2 in the trash": copy_of(head(1), session_key("s")),
        "what was moved to quarantine": f"{QUARANTINE}/2026-01-01T000000Z-00000000/{KEY}",
        "trash in quarantine": f"{QUARANTINE}/2026-01-01T000000Z-00000000/{copy_of(b'')}",
    }

    @pytest.mark.parametrize("place", PLACES)
    def test_stays(self, memory: MemoryStore, clock: Clock, place: str) -> None:
        key = self.PLACES[place]
        memory.put(key, head(1))
        attached = f"{ATTACHMENTS}/{UID}/{'0' * 32}.png"
        memory.put(attached, b"x")
        named = put_segment(memory, 1)
        put_segment(memory, 2)
        put_segment(memory, 1, OTHER)
        memory.put(f"{ATTACHMENTS}/{OTHER}/x.png", b"x")
        assert sweep_twice(memory, clock) == SweepReport(deleted=3, kept=2)
        assert files(memory) == {named, attached}

    def test_stays_if_it_is_named_again_between_the_phases(
        self, memory: MemoryStore, clock: Clock
    ) -> None:
        key = put_segment(memory, 1)
        sweep(memory)
        memory.put(KEY, head(1))
        clock.now += DAY
        assert sweep(memory) == SweepReport(kept=1)
        assert files(memory) == {key}


DAMAGED = {
    "a line that is damaged before a sound one": head(1) + b"{}\n{}\n",
    "a header whose seal is broken": head(1).replace(b'"n":1', b'"n":2'),
    "a header that is cut": head(1)[:80],
    "a header whose first letters are damaged": head(1).replace(b"statekeep", b"statekeeq", 1),
}
UNKNOWN = {
    "a newer format": b'{"statekeep":3,"uid":"' + UID.encode() + b'"}\n',
    "a header that is cut before its uid is told": head(1)[:30],
    "a header whose uid is damaged": head(1).replace(UID.encode(), b"f" * 32),
    "nothing": b"",
    "zeros": b"\0" * 4096,
}


class TestAHeadThatCannotBeRead:
    @pytest.mark.parametrize("damage", DAMAGED)
    @pytest.mark.parametrize("place", ["", f"{QUARANTINE}/2026-01-01T000000Z-00000000/"])
    def test_protects_all_that_is_its_journals(
        self, memory: MemoryStore, clock: Clock, damage: str, place: str
    ) -> None:
        memory.put(place + KEY, DAMAGED[damage])
        kept = {put_segment(memory, 1), put_segment(memory, 2)}
        put_segment(memory, 1, OTHER)
        assert sweep_twice(memory, clock) == SweepReport(deleted=1, kept=2)
        assert files(memory) == kept

    @pytest.mark.parametrize("damage", UNKNOWN)
    @pytest.mark.parametrize("place", ["", f"{QUARANTINE}/2026-01-01T000000Z-00000000/"])
    def test_protects_everything_if_it_does_not_say_whose_it_is(
        self, memory: MemoryStore, clock: Clock, damage: str, place: str
    ) -> None:
        memory.put(place + KEY, UNKNOWN[damage])
        kept = {put_segment(memory, 1), put_segment(memory, 1, OTHER)}
        report = SweepReport(kept=2, held_by=(place + KEY,))
        assert sweep_twice(memory, clock) == report
        assert files(memory) == kept

    def test_protects_everything_if_the_store_refuses_it(
        self, memory: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory.put(KEY, head())
        put_segment(memory, 1)
        get = memory.get

        def refuse(key: str) -> Blob | None:
            if key == KEY:
                raise AccessDeniedError("not yours", key=key)
            return get(key)

        monkeypatch.setattr(memory, "get", refuse)
        assert sweep_twice(memory, clock).held_by == (KEY,)
        assert files(memory)

    @pytest.mark.parametrize(
        ("key", "data"),
        [
            (KEY, b'{"role": "user"}\n'),
            (f"{JOURNALS}/notes.txt", b"notes"),
            (session_key("s"), b'{"id": "torn'),
            (session_key("s"), b""),
            (f"{TRASH}/notes.json", b"{}"),
        ],
    )
    def test_protects_nothing_if_it_is_none(
        self, memory: MemoryStore, clock: Clock, key: str, data: bytes
    ) -> None:
        memory.put(key, data)
        put_segment(memory, 1)
        assert sweep_twice(memory, clock).deleted == 1


class Counting(MemoryStore):
    """Counts what is asked of it, and does something before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], object] = lambda _call, _key: None

    def _note(self, call: str, key: str) -> None:
        self.calls.append((call, key))
        self.before(call, key)

    def get(self, key: str) -> Blob | None:
        self._note("get", key)
        return super().get(key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        self._note("put", key)
        return super().put(key, data, expect=expect)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        self._note("scan", prefix)
        return super().scan(prefix)


class TestTheCost:
    def test_is_three_requests_where_there_is_nothing(self) -> None:
        store = Counting()
        store.put(KEY, head())
        store.calls.clear()
        assert sweep(store) == SweepReport()
        assert store.calls == [("get", CANDIDATES), ("scan", SEGMENTS), ("scan", ATTACHMENTS)]

    def test_is_one_request_within_a_day(self, clock: Clock) -> None:
        store = Counting()
        put_segment(store, 1)
        sweep(store)
        store.calls.clear()
        sweep(store, present=clock.now)
        assert store.calls == [("get", CANDIDATES)]

    def test_is_nothing_more_within_a_day_if_all_is_named(self, clock: Clock) -> None:
        store = Counting()
        store.put(KEY, head(1))
        put_segment(store, 1)
        assert sweep(store) == SweepReport(kept=1)
        store.calls.clear()
        assert sweep(store, present=clock.now) == SweepReport()
        assert store.calls == [("get", CANDIDATES)]

    def test_of_heads_that_stay_as_they_are_is_one_get_each(self) -> None:
        store = Counting()
        store.put(KEY, head())
        put_segment(store, 1)
        store.calls.clear()
        sweep(store)
        assert store.calls.count(("get", KEY)) == 1


class TestClocks:
    def test_of_workers_decide_nothing(
        self, memory: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put_segment(memory, 1)
        for years in (-5, 5, -5, 5):
            moment = NOW + years * 365 * DAY
            for module in ("retention.sweeping", "retention.stamp"):
                monkeypatch.setattr(f"statekeep.{module}.utc_now", lambda now=moment: now)
            assert sweep(memory) == SweepReport(candidates=1)
            clock.now += HOUR
        clock.now += DAY
        assert sweep(memory).deleted == 1

    @pytest.mark.usefixtures("clock")
    def test_of_a_caller_that_trusts_its_own_decide_nothing(self, memory: MemoryStore) -> None:
        put_segment(memory, 1)
        sweep(memory)
        sessions = Sessions(memory)
        far = NOW + 365 * DAY
        sessions.prune(load_pruner("ttl"), now=far, trust_clock=True, trash=DAY)
        sessions.prune(load_pruner("ttl"), now=far, trust_clock=True)
        assert files(memory)

    def test_that_were_ahead_and_were_set_begin_the_day_anew(
        self, memory: MemoryStore, clock: Clock
    ) -> None:
        put_segment(memory, 1)
        clock.now += 1000 * DAY
        sweep(memory)
        clock.now = NOW
        assert sweep(memory) == SweepReport(candidates=1)
        clock.now += DAY - TICK
        assert sweep(memory).deleted == 0
        clock.now += TICK
        assert sweep(memory).deleted == 1

    def test_that_a_store_does_not_show_are_the_machines(
        self, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = NOW
        for module in ("retention.sweeping", "retention.stamp"):
            monkeypatch.setattr(f"statekeep.{module}.utc_now", lambda: now)
        monkeypatch.setattr("statekeep_backends.memory.utc_now", lambda: None)
        put_segment(memory, 1)
        sweep(memory)
        now += DAY - TICK
        assert sweep(memory).deleted == 0
        now += TICK
        assert sweep(memory).deleted == 1


class TestTwoSweepsAtOnce:
    def test_are_one_that_works_and_one_that_leaves_it(self, clock: Clock) -> None:
        store = Counting()
        put_segment(store, 1)
        sweep(store)
        clock.now += DAY
        reports = []

        def other(call: str, key: str) -> None:
            if call == "put" and key == CANDIDATES:
                store.before = lambda _call, _key: None
                reports.append(sweep(store))

        store.before = other
        reports.append(sweep(store))
        assert reports == [SweepReport(deleted=1), SweepReport()]

    def test_cannot_both_begin(self) -> None:
        store = Counting()
        put_segment(store, 1)

        def other(call: str, key: str) -> None:
            if call == "put" and key == CANDIDATES:
                store.before = lambda _call, _key: None
                assert sweep(store).candidates == 1

        store.before = other
        assert sweep(store) == SweepReport()


class TestALostAnswer:
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_to_what_is_written_down_deletes_nothing(
        self, memory: MemoryStore, clock: Clock, when: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = put_segment(memory, 1)
        sweep(memory)
        clock.now += DAY
        put = memory.put

        def lose(key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            if key != CANDIDATES:
                return put(key, data, expect=expect)
            if when == "after":
                put(key, data, expect=expect)
            raise UnavailableError("no answer", key=key, landed="unknown")

        with monkeypatch.context() as patch:
            patch.setattr(memory, "put", lose)
            with pytest.raises(UnavailableError):
                sweep(memory)
            assert Sessions(memory).prune(load_pruner("ttl")).swept == 0
        assert files(memory) == {key}
        for _ in range(2):
            clock.now += DAY
            sweep(memory)
        assert files(memory) == set()

    def test_to_a_delete_leaves_the_rest_to_the_next_runs(
        self, memory: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(3):
            put_segment(memory, number)
        sweep(memory)
        clock.now += DAY
        delete = memory.delete

        def lose(key: str, **expect: Any) -> None:
            if key == segment_key(1):
                raise UnavailableError("no answer", key=key)
            delete(key, **expect)

        with monkeypatch.context() as patch:
            patch.setattr(memory, "delete", lose)
            with pytest.raises(UnavailableError):
                sweep(memory)
        for _ in range(2):
            clock.now += DAY
            sweep(memory)
        assert files(memory) == set()


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"keys": 1}', b'{"keys": ["x"]}'])
def test_candidates_that_cannot_be_read_begin_anew(
    memory: MemoryStore, clock: Clock, garbage: bytes
) -> None:
    put_segment(memory, 1)
    memory.put(CANDIDATES, garbage)
    clock.now += 10 * DAY
    assert sweep(memory) == SweepReport(candidates=1)


def test_candidates_are_so_many_at_once(
    memory: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_MOST", 2)
    for number in range(3):
        put_segment(memory, number)
    assert sweep(memory).candidates == 2
    clock.now += DAY
    assert sweep(memory) == SweepReport(candidates=1, deleted=2)


def test_every_store_is_swept(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEY, head(1))
    named = put_segment(store, 1)
    put_segment(store, 2)
    store.put(f"{ATTACHMENTS}/{OTHER}/x.png", b"x")
    journals = Journals(store, "agents")
    assert journals.sweep() == SweepReport(candidates=2, kept=1)
    assert journals.sweep() == SweepReport(candidates=2)
    present = Stamp(Transfer(store)).write()
    monkeypatch.setattr(Stamp, "write", lambda _: present + DAY)
    assert journals.sweep() == SweepReport(deleted=2, kept=1)
    assert files(store) == {named}


def test_no_empty_folder_is_left_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(tmp_path) as store:
        (tmp_path / "theirs" / "empty").mkdir(parents=True)
        journals = Journals(store, "agents")
        for name in ("old", "kept"):
            journals.open("ada", name).append(["x" * 100_000])
        one = load_pruner("max-sessions", max_sessions=1)
        journals.prune(one, trash=DAY)
        journals.empty_trash()
        swept = []
        for days in (1, 2, 3):
            present = datetime.now(UTC) + days * DAY
            monkeypatch.setattr(Stamp, "write", lambda _, now=present: now)
            swept.append(journals.prune(one).swept)
            candidates = tmp_path / CANDIDATES
            os.utime(candidates, (present.timestamp(), present.timestamp()))
        assert swept == [0, 1, 0]
        items = journals.open("ada", "kept").read()
    empty = {os.path.relpath(path, tmp_path) for path, *held in os.walk(tmp_path) if not any(held)}
    assert empty - {TRASH} == {"theirs/empty"}
    assert items == ["x" * 100_000]


class TestAnAppend:
    """A head is written within an hour of the segments that it is the first to name."""

    @pytest.fixture
    def hours(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """How long each further put of a segment takes."""
        hours: list[float] = []
        now = [0.0, 0.0]
        monkeypatch.setattr(committing, "_clocks", lambda: tuple(now))
        put = MemoryStore.put

        def slow(self: MemoryStore, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            if key.startswith(SEGMENTS) and hours:
                now[1] += hours.pop(0) * 3600
            return put(self, key, data, expect=expect)

        monkeypatch.setattr(MemoryStore, "put", slow)
        return hours

    def test_that_comes_later_puts_them_again(
        self, memory: MemoryStore, hours: list[float]
    ) -> None:
        journal = Journals(memory, "agents").open("a")
        hours += [1.1, 0.9]
        journal.append(["x" * 100_000])
        assert len(files(memory)) == 2
        blob = memory.get(KEY)
        assert blob
        header = decode_head(blob.data).header
        assert f"{SEGMENTS}/{header.uid}/{header.segments[0].name}.jsonl" in files(memory)
        assert journal.read() == ["x" * 100_000]

    def test_that_is_in_time_puts_them_once(self, memory: MemoryStore, hours: list[float]) -> None:
        hours += [0.9]
        Journals(memory, "agents").open("a").append(["x" * 100_000])
        assert len(files(memory)) == 1

    def test_that_is_late_again_and_again_is_refused(
        self, memory: MemoryStore, hours: list[float]
    ) -> None:
        hours += [1.1] * 9
        with pytest.raises(UnavailableError, match="more than an hour") as caught:
            Journals(memory, "agents").open("a").append(["x" * 100_000])
        assert caught.value.landed == "no"
        assert memory.get(KEY) is None

    def test_that_is_late_names_what_was_named_before_all_the_same(
        self, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal = Journals(memory, "agents").open("a")
        journal.append(["x" * 100_000])
        ticking = iter(range(0, 10**9, 4000))
        monkeypatch.setattr(committing, "_clocks", lambda: (next(ticking), 0.0))
        journal.append([1])
        assert len(files(memory)) == 1

    def test_is_not_sent_again_after_an_hour(
        self, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [0.0, 0.0]
        monkeypatch.setattr(committing, "_clocks", lambda: tuple(now))
        put = memory.put
        sent = 0

        def lose(key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            nonlocal sent
            if key == KEY:
                now[0] += 4000
                sent += 1
                raise UnavailableError("no answer", key=key, landed="unknown")
            return put(key, data, expect=expect)

        monkeypatch.setattr(memory, "put", lose)
        with pytest.raises(UnavailableError, match="may have landed"):
            Journals(memory, "agents").open("a").append(["x" * 100_000])
        assert sent == 1


class Stepped(MemoryStore):
    """Lets others work before each reading of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.pause: Callable[[], object] = lambda: None

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        if prefix in {JOURNALS, TRASH}:
            self.pause()
        return super().scan(prefix)


Step = Callable[["World"], object]


class World:
    """A journal with a segment, and others who work on it, each step by step."""

    def __init__(self, begins: str) -> None:
        self.store = Stepped()
        self.seen: Blob | None = None
        self.copy = ""
        self.n = 1
        put_segment(self.store, 1)
        put_segment(self.store, 9, OTHER)  # left behind, so that no reading is left out
        self.copies = 0
        if begins == "live":
            self.store.put(KEY, head(1))
        else:
            self.copy = self._new_copy()
            self.store.put(self.copy, head(1))

    def _new_copy(self) -> str:
        self.copies += 1
        return copy_key(KEY, Blob(b"", Version("v"), None), NOW + self.copies * TICK)

    def copies_to_trash(self) -> None:
        self.moved = self.store.get(KEY)
        if self.moved:
            self.copy = self._new_copy()
            self.store.put(self.copy, self.moved.data)

    def deletes_where_it_was(self) -> None:
        if self.moved:
            try:
                self.store.delete(KEY, expect=self.moved.version)
            except ConflictError:
                self.store.delete(self.copy)

    def restores(self) -> None:
        copy = self.store.get(self.copy)
        self.restored = copy is not None and self.store.get(KEY) is None
        if copy and self.restored:
            self.store.put(KEY, self._followed(copy.data), expect=ABSENT)

    def deletes_the_copy(self) -> None:
        if self.restored:
            self.store.delete(self.copy)

    def puts_a_segment(self) -> None:
        self.seen = self.store.get(KEY)
        put_segment(self.store, 2)

    def names_it(self) -> None:
        if self.seen:
            with suppress(ConflictError):
                self.store.put(KEY, self._followed(self.seen.data, 2), expect=self.seen.version)

    def _followed(self, data: bytes, *more: int) -> bytes:
        self.n += 1
        segments = decode_head(data).header.segments
        return head(*[int(each.name[:12]) for each in segments], *more, n=self.n)

    def has_lost(self) -> bool:
        """Whether a head names what is gone."""
        for prefix in (JOURNALS, TRASH):
            for entry in self.store.scan(prefix):
                blob = self.store.get(entry.key)
                assert blob
                numbers = [int(each.name[:12]) for each in decode_head(blob.data).header.segments]
                if any(self.store.get(segment_key(number)) is None for number in numbers):
                    return True
        return False


MOVE: list[Step] = [World.copies_to_trash, World.deletes_where_it_was]
RESTORE: list[Step] = [World.restores, World.deletes_the_copy]
APPEND: list[Step] = [World.puts_a_segment, World.names_it]
PAUSES = 3
"""In each phase, before each reading; what is done after the last might as well be done later."""


def is_lost(begins: str, steps: Sequence[Step], pauses: Sequence[int], clock: Clock) -> bool:
    """Whether something named is lost if each step is done at the pause that is given for it."""
    world = World(begins)
    todo = deque(zip(pauses, steps, strict=True))
    now = 0

    def pause() -> None:
        nonlocal now
        world.store.pause = lambda: None
        while todo and todo[0][0] <= now:
            todo.popleft()[1](world)
        world.store.pause = pause
        now += 1

    world.store.pause = pause
    for phase in range(2):
        now = phase * PAUSES
        sweep(world.store, present=clock.now)
        clock.now += DAY
    world.store.pause = lambda: None
    for _, step in todo:
        step(world)
    return world.has_lost()


def orders(begins: str, steps: Sequence[Step], clock: Clock) -> Iterator[bool]:
    """What becomes of each order of two phases of a sweep and the steps of others."""
    first, second = (steps.index(step) if step in steps else 0 for step in APPEND)
    for pauses in combinations_with_replacement(range(2 * PAUSES + 1), len(steps)):
        # A head is swapped within an hour: if its segment was put in the first phase, then before
        # the second.
        if pauses[second] <= PAUSES or pauses[first] >= PAUSES:
            yield is_lost(begins, steps, pauses, clock)


def mixed(one: list[Step], other: list[Step]) -> Iterator[list[Step]]:
    """All orders of the steps of two, each keeping its own."""
    for places in combinations(range(len(one) + len(other)), len(other)):
        ours, theirs = iter(one), iter(other)
        yield [next(theirs) if n in places else next(ours) for n in range(len(one) + len(other))]


SCENES = {
    "moved, restored and moved": ("live", [*MOVE, *RESTORE, *MOVE]),
    "restored, moved and restored": ("trash", [*RESTORE, *MOVE, *RESTORE]),
    "appended to": ("live", APPEND),
}


class TestWhoeverWorksMeanwhile:
    @pytest.mark.parametrize("scene", SCENES)
    def test_loses_nothing_in_any_order(self, scene: str, clock: Clock) -> None:
        begins, steps = SCENES[scene]
        assert not any(orders(begins, steps, clock))

    @pytest.mark.rest
    @pytest.mark.parametrize(
        ("begins", "moving"), [("live", [*MOVE, *RESTORE]), ("trash", [*RESTORE, *MOVE])]
    )
    def test_loses_nothing_with_an_append_between(
        self, begins: str, moving: list[Step], clock: Clock
    ) -> None:
        for steps in mixed(moving, APPEND):
            assert not any(orders(begins, steps, clock))

    @pytest.mark.parametrize(
        ("order", "scene"),
        [
            ((TRASH, JOURNALS), "moved, restored and moved"),
            ((JOURNALS, TRASH), "restored, moved and restored"),
            ((JOURNALS, JOURNALS), "moved, restored and moved"),
        ],
    )
    def test_would_lose_something_if_heads_were_read_in_another_order(
        self,
        order: tuple[str, ...],
        scene: str,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sweeping, "_ORDER", order)
        begins, steps = SCENES[scene]
        assert any(orders(begins, steps, clock))

    def test_would_lose_something_in_one_phase(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "_DAY", timedelta(0))
        world = World("live")
        world.puts_a_segment()
        for _ in range(2):
            clock.now += TICK
            sweep(world.store, present=clock.now)
        world.names_it()
        assert world.has_lost()
