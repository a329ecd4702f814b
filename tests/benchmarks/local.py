"""On filesystems: in memory for what the processor does, on a disk for what waits for it."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import baselines, peers
from benchmarks.adapters import Statekeep
from benchmarks.bench import Entry, folder
from benchmarks.operations import (
    fill,
    list_every_way,
    prune,
    save_and_load,
    save_and_load_together,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench, Plan

__all__ = ["filesystem", "fleet", "listing", "pruning", "turns"]

_MEMORY = Entry("statekeep, memory", Statekeep, "statekeep")
_RENAME = Entry("statekeep, rename", partial(Statekeep, durability="rename"), "statekeep", "no")
_FSYNC = Entry("statekeep, fsync", partial(Statekeep, durability="fsync"), "statekeep", "yes")
_FLOORS = [
    Entry("bare calls", baselines.BareFiles, "floor", "no"),
    Entry("bare orjson", baselines.OrjsonFiles, "floor", "no"),
    Entry("bare json", baselines.JsonFiles, "floor", "no"),
]
_FSYNC_FLOOR = Entry("bare calls, fsync", partial(baselines.BareFiles, fsync=True), "floor", "yes")
_PEERS = [
    Entry("strands-agents, files", peers.StrandsFiles, "peer", "no"),
    Entry("openai-agents, SQLite", peers.OpenAIAgents, "peer", "yes"),
    Entry("langgraph, SQLite", peers.LangGraph, "peer", "yes"),
    Entry("py-key-value, disk", peers.KeyValueDisk, "peer", "no"),
    Entry("py-key-value, filetree", peers.KeyValueFiles, "peer", "file"),
    Entry("diskcache", peers.DiskCache, "peer", "no"),
]


def turns(bench: Bench) -> None:
    """Save and load sessions of several sizes."""
    for name, parent, on_disk in _filesystems(bench.plan):
        entries = _one_by_one(bench.plan, on_disk=on_disk)
        with folder(parent) as base:
            places = [f"{base}/{number}" for number in range(len(entries))]
            if not on_disk or bench.plan.memory is None:
                entries.insert(1, _MEMORY)
                places.insert(1, "memory:")
            save_and_load(bench, name, entries, places, bench.plan.sizes)


def fleet(bench: Bench) -> None:
    """Save and load in several processes at once."""
    for name, parent, on_disk in _filesystems(bench.plan):
        entries = _one_by_one(bench.plan, on_disk=on_disk)
        with folder(parent) as base:
            places = [f"{base}/{number}" for number in range(len(entries))]
            save_and_load_together(bench, name, entries, places)


def listing(bench: Bench) -> None:
    """List many sessions: a page of 100, and all."""
    for name, parent, count, entries in _crowds(bench.plan, "newest"):
        with folder(parent) as base:
            places = [f"{base}/{number}" for number in range(len(entries))]
            fill(bench, entries, places, count)
            for _ in range(2 if count in bench.plan.many else max(1, bench.plan.rounds // 2)):
                for entry, place in zip(entries, places, strict=True):
                    list_every_way(bench, entry, name, place, count, _forget_index)
            for entry, place in zip(entries, places, strict=True):
                if entry.kind == "statekeep":
                    with bench.worker(entry, place) as worker:
                        size = worker.call("memory_of_listing") / count
                    bench.add(entry, name, "memory for each", f"{count:,}", size, "B")


def pruning(bench: Bench) -> None:
    """Delete the older half of many sessions, one process alone and several at once."""
    for name, parent, count, entries in _crowds(bench.plan, "prune"):
        if count in bench.plan.many:
            continue
        for _ in range(max(1, bench.plan.rounds // 3)):
            for entry in entries:
                processes = {1, bench.plan.processes} if entry.kind == "statekeep" else {1}
                for number in sorted(processes):
                    with folder(parent) as base:
                        fill(bench, [entry], [f"{base}/0"], count)
                        prune(bench, entry, name, f"{base}/0", count, number)


def filesystem(path: Path) -> str:
    """The kind of filesystem that a folder is on."""
    found = "", "a filesystem"
    for line in Path("/proc/mounts").read_text().splitlines() if sys.platform == "linux" else ():
        point, kind = line.split()[1:3]
        if path.resolve().is_relative_to(point) and len(point) >= len(found[0]):
            found = point, kind
    return found[1]


def _filesystems(plan: Plan) -> Iterator[tuple[str, Path, bool]]:
    """Name, folder, and whether that is on a disk."""
    if plan.memory is not None:
        yield filesystem(plan.memory), plan.memory, False
    yield filesystem(plan.disk), plan.disk, True


def _one_by_one(plan: Plan, *, on_disk: bool) -> list[Entry]:
    peers_too = _PEERS if plan.peers else []
    if on_disk:
        return [_RENAME, _FSYNC, _FSYNC_FLOOR, *_FLOORS, *peers_too]
    return [_RENAME, *_FLOORS, *peers_too]


def _crowds(plan: Plan, work: str) -> Iterator[tuple[str, Path, int, list[Entry]]]:
    """Filesystem, how many sessions, and who lists or prunes them there.

    Others only once for each number. On the disk, where storing takes longest, the largest of the
    ordinary numbers has to do.
    """
    for number, (name, parent, _) in enumerate(_filesystems(plan)):
        for count in (*plan.counts, *plan.many) if number == 0 else plan.counts[-1:]:
            others = _PEERS if plan.peers and number == 0 and count in plan.counts else []
            entries = [_RENAME, *_FLOORS, *others]
            able = [each for each in entries if each.subject.can(work)]
            yield name, parent, count, [each for each in able if count <= each.subject.most]


def _forget_index(place: str) -> None:
    shutil.rmtree(f"{place}/.statekeep/cache", ignore_errors=True)
