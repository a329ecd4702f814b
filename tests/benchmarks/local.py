"""On filesystems: in memory for what the processor does, on a disk for what waits for it."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import floors, peers
from benchmarks.bench import Entry, folder
from benchmarks.conversations import SMALL, documents, ids
from benchmarks.machine import filesystem
from benchmarks.original import Original
from benchmarks.subjects import Cost, Statekeep, StatekeepFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.bench import Bench, Plan
    from benchmarks.conversations import Size
    from benchmarks.processes import Worker

__all__ = [
    "ORIGINAL",
    "PAGE",
    "SCAN",
    "each_session",
    "fleet",
    "listing",
    "others",
    "pruning",
    "sessions",
]

ORIGINAL = "the original"
SCAN = "bare files"
PAGE = "bare SQLite, NORMAL"
_MEMORY = Entry("statekeep, memory", Statekeep, "statekeep")
_RENAME = Entry("statekeep, rename", partial(Statekeep, durability="rename"), "statekeep")
_FSYNC = Entry("statekeep, fsync", partial(Statekeep, durability="fsync"), "statekeep")
_IN_FILE = Entry(
    "statekeep, SQLite normal", partial(StatekeepFile, durability="normal"), "statekeep"
)
_IN_FILE_FULL = Entry(
    "statekeep, SQLite full", partial(StatekeepFile, durability="full"), "statekeep"
)
_FILES = Entry(SCAN, floors.BareFiles, "floor")
_FILES_FSYNC = Entry("bare files, fsync", partial(floors.BareFiles, fsync=True), "floor")
_SQLITE = Entry(PAGE, floors.BareSQLite, "floor")
_SQLITE_FULL = Entry("bare SQLite, FULL", partial(floors.BareSQLite, synchronous="FULL"), "floor")
_LOST = [  # by a power cut
    Entry("strands-agents, files", peers.StrandsFiles, "peer"),
    Entry("py-key-value, disk", peers.KeyValueDisk, "peer"),
    Entry("diskcache", peers.DiskCache, "peer"),
]
_KEPT = [
    Entry("openai-agents, SQLite", peers.OpenAIAgents, "peer"),
    Entry("langgraph, SQLite", peers.LangGraph, "peer"),
    Entry("py-key-value, filetree", peers.KeyValueFiles, "peer"),
]


def sessions(bench: Bench) -> None:
    """Save, load and save again many different sessions, beside the original."""
    for name, parent, on_disk in _filesystems(bench.plan):
        entries = [*_original(bench.plan), _FILES, _RENAME, *([] if on_disk else [_MEMORY])]
        for size, count in bench.plan.sizes.items():
            for _ in bench.rounds(bench.plan.rounds):
                with folder(parent) as base:
                    places = [
                        "memory:" if entry is _MEMORY else f"{base}/{number}"
                        for number, entry in enumerate(entries)
                    ]
                    each_session(bench, name, entries, places, size, count)


def others(bench: Bench) -> None:
    """The same beside others whose saves outlive as much, on a disk."""
    disk = bench.plan.disk
    groups = {
        "others: a power cut may take what was saved": [_RENAME, _IN_FILE, _SQLITE, *_LOST],
        "others: a power cut takes nothing": [
            _FSYNC,
            _IN_FILE_FULL,
            _FILES_FSYNC,
            _SQLITE_FULL,
            *_KEPT,
        ],
    }
    for part, group in groups.items():
        bench.part = part
        entries = [each for each in group if bench.plan.peers or each.kind != "peer"]
        for size, count in bench.plan.sizes.items():
            if size.kind == "plain":  # not all of them keep anything else
                for _ in bench.rounds(bench.plan.rounds):
                    with folder(disk) as base:
                        places = [f"{base}/{number}" for number in range(len(entries))]
                        few = max(1, count // 15)
                        each_session(bench, filesystem(disk), entries, places, size, few)


def fleet(bench: Bench) -> None:
    """Save in several processes at once, each its own sessions in one store."""
    disk, processes = bench.plan.disk, bench.plan.processes
    groups = {
        f"{processes} processes, rename": [_FILES, _RENAME, _IN_FILE, _SQLITE],
        f"{processes} processes, fsync": [_FILES_FSYNC, _FSYNC, _IN_FILE_FULL, _SQLITE_FULL],
    }
    count = max(1, bench.plan.sizes[SMALL] // 3)
    for _ in bench.rounds(min(3, bench.plan.rounds)):
        for size, entry in ((size, entry) for size, group in groups.items() for entry in group):
            with folder(disk) as base, ExitStack() as stack:
                team: list[Worker] = []
                for number in range(processes):
                    worker = stack.enter_context(bench.worker(entry, f"{base}/shared"))
                    team.append(worker)
                    worker.call("prepare", SMALL, count, number * count)
                    worker.call("each", "create")
                for worker in team:
                    worker.ask("each", "update")
                rate = sum(1 / worker.answer().wall for worker in team)
                bench.add(entry, filesystem(disk), size, "save again", rate, "1/s")


def listing(bench: Bench) -> None:
    """List many sessions: a page of 100, and all."""
    plan = bench.plan
    for name, parent, _ in _filesystems(plan):
        with folder(parent) as base:
            _fill(base, plan.crowd, plan.settling)
            databases = {_SQLITE: f"{base}-sqlite", _IN_FILE: f"{base}-statekeep"}
            for entry, place in databases.items():
                with bench.worker(entry, place) as worker:
                    worker.call("prepare", SMALL, plan.crowd)
                    worker.call("each", "create")
            for _ in bench.rounds(plan.rounds):
                for entry in (*_original(plan), _FILES, _RENAME):
                    list_every_way(bench, entry, name, base, plan.crowd)
                for entry, place in databases.items():
                    list_every_way(bench, entry, name, place, plan.crowd)
            for place in databases.values():
                shutil.rmtree(place)
            with bench.worker(_RENAME, base) as worker:
                kept, peak = worker.call("memory_of_listing")
            for work, taken in (("kept for each", kept), ("peak for each", peak)):
                bench.add(_RENAME, name, f"{plan.crowd:,}", work, taken / plan.crowd, "B")
    if plan.peers:
        bench.part = "others list"
        _list_beside_others(bench)


def _list_beside_others(bench: Bench) -> None:
    name, parent, _ = next(_filesystems(bench.plan))
    count = bench.plan.small_crowd
    entries = [
        _RENAME,
        _IN_FILE,
        _SQLITE,
        *(each for each in (*_LOST, *_KEPT) if each.subject.can("newest")),
    ]
    with folder(parent) as base:
        for entry in entries:
            with bench.worker(entry, f"{base}/{entry.name}") as worker:
                worker.call("prepare", SMALL, count)
                worker.call("each", "create")
        time.sleep(bench.plan.settling)
        for _ in bench.rounds(bench.plan.rounds):
            for entry in entries:
                list_every_way(bench, entry, name, f"{base}/{entry.name}", count)


def list_every_way(
    bench: Bench, entry: Entry, name: str, place: str, count: int, *, before: int = 1
) -> None:
    """List a page and all: without an index, in a new process, and again in the same.

    Args:
        bench: Notes it.
        entry: Who lists.
        name: Of the filesystem.
        place: Where the sessions are.
        count: How many there are.
        before: How many pages the process has asked for when it is asked again.
    """
    size = f"{count:,}"
    if entry.subject.keeps_index:
        shutil.rmtree(f"{place}/.statekeep/cache", ignore_errors=True)
    with bench.worker(entry, place) as worker:
        cost = worker.call("newest", None, count)
        if entry.subject.keeps_index or entry.kind == "original":
            bench.add(entry, name, size, "all, no index", cost)
        else:
            bench.add(entry, name, size, "all", cost)
    if entry.kind == "original":
        return  # whatever it is asked, it reads all
    with bench.worker(entry, place) as worker:
        bench.add(entry, name, size, "100", worker.call("newest", 100, min(100, count)))
        for _ in range(before - 1):
            worker.call("newest", 100, min(100, count))
        bench.add(entry, name, size, "100, again", worker.call("newest", 100, min(100, count)))
    if entry.subject.keeps_index:
        with bench.worker(entry, place) as worker:
            bench.add(entry, name, size, "all", worker.call("newest", None, count))


def pruning(bench: Bench) -> None:
    """Delete the older half of many sessions."""
    plan = bench.plan
    victims = ids(plan.crowd)[: plan.crowd // 2]
    for name, parent, _ in _filesystems(plan):
        entries = [*_original(plan), _FILES, _RENAME]
        for _ in bench.rounds(max(1, plan.rounds // 2)):
            with folder(parent) as base:
                for entry in entries:
                    _fill(f"{base}/{entry.name}", plan.crowd, 0)
                time.sleep(plan.settling)
                for entry in entries:
                    with bench.worker(entry, f"{base}/{entry.name}") as worker:
                        if entry.subject.keeps_index:
                            worker.call("newest", 100, min(100, plan.crowd))
                        cost = worker.call("prune", victims, plan.crowd - len(victims))
                    bench.add(entry, name, f"{plan.crowd:,}", "half", cost / len(victims))


def each_session(
    bench: Bench,
    name: str,
    entries: Sequence[Entry],
    places: Iterable[str],
    size: Size,
    count: int,
) -> None:
    """Save, load and save again: a few sessions of each subject in turns."""
    parts = min(_PARTS, count)
    with ExitStack() as stack:
        team = []
        for entry, place in zip(entries, places, strict=True):
            worker = stack.enter_context(bench.worker(entry, place))
            # A store's first save makes folders, or asks the server what it can do.
            worker.call("prepare", size, 1, count)
            worker.call("each", "create")
            worker.call("prepare", size, count)
            team.append((entry, worker))
        for work, title in _WORK.items():
            able = [each for each in team if work != "turn" or each[0].subject.can("turn")]
            for part in range(parts):
                for entry, worker in able:
                    cost: Cost = worker.call("each", work, part, parts)
                    bench.add(entry, name, size.name, title, cost)


# The machine changes its speed many times in a second. So the turns are short, and there are many.
_PARTS = 6

_WORK = {
    "create": "save, new",
    "load": "load",
    "update": "save again",
    "turn": "load, add, save",
}


def _fill(base: str, count: int, settling: float) -> None:
    """Store so many small sessions, and wait until the files are no longer new."""
    Path(f"{base}/sessions").mkdir(parents=True)
    for each, data in documents(SMALL, count):
        Path(f"{base}/sessions/{each}.json").write_bytes(data)
    time.sleep(settling)


def _filesystems(plan: Plan) -> Iterator[tuple[str, Path, bool]]:
    """Name, folder, and whether that is on a disk."""
    if plan.memory is not None:
        yield filesystem(plan.memory), plan.memory, False
    yield filesystem(plan.disk), plan.disk, True


def _original(plan: Plan) -> list[Entry]:
    if plan.original is None:
        return []
    return [Entry(ORIGINAL, partial(Original, binary=str(plan.original)), "original")]
