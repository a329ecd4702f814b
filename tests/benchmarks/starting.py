"""What starting costs: imports and the first store, in new interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from benchmarks.adapters import Statekeep
from benchmarks.bench import Entry

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Kind

__all__ = ["starting"]

_OURS = {
    "import statekeep": ["-c", "import statekeep"],
    "import Sessions, open_store": ["-c", "from statekeep import Sessions, open_store"],
    'open_store("memory:")': ["-c", "import statekeep; statekeep.open_store('memory:')"],
    "statekeep --help": ["-m", "statekeep.cli", "--help"],
}
_MODEL = """
from pydantic import BaseModel
class Point(BaseModel, defer_build=True):
    x: int
"""
_FLOORS = {
    "python": ["-c", "pass"],
    "import pydantic": ["-c", "import pydantic"],
    # `import pydantic` imports nothing but names; this is what whoever uses it imports. It is built
    # when first used, as statekeep's own.
    "a pydantic model": ["-c", _MODEL],
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
    if bench.plan.peers:
        groups["peer"] = _PEERS
    rounds = 2 * bench.plan.rounds
    # Compiled, as an installer leaves it; somebody's environment may forbid to keep that.
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(-1, rounds):
            for kind, group in groups.items():
                if kind == "peer" and 0 <= number < rounds - 2:
                    continue  # they take long
                for name, arguments in group.items():
                    took = _run([sys.executable, *arguments], environment)
                    if number >= 0:
                        bench.add(Entry(name, Statekeep, kind), "a new process", "start", "", took)


def _run(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start
