"""The comparison's experiments notice what they are for, and the page shows what they found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.guarantees import CANDIDATES, QUICK, compare
from benchmarks.guarantees.candidates import StatekeepFolder, StatekeepFolderJournal
from benchmarks.guarantees.careless import Careless
from benchmarks.guarantees.experiments import EXPERIMENTS, IDS, Scale
from benchmarks.guarantees.page import read, render, summarize, write
from benchmarks.report import BEGIN, END

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[2] / "docs"
PATH = DOCS / "benchmarks" / "guarantees.json"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@pytest.mark.parametrize(
    ("page", "make"), [(DOCS / "comparison.md", render), (DOCS.parent / "README.md", summarize)]
)
def test_the_page_shows_what_the_last_run_wrote(
    page: Path, make: Callable[[dict[str, Any]], str]
) -> None:
    shown = page.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == make(read(PATH)).strip()


def test_the_run_was_a_whole_one() -> None:
    results = read(PATH)
    assert list(results["found"]) == list(EXPERIMENTS)
    names = {each.name for each in CANDIDATES}
    assert set(results["found"]["turn"]) == names
    scale = results["about"]["scale"]
    assert scale == vars(Scale())


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="was not written by this version"):
        read(tmp_path / "results.json")


def test_a_cell_says_what_was_found(tmp_path: Path) -> None:
    about = read(PATH)["about"]
    found: dict[str, Any] = {
        "race": {"acknowledged": 100, "kept": 51, "twice": 2, "errors": {"Busy": 3}},
        "kills": {"kills": 9, "acknowledged": 20, "lost": 4, "torn": 0, "unreadable": 1},
        "ids": {"../../escape": "written outside", "a/b": "kept", "empty": "refused (OSError)"},
        "listing": {
            "first": {"found": 20, "files": 10_000, "bytes": 5e6, "seconds": 1.23},
            "again": {"found": 20, "files": 1, "bytes": 999, "seconds": 0.0123},
        },
        "turn": {"bytes": 1_234, "seconds": 0.5},
        "deletion": {"deleted": True, "told": ""},
        "users": {"result": "opened"},
    }
    results = {"about": about, "found": {name: {"some": fact} for name, fact in found.items()}}
    write(tmp_path / "results.json", {"format": 1, **results})
    shown = render(read(tmp_path / "results.json"))
    for cell in (
        "**51 of 100**; told by 3 `Busy`, and tried again; 2 are there twice",
        "**4 of 20 acknowledged lost; 1 times it could not be read**",
        "written outside: `../../escape`; kept: `a/b`; refused: empty",
        "999 B, 12 ms; the first time ever: 10,000 files, 5 MB, 1.2 s",
        "1.23 KB, 500 ms",
        "**deleted**",
        "**opened**",
    ):
        assert f"| {cell} |" in shown, cell


@pytest.mark.rest
def test_the_experiments_tell_a_careful_store_from_a_careless_one(tmp_path: Path) -> None:
    chosen = (StatekeepFolder, StatekeepFolderJournal, Careless)
    found = compare(tmp_path, QUICK, chosen)["found"]
    assert not list(tmp_path.iterdir())  # nothing is left
    assert list(found) == list(EXPERIMENTS)

    ours, theirs = ({name: fact.get(each.name) for name, fact in found.items()}
                    for each in (StatekeepFolder, Careless))  # fmt: skip
    assert ours["race"]["acknowledged"] == ours["race"]["kept"] == 20
    assert set(ours["race"]["errors"]) <= {"ConflictError"}
    assert ours["race"]["twice"] == 0
    assert theirs["race"]["kept"] < theirs["race"]["acknowledged"]

    for name in (StatekeepFolder.name, StatekeepFolderJournal.name):
        fact = found["kills"][name]
        assert (fact["lost"], fact["torn"], fact["unreadable"]) == (0, 0, 0)
        assert fact["acknowledged"] >= fact["kills"] == QUICK.kills
    fact = theirs["kills"]
    assert fact["lost"] + fact["torn"] + fact["unreadable"]

    assert ours["ids"] == dict.fromkeys(IDS, "kept") | {"empty": "refused (InvalidKeyError)"}
    assert theirs["ids"]["../../escape"] == "written outside"

    assert ours["listing"]["first"]["files"] >= QUICK.crowd
    assert ours["listing"]["again"]["files"] < 20
    assert theirs["listing"]["again"]["files"] >= QUICK.crowd

    journal = found["turn"][StatekeepFolderJournal.name]["bytes"]
    assert 1_024 < journal < 3_000
    assert ours["turn"]["bytes"] > 50 * 1_024
    assert ours["deletion"] == {"deleted": False, "told": ""}
    assert theirs["deletion"]["deleted"]
    assert (ours["users"], theirs["users"]) == (
        {"result": "OwnershipError"},
        {"result": "opened"},
    )
