"""Tests of what every store promises."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    ABSENT,
    ANY,
    ConflictError,
    InvalidDocumentError,
    InvalidKeyError,
    StateStore,
    StateStoreError,
    UnsupportedError,
    Version,
)
from statekeep.store import (
    Blob,
    SupportsInitialize,
    SupportsRemains,
    SupportsSweep,
    delete_many,
    get_many,
    initialize,
    power,
)
from statekeep.store.keys import session_key
from statekeep.testing.answers import AnswersContract
from statekeep.testing.appending import AppendingContract
from statekeep.testing.calls import CallsContract
from statekeep.testing.checks import (
    holds,
    is_gone,
    lists,
    names,
    one_wins,
    read,
    refusal,
    shown,
)
from statekeep.testing.claims import NO_SUCH_VERSION, claims
from statekeep.testing.deleting import DeletingContract
from statekeep.testing.hostile import hostile_ids, hostile_names
from statekeep.testing.processes import in_processes, increment, increment_at, write_at
from statekeep.testing.querying import QueryContract
from statekeep.testing.scanning import ScanningContract, compare_fingerprints
from statekeep.testing.surveying import SurveyContract

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

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
# Clocks differ, but a time in the wrong time zone is off by more than this.
_SKEW = timedelta(minutes=15)
# The coarsest clock of any store in use ticks every two seconds.
_PAUSES = (0.0, 0.1, 0.4, 1.6, 0.4)


class StateStoreContract(
    AnswersContract,
    AppendingContract,
    CallsContract,
    DeletingContract,
    QueryContract,
    ScanningContract,
    SurveyContract,
):
    """What every store promises; subclass it and override `location`.

    What a store claims in its `capabilities` must work; what it does not claim must raise
    `UnsupportedError` and change nothing. A test of something unclaimed is skipped with the reason
    ``not claimed: …``, and one that needs an optional fixture (`raw`, `unreachable` or `dropping`)
    is skipped if that is not given. No others are skipped.

    Examples:
        >>> class TestMine(StateStoreContract):
        ...     @pytest.fixture
        ...     def location(self, tmp_path: Path) -> str:
        ...         return f"mine:{tmp_path}"
    """

    @pytest.fixture
    def raw(self) -> MutableMapping[str, bytes]:
        """The location's documents by key, accessed without the store; optional.

        Override it if anything other than statekeep may read and write there, such as an editor or
        a bucket's console. ``fsspec.get_mapper(url)`` gives such a mapping.
        """
        pytest.skip("not given: access without the store (the fixture `raw`)")

    # reading and writing

    def test_a_missing_document_is_none(self, store: StateStore) -> None:
        is_gone(store, KEY)
        lists(store, [])
        lists(store, [], "notes")

    def test_bytes_come_back_unchanged(self, store: StateStore) -> None:
        for data in (b"", b"{}", b"\x00\xff\r\n", b"x" * 1_000_000):
            version = store.put(KEY, data)
            holds(store, data, KEY)
            assert read(store, KEY).version == version, (
                "a get returned a version other than the put's"
            )

    def test_a_large_document_comes_back_whole_or_is_refused(self, store: StateStore) -> None:
        before = b"before"
        # Just beyond the sizes at which libraries and servers truncate or split messages.
        for size in (2**20 + 7, 5 * 2**20 + 1):
            data = random.Random(size).randbytes(size)
            version = store.put(KEY, before)
            expect = version if claims(store, "conditional_put") else ANY
            try:
                version = store.put(KEY, data, expect=expect)
            except InvalidDocumentError:
                holds(store, before, KEY)
                continue
            blob = read(store, KEY)
            _is_whole(blob.data, data, "a get")
            assert blob.version == version, "a get returned a version other than the put's"
            found = dict(get_many(store, [KEY]))[KEY]
            assert isinstance(found, Blob), f"a get of many returned {found!r}"
            _is_whole(found.data, data, "a get of many")
            (entry,) = (each for each in store.scan() if each.key == KEY)
            expected = self.size_of(KEY, data)
            assert entry.size == expected, f"a scan says {entry.size} bytes instead of {expected}"

    def test_every_legal_key_can_be_written_read_listed_and_deleted(
        self, store: StateStore
    ) -> None:
        for key in LEGAL:
            store.put(key, b"before")
            store.put(key, key.encode())
        lists(store, LEGAL)
        for key in LEGAL:
            holds(store, key.encode(), key)
        for key in LEGAL:
            store.delete(key)
            is_gone(store, key)
        lists(store, [])

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
        lists(store, [])

    def test_the_modification_time_is_the_time_of_writing(self, store: StateStore) -> None:
        store.put(KEY, b"x")
        blob = read(store, KEY)
        (entry,) = store.scan()
        for what, modified in (("a get", blob.modified), ("a scan", entry.modified)):
            if modified is not None:
                assert modified.utcoffset() == timedelta(0), f"{what} gives a time not in UTC"
                distance = datetime.now(UTC) - modified
                assert abs(distance) < _SKEW, (
                    f"{what} says that a document written just now was written {distance} ago"
                )

    def test_the_modification_time_advances_when_a_document_is_rewritten(
        self, store: StateStore
    ) -> None:
        store.put(KEY, b"0")
        first = last = _times(store)
        # With a fine clock, the first pass is enough; a coarse one needs more.
        for n, pause in enumerate(_PAUSES):
            time.sleep(pause)
            store.put(KEY, b"%d" % (n + 1))
            now = _times(store)
            assert now.keys() == first.keys(), (
                f"a modification time appeared or disappeared: {first}, then {now}"
            )
            for what, modified in now.items():
                assert modified >= last[what], (
                    f"{what} gives a rewritten document an earlier time: {last[what]}, {modified}"
                )
            last = now
            if all(modified > first[what] for what, modified in now.items()):
                break
        if not first:
            pytest.skip("not claimed: a time of writing (`modified`)")
        still = [what for what in first if last[what] == first[what]]
        assert not still, (
            f"`modified` of {' and '.join(still)} stays at {first[still[0]]}, though the document "
            f"was rewritten {sum(_PAUSES)} seconds later"
        )

    def test_the_callers_buffer_is_not_kept(self, store: StateStore) -> None:
        buffer = bytearray(b"before")
        store.put(KEY, buffer)  # type: ignore[arg-type]
        buffer[:] = b"after!"
        holds(store, b"before", KEY)
        kind = type(read(store, KEY).data)
        assert kind is bytes, f"a get returned {kind.__name__}, not bytes"

    def test_a_reader_sees_the_old_bytes_or_the_new_ones(
        self, store: StateStore, other: StateStore
    ) -> None:
        written = [b"short" * 10_000, b"long" * 100_000]
        store.put(KEY, written[0])
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(lambda: [(other.put(KEY, each), each) for each in written * 10])
            seen = {}
            while not writing.done():
                blob = read(store, KEY)
                # Compare first, because pytest takes a minute to explain how they differ.
                whole = blob.data in written
                assert whole, "a read returned half a write"
                seen[blob.version] = blob.data
            put = dict(writing.result())
            mixed = [each for each in seen.keys() & put.keys() if seen[each] != put[each]]
            assert not mixed, "a get returned the version of one write with the bytes of another"

    # versions and expectations

    def test_different_bytes_have_different_versions(self, store: StateStore) -> None:
        first = store.put(KEY, b"A")
        second = store.put(KEY, b"B")
        assert first != second, "two contents have the same version"
        found = read(store, KEY).version
        assert found == second, f"a put returned the version {second!r}, but a get {found!r}"

    def test_a_conditional_put_works_or_is_refused(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        claimed = claims(store, "conditional_put")
        refusal = ConflictError if claimed else UnsupportedError
        for expect in (ABSENT, NO_SUCH_VERSION):
            with pytest.raises(refusal) as caught:
                store.put(KEY, b"B", expect=expect)
            names(caught.value, KEY)
            _says_that_nothing_landed(caught.value)
            holds(store, b"A", KEY)
        if claimed:
            store.put(KEY, b"B", expect=version)
            store.put("notes/new.json", b"B", expect=ABSENT)
            holds(store, b"B", KEY)
        else:
            with pytest.raises(UnsupportedError):
                store.put(KEY, b"B", expect=version)
            with pytest.raises(UnsupportedError):
                store.put("notes/new.json", b"B", expect=ABSENT)
            holds(store, b"A", KEY)
            is_gone(store, "notes/new.json")

    def test_a_conditional_delete_works_or_is_refused(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        claimed = claims(store, "conditional_delete")
        with pytest.raises(ConflictError if claimed else UnsupportedError) as caught:
            store.delete(KEY, expect=NO_SUCH_VERSION)
        names(caught.value, KEY)
        _says_that_nothing_landed(caught.value)
        holds(store, b"A", KEY)
        if claimed:
            store.delete(KEY, expect=version)
            is_gone(store, KEY)
        else:
            with pytest.raises(UnsupportedError):
                store.delete(KEY, expect=version)
            holds(store, b"A", KEY)

    @pytest.mark.usefixtures("_conditional_put")
    def test_creating_refuses_an_existing_document_with_equal_bytes(
        self, store: StateStore
    ) -> None:
        store.put(KEY, b"same", expect=ABSENT)
        with pytest.raises(ConflictError):
            store.put(KEY, b"same", expect=ABSENT)

    @pytest.mark.usefixtures("_conditional_put")
    def test_an_empty_document_exists(self, store: StateStore) -> None:
        version = store.put(KEY, b"")
        with pytest.raises(ConflictError):
            store.put(KEY, b"x", expect=ABSENT)
        holds(store, b"", KEY)
        store.put(KEY, b"x", expect=version)

    @pytest.mark.usefixtures("_conditional_put")
    def test_a_deleted_document_can_be_created_again(self, store: StateStore) -> None:
        store.put(KEY, b"A", expect=ABSENT)
        store.delete(KEY)
        store.put(KEY, b"B", expect=ABSENT)
        holds(store, b"B", KEY)

    @pytest.mark.usefixtures("_conditional_put")
    def test_compare_and_swap_refuses_an_outdated_version(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"A")
        other.put(KEY, b"B")
        with pytest.raises(ConflictError):
            store.put(KEY, b"C", expect=version)
        holds(store, b"B", KEY)

    @pytest.mark.usefixtures("_conditional_put")
    def test_compare_and_swap_does_not_create(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.delete(KEY)
        with pytest.raises(ConflictError):
            store.put(KEY, b"B", expect=version)
        is_gone(store, KEY)

    def test_equal_versions_mean_equal_bytes(self, store: StateStore, other: StateStore) -> None:
        seen: dict[Version, bytes] = {}
        for data in (b"A", b"B", b"", b"A", b"AA", b"B", b"A"):
            written = store.put(KEY, data)
            holds(other, data, KEY)
            version = read(other, KEY).version
            assert version == written, (
                f"a put returned the version {written!r}, but another client got {version!r}"
            )
            assert seen.setdefault(written, data) == data, "two contents have the same version"

    def test_a_write_error_says_whether_the_write_landed(self, store: StateStore) -> None:
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
            assert caught.value.landed in {"no", "unknown"}, (
                f"a write error does not say what may have landed: {caught.value!r}"
            )
        holds(store, b"A", KEY)
        with pytest.raises(StateStoreError) as caught:
            store.get("../outside.md")
        assert caught.value.landed is None, "the error of a read says landed"

    # deleting

    def test_deleting_a_missing_document_is_fine(self, store: StateStore) -> None:
        store.delete(KEY)
        store.put(KEY, b"x")
        store.delete(KEY)
        store.delete(KEY)
        is_gone(store, KEY)

    @pytest.mark.usefixtures("_conditional_delete")
    def test_a_conditional_delete_refuses_an_outdated_version(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"A")
        newer = other.put(KEY, b"B")
        with pytest.raises(ConflictError):
            store.delete(KEY, expect=version)
        holds(store, b"B", KEY)
        store.delete(KEY, expect=newer)
        is_gone(store, KEY)

    @pytest.mark.usefixtures("_conditional_delete")
    def test_a_conditional_delete_of_a_missing_document_conflicts(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        store.delete(KEY)
        with pytest.raises(ConflictError):
            store.delete(KEY, expect=version)

    def test_a_delete_removes_one_key_and_never_a_tree(self, store: StateStore) -> None:
        store.put("a/b/c.md", b"x")
        for key in ("a/b", "a"):
            store.delete(key)
            is_gone(store, key)
        delete_many(store, ["a/b", "a"])
        lists(store, ["a/b/c.md"])

    # many at once

    def test_many_documents_can_be_read_at_once(self, store: StateStore) -> None:
        for n in range(10):
            store.put(f"a/{n}.json", str(n).encode())
        keys = [f"a/{n}.json" for n in range(11)]
        found = dict(get_many(store, keys))
        missing = sorted(set(keys) - set(found))
        assert not missing, f"a get of many left out {missing}; a missing document must be None"
        foreign = sorted(set(found) - set(keys))
        assert not foreign, f"a get of many returned {foreign}, which were not asked for"
        nothing = found.pop("a/10.json")
        assert nothing is None, f"a get of many returned {nothing!r} for a missing document"
        for key, blob in found.items():
            assert blob == store.get(key), (
                f"a get of many returned {blob!r} for {key!r}, but a get differs"
            )
        assert dict(get_many(store, [])) == {}, "a get of no keys returned something"

    def test_many_documents_can_be_deleted_at_once(self, store: StateStore) -> None:
        for n in range(10):
            store.put(f"a/{n}.json", b"x")
        delete_many(store, [f"a/{n}.json" for n in range(1, 12)])
        lists(store, ["a/0.json"])
        delete_many(store, [])

    def test_sweeping_leaves_documents_alone(self, store: StateStore) -> None:
        able = power(store, SupportsSweep)
        if able is None:
            pytest.skip("not claimed: sweep")
        store.put(KEY, b"x")
        swept = able.sweep(older_than=timedelta(0))
        lists(store, [KEY], when=" after a sweep")
        assert swept == 0, f"a sweep says that it removed {swept}, but there was nothing to remove"

    def test_initializing_leaves_documents_alone(
        self, store: StateStore, other: StateStore
    ) -> None:
        if power(store, SupportsInitialize) is None:
            pytest.skip("not claimed: initialize")
        assert initialize(store), "initialize returned False for a store that has the power"
        lists(other, [], when=" after it was initialized")
        other.put(KEY, b"x")
        initialize(store)
        holds(other, b"x", KEY)

    def test_remains_returns_sentences(self, store: StateStore, other: StateStore) -> None:
        able = power(store, SupportsRemains)
        if able is None:
            pytest.skip("not claimed: remains")
        said = able.remains()
        assert not isinstance(said, str), (
            f"remains returned one string instead of several: {said!r}"
        )
        for each in said:
            assert isinstance(each, str), f"remains returned {each!r}, which is not a string"
            assert each.strip(), f"remains returned an empty sentence: {said!r}"
            assert each.isprintable(), (
                f"remains returned a sentence that is not printable on one line: {each!r}"
            )
        other.put(KEY, b"x")
        other.delete(KEY)
        other.put(KEY, b"y")
        again = able.remains()
        assert [*again] == [*said], f"remains returned {said!r} and then {again!r}"
        holds(other, b"y", KEY)

    # several clients, threads and processes

    def test_two_clients_see_each_other(self, store: StateStore, other: StateStore) -> None:
        store.put(KEY, b"A")
        holds(other, b"A", KEY)
        other.put(KEY, b"B")
        holds(store, b"B", KEY)
        store.delete(KEY)
        is_gone(other, KEY)

    def test_threads_do_not_disturb_each_other(self, store: StateStore) -> None:
        def use(name: int) -> None:
            key = f"threads/{name}.json"
            for n in range(5):
                store.put(key, b"%d" % n)
                holds(store, b"%d" % n, key)
                listed = {entry.key for entry in store.scan("threads")}
                assert key in listed, f"a scan misses {key!r} while other threads write"
            store.delete(key)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(use, range(8)))
        lists(store, [])

    @pytest.mark.usefixtures("_conditional_put")
    def test_only_one_of_several_racing_creators_wins(
        self, store: StateStore, other: StateStore
    ) -> None:
        for n in range(5):
            key = f"races/{n}.json"
            winner = one_wins(
                (
                    partial(client.put, key, b"%d" % name, expect=ABSENT)
                    for name, client in enumerate([store, other] * 4)
                ),
                "racing creators",
            )
            holds(store, b"%d" % winner, key)

    @pytest.mark.usefixtures("_conditional_put")
    def test_only_one_of_several_racing_writers_of_equal_bytes_wins(
        self, store: StateStore, other: StateStore
    ) -> None:
        version = store.put(KEY, b"before")
        for key, expect in (("notes/new.json", ABSENT), (KEY, version)):
            one_wins(
                (
                    partial(client.put, key, b"equal", expect=expect)
                    for client in [store, other] * 4
                ),
                "racing writers of equal bytes",
            )

    @pytest.mark.usefixtures("_conditional_put")
    def test_racing_swaps_by_threads_are_all_kept(self, store: StateStore) -> None:
        store.put(KEY, b"0")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: increment(store, KEY, 10), range(8)))
        _counts_to(store, 80)

    @pytest.mark.usefixtures("_conditional_put", "_shared")
    def test_racing_swaps_by_processes_are_all_kept(self, store: StateStore, location: str) -> None:
        store.put(KEY, b"0")
        in_processes(increment_at, [(self.open, location, KEY, 25)] * 4)
        _counts_to(store, 100)

    @pytest.mark.usefixtures("_conditional_delete")
    def test_only_one_of_several_racing_deleters_wins(
        self, store: StateStore, other: StateStore
    ) -> None:
        for _ in range(5):
            version = store.put(KEY, b"A")
            one_wins(
                (partial(client.delete, KEY, expect=version) for client in [store, other] * 4),
                "racing deleters",
            )

    @pytest.mark.usefixtures("_conditional_put", "_conditional_delete")
    def test_a_swap_and_a_delete_never_both_win(self, store: StateStore, other: StateStore) -> None:
        for _ in range(20):
            version = store.put(KEY, b"A")
            swap = partial(store.put, KEY, b"B", expect=version)
            delete = partial(other.delete, KEY, expect=version)
            if one_wins([swap, delete], "racers (a swap and a delete)"):
                is_gone(store, KEY)
            else:
                holds(store, b"B", KEY)

    @pytest.mark.usefixtures("_shared")
    def test_documents_are_shared_among_processes(self, store: StateStore, location: str) -> None:
        store.put(KEY, b"x")
        keys = [f"processes/{n}.json" for n in range(2)]
        calls = [(self.open, location, key, key.encode()) for key in keys]
        for key, seen in zip(keys, in_processes(write_at, calls), strict=True):
            unseen = {KEY, key} - set(seen)
            assert not unseen, f"a process does not see {sorted(unseen)}, though written before"
            holds(store, key.encode(), key)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_store_can_be_used_after_a_fork(self, store: StateStore) -> None:
        store.put(KEY, b"parent")
        expect_seen = claims(store, "conditional_put")
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(60)  # rather than wait forever for the parent's lock
                blob = read(store, KEY)
                store.put(KEY, b"child", expect=blob.version if expect_seen else ANY)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the child must not return from here
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code != -signal.SIGALRM, "after a fork, the child hangs"
        assert code == 0, "after a fork, the child cannot use the store"
        holds(store, b"child" if store.capabilities.shared else b"parent", KEY)

    # readers and writers other than statekeep

    def test_outside_writes_are_seen_at_once(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        version = store.put(KEY, b"ours")
        raw[KEY] = b"theirs"
        holds(store, b"theirs", KEY)
        blob = read(store, KEY)
        assert blob.version != version, "an outside write left the version unchanged"
        (after,) = store.scan()
        assert after.size == len(b"theirs"), f"a scan gives 6 bytes the size {after.size}"
        if claims(store, "conditional_put"):
            with pytest.raises(ConflictError):
                store.put(KEY, b"ours", expect=version)
            store.put(KEY, b"ours", expect=blob.version)

    def test_outside_writes_never_reuse_a_fingerprint_for_other_bytes(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        read_before: dict[str, bytes] = {}
        for n in range(20):
            for data in (b"AAAA", b"BBBB", b"%04d" % n):
                raw[KEY] = data
                compare_fingerprints(store, data, read_before)

    def test_outside_deletes_are_seen_at_once(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        version = store.put(KEY, b"ours")
        store.put("notes/more.json", b"ours")
        del raw[KEY]
        is_gone(store, KEY)
        lists(store, ["notes/more.json"])
        if claims(store, "conditional_put"):
            with pytest.raises(ConflictError):
                store.put(KEY, b"ours", expect=version)

    def test_outside_readers_see_the_bytes_that_were_put(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        for data in (b"first", b"", b"\x00\xff\r\n"):
            store.put(KEY, data)
            found = raw[KEY]
            assert found == data, f"{shown(data)} was put, but outside readers see {shown(found)}"
        store.delete(KEY)
        assert KEY not in raw, "outside readers still see a deleted document"

    def test_files_that_are_not_documents_are_not_listed(
        self, store: StateStore, raw: MutableMapping[str, bytes]
    ) -> None:
        store.put(KEY, b"x")
        raw["notes/half-written.tmp"] = b"x"
        raw[".statekeep/locks/07"] = b""
        lists(store, [KEY])
        lists(store, [KEY], "notes")

    # errors

    def test_only_statekeep_errors_escape(self, store: StateStore) -> None:
        # Some stores can hold these keys and some cannot, but none may do so by halves.
        store.put("a/b.md", b"x")
        for key in ("a", "a/b.md/c.md", "/".join(["d" * 100] * 12) + "/e.md", "f/" * 3000 + "g.md"):
            error = refusal(partial(store.put, key, b"y"))
            if error is None:
                holds(store, b"y", key)
                lists(store, ["a/b.md", key])
                store.delete(key)
            else:
                assert error.key, f"the error does not name a key: {error!r}"
                assert error.store, f"the error does not name the store: {error!r}"
        lists(store, ["a/b.md"])


def _is_whole(found: bytes, data: bytes, what: str) -> None:
    assert len(found) == len(data), f"{what} returned {len(found)} of {len(data)} bytes"
    equal = hashlib.sha256(found).digest() == hashlib.sha256(data).digest()
    assert equal, f"{what} returned {shown(data)} as {shown(found)}"


def _times(store: StateStore) -> dict[str, datetime]:
    """The modification times that a get and a scan give, as far as they give any."""
    (entry,) = store.scan()
    told = {"a get": read(store, KEY).modified, "a scan": entry.modified}
    return {what: modified for what, modified in told.items() if modified is not None}


def _counts_to(store: StateStore, total: int) -> None:
    found = int(read(store, KEY).data)
    assert found == total, f"{total - found} of {total} acknowledged swaps are lost"


def _says_that_nothing_landed(error: StateStoreError) -> None:
    assert error.landed == "no", (
        f"a refused write says landed={error.landed!r}, so it is never retried: {error!r}"
    )
