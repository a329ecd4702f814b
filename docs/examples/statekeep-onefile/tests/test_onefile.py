"""What is SQLite's own; what every store promises is in test_promises.py."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    StateStore,
    StateStoreError,
    UnavailableError,
    Version,
    open_store,
)
from statekeep.store import get_many

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> StateStore:
    """A store with one document, which does not wait for others."""
    store = open_store(f"onefile:{path}?timeout=0")
    store.put("notes/plan.md", b"x")
    return store


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What SQLite is told from now on."""
    told: list[str] = []
    connect = sqlite3.connect

    def connect_and_listen(
        path: Path | str, timeout: float = 5, *, isolation_level: None = None
    ) -> sqlite3.Connection:
        db = connect(path, timeout=timeout, isolation_level=isolation_level)
        db.set_trace_callback(told.append)
        return db

    monkeypatch.setattr(sqlite3, "connect", connect_and_listen)
    return told


def refuses(store: StateStore, error: type[StateStoreError]) -> None:
    for operation in (
        lambda: store.get("notes/plan.md"),
        lambda: store.put("notes/plan.md", b"y"),
        lambda: store.delete("notes/plan.md"),
        store.scan,
    ):
        with pytest.raises(error):
            operation()


def test_a_database_that_another_process_keeps_to_itself_is_unavailable(
    store: StateStore, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refuses(store, UnavailableError)
    assert store.get("notes/plan.md")


def test_a_database_that_is_read_only_can_be_read(store: StateStore, path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\3")  # the format's mark for: writers must be newer than any
    assert store.get("notes/plan.md")
    assert list(store.scan())
    with pytest.raises(AccessDeniedError):
        store.put("notes/plan.md", b"y")
    with pytest.raises(AccessDeniedError):
        store.delete("notes/plan.md")


def test_a_file_that_is_moved_during_a_write_is_not_written(
    store: StateStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = path.with_name("moved.db")

    def move_it() -> int:
        path.rename(moved)
        return 0

    monkeypatch.setattr("time.time_ns", move_it)
    with pytest.raises(AccessDeniedError):
        store.put("notes/plan.md", b"y")
    blob = open_store(f"onefile:{moved}").get("notes/plan.md")
    assert blob is not None
    assert blob.data == b"x"


@pytest.mark.parametrize("before", ["nothing", "an empty file"])
def test_the_first_write_makes_the_database(path: Path, before: str) -> None:
    if before == "an empty file":
        path.touch()
    with open_store(f"onefile:{path}") as store:
        assert store.get("notes/plan.md") is None
        assert list(store.scan()) == []
        assert dict(get_many(store, ["notes/plan.md"])) == {"notes/plan.md": None}
        store.delete("notes/plan.md")
        with pytest.raises(ConflictError):
            store.delete("notes/plan.md", expect=Version("some"))
        assert path.exists() == (before == "an empty file")
        assert not path.exists() or not path.stat().st_size
        store.put("notes/plan.md", b"x", expect=ABSENT)
        assert path.stat().st_size


def test_a_path_that_leads_nowhere_is_refused(path: Path) -> None:
    path.write_text("no folder")
    refuses(open_store(f"onefile:{path}/state.db"), AccessDeniedError)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessDeniedError, match=r"is its folder there.*/no/state\.db"):
        open_store(f"onefile:{tmp_path}/no/state.db").put("notes/plan.md", b"x")


def test_a_damaged_database_is_corrupt(store: StateStore, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)
    refuses(store, CorruptDataError)


def test_a_damaged_document_does_not_hide_the_others(store: StateStore, path: Path) -> None:
    store.put("notes/long.md", b"x" * 50_000)
    with path.open("r+b") as file:
        # A page of the document alone begins with the number of the next one.
        file.seek(path.read_bytes().index(b"x" * 4_000) // 4096 * 4096)
        file.write(b"\xff" * 4)
    with pytest.raises(CorruptDataError):
        store.get("notes/long.md")
    found = dict(get_many(store, ["notes/long.md", "notes/plan.md"]))
    assert found["notes/plan.md"] == store.get("notes/plan.md")
    error = found["notes/long.md"]
    assert isinstance(error, CorruptDataError)
    assert (error.key, error.store) == ("notes/long.md", f"onefile:{path}")


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_text("Dear diary, today I met a database." * 100)
    refuses(open_store(f"onefile:{path}"), CorruptDataError)
    assert path.read_text().startswith("Dear diary")


def test_a_table_of_somebody_else_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE statekeep (state TEXT)")
    refuses(open_store(f"onefile:{path}"), CorruptDataError)


def test_other_tables_of_the_database_do_not_matter(path: Path) -> None:
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE documents (id INTEGER)")
    with open_store(f"onefile:{path}") as store:
        store.put("notes/plan.md", b"x")
        assert [entry.key for entry in store.scan()] == ["notes/plan.md"]


def test_what_is_larger_than_sqlite_holds_is_refused(store: StateStore) -> None:
    with pytest.raises(InvalidDocumentError, match="500,000,000"):
        store.put("notes/plan.md", bytes(500_000_001))


def test_a_prefix_is_no_pattern(store: StateStore) -> None:
    for key in ("a_/1.md", "ab/2.md", "a%/3.md", "A_/4.md", "a_0.md"):
        store.put(key, b"x")
    assert [entry.key for entry in store.scan("a_")] == ["a_/1.md"]
    assert [entry.key for entry in store.scan("a%")] == ["a%/3.md"]


def test_a_prefix_is_looked_up_in_the_index(
    store: StateStore, path: Path, statements: list[str]
) -> None:
    list(store.scan("notes"))
    with closing(sqlite3.connect(path)) as db:
        ((*_, plan),) = db.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")
    assert plan.startswith("SEARCH statekeep USING INDEX")


def test_what_was_acknowledged_is_on_the_disk(store: StateStore, statements: list[str]) -> None:
    store.put("notes/plan.md", b"y")
    begun = statements.index("BEGIN IMMEDIATE")
    assert "PRAGMA synchronous = EXTRA" in statements[:begun]
    assert statements[-1] == "COMMIT"


def test_many_are_read_in_batches(store: StateStore) -> None:
    keys = [f"a/{n}.md" for n in range(250)]
    there = keys[::99]
    for key in there:
        store.put(key, key.encode())
    found = dict(get_many(store, keys))
    assert list(found) == keys
    assert {key: blob for key, blob in found.items() if blob} == {
        key: store.get(key) for key in there
    }


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_is_forked_while_a_thread_writes_can_write_too(path: Path) -> None:
    store = open_store(f"onefile:{path}")
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.001):
            store.put("forks/parent.md", b"x")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(30)  # rather than wait for ever
                try:
                    store.put("forks/child.md", b"x")
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
        thread.join()
