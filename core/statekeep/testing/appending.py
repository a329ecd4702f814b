"""Tests of stores that can append."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest

from statekeep import ABSENT, ANY, ConflictError, InvalidKeyError, StateStore, Version
from statekeep.store import SupportsAppend, power
from statekeep.testing.checks import holds, is_gone, lists, names, one_wins, read, refusal, shown
from statekeep.testing.claims import NO_SUCH_VERSION
from statekeep.testing.fixtures import StoreFixtures
from statekeep.testing.processes import append_lines_at, in_processes

__all__ = ["AppendingContract"]

KEY = "notes/log.jsonl"


class AppendingContract(StoreFixtures):
    """The part of `StateStoreContract` about `SupportsAppend`."""

    @pytest.fixture
    def appending(self, store: StateStore) -> SupportsAppend:
        """The store if it can append; otherwise the test is skipped."""
        return _appending(store)

    def test_an_append_adds_to_the_end(self, store: StateStore, appending: SupportsAppend) -> None:
        for beginning in (b"", b"a\n", b"x" * 100_000):
            whole, version = beginning, store.put(KEY, beginning)
            for added in (b"b\n", b"", b"\0" * 5000, b"c"):
                version = appending.append(KEY, added, expect=version)
                whole += added
                holds(store, whole, KEY)
                found = read(store, KEY).version
                assert found == version, (
                    f"an append returned the version {version!r}, and a get returns {found!r}"
                )
        lists(store, [KEY])

    def test_an_append_requires_the_current_version(
        self, store: StateStore, other: StateStore, appending: SupportsAppend
    ) -> None:
        seen = store.put(KEY, b"a")
        theirs = _appending(other).append(KEY, b"b", expect=seen)
        self._refuses(store, KEY, b"ab", seen)
        other.put(KEY, b"ac", expect=theirs)  # of the same length
        self._refuses(store, KEY, b"ac", theirs)
        self._refuses(store, KEY, b"ac", NO_SUCH_VERSION)
        version = appending.append(KEY, b"d", expect=read(store, KEY).version)
        other.put(KEY, b"a", expect=version)
        self._refuses(store, KEY, b"a", version)

    def test_appending_to_a_missing_document_conflicts(
        self, store: StateStore, appending: SupportsAppend
    ) -> None:
        seen = store.put(KEY, b"a")
        version = appending.append(KEY, b"b", expect=seen)
        store.delete(KEY)
        for each in (seen, version, NO_SUCH_VERSION):
            error = refusal(lambda each=each: appending.append(KEY, b"c", expect=each))  # type: ignore[misc]
            assert isinstance(error, ConflictError), (
                f"an append to a deleted document should be a conflict: {error!r}"
            )
            assert error.landed == "no", f"a refused append says landed={error.landed!r}"
            is_gone(store, KEY)
        # A new document under that key has another version.
        store.put(KEY, b"anew")
        self._refuses(store, KEY, b"anew", version)

    def test_two_clients_can_take_turns_appending(
        self, store: StateStore, other: StateStore
    ) -> None:
        whole, version = b"", store.put(KEY, b"")
        for number in range(20):
            client = _appending((store, other)[number % 3 % 2])
            added = b"%d\n" % number
            version = client.append(KEY, added, expect=version)
            whole += added
        holds(other, whole, KEY)

    def test_only_one_of_several_appends_to_one_version_wins(
        self, store: StateStore, other: StateStore
    ) -> None:
        for number in range(5):
            seen = store.put(KEY, b"%d" % number)

            def attempt(name: int, seen: Version = seen) -> None:
                client = _appending((store, other)[name % 2])
                client.append(KEY, b"-%d" % name, expect=seen)

            winner = one_wins(
                [lambda name=name: attempt(name) for name in range(6)],  # type: ignore[misc]
                "appends to one version",
            )
            holds(store, b"%d-%d" % (number, winner), KEY)

    def test_a_put_and_an_append_exclude_each_other(
        self, store: StateStore, other: StateStore
    ) -> None:
        for number in range(10):
            seen = store.put(KEY, b"%d" % number)
            winner = one_wins(
                [
                    lambda seen=seen: _appending(store).append(KEY, b"+", expect=seen),  # type: ignore[misc]
                    lambda seen=seen: other.put(KEY, b"put", expect=seen),  # type: ignore[misc]
                ],
                "an append and a put on one version",
            )
            holds(store, b"put" if winner else b"%d+" % number, KEY)

    @pytest.mark.usefixtures("_shared")
    def test_appends_by_several_processes_are_all_kept(
        self, location: str, store: StateStore
    ) -> None:
        _appending(store)
        store.put(KEY, b"")
        processes, times = 4, 25
        in_processes(
            append_lines_at, [(self.open, location, KEY, name, times) for name in range(processes)]
        )
        lines = read(store, KEY).data.split(b"\n")[:-1]
        wrong = Counter(lines) - Counter(
            b"%d-%d" % (name, n) for name in range(processes) for n in range(times)
        )
        assert not wrong, f"{len(wrong)} lines are duplicated or torn: {[*wrong][:3]}"
        assert len(lines) == processes * times, (
            f"{processes * times} appends were acknowledged, but there are {len(lines)} lines"
        )
        for name in range(processes):
            ours = [line for line in lines if line.startswith(b"%d-" % name)]
            in_order = ours == [b"%d-%d" % (name, n) for n in range(times)]
            assert in_order, f"the appends of process {name} are out of order"

    def test_readers_see_a_prefix_of_the_appended_bytes(
        self, store: StateStore, other: StateStore
    ) -> None:
        appending = _appending(store)
        version = store.put(KEY, b"")
        whole = random.Random(1).randbytes(300_000)
        ended = threading.Event()
        wrong: list[bytes] = []

        def look() -> None:
            while not ended.is_set():
                data = read(other, KEY).data
                if not whole.startswith(data):
                    wrong.append(data)

        reader = threading.Thread(target=look)
        reader.start()
        try:
            for start in range(0, len(whole), 30_000):
                version = appending.append(KEY, whole[start : start + 30_000], expect=version)
        finally:
            ended.set()
            reader.join()
        assert not wrong, (
            f"a reader saw {shown(wrong[0])}, which is not a prefix of the appended bytes"
        )
        holds(other, whole, KEY)

    def test_an_append_extends_what_another_client_put(
        self, store: StateStore, other: StateStore, appending: SupportsAppend
    ) -> None:
        for data in (b"other", b"longer than that", b""):
            version = store.put(KEY, b"first")
            appending.append(KEY, b"!", expect=version)
            there = other.put(KEY, data)
            appending.append(KEY, b"?", expect=there)
            holds(other, data + b"?", KEY)

    def test_illegal_appends_are_refused(
        self, store: StateStore, appending: SupportsAppend
    ) -> None:
        version = store.put(KEY, b"a")
        with pytest.raises(InvalidKeyError):
            appending.append("../outside.jsonl", b"x", expect=version)
        with pytest.raises(TypeError, match="data: bytes"):
            appending.append(KEY, "text", expect=version)  # type: ignore[arg-type]
        for expect in (ANY, ABSENT):
            with pytest.raises(TypeError, match="expect: a version"):
                appending.append(KEY, b"x", expect=expect)  # type: ignore[arg-type]
        holds(store, b"a", KEY)

    def _refuses(self, store: StateStore, key: str, data: bytes, version: Version) -> None:
        appending = _appending(store)
        error = refusal(lambda: appending.append(key, b"stale", expect=version))
        assert isinstance(error, ConflictError), (
            f"an append to an outdated version should be a conflict: {error!r}"
        )
        assert error.landed == "no", f"a refused append says landed={error.landed!r}"
        names(error, key)
        holds(store, data, key)


def _appending(store: StateStore) -> SupportsAppend:
    able = power(store, SupportsAppend)
    if able is None:
        pytest.skip("not claimed: append")
    return able
