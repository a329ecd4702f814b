"""Filesystems that fsspec reaches: all of the contract but for what they do not claim."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from contract.store_contract import HARMLESS_BUT_ODD, ILLEGAL, KEY
from hypothesis import given
from hypothesis import strategies as st

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ConfigError,
    InvalidKeyError,
    PluginNotFoundError,
    Sessions,
    StateStore,
    UnavailableError,
    UnsupportedError,
    open_store,
)
from statekeep_backends.filesystem import FilesystemStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=["file", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"fsspec+file://{tmp_path}/not/there"
    return f"fsspec+memory://{secrets.token_hex(8)}/prefix"


@pytest.fixture
def store(location: str) -> Iterator[StateStore]:
    with open_store(location) as store:
        yield store


@pytest.fixture
def other(location: str) -> Iterator[StateStore]:
    with open_store(location) as store:
        yield store


def test_bytes_come_back_to_the_letter(store: StateStore) -> None:
    for data in (b"", b"{}", b"\x00\xff\r\n", b"x" * 1_000_000):
        version = store.put(KEY, data)
        blob = store.get(KEY)
        assert blob is not None
        assert (blob.data, blob.version) == (data, version)


def test_what_is_not_there_is_none(store: StateStore) -> None:
    assert store.get(KEY) is None
    assert list(store.scan()) == []
    assert list(store.scan("notes")) == []
    store.delete(KEY)


@pytest.mark.parametrize("key", HARMLESS_BUT_ODD)
def test_every_legal_key_can_be_used(store: StateStore, key: str) -> None:
    store.put(key, b"1")
    store.put(key, b"2")
    blob = store.get(key)
    assert blob is not None
    assert blob.data == b"2"
    assert [entry.key for entry in store.scan()] == [key]
    store.delete(key)
    assert list(store.scan()) == []


@pytest.mark.parametrize("key", ILLEGAL)
def test_an_illegal_key_is_refused(store: StateStore, key: str) -> None:
    for operation in (store.get, store.delete, lambda key: store.put(key, b"")):
        with pytest.raises(InvalidKeyError):
            operation(key)


def test_what_is_not_claimed_is_refused_and_changes_nothing(store: StateStore) -> None:
    assert not store.capabilities.conditional_put
    assert not store.capabilities.conditional_delete
    version = store.put(KEY, b"old")
    for expect in (ABSENT, version):
        with pytest.raises(UnsupportedError, match="last-writer-wins"):
            store.put(KEY, b"new", expect=expect)
    with pytest.raises(UnsupportedError):
        store.delete(KEY, expect=version)
    blob = store.get(KEY)
    assert blob is not None
    assert blob.data == b"old"
    with pytest.raises(UnsupportedError, match="last-writer-wins"):
        Sessions(store)


def test_sessions_work_as_last_writer_wins(store: StateStore) -> None:
    sessions = Sessions(store, conflicts="last-writer-wins")
    sessions.get_or_create("ada", "../x")
    sessions.update("../x", lambda session: session.add_user_message("hello"))
    assert [summary.message_count for summary in sessions.list()] == [1]
    assert sessions.delete("../x")
    assert sessions.list().summaries == ()


def test_listings_are_fresh(store: StateStore, other: StateStore) -> None:
    assert list(store.scan()) == []
    other.put(KEY, b"x")
    assert [(entry.key, entry.size) for entry in store.scan()] == [(KEY, 1)]
    other.put(KEY, b"xy")
    assert [entry.size for entry in store.scan()] == [2]
    other.delete(KEY)
    assert list(store.scan()) == []


def test_a_prefix_matches_whole_segments(store: StateStore) -> None:
    for key in ("foo/a.md", "foo/b/c.md", "foobar/d.md", "foo.md"):
        store.put(key, b"")
    assert {entry.key for entry in store.scan("foo")} == {"foo/a.md", "foo/b/c.md"}
    assert list(store.scan("foo.md")) == []


def test_deleting_deletes_a_key_and_never_a_tree(store: StateStore) -> None:
    store.put("a/b/c.md", b"x")
    store.delete("a/b")
    store.delete("a")
    assert [entry.key for entry in store.scan()] == ["a/b/c.md"]
    assert store.get("a/b") is None


def test_a_fingerprint_changes_with_the_size(store: StateStore) -> None:
    seen = set()
    for data in (b"A", b"BB", b"CCC"):
        store.put(KEY, data)
        (entry,) = store.scan()
        seen.add(entry.fingerprint)
    assert len(seen) == 3


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_usable_after_a_fork(tmp_path: Path) -> None:
    with open_store(f"fsspec+file://{tmp_path}") as store:
        store.put(KEY, b"parent")
        child = os.fork()
        if child == 0:
            store.put(KEY, b"child")
            os._exit(0)
        os.waitpid(child, 0)
        blob = store.get(KEY)
    assert blob is not None
    assert blob.data == b"child"


def test_a_scheme_that_only_fsspec_knows_goes_there() -> None:
    with open_store(
        "dir:///nowhere", storage_options={"path": "/x", "target_protocol": "file"}
    ) as s:
        assert isinstance(s, FilesystemStore)


def test_a_scheme_that_nobody_knows_is_said_to_be() -> None:
    with pytest.raises(PluginNotFoundError, match="did you mean 'memory'"):
        open_store("memroy:")
    with pytest.raises(PluginNotFoundError, match="nonsense"):
        open_store("fsspec+nonsense://x")


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(ConfigError, match="adlfs"):
        open_store("abfs://container/x")


def test_without_fsspec_the_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from statekeep import StateStoreError, open_store\n"
        "try: open_store('gs://bucket')\n"
        "except StateStoreError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"statekeep[fsspec]" in ended.stdout


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (PermissionError("no"), AccessDeniedError),
        (TimeoutError("slow"), UnavailableError),
        (OSError("broken"), UnavailableError),
        (RuntimeError("driver's own"), UnavailableError),
        (ValueError("wrong"), ConfigError),
    ],
)
def test_no_exception_of_a_driver_escapes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    error: type[Exception],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    with open_store(f"fsspec+file://{tmp_path}") as store:
        assert isinstance(store, FilesystemStore)
        filesystem, _ = store._open()
        for name in ("cat_file", "pipe_file", "isfile", "find"):
            monkeypatch.setattr(filesystem, name, fail)
        operations: list[Callable[[], object]] = [
            lambda: store.get(KEY),
            lambda: store.put(KEY, b"x"),
            lambda: store.delete(KEY),
            lambda: list(store.scan()),
        ]
        for operation in operations:
            with pytest.raises(error):
                operation()


@given(st.binary(max_size=2000))
def test_any_bytes_survive(data: bytes) -> None:
    with open_store("fsspec+memory://any-bytes") as store:
        store.put(KEY, data)
        blob = store.get(KEY)
        assert blob is not None
        assert blob.data == data
