"""What starting costs: imports and the first store, in new interpreters."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.bench import Entry
from benchmarks.subjects import Statekeep

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Kind

__all__ = ["starting"]

_OURS = {
    "import statekeep": ["-c", "import statekeep"],
    'open_store("memory:")': ["-c", "import statekeep; statekeep.open_store('memory:')"],
    "statekeep --help": ["-m", "statekeep.cli", "--help"],
}
_FLOORS = {
    "python": ["-c", "pass"],
    "import pydantic": ["-c", "import pydantic"],
    # The line above imports nothing but names; whoever makes a model imports this.
    "pydantic's BaseModel": ["-c", "from pydantic import BaseModel"],
}
_PEERS = {
    f"import {module}": ["-W", "ignore", "-c", f"import {module}"]
    for module in (
        "strands.session.file_session_manager",
        "agents.memory",
        "langgraph.checkpoint.sqlite",
        "key_value.aio.stores.disk",
        "diskcache",
    )
}


def starting(bench: Bench) -> None:
    """Start Python and import."""
    groups: dict[Kind, dict[str, list[str]]] = {"floor": _FLOORS, "statekeep": _OURS}
    rounds = 2 * bench.plan.rounds
    for number in range(rounds):
        if number == rounds - 2 and bench.plan.peers:
            groups["peer"] = _PEERS  # they take long
        for kind, group in groups.items():
            for name, arguments in group.items():
                command = [sys.executable, *arguments]
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                took = time.perf_counter() - start
                bench.add(Entry(name, Statekeep, kind), "a new process", "start", "", took)
