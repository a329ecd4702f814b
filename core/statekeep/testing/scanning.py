"""Tests of scans."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from statekeep import InvalidKeyError, StateStore
from statekeep.store import delete_many
from statekeep.testing.checks import compare_keys, lists, read, shown
from statekeep.testing.fixtures import StoreFixtures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ScanningContract", "compare_fingerprints"]

KEY = "notes/plan.json"
_WORKERS = 16
# The number of documents added, and of those deleted, during a scan of many pages.
_CHANGES = 40


class ScanningContract(StoreFixtures):
    """The part of `StateStoreContract` about scans."""

    @pytest.fixture
    def many(self) -> int:
        """More documents than two pages of a listing hold; lower it if pages are small."""
        return 2_100

    def test_a_scan_lists_every_document_once(self, store: StateStore) -> None:
        keys = {f"{folder}/{n}.json" for folder in ("a", "a/b", "c") for n in range(20)}
        for key in keys:
            store.put(key, key.encode())
        lists(store, keys)
        for entry in store.scan():
            size = self.size_of(entry.key, entry.key.encode())
            assert entry.size == size, (
                f"a scan says that {entry.key!r} has {entry.size} bytes, not {size}"
            )

    def test_a_scan_of_many_pages_is_complete_while_documents_come_and_go(
        self, store: StateStore, other: StateStore, many: int
    ) -> None:
        keys = [f"pages/{n % 3}/{n:05}.json" for n in range(many)]
        # One by one where that is fast: a database may allow only one writer at a time.
        with ThreadPoolExecutor(_WORKERS if store.capabilities.remote else 1) as pool:
            list(pool.map(lambda key: store.put(key, b"x"), keys))
        lists(store, keys)
        lists(store, keys[1::3], "pages/1")
        go = sorted(keys)[:: max(1, many // _CHANGES)]
        come = [key.replace(".json", "-new.json") for key in go]
        found: list[str] = []
        changes = _changes(other, go, come)
        scan = store.scan("pages")
        # Deleting some and then adding some breaks paging by offset instead of by key.
        while page := [entry.key for entry in islice(scan, max(1, many // len(go + come)))]:
            found += page
            next(changes, None)
        when = " while others came and went"
        compare_keys(found, set(keys) - set(go), "pages", {*go, *come}, when)
        delete_many(store, [*keys, *come])
        lists(store, [], when=" after a delete of many")

    def test_a_prefix_matches_whole_segments(self, store: StateStore) -> None:
        for key in ("foo/a.md", "foo/b/c.md", "foobar/d.md", "foo.md", "x/foo/e.md"):
            store.put(key, b"")
        lists(store, {"foo/a.md", "foo/b/c.md"}, "foo")
        lists(store, {"foo/b/c.md"}, "foo/b")
        for prefix in ("fo", "foo.md", "nothing/here"):
            lists(store, [], prefix)

    def test_an_illegal_prefix_is_refused(self, store: StateStore) -> None:
        for prefix in ("/", "a/", "/a", "..", "a/../b", "a\0", ".statekeep/locks"):
            with pytest.raises(InvalidKeyError):
                list(store.scan(prefix))

    def test_a_scan_is_never_cached(self, store: StateStore, other: StateStore) -> None:
        lists(store, [])
        for data in (b"x", b"xy"):
            other.put(KEY, data)
            lists(store, [KEY], when=" after another client wrote")
            (entry,) = store.scan()
            size = self.size_of(KEY, data)
            assert entry.size == size, (
                f"a scan gives the size {entry.size} after another client wrote {size} bytes"
            )
        other.delete(KEY)
        lists(store, [], when=" after another client deleted")

    def test_a_scan_shows_only_documents_while_others_write(
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
                lists(store, stays, besides=[KEY], when=" while others wrote")
            writing.result()

    def test_documents_may_be_deleted_during_a_scan(self, store: StateStore) -> None:
        for n in range(50):
            store.put(f"a/{n}.json", b"x")
        for entry in store.scan("a"):
            store.delete(entry.key)
        lists(store, [], when=" after each listed document was deleted")

    def test_a_fingerprint_never_returns_with_other_bytes(
        self, store: StateStore, other: StateStore
    ) -> None:
        read_before: dict[str, bytes] = {}
        # Equal lengths in quick succession, so that neither sizes nor coarse clocks differ: A, B,
        # A again, then something new.
        for n in range(10):
            for data in (b"AAAA", b"BBBB", b"AAAA", b"%04d" % n):
                (store if n % 2 else other).put(KEY, data)
                compare_fingerprints(store, data, read_before)
            if n % 4 == 3:
                store.delete(KEY)

    def test_an_entry_is_unchanged_while_nothing_is_written(self, store: StateStore) -> None:
        store.put(KEY, b"A")
        before, after = list(store.scan()), list(store.scan())
        assert before == after, "two scans differ though nothing was written in between"


def compare_fingerprints(store: StateStore, data: bytes, read_before: dict[str, bytes]) -> None:
    """Check that the current fingerprint, in a scan and a get, stands for no other bytes."""
    (entry,) = store.scan()
    if entry.fingerprint is not None:
        known = read_before.get(entry.fingerprint, data)
        assert known == data, (
            f"a scan gives {shown(data)} a fingerprint that stood for {shown(known)}"
        )
    blob = read(store, KEY)
    if blob.fingerprint is not None:
        known = read_before.setdefault(blob.fingerprint, data)
        assert known == data, (
            f"a get gives {shown(data)} a fingerprint that stood for {shown(known)}"
        )


def _changes(store: StateStore, go: Sequence[str], come: Sequence[str]) -> Iterator[None]:
    """Delete some documents and then write others, one per step."""
    for key in go:
        store.delete(key)
        yield
    for key in come:
        store.put(key, b"x")
        yield
