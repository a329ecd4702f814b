"""The file of the SQLite backend: where it lies, and whose it is."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    StateStoreError,
    UnsupportedError,
    open_store,
)
from statekeep.store import Filter
from statekeep_backends.sqlite import SqliteStore, filesystems
from statekeep_backends.sqlite.schema import APPLICATION_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(path, busy_timeout=0.1) as store:
        yield store


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestTheURL:
    def test_names_a_file_in_the_working_folder(self, empty_folder: Path) -> None:
        with open_store("sqlite:state.db") as store:
            store.put("a.md", b"x")
        assert [each.name for each in empty_folder.iterdir()] == ["state.db"]

    def test_is_of_the_folder_in_which_it_was_opened(
        self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with SqliteStore(Path("state.db")) as store:
            (empty_folder / "elsewhere").mkdir()
            monkeypatch.chdir("elsewhere")
            store.put("a.md", b"x")
        assert (empty_folder / "state.db").exists()

    @pytest.mark.parametrize("name", ["state.db", "50%41 #1?.db", "ä ö.db"])
    def test_or_an_absolute_path(self, tmp_path: Path, name: str) -> None:
        from urllib.parse import quote

        with open_store(f"sqlite://{quote(str(tmp_path / name))}") as store:
            store.put("a.md", b"x")
        assert [each.name for each in tmp_path.iterdir()] == [name]

    @pytest.mark.skipif(sys.platform == "darwin", reason="file names are always UTF-8 there")
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_a_path_may_be_any_that_the_machine_has(self, tmp_path: Path, slash: str) -> None:
        path = Path(f"{slash}{tmp_path}") / os.fsdecode(b"\xff.db")
        with SqliteStore(path) as store:
            store.put("a.md", b"x")
        assert [os.fsencode(each.name) for each in tmp_path.iterdir()] == [b"\xff.db"]

    def test_of_memory_is_another_one(self) -> None:
        with pytest.raises(ConfigError, match="write memory:"):
            open_store("sqlite::memory:")

    def test_of_another_machine_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"a file is on this machine.*sqlite:path for a rel"):
            open_store("sqlite://state.db")

    def test_without_a_file_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="names no path"):
            open_store("sqlite:")

    @pytest.mark.parametrize(
        "option",
        ["durability=none", "busy_timeout=-1", "busy_timeout=inf", "journal=wal"],
    )
    def test_takes_no_other_options(self, path: Path, option: str) -> None:
        with pytest.raises(ConfigError, match=option.partition("=")[0]):
            open_store(f"sqlite:{path}?{option}")

    @pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
    def test_says_what_a_commit_waits_for(
        self, path: Path, durability: str, synchronous: int
    ) -> None:
        with open_store(f"sqlite:{path}?durability={durability}&busy_timeout=1.5") as store:
            assert isinstance(store, SqliteStore)
            store.put("a.md", b"x")
            found = store._connections.read(lambda db: db.execute("PRAGMA synchronous").fetchone())
        assert found == (synchronous,)

    def test_full_is_the_default(self, store: SqliteStore) -> None:
        store.put("a.md", b"x")
        found = store._connections.read(lambda db: db.execute("PRAGMA synchronous").fetchone())
        assert found == (2,)


class TestTheFile:
    def test_is_not_made_by_what_reads_or_deletes(self, tmp_path: Path) -> None:
        with SqliteStore(tmp_path / "a/b/state.db") as store:
            assert store.get("a.md") is None
            assert list(store.get_many(["a.md"])) == [("a.md", None)]
            assert list(store.scan()) == []
            store.delete("a.md")
            store.delete_many(["a.md"])
            store.set_records([("a.md", "1", {"v": 1})])  # type: ignore[list-item]
            store.vacuum()
            assert store.count("sessions", Filter(), known=1) == 0
        assert not list(tmp_path.iterdir())

    def test_is_its_owners_and_so_is_all_around_it(self, tmp_path: Path) -> None:
        path = tmp_path / "a/b/state.db"
        with SqliteStore(path) as store:
            store.put("a.md", b"x")
            assert [mode_of(each) for each in (path.parent, path.parents[1])] == [0o700] * 2
            assert {each.name: mode_of(each) for each in path.parent.iterdir()} == {
                "state.db": 0o600,
                "state.db-wal": 0o600,
                "state.db-shm": 0o600,
            }

    def test_may_be_there_and_empty(self, store: SqliteStore, path: Path) -> None:
        path.touch()
        assert store.get("a.md") is None
        store.put("a.md", b"x")
        assert [each.key for each in store.scan()] == ["a.md"]

    @pytest.mark.parametrize("replaced", [False, True])
    def test_that_is_deleted_or_replaced_gets_nothing_any_more(
        self, store: SqliteStore, path: Path, tmp_path: Path, *, replaced: bool
    ) -> None:
        store.put("old.md", b"x")
        old = tmp_path / "moved"
        old.mkdir()
        with SqliteStore(tmp_path / "other.db") as other:
            other.put("other.md", b"x")
        for each in tmp_path.glob("state.db*"):
            each.rename(old / each.name)
        if replaced:
            (tmp_path / "other.db").rename(path)
        assert (store.get("other.md") is not None) == replaced
        store.put("new.md", b"x")
        assert store.get("old.md") is None
        expected = ["new.md", "other.md"] if replaced else ["new.md"]
        assert [each.key for each in store.scan()] == expected
        store.close()
        with SqliteStore(path) as again:
            assert [each.key for each in again.scan()] == expected
        with SqliteStore(old / "state.db") as moved:
            assert [each.key for each in moved.scan()] == ["old.md"]

    def test_that_is_deleted_while_somebody_reads_gets_nothing_either(
        self, store: SqliteStore, tmp_path: Path
    ) -> None:
        store.put("old.md", b"x")

        def replace(_: sqlite3.Connection) -> None:
            for each in tmp_path.glob("state.db*"):
                each.unlink()
            store.put("new.md", b"x")

        store._connections.read(replace)
        store.put("next.md", b"x")
        assert [each.key for each in store.scan()] == ["new.md", "next.md"]
        with SqliteStore(store._path) as again:
            assert [each.key for each in again.scan()] == ["new.md", "next.md"]


def _make_foreign(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


FOREIGN: dict[str, tuple[Callable[[Path], object], type[StateStoreError], str]] = {
    "tables": (
        lambda path: _make_foreign(path, "CREATE TABLE t (x)"),
        CorruptDataError,
        "another program",
    ),
    "application": (
        lambda path: _make_foreign(path, "PRAGMA application_id = 7"),
        CorruptDataError,
        "another program",
    ),
    "version": (
        lambda path: _make_foreign(path, "PRAGMA user_version = 1"),
        CorruptDataError,
        "another program",
    ),
    "newer": (
        lambda path: _make_foreign(
            path, f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 2"
        ),
        UnsupportedError,
        "upgrade statekeep",
    ),
    "text": (lambda path: path.write_text("x" * 5000), CorruptDataError, "not a SQLite database"),
    "short text": (
        lambda path: path.write_text("short"),
        CorruptDataError,
        "not a SQLite database",
    ),
    "folder": (lambda path: path.mkdir(), CorruptDataError, "it is not a file"),
    "fifo": (os.mkfifo, CorruptDataError, "it is not a file"),
}
CALLS: dict[str, Callable[[SqliteStore], object]] = {
    "get": lambda store: store.get("a.md"),
    "get_many": lambda store: [*store.get_many(["a.md"])],
    "scan": lambda store: [*store.scan()],
    "query": lambda store: store.query("sessions", Filter(), known=1),
    "vacuum": lambda store: store.vacuum(),
    "put": lambda store: store.put("a.md", b"x"),
    "delete": lambda store: store.delete("a.md"),
    "delete_many": lambda store: store.delete_many(["a.md"]),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_ours_is_refused_and_left_alone(
    store: SqliteStore, path: Path, what: str, call: str
) -> None:
    make, kind, message = FOREIGN[what]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(kind, match=message) as caught:
        CALLS[call](store)
    assert caught.value.store == str(store)
    writes = call in {"put", "delete", "delete_many"}
    assert caught.value.landed == ("no" if writes else None)
    store.close()
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [each.name for each in path.parent.iterdir()] == ["state.db"]


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(UnsupportedError, match=r"3\.37 is needed"):
        SqliteStore(path)


READING = """
import os, sys
from pathlib import Path
from statekeep import AccessDeniedError
from statekeep_backends.sqlite import SqliteStore  # now: nobody may read the interpreter
if os.geteuid() == 0:
    os.setuid(65534)
store = SqliteStore(Path(sys.argv[1]))
for _ in range(2):
    assert [each.key for each in store.scan()] == ["a.md"]
    for line in [*sys.stdin.readline().splitlines()]:
        assert store.get("a.md").data == line.encode(), store.get("a.md").data
    print(flush=True)
    for write in (lambda: store.put("b.md", b""), lambda: store.delete("a.md")):
        try:
            write()
        except AccessDeniedError as error:
            assert error.landed == "no"
        else:
            raise AssertionError
"""


def test_who_may_not_create_the_file_is_told_what_to_check(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with SqliteStore(path) as store:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(
            AccessDeniedError, match=r"denied; check that .* this user can"
        ) as caught:
            store.put("a.md", b"1")
        monkeypatch.undo()
        assert caught.value.landed == "no"


def test_who_may_only_read_sees_what_others_write(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    path = folder / "state.db"
    with SqliteStore(path) as store:
        store.put("a.md", b"1")
    for each in (tmp_path, *tmp_path.parents):
        if each.owner() == tmp_path.owner() and each.name.startswith(
            ("pytest-", "popen-", "test_")
        ):
            each.chmod(0o755)
    path.chmod(0o444)
    folder.chmod(0o555)
    (tmp_path / "link").symlink_to(path)
    try:
        with subprocess.Popen(
            [sys.executable, "-c", READING, str(tmp_path / "link")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as reader:
            assert reader.stdin
            assert reader.stdout
            reader.stdin.write("1\n")
            reader.stdin.flush()
            reader.stdout.readline()
            folder.chmod(0o755)
            path.chmod(0o644)
            with SqliteStore(path) as store:
                store.put("a.md", b"2")
                folder.chmod(0o555)
                _, errors = reader.communicate("2\n")
            assert reader.returncode == 0, errors
    finally:
        folder.chmod(0o755)


MOUNTS = "25 1 0:77 / /data rw,relatime shared:1 - {} source rw"


@pytest.mark.parametrize("kind", ["nfs4", "nfs", "cifs", "fuse.sshfs", "ceph"])
def test_a_filesystem_that_machines_share_is_refused(
    kind: str, store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        filesystems,
        "kind_of",
        lambda _: filesystems._find(os.makedev(0, 77), [MOUNTS.format(kind)]),
    )
    with pytest.raises(UnsupportedError, match=f"on {kind}.*local disk") as caught:
        store.put("a.md", b"x")
    assert caught.value.landed == "no"
    assert not path.exists()
    path.touch()
    with pytest.raises(UnsupportedError, match="local disk"):
        store.get("a.md")


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "xfs", "fuse.ntfs-3g", "new"])
def test_any_other_is_taken(kind: str, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        filesystems,
        "kind_of",
        lambda _: filesystems._find(os.makedev(0, 77), [MOUNTS.format(kind)]),
    )
    store.put("a.md", b"x")
    assert filesystems._find(os.makedev(0, 78), [MOUNTS.format(kind)]) is None
