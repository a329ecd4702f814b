"""What the doctor finds in a folder that no scan shows, and the command that calls it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from support import GOLDEN, tree

from statekeep import (
    ConflictError,
    CorruptDataError,
    Documents,
    Session,
    Sessions,
    StateStore,
    open_store,
)
from statekeep.doctor import Diagnosis, diagnose, repair
from statekeep.store.keys import QUARANTINE
from statekeep_backends.local import LocalDiskStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.store import Anomaly

TWO_HOURS_AGO = time.time() - 7200
OURS = ".statekeep-0123456789abcdef.tmp"
THEIRS = "x.4711.0f8fad5b-d9cb-469f-a165-70867728950e.tmp"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(base: Path) -> Iterator[StateStore]:
    """A folder in which nothing is wrong."""
    with open_store(f"file:{base}?lock_timeout=0.2") as store:
        sessions, documents = Sessions(store), Documents(store)
        sessions.update(
            sessions.get_or_create("ada", "s").id, lambda s: s.add_user_message("hello")
        )
        documents.save_json("specs/v1", "limits", {"tokens": 4096})
        documents.save_markdown("specs/v1", "limits", "# Limits\n")
        for name in ("empty", "journals", "blobs"):
            (base / name).mkdir()
        yield store


def _make_file(path: Path) -> None:
    path.write_text("half")
    os.utime(path, (TWO_HOURS_AGO, TWO_HOURS_AGO))


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _make_file_named(name: bytes) -> Callable[[Path], object]:
    return lambda path: os.close(os.open(os.fsencode(path.parent) + b"/" + name, os.O_CREAT))


# What is made where, what it is found as, and whether it is moved or removed.
ANOMALIES: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "a FIFO": ("sessions/x.json", os.mkfifo, "no document", "move"),
    "a socket": ("journals/x.json", _make_socket, "no document", "move"),
    "an empty folder": ("sessions/x.json", lambda path: path.mkdir(), "no document", "remove"),
    "a dangling link": (
        "sessions/x.json",
        lambda path: path.symlink_to("nowhere"),
        "no document",
        "move",
    ),
    "a link to itself": (
        "blobs/x.json",
        lambda path: path.symlink_to(path.name),
        "no document",
        "move",
    ),
    "a link to a document": (
        "sessions/x.json",
        lambda path: path.symlink_to("s.json"),
        "no document",
        "move",
    ),
    "a link out of the store": (
        "sessions/x.md",
        lambda path: path.symlink_to("../../../outside"),
        "no document",
        "move",
    ),
    "a folder that is a link": (
        "journals/deep",
        lambda path: path.symlink_to("/"),
        "no document",
        "move",
    ),
    "a link that is no text": (
        ".statekeep/x",
        lambda path: path.symlink_to(os.fsdecode(b"\xff")),
        "no document",
        "move",
    ),
    "a name that is not UTF-8": (
        "sessions/\\xff.md",
        _make_file_named(b"\xff.md"),
        "no key",
        "move",
    ),
    "a long name that is not UTF-8": (
        "blobs/" + "\\xff" * 250 + ".json",
        _make_file_named(b"\xff" * 250 + b".json"),
        "no key",
        "move",
    ),
    "a backslash in a name": ("sessions/a\\b.md", _make_file, "no key", "move"),
    "an old leftover of ours": (f"sessions/{OURS}", _make_file, "leftover", "remove"),
    "an old leftover of the original": (f"specs/v1/{THEIRS}", _make_file, "leftover", "remove"),
    "a stranger among the locks": (".statekeep/locks/notes.txt", _make_file, "lock", "move"),
    "a lock that is a folder": (".statekeep/locks/00", lambda path: path.mkdir(), "lock", "move"),
    "a lock that is a link": (
        ".statekeep/locks/00",
        lambda path: path.symlink_to("/dev/null"),
        "lock",
        "move",
    ),
}


@contextmanager
def unchanged(base: Path) -> Iterator[None]:
    """What is in the folder stays, to the byte and the inode; quarantine may be added."""
    before = _state(base)
    yield
    after = _state(base)
    assert {path: after.get(path) for path in before} == before
    assert all(path.startswith(QUARANTINE) for path in after.keys() - before)


def _state(base: Path) -> dict[str, tuple[int, ...]]:
    found = {}
    for folder, folders, files in os.walk(base):
        for name in (*folders, *files):
            status = os.lstat(f"{folder}/{name}")
            changes = () if name in folders else (status.st_size, status.st_mtime_ns)
            path = f"{folder}/{name}"[len(str(base)) + 1 :]
            found[path] = (status.st_ino, status.st_mode, *changes)
    return found


@pytest.mark.timeout(20)
@pytest.mark.parametrize("anomaly", ANOMALIES)
def test_what_is_no_document_is_found_and_put_out_of_the_way(
    store: StateStore, base: Path, anomaly: str, tmp_path: Path
) -> None:
    place, make, kind, action = ANOMALIES[anomaly]
    (tmp_path / "outside").write_text("outside")
    with unchanged(base):
        make(base / place)
        with unchanged(base):
            diagnosis = diagnose(store)
        assert [(each.kind, each.place, each.action) for each in diagnosis.findings] == [
            (kind, place, action)
        ]
        assert not diagnosis.healthy
        (made,) = _state(base).items() - _state_without(base, diagnosis)
        report = repair(store, diagnosis)
    assert report.healthy
    (repaired,) = report.repaired
    if action == "remove":
        assert repaired.to is None
        assert not (base / QUARANTINE).exists()
    else:
        assert repaired.to
        moved = os.lstat(base / repaired.to)
        assert (moved.st_ino, moved.st_mode) == made[1][:2]
    assert (tmp_path / "outside").read_text() == "outside"
    again = diagnose(store)
    assert again.findings == ()
    store.put("sessions/x.json", Session.new("ada", "x").to_json())


def _state_without(base: Path, diagnosis: Diagnosis) -> set[Any]:
    (finding,) = diagnosis.findings
    identity: Any = finding.anomaly.identity if finding.anomaly else None
    return {(path, found) for path, found in _state(base).items() if found[0] != identity.inode}


def test_a_folder_in_the_place_of_a_session_is_left_to_a_person(
    store: StateStore, base: Path
) -> None:
    (base / "sessions/x.json").mkdir()
    (base / "sessions/x.json/y").touch()
    with unchanged(base):
        diagnosis = diagnose(store)
        (finding,) = diagnosis.problems
        assert (finding.place, finding.action) == ("sessions/x.json", None)
        assert repair(store, diagnosis).left == (finding,)


class TestAProjectThatIsTakenForAStore:
    @pytest.fixture
    def project(self, store: StateStore, base: Path) -> Path:
        assert list(store.scan())
        (base / ".venv/bin").mkdir(parents=True)
        (base / ".venv/bin/python").symlink_to(sys.executable)
        (base / "node_modules/.bin").mkdir(parents=True)
        (base / "node_modules/.bin/tsc").symlink_to("../typescript/bin/tsc")
        (base / "node_modules/linked").symlink_to("../elsewhere")
        (base / "fixtures/package.json").mkdir(parents=True)
        _make_socket(base / "fixtures/agent.json")
        os.mkfifo(base / "pipe.md")
        _make_file_named("Lies mich für später.md".encode("latin-1"))(base / "x")
        _make_file(base / "a\\b.md")
        return base

    def test_is_left_as_it_is(self, store: StateStore, project: Path) -> None:
        with unchanged(project):
            diagnosis = diagnose(store)
            assert diagnosis.healthy
            assert {(each.place, each.action) for each in diagnosis.remarks} == {
                (".venv/bin/python", None),
                ("Lies mich f\\xfcr sp\\xe4ter.md", None),
                ("a\\b.md", None),
                ("fixtures/agent.json", None),
                ("fixtures/package.json", None),
                ("node_modules/.bin/tsc", None),
                ("node_modules/linked", None),
                ("pipe.md", None),
            }
            report = repair(store, diagnosis)
        assert report.healthy
        assert report.repaired == ()
        assert not (project / QUARANTINE).exists()

    def test_loses_only_what_the_writers_of_documents_left(
        self, store: StateStore, project: Path
    ) -> None:
        _make_file(project / "node_modules" / OURS)
        diagnosis = diagnose(store)
        assert [(each.place, each.action) for each in diagnosis.problems] == [
            (f"node_modules/{OURS}", "remove")
        ]
        assert [each.to for each in repair(store, diagnosis).repaired] == [None]


class TestWhatIsNoProblem:
    def test_a_category_named_like_a_document(self, store: StateStore, base: Path) -> None:
        Documents(store).save_markdown("specs.md", "plan", "# Plan\n")
        with unchanged(base):
            diagnosis = diagnose(store)
            assert diagnosis.healthy
            assert [(each.kind, each.place, each.action) for each in diagnosis.remarks] == [
                ("no document", "specs.md", None)
            ]
            assert repair(store, diagnosis).healthy

    def test_files_that_are_not_meant_for_us(self, store: StateStore, base: Path) -> None:
        for name in ("notes.txt", "plan.json.bak", OURS, THEIRS):
            (base / name).touch()
        os.mkfifo(base / "pipe")
        _make_socket(base / "agent.sock")
        with unchanged(base):
            diagnosis = diagnose(store)
        assert diagnosis.findings == ()
        for name in ("a.tmp", "a\\b"):
            (base / name).touch()
        with unchanged(base):
            diagnosis = diagnose(store)
            assert diagnosis.healthy
            assert [(each.kind, each.place) for each in diagnosis.remarks] == [
                ("no key", "a.tmp"),
                ("no key", "a\\b"),
            ]
            assert repair(store, diagnosis).healthy

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with open_store(tmp_path / "nowhere") as store:
            assert diagnose(store).findings == ()
        assert not (tmp_path / "nowhere").exists()

    def test_a_store_of_the_original_but_for_times_that_python_cannot_hold(
        self, tmp_path: Path
    ) -> None:
        base = tmp_path / "theirs"
        shutil.copytree(GOLDEN / "rust-store", base)
        with open_store(base) as store, unchanged(base):
            diagnosis = diagnose(store)
            assert [each.place for each in diagnosis.problems] == [
                "sessions/time-leap-second.json",
                "sessions/time-year-0.json",
                "sessions/time-year-10000.json",
                "sessions/time-year-negative.json",
            ]
            assert repair(store, diagnosis).left == diagnosis.findings


def test_a_folder_that_may_only_be_read_can_be_diagnosed() -> None:
    script = """
import os, sys
from statekeep.doctor import diagnose, repair
from statekeep_backends.local import LocalDiskStore  # now: nobody may read the interpreter
for folder, _, _ in os.walk(sys.argv[1]):
    os.chmod(folder, 0o555)
if os.geteuid() == 0:
    os.setuid(65534)
store = LocalDiskStore(sys.argv[1])
diagnosis = diagnose(store)
assert [each.place for each in diagnosis.findings] == ["sessions/bad.json"], diagnosis
(failed,) = repair(store, diagnosis).failed
assert type(failed.error).__name__ == "AccessDeniedError", failed
"""
    # Not below pytest's own folders, which other users may not enter.
    with TemporaryDirectory() as name, open_store(name, mode="0644") as store:
        base = Path(name)
        Sessions(store).get_or_create("ada", "s")
        store.put("sessions/bad.json", b"{")
        base.chmod(0o755)
        with unchanged(base):
            ended = subprocess.run(
                [sys.executable, "-c", script, name], capture_output=True, text=True, check=False
            )
            for path in (base, *(path for path in base.rglob("*") if path.is_dir())):
                path.chmod(0o755)
    assert ended.returncode == 0, ended.stderr


class TestLocks:
    def test_that_nobody_gives_back_are_a_problem_without_an_action(
        self, store: StateStore, base: Path
    ) -> None:
        (lock, *_) = sorted((base / ".statekeep/locks").iterdir())
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with unchanged(base):
                diagnosis = diagnose(store)
                assert not repair(store, diagnosis).healthy
        (finding,) = diagnosis.problems
        assert (finding.kind, finding.place) == ("lock", f".statekeep/locks/{lock.name}")
        assert "0.2 seconds" in finding.reason
        assert finding.action is None
        assert diagnose(store).healthy

    def test_that_are_given_back_meanwhile_are_none(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, store: StateStore
    ) -> None:
        (lock, *_) = sorted((base / ".statekeep/locks").iterdir())
        with open_store(f"file:{base}?lock_timeout=60") as patient, lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            sleep = time.sleep

            def give_back(seconds: float) -> None:
                fcntl.flock(held, fcntl.LOCK_UN)
                sleep(seconds)

            monkeypatch.setattr(time, "sleep", give_back)
            assert diagnose(patient).healthy
        store.put("specs/a.md", b"")

    def test_that_cannot_be_opened_are_a_problem_without_an_action(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (lock, *_) = sorted((base / ".statekeep/locks").iterdir())
        open_file = os.open

        def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
            if path == lock.name:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return open_file(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        (finding,) = diagnose(store).problems
        assert (finding.kind, finding.action) == ("lock", None)
        assert "Permission denied" in finding.reason

    def test_of_a_writer_that_is_dead_are_none(self, store: StateStore, base: Path) -> None:
        script = """
import os, signal, sys
from statekeep_backends.local import LocalDiskStore
with LocalDiskStore(sys.argv[1])._locked("specs/a.md"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
        ended = subprocess.run([sys.executable, "-c", script, str(base)], check=False)
        assert ended.returncode == -9
        assert diagnose(store).findings == ()


class TestOurOwnFolders:
    @pytest.mark.parametrize("make", [_make_file, os.mkfifo, lambda path: path.symlink_to("/tmp")])
    def test_something_in_the_way_of_the_locks_is_moved(
        self, tmp_path: Path, make: Callable[[Path], object]
    ) -> None:
        base = tmp_path / "fresh"
        (base / ".statekeep").mkdir(parents=True)
        make(base / ".statekeep/locks")
        with open_store(base) as store:
            diagnosis = diagnose(store)
            assert [(each.place, each.action) for each in diagnosis.findings] == [
                (".statekeep/locks", "move")
            ]
            assert repair(store, diagnosis).healthy
            assert diagnose(store).findings == ()
            store.put("a.md", b"")

    @pytest.mark.parametrize("make", [_make_file, os.mkfifo, lambda path: path.symlink_to("/tmp")])
    @pytest.mark.parametrize("place", [".statekeep", ".statekeep/quarantine"])
    def test_something_in_the_way_of_quarantine_is_left_to_a_person(
        self, tmp_path: Path, make: Callable[[Path], object], place: str
    ) -> None:
        base = tmp_path / "fresh"
        (base / place).parent.mkdir(parents=True)
        make(base / place)
        (base / "sessions").mkdir()
        (base / "sessions/x.json").write_text("{")
        with open_store(base) as store, unchanged(base):
            diagnosis = diagnose(store)
            assert [(each.place, each.action) for each in diagnosis.problems] == [
                (place, None),
                ("sessions/x.json", "move"),
            ]
            report = repair(store, diagnosis)
        assert [each.finding.place for each in report.failed] == ["sessions/x.json"]


class TestClosedFolders:
    @pytest.fixture(autouse=True)
    def _closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scandir = os.scandir

        def refuse(path: Any) -> Any:
            if os.readlink(f"/proc/self/fd/{path}").endswith(("closed", "lost+found")):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)

    def test_are_a_problem_because_nobody_knows_what_they_hold(
        self, store: StateStore, base: Path
    ) -> None:
        (base / "sessions/closed").mkdir()
        (base / "specs/closed").mkdir()
        diagnosis = diagnose(store)
        assert [(each.kind, each.place, each.action) for each in diagnosis.problems] == [
            ("closed folder", "sessions/closed", None)
        ]
        # Outside of our own folders it may be anybody's.
        assert [each.place for each in diagnosis.remarks] == ["specs/closed"]

    def test_but_not_the_one_that_every_disk_has(self, store: StateStore, base: Path) -> None:
        (base / "lost+found").mkdir()
        assert diagnose(store).findings == ()


class TestARaceWithOthers:
    @pytest.fixture
    def seen(self, store: StateStore, base: Path) -> tuple[LocalDiskStore, Anomaly]:
        os.mkfifo(base / "sessions/x.json")
        (finding,) = diagnose(store).findings
        assert isinstance(store, LocalDiskStore)
        assert finding.anomaly
        return store, finding.anomaly

    def test_what_is_gone_or_replaced_is_left_alone(
        self, store: StateStore, base: Path, seen: Any
    ) -> None:
        assert seen
        (base / "sessions/y.json").mkdir()
        (base / "sessions/z.json").mkdir()
        diagnosis = diagnose(store)
        (base / "sessions/x.json").unlink()
        store.put("sessions/x.json", Session.new("ada", "x").to_json())
        (base / "sessions/y.json/used").touch()
        (base / "sessions/z.json").rmdir()
        with unchanged(base):
            report = repair(store, diagnosis)
        assert [each.place for each in report.skipped] == [
            "sessions/x.json",
            "sessions/y.json",
            "sessions/z.json",
        ]

    @pytest.mark.parametrize("taken_again", [False, True])
    def test_what_is_replaced_in_the_last_moment_gets_its_name_back(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, seen: Any, taken_again: bool
    ) -> None:
        store, anomaly = seen
        rename = os.rename

        def restore_first(old: str, new: str, **folders: int) -> None:
            (base / "sessions/x.json").unlink()
            (base / "sessions/x.json").write_text("1")
            rename(old, new, **folders)
            if taken_again:
                (base / "sessions/x.json").write_text("2")

        monkeypatch.setattr(os, "rename", restore_first)
        with pytest.raises(Exception, match="has changed"):
            store.repair(anomaly, f"{QUARANTINE}/here")
        # Whoever was last has the name, and nothing is lost.
        assert (base / "sessions/x.json").read_text() == ("2" if taken_again else "1")
        moved = base / QUARANTINE / "here/sessions/x.json"
        assert moved.exists() == taken_again
        assert not taken_again or moved.read_text() == "1"

    def test_what_is_replaced_in_the_last_moment_stays_in_quarantine_without_hard_links(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, seen: Any
    ) -> None:
        store, anomaly = seen
        rename = os.rename

        def restore_first(old: str, new: str, **folders: int) -> None:
            (base / "sessions/x.json").unlink()
            (base / "sessions/x.json").write_text("1")
            rename(old, new, **folders)

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        monkeypatch.setattr(os, "rename", restore_first)
        monkeypatch.setattr(os, "link", refuse)
        with pytest.raises(ConflictError) as caught:
            store.repair(anomaly, f"{QUARANTINE}/here")
        assert caught.value.landed == "unknown"
        assert (base / QUARANTINE / "here/sessions/x.json").read_text() == "1"

    def test_what_is_replaced_while_it_is_listed_is_seen(
        self, store: StateStore, monkeypatch: pytest.MonkeyPatch, seen: Any
    ) -> None:
        assert seen
        scandir = os.scandir
        listed = []

        @contextmanager
        def replace(path: Any) -> Iterator[list[os.DirEntry[str]]]:
            """As tmpfs does it: what is replaced comes where the scan was already."""
            name = os.readlink(f"/proc/self/fd/{path}")
            with scandir(path) as entries:
                found = [each for each in entries if each.name != "x.json" or name in listed]
            listed.append(name)
            yield found

        monkeypatch.setattr(os, "scandir", replace)
        assert isinstance(store, LocalDiskStore)
        found = store.inspect(older_than=timedelta(hours=1))
        assert [each.place for each in found] == ["sessions/x.json"]

    def test_a_store_that_is_no_folder_any_more_does_not_pass_for_an_empty_one(
        self, store: StateStore, base: Path
    ) -> None:
        shutil.rmtree(base)
        base.write_text("a file")
        assert isinstance(store, LocalDiskStore)
        with pytest.raises(CorruptDataError):
            list(store.inspect(older_than=timedelta(hours=1)))

    def test_what_cannot_be_moved_leaves_no_empty_folder(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, seen: Any
    ) -> None:
        store, anomaly = seen

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "rename", fail)
        with unchanged(base), pytest.raises(Exception, match="No space"):
            store.repair(anomaly, f"{QUARANTINE}/here")
        assert not (base / QUARANTINE).exists()

    def test_what_lies_in_quarantine_is_never_overwritten(self, base: Path, seen: Any) -> None:
        store, anomaly = seen
        (base / QUARANTINE / "here/sessions").mkdir(parents=True)
        (base / QUARANTINE / "here/sessions/x.json").write_text("older")
        with unchanged(base), pytest.raises(Exception, match="exists"):
            store.repair(anomaly, f"{QUARANTINE}/here")


def test_what_is_moved_survives_a_power_cut(
    store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(base / "sessions/x.json")
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    (repaired,) = repair(store, diagnose(store)).repaired
    assert repaired.to
    target = base / repaired.to
    for folder in (target.parent, *target.parent.parents):
        assert str(folder) in synced
        if folder == base / ".statekeep":
            break
    assert str(base / "sessions") in synced


class TestTheCommand:
    def run(self, base: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "statekeep.cli", "doctor", "--store", str(base), *arguments],
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        return ended

    def test_says_that_nothing_is_wrong(self, store: StateStore, base: Path) -> None:
        assert list(store.scan())
        ended = self.run(base)
        assert ended.stdout == "3 documents examined, 0 problems found\n"
        assert ended.stderr == ""

    def test_says_what_is_wrong_and_repairs_it_if_asked(
        self, store: StateStore, base: Path
    ) -> None:
        (base / "sessions/bad.json").write_text("{")
        _make_file(base / "specs" / OURS)
        _make_file_named(b"\xff\x1b[2J.md")(base / "sessions/x")
        with unchanged(base):
            said = self.run(base, code=7)
        for word in ("sessions/bad.json", "corrupt session", OURS, "3 problems found", "move it"):
            assert word in said.stdout
        assert "\x1b" not in said.stdout
        assert "--repair" in said.stderr
        assert "WARNING" not in said.stderr.upper()
        said = self.run(base, "--repair")
        assert "3 repaired" in said.stdout
        assert "now .statekeep/quarantine/" in said.stdout
        assert self.run(base).stdout == (
            "3 documents examined, 2 more in quarantine, 0 problems found\n"
        )
        assert store.get("sessions/bad.json") is None

    def test_speaks_to_machines(self, store: StateStore, base: Path) -> None:
        store.put("sessions/bad.json", b"{")
        (base / "specs/kept.json").mkdir()
        (base / "specs/kept.json/file").touch()
        (base / "sessions/x.json").mkdir()
        found = json.loads(self.run(base, "--json", code=7).stdout)
        assert (found["examined"], found["healthy"]) == (4, False)
        assert [each["place"] for each in found["problems"]] == [
            "sessions/bad.json",
            "sessions/x.json",
        ]
        assert [each["place"] for each in found["remarks"]] == ["specs/kept.json"]
        repaired = json.loads(self.run(base, "--json", "--repair").stdout)
        assert repaired["healthy"]
        assert [(each["place"], each["to"] is None) for each in repaired["repaired"]] == [
            ("sessions/bad.json", False),
            ("sessions/x.json", True),
        ]
        assert [each["place"] for each in repaired["left"]] == ["specs/kept.json"]
        assert (repaired["skipped"], repaired["failed"]) == ([], [])

    def test_goes_on_being_unhappy_about_what_it_cannot_repair(
        self, base: Path, store: StateStore
    ) -> None:
        theirs = Session.new("ada", "ada").to_json()
        store.put("sessions/ADA.json", theirs)
        assert "rename it yourself" in self.run(base, "--repair", code=7).stdout
        assert tree(base)["sessions/ADA.json"] == theirs
