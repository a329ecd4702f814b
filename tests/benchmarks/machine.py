"""The machine: what it is, and whether somebody else had it."""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["Watch", "filesystem"]

_PAUSE = 0.1  # seconds, ten ticks of the kernel's clock for each core
_BUSY, _STOLEN = 0.05, 0.02
_STAT = Path("/proc/stat")


class Watch:
    """Looks at the machine whenever the benchmark itself does nothing."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._start = _ticks()
        self._idle: list[tuple[int, int]] = []
        self._pace: list[float] = []

    def look(self) -> None:
        """See for a moment what others do, and how fast the processor is."""
        before = _ticks()
        time.sleep(_PAUSE)
        after = _ticks()
        self._idle.append((after["all"] - before["all"], after["busy"] - before["busy"]))
        start = time.process_time()
        data = b"a" * 2**20
        for _ in range(4):
            hashlib.sha256(data)
        self._pace.append(time.process_time() - start)

    def about(self) -> dict[str, Any]:
        """What was seen: the machine, its load, and the shares that others and the host had."""
        now = _ticks()
        passed = max(1, now["all"] - self._start["all"])
        looked = sum(each for each, _ in self._idle)
        return {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
            "python": platform.python_version(),
            "load": [round(self._load, 1), round(os.getloadavg()[0], 1)],
            "others": round(sum(busy for _, busy in self._idle) / max(1, looked), 3),
            "stolen": round((now["stolen"] - self._start["stolen"]) / passed, 3),
            "pace": [round(each * 1000, 2) for each in _spread(self._pace)],
        }

    @staticmethod
    def doubt(about: dict[str, Any]) -> str:
        """Why a run is not to be believed; empty if it is.

        Args:
            about: What `about` gave.
        """
        why = []
        if about["others"] > _BUSY:
            why.append(f"others had {about['others']:.0%} of the processors while it waited")
        if about["stolen"] > _STOLEN:
            why.append(f"the host took {about['stolen']:.0%} of them away")
        return "; ".join(why)


def filesystem(path: Path) -> str:
    """The kind of filesystem that a folder is on."""
    found = "", "a filesystem"
    for line in Path("/proc/mounts").read_text().splitlines() if sys.platform == "linux" else ():
        point, kind = line.split()[1:3]
        if path.resolve().is_relative_to(point) and len(point) >= len(found[0]):
            found = point, kind
    return found[1]


def _ticks() -> dict[str, int]:
    """Of all cores since the machine started; nothing where the kernel does not say."""
    if not _STAT.exists():
        return {"all": 0, "busy": 0, "stolen": 0}
    user, nice, system, idle, waiting, irq, softirq, stolen = map(
        int, _STAT.read_text().split(maxsplit=9)[1:9]
    )
    busy = user + nice + system + irq + softirq
    return {"all": busy + idle + waiting + stolen, "busy": busy, "stolen": stolen}


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _spread(values: list[float]) -> tuple[float, float, float]:
    if not values:
        return 0, 0, 0
    return min(values), statistics.median(values), max(values)
