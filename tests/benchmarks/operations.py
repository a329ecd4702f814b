"""What is done to all subjects, wherever they are. They take turns, round by round."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.conversations import SMALL, Size, ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.bench import Bench, Entry

__all__ = ["fill", "list_every_way", "prune", "save_and_load", "save_and_load_together"]


def fill(bench: Bench, entries: Sequence[Entry], places: Sequence[str], count: int) -> None:
    """Store so many small sessions at each place, and wait until the files are no longer new."""
    for entry, place in zip(entries, places, strict=True):
        with bench.worker(entry, place) as worker:
            worker.call("fill", SMALL, ids(count))
    if any(entry.subject.keeps_index for entry in entries):
        time.sleep(bench.plan.settling)


def save_and_load(
    bench: Bench, name: str, entries: Sequence[Entry], places: Sequence[str], sizes: Sequence[Size]
) -> None:
    """Save one session and load another, of several sizes."""
    plan = bench.plan
    with bench.workers(entries, places) as workers:
        for number, size in enumerate(sizes):
            saved, loaded = ids(2 * number + 2)[-2:]
            for worker in workers:
                worker.call("fill", size, [saved, loaded])
                worker.call("take", saved, size)
            for _ in range(plan.rounds):
                for entry, worker in zip(entries, workers, strict=True):
                    times = worker.call("save", plan.seconds, 300)
                    bench.add(entry, name, "save", size.name, statistics.median(times))
                    times = worker.call("load", loaded, plan.seconds, 300)
                    bench.add(entry, name, "load", size.name, statistics.median(times))


def save_and_load_together(
    bench: Bench, name: str, entries: Sequence[Entry], places: Sequence[str]
) -> None:
    """Save and load in several processes at once, each its own session in one store."""
    session_ids = ids(bench.plan.processes)
    size = f"{len(session_ids)} processes"
    with ExitStack() as stack:
        teams = []
        fill(bench, entries, places, len(session_ids))
        for entry, place in zip(entries, places, strict=True):
            team = [stack.enter_context(bench.worker(entry, place)) for _ in session_ids]
            for worker, each in zip(team, session_ids, strict=True):
                worker.call("take", each, SMALL)
            teams.append(team)
        for _ in range(bench.plan.rounds):
            for entry, team in zip(entries, teams, strict=True):
                for work in ("save", "load"):
                    for worker, each in zip(team, session_ids, strict=True):
                        which = (each,) if work == "load" else ()
                        worker.ask(work, *which, 2 * bench.plan.seconds, 10_000)
                    times = [worker.answer() for worker in team]
                    rate = sum(len(each) / sum(each) for each in times)
                    bench.add(entry, name, work, size, rate, "1/s")


def list_every_way(
    bench: Bench, entry: Entry, name: str, place: str, count: int, forget: Callable[[str], object]
) -> None:
    """List a page and all, without an index, in a new process, and again in the same.

    Args:
        bench: Notes it.
        entry: Who lists.
        name: Of the filesystem or server.
        place: Where the sessions are.
        count: How many there are.
        forget: Removes what earlier listings have left at a place.
    """
    size = f"{count:,}"
    for what, limit in (("100", 100), ("all", None)):
        expected = min(count, limit or count)
        if entry.subject.keeps_index:
            forget(place)
            with bench.worker(entry, place) as worker:
                took = worker.call("newest", limit, expected)
                bench.add(entry, name, f"{what}, no index", size, took)
        with bench.worker(entry, place) as worker:
            took = worker.call("newest", limit, expected)
            bench.add(entry, name, f"{what}, new process", size, took)
            took = worker.call("newest", limit, expected)
            bench.add(entry, name, f"{what}, again", size, took)


def prune(bench: Bench, entry: Entry, name: str, place: str, count: int, processes: int) -> None:
    """Delete the older half of so many sessions; all processes try, each goes once.

    Where there is an index, it is warm.
    """
    victims = ids(count)[: count // 2]
    with bench.workers([entry] * processes, [place] * processes) as workers:
        if entry.subject.keeps_index:
            for worker in workers:
                worker.call("newest", 100, min(100, count))
        for worker in workers:
            worker.ask("prune", victims, count - len(victims))
        done = [worker.answer() for worker in workers]
    if sum(pruned for _, _, pruned in done) != len(victims):
        raise AssertionError(f"{entry.name} pruned {done}, not {len(victims)} in all")
    took = max(end for _, end, _ in done) - min(start for start, _, _ in done)
    work = "half" if processes == 1 else f"half, {processes} processes"
    bench.add(entry, name, work, f"{count:,}", took)
