"""What the folder of the local-disk backend withstands."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from array import array
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import pytest
from support import tree

from statekeep import (
    ABSENT,
    ANY,
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    Documents,
    InvalidKeyError,
    NotFoundError,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
    load_pruner,
    open_store,
)
from statekeep.retention import Victim
from statekeep.store import Capabilities, Entry, Seen, is_key
from statekeep_backends.local import LocalDiskStore, files, listing, locks
from statekeep_backends.local.files import LOCKS, TEMPORARY_SUFFIX
from statekeep_backends.local.locks import STRIPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from statekeep import Summary, Version
    from statekeep.store import Expect


_TICK = 0.012
"""Seconds; more than a step of the clock of any filesystem on which the tests run."""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(base: Path) -> Iterator[StateStore]:
    with open_store(base) as store:
        yield store


class TestTheFolder:
    def test_is_not_touched_before_the_first_write(self, store: StateStore, base: Path) -> None:
        store.get("a/b.json")
        list(store.scan())
        store.delete("a/b.json")
        assert Sessions(store).list().summaries == ()
        assert not base.exists()

    def test_holds_plain_files_under_their_keys(self, store: StateStore, base: Path) -> None:
        Documents(store).save_markdown("specs/v1", "plan", "# Plan\n")
        Sessions(store).save(Session.new("ada", "s"))
        assert sorted(tree(base)) == ["sessions/s.json", "specs/v1/plan.md"]
        assert (base / "specs/v1/plan.md").read_text() == "# Plan\n"

    def test_stays_where_it_was_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with open_store("here") as store:
            (tmp_path / "elsewhere").mkdir()
            monkeypatch.chdir(tmp_path / "elsewhere")
            store.put("a.md", b"")
        assert (tmp_path / "here" / "a.md").exists()

    def test_may_be_a_link_itself(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        with open_store(tmp_path / "link") as store:
            store.put("a/b.md", b"x")
            assert [entry.key for entry in store.scan()] == ["a/b.md"]
        assert (tmp_path / "real/a/b.md").exists()

    def test_is_not_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match=r"not a folder.*write sqlite:PATH"):
            open_store(tmp_path / "file")

    def test_is_not_in_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match=r"file is not a folder, so no store can be in it"):
            open_store(tmp_path / "file" / "state")

    def test_is_not_a_link_into_a_folder_that_is_closed_to_us(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "closed" / "state")
        stat = os.stat

        def refuse(path: Any, **given: Any) -> os.stat_result:
            if os.fspath(path) == str(link) and given.get("follow_symlinks", True):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return stat(path, **given)

        monkeypatch.setattr(os, "stat", refuse)  # root, who may run this, is refused nothing
        with pytest.raises(ConfigError, match="not a folder"):
            open_store(link)
        open_store(link / "below").close()  # its calls say what is wrong

    @pytest.mark.skipif(sys.platform == "darwin", reason="file names are always UTF-8 there")
    def test_is_refused_where_others_would_read_other_names(self, base: Path) -> None:
        code = f"import statekeep; statekeep.open_store({str(base)!r})"
        plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | plain,
            capture_output=True,
            check=False,
            text=True,
        )
        assert "ConfigError: file names are ascii here" in ended.stderr
        assert "PYTHONUTF8=1" in ended.stderr

    def test_may_be_empty_of_everything_but_a_name(self, store: StateStore, base: Path) -> None:
        base.mkdir()
        assert list(store.scan()) == []


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


OBSTACLES: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(),
    "fifo": os.mkfifo,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link out": lambda path: path.symlink_to(path.parents[2] / "outside.json"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "socket": _make_socket,
}


@pytest.mark.timeout(20)
class TestWhatIsNoDocument:
    @pytest.fixture(params=OBSTACLES)
    def obstacle(self, request: pytest.FixtureRequest, base: Path, tmp_path: Path) -> Path:
        (tmp_path / "outside.json").write_text("outside")
        path = base / "sessions" / "x.json"
        path.parent.mkdir(parents=True)
        OBSTACLES[request.param](path)
        return path

    def test_is_neither_listed_nor_read_nor_waited_for(
        self, store: StateStore, obstacle: Path
    ) -> None:
        assert os.path.lexists(obstacle)
        assert list(store.scan()) == []
        assert store.get("sessions/x.json") is None
        assert Sessions(store).list().summaries == ()
        assert Sessions(store).load("x") is None

    @pytest.mark.parametrize("expect", [ANY, ABSENT, "0" * 64])
    def test_is_neither_replaced_nor_followed(
        self, store: StateStore, obstacle: Path, expect: Any, tmp_path: Path
    ) -> None:
        kind = os.lstat(obstacle).st_mode
        with pytest.raises((CorruptDataError, ConflictError)) as refused:
            store.put("sessions/x.json", b"new", expect=expect)
        assert refused.value.landed == "no"
        if expect != "0" * 64:
            with pytest.raises(CorruptDataError, match="in the way"):
                store.put("sessions/x.json", b"new", expect=expect)
        store.delete("sessions/x.json")
        assert os.lstat(obstacle).st_mode == kind
        assert (tmp_path / "outside.json").read_text() == "outside"
        assert [path.name for path in obstacle.parent.iterdir()] == ["x.json"]

    def test_makes_an_error_and_no_endless_loop(self, store: StateStore, obstacle: Path) -> None:
        assert os.path.lexists(obstacle)
        with pytest.raises(CorruptDataError):
            Sessions(store).get_or_create("ada", "x")

    def test_a_category_that_is_a_link_is_not_followed(
        self, store: StateStore, base: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        (outside / "deep").mkdir(parents=True)
        (outside / "secret.json").write_text('"secret"')
        (outside / "deep" / "secret.json").write_text('"secret"')
        base.mkdir()
        (base / "specs").symlink_to(outside)
        (base / "loop").symlink_to(base)
        documents = Documents(store)
        for category in ("specs", "specs/deep", "loop/specs"):
            assert documents.load_json(category, "secret") is None
            assert documents.list(category) == ()
            assert documents.delete(category, "secret") is False
            with pytest.raises(CorruptDataError, match="in the way"):
                documents.save_json(category, "secret", 1)
            with pytest.raises(CorruptDataError, match="in the way"):
                documents.save_json(category, "new", 1, expect=ABSENT)
        assert list(store.scan()) == []
        assert (outside / "secret.json").read_text() == '"secret"'
        assert sorted(path.name for path in outside.iterdir()) == ["deep", "secret.json"]

    def test_locks_that_lead_elsewhere_are_not_followed(
        self, store: StateStore, base: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").mkdir()
        base.mkdir()
        (tmp_path / "outside" / "locks").mkdir()
        (base / ".statekeep").symlink_to(tmp_path / "outside")
        with pytest.raises(CorruptDataError):
            store.put("a.md", b"x")
        assert list((tmp_path / "outside" / "locks").iterdir()) == []

    def test_a_file_where_a_category_should_be(self, store: StateStore, base: Path) -> None:
        base.mkdir()
        (base / "specs").write_text("a file")
        documents = Documents(store)
        assert documents.load_json("specs/v1", "plan") is None
        assert documents.list("specs") == ()
        with pytest.raises(CorruptDataError):
            documents.save_json("specs/v1", "plan", 1)
        assert (base / "specs").read_text() == "a file"

    def test_a_name_that_is_no_text_is_not_listed_but_logged(
        self, store: StateStore, base: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (base / "notes").mkdir(parents=True)
        os.close(os.open(os.fsencode(base) + b"/notes/\xff.md", os.O_CREAT))
        store.put("notes/good.md", b"")
        assert [entry.key for entry in store.scan()] == ["notes/good.md"]
        assert "not a legal key" in caplog.text

    def test_folders_nested_deeper_than_python_recurses(
        self, store: StateStore, base: Path
    ) -> None:
        key = "/".join("d" * 1200) + "/x.md"
        store.put(key, b"x")
        assert [entry.key for entry in store.scan()] == [key]
        subprocess.run(["rm", "-rf", str(base)], check=True)


class TestTemporaryFiles:
    def test_are_never_listed_or_addressed(self, store: StateStore, base: Path) -> None:
        (base / "a").mkdir(parents=True)
        for name in (".statekeep-0123456789abcdef.tmp", "x.json.1.u.tmp"):
            (base / "a" / name).write_text("half")
            with pytest.raises(InvalidKeyError):
                store.get(f"a/{name}")
        assert list(store.scan()) == []

    def test_fit_wherever_their_document_fits(self, store: StateStore) -> None:
        documents = Documents(store)
        for length in (200, 208, 250, 252):
            documents.save_markdown("a", "x" * length, "text")
            documents.save_markdown("a", "x" * length, "again")
        assert len(documents.list("a")) == 4

    def test_none_is_left_after_writes(self, store: StateStore, base: Path) -> None:
        version = store.put("a/b.md", b"1", expect=ABSENT)
        store.put("a/b.md", b"2", expect=version)
        store.put("a/b.md", b"3")
        for expect in (ABSENT, version):
            with pytest.raises(ConflictError) as refused:
                store.put("a/b.md", b"4", expect=expect)
            assert refused.value.landed == "no"
        assert list(tree(base)) == ["a/b.md"]

    def test_old_ones_are_removed_by_the_next_prune_and_nothing_else(
        self, store: StateStore, base: Path
    ) -> None:
        ours = ".statekeep-0123456789abcdef.tmp"
        theirs = "x.4711.0f8fad5b-d9cb-469f-a165-70867728950e.tmp"
        kept = ["x.tmp", ".statekeep-short.tmp", "x.json.bak", "notes.4711.tmp", "fresh/" + ours]
        two_hours_ago = time.time() - 7200
        for name in (ours, theirs, *kept):
            path = base / "a" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
            if "fresh" not in name:
                os.utime(path, (two_hours_ago, two_hours_ago))
        list(store.scan())
        Sessions(store).list()
        assert len(tree(base)) == 7  # readers remove nothing
        report = Sessions(store).prune(load_pruner("ttl"))
        assert report.swept == 2
        assert sorted(tree(base)) == sorted(f"a/{name}" for name in kept)


FAULTS = ["open", "write", "fsync", "replace"]


class TestFailedWrites:
    @pytest.mark.parametrize("call", FAULTS)
    @pytest.mark.parametrize(
        ("number", "error"),
        [
            (errno.ENOSPC, UnavailableError),
            (errno.EDQUOT, UnavailableError),
            (errno.EIO, UnavailableError),
            (errno.EMFILE, UnavailableError),
            (errno.EROFS, AccessDeniedError),
            (errno.EACCES, AccessDeniedError),
            (errno.ENAMETOOLONG, InvalidKeyError),
        ],
    )
    def test_leave_the_old_content_and_nothing_else(
        self,
        store: StateStore,
        base: Path,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
        number: int,
        error: type[StateStoreError],
    ) -> None:
        version = store.put("a/old.md", b"old")
        before = sorted(path for path in base.rglob("*") if "locks" not in str(path))
        original: Callable[..., Any] = getattr(os, call)

        def fail(*args: Any, **kwargs: Any) -> Any:
            if call == "open" and not args[1] & os.O_EXCL:
                return original(*args, **kwargs)
            raise OSError(number, os.strerror(number))

        attempts: list[tuple[str, Expect]] = [
            ("a/old.md", ANY),
            ("a/old.md", version),
            ("a/new.md", ABSENT),
            ("new/deep/er/new.md", ABSENT),
            ("new/deep/er/new.md", ANY),
        ]
        for key, expect in attempts:
            if call == "replace" and expect is ABSENT:
                continue
            # That a flush has no rights is not the disk's trouble: it is none there.
            refuses = call == "fsync" and number in {errno.EACCES, errno.ENAMETOOLONG}
            with monkeypatch.context() as patch:
                patch.setattr(os, call, fail)
                with pytest.raises(UnsupportedError if refuses else error) as caught:
                    store.put(key, b"new" * 1000, expect=expect)
            assert caught.value.key == key
            assert caught.value.store == str(base)
            assert isinstance(caught.value.__cause__, OSError)
            # Of an I/O error of the rename itself nobody knows.
            doubtful = call == "replace" and number == errno.EIO
            assert caught.value.landed == ("unknown" if doubtful else "no")
            after = sorted(path for path in base.rglob("*") if "locks" not in str(path))
            assert after == before
            assert tree(base) == {"a/old.md": b"old"}

    def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_content(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a.md", b"old")
        write = os.write
        written: list[int] = []

        def fill(descriptor: int, data: bytes) -> int:
            if written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written.append(write(descriptor, bytes(data)[:10]))
            return written[0]

        monkeypatch.setattr(os, "write", fill)
        with pytest.raises(UnavailableError, match="free some space"):
            store.put("a.md", b"new" * 1000)
        assert tree(base) == {"a.md": b"old"}

    def test_a_read_only_folder_can_be_read(self, base: Path) -> None:
        with open_store(base, mode="0644") as store:
            Sessions(store).save(Session.new("ada", "s"))
        script = """
import os, sys
from statekeep import AccessDeniedError, Session, Sessions
from statekeep_backends.local import LocalDiskStore  # now: nobody may read the interpreter
for path, mode in ((sys.argv[1], 0o555), (sys.argv[1] + "/sessions", 0o555)):
    os.chmod(path, mode)
if os.geteuid() == 0:
    os.setuid(65534)
store = LocalDiskStore(sys.argv[1])
sessions = Sessions(store)
assert [each.id for each in sessions.list()] == ["s"]
session = sessions.load("s")
for write in (
    lambda: sessions.save(session),
    lambda: sessions.save(Session.new("ada", "new")),
    lambda: sessions.delete("s"),
    lambda: store.put("new/deep.md", b""),
):
    try:
        write()
    except AccessDeniedError as error:
        assert error.key
    else:
        raise AssertionError
"""
        for folder in (base, *base.parents):
            if folder.owner() == base.owner() and folder.name.startswith(
                ("pytest-", "popen-", "test_")
            ):
                folder.chmod(0o755)
        ended = subprocess.run(
            [sys.executable, "-c", script, str(base)], capture_output=True, text=True, check=False
        )
        for folder in (base, base / "sessions"):
            folder.chmod(0o755)
        assert ended.returncode == 0, ended.stderr
        assert list(tree(base)) == ["sessions/s.json"]


class TestDurability:
    def test_fsync_reaches_the_file_before_its_name_and_then_the_folders(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_store(base) as earlier:
            earlier.put("x/y.md", b"makes the locks")
        steps = _record_steps(monkeypatch)
        store.put("a/b/c.md", b"x", expect=ABSENT)
        folders = {str(base), str(base / "a"), str(base / "a/b"), str(base.parent)}
        assert [step for step in steps if step in {"fsync file", "link"}] == ["fsync file", "link"]
        assert {f"fsync {folder}" for folder in folders} <= {*steps}
        assert steps[-1] == f"fsync {base / 'a/b'}"
        steps.clear()
        store.put("a/b/c.md", b"y")
        assert steps == ["fsync file", "replace", f"fsync {base / 'a/b'}"]
        steps.clear()
        store.delete("a/b/c.md")
        assert steps == [f"fsync {base / 'a/b'}"]

    def test_rename_syncs_nothing(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        steps = _record_steps(monkeypatch)
        with open_store(base, durability="rename") as store:
            store.put("a.md", b"x", expect=ABSENT)
            store.put("a.md", b"y")
            store.delete("a.md")
        assert steps == ["link", "replace"]


def _path_of(folder: int) -> str:
    return os.readlink(f"/proc/self/fd/{folder}")


def _record_steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    steps: list[str] = []
    fsync, replace, link = os.fsync, os.replace, os.link

    def record_fsync(descriptor: int) -> None:
        target = _path_of(descriptor)
        steps.append("fsync file" if target.endswith(".tmp") else f"fsync {target}")
        fsync(descriptor)

    def record(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def recorded(old: str, new: str, **folders: int) -> None:
            steps.append(name)
            call(old, new, **folders)

        return recorded

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record("replace", replace))
    monkeypatch.setattr(os, "link", record("link", link))
    return steps


class TestLocks:
    def test_are_waited_for_and_not_for_ever(self, base: Path) -> None:
        store = LocalDiskStore(base, lock_timeout=0.2)
        store.put("a.md", b"old")
        with _all_stripes_held(base):
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="another writer") as refused:
                store.put("a.md", b"new")
            assert refused.value.landed == "no"
            with pytest.raises(UnavailableError) as refused:
                store.delete("a.md")
            assert refused.value.landed == "no"
            assert time.monotonic() - started < 5
            blob = store.get("a.md")  # readers do not lock
            assert blob
            assert blob.data == b"old"
            with pytest.raises(UnavailableError) as refused:
                store.put("created.md", b"", expect=ABSENT)
            assert refused.value.landed == "no"
            assert tree(base) == {"a.md": b"old"}
        store.put("a.md", b"new")

    def test_are_shared_by_names_that_differ_in_case_only(self, base: Path) -> None:
        store = LocalDiskStore(base)
        for key in ("A/ß.md", "a/SS.md", "a/ss.md"):
            store.put(key, b"")
        locks = list((base / ".statekeep/locks").iterdir())
        assert len(locks) == 1
        assert int(locks[0].name, 16) < STRIPES

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_are_not_kept_by_a_child_forked_while_one_is_held(self, base: Path) -> None:
        store = LocalDiskStore(base, lock_timeout=5)
        store.put("a.md", b"old")
        held, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            with store._locked("a.md"):
                held.set()
                go_on.wait(10)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(10)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # outlives the lock of its parent
            os._exit(0)
        go_on.set()
        holder.join()
        store.put("a.md", b"new")
        os.write(write, b"x")
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)

    @pytest.mark.parametrize("change", ["moved", "removed", "replaced"])
    def test_left_open_are_not_taken_for_those_that_are_there_now(
        self, base: Path, change: str
    ) -> None:
        store = LocalDiskStore(base, lock_timeout=0.2)
        store.put("a.md", b"old")
        if change == "moved":
            base.rename(base.with_name("moved"))
            shutil.copytree(base.with_name("moved"), base)
        elif change == "removed":
            shutil.rmtree(base / LOCKS)
        else:
            for lock in (base / LOCKS).iterdir():
                lock.unlink()
                lock.touch()
        with _all_stripes_held(base), pytest.raises(UnavailableError, match="another writer"):
            store.put("a.md", b"new")
        store.put("a.md", b"new")
        assert tree(base) == {"a.md": b"new"}

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_left_open_exclude_a_child_forked_meanwhile(self, base: Path) -> None:
        store = LocalDiskStore(base, lock_timeout=0.2)
        store.put("a.md", b"old")
        from_child, to_parent = os.pipe()
        from_parent, to_child = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with store._locked("a.md"):
                    os.write(to_parent, b"x")
                    os.read(from_parent, 1)
            finally:
                os._exit(0)
        os.read(from_child, 1)
        with pytest.raises(UnavailableError, match="another writer"):
            store.put("a.md", b"new")
        os.write(to_child, b"x")
        os.waitpid(child, 0)
        for end in (from_child, to_parent, from_parent, to_child):
            os.close(end)
        store.put("a.md", b"new")

    def test_exclude_threads_of_one_store(self, base: Path) -> None:
        store = LocalDiskStore(base, lock_timeout=0.2)
        store.put("a.md", b"old")
        with store._locked("a.md"), pytest.raises(UnavailableError, match="another writer"):
            store.put("a.md", b"new")

    def test_are_opened_anew_where_a_file_has_another_number_each_time(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        numbers = iter(range(10**6, 2 * 10**6))
        stat = os.stat

        def changing(path: Any, **options: Any) -> os.stat_result:
            status = stat(path, **options)
            return os.stat_result((status[0], next(numbers), *status[2:]))

        store = LocalDiskStore(base)
        monkeypatch.setattr(os, "stat", changing)
        for n in range(5):
            store.put("a.md", b"%d" % n)
        monkeypatch.undo()
        assert tree(base) == {"a.md": b"4"}
        assert len(_open_below(base)) == 1
        store.close()

    def test_few_are_left_open_and_none_by_a_store_that_was_closed(self, base: Path) -> None:
        before = len(_open_below(base))
        for n in range(200):
            LocalDiskStore(base / str(n)).put("a.md", b"")
        assert len(_open_below(base)) - before <= 64
        for n in range(200):
            LocalDiskStore(base / str(n)).close()
        assert len(_open_below(base)) == before


def _open_below(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    found = []
    for descriptor in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers, and no paths
        with suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if path.startswith(str(folder)):
                found.append(path)
    return found


class _all_stripes_held:  # noqa: N801 - used as a function
    def __init__(self, base: Path) -> None:
        self._base = base

    def __enter__(self) -> None:
        folder = self._base / ".statekeep" / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        self._held = [(folder / f"{n:02x}").open("w") for n in range(STRIPES)]
        for each in self._held:
            fcntl.flock(each, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        for each in self._held:
            each.close()


class TestLinksThatFailAtTimes:
    """Two stores on one folder, as two processes have."""

    @pytest.mark.parametrize(
        "number",
        [
            *(errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EDQUOT, errno.ENOSPC, errno.EMFILE),
            *(errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EXDEV, errno.EOPNOTSUPP),
        ],
        ids=errno.errorcode.get,
    )
    def test_of_two_creators_one_wins(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        theirs, ours = LocalDiskStore(base, lock_timeout=10), LocalDiskStore(base)
        link, replace, failed = os.link, os.replace, threading.Event()
        wins: list[bytes] = []
        them = threading.Thread(target=lambda: create(theirs, b"theirs"))

        def create(store: LocalDiskStore, data: bytes) -> None:
            with suppress(ConflictError, UnavailableError):
                store.put("a.md", data, expect=ABSENT)
                wins.append(data)

        def fail_once(*args: Any, **how: Any) -> None:
            if not failed.is_set():
                failed.set()
                raise OSError(number, os.strerror(number))
            link(*args, **how)

        def let_them_go_first(*args: Any, **how: Any) -> None:
            them.start()
            them.join(0.5)  # they create it now, or wait for our lock
            replace(*args, **how)

        monkeypatch.setattr(os, "link", fail_once)
        monkeypatch.setattr(os, "replace", let_them_go_first)
        create(ours, b"ours")
        if not them.ident:
            them.start()
        them.join()
        assert len(wins) == 1
        assert tree(base) == {"a.md": wins[0]}

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT])
    def test_are_tried_again_by_who_asked(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "link", fail)
            with pytest.raises(UnavailableError, match="retry") as refused:
                store.put("a.md", b"1", expect=ABSENT)
        assert refused.value.landed == "no"
        assert tree(base) == {}
        store.put("a.md", b"1", expect=ABSENT)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"path": 5}, TypeError, "path: a path, not int"),
        ({"path": b"x"}, TypeError, "path: a path, not bytes"),
        ({"lock_timeout": "5"}, TypeError, "lock_timeout: a number of seconds, not str"),
        ({"lock_timeout": True}, TypeError, "lock_timeout: a number of seconds, not bool"),
        ({"lock_timeout": -1}, ConfigError, "lock_timeout is a number of seconds, not -1"),
        ({"lock_timeout": float("nan")}, ConfigError, "lock_timeout"),
        ({"max_document_bytes": "5"}, TypeError, "max_document_bytes: an integer, not str"),
        ({"max_document_bytes": 5.0}, TypeError, "max_document_bytes: an integer, not float"),
        ({"max_document_bytes": True}, TypeError, "max_document_bytes: an integer, not bool"),
        ({"max_document_bytes": -1}, ConfigError, "max_document_bytes must be a positive number"),
        ({"max_document_bytes": 0}, ConfigError, "max_document_bytes must be a positive number"),
        ({"durability": []}, ConfigError, "durability"),
        ({"mode": 0o640}, ConfigError, "mode"),
    ],
)
def test_a_wrong_argument_is_named(
    base: Path, arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        LocalDiskStore(**{"path": base, **arguments})


class TestAFilesystemWithoutHardLinks:
    @pytest.fixture(autouse=True)
    def _no_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        monkeypatch.setattr(os, "link", refuse)

    def test_creates_once_all_the_same(self, store: StateStore, base: Path) -> None:
        store.put("a/b.md", b"1", expect=ABSENT)
        with pytest.raises(ConflictError) as refused:
            store.put("a/b.md", b"2", expect=ABSENT)
        assert refused.value.landed == "no"
        assert tree(base) == {"a/b.md": b"1"}

    def test_does_not_replace_what_it_cannot_see(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a.md", b"1")
        lstat = os.lstat

        def fail(path: Any, **folder: int) -> os.stat_result:
            if path == "a.md":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return lstat(path, **folder)

        with monkeypatch.context() as patch:
            patch.setattr(os, "lstat", fail)
            with pytest.raises(UnavailableError):
                store.put("a.md", b"2", expect=ABSENT)
        assert tree(base) == {"a.md": b"1"}

    def test_of_racing_creators_one_wins(self, store: StateStore) -> None:
        gate = threading.Barrier(8)
        wins = []

        def create(n: int) -> None:
            gate.wait()
            try:
                store.put("a.md", b"%d" % n, expect=ABSENT)
            except ConflictError:
                return
            wins.append(n)

        threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wins) == 1

    def test_sees_an_obstacle(self, store: StateStore, base: Path) -> None:
        base.mkdir()
        os.mkfifo(base / "a.md")
        with pytest.raises(CorruptDataError):
            store.put("a.md", b"", expect=ABSENT)


def test_what_is_deleted_while_another_creates_it_is_a_conflict(
    store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a.md", b"1")
    link = os.link

    def delete_afterwards(old: str, new: str, **how: Any) -> None:
        try:
            link(old, new, **how)
        finally:
            (base / "a.md").unlink()

    monkeypatch.setattr(os, "link", delete_afterwards)
    with pytest.raises(ConflictError) as refused:
        store.put("a.md", b"2", expect=ABSENT)
    assert refused.value.landed == "no"


def test_a_folder_removed_by_a_failing_writer_is_made_again(
    store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open
    removed: list[Any] = []

    def remove_first(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_EXCL and len(removed) < 3 and (base / "a").exists():
            (base / "a").rmdir()
            removed.append(path)
        return open_file(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", remove_first)
    store.put("a/b.md", b"x", expect=ABSENT)
    assert len(removed) == 3
    assert tree(base) == {"a/b.md": b"x"}


def test_a_time_that_no_datetime_holds_does_not_hide_a_document(
    store: StateStore, base: Path
) -> None:
    version: Version = store.put("a.md", b"x")
    assert Entry("a.md", 1, 2**40 * 10**9, None).modified is None
    os.utime(base / "a.md", (2**33, 2**33))
    blob = store.get("a.md")
    assert blob
    assert blob.version == version
    assert [entry.key for entry in store.scan()] == ["a.md"]


class TestWhatOthersDo:
    @pytest.mark.parametrize("opens", [False, True])
    def test_a_closed_folder_hides_nothing_else(
        self,
        store: StateStore,
        base: Path,
        opens: bool,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        sessions = Sessions(store)
        sessions.save(Session.new("ada", "s"))
        (base / "sessions" / "lost+found").mkdir()
        scandir = os.scandir

        class Broken:
            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def __iter__(self) -> Self:
                return self

            def __next__(self) -> None:
                raise OSError(errno.EIO, "Input/output error")

        def refuse(path: Any) -> Any:
            if not _path_of(path).endswith("lost+found"):
                return scandir(path)
            if opens:
                return Broken()
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", refuse)
        for _ in range(2):
            assert [summary.id for summary in sessions.list()] == ["s"]
        assert caplog.text.count("lost+found") == 1
        report = sessions.prune(_Everything())
        assert [victim.summary.id for victim in report.pruned] == ["s"]

    def test_a_file_that_may_not_be_read_is_a_problem(
        self, store: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = Sessions(store)
        sessions.save(Session.new("ada", "mine"))
        sessions.save(Session.new("ada", "theirs"))
        open_file = os.open

        def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
            if str(path).endswith("theirs.json"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return open_file(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        listing = sessions.list()
        assert [summary.id for summary in listing] == ["mine"]
        assert [(each.key, each.version) for each in listing.problems] == [
            ("sessions/theirs.json", None)
        ]

    @pytest.mark.parametrize("data", ["text", array("I", [1])])
    def test_what_is_not_bytes_is_refused_before_anything_is_written(
        self, store: StateStore, data: Any
    ) -> None:
        store.put("a.md", b"before")
        with pytest.raises((BufferError, TypeError)):
            store.put("a.md", data)
        blob = store.get("a.md")
        assert blob
        assert blob.data == b"before"

    def test_a_file_may_vanish_while_it_is_listed_or_deleted(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a.md", "b.md"):
            store.put(name, b"x")
        scandir = os.scandir

        def vanish(path: Any) -> Any:
            entries = scandir(path)
            (base / "a.md").unlink(missing_ok=True)
            return entries

        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", vanish)
            assert [entry.key for entry in store.scan()] == ["b.md"]
        unlink = os.unlink

        def vanish_first(path: Any, **folder: int) -> None:
            unlink(path, **folder)
            unlink(path, **folder)

        monkeypatch.setattr(os, "unlink", vanish_first)
        store.delete("b.md")
        assert tree(base) == {}

    def test_a_short_read_is_not_the_end(
        self, store: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a.md", b"0123456789")
        read = os.read
        monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 3)))
        blob = store.get("a.md")
        assert blob
        assert blob.data == b"0123456789"

    def test_locks_made_by_another_user_can_be_taken(self, base: Path) -> None:
        with open_store(base, mode="0644") as store:
            store.put("a.md", b"first")
        for folder in (base, base / ".statekeep", base / ".statekeep" / "locks"):
            folder.chmod(0o777)
        for folder in base.parents:
            if folder.owner() == base.owner() and folder.name.startswith(
                ("pytest-", "popen-", "test_")
            ):
                folder.chmod(0o755)
        script = """
import os, sys
from statekeep_backends.local import LocalDiskStore
if os.geteuid() == 0:
    os.setuid(65534)
LocalDiskStore(sys.argv[1], mode="0644").put("a.md", b"second")
"""
        subprocess.run([sys.executable, "-c", script, str(base)], check=True)
        assert tree(base) == {"a.md": b"second"}

    def test_a_lock_removed_while_it_is_held_excludes_nobody_for_long(self, base: Path) -> None:
        store = LocalDiskStore(base)
        store.put("a.md", b"x")
        (lock,) = (base / ".statekeep" / "locks").iterdir()
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            writer = threading.Thread(target=store.put, args=("a.md", b"y"))
            writer.start()
            time.sleep(0.1)
            lock.unlink()
        writer.join()
        assert lock.exists()
        assert tree(base) == {"a.md": b"y"}

    @pytest.mark.parametrize("obstacle", ["folder", "link out"])
    def test_a_lock_that_is_something_else_is_refused(
        self, store: StateStore, base: Path, obstacle: str, tmp_path: Path
    ) -> None:
        store.put("a.md", b"x")
        (lock,) = (base / ".statekeep" / "locks").iterdir()
        lock.unlink()
        if obstacle == "folder":
            lock.mkdir()
        else:
            lock.symlink_to(tmp_path / "outside")
        with pytest.raises(StateStoreError):
            store.put("a.md", b"y")
        assert not (tmp_path / "outside").exists()
        assert tree(base) == {"a.md": b"x"}

    def test_what_only_looks_like_a_leftover_stays(self, store: StateStore, base: Path) -> None:
        base.mkdir()
        name = ".statekeep-0123456789abcdef.tmp"
        (base / name).symlink_to("nowhere")
        (base / "a").mkdir()
        os.mkfifo(base / "a" / name)
        past = (0, 0)
        os.utime(base / name, past, follow_symlinks=False)
        os.utime(base / "a" / name, past)
        assert isinstance(store, LocalDiskStore)
        assert store.sweep(older_than=timedelta(hours=1)) == 0
        assert os.path.lexists(base / name)


class TestModes:
    @pytest.fixture(autouse=True, params=[0o022, 0o077, 0o000])
    def umask(self, request: pytest.FixtureRequest) -> Iterator[int]:
        before = os.umask(request.param)
        yield request.param
        os.umask(before)

    @pytest.mark.parametrize(
        ("mode", "file", "folder"),
        [("private", 0o600, 0o700), ("0640", 0o640, 0o750), ("666", 0o666, 0o777)],
    )
    def test_of_all_that_is_new(
        self, tmp_path: Path, umask: int, mode: str, file: int, folder: int
    ) -> None:
        base = tmp_path / "new" / "store"
        with open_store(f"file:{base}?mode={mode}") as store:
            store.put("a/b.md", b"x", expect=ABSENT)
            store.put("c/d.md", b"x")
        made = [base.parent, *base.parent.rglob("*")]
        assert {_mode(path) for path in made if path.is_file()} == {file & ~umask}
        assert {_mode(path) for path in made if path.is_dir()} == {folder & ~umask}
        assert {path.name for path in made} >= {"locks", "b.md", "d.md"}

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o400, 0o640])
    @pytest.mark.parametrize("option", ["private", "0644"])
    def test_of_what_is_replaced_stays(
        self, base: Path, mode: int, option: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_store(base, mode=option) as store:
            version = store.put("a.md", b"1")
            (base / "a.md").chmod(mode)
            unfinished = []
            replace = os.replace

            def look(old: str, new: str, **folders: int) -> None:
                unfinished.append(_mode(base / old))
                replace(old, new, **folders)

            monkeypatch.setattr(os, "replace", look)
            version = store.put("a.md", b"2", expect=version)
            assert _mode(base / "a.md") == mode
            store.put("a.md", b"3")
            assert _mode(base / "a.md") == mode
            assert unfinished == [mode, mode]
            store.delete("a.md")

    def test_give_nothing_to_another_group(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lstat = os.lstat

        def of_another_group(path: Any, **folder: int) -> os.stat_result:
            values = list(lstat(path, **folder))
            values[5] += 1
            return os.stat_result(values)

        with open_store(base) as store:
            store.put("a.md", b"1")
            (base / "a.md").chmod(0o640)
            monkeypatch.setattr(os, "lstat", of_another_group)
            store.put("a.md", b"2")
            monkeypatch.undo()
        assert _mode(base / "a.md") == 0o600

    def test_of_an_unfinished_file_is_never_wider_than_its_document(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a.md", b"1")
        (base / "a.md").chmod(0o400)
        write = os.write
        seen = []

        def look(descriptor: int, data: Any) -> int:
            seen.append(os.fstat(descriptor).st_mode & 0o077)
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", look)
        store.put("a.md", b"2")
        store.put("b.md", b"2", expect=ABSENT)
        assert seen == [0, 0]

    def test_that_a_filesystem_does_not_have_are_done_without(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        store.put("a.md", b"1")
        (base / "a.md").chmod(0o644)
        monkeypatch.setattr(os, "fchmod", refuse)
        store.put("a.md", b"2")
        assert tree(base) == {"a.md": b"2"}

    @pytest.mark.parametrize("mode", ["", "public", "0755", "0440", "640x", "0o640", "4640", 0o640])
    def test_that_make_no_sense_are_refused(self, base: Path, mode: Any) -> None:
        with pytest.raises(ConfigError, match="mode"):
            open_store(base, mode=mode)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


class TestRacesWithADelete:
    @pytest.fixture(params=["hard links", "no hard links"], autouse=True)
    def _links(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        if request.param == "no hard links":
            monkeypatch.setattr(os, "link", refuse)

    @pytest.mark.parametrize(
        ("what", "promised"), [("documents", 300_000), ("sessions", 50_000), ("restores", 10_000)]
    )
    def test_creating_succeeds_or_conflicts(
        self, base: Path, rounds: Callable[[int], int], what: str, promised: int
    ) -> None:
        errors: list[BaseException] = []
        outcomes: list[bool] = []

        def create(store: StateStore, n: int) -> None:
            if what == "documents":
                store.put("a/b.md", b"%d" % n, expect=ABSENT)
            elif what == "sessions":
                Sessions(store).get_or_create("ada", "s")
            else:
                Sessions(store).restore("s")

        def delete(store: StateStore) -> None:
            if what == "documents":
                store.delete("a/b.md")
            elif what == "sessions":
                Sessions(store).delete("s")
            else:
                Sessions(store).delete("s", trash=True)

        def repeat(do: Callable[[StateStore, int], None]) -> None:
            with open_store(base, durability="rename") as store:
                try:
                    for n in range(rounds(promised)):
                        try:
                            do(store, n)
                            outcomes.append(True)
                        except (ConflictError, NotFoundError):
                            outcomes.append(False)
                except BaseException as error:  # noqa: BLE001 - the test shows it
                    errors.append(error)

        with open_store(base, durability="rename") as store:
            Sessions(store).get_or_create("ada", "s")
        doings: list[Callable[[StateStore, int], None]] = [create, create, lambda s, _: delete(s)]
        threads = [threading.Thread(target=repeat, args=(each,)) for each in doings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert {*outcomes} >= {True}


REPLACE = """
import random, sys
from statekeep_backends.local import LocalDiskStore
base, seed, count = sys.argv[1:]
random.seed(seed)
names = random.sample(range(5000), int(count))
with LocalDiskStore(base, durability="rename") as store:
    while True:
        store.put(f"sessions/{random.choice(names)}.json", b"x")
"""


class TestDeletesOfWhatWasSeen:
    @pytest.fixture
    def seen(self, store: StateStore, monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
        """Files that are old enough to be known by their status."""
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
        keys = [f"notes/{n}.json" for n in range(80)]
        for key in keys:
            store.put(key, key.encode())
        time.sleep(_TICK)
        blobs = [store.get(key) for key in keys]
        seen = [
            Seen(key, b.version, b.fingerprint) for key, b in zip(keys, blobs, strict=True) if b
        ]
        assert all(each.fingerprint for each in seen)
        return seen

    def test_read_no_file_that_is_as_it_was(
        self, store: LocalDiskStore, seen: list[Seen], base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: object) -> None:
            raise AssertionError(args)

        monkeypatch.setattr("statekeep_backends.local.store.read_file", refuse)
        done = {key: error for some in store.delete_seen(seen) for key, error in some.items()}
        assert done == {each.key: None for each in seen}
        assert not [*(base / "notes").iterdir()]

    def test_spare_what_was_written_in_place(
        self, store: LocalDiskStore, seen: list[Seen], base: Path
    ) -> None:
        path = base / seen[3].key
        times = path.stat()
        time.sleep(_TICK)
        with path.open("r+b") as file:
            file.write(b"other")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        done = {key: error for some in store.delete_seen(seen) for key, error in some.items()}
        assert [key for key, error in done.items() if error] == [seen[3].key]
        assert isinstance(done[seen[3].key], ConflictError)
        assert path.read_bytes().startswith(b"other")

    def test_hold_a_lock_for_a_few_at_a_time(
        self, store: LocalDiskStore, seen: list[Seen], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = 0

        @contextmanager
        def noting(*args: Any) -> Iterator[None]:
            nonlocal held
            held += 1
            with locks.Lock(*args):
                yield
            held -= 1

        monkeypatch.setattr("statekeep_backends.local.store.Lock", noting)
        monkeypatch.setattr("statekeep_backends.local.store._IN_ONE_GO", 2)
        sizes = []
        for done in store.delete_seen(seen):
            assert held == 0
            sizes.append(len(done))
            assert len({locks.lock_of(key) for key in done}) == 1
        assert (sum(sizes), max(sizes)) == (80, 2)

    def test_say_of_each_that_its_lock_is_held(
        self, base: Path, seen: list[Seen], store: LocalDiskStore
    ) -> None:
        held = locks.lock_of(seen[0].key)
        impatient = LocalDiskStore(base, lock_timeout=0)
        with (base / LOCKS / held).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            found = impatient.delete_seen(seen)
            done = {key: error for some in found for key, error in some.items()}
        for key, error in done.items():
            if locks.lock_of(key) == held:
                assert isinstance(error, UnavailableError)
                assert (error.key, error.landed) == (key, "no")
                assert store.get(key)
            else:
                assert error is None

    def test_take_a_link_in_the_place_of_the_folder_for_nothing(
        self, base: Path, seen: list[Seen], store: LocalDiskStore
    ) -> None:
        (base / "notes").rename(base / "elsewhere")
        (base / "notes").symlink_to(base / "elsewhere")
        done = {key: error for some in store.delete_seen(seen) for key, error in some.items()}
        assert {type(error) for error in done.values()} == {ConflictError}
        assert len([*(base / "elsewhere").iterdir()]) == 80


class TestAListingWhileOthersWrite:
    """As on tmpfs and btrfs, where what is replaced comes where the reader was already."""

    @pytest.fixture(params=["at once", "piece by piece"])
    def looks(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Notes each look at a folder, and lets the first miss what ``hidden`` names."""
        if request.param == "piece by piece":
            monkeypatch.setattr(listing, "_reader", lambda: None)
        looks: list[str] = []
        scandir: Any = os.scandir
        at_once = listing._read_at_once

        @contextmanager
        def miss(folder: Any) -> Iterator[list[os.DirEntry[str]]]:
            with scandir(folder) as entries:
                found = list(entries)
            looks.append(_path_of(folder))
            yield [each for each in found if len(looks) > 1 or not each.name.startswith("hidden")]

        def note(folder: int, seen: Any) -> set[str] | None:
            if (names := at_once(folder, seen)) is not None:
                looks.append(_path_of(folder))
            return names

        monkeypatch.setattr(os, "scandir", miss)
        monkeypatch.setattr(listing, "_read_at_once", note)
        return looks

    def test_shows_what_has_just_been_replaced(
        self, store: StateStore, base: Path, looks: list[str]
    ) -> None:
        for name in ("a", "hidden", "z"):
            store.put(f"notes/{name}.md", b"x")
        (base / "notes/hidden folder").mkdir()
        store.put("notes/hidden folder/b.md", b"x")
        entries = {entry.key: entry for entry in store.scan("notes")}
        assert {*entries} == {
            "notes/a.md",
            "notes/hidden folder/b.md",
            "notes/hidden.md",
            "notes/z.md",
        }
        assert looks[:2] == [f"{base}/notes"] * 2
        assert entries["notes/hidden.md"].size == 1
        looks[:] = ["no longer the first"]
        assert {entry.key: entry for entry in store.scan("notes")} == entries

    def test_looks_once_at_a_folder_that_is_quiet(
        self, store: StateStore, looks: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("notes/a.md", b"x")
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
        assert [entry.key for entry in store.scan("notes")] == ["notes/a.md"]
        assert len(looks) == 1

    def test_looks_again_while_the_folder_changes_but_not_for_ever(
        self,
        store: StateStore,
        base: Path,
        looks: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        store.put("notes/hidden.md", b"x")
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
        fstat = os.fstat

        def change(descriptor: int) -> os.stat_result:
            (base / "new").write_text("y")
            (base / "new").replace(base / "notes/other.md")
            time.sleep(0.01)
            return fstat(descriptor)

        monkeypatch.setattr(os, "fstat", change)
        keys = [entry.key for entry in store.scan("notes")]
        assert sorted(keys) == ["notes/hidden.md", "notes/other.md"]
        assert len(looks) == 4

    def test_does_not_show_what_is_gone(
        self, store: StateStore, base: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a", "hidden", "z"):
            store.put(f"notes/{name}.md", b"x")
        united, late = listing._united, listing._look_at

        def remove(*args: Any) -> Any:
            found = united(*args)
            (base / "notes/a.md").unlink(missing_ok=True)
            return found

        def remove_too(folder: int, names: set[str]) -> Any:
            (base / "notes/hidden.md").unlink(missing_ok=True)
            return late(folder, names)

        monkeypatch.setattr(listing, "_united", remove)
        monkeypatch.setattr(listing, "_look_at", remove_too)
        keys = {entry.key for entry in store.scan("notes")}
        assert "notes/z.md" in keys
        assert "notes/a.md" not in keys
        assert looks

    @pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no tmpfs")  # noqa: PTH112
    @pytest.mark.rest
    @pytest.mark.parametrize("count", [3, 5000])
    def test_misses_no_session_that_is_saved_again_and_again(
        self, rounds: Callable[[int], int], count: int
    ) -> None:
        with (
            TemporaryDirectory(dir="/dev/shm") as base,
            open_store(base, durability="rename") as store,
        ):
            for n in range(5000):
                store.put(f"sessions/{n}.json", b"x")
            writers = [
                subprocess.Popen([sys.executable, "-c", REPLACE, base, str(seed), str(count)])
                for seed in range(2)
            ]
            try:
                time.sleep(1)
                for _ in range(rounds(2000)):
                    keys = {entry.key for entry in store.scan("sessions")}
                    assert len(keys) == 5000
            finally:
                for writer in writers:
                    writer.kill()
                    writer.wait()

    def test_needs_no_more_than_one_call_if_there_is_room(self, base: Path) -> None:
        base.mkdir()
        names = {f"{n:x}" * 8 for n in range(3000)} | {"ß" * 100, os.fsdecode(b"\xff")}
        for name in names:
            (base / name).touch()
        folder = os.open(base, os.O_RDONLY)
        at_once = listing._read_at_once(folder, listing._read(folder))
        if listing._reader() is not None:
            assert at_once == names
            # Otherwise it is no listing of one moment.
            assert listing._read_at_once(folder, []) is None
        os.close(folder)


@pytest.mark.parametrize("name", [LOCKS, f"{LOCKS}/07", "a/x" + TEMPORARY_SUFFIX])
def test_what_the_store_has_for_itself_is_no_key(name: str) -> None:
    assert not is_key(name)


def test_promises_everything_and_needs_no_network(store: StateStore) -> None:
    assert store.capabilities == Capabilities(
        conditional_put=True, conditional_delete=True, shared=True, remote=False
    )


class TestTheFirstWrite:
    def test_is_durable_up_to_the_folder_that_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = _record_steps(monkeypatch)
        with open_store(tmp_path / "fresh" / "store") as store:
            store.put("a/b.md", b"x")
        for folder in ("fresh/store/a", "fresh/store", "fresh", "."):
            assert f"fsync {(tmp_path / folder).resolve()}" in steps

    def test_of_a_process_makes_durable_what_a_dead_one_began(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (base / "sessions").mkdir(parents=True)
        steps = _record_steps(monkeypatch)
        with open_store(base) as store:
            store.put("sessions/s.json", b"{}", expect=ABSENT)
            for folder in (base / "sessions", base, base.parent):
                assert f"fsync {folder}" in steps
            steps.clear()
            store.put("sessions/t.json", b"{}", expect=ABSENT)
        assert steps == ["fsync file", "link", f"fsync {base / 'sessions'}"]

    def test_that_could_not_be_made_durable_does_not_pass_for_durable_later(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (base / "sessions").mkdir(parents=True)
        fsync = os.fsync

        def fail(descriptor: int) -> None:
            if _path_of(descriptor) == str(base):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        with open_store(base) as store:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", fail)
                with pytest.raises(UnavailableError) as caught:
                    store.put("sessions/s.json", b"{}", expect=ABSENT)
            assert caught.value.landed == "no"
            assert tree(base) == {}
            steps = _record_steps(monkeypatch)
            store.put("sessions/t.json", b"{}", expect=ABSENT)
        assert f"fsync {base}" in steps
        assert f"fsync {base.parent}" in steps

    def test_after_which_a_folder_is_made_anew_makes_that_durable(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = _record_steps(monkeypatch)
        with open_store(base) as store:
            store.put("a/b/c.md", b"x", expect=ABSENT)
            for gone, flushed in (("a/b", {"a"}), ("a", {"a", "."}), (".", {"a", ".", ".."})):
                shutil.rmtree(base / gone)
                (base / "a/b").mkdir(parents=True)
                for n, expected in enumerate([flushed | {"a/b"}, {"a/b"}]):
                    steps.clear()
                    store.put(f"a/b/{n}.md", b"x", expect=ABSENT)
                    locks = f"fsync {base / '.statekeep'}"
                    assert set(steps) - {"fsync file", "link", locks} == {
                        f"fsync {(base / each).resolve()}" for each in expected
                    }

    def test_after_which_a_folder_gets_the_number_of_its_predecessor_makes_that_durable(
        self, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_store(base) as store:
            store.put("a/b.md", b"x")
            number = (base / "a").stat().st_ino
            shutil.rmtree(base / "a")
            for n in range(1000):
                (base / "a").mkdir()
                if (base / "a").stat().st_ino == number:
                    break
                (base / "a").rename(base / f"other-{n}")
            else:
                pytest.skip("this filesystem gives no number away again")
            steps = _record_steps(monkeypatch)
            store.put("a/b.md", b"x")
        assert f"fsync {base}" in steps

    @pytest.mark.parametrize("folder", ["new/store/a/b", "new/store/a", "new/store", "new", "."])
    def test_that_failed_to_make_a_folder_durable_leaves_that_to_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
    ) -> None:
        base = tmp_path / "new" / "store"
        refused = str((tmp_path / folder).resolve())
        fsync = os.fsync

        def fail(descriptor: int) -> None:
            if _path_of(descriptor) == refused:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        with open_store(base) as store:
            for n in range(2):
                with monkeypatch.context() as patch:
                    patch.setattr(os, "fsync", fail)
                    with pytest.raises(UnavailableError) as caught:
                        store.put(f"a/b/{n}.md", b"x", expect=ABSENT)
                    # What leads there is made durable before anything is written.
                    assert caught.value.landed == ("unknown" if folder.endswith("/b") else "no")
            steps = _record_steps(monkeypatch)
            store.put("a/b/next.md", b"x", expect=ABSENT)
            assert f"fsync {refused}" in steps
            steps.clear()
            store.put("a/b/last.md", b"x", expect=ABSENT)
            assert steps == ["fsync file", "link", f"fsync {base / 'a/b'}"]

    def test_that_expects_something_makes_nothing(self, store: StateStore, base: Path) -> None:
        with pytest.raises(ConflictError):
            store.put("a/b.md", b"x", expect="0" * 64)  # type: ignore[arg-type]
        assert not base.exists()

    def test_outlives_a_folder_that_vanishes_while_it_is_made(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mkdir = os.mkdir
        removed: list[str] = []

        def remove_parent(path: Any, *args: Any, **folder: int) -> None:
            if path == "b" and not removed:
                removed.append(path)
                (base / "a").rmdir()
            mkdir(path, *args, **folder)

        monkeypatch.setattr(os, "mkdir", remove_parent)
        store.put("a/b/c.md", b"x", expect=ABSENT)
        assert removed
        assert tree(base) == {"a/b/c.md": b"x"}


@pytest.mark.parametrize(
    "options", [{"durability": "fsnyc"}, {"lock_timeout": -1}, {"lock_timeout": float("nan")}]
)
def test_a_wrong_option_is_refused_outright(base: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LocalDiskStore(base, **options)


def test_a_base_that_is_a_link_to_nothing_is_refused(base: Path) -> None:
    base.symlink_to("nowhere")
    with pytest.raises(ConfigError, match="not a folder"):
        open_store(base)


class _Everything:
    def select(self, summaries: Sequence[Summary], now: datetime) -> list[Victim]:
        assert now.tzinfo
        return [Victim(each, "all") for each in summaries]
