"""What statekeep and others do in the same small experiments: `make bench BENCH=guarantees`.

Unlike the other parts this one measures what is kept, not only what it costs. Each experiment runs
in processes of their own, and its facts go to `docs/benchmarks/guarantees.json`, from which the
tables of `docs/comparison.md` are made.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.guarantees import candidates, frameworks, strands_agents, values
from benchmarks.guarantees.experiments import EXPERIMENTS, Scale
from benchmarks.guarantees.work import warm
from benchmarks.machine import Watch, filesystem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.guarantees.candidates import Candidate

__all__ = ["CANDIDATES", "JOURNALS", "QUICK", "compare"]

QUICK = Scale(changes=10, kills=5, base=20, crowd=100, turns=50, more=5)
"""Too little to believe, but enough to see that all of it works."""

JOURNALS = (candidates.StatekeepFolderJournal, candidates.StatekeepFileJournal)
"""For long conversations only."""

CANDIDATES: Sequence[type[Candidate]] = (
    candidates.StatekeepFolder,
    candidates.StatekeepFile,
    *JOURNALS,
    frameworks.OpenAIAgents,
    frameworks.LangGraph,
    strands_agents.StrandsFiles,
    strands_agents.StrandsSnapshots,
    frameworks.GoogleADK,
    frameworks.PydanticAI,
    values.KeyValueDisk,
    values.KeyValueFiles,
    values.DiskCache,
)
_LONG = ("kills", "turn")
_MEMORY = Path("/dev/shm")


def compare(
    disk: Path,
    scale: Scale | None = None,
    chosen: Sequence[type[Candidate]] = CANDIDATES,
    experiments: Sequence[str] = tuple(EXPERIMENTS),
) -> dict[str, Any]:
    """Do the experiments with each candidate.

    Args:
        disk: A folder on a real disk.
        scale: How much; by default what the page says.
        chosen: The candidates.
        experiments: Names of `EXPERIMENTS`.

    Returns:
        What was found, by experiment and candidate, and what it was found with.
    """
    begun, scale, watch = time.monotonic(), scale or Scale(), Watch()
    watch.look()
    warm(chosen)
    found: dict[str, dict[str, Any]] = {}
    for name in experiments:
        # Storing ten thousand is not the subject of a listing, and reads come from memory anyway.
        within = _MEMORY if name == "listing" and _MEMORY.is_dir() else disk
        for candidate in chosen:
            if candidate in JOURNALS and name not in _LONG:
                continue
            start = time.monotonic()
            folder = Path(tempfile.mkdtemp(dir=within))
            try:
                result = EXPERIMENTS[name](candidate, folder, scale)
            finally:
                shutil.rmtree(folder)
            found.setdefault(name, {})[candidate.name] = result
            sys.stderr.write(f"{name}, {candidate.name}: {time.monotonic() - start:.0f} s\n")
    watch.look()
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "disk": filesystem(disk),
        "versions": {name: version(name) for each in chosen for name in each.distributions},
        "scale": vars(scale),
    }
    return {"format": 1, "about": about | watch.about(), "found": _rounded(found)}


def _rounded(value: Any) -> Any:
    """With as many digits as mean something."""
    rounded: Any = json.loads(
        json.dumps(value), parse_float=lambda text: float(f"{float(text):.4g}")
    )
    return rounded
