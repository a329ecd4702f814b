"""The benchmark's own code runs, and what the page shows is what it wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import scale
from benchmarks.__main__ import measure
from benchmarks.bench import Plan
from benchmarks.conversations import Size, as_dict, as_json, ids
from benchmarks.report import render, update_page
from benchmarks.results import Results
from statekeep import Session

if TYPE_CHECKING:
    from benchmarks.bench import Row

DOCS = Path(__file__).parents[2] / "docs"
TINY = Size("2 x 20", 2, 20)


def _plan(folder: Path) -> Plan:
    return Plan(
        disk=folder,
        memory=None,
        peers=False,
        rounds=2,
        seconds=0,
        sizes=(TINY, Size("3 x 20", 3, 20)),
        counts=(20,),
        many=(30,),
        objects=(10,),
        counted=(10,),
        processes=2,
        threads=2,
        settling=0,
    )


def _row(results: Results, part: str, work: str, subject: str, size: str) -> Row:
    (found,) = [
        row
        for row in results.rows
        if (row.part, row.work, row.subject, row.size) == (part, work, subject, size)
    ]
    return found


def test_what_is_stored_are_sessions() -> None:
    first, second = ids(2)
    stored = dict(as_json(TINY, [first, second]))
    one, other = (Session.from_json(data) for data in stored.values())
    assert (one.id, other.id) == (first, second)
    assert one.updated_at < other.updated_at
    assert one.exchange_count == 2
    assert {len(each.content) for each in one.user_messages} == {20}
    assert as_dict(TINY, second).keys() == Session.from_json(stored[second]).model_dump().keys() - {
        "active_seed_id",
        "active_persona_id",
    }


def test_it_measures_and_reports_on_a_filesystem(tmp_path: Path) -> None:
    results = measure(_plan(tmp_path), ["turns", "fleet", "listing", "pruning"])
    saved = _row(results, "turns", "save", "statekeep, fsync", TINY.name)
    assert len(saved.rounds) == 2
    assert min(saved.rounds) > 0
    assert _row(results, "fleet", "load", "statekeep, rename", "2 processes").unit == "1/s"
    assert _row(results, "listing", "all, no index", "statekeep, rename", "30").median > 0
    assert _row(results, "listing", "memory for each", "statekeep, rename", "20").median > 0
    assert _row(results, "pruning", "half, 2 processes", "statekeep, rename", "20").median > 0
    assert not list(tmp_path.iterdir())  # nothing is left

    path = tmp_path / "results.json"
    results.write(path)
    again = Results.read(path)
    page = tmp_path / "page.md"
    page.write_text((DOCS / "benchmarks.md").read_text())
    update_page(page, again)
    assert "| statekeep, rename " in render(again)
    assert page.read_text().count(render(again)) == 1
    update_page(page, again)
    assert page.read_text().count(render(again)) == 1


@pytest.mark.rest
def test_it_measures_on_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody's")  # would disturb it, so it must not matter
    results = measure(replace(_plan(tmp_path), rounds=1), ["buckets", "requests"])
    assert _row(results, "listing", "all, new process", "statekeep, s3fs", "10").median > 0
    assert _row(results, "fleet", "load", "bare boto3", "2 threads").median > 0
    for work in ("get bytes", "put bytes"):
        for subject in ("bare boto3", "statekeep, s3fs", "statekeep, obstore"):
            assert _row(results, "fleet", work, subject, "2 at once").median > 0
    # One LIST, and one GET for each.
    for client in ("s3fs", "obstore"):
        name = f"statekeep, {client}"
        assert _row(results, "requests", "list, no index", name, "10").rounds == [11]
        assert _row(results, "requests", "save", name, "10 x 200").rounds == [1]


@pytest.mark.rest
def test_it_measures_very_many() -> None:
    lines = [line.strip("| ").split(" | ") for line in scale.on_a_server(200)]
    # LIST, GET of the index, GET of each that is unknown, PUT of the index; and asking the
    # server whether it keeps the condition of a delete.
    assert [line[:2] for line in lines if len(line) > 4] == [
        ["200, no index", "203"],
        ["200, a new process", "2"],
        ["200, the same process again", "1"],
        ["200, 100 of them changed", "103"],
        ["a tenth of 200 pruned", "25"],
    ]
    (line,) = scale.of_the_index(20_001)
    assert line.startswith("| 20,001, a new process | ")


def test_the_page_shows_what_the_last_run_wrote() -> None:
    results = Results.read(DOCS / "benchmarks" / "results.json")
    assert (DOCS / "benchmarks.md").read_text().count(render(results)) == 1
