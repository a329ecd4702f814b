"""The summary index: a listing is what a full read would give, with far fewer reads."""

from __future__ import annotations

import gc
import json
import os
import re
import secrets
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statekeep import (
    ANY,
    AccessDeniedError,
    CorruptDataError,
    Session,
    Sessions,
    StateStore,
    Version,
    load_pruner,
    open_store,
)
from statekeep.doctor import diagnose
from statekeep.format.journal import decode_head
from statekeep.format.record import decode_session
from statekeep.format.version import is_head
from statekeep.heads import index as index_module
from statekeep.heads import records as records_module
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.index import SummaryIndex
from statekeep.heads.known import Known
from statekeep.heads.records import decode_index
from statekeep.store import Entry, StoreWrapper
from statekeep.store.keys import SESSIONS, session_key
from statekeep_backends.local import files, surveying, walking
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep import SessionSummary
    from statekeep.store import Blob, Expect

INDEX = SESSION_HEADS.index
CHANGES = SESSION_HEADS.changes
RIGHT_TYPES: list[set[type[Any]]] = [
    {str, type(None)},  # version, None if it is the fingerprint
    {str, type(None)},  # id, None if the key tells
    {str},  # user_id
    {int},  # length
    {str, type(None)},  # active_seed_id
    {str, type(None)},  # project_id
    {int},  # created_at
    {int},  # updated_at
    {int},  # size
    {int, type(None)},  # pinned_until
    {int, type(None)},  # expires_at
    {str, type(None)},  # title
    {str, type(None)},  # last_phase
    {bool, type(None)},  # last_evaluation
    {type(None)},  # name, which only journals have
]
_TICK_NS = 12_000_000
"""More than a step of the clock of any filesystem on which the tests run."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is used for the smallest store, for the youngest file, and has many lines."""
    monkeypatch.setattr(index_module, "_FEW", 0)
    monkeypatch.setattr(records_module, "_ROWS", 2)
    monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
    monkeypatch.setattr(index_module, "_MANY", 0)
    monkeypatch.setattr(surveying, "fingerprint_if_settled", _mark_after_a_tick)


def _mark_after_a_tick(status: os.stat_result, now_ns: int) -> str | None:
    """A folder in which another file comes in the same step of the clock looks unchanged."""
    settled = max(status.st_mtime_ns, status.st_ctime_ns) + _TICK_NS < now_ns
    return files.fingerprint(status) if settled else None


class CountingStore(MemoryStore):
    """A store that notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str) -> Blob | None:
        self.asked.append(f"get {key}")
        return super().get(key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        self.asked.append(f"put {key}")
        return super().put(key, data, expect=expect)


def fill(store: StateStore, number: int, *, start: int = 0) -> None:
    for n in range(start, start + number):
        session = Session.new(f"user-{n % 3}", f"s{n}")
        session.updated_at = NOW + timedelta(minutes=n)
        store.put(session_key(session.id), session.to_json())


def read_all(store: StateStore) -> tuple[list[SessionSummary], set[str]]:
    """What a listing must say, by reading everything."""
    summaries, problems = [], set()
    for entry in store.scan(SESSIONS):
        blob = store.get(entry.key)
        assert blob
        try:
            if is_head(blob.data):
                inner = decode_head(blob.data).header.about["id"]
                session = Sessions(store).load(inner, required=True)
            else:
                session = decode_session(entry.key, blob)
        except CorruptDataError:
            problems.add(entry.key)
        else:
            summaries.append(session.summary(size=len(blob.data)))
    summaries.sort(key=lambda summary: summary.id)
    summaries.sort(key=lambda summary: summary.updated_at, reverse=True)
    return summaries, problems


def listed(sessions: Sessions) -> tuple[list[SessionSummary], set[str]]:
    listing = sessions.list()
    return list(listing), {problem.key for problem in listing.problems}


Step = tuple[str, int, str]
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["save", "delete", "garbage", "same size", "swap", "restore", "drop the index"]
        ),
        st.integers(0, 3),
        st.sampled_from(
            ["list one", "list other", "list both", "list new", "list later", "do not list"]
        ),
    ),
    min_size=3,
    max_size=25,
)


class Around:
    """Writes that know nothing of an index."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.seen: dict[str, bytes] = {}
        self.minutes = count()

    def do(self, what: str, n: int) -> None:
        key = session_key(f"s{n}")
        blob = self.store.get(key)
        if blob:
            self.seen.setdefault(key, blob.data)
        match what:
            case "save":
                session = Session.new("ada", f"s{n}")
                session.updated_at = NOW + timedelta(minutes=next(self.minutes))
                self.store.put(key, session.to_json())
            case "delete":
                self.store.delete(key)
            case "garbage":
                self.store.put(key, b"{" * next(self.minutes))
            case "same size" if blob:
                letter = b"abcdefgh"[next(self.minutes) % 8 :][:1]
                self.store.put(key, blob.data.replace(b'"ada"', b'"ad%b"' % letter))
            case "swap":
                other = session_key(f"s{(n + 1) % 4}")
                second = self.store.get(other)
                if blob and second:
                    self.store.put(key, second.data)
                    self.store.put(other, blob.data)
            case "restore" if key in self.seen:
                self.store.put(key, self.seen[key])
            case "drop the index":
                self.store.delete(INDEX)


@pytest.mark.usefixtures("eager")
class TestAListingEqualsAFullRead:
    def test_after_any_interleaving(self, location: str) -> None:
        @settings(max_examples=4 if location.startswith("s3:") else 60, deadline=None)
        @given(steps=steps)
        def run(steps: list[Step]) -> None:
            with open_store(location) as store, open_store(location) as second:
                for entry in list(store.scan()):
                    store.delete(entry.key)
                one, other = Sessions(store), Sessions(second)
                around = Around(store)
                for what, n, then in steps:
                    around.do(what, n)
                    if then in {"list one", "list both"}:
                        assert listed(one) == read_all(store)
                    if then in {"list other", "list both"}:
                        assert listed(other) == read_all(store)
                    if then == "list new":
                        assert listed(Sessions(store)) == read_all(store)
                    if then == "list later":
                        time.sleep(_TICK_NS / 1e9)
                        assert listed(one) == listed(other) == read_all(store)
                expected = read_all(store)
                assert listed(one) == listed(other) == listed(Sessions(second)) == expected

        run()

    def test_with_several_clients_at_once(self, location: str) -> None:
        def work(worker: int) -> None:
            with open_store(location) as store:
                sessions = Sessions(store)
                for n in range(6):
                    sessions.get_or_create("ada", f"{worker}-{n}")
                    sessions.list()
                    sessions.delete(f"{worker}-{n - 2}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        with open_store(location) as store:
            assert listed(Sessions(store)) == read_all(store)
            assert len(Sessions(store).list()) == 8

    def test_when_one_sessions_object_is_shared_by_threads(self, store: StateStore) -> None:
        sessions = Sessions(store)

        def work(worker: int) -> None:
            for n in range(5):
                sessions.get_or_create("ada", f"{worker}-{n}")
                assert {f"{worker}-{m}" for m in range(n + 1)} <= {s.id for s in sessions.list()}

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert listed(sessions) == read_all(store)


class TestReads:
    def test_what_did_not_change_is_not_read_again(self) -> None:
        store = CountingStore()
        fill(store, 200)
        sessions = Sessions(store)
        sessions.list()
        store.asked.clear()
        sessions.list()
        assert store.asked == []
        fill(store, 1, start=7)
        fill(store, 1, start=200)
        store.put(session_key("s7"), store.get(session_key("s8")).data)  # type: ignore[union-attr]
        store.asked.clear()
        assert len(sessions.list().problems) == 1
        twice = ("s200", "s7", "s7")  # what is damaged is looked at once more
        assert sorted(store.asked) == [f"get {session_key(name)}" for name in twice]

    def test_a_new_process_reads_the_index_alone(self) -> None:
        store = CountingStore()
        fill(store, 200)
        store.put(session_key("broken"), b"{")
        expected = Sessions(store).list()
        store.asked.clear()
        assert Sessions(store).list() == expected
        assert store.asked == [f"get {INDEX}"]

    def test_documents_that_are_no_sessions_do_not_matter(self) -> None:
        store = CountingStore()
        fill(store, 60)
        for n in range(6000):
            store.put(f"{SESSIONS}/{n}.md", b"no session")
        for _ in range(2):
            store.asked.clear()
            listing = Sessions(store).list()
            assert (len(listing), listing.problems) == (60, ())
        assert store.asked == [f"get {INDEX}"]

    def test_an_index_is_not_asked_for_where_it_saves_little(self) -> None:
        store = CountingStore()
        fill(store, 16)
        store.asked.clear()
        Sessions(store).list()
        assert f"get {INDEX}" not in store.asked
        assert f"put {INDEX}" not in store.asked

    def test_it_is_written_when_more_than_one_in_a_hundred_changed(self) -> None:
        store = CountingStore()
        fill(store, 3000)
        sessions = Sessions(store)
        sessions.list()
        store.asked.clear()
        fill(store, 30, start=3000)
        sessions.list()
        assert f"put {CHANGES}" not in store.asked
        for n in range(5):
            store.delete(session_key(f"s{n}"))
        sessions.list()
        assert store.asked.count(f"put {CHANGES}") == 1
        assert f"put {INDEX}" not in store.asked
        blob = store.get(CHANGES)
        assert blob
        changes = decode_index(blob.data)
        assert (len(changes.rows), len(changes.gone)) == (30, 5)
        assert listed(Sessions(store)) == read_all(store)

    def test_it_is_written_anew_when_more_than_one_in_ten_changed(self) -> None:
        store = CountingStore()
        fill(store, 1000)
        sessions = Sessions(store)
        sessions.list()
        for start in range(1000, 1160, 40):
            fill(store, 40, start=start)
            sessions.list()
        blob = store.get(INDEX)
        assert blob
        assert len(decode_index(blob.data).rows) == 1120
        blob = store.get(CHANGES)
        assert blob
        assert len(decode_index(blob.data).rows) == 40
        assert listed(Sessions(store)) == read_all(store)

    def test_planning_and_filters_read_no_bodies(self) -> None:
        store = CountingStore()
        fill(store, 100)
        sessions = Sessions(store)
        sessions.list()
        store.asked.clear()
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=40))
        assert len(plan.victims) == 60
        page = sessions.list(user_id="user-1", updated_after=NOW, limit=10)
        assert sessions.list(user_id="user-1", cursor=page.cursor).summaries
        assert store.asked == []

    def test_a_session_takes_less_than_a_kilobyte(self, tmp_path: Path) -> None:
        with open_store(f"file:{tmp_path}?durability=rename") as store:
            fill(store, 500)
            for path in (tmp_path / SESSIONS).iterdir():
                os.utime(path, (0, 0))
            sessions = Sessions(store)
            sessions.list(limit=1)
            assert isinstance(sessions._heads, SummaryIndex)
            sessions._heads._cached = Known()
            gc.collect()
            tracemalloc.start()
            try:
                sessions.list(limit=1)
                gc.collect()
                used, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert used / 500 < 1000


@pytest.mark.usefixtures("eager")
def test_a_store_that_vouches_for_nothing_is_read_each_time(location_of_fsspec: str) -> None:
    with open_store(location_of_fsspec) as store:
        sessions = Sessions(store, conflicts="last-writer-wins")
        fill(store, 3)
        assert listed(sessions) == read_all(store)
        blob = store.get(session_key("s1"))
        assert blob
        store.put(session_key("s1"), blob.data.replace(b'"user-1"', b'"user-X"'))
        assert "user-X" in {summary.user_id for summary in sessions.list()}
        assert listed(sessions) == read_all(store)


@pytest.fixture
def location_of_fsspec() -> str:
    return f"fsspec+memory://{secrets.token_hex(8)}"


class Parts:
    """An index taken apart, to be put together with the checksums that its parts have then."""

    def __init__(self, about: Any, keys: Any, fingerprints: Any, blocks: Any) -> None:
        self.about = about
        self.keys = keys
        self.fingerprints = fingerprints
        self.blocks = blocks
        self.left_out: str | None = None

    @classmethod
    def of(cls, data: bytes) -> Parts:
        _, about, keys, fingerprints, *blocks = map(json.loads, data.split(b"\n"))
        return cls(about, keys, fingerprints, blocks)

    def joined(self) -> bytes:
        blocks = [json.dumps(block).encode() for block in self.blocks]
        if isinstance(sizes := self.about["blocks"], list):
            # What is no size of a block stays what it is.
            for size, block in zip(sizes, blocks, strict=False):
                if len(size) == 3:
                    size[2] = zlib.crc32(block)
        about = {name: value for name, value in self.about.items() if name != self.left_out}
        parts = (about, self.keys, self.fingerprints)
        head = b"\n".join(json.dumps(part).encode() for part in parts)
        described = {"format": "statekeep summaries 5", "crc32": zlib.crc32(head)}
        return b"\n".join([json.dumps(described).encode(), head, *blocks])


class TestADamagedIndex:
    @pytest.fixture
    def store(self) -> Iterator[StateStore]:
        with MemoryStore() as store:
            fill(store, 40)
            Sessions(store).list()
            yield store

    @staticmethod
    def _data(store: StateStore) -> bytes:
        blob = store.get(INDEX)
        assert blob
        return blob.data

    def _is_made_anew(self, store: StateStore, caplog: pytest.LogCaptureFixture) -> None:
        caplog.clear()
        assert listed(Sessions(store)) == read_all(store)
        assert [record.message for record in caplog.records] == [
            f"{INDEX} on {store} is rebuilt: damaged, or not an index"
        ]
        assert len(decode_index(self._data(store)).rows) == 40
        assert listed(Sessions(store)) == read_all(store)
        assert len(caplog.records) == 1

    @given(data=st.data())
    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_is_known_by_any_byte(self, store: StateStore, data: st.DataObject) -> None:
        sound = self._data(store)
        place = data.draw(st.integers(0, len(sound) - 1))
        other = data.draw(st.integers(0, 255).filter(lambda byte: byte != sound[place]))
        with pytest.raises(CorruptDataError):
            decode_index(sound[:place] + bytes([other]) + sound[place + 1 :])
        with pytest.raises(CorruptDataError):
            decode_index(sound[:place])

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff",
            b"{}",
            b"[]\n[]",
            b'{"format":"statekeep summaries 1","crc32":0}\n{"records":[],"problems":[]}',
        ],
    )
    def test_is_made_anew(
        self, store: StateStore, data: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put(INDEX, data)
        self._is_made_anew(store, caplog)

    @pytest.mark.parametrize("blocks", [[], [5], [{}], [[]], [[[1], [2]]], [[[]] * 14], [[], []]])
    def test_with_other_blocks_is_made_anew(
        self, store: StateStore, blocks: list[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        parts.blocks = blocks
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("names", [5, [], True]),
            ("base", [5, [], True]),
            ("gone", [5, None, "x", ["x"], [1.5]]),
            ("problems", [5, None, "x"]),
            ("blocks", [5, None, "x", [[40]], [[40, 5, 5, 5]], [[0, 0, 0], [40, 0, 0]]]),
        ],
    )
    def test_that_is_described_otherwise_is_made_anew(
        self, store: StateStore, name: str, values: list[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        for value in values:
            parts = Parts.of(self._data(store))
            parts.about[name] = value
            self._forge(store, parts)
            self._is_made_anew(store, caplog)

    @pytest.mark.parametrize("name", ["names", "base", "gone", "problems", "blocks"])
    def test_that_lacks_a_part_is_made_anew(
        self, store: StateStore, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        parts.left_out = name
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    @pytest.mark.parametrize("keys", [5, {}, [], ["a key"], [5] * 40])
    def test_of_other_keys_is_made_anew(
        self, store: StateStore, keys: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        parts.keys = keys
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    @pytest.mark.parametrize("fingerprints", [5, [], "", "one", "\n" * 39, "\n" * 40])
    def test_of_other_fingerprints_is_made_anew(
        self, store: StateStore, fingerprints: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        parts.fingerprints = fingerprints
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    def test_of_a_column_less_is_made_anew(
        self, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        del parts.blocks[0][-1]
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    @pytest.mark.parametrize("place", range(len(RIGHT_TYPES)))
    @pytest.mark.parametrize("value", [5, "5", True, None, [], {}, 1.5, 2**63])
    def test_of_another_type_is_made_anew(
        self, store: StateStore, place: int, value: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        too_late = value == 2**63 and place in {6, 7, 9, 10}
        if type(value) in RIGHT_TYPES[place] and not too_late:
            return
        parts.blocks[0][place][0] = value
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    def test_that_names_a_document_twice_is_made_anew(
        self, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        parts.keys.append(parts.keys[-1])
        parts.fingerprints += "\n" + parts.fingerprints.rpartition("\n")[2]
        parts.blocks = [[[*column, column[-1]] for column in parts.blocks[0]]]
        parts.about["blocks"] = [[41, len(parts.fingerprints), 0]]
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    def test_in_another_order_is_made_anew(
        self, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        parts.blocks = [[column[::-1] for column in parts.blocks[0]]]
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    @pytest.mark.usefixtures("eager")
    def test_with_its_blocks_in_another_order_is_made_anew(
        self, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        fill(store, 1)
        store.delete(INDEX)
        Sessions(store).list()
        parts = Parts.of(self._data(store))
        assert len(parts.blocks) == 20
        parts.blocks[4], parts.blocks[5] = parts.blocks[5], parts.blocks[4]
        marks = parts.fingerprints.split("\n")
        for each in (parts.keys, marks):
            each[8:12] = [*each[10:12], *each[8:10]]
        parts.fingerprints = "\n".join(marks)
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    @pytest.mark.parametrize(
        "row", [[None, "sessions/x.json", "v", "why"], ["m", 5, "v", "why"], ["m", "k", 5, "why"],
                ["m", "k", "v", None], ["m", "k", "v"], ["m", "k", "v", "why", "more"], 5, {},
                ["m", "sessions/s1.json", "v", "why"]],
    )  # fmt: skip
    def test_with_another_problem_is_made_anew(
        self, store: StateStore, row: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = Parts.of(self._data(store))
        parts.about["problems"] = [row]
        self._forge(store, parts)
        self._is_made_anew(store, caplog)

    @pytest.mark.parametrize("limit", [1, 30])
    def test_in_a_block_is_found_out_by_the_page_that_comes_to_it(
        self,
        store: StateStore,
        limit: int,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(records_module, "_ROWS", 20)
        store.delete(INDEX)
        expected = Sessions(store).list(limit=limit)
        sound = self._data(store)
        place = sound.rindex(b"user-1")
        store.put(INDEX, sound[:place] + b"user-X" + sound[place + 6 :])
        caplog.clear()
        assert Sessions(store).list(limit=limit) == expected
        assert len(caplog.records) == (limit > 20)
        assert listed(Sessions(store)) == read_all(store)
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("user_id", [None, "user-1"])
    def test_in_a_block_is_found_out_by_whoever_counts(
        self, store: StateStore, user_id: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        expected = Sessions(store).count(user_id=user_id)
        sound = self._data(store)
        place = sound.rindex(b"user-1")
        store.put(INDEX, sound[:place] + b"user-X" + sound[place + 6 :])
        assert Sessions(store).count(user_id=user_id) == expected
        assert len(caplog.records) == 1

    @pytest.fixture
    def _beside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As many changes as there are sessions are written beside the index."""
        monkeypatch.setattr(index_module, "_PART", 1)

    @pytest.mark.usefixtures("_beside")
    def test_of_changes_is_made_anew(
        self, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = Sessions(store)
        for start in (0, 9):
            fill(store, 9, start=start)
            sessions.list()
        data = store.get(CHANGES)
        assert data
        store.put(CHANGES, data.data[:-1])
        assert [each.kind for each in diagnose(store).problems] == ["summary index"]
        caplog.clear()
        assert listed(Sessions(store)) == read_all(store)
        assert [CHANGES in record.message for record in caplog.records] == [True]

    @pytest.mark.usefixtures("_beside")
    def test_of_changes_of_another_index_is_taken_for_what_it_is(self, store: StateStore) -> None:
        sessions = Sessions(store)
        for start in (0, 9):
            fill(store, 9, start=start)
            sessions.list()
        changes = store.get(CHANGES)
        assert changes
        store.delete(INDEX)
        Sessions(store).list()
        store.put(CHANGES, changes.data)
        fill(store, 20)
        assert listed(Sessions(store)) == read_all(store)

    @staticmethod
    def _forge(store: StateStore, parts: Parts) -> None:
        store.put(INDEX, parts.joined())
        assert [each.kind for each in diagnose(store).problems] == ["summary index"]

    def test_of_a_store_that_cannot_be_written_is_no_error(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class ReadOnly(CountingStore):
            closed = False

            def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
                if self.closed:
                    raise AccessDeniedError("read-only", key=key, store=self)
                return super().put(key, data, expect=expect)

        store = ReadOnly()
        fill(store, 40)
        store.closed = True
        sessions = Sessions(store)
        assert listed(sessions) == read_all(store)
        assert store.get(INDEX) is None
        store.asked.clear()
        sessions.list()
        assert store.asked == []
        assert caplog.records == []


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "store"


class TestFilesThatLookUnchanged:
    """On a disk, whose marks are times and numbers."""

    @pytest.fixture
    def store(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateStore]:
        monkeypatch.setattr(index_module, "_FEW", 0)
        with open_store(f"file:{base}?durability=rename") as store:
            fill(store, 3)
            yield store

    @staticmethod
    def _rewrite(base: Path, name: str = "s1") -> None:
        """In place, with the same size."""
        path = base / SESSIONS / f"{name}.json"
        data = path.read_bytes()
        times = path.stat()
        with path.open("r+b") as file:
            file.write(data.replace(b'"user-1"', b'"user-X"'))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def test_within_one_step_of_a_coarse_clock_are_read_again(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fingerprint = files.fingerprint

        def coarse(status: os.stat_result) -> str:
            values = list(status)
            grain = 10**12
            times = {
                name: getattr(status, name) // grain * grain
                for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")
            }
            return fingerprint(os.stat_result(values, times))

        monkeypatch.setattr(files, "fingerprint", coarse)
        monkeypatch.setattr("statekeep_backends.local.store.fingerprint", coarse)
        sessions = Sessions(store)
        assert "user-X" not in {summary.user_id for summary in sessions.list()}
        before = [entry.fingerprint for entry in store.scan(SESSIONS)]
        self._rewrite(base)
        assert [entry.fingerprint for entry in store.scan(SESSIONS)] == before
        assert "user-X" in {summary.user_id for summary in sessions.list()}
        assert "user-X" in {summary.user_id for summary in Sessions(store).list()}

    @pytest.mark.parametrize("field", ["mtime", "ctime"])
    def test_are_trusted_only_when_older_than_a_step_of_any_clock(self, field: str) -> None:
        now = 10**18
        for age, settled in [(3, True), (2, False), (0, False), (-3600, False)]:
            times = {"st_mtime_ns": 10**9, "st_ctime_ns": 10**9, "st_atime_ns": 10**9}
            times[f"st_{field}_ns"] = now - age * 10**9
            status = os.stat_result([0] * 10, times)
            assert (files.fingerprint_if_settled(status, now) is not None) == settled

    def test_are_seen_to_have_changed_by_their_ctime(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
        sessions = Sessions(store)
        sessions.list()
        self._rewrite(base)
        assert "user-X" in {summary.user_id for summary in sessions.list()}
        assert "user-X" in {summary.user_id for summary in Sessions(store).list()}

    def test_are_read_when_one_takes_the_name_of_another(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
        sessions = Sessions(store)
        sessions.list()
        (base / SESSIONS / "s1.json").replace(base / SESSIONS / "s2.json")
        listing = sessions.list()
        assert [summary.id for summary in listing] == ["s0"]
        assert [problem.key for problem in listing.problems] == ["sessions/s2.json"]


class _ScannedLongAgo(StoreWrapper):
    """Every document was written anew since the scan, two hours later."""

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        for entry in super().scan(prefix):
            assert entry.modified_ns is not None
            yield replace(entry, modified_ns=entry.modified_ns - 7200 * 10**9)


def test_what_is_written_after_the_scan_is_as_young_as_what_is_read() -> None:
    session = Session.new("ada", "s")
    session.updated_at -= timedelta(days=30)
    store = MemoryStore()
    store.put(session_key("s"), session.to_json())
    plan = Sessions(_ScannedLongAgo(store)).plan_prune(
        load_pruner("ttl"), min_idle=timedelta(hours=1)
    )
    assert plan.victims == ()
    assert [each.reason for each in plan.protected] == ["changed within 1:00:00"]


def _edit(path: Path, user: bytes) -> None:
    """In place."""
    data = path.read_bytes()
    time.sleep(_TICK_NS / 1e9)
    with path.open("r+b") as file:
        file.write(re.sub(rb"user-\d", user, data))


def _copy(path: Path, to: Path) -> None:
    to.write_bytes(path.read_bytes().replace(path.stem.encode(), to.stem.encode()))


def _swap(one: Path, other: Path) -> None:
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _link(path: Path) -> None:
    aside = path.parent.parent / path.name
    path.rename(aside)
    path.symlink_to(aside)


def _replace(folder: Path) -> None:
    """By another folder with other files."""
    folder.rename(folder.with_suffix(".old"))
    folder.mkdir()
    _copy(folder.with_suffix(".old") / "s1.json", folder / "s8.json")


def _replace_by_an_old_one(folder: Path) -> None:
    _replace(folder)
    os.utime(folder, (0, 0))


class TestNamesThatAreKnown:
    """On a disk, whose folders tell by their times that nothing has come or gone."""

    @pytest.fixture
    def store(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateStore]:
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
        monkeypatch.setattr(index_module, "_FEW", 0)
        monkeypatch.setattr(index_module, "_MANY", 0)
        monkeypatch.setattr(surveying, "fingerprint_if_settled", _mark_after_a_tick)
        with open_store(f"file:{base}?durability=rename") as store:
            fill(store, 5)
            time.sleep(_TICK_NS / 1e9)
            Sessions(store).list()
            yield store

    @pytest.fixture
    def read_folders(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The folders that are read."""
        found: list[str] = []

        def noting(folders: Any, prefix: str = "") -> Iterator[walking.Contents]:
            for contents in walk(folders, prefix):
                found.append(contents.path)
                yield contents

        walk = walking.walk
        monkeypatch.setattr("statekeep_backends.local.store.walk", noting)
        return found

    @pytest.mark.parametrize(
        "change",
        [
            lambda folder: _edit(folder / "s1.json", b"user-1"),
            lambda folder: _edit(folder / "s1.json", b"user-X"),
            lambda folder: _edit(folder / "s1.json", b"user-longer"),
            lambda folder: (folder / "s2.json").chmod(0o640),
            lambda folder: os.utime(folder / "s2.json"),
        ],
    )
    def test_spare_the_folder_and_no_file(
        self,
        store: StateStore,
        base: Path,
        read_folders: list[str],
        change: Callable[[Path], object],
    ) -> None:
        change(base / SESSIONS)
        for sessions in (Sessions(store), Sessions(store)):
            listing = listed(sessions)
            assert read_folders == []
            assert listing == read_all(store)
            assert listed(sessions) == listing
            read_folders.clear()

    @pytest.mark.parametrize(
        "change",
        [
            lambda folder: (folder / "s1.json").unlink(),
            lambda folder: (folder / "s1.json").rename(folder / "s2.json"),
            lambda folder: (folder / "s1.json").rename(folder / "s9.json"),
            lambda folder: _swap(folder / "s1.json", folder / "s2.json"),
            lambda folder: _copy(folder / "s1.json", folder / "s9.json"),
            lambda folder: (folder / "s1.json").rename(folder.parent / "s1.json"),
            lambda folder: (folder / "inner").mkdir(),
            lambda folder: _link(folder / "s1.json"),
            _replace,
            _replace_by_an_old_one,
        ],
    )
    def test_are_known_no_longer_when_one_comes_or_goes(
        self,
        store: StateStore,
        base: Path,
        read_folders: list[str],
        change: Callable[[Path], object],
    ) -> None:
        sessions = Sessions(store)
        sessions.list()
        change(base / SESSIONS)
        assert listed(sessions) == listed(Sessions(store)) == read_all(store)
        assert SESSIONS in read_folders
        read_folders.clear()

    def test_are_written_down_by_the_next_who_reads_them(
        self, store: StateStore, read_folders: list[str]
    ) -> None:
        fill(store, 1, start=7)
        time.sleep(_TICK_NS / 1e9)
        for expected in ([SESSIONS], []):
            read_folders.clear()
            assert len(Sessions(store).list()) == 6
            assert read_folders == expected

    def test_are_not_known_of_a_folder_that_holds_another(
        self, store: StateStore, base: Path, read_folders: list[str]
    ) -> None:
        inner = base / SESSIONS / "inner"
        inner.mkdir()
        time.sleep(_TICK_NS / 1e9)
        for _ in range(2):
            read_folders.clear()
            Sessions(store).list()
            assert read_folders == [SESSIONS, f"{SESSIONS}/inner"]

    def test_are_not_known_of_a_folder_that_has_just_changed(
        self, store: StateStore, read_folders: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 3600 * 10**9)
        monkeypatch.setattr(surveying, "fingerprint_if_settled", files.fingerprint_if_settled)
        store.delete(INDEX)
        for _ in range(2):
            read_folders.clear()
            assert len(Sessions(store).list()) == 5
            assert read_folders == [SESSIONS]

    def test_say_when_files_were_written_all_the_same(self, store: StateStore) -> None:
        sessions = Sessions(store)
        assert isinstance(sessions._heads, SummaryIndex)
        for _ in range(2):
            times = {entry.key: entry.modified_ns for entry in store.scan(SESSIONS)}
            assert sessions._heads.read(times=True).modified == times
            sessions.list()

    @pytest.mark.parametrize("moment", [-(10**9), 0, 2**62])
    def test_of_files_of_any_time(self, store: StateStore, base: Path, moment: int) -> None:
        os.utime(base / SESSIONS / "s1.json", ns=(moment, moment))
        for sessions in (Sessions(store), Sessions(store)):
            assert listed(sessions) == listed(sessions) == read_all(store)

    def test_of_very_many_are_looked_at_in_parts(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(surveying, "_AT_ONCE", 2)
        for name in ("s0", "s2", "s4"):
            assert listed(Sessions(store)) == read_all(store)
            _edit(base / SESSIONS / f"{name}.json", b"user-X")
            assert listed(Sessions(store)) == read_all(store)
