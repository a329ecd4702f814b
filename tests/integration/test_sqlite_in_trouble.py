"""A SQLite file that is locked, full, carried over a fork, or left by writers that are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import prepared
from workload import put_until_killed

from statekeep import (
    ClosedError,
    UnavailableError,
)
from statekeep_backends.sqlite import SqliteStore
from statekeep_backends.sqlite.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(path, busy_timeout=0.1) as store:
        store.put("a.md", b"old")
        yield store


def content(store: SqliteStore, key: str = "a.md") -> bytes | None:
    blob = store.get(key)
    return blob.data if blob else None


def anomalies(store: SqliteStore) -> list[str]:
    return [each.reason for each in store.inspect(older_than=timedelta(0))]


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db


class TestWhatIsLocked:
    def test_is_read_and_not_written(self, store: SqliteStore, path: Path) -> None:
        with locked(path):
            for write in (
                lambda: store.put("a.md", b"new"),
                lambda: store.delete("a.md"),
                lambda: store.delete_many(["a.md"]),
            ):
                with pytest.raises(UnavailableError, match="busy_timeout") as caught:
                    write()
                assert caught.value.landed == "no"
            assert content(store) == b"old"
            assert [each.key for each in store.scan()] == ["a.md"]
        store.put("a.md", b"new")
        assert content(store) == b"new"

    def test_is_written_when_the_lock_goes(self, store: SqliteStore, path: Path) -> None:
        with locked(path) as db, SqliteStore(path, busy_timeout=60) as patient:
            timer = threading.Timer(0.2, lambda: db.execute("ROLLBACK"))
            timer.start()
            patient.put("a.md", b"new")
            timer.join()
        assert content(store) == b"new"

    def test_by_a_thread_of_this_process_is_so_no_longer_than_that(
        self, store: SqliteStore
    ) -> None:
        with store._connections._writing, pytest.raises(UnavailableError) as caught:
            store.put("a.md", b"new")
        assert caught.value.landed == "no"


def test_who_reads_while_another_makes_the_tables_sees_an_empty_file_or_a_whole_one(
    path: Path,
) -> None:
    # Between any two statements of the one, the other makes them.
    connect = Connections._connect
    for step in range(10):
        for each in path.parent.iterdir():
            each.unlink()
        path.touch()
        left = step

        class Slow(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                nonlocal left
                left -= 1
                if left == -1:
                    with SqliteStore(path) as other:
                        other.put("a.md", b"x")
                return super().execute(sql, *args)

        with SqliteStore(path) as store, pytest.MonkeyPatch.context() as patch:
            once = [Slow]
            patch.setattr(
                Connections,
                "_connect",
                lambda self, how, once=once: connect(
                    self, how, once.pop() if once else sqlite3.Connection
                ),
            )
            assert content(store) in {None, b"x"}
            assert content(store) in {b"x", None if left >= 0 else b"x"}


class TestADiskWithoutRoom:
    def test_keeps_what_is_there(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        set_up = Connections._set_up

        def set_up_full(self: Connections, db: sqlite3.Connection) -> sqlite3.Connection:
            set_up(self, db).execute("PRAGMA max_page_count = 20")
            return db

        store._connections.close_idle()
        with monkeypatch.context() as patch:
            patch.setattr(Connections, "_set_up", set_up_full)
            with pytest.raises(UnavailableError, match="free some space") as caught:
                store.put("a.md", bytes(10**6))
            assert caught.value.landed == "no"
            assert content(store) == b"old"
            store.put("b.md", b"small")
        store._connections.close_idle()
        store.put("a.md", bytes(10**6))
        assert content(store) == bytes(10**6)
        assert anomalies(store) == []

    @pytest.mark.parametrize("size", [100, 5000, 10**6])
    def test_or_a_limit_in_the_middle_of_a_write(self, path: Path, size: int) -> None:
        with SqliteStore(path) as store:
            store.put("a.md", b"old")
        code = """
import resource, sys
from pathlib import Path
from statekeep import UnavailableError
from statekeep_backends.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
store.get("a.md")
for bound in range(0, 60_000, 1000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bound, resource.RLIM_INFINITY))
    try:
        store.put("a.md", b"n" * int(sys.argv[2]))
    except UnavailableError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        found = store.get("a.md").data
        assert error.landed == "unknown" or found == b"old", error
        assert len(found) in (3, int(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.put("a.md", b"later")
"""
        ended = subprocess.run(
            [sys.executable, "-c", code, str(path), str(size)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        with SqliteStore(path) as store:
            assert content(store) == b"later"
            assert anomalies(store) == []


class Failing(sqlite3.Connection):
    """Fails to commit, before or after it has."""

    code = sqlite3.SQLITE_IOERR
    has_effect = False

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            super().execute("COMMIT" if self.has_effect else "ROLLBACK")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self.code
            raise error
        return super().execute(sql, *args)


@pytest.mark.parametrize("has_effect", [False, True])
@pytest.mark.parametrize(
    ("code", "landed"),
    [(sqlite3.SQLITE_IOERR, "unknown"), (sqlite3.SQLITE_FULL, "no")],
)
def test_a_commit_that_fails_says_what_may_have_landed(
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    landed: str,
    has_effect: bool,
) -> None:
    if landed == "no" and has_effect:
        return  # no disk is full after that
    monkeypatch.setattr(Failing, "code", code)
    monkeypatch.setattr(Failing, "has_effect", has_effect)
    connect = Connections._connect
    store._connections.close_idle()
    with monkeypatch.context() as patch:
        patch.setattr(Connections, "_connect", lambda self, how: connect(self, how, Failing))
        with pytest.raises(UnavailableError) as caught:
            store.put("a.md", b"new")
    assert caught.value.landed == landed
    assert content(store) == (b"new" if has_effect else b"old")
    store.put("a.md", b"next")


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len([*folder.iterdir()]) if folder.exists() else 0


class TestThreads:
    def test_may_be_many_and_leave_nothing_open(self, path: Path) -> None:
        before = open_files()
        barrier = threading.Barrier(32)
        failed: list[BaseException] = []
        store = SqliteStore(path, durability="normal", busy_timeout=60)

        def work(n: int) -> None:
            try:
                barrier.wait()
                for turn in range(5):
                    store.put(f"{n}.md", str(turn).encode())
                    assert content(store, f"{n}.md") == str(turn).encode()
            except BaseException as error:  # noqa: BLE001 - it is raised below
                failed.append(error)

        with store:
            threads = [threading.Thread(target=work, args=(n,)) for n in range(32)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert not failed
            assert len(store._connections._idle) <= 16
            assert len([*store.scan()]) == 32
        assert open_files() <= before

    def test_that_are_in_a_call_end_it_when_the_store_is_closed(self, path: Path) -> None:
        store = SqliteStore(path)
        store.put("a.md", b"x")
        inside, closed = threading.Event(), threading.Event()
        found: list[Any] = []

        def work(db: sqlite3.Connection) -> None:
            inside.set()
            assert closed.wait(20)
            found.extend(db.execute("SELECT key FROM documents"))

        thread = threading.Thread(target=store._connections.read, args=(work,))
        thread.start()
        assert inside.wait(20)
        store.close()
        closed.set()
        thread.join()
        assert found == [("a.md",)]
        assert store._connections._idle == []
        with pytest.raises(ClosedError):
            store.get("a.md")

    def test_that_find_it_closed_meanwhile_have_written_nothing(self, path: Path) -> None:
        with SqliteStore(path) as store:
            store.put("a.md", b"x")
            store._connections.close()
            with pytest.raises(ClosedError) as caught:
                store.put("a.md", b"y")
            assert caught.value.landed == "no"
            with pytest.raises(ClosedError) as caught:
                store.get("a.md")
            assert caught.value.landed is None


def _add(store: SqliteStore, name: str) -> None:
    for n in range(10):
        store.put(f"{name}-{n}.md", b"x")


@forks
@pytest.mark.timeout(60)
@pytest.mark.parametrize("forkers", [1, 3])
def test_a_store_goes_on_in_parent_and_child_after_a_fork(path: Path, forkers: int) -> None:
    done = threading.Event()
    failed: list[BaseException] = []

    def write(store: SqliteStore) -> None:
        try:
            while not done.is_set():
                store.put("busy.md", b"x")
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failed.append(error)

    def fork(store: SqliteStore, me: int) -> None:
        try:
            for n in range(3):
                # Not by multiprocessing, in which each start looks after all children.
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        _add(store, f"child-{me}-{n}")
                        status = 0
                    finally:
                        os._exit(status)
                _add(store, f"parent-{me}-{n}")
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failed.append(error)

    with SqliteStore(path, durability="normal", busy_timeout=40) as store:
        store.put("busy.md", b"x")
        threads = [threading.Thread(target=fork, args=(store, n)) for n in range(forkers)]
        writer = threading.Thread(target=write, args=(store,))
        for each in (writer, *threads):
            each.start()
        for each in threads:
            each.join()
        done.set()
        writer.join()
        assert failed == []
        assert len([*store.scan()]) == 1 + 60 * forkers
        assert anomalies(store) == []


@forks
@pytest.mark.timeout(60)
def test_eight_forked_processes_write_at_once(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with SqliteStore(path, durability="normal", busy_timeout=40) as store:
        store.put("a.md", b"x")
        children = [context.Process(target=_add, args=(store, str(n))) for n in range(8)]
        for each in children:
            each.start()
        _add(store, "parent")
        for each in children:
            each.join(40)
        assert [each.exitcode for each in children] == [0] * 8
        assert len([*store.scan()]) == 91


@pytest.mark.rest
def test_what_was_acknowledged_outlives_its_writers(
    path: Path, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    notes = tmp_path / "notes"
    context = prepared()
    for _ in range(rounds(200)):
        notes.write_bytes(b"")
        writers = [
            context.Process(target=put_until_killed, args=(str(path), str(notes), worker))
            for worker in range(2)
        ]
        for each in writers:
            each.start()
        size = random.randrange(1000)
        while notes.stat().st_size <= size:
            assert all(each.is_alive() for each in writers)
        for each in writers:
            each.kill()
        for each in writers:
            each.join()
            assert each.exitcode == -signal.SIGKILL
        assert path.with_name("state.db-wal").exists()
        last: dict[str, int] = {}
        for worker, n in map(json.loads, notes.read_text().splitlines()):
            last[f"{worker}/{n % 50}.md"] = n
        with SqliteStore(path) as store:
            for key, n in last.items():
                data = content(store, key)
                assert data is not None
                assert int(data.split()[0]) in {n, n + 50}, key
                assert len(set(data.split())) == 1
            assert anomalies(store) == []
            store.put("after.md", b"x")
