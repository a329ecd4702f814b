"""What is special about filesystems that fsspec reaches."""

from __future__ import annotations

import inspect
import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ConfigError,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
    open_store,
)
from statekeep.errors import PluginNotFoundError
from statekeep_backends.filesystem import FilesystemStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


KEY = "notes/plan.json"


@pytest.fixture(params=["file", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"fsspec+file://{tmp_path}/not/there"
    return f"fsspec+memory://{secrets.token_hex(8)}/prefix"


@pytest.fixture
def store(location: str) -> Iterator[StateStore]:
    with open_store(location) as store:
        yield store


def test_what_is_not_claimed_is_refused_and_changes_nothing(store: StateStore) -> None:
    assert not store.capabilities.conditional_put
    assert not store.capabilities.conditional_delete
    version = store.put(KEY, b"old")
    for expect in (ABSENT, version):
        with pytest.raises(UnsupportedError, match="last-writer-wins") as caught:
            store.put(KEY, b"new", expect=expect)
        assert caught.value.landed == "no"
    with pytest.raises(UnsupportedError) as caught:
        store.delete(KEY, expect=version)
    assert caught.value.landed == "no"
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


def test_a_fingerprint_changes_with_the_size(store: StateStore) -> None:
    seen = set()
    for data in (b"A", b"BB", b"CCC"):
        store.put(KEY, data)
        (entry,) = store.scan()
        seen.add(entry.fingerprint)
    assert len(seen) == 3


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
    with pytest.raises(ConfigError, match=r"fsspec\+s3://bucket"):
        open_store("fsspec:s3://bucket")


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


@pytest.mark.parametrize("raised", [PermissionError("no"), OSError("late"), ValueError("wrong")])
def test_what_a_driver_did_before_it_failed_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def fail_late(function: Callable[..., object]) -> Callable[..., None]:
        def call(*args: object) -> None:
            function(*args)
            raise raised

        return call

    with open_store(f"fsspec+file://{tmp_path}") as store:
        assert isinstance(store, FilesystemStore)
        store.put(KEY, b"x")
        filesystem, _ = store._open()
        for name in ("pipe_file", "rm_file"):
            monkeypatch.setattr(filesystem, name, fail_late(getattr(filesystem, name)))
        for write in (lambda: store.put(KEY, b"y"), lambda: store.delete(KEY)):
            with pytest.raises(StateStoreError) as caught:
                write()
            assert caught.value.landed == "unknown"
        monkeypatch.setattr(filesystem, "isfile", fail_late(filesystem.isfile))
        with pytest.raises(StateStoreError) as caught:
            store.delete(KEY)
        assert caught.value.landed == "no"


def test_calls_of_the_driver_are_as_few_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    depth = 0  # a driver calls its own methods, too

    def noting(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal depth
            if not depth:
                called.append(name)
            depth += 1
            try:
                return function(*args, **kwargs)
            finally:
                depth -= 1

        return call

    def calls(operation: Callable[[], object]) -> list[str]:
        called.clear()
        operation()
        return [*called]

    with open_store(f"fsspec+file://{tmp_path}") as store:
        assert isinstance(store, FilesystemStore)
        filesystem, _ = store._open()
        for name in dir(filesystem):
            method = getattr(filesystem, name, None)
            if not name.startswith("_") and inspect.ismethod(method):
                monkeypatch.setattr(filesystem, name, noting(name, method))
        assert calls(lambda: store.put(KEY, b"x")) == ["pipe_file", "makedirs", "pipe_file"]
        assert calls(lambda: store.put(KEY, b"y")) == ["pipe_file"]
        assert calls(lambda: store.get(KEY)) == ["cat_file"]
        assert calls(lambda: list(store.scan())) == ["invalidate_cache", "find"]
        assert calls(lambda: store.delete(KEY)) == ["isfile", "rm_file"]


@pytest.mark.parametrize("raised", [ImportError("no driver"), FileNotFoundError("no key file")])
def test_a_driver_that_cannot_be_set_up_did_nothing(
    store: StateStore, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    assert isinstance(store, FilesystemStore)
    store._opened = None
    monkeypatch.setattr("fsspec.core.url_to_fs", fail)
    for write in (lambda: store.put(KEY, b"x"), lambda: store.delete(KEY)):
        with pytest.raises(StateStoreError) as caught:
            write()
        assert caught.value.landed == "no"
    for read in (lambda: store.get(KEY), lambda: list(store.scan())):
        with pytest.raises(StateStoreError) as caught:
            read()
        assert caught.value.landed is None


def test_what_is_on_this_machine_is_not_remote(store: StateStore) -> None:
    assert not store.capabilities.remote
    assert FilesystemStore("sftp://host/path").capabilities.remote
    assert not FilesystemStore("local:///path").capabilities.remote


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_survive(data: bytes) -> None:
    with open_store("fsspec+memory://any-bytes") as store:
        store.put(KEY, data)
        blob = store.get(KEY)
        assert blob is not None
        assert blob.data == data


class TestAStrangersDriver:
    """fsspec has entry points of its own, and the allow-list holds for them, too."""

    @pytest.fixture
    def stranger(self, tmp_path: Path) -> Path:
        (tmp_path / "sly_driver.py").write_text(
            "from pathlib import Path\n"
            "from fsspec.implementations.memory import MemoryFileSystem\n"
            "Path(__file__).with_name('imported').touch()\n"
            "class Sly(MemoryFileSystem):\n    protocol = 'sly'\n"
        )
        about = tmp_path / "sly_driver-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sly-driver\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[fsspec.specs]\nsly=sly_driver.Sly\n")
        return tmp_path

    @pytest.mark.parametrize(
        ("allowed", "imported"), [(None, True), ("sly.driver", True), ("", False), ("x", False)]
    )
    def test_is_imported_only_if_it_may_be(
        self, stranger: Path, allowed: str | None, imported: bool
    ) -> None:
        code = (
            "from statekeep import open_store\n"
            "try:\n    open_store('sly://x').put('a.md', b'x')\n"
            "except Exception as error:\n    print(error)"
        )
        variables = {name: each for name, each in os.environ.items() if name != "STATEKEEP_PLUGINS"}
        variables["PYTHONPATH"] = os.pathsep.join(
            [str(stranger), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        if allowed is not None:
            variables["STATEKEEP_PLUGINS"] = allowed
        ended = subprocess.run(
            [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
        )
        assert (stranger / "imported").exists() == imported
        assert ("not on the allow-list" in ended.stdout) != imported
