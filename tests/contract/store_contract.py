"""What every backend promises. A backend's test module subclasses it and says how to open one."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support import in_processes

from statekeep import (
    ABSENT,
    ConflictError,
    InvalidKeyError,
    StateStore,
    Version,
    open_store,
)
from statekeep.protocol import get_many

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "notes/plan.json"
HARMLESS_BUT_ODD = [
    "a.json",
    "a/b/c/d/e/f.md",
    "notes/ leading and trailing .md",
    "notes/.hidden.md",
    "notes/ünï 会话 😀.json",
    "sessions/%..slack%3AC1%2F17.5.json",
    "notes/" + "x" * 250 + ".json",
    "notes/" + "é" * 125 + ".json",
    "notes/CON.md",
    "notes/a:b|c*d?e\"f<g>h'i.md",
    "notes/~root.md",
    "notes/-rf.md",
    "notes/\u202egnp.md",
    ".statekeep/own.json",
]
ILLEGAL = [
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b.md",
    ".",
    "..",
    "../outside.md",
    "a/../../outside.md",
    "a/./b.md",
    "a\\b.md",
    "a\0b.md",
    "a/\ud800.md",
    "notes/" + "x" * 251 + ".json",
    "notes/é" + "é" * 125 + ".json",
    "notes/half-written.tmp",
    ".statekeep/locks/07",
    ".StateKeep/LOCKS/07",
]


class StateStoreContract:
    """Subclass it and override `location`."""

    @pytest.fixture
    def location(self) -> str:
        """The URL of an empty place, a new one for each test."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, location: str) -> Iterator[StateStore]:
        with open_store(location) as store:
            yield store

    @pytest.fixture
    def other(self, location: str) -> Iterator[StateStore]:
        """A second client on the same location."""
        with open_store(location) as store:
            yield store

    # reading and writing

    def test_what_is_not_there_is_none(self, store: StateStore) -> None:
        assert store.get(KEY) is None

    @pytest.mark.parametrize("data", [b"", b"{}", b"\x00\xff\r\n", b"x" * 1_000_000])
    def test_bytes_come_back_to_the_letter(self, store: StateStore, data: bytes) -> None:
        version = store.put(KEY, data)
        blob = store.get(KEY)
        assert blob is not None
        assert (blob.data, blob.version) == (data, version)

    @pytest.mark.parametrize("key", HARMLESS_BUT_ODD)
    def test_every_legal_key_can_be_written_read_listed_and_deleted(
        self, store: StateStore, key: str
    ) -> None:
        store.put(key, b"1", expect=ABSENT)
        store.put(key, b"2")
        blob = store.get(key)
        assert blob is not None
        assert blob.data == b"2"
        assert [entry.key for entry in store.scan()] == [key]
        store.delete(key)
        assert list(store.scan()) == []

    @pytest.mark.parametrize("key", ILLEGAL)
    def test_an_illegal_key_is_refused_by_every_operation(
        self, store: StateStore, key: str
    ) -> None:
        with pytest.raises(InvalidKeyError):
            store.get(key)
        with pytest.raises(InvalidKeyError):
            store.put(key, b"x")
        with pytest.raises(InvalidKeyError):
            store.put(key, b"x", expect=ABSENT)
        with pytest.raises(InvalidKeyError):
            store.delete(key)
        if key and not key.endswith(".tmp"):
            with pytest.raises(InvalidKeyError):
                list(store.scan(key))
        assert list(store.scan()) == []

    def test_a_blob_says_when_it_was_written(self, store: StateStore) -> None:
        store.put(KEY, b"x")
        blob = store.get(KEY)
        assert blob is not None
        (entry,) = store.scan()
        for modified in (blob.modified, entry.modified):
            if modified is not None:
                assert abs(datetime.now(UTC) - modified) < timedelta(minutes=1)

    def test_the_callers_buffer_is_not_kept(self, store: StateStore) -> None:
        buffer = bytearray(b"before")
        store.put(KEY, buffer)  # type: ignore[arg-type]
        buffer[:] = b"after!"
        blob = store.get(KEY)
        assert blob is not None
        assert blob.data == b"before"
        assert type(blob.data) is bytes

    # versions and expectations

    def test_versions_are_equal_only_if_the_bytes_are(self, store: StateStore) -> None:
        first = store.put(KEY, b"A")
        second = store.put(KEY, b"B")
        assert first != second
        blob = store.get(KEY)
        assert blob is not None
        assert blob.version == second

    def test_create_only_creates_once(self, store: StateStore) -> None:
        store.put(KEY, b"first", expect=ABSENT)
        with pytest.raises(ConflictError) as caught:
            store.put(KEY, b"second", expect=ABSENT)
        assert caught.value.key == KEY
        self._holds(store, b"first")

    def test_create_only_refuses_equal_bytes_too(self, store: StateStore) -> None:
        store.put(KEY, b"same", expect=ABSENT)
        with pytest.raises(ConflictError):
            store.put(KEY, b"same", expect=ABSENT)

    def test_an_empty_document_is_there(self, store: StateStore) -> None:
        store.put(KEY, b"")
        with pytest.raises(ConflictError):
            store.put(KEY, b"x", expect=ABSENT)
        self._holds(store, b"")

    def test_compare_and_swap_replaces_what_was_seen(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.put(KEY, b"B", expect=version)
        self._holds(store, b"B")

    def test_compare_and_swap_refuses_what_was_not_seen(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"A")
        other.put(KEY, b"B")
        with pytest.raises(ConflictError):
            store.put(KEY, b"C", expect=version)
        self._holds(store, b"B")

    def test_compare_and_swap_does_not_create(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.delete(KEY)
        with pytest.raises(ConflictError):
            store.put(KEY, b"B", expect=version)
        assert store.get(KEY) is None

    def test_a_version_is_equality_of_value(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.put(KEY, b"B")
        store.put(KEY, b"A")
        store.put(KEY, b"C", expect=version)
        self._holds(store, b"C")

    def test_an_unknown_version_conflicts(self, store: StateStore) -> None:
        store.put(KEY, b"A")
        with pytest.raises(ConflictError):
            store.put(KEY, b"B", expect=Version("no such version"))

    # deleting

    def test_deleting_nothing_is_fine(self, store: StateStore) -> None:
        store.delete(KEY)
        store.put(KEY, b"x")
        store.delete(KEY)
        store.delete(KEY)
        assert store.get(KEY) is None

    def test_a_conditional_delete_deletes_only_what_was_seen(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"A")
        newer = other.put(KEY, b"B")
        with pytest.raises(ConflictError):
            store.delete(KEY, expect=version)
        self._holds(store, b"B")
        store.delete(KEY, expect=newer)
        assert store.get(KEY) is None

    def test_a_conditional_delete_of_nothing_conflicts(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.delete(KEY)
        with pytest.raises(ConflictError):
            store.delete(KEY, expect=version)

    def test_deleting_deletes_a_key_and_never_a_tree(self, store: StateStore) -> None:
        store.put("a/b/c.md", b"x")
        store.delete("a/b")
        store.delete("a")
        assert [entry.key for entry in store.scan()] == ["a/b/c.md"]

    # scanning

    def test_a_scan_lists_every_document_once(self, store: StateStore) -> None:
        keys = {f"{folder}/{n}.json" for folder in ("a", "a/b", "c") for n in range(20)}
        for key in keys:
            store.put(key, key.encode())
        entries = list(store.scan())
        assert sorted(entry.key for entry in entries) == sorted(keys)
        assert all(entry.size == len(entry.key.encode()) for entry in entries)

    def test_a_prefix_matches_whole_segments(self, store: StateStore) -> None:
        for key in ("foo/a.md", "foo/b/c.md", "foobar/d.md", "foo.md", "x/foo/e.md"):
            store.put(key, b"")
        assert {entry.key for entry in store.scan("foo")} == {"foo/a.md", "foo/b/c.md"}
        assert {entry.key for entry in store.scan("foo/b")} == {"foo/b/c.md"}
        assert list(store.scan("fo")) == []
        assert list(store.scan("foo.md")) == []
        assert list(store.scan("nothing/here")) == []

    @pytest.mark.parametrize("prefix", ["/", "a/", "/a", "..", "a/../b", "a\0"])
    def test_an_illegal_prefix_is_refused(self, store: StateStore, prefix: str) -> None:
        with pytest.raises(InvalidKeyError):
            list(store.scan(prefix))

    def test_a_scan_is_never_cached(self, store: StateStore, other: StateStore) -> None:
        assert list(store.scan()) == []
        other.put(KEY, b"x")
        assert [entry.key for entry in store.scan()] == [KEY]
        other.delete(KEY)
        assert list(store.scan()) == []

    def test_a_fingerprint_changes_with_the_bytes(self, store: StateStore) -> None:
        seen = set()
        for data in (b"A", b"B", b"C", b"CC"):
            store.put(KEY, data)
            (entry,) = store.scan()
            seen.add(entry.fingerprint)
        assert len(seen) == 4 or seen == {None}

    def test_a_fingerprint_stays_while_nothing_is_written(self, store: StateStore) -> None:
        store.put(KEY, b"A")
        assert list(store.scan()) == list(store.scan())

    def test_documents_may_be_deleted_during_a_scan(self, store: StateStore) -> None:
        for n in range(50):
            store.put(f"a/{n}.json", b"x")
        for entry in store.scan("a"):
            store.delete(entry.key)
        assert list(store.scan()) == []

    def test_many_are_read_at_once(self, store: StateStore) -> None:
        for n in range(10):
            store.put(f"a/{n}.json", str(n).encode())
        keys = [f"a/{n}.json" for n in range(11)]
        found = dict(get_many(store, keys))
        assert set(found) == set(keys)
        assert found.pop("a/10.json") is None
        for key, blob in found.items():
            assert blob == store.get(key)

    # several at once

    def test_two_clients_see_each_other(self, store: StateStore, other: StateStore) -> None:
        store.put(KEY, b"A")
        self._holds(other, b"A")
        other.put(KEY, b"B")
        self._holds(store, b"B")
        store.delete(KEY)
        assert other.get(KEY) is None

    def test_of_racing_creators_one_wins(self, store: StateStore) -> None:
        for n in range(5):
            key = f"races/{n}.json"
            gate = threading.Barrier(8)

            def create(name: int, key: str = key, gate: threading.Barrier = gate) -> bool:
                gate.wait()
                try:
                    store.put(key, b"%d" % name, expect=ABSENT)
                except ConflictError:
                    return False
                return True

            with ThreadPoolExecutor(8) as pool:
                wins = list(pool.map(create, range(8)))
            assert wins.count(True) == 1
            blob = store.get(key)
            assert blob is not None
            assert blob.data == b"%d" % wins.index(True)

    def test_of_racing_swaps_none_is_lost_among_threads(self, store: StateStore) -> None:
        store.put(KEY, b"0")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: _increment(store, 10), range(8)))
        self._holds(store, b"80")

    def test_a_swap_and_a_delete_never_both_win(self, store: StateStore) -> None:
        for _ in range(20):
            version = store.put(KEY, b"A")
            gate = threading.Barrier(2)

            def swap(version: Version = version, gate: threading.Barrier = gate) -> bool:
                gate.wait()
                try:
                    store.put(KEY, b"B", expect=version)
                except ConflictError:
                    return False
                return True

            def delete(version: Version = version, gate: threading.Barrier = gate) -> bool:
                gate.wait()
                try:
                    store.delete(KEY, expect=version)
                except ConflictError:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                swapped, deleted = pool.submit(swap), pool.submit(delete)
            assert swapped.result() != deleted.result()
            assert (store.get(KEY) is None) == deleted.result()

    @pytest.mark.slow
    def test_of_racing_swaps_none_is_lost_among_processes(
        self, store: StateStore, location: str
    ) -> None:
        if not store.capabilities.shared:
            return
        store.put(KEY, b"0")
        in_processes(_increment_at, [(location, 25)] * 4)
        self._holds(store, b"100")

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_store_can_be_used_after_a_fork(self, store: StateStore) -> None:
        store.put(KEY, b"parent")
        child = os.fork()
        if child == 0:
            try:
                blob = store.get(KEY)
                store.put(KEY, b"child", expect=blob.version if blob else ABSENT)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a child must not come back from here
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        self._holds(store, b"child" if store.capabilities.shared else b"parent")

    # ending

    def test_closing_twice_is_fine(self, store: StateStore) -> None:
        store.put(KEY, b"x")
        store.close()
        store.close()

    def test_it_promises_everything_it_is_tested_for(self, store: StateStore) -> None:
        assert store.capabilities.conditional_put
        assert store.capabilities.conditional_delete
        assert store.capabilities == store.capabilities

    def _holds(self, store: StateStore, data: bytes) -> None:
        blob = store.get(KEY)
        assert blob is not None
        assert blob.data == data


def _increment(store: StateStore, times: int) -> None:
    for _ in range(times):
        while True:
            blob = store.get(KEY)
            assert blob is not None
            try:
                store.put(KEY, b"%d" % (int(blob.data) + 1), expect=blob.version)
            except ConflictError:
                continue
            break


def _increment_at(location: str, times: int) -> None:
    with open_store(location) as store:
        _increment(store, times)
