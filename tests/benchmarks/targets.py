"""How fast statekeep wants to be, and whether it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.databases import BARE_POSTGRES, IN_POSTGRES, POSTGRES, VALKEY
from benchmarks.journals import ALL, APPEND, LOCKED, ONE_BY_ONE, TAIL, WHOLE
from benchmarks.local import ORIGINAL, PAGE, SCAN
from benchmarks.remote import AT_ONCE, FLOOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Row
    from benchmarks.results import Ratio, Results

__all__ = ["Verdict", "behind", "verdicts"]

_OURS = "statekeep, rename"
_IN_FILE = "statekeep, SQLite normal"


class Verdict(NamedTuple):
    """Whether a bound is met.

    Attributes:
        what: Is measured.
        most: At most so much is wanted.
        stretch: And at best.
        measured: So much it is, of ratios round by round.
    """

    what: str
    most: float
    stretch: float
    measured: Ratio | float

    @property
    def met(self) -> bool:
        """Whether it is within the bound."""
        value = self.measured if isinstance(self.measured, float) else self.measured.median
        return value <= self.most


def verdicts(results: Results) -> Iterator[Verdict]:
    """Compare what was measured with what is wanted; what was not measured is left out."""
    memory, disk = results.about["memory"], results.about["disk"]
    for row in results.rows:
        place, size = row.place, row.size
        if row.part == "sessions" and row.subject == _OURS:
            bounds = {
                (memory, "load"): (1.5, 1.15),
                (memory, "save again"): (1.1, 0.9),
                (disk, "save again"): (1.4, 1.2),
                (memory, "save, new"): (1.2, 1.0),
                (memory, "load, add, save"): (2.0, 1.5),
            }
            yield from _beside(results, row, ORIGINAL, bounds.get((place, row.work)))
        elif row.part == "listing" and row.subject == _OURS and place == disk:
            if row.work == "100":
                yield from _beside(results, row, SCAN, (1.0, 0.85))
            elif row.work == "all, no index":
                yield from _beside(results, row, ORIGINAL, (1.5, 1.2))
            elif row.unit == "B":
                most = 1024.0 if row.work == "kept for each" else 1536.0
                what = f"{place}, {size}: bytes of memory, {row.work}"
                yield Verdict(what, most, most, row.wall[-1])
        elif row.part == "listing" and row.subject == _IN_FILE and row.work == "100":
            yield from _beside(results, row, PAGE, (5.0, 5.0))
        elif row.part == "listing in databases" and row.subject == IN_POSTGRES:
            if row.work in {"100", "100, again"}:
                yield from _beside(results, row, BARE_POSTGRES, (5.0, 5.0))
        elif row.part.startswith("journals") and row.subject.startswith(ONE_BY_ONE):
            yield from _of_journals(results, row)
        elif row.part == "buckets" and row.subject == "statekeep, obstore":
            bounds = {(place, "save again"): (1.5, 1.3), (place, "load"): (1.6, 1.3)}
            yield from _beside(results, row, FLOOR, bounds.get((place, row.work)))
        elif row.part == "at once on S3" and row.subject == "AsyncSessions":
            yield from _beside(results, row, AT_ONCE, (1.0, 0.75))


def _of_journals(results: Results, row: Row) -> Iterator[Verdict]:
    """A turn costs the turn; it and the last ones do not cost the whole."""
    durability = row.subject.rpartition(" ")[2]  # rename, fsync, or how without the power
    late, early, then = "turn 10,000", "turn 100", "turn 1,000"
    whole, locked = (f"{WHOLE}, rename", LOCKED)
    if durability == "fsync":
        whole, locked = f"{WHOLE}, fsync", f"{LOCKED}, fsync"
    elif durability in {POSTGRES, VALKEY}:
        whole = f"{WHOLE}, {durability}"
    flushed = dict.fromkeys(("fsync", POSTGRES, VALKEY), (0.25, 0.25))
    beside_whole = {"rename": (0.05, 0.05), **flushed}.get(durability, (0.2, 0.2))
    bounds = {
        (late, APPEND): [(row.subject, early, APPEND, (1.3, 1.1))],
        (then, APPEND): [(whole, then, APPEND, beside_whole)],
        ("1,000 turns", TAIL): [(row.subject, "1,000 turns", ALL, (0.1, 0.1))],
    }
    if durability in {"rename", "fsync"}:
        most = 3.5 if durability == "rename" else 1.3
        bounds[then, APPEND].append((locked, then, APPEND, (most, most)))
    for subject, size, work, bound in bounds.get((row.size, row.work), ()):
        if base := results.find((row.part, row.place, size, work), subject):
            what = f"{row.place}, {row.size}, {row.work}: {row.subject} ÷ {subject}, {size}, {work}"
            yield Verdict(f"{what} (time)", *bound, results.ratio(row, base))


def behind(results: Results) -> Iterator[tuple[Row, Row, Ratio]]:
    """Where others with equal or weaker guarantees are faster: ours, theirs, and by what."""
    for peer in results.rows:
        if peer.kind != "peer" or peer.unit != "s":
            continue
        for row in results.rows:
            if row.line == peer.line and row.kind == "statekeep":
                ratio = results.ratio(row, peer)
                if ratio.median > 1:
                    yield row, peer, ratio


def _beside(
    results: Results, row: Row, other: str, bound: tuple[float, float] | None
) -> Iterator[Verdict]:
    base = results.find(row.line, other)
    if bound and base:
        measure = {"wall": "time", "cpu": "processor"}[results.measure_of(row)]
        what = f"{row.place}, {row.size}, {row.work}: {row.subject} ÷ {other} ({measure})"
        yield Verdict(what, *bound, results.ratio(row, base))
