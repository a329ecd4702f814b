"""`make bench`: measures, prints, and writes docs/benchmarks.md anew.

`make bench BENCH=guarantees` looks at what is kept instead, and writes docs/comparison.md and
the README's table anew.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import databases, guarantees, journals, local, remote, starting
from benchmarks.bench import Bench, Plan
from benchmarks.conversations import LARGE, MIXED_LARGE, MIXED_SMALL, SMALL
from benchmarks.guarantees import page as guarantees_page
from benchmarks.machine import filesystem
from benchmarks.report import comparison, render, update_page
from benchmarks.results import Results, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["PARTS", "main", "measure"]

_ROOT = Path(__file__).parents[2]
_GUARANTEES = "guarantees"

PARTS: dict[str, Callable[[Bench], None]] = {
    each.__name__: each
    for each in (
        local.sessions,
        local.others,
        local.fleet,
        local.listing,
        local.pruning,
        journals.journals,
        remote.buckets,
        databases.databases,
        starting.starting,
    )
}


def main() -> None:
    """Read the command line, measure, print and write.

    Raises:
        SystemExit: The command line is wrong.
    """
    arguments = _parser().parse_args()
    if arguments.parts == [_GUARANTEES]:
        _compare(arguments)
        return
    if _GUARANTEES in arguments.parts:
        sys.exit(f"{_GUARANTEES} is measured alone")
    whole = not (arguments.quick or arguments.parts or arguments.no_peers)
    target: Path = arguments.into or (_ROOT / "docs" if whole else _ROOT / "build")
    path = target / "benchmarks" / "results.json"
    other: Path = arguments.compare or _ROOT / "docs" / "benchmarks" / "results.json"
    before = Results.read(other) if other.exists() or arguments.compare else None
    if not arguments.redraw:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = arguments.parts or [*PARTS]
        measure(_plan(arguments), parts, quick=arguments.quick).write(path)
    results = Results.read(path)  # with the digits that were written, as everything else shows them
    sys.stdout.write(render(results))
    if before and not arguments.redraw:
        sys.stdout.write(f"\n{comparison(before, results)}")
    page = target / "benchmarks.md"
    if page.exists():
        update_page(page, render(results))


def _compare(arguments: argparse.Namespace) -> None:
    target: Path = arguments.into or _ROOT / ("build" if arguments.quick else "docs")
    path = target / "benchmarks" / "guarantees.json"
    if not arguments.redraw:
        path.parent.mkdir(parents=True, exist_ok=True)
        scale = guarantees.QUICK if arguments.quick else None
        guarantees_page.write(path, guarantees.compare(arguments.disk, scale))
    results = guarantees_page.read(path)
    text = guarantees_page.render(results)
    sys.stdout.write(text)
    if (page := target / "comparison.md").exists():
        update_page(page, text)
        update_page(_ROOT / "README.md", guarantees_page.summarize(results))


def measure(plan: Plan, parts: Iterable[str], *, quick: bool = False) -> Results:
    """Measure the parts that are named, in turn.

    Args:
        plan: How much.
        parts: Some of `PARTS`.
        quick: Whether the plan is too short to trust.
    """
    begun = time.monotonic()
    with Bench(plan) as bench:
        for part in parts:
            sys.stderr.write(f"{part} … ")
            sys.stderr.flush()
            start = time.monotonic()
            bench.part = part
            PARTS[part](bench)
            sys.stderr.write(f"{time.monotonic() - start:.0f} s\n")
        about = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "minutes": round((time.monotonic() - begun) / 60, 1),
            "rounds": plan.rounds,
            "quick": quick,
            "memory": filesystem(plan.memory) if plan.memory else "",
            "disk": filesystem(plan.disk),
            "versions": versions(),
        }
        return Results(about | bench.watch.about(), bench.rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS, _GUARANTEES], help="only these")
    parser.add_argument("--original", type=Path, help="the original's command line, to run it, too")
    parser.add_argument("--quick", action="store_true", help="fewer and less: two minutes")
    parser.add_argument("--no-peers", action="store_true", help="leave out the others")
    parser.add_argument(
        "--disk", type=Path, default=Path(tempfile.gettempdir()), help="a folder on a real disk"
    )
    parser.add_argument(
        "--into", type=Path, help="where to write; by default docs/ after a whole run, else build/"
    )
    parser.add_argument(
        "--compare", type=Path, help="results.json of a run before; by default of the last whole"
    )
    parser.add_argument(
        "--redraw", action="store_true", help="measure nothing; show the last results anew"
    )
    return parser


def _plan(arguments: argparse.Namespace) -> Plan:
    memory = Path("/dev/shm")
    if arguments.original and not arguments.original.is_file():
        sys.exit(f"--original: there is no file {arguments.original}")
    quick = arguments.quick
    return Plan(
        disk=arguments.disk,
        memory=memory if memory.is_dir() else None,
        original=arguments.original and arguments.original.resolve(),
        peers=not arguments.no_peers,
        rounds=3 if quick else 5,
        sizes={
            SMALL: 60 if quick else 300,
            MIXED_SMALL: 60 if quick else 300,
            LARGE: 10 if quick else 40,
            MIXED_LARGE: 10 if quick else 40,
        },
        crowd=1_000 if quick else 10_000,
        small_crowd=100 if quick else 500,
        processes=4,
        settling=2.5,
    )


if __name__ == "__main__":
    main()
