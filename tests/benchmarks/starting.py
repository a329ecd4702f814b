"""What a new process costs before it does anything: Python, imports, the command line."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import sysconfig
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import Entry, folder
from benchmarks.floors import BareFiles
from benchmarks.subjects import Cost, Statekeep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench import Bench

__all__ = ["starting"]

_COMMAND = str(Path(sysconfig.get_path("scripts")) / "statekeep")
_IMPORTS = {
    "pydantic's models": "from pydantic import BaseModel",
    "statekeep's names": "import statekeep",
    "Sessions and open_store": "from statekeep import Sessions, open_store",
}
_COMMANDS = {
    "statekeep --version": ["--version"],
    "statekeep --help": ["--help"],
    "statekeep sessions list": ["--store", ".", "sessions", "list"],
}


def starting(bench: Bench) -> None:
    """Start processes that import, and some that run the command line in an empty store."""
    python = Entry("Python", BareFiles, "floor")
    with folder(bench.plan.disk) as place:
        for _ in bench.rounds(bench.plan.rounds):
            cost = _start([sys.executable, "-c", ""], place)
            bench.add(python, "a new process", "start", "to the end", cost)
            for name, code in _IMPORTS.items():
                cost = _start([sys.executable, "-c", code], place)
                bench.add(_ours(name), "a new process", "start", "to the end", cost)
            for name, arguments in _COMMANDS.items():
                cost = _start([_COMMAND, *arguments], place)
                bench.add(_ours(name), "a new process", "start", "to the end", cost)


def _ours(name: str) -> Entry:
    return Entry(name, Statekeep, "statekeep")


def _start(command: Sequence[str], place: str) -> Cost:
    # What is not compiled yet, or may not be kept compiled, takes twice as long.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = partial(
        subprocess.run, command, check=True, capture_output=True, cwd=place, env=environment
    )
    start()
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    start()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - begun, cpu)
