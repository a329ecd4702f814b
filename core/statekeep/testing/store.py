"""What every store promises, as tests."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    ABSENT,
    ANY,
    ConflictError,
    InvalidKeyError,
    StateStore,
    StateStoreError,
    UnsupportedError,
    Version,
    open_store,
)
from statekeep.store import SupportsSweep, delete_many, get_many, power
from statekeep.store.keys import session_key
from statekeep.testing.claims import NO_SUCH_VERSION, claims
from statekeep.testing.hostile import hostile_ids, hostile_names
from statekeep.testing.processes import in_processes, increment, increment_at, write_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping

__all__ = ["StateStoreContract"]

KEY = "notes/plan.json"
LEGAL = [
    "a.json",
    "a/b/c/d/e/f.md",
    ".statekeep/own.json",
    *(f"notes/{name}.json" for name in hostile_names()),
    *(session_key(session_id) for session_id in hostile_ids()),
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
# Clocks differ, but a time that was taken for another zone's is wrong by at least this much.
_SKEW = timedelta(minutes=15)


class StateStoreContract:
    """What every store promises: subclass it and override `location`.

    What a store claims in its `capabilities` must work, and what it does not claim must raise
    `UnsupportedError` and change nothing. A test of what is not claimed is skipped, and says so:
    ``not claimed: …``; so are those for which an optional fixture is needed, `raw` or
    `unreachable`, and not given. No other is skipped.

    Example:
        >>> class TestMine(StateStoreContract):
        ...     @pytest.fixture
        ...     def location(self, tmp_path: Path) -> str:
        ...         return f"mine:{tmp_path}"
    """

    @pytest.fixture
    def location(self) -> str:
        """The URL of an empty place, a new one for each test."""
        raise NotImplementedError("override the fixture `location` with the URL of an empty place")

    open: Callable[[str], StateStore] = staticmethod(open_store)
    """Opens a client; a function of a module, for a store that no URL opens, such as a layer."""

    def size_of(self, key: str, data: bytes) -> int:  # noqa: ARG002
        """What a scan says of the size of a document; for a store that keeps other bytes."""
        return len(data)

    @pytest.fixture
    def store(self, location: str) -> Iterator[StateStore]:
        """A client on the location."""
        with self.open(location) as store:
            yield store

    @pytest.fixture
    def other(self, location: str) -> Iterator[StateStore]:
        """A second client on the same location."""
        with self.open(location) as store:
            yield store

    @pytest.fixture
    def raw(self) -> MutableMapping[str, bytes]:
        """The documents of the location by key, reached around the store; optional.

        Override it if something else than statekeep may read and write there, an editor or a
        bucket's console. ``fsspec.get_mapper(url)`` gives such a mapping.
        """
        pytest.skip("not given: a way around the store (the fixture `raw`)")

    @pytest.fixture
    def unreachable(self) -> str:
        """The URL of a place that does not answer, or refuses; optional."""
        pytest.skip("not given: a place that does not answer (the fixture `unreachable`)")

    @pytest.fixture
    def _conditional_put(self, store: StateStore) -> None:
        if not claims(store, "conditional_put"):
            pytest.skip("not claimed: conditional_put")

    @pytest.fixture
    def _conditional_delete(self, store: StateStore) -> None:
        if not claims(store, "conditional_delete"):
            pytest.skip("not claimed: conditional_delete")

    @pytest.fixture
    def _shared(self, store: StateStore) -> None:
        if not store.capabilities.shared:
            pytest.skip("not claimed: shared")

    # reading and writing

    def test_what_is_not_there_is_none(self, store: StateStore) -> None:
        assert store.get(KEY) is None
        assert list(store.scan()) == []
        assert list(store.scan("notes")) == []

    def test_bytes_come_back_to_the_letter(self, store: StateStore) -> None:
        for data in (b"", b"{}", b"\x00\xff\r\n", b"x" * 1_000_000):
            version = store.put(KEY, data)
            blob = store.get(KEY)
            assert blob is not None
            assert (blob.data, blob.version) == (data, version)

    def test_every_legal_key_can_be_written_read_listed_and_deleted(
        self, store: StateStore
    ) -> None:
        for key in LEGAL:
            store.put(key, b"before")
            store.put(key, key.encode())
        assert sorted(entry.key for entry in store.scan()) == sorted(LEGAL)
        for key in LEGAL:
            blob = store.get(key)
            assert blob is not None, key
            assert blob.data == key.encode()
        for key in LEGAL:
            store.delete(key)
            assert store.get(key) is None
        assert list(store.scan()) == []

    def test_an_illegal_key_is_refused_by_every_operation(self, store: StateStore) -> None:
        operations: list[Callable[[str], object]] = [
            store.get,
            store.delete,
            lambda key: store.put(key, b"x"),
            lambda key: dict(get_many(store, [key])),
            lambda key: delete_many(store, [key]),
        ]
        for key in ILLEGAL:
            for operation in operations:
                with pytest.raises(InvalidKeyError):
                    operation(key)
            with pytest.raises((InvalidKeyError, UnsupportedError)):
                store.put(key, b"x", expect=ABSENT)
        assert list(store.scan()) == []

    def test_a_blob_says_when_it_was_written(self, store: StateStore) -> None:
        store.put(KEY, b"x")
        blob = store.get(KEY)
        assert blob is not None
        (entry,) = store.scan()
        for modified in (blob.modified, entry.modified):
            if modified is not None:
                assert modified.utcoffset() == timedelta(0)
                assert abs(datetime.now(UTC) - modified) < _SKEW

    def test_the_callers_buffer_is_not_kept(self, store: StateStore) -> None:
        buffer = bytearray(b"before")
        store.put(KEY, buffer)  # type: ignore[arg-type]
        buffer[:] = b"after!"
        _holds(store, b"before")
        blob = store.get(KEY)
        assert blob is not None
        assert type(blob.data) is bytes

    def test_a_reader_sees_the_old_bytes_or_the_new(
        self, store: StateStore, other: StateStore
    ) -> None:
        written = [b"short" * 10_000, b"long" * 100_000]
        versions = {store.put(KEY, data): data for data in written}
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(lambda: [other.put(KEY, data) for data in written * 10])
            while not writing.done():
                blob = store.get(KEY)
                assert blob is not None
                # Compared before, because pytest takes a minute to explain how they differ.
                whole = blob.data == versions.get(blob.version)
                assert whole, "half of a write was read"
            writing.result()

    # versions and expectations

    def test_versions_are_equal_only_if_the_bytes_are(self, store: StateStore) -> None:
        first = store.put(KEY, b"A")
        second = store.put(KEY, b"B")
        assert first != second
        blob = store.get(KEY)
        assert blob is not None
        assert blob.version == second

    def test_a_put_keeps_its_condition_or_refuses_it(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        claimed = claims(store, "conditional_put")
        refusal = ConflictError if claimed else UnsupportedError
        for expect in (ABSENT, NO_SUCH_VERSION):
            with pytest.raises(refusal) as caught:
                store.put(KEY, b"B", expect=expect)
            _names(caught.value, KEY)
            _holds(store, b"A")
        if claimed:
            store.put(KEY, b"B", expect=version)
            store.put("notes/new.json", b"B", expect=ABSENT)
            _holds(store, b"B")
        else:
            with pytest.raises(UnsupportedError):
                store.put(KEY, b"B", expect=version)
            with pytest.raises(UnsupportedError):
                store.put("notes/new.json", b"B", expect=ABSENT)
            _holds(store, b"A")
            assert store.get("notes/new.json") is None

    def test_a_delete_keeps_its_condition_or_refuses_it(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        claimed = claims(store, "conditional_delete")
        with pytest.raises(ConflictError if claimed else UnsupportedError) as caught:
            store.delete(KEY, expect=NO_SUCH_VERSION)
        _names(caught.value, KEY)
        _holds(store, b"A")
        if claimed:
            store.delete(KEY, expect=version)
            assert store.get(KEY) is None
        else:
            with pytest.raises(UnsupportedError):
                store.delete(KEY, expect=version)
            _holds(store, b"A")

    def test_what_is_no_expectation_is_refused(self, store: StateStore) -> None:
        store.put(KEY, b"A")
        with pytest.raises((TypeError, StateStoreError)):
            store.put(KEY, b"B", expect=None)  # type: ignore[arg-type]
        with pytest.raises((TypeError, StateStoreError)):
            store.delete(KEY, expect=None)  # type: ignore[arg-type]
        _holds(store, b"A")

    @pytest.mark.usefixtures("_conditional_put")
    def test_create_only_refuses_equal_bytes_too(self, store: StateStore) -> None:
        store.put(KEY, b"same", expect=ABSENT)
        with pytest.raises(ConflictError):
            store.put(KEY, b"same", expect=ABSENT)

    @pytest.mark.usefixtures("_conditional_put")
    def test_an_empty_document_is_there(self, store: StateStore) -> None:
        version = store.put(KEY, b"")
        with pytest.raises(ConflictError):
            store.put(KEY, b"x", expect=ABSENT)
        _holds(store, b"")
        store.put(KEY, b"x", expect=version)

    @pytest.mark.usefixtures("_conditional_put")
    def test_create_only_creates_anew_what_was_deleted(self, store: StateStore) -> None:
        store.put(KEY, b"A", expect=ABSENT)
        store.delete(KEY)
        store.put(KEY, b"B", expect=ABSENT)
        _holds(store, b"B")

    @pytest.mark.usefixtures("_conditional_put")
    def test_compare_and_swap_refuses_what_was_not_seen(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"A")
        other.put(KEY, b"B")
        with pytest.raises(ConflictError):
            store.put(KEY, b"C", expect=version)
        _holds(store, b"B")

    @pytest.mark.usefixtures("_conditional_put")
    def test_compare_and_swap_does_not_create(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.delete(KEY)
        with pytest.raises(ConflictError):
            store.put(KEY, b"B", expect=version)
        assert store.get(KEY) is None

    def test_equal_versions_mean_equal_bytes(self, store: StateStore, other: StateStore) -> None:
        seen: dict[Version, bytes] = {}
        for data in (b"A", b"B", b"", b"A", b"AA", b"B", b"A"):
            written = store.put(KEY, data)
            blob = other.get(KEY)
            assert blob is not None
            assert (blob.data, blob.version) == (data, written)
            assert seen.setdefault(written, data) == data, "one version, two contents"

    def test_an_error_of_a_write_says_what_may_have_landed(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        writes: list[Callable[[], object]] = [
            lambda: store.put(KEY, b"B", expect=ABSENT),
            lambda: store.put(KEY, b"B", expect=NO_SUCH_VERSION),
            lambda: store.put("notes/new.json", b"B", expect=version),
            lambda: store.delete(KEY, expect=NO_SUCH_VERSION),
            lambda: store.put("../outside.md", b"B"),
            lambda: store.delete("../outside.md"),
        ]
        for write in writes:
            with pytest.raises(StateStoreError) as caught:
                write()
            assert caught.value.landed in {"no", "unknown"}, repr(caught.value)
        _holds(store, b"A")
        with pytest.raises(StateStoreError) as caught:
            store.get("../outside.md")
        assert caught.value.landed is None, "a read lands nothing"

    # deleting

    def test_deleting_nothing_is_fine(self, store: StateStore) -> None:
        store.delete(KEY)
        store.put(KEY, b"x")
        store.delete(KEY)
        store.delete(KEY)
        assert store.get(KEY) is None

    @pytest.mark.usefixtures("_conditional_delete")
    def test_a_conditional_delete_deletes_only_what_was_seen(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"A")
        newer = other.put(KEY, b"B")
        with pytest.raises(ConflictError):
            store.delete(KEY, expect=version)
        _holds(store, b"B")
        store.delete(KEY, expect=newer)
        assert store.get(KEY) is None

    @pytest.mark.usefixtures("_conditional_delete")
    def test_a_conditional_delete_of_nothing_conflicts(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.delete(KEY)
        with pytest.raises(ConflictError):
            store.delete(KEY, expect=version)

    def test_deleting_deletes_a_key_and_never_a_tree(self, store: StateStore) -> None:
        store.put("a/b/c.md", b"x")
        for key in ("a/b", "a"):
            store.delete(key)
            assert store.get(key) is None
        delete_many(store, ["a/b", "a"])
        assert [entry.key for entry in store.scan()] == ["a/b/c.md"]

    # scanning

    def test_a_scan_lists_every_document_once(self, store: StateStore) -> None:
        keys = {f"{folder}/{n}.json" for folder in ("a", "a/b", "c") for n in range(20)}
        for key in keys:
            store.put(key, key.encode())
        entries = list(store.scan())
        assert sorted(entry.key for entry in entries) == sorted(keys)
        assert all(entry.size == self.size_of(entry.key, entry.key.encode()) for entry in entries)

    def test_a_prefix_matches_whole_segments(self, store: StateStore) -> None:
        for key in ("foo/a.md", "foo/b/c.md", "foobar/d.md", "foo.md", "x/foo/e.md"):
            store.put(key, b"")
        assert {entry.key for entry in store.scan("foo")} == {"foo/a.md", "foo/b/c.md"}
        assert {entry.key for entry in store.scan("foo/b")} == {"foo/b/c.md"}
        for prefix in ("fo", "foo.md", "nothing/here"):
            assert list(store.scan(prefix)) == []

    def test_an_illegal_prefix_is_refused(self, store: StateStore) -> None:
        for prefix in ("/", "a/", "/a", "..", "a/../b", "a\0", ".statekeep/locks"):
            with pytest.raises(InvalidKeyError):
                list(store.scan(prefix))

    def test_a_scan_is_never_cached(self, store: StateStore, other: StateStore) -> None:
        assert list(store.scan()) == []
        other.put(KEY, b"x")
        assert [(entry.key, entry.size) for entry in store.scan()] == [
            (KEY, self.size_of(KEY, b"x"))
        ]
        other.put(KEY, b"xy")
        assert [(entry.key, entry.size) for entry in store.scan()] == [
            (KEY, self.size_of(KEY, b"xy"))
        ]
        other.delete(KEY)
        assert list(store.scan()) == []

    def test_a_scan_shows_documents_only_while_others_write(
        self, store: StateStore, other: StateStore
    ) -> None:
        stays = {f"a/{n}.json" for n in range(5)}
        for key in stays:
            store.put(key, b"x")

        def write() -> None:
            for n in range(20):
                other.put(KEY, b"y" * n)
                other.delete(KEY)

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not writing.done():
                assert stays <= {entry.key for entry in store.scan()} <= {*stays, KEY}
            writing.result()

    def test_documents_may_be_deleted_during_a_scan(self, store: StateStore) -> None:
        for n in range(50):
            store.put(f"a/{n}.json", b"x")
        for entry in store.scan("a"):
            store.delete(entry.key)
        assert list(store.scan()) == []

    def test_a_fingerprint_that_was_read_returns_only_with_its_bytes(
        self, store: StateStore, other: StateStore
    ) -> None:
        read: dict[str, bytes] = {}
        # Of one length and in quick succession, because sizes and coarse clocks tell nothing then;
        # A, B and A again, and every time something new.
        for n in range(10):
            for data in (b"AAAA", b"BBBB", b"AAAA", b"%04d" % n):
                (store if n % 2 else other).put(KEY, data)
                _compare_fingerprints(store, data, read)
            if n % 4 == 3:
                store.delete(KEY)

    def test_an_entry_stays_while_nothing_is_written(self, store: StateStore) -> None:
        store.put(KEY, b"A")
        assert list(store.scan()) == list(store.scan())

    # many at once

    def test_many_are_read_at_once(self, store: StateStore) -> None:
        for n in range(10):
            store.put(f"a/{n}.json", str(n).encode())
        keys = [f"a/{n}.json" for n in range(11)]
        found = dict(get_many(store, keys))
        assert set(found) == set(keys)
        assert found.pop("a/10.json") is None
        for key, blob in found.items():
            assert blob == store.get(key)
        assert dict(get_many(store, [])) == {}

    def test_many_are_deleted_at_once(self, store: StateStore) -> None:
        for n in range(10):
            store.put(f"a/{n}.json", b"x")
        delete_many(store, [f"a/{n}.json" for n in range(1, 12)])
        assert [entry.key for entry in store.scan()] == ["a/0.json"]
        delete_many(store, [])

    def test_sweeping_leaves_documents_alone(self, store: StateStore) -> None:
        store.put(KEY, b"x")
        if able := power(store, SupportsSweep):
            assert able.sweep(older_than=timedelta(0)) == 0
        assert [entry.key for entry in store.scan()] == [KEY]

    # several clients, threads and processes

    def test_two_clients_see_each_other(self, store: StateStore, other: StateStore) -> None:
        store.put(KEY, b"A")
        _holds(other, b"A")
        other.put(KEY, b"B")
        _holds(store, b"B")
        store.delete(KEY)
        assert other.get(KEY) is None

    def test_threads_do_not_disturb_each_other(self, store: StateStore) -> None:
        def use(name: int) -> None:
            key = f"threads/{name}.json"
            for n in range(5):
                store.put(key, b"%d" % n)
                blob = store.get(key)
                assert blob is not None
                assert blob.data == b"%d" % n
                assert key in {entry.key for entry in store.scan("threads")}
            store.delete(key)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(use, range(8)))
        assert list(store.scan()) == []

    @pytest.mark.usefixtures("_conditional_put")
    def test_of_racing_creators_one_wins(self, store: StateStore, other: StateStore) -> None:
        for n in range(5):
            key = f"races/{n}.json"
            wins = _race(
                partial(client.put, key, b"%d" % name, expect=ABSENT)
                for name, client in enumerate([store, other] * 4)
            )
            assert len(wins) == 1
            _holds(store, b"%d" % wins[0], key)

    @pytest.mark.usefixtures("_conditional_put")
    def test_of_racing_writers_of_equal_bytes_one_wins(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"before")
        for key, expect in (("notes/new.json", ABSENT), (KEY, version)):
            wins = _race(
                partial(client.put, key, b"equal", expect=expect) for client in [store, other] * 4
            )
            assert len(wins) == 1

    @pytest.mark.usefixtures("_conditional_put")
    def test_of_racing_swaps_none_is_lost_among_threads(self, store: StateStore) -> None:
        store.put(KEY, b"0")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: increment(store, KEY, 10), range(8)))
        _holds(store, b"80")

    @pytest.mark.usefixtures("_conditional_put", "_shared")
    def test_of_racing_swaps_none_is_lost_among_processes(
        self, store: StateStore, location: str
    ) -> None:
        store.put(KEY, b"0")
        in_processes(increment_at, [(self.open, location, KEY, 25)] * 4)
        _holds(store, b"100")

    @pytest.mark.usefixtures("_conditional_delete")
    def test_of_racing_deleters_one_wins(self, store: StateStore, other: StateStore) -> None:
        for _ in range(5):
            version = store.put(KEY, b"A")
            wins = _race(
                partial(client.delete, KEY, expect=version) for client in [store, other] * 4
            )
            assert len(wins) == 1

    @pytest.mark.usefixtures("_conditional_put", "_conditional_delete")
    def test_a_swap_and_a_delete_never_both_win(self, store: StateStore, other: StateStore) -> None:
        for _ in range(20):
            version = store.put(KEY, b"A")
            swap = partial(store.put, KEY, b"B", expect=version)
            delete = partial(other.delete, KEY, expect=version)
            (winner,) = _race([swap, delete])
            assert (store.get(KEY) is None) == (winner == 1)

    @pytest.mark.usefixtures("_shared")
    def test_documents_are_shared_among_processes(self, store: StateStore, location: str) -> None:
        store.put(KEY, b"x")
        keys = [f"processes/{n}.json" for n in range(2)]
        calls = [(self.open, location, key, key.encode()) for key in keys]
        for key, seen in zip(keys, in_processes(write_at, calls), strict=True):
            assert {KEY, key} <= set(seen)
            _holds(store, key.encode(), key)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_store_can_be_used_after_a_fork(self, store: StateStore) -> None:
        store.put(KEY, b"parent")
        expect_seen = claims(store, "conditional_put")
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(60)  # rather than wait for ever for a lock of the parent's
                blob = store.get(KEY)
                assert blob is not None
                store.put(KEY, b"child", expect=blob.version if expect_seen else ANY)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a child must not come back from here
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        _holds(store, b"child" if store.capabilities.shared else b"parent")

    # others than statekeep

    def test_what_others_write_is_seen_at_once(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        version = store.put(KEY, b"ours")
        raw[KEY] = b"theirs"
        blob = store.get(KEY)
        assert blob is not None
        assert blob.data == b"theirs"
        assert blob.version != version
        (after,) = store.scan()
        assert after.size == len(b"theirs")
        if claims(store, "conditional_put"):
            with pytest.raises(ConflictError):
                store.put(KEY, b"ours", expect=version)
            store.put(KEY, b"ours", expect=blob.version)

    def test_what_others_write_has_no_fingerprint_that_was_read(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        read: dict[str, bytes] = {}
        for n in range(20):
            for data in (b"AAAA", b"BBBB", b"%04d" % n):
                raw[KEY] = data
                _compare_fingerprints(store, data, read)

    def test_what_others_read_is_what_was_written(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        for data in (b"first", b"", b"\x00\xff\r\n"):
            store.put(KEY, data)
            assert raw[KEY] == data
        store.delete(KEY)
        assert KEY not in raw

    def test_what_is_no_document_is_not_listed(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        store.put(KEY, b"x")
        raw["notes/half-written.tmp"] = b"x"
        raw[".statekeep/locks/07"] = b""
        assert [entry.key for entry in store.scan()] == [KEY]
        assert [entry.key for entry in store.scan("notes")] == [KEY]

    # errors

    def test_only_errors_of_statekeep_escape(self, store: StateStore) -> None:
        # Some stores can hold these and some cannot; none may half do so.
        store.put("a/b.md", b"x")
        for key in ("a", "a/b.md/c.md", "/".join(["d" * 100] * 12) + "/e.md", "f/" * 3000 + "g.md"):
            refusal = _refusal(partial(store.put, key, b"y"))
            if refusal is None:
                _holds(store, b"y", key)
                assert key in {entry.key for entry in store.scan()}
                store.delete(key)
            else:
                assert refusal.key, "it does not say what is in the way"
                assert refusal.store
        assert [entry.key for entry in store.scan()] == ["a/b.md"]

    def test_only_errors_of_statekeep_escape_where_nothing_answers(self, unreachable: str) -> None:
        with self.open(unreachable) as store:
            operations: list[Callable[[], object]] = [
                lambda: store.get(KEY),
                lambda: store.put(KEY, b"x"),
                lambda: store.put(KEY, b"x", expect=ABSENT),
                lambda: store.delete(KEY),
                lambda: list(store.scan()),
                lambda: dict(get_many(store, [KEY])),
            ]
            refusals = [error for each in operations if (error := _refusal(each))]
            assert refusals, "it was reached after all"
            assert all(error.store for error in refusals)

    # ending

    def test_closing_twice_is_fine(self, store: StateStore) -> None:
        store.put(KEY, b"x")
        store.close()
        store.close()

    def test_closing_one_client_leaves_the_other_open(
        self, store: StateStore, other: StateStore
    ) -> None:
        store.put(KEY, b"x")
        _holds(other, b"x")
        store.close()
        _holds(other, b"x")


def _holds(store: StateStore, data: bytes, key: str = KEY) -> None:
    blob = store.get(key)
    assert blob is not None, f"{key} is gone"
    assert blob.data == data


def _compare_fingerprints(store: StateStore, data: bytes, read: dict[str, bytes]) -> None:
    """Compare a listing with what was read under its fingerprint before, then read again."""
    (entry,) = store.scan()
    if entry.fingerprint is not None:
        assert read.get(entry.fingerprint, data) == data
    blob = store.get(KEY)
    assert blob is not None
    if blob.fingerprint is not None:
        assert read.setdefault(blob.fingerprint, data) == data


def _refusal(operation: Callable[[], object]) -> StateStoreError | None:
    """What the store has against it, if anything; no other exception is caught."""
    try:
        operation()
    except StateStoreError as error:
        return error
    return None


def _names(error: StateStoreError, key: str) -> None:
    """An error says of which key on which store; for a wrapping store, perhaps the one inside."""
    assert error.key == key
    assert error.store


def _race(attempts: Iterable[Callable[[], object]]) -> list[int]:
    """Attempt all at once; tell the numbers of those that met no conflict."""
    racers = list(attempts)
    gate = threading.Barrier(len(racers))

    def run(attempt: Callable[[], object]) -> bool:
        gate.wait()
        try:
            attempt()
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(len(racers)) as pool:
        return [number for number, won in enumerate(pool.map(run, racers)) if won]
