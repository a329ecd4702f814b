"""A document that is replaced behind our back while its store is open and in use."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support import tree

from statekeep import (
    ABSENT,
    ConflictError,
    CorruptDataError,
    NotFoundError,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    load_pruner,
    open_store,
)
from statekeep.doctor import diagnose, repair
from statekeep.store import content_version
from statekeep.store.keys import QUARANTINE
from statekeep_backends.local import LocalDiskStore
from statekeep_backends.local.files import LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep_backends.local.store import Durability

REPLACEMENTS: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"\xff{"),
    "a folder": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a link out of the store": lambda path: path.symlink_to(path.parents[2] / "outside.json"),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(base: Path) -> Iterator[StateStore]:
    with open_store(base) as store:
        yield store


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", REPLACEMENTS)
def test_a_session_in_use_is_neither_mixed_up_nor_lost(
    store: StateStore, base: Path, tmp_path: Path, what: str
) -> None:
    sessions = Sessions(store)
    session = sessions.get_or_create("ada", "s")
    other = sessions.get_or_create("ada", "other")
    outside = tmp_path / "outside.json"
    outside.write_bytes(session.to_json())
    path, kept = base / "sessions/s.json", tmp_path / "kept"
    path.rename(kept)
    REPLACEMENTS[what](path)
    before = os.lstat(path)
    garbage = what == "garbage"

    session.add_user_message("hello")
    with pytest.raises(ConflictError):
        sessions.save(session)
    with pytest.raises(CorruptDataError if garbage else NotFoundError):
        sessions.update("s", lambda s: s.add_user_message("hello"))
    with pytest.raises(CorruptDataError):
        sessions.get_or_create("ada", "s")
    if garbage:
        with pytest.raises(CorruptDataError):
            sessions.load("s")
        with pytest.raises(CorruptDataError):
            sessions.delete("s")
    else:
        assert sessions.load("s") is None
        assert sessions.delete("s") is False
        with pytest.raises(CorruptDataError):
            sessions.save(session, overwrite=True)
    listing = sessions.list()
    assert [summary.id for summary in listing] == ["other"]
    assert [each.key for each in listing.problems] == ["sessions/s.json"] * garbage
    assert sessions.prune(load_pruner("ttl", ttl_hours=0)).failed == ()
    other.add_user_message("not my business")
    sessions.save(other)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert Session.from_json(outside.read_bytes()).user_messages == []

    assert repair(store, diagnose(store)).healthy
    kept.rename(path)
    sessions.save(session)
    assert [summary.message_count for summary in sessions.list()] == [1, 1]


class TestTheFolderItself:
    @pytest.fixture
    def sessions(self, store: StateStore) -> Sessions:
        sessions = Sessions(store)
        sessions.get_or_create("ada", "s")
        return sessions

    def test_may_vanish_and_is_made_again(self, sessions: Sessions, base: Path) -> None:
        session = sessions.load("s")
        assert session
        shutil.rmtree(base)
        assert sessions.load("s") is None
        assert sessions.list().summaries == ()
        with pytest.raises(ConflictError):
            sessions.save(session)
        assert not base.exists()
        sessions.get_or_create("ada", "new")
        assert list(tree(base)) == ["sessions/new.json"]

    def test_may_become_a_file_but_not_pass_for_an_empty_store(
        self, sessions: Sessions, base: Path
    ) -> None:
        shutil.rmtree(base)
        base.write_text("a file")
        attempts: list[Callable[[], object]] = [
            sessions.list,
            lambda: sessions.load("s"),
            lambda: sessions.store.get("a.md"),
            lambda: sessions.store.delete("a.md"),
            lambda: sessions.get_or_create("ada", "s"),
            lambda: sessions.store.put("a.md", b""),
            lambda: sessions.prune(load_pruner("ttl")),
            lambda: diagnose(sessions.store),
        ]
        for attempt in attempts:
            with pytest.raises(StateStoreError, match=r"Not a directory|in the way"):
                attempt()
        assert base.read_text() == "a file"


OLD_LEFTOVER = ".statekeep-0123456789abcdef.tmp"
SECRET = b"what lies outside"
OLD_VERSION = content_version(b"inside")
SWAPPED = ("sessions", "specs/v1", ".statekeep", LOCKS, "specs")


# A process of its own, which waits for no thread of ours.
SWAP = """
import ctypes, os, random, sys, time
swaps, *names = sys.argv[1:]
pairs = list(zip(names[::2], names[1::2]))
exchange = getattr(ctypes.CDLL(None), "renameat2", None)
for _ in range(int(swaps)):
    one, other = random.choice(pairs)
    for _ in range(2):
        if exchange:
            exchange(-100, os.fsencode(one), -100, os.fsencode(other), 2)
        else:
            os.rename(one, one + ".spare")
            os.rename(other, one)
            os.rename(one + ".spare", other)
        time.sleep(random.random() * 0.0001)
"""


class Attack:
    """Everything that a store does, of several threads, while folders are swapped for links."""

    def __init__(
        self, store: LocalDiskStore, inside: dict[str, int], swapper: subprocess.Popen[bytes]
    ) -> None:
        self._store, self._swapper = store, swapper
        self._inside = inside
        self.seen: list[object] = []
        self.errors: list[BaseException] = []

    def run(self) -> None:
        doings = (self._read, self._write, self._delete, self._look, self._repair)
        threads = [threading.Thread(target=self._repeat, args=(each,)) for each in doings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _repeat(self, do: Callable[[str], object]) -> None:
        try:
            while self._swapper.poll() is None:
                for folder in ("sessions", "specs/v1"):
                    with contextlib.suppress(StateStoreError):
                        do(folder)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.errors.append(error)

    def _read(self, folder: str) -> None:
        for name in ("x.json", "secret.json"):
            if (blob := self._store.get(f"{folder}/{name}")) and blob.data == SECRET:
                self.seen.append(blob)

    def _write(self, folder: str) -> None:
        for name, expect in (("x", None), ("secret", None), ("new", ABSENT), ("x", OLD_VERSION)):
            with contextlib.suppress(StateStoreError):
                key = f"{folder}/{name}.json"
                self._store.put(key, b"inside", **({} if expect is None else {"expect": expect}))

    def _delete(self, folder: str) -> None:
        for name in ("x", "secret", "new"):
            with contextlib.suppress(StateStoreError):
                self._store.delete(f"{folder}/{name}.json")

    def _look(self, folder: str) -> None:
        entries = [*self._store.scan(), *self._store.scan(folder)]
        self.seen += [entry for entry in entries if entry.size == len(SECRET)]
        self._store.sweep(older_than=timedelta(hours=1))

    def _repair(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            os.mkfifo("fifo.json", dir_fd=self._inside[folder])
        for anomaly in self._store.inspect(older_than=timedelta(hours=1)):
            if "evil" in anomaly.place:
                self.seen.append(anomaly)
            if anomaly.place not in SWAPPED and anomaly.action:
                with contextlib.suppress(StateStoreError):
                    self._store.repair(anomaly, f"{QUARANTINE}/{random.getrandbits(32)}")


@pytest.mark.rest
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("durability", ["fsync", "rename"])
def test_a_link_in_the_place_of_a_folder_never_leads_outside(
    tmp_path: Path, rounds: Callable[[int], int], durability: Durability
) -> None:
    base, outside = tmp_path / "store", tmp_path / "outside"
    for folder in SWAPPED:
        (base / folder).mkdir(parents=True, exist_ok=True)
        (outside / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("sessions", "specs/v1"):
        for name in ("x.json", "secret.json", "evil\\.json", OLD_LEFTOVER):
            (outside / folder / name).write_bytes(SECRET)
            os.utime(outside / folder / name, (0, 0))
        (outside / folder / "evil.json").mkdir()
    (outside / LOCKS / "evil lock").touch()
    before = _everything(outside)
    pairs = []
    for number, folder in enumerate(SWAPPED):
        link = tmp_path / f"link-{number}"
        link.symlink_to(outside / folder)
        pairs += [str(base / folder), str(link)]
    inside = {folder: os.open(base / folder, os.O_RDONLY) for folder in SWAPPED}
    swaps = str(rounds(1_000_000))
    with (
        LocalDiskStore(base, durability=durability, lock_timeout=1) as store,
        subprocess.Popen([sys.executable, "-c", SWAP, swaps, *pairs]) as swapper,
    ):
        attack = Attack(store, inside, swapper)
        attack.run()
    for descriptor in inside.values():
        os.close(descriptor)
    assert swapper.returncode == 0
    assert attack.errors == []
    assert attack.seen == []
    assert _everything(outside) == before


def _everything(folder: Path) -> dict[str, tuple[int, ...]]:
    """The times of folders tell that something was made there, or taken away."""
    found: dict[str, tuple[int, ...]] = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
    return found
