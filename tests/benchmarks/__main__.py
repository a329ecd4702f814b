"""`make bench`: measures, prints, and writes docs/benchmarks.md anew."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import local, remote, starting
from benchmarks.bench import Bench, Plan
from benchmarks.conversations import HUGE, LARGE, SMALL
from benchmarks.report import render, update_page
from benchmarks.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["PARTS", "main", "measure"]

_ROOT = Path(__file__).parents[2]

PARTS: dict[str, Callable[[Bench], None]] = {
    each.__name__: each
    for each in (
        local.turns,
        local.fleet,
        local.listing,
        local.pruning,
        remote.buckets,
        remote.requests,
        starting.starting,
    )
}


def main() -> None:
    """Read the command line, measure, print and write."""
    arguments = _parser().parse_args()
    whole = not (arguments.quick or arguments.parts or arguments.no_peers)
    target: Path = arguments.into or (_ROOT / "docs" if whole else _ROOT / "build")
    path = target / "benchmarks" / "results.json"
    if not arguments.redraw:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = arguments.parts or [*PARTS]
        measure(_plan(arguments), parts, quick=arguments.quick).write(path)
    results = Results.read(path)  # with the digits that were written, as everything else shows them
    sys.stdout.write(render(results))
    from benchmarks.plots import draw

    draw(results, path.parent)
    page = target / "benchmarks.md"
    if page.exists():
        update_page(page, results)


def measure(plan: Plan, parts: Iterable[str], *, quick: bool = False) -> Results:
    """Measure the parts that are named, in turn.

    Args:
        plan: How much.
        parts: Some of `PARTS`.
        quick: Whether the plan is too short to trust.
    """
    with Bench(plan) as bench:
        for part in parts:
            sys.stderr.write(f"{part} … ")
            sys.stderr.flush()
            start = time.monotonic()
            bench.part = part
            PARTS[part](bench)
            sys.stderr.write(f"{time.monotonic() - start:.0f} s\n")
        memory = local.filesystem(plan.memory) if plan.memory else ""
        disk = local.filesystem(plan.disk)
        return Results.of(bench.rows, memory=memory, disk=disk, quick=quick)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="only these")
    parser.add_argument("--quick", action="store_true", help="small and short: a minute or two")
    parser.add_argument("--no-peers", action="store_true", help="statekeep and bare calls only")
    parser.add_argument(
        "--disk", type=Path, default=Path(tempfile.gettempdir()), help="a folder on a real disk"
    )
    parser.add_argument(
        "--into", type=Path, help="where to write; by default docs/ after a whole run, else build/"
    )
    parser.add_argument(
        "--redraw", action="store_true", help="measure nothing; show the last results anew"
    )
    return parser


def _plan(arguments: argparse.Namespace) -> Plan:
    memory = Path("/dev/shm")
    common = {
        "disk": arguments.disk,
        "memory": memory if memory.is_dir() else None,
        "peers": not arguments.no_peers,
        "processes": 8,
        "threads": 32,
        "settling": 2.5,
    }
    if arguments.quick:
        return Plan(
            **common,
            rounds=3,
            seconds=0.02,
            sizes=(SMALL, LARGE),
            counts=(100, 1000),
            many=(),
            objects=(100,),
            counted=(10, 100),
        )
    return Plan(
        **common,
        rounds=9,
        seconds=0.1,
        sizes=(SMALL, LARGE, HUGE),
        counts=(1000, 10_000),
        many=(100_000,),
        objects=(100, 1000),
        counted=(10, 100, 1000, 10_000),
    )


if __name__ == "__main__":
    main()
