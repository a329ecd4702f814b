"""Writers that are killed in the middle."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import prepared, tree
from workload import (
    SHARED,
    append_until_killed,
    is_whole,
    talk_until_killed,
    work_until_killed,
)

from statekeep import (
    ABSENT,
    Documents,
    Journals,
    Session,
    Sessions,
    StateStore,
    load_pruner,
    open_store,
)
from statekeep.doctor import diagnose, repair
from statekeep.testing.journal_checks import Watching
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import ForkServerProcess

pytestmark = pytest.mark.rest

WRITERS = 3
KILLS = 15


class Killer:
    """Keeps writers at work, and kills one after the other at a random moment."""

    def __init__(
        self, location: str, notes: Path, work: Callable[..., None] = work_until_killed
    ) -> None:
        self._work = work
        # What a writer needs is there when it is forked, so that it does not die while importing.
        self._context = prepared()
        self._location = location
        self._notes = notes
        self._writers = [self._start(worker) for worker in range(WRITERS)]

    def _start(self, worker: int) -> ForkServerProcess:
        arguments = (self._location, worker, random.getrandbits(32), str(self._notes))
        process = self._context.Process(target=self._work, args=arguments)
        process.start()
        return process

    def kill_one(self) -> None:
        self._wait_for_work()
        time.sleep(random.uniform(0, 0.05))
        worker = random.randrange(WRITERS)
        self._kill(self._writers[worker])
        self._writers[worker] = self._start(worker)

    def kill_all(self) -> None:
        for writer in self._writers:
            self._kill(writer)

    def _kill(self, writer: ForkServerProcess) -> None:
        # It works until it is killed; otherwise something has gone wrong in it.
        assert writer.is_alive(), writer.exitcode
        writer.kill()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL

    def _wait_for_work(self) -> None:
        size = self._notes.stat().st_size
        deadline = time.monotonic() + 60
        while self._notes.stat().st_size < size + 100 and time.monotonic() < deadline:
            time.sleep(0.002)


class Reader(threading.Thread):
    """Reads all the time; what it sees is whole, and never older than what it saw before."""

    def __init__(self, location: str, notes: Path) -> None:
        super().__init__()
        self._location = location
        self._notes = notes
        self._done = threading.Event()
        self._error: BaseException | None = None
        self.looks = 0

    def run(self) -> None:
        try:
            with open_store(self._location) as store:
                said: list[str] = []
                n = -1
                while not self._done.is_set():
                    said = self._look_at_shared(Sessions(store), said)
                    n = self._look_at_sealed(Documents(store), n)
                    assert Sessions(store).list().problems == ()
                    self.looks += 1
        except BaseException as error:  # noqa: BLE001 - it is raised again by stop()
            self._error = error

    def stop(self) -> None:
        self._done.set()
        self.join()
        if self._error:
            raise self._error

    def _look_at_shared(self, sessions: Sessions, before: list[str]) -> list[str]:
        acknowledged = {value for what, value in read(self._notes) if what == "said"}
        session = sessions.load(SHARED)
        assert session
        said = [message.content for message in session.user_messages]
        assert said[: len(before)] == before
        assert acknowledged <= set(said)
        return said

    def _look_at_sealed(self, documents: Documents, before: int) -> int:
        document = documents.load_json("notes", "sealed")
        if document is None:
            assert before == -1
            return before
        assert is_whole(document.value)
        assert document.value["n"] >= before
        return int(document.value["n"])


def read(notes: Path) -> list[tuple[str, Any]]:
    return [(what, value) for what, value in map(json.loads, notes.read_text().splitlines())]


@pytest.fixture(params=["fsync", "rename", "sqlite", "seaweedfs", "postgres", "valkey"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in {"fsync", "rename"}:
        return f"file:{tmp_path / 'store'}?durability={request.param}"
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'state.db'}"
    endpoint = request.getfixturevalue(f"{request.param}_url")
    if request.param == "postgres":
        return f"{endpoint}?store=t{secrets.token_hex(8)}"
    if request.param == "valkey":
        return f"{endpoint}/0/{secrets.token_hex(8)}"
    place = request.getfixturevalue("make_s3_place")(endpoint)
    return f"{place}?endpoint_url={endpoint}"


def test_nothing_is_torn_and_nothing_acknowledged_is_lost(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with open_store(location) as store:
        Sessions(store).save(Session.new("ada", SHARED))
    reader = Reader(location, notes)
    reader.start()
    killer = Killer(location, notes)
    try:
        for _ in range(KILLS):
            killer.kill_one()
    finally:
        killer.kill_all()
        reader.stop()
    assert reader.looks > 1
    with open_store(location) as store:
        check_what_is_there(store, read(notes))
        clean_up(store, location, monkeypatch)


def check_what_is_there(store: StateStore, noted: list[tuple[str, Any]]) -> None:
    def values(what: str) -> list[Any]:
        return [value for each, value in noted if each == what]

    sessions = Sessions(store)
    listing = sessions.list()
    assert listing.problems == ()
    there = {summary.id for summary in listing}

    shared = sessions.load(SHARED)
    assert shared
    said = [message.content for message in shared.user_messages]
    assert len(set(said)) == len(said)
    assert set(values("said")) <= set(said)
    # What was not acknowledged may have landed all the same, once for each kill.
    assert len(said) <= len(values("said")) + KILLS + WRITERS

    for session_id, count in values("saved"):
        own = sessions.load(session_id)
        assert own
        assert len(own.user_messages) >= count
    document = Documents(store).load_json("notes", "sealed")
    assert document
    assert is_whole(document.value)
    assert document.value["n"] >= max(values("sealed"), default=-1)

    may_vanish, vanished = set(values("may vanish")), set(values("vanished"))
    assert vanished <= may_vanish
    assert not vanished & there
    assert set(values("created")) - may_vanish <= there
    # What was pruned is in the trash, wherever the pruner died.
    trash = {trashed.stem for trashed in sessions.list_trash()}
    assert set(values("created")) - set(values("is thrown away")) <= there | trash
    last = {value: what for what, value in noted if what in {"may vanish", "reopened"}}
    assert {each for each, what in last.items() if what == "reopened"} <= there


def clean_up(store: StateStore, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the dead have left is old some day, and then prune and doctor remove it."""
    if location.startswith("file:"):
        sessions = Sessions(store)
        sessions.update(SHARED, lambda session: session.add_user_message("their locks are free"))
        assert diagnose(store).findings == ()  # leftovers may be in work yet
        two_hours_ago = time.time() - 7200
        base = Path(str(store))
        leftovers = list(base.rglob("*.tmp"))
        for path in leftovers:
            os.utime(path, (two_hours_ago, two_hours_ago))
        diagnosis = diagnose(store)
        assert [each.kind for each in diagnosis.findings] == ["leftover"] * len(leftovers)
        if random.random() < 0.5:
            assert len(repair(store, diagnosis).repaired) == len(leftovers)
        else:
            assert sessions.prune(load_pruner("ttl")).swept == len(leftovers)
        assert not list(base.rglob("*.tmp"))
    elif location.startswith("s3:"):
        monkeypatch.setattr(
            "statekeep_backends.s3.store.utc_now", lambda: utc_now() + timedelta(hours=2)
        )
        diagnosis = diagnose(store)
        assert {each.kind for each in diagnosis.findings} <= {"leftover"}
        assert repair(store, diagnosis).healthy
    assert diagnose(store).findings == ()


def kills(promised: int, notes: Path) -> Iterator[None]:
    """So many, and more until two at least have done something."""
    for _ in range(promised):
        yield
    while len({who for _, (who, _) in read(notes)}) < 2:
        yield


def test_journals_lose_nothing_that_was_acknowledged(
    location: str, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with open_store(location) as store:
        journals = Journals(store, "crash")
        with Watching(journals, SHARED) as watch:
            killer = Killer(location, notes, append_until_killed)
            try:
                for _ in kills(rounds(500), notes):
                    killer.kill_one()
            finally:
                killer.kill_all()
        assert watch.looks > 1
        assert journals.list().problems == ()
        items = journals.open(SHARED).read() or []
        head = journals.open(SHARED).append([["after", 0, ""]])
        assert head.length == len(items) + 1
    check_what_was_appended([(who, number) for who, number, _ in items], notes)


def test_sessions_that_are_journals_lose_no_turn_that_was_acknowledged(
    location: str, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with open_store(location) as store:
        sessions = Sessions(store, form="journal")
        sessions.get_or_create("ada", SHARED)
        killer = Killer(location, notes, talk_until_killed)
        try:
            for _ in kills(rounds(500), notes):
                killer.kill_one()
                assert sessions.list().problems == ()
        finally:
            killer.kill_all()
        messages = sessions.load(SHARED, required=True).messages
        summary = sessions.add_turn(SHARED, user=["after"])
        assert summary.message_count == len(messages) / 2 + 1
    turns = [each.content.split()[:2] for each in messages]
    assert turns[::2] == turns[1::2], "a question and its answer were torn apart"
    assert [each.role for each in messages] == ["user", "agent"] * (len(messages) // 2)
    check_what_was_appended([(who, int(number)) for who, number in turns[::2]], notes)


def check_what_was_appended(there: list[tuple[str, int]], notes: Path) -> None:
    appended: dict[str, list[int]] = {}
    for who, number in there:
        appended.setdefault(who, []).append(number)
    acknowledged = {who: number for _, (who, number) in read(notes)}
    assert len(acknowledged) > 1
    for who, last in acknowledged.items():
        # One more may have landed, of which the dead were not told any more.
        assert appended[who] in ([*range(last + 1)], [*range(last + 2)])
    assert all(numbers == [*range(len(numbers))] for numbers in appended.values())


STEPS = ("open", "write", "fsync", "close", "mkdir", "link", "replace", "rename", "unlink", "rmdir")
OLD, NEW = b'"old"', b'"new content"'

# What is done to `a.json`, which is there before unless it is created, and what it is after.
WRITES: dict[str, tuple[Callable[[StateStore], object], bytes | None, bytes | None]] = {
    "create": (lambda store: store.put("a.json", NEW, expect=ABSENT), None, NEW),
    "put the first": (lambda store: store.put("a.json", NEW), None, NEW),
    "replace": (lambda store: store.put("a.json", NEW), OLD, NEW),
    "swap": (lambda store: store.put("a.json", NEW, expect=_version(store)), OLD, NEW),
    "delete": (lambda store: store.delete("a.json", expect=_version(store)), OLD, None),
    "repair": (lambda store: repair(store, diagnose(store, documents=True)), b"{", None),
}


def _version(store: StateStore) -> Any:
    blob = store.get("a.json")
    assert blob
    return blob.version


def _do_until(step: int, write: Callable[[], object]) -> bool:
    """Do it in a child that is killed before that system call; tell whether it was."""
    child = os.fork()
    if child == 0:
        left = step

        def count(call: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if call.__name__ == "write":
                    args = args[0], bytes(args[1])[:4]  # so that half of it can be there
                return call(*args, **kwargs)

            return counted

        try:
            for name in STEPS:
                setattr(os, name, count(getattr(os, name)))
            write()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, -signal.SIGKILL}
    return status != 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("durability", ["fsync", "rename"])
@pytest.mark.parametrize("what", WRITES)
def test_a_kill_at_any_step_leaves_the_old_or_the_new(
    tmp_path: Path, what: str, durability: str
) -> None:
    write, old, new = WRITES[what]
    seen = []
    for step in range(1000):
        base = tmp_path / str(step)
        with open_store(f"file:{base}?durability={durability}&lock_timeout=5") as store:
            store.put("b.md", b"untouched")
            if old is not None:
                store.put("a.json", old)
            killed = _do_until(step, lambda store=store: write(store))  # type: ignore[misc]
            blob = store.get("a.json")
            seen.append(blob.data if blob else None)
            assert seen[-1] in {old, new}
            entries = {entry.key for entry in store.scan() if ".statekeep/" not in entry.key}
            assert entries == ({"b.md"} if blob is None else {"a.json", "b.md"})
            if old == b"{" and blob is None:
                assert [data for name, data in _all_files(base) if name == "a.json"] == [old]
            # The dead hold no lock, and are in nobody's way.
            store.put("a.json", b'"next"')
            for path in base.rglob("*.tmp"):
                os.utime(path, (0, 0))
            assert repair(store, diagnose(store)).healthy
            assert tree(base) == {"a.json": b'"next"', "b.md": b"untouched"}
            assert not list(base.rglob("*.tmp"))
            assert diagnose(store).findings == ()
        if not killed:
            break
    # There is one moment at which the old becomes the new.
    assert seen == sorted(seen, key=lambda data: data == new)
    assert seen[0] == old
    assert seen[-1] == new
    assert len(seen) > 4


def _all_files(base: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in base.rglob("*") if path.is_file()]
