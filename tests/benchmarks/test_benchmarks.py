"""The benchmark's own code runs, and what the page shows is what it wrote."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from benchmarks import scale
from benchmarks.__main__ import measure
from benchmarks.bench import Plan, Row
from benchmarks.conversations import MIXED_SMALL, SMALL, Size, documents, ids, turn
from benchmarks.machine import Watch
from benchmarks.original import Original
from benchmarks.report import BEGIN, END, comparison, render, update_page
from benchmarks.results import Results, differences
from benchmarks.subjects import Cost
from benchmarks.targets import behind, verdicts
from statekeep import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = Path(__file__).parents[2] / "docs"
IDLE = {
    "date": "2026-11-26", "minutes": 7.5, "rounds": 3, "quick": False, "memory": "tmpfs",
    "disk": "ext4", "versions": {"statekeep": "0.1.0"}, "cores": 2, "processor": "fast",
    "system": "Linux 6", "python": "3.11.7", "load": [0.1, 1.2], "others": 0.01, "stolen": 0.0,
    "pace": [1.0, 1.1, 1.2],
}  # fmt: skip

# What answers as the original does.
STAND_IN = """
import json, pathlib, sys
sessions = pathlib.Path(sys.argv[-1], "sessions")
sessions.mkdir(parents=True, exist_ok=True)
for line in sys.stdin:
    asked = json.loads(line)
    session = json.loads(asked.get("text", "null"))
    answer = {"ok": None}
    if session and ".." in session["id"]:
        answer = {"err": "invalid file name"}
    elif session:
        (sessions / (session["id"] + ".json")).write_text(asked["text"])
    elif asked["op"] == "prune_sessions":
        found = {json.loads(path.read_text())["updated_at"]: path for path in sessions.iterdir()}
        victims = sorted(found)[: len(found) - asked["max_sessions"]]
        for each in victims:
            found[each].unlink()
        answer = {"ok": len(victims)}
    elif asked["op"] == "list_sessions":
        answer = {"ok": [path.name for path in sessions.iterdir()]}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    path = tmp_path / "stand-in"
    path.write_text(f"#!{sys.executable}\n{STAND_IN}")
    path.chmod(0o755)
    return path


def _plan(folder: Path) -> Plan:
    return Plan(
        disk=folder,
        memory=None,
        original=None,
        peers=False,
        rounds=1,
        sizes={SMALL: 3, MIXED_SMALL: 4},
        crowd=20,
        small_crowd=10,
        processes=2,
        settling=0,
    )


def _row(results: Results, part: str, work: str, subject: str, size: str) -> Row:
    (found,) = [
        row
        for row in results.rows
        if (row.part, row.work, row.subject, row.size) == (part, work, subject, size)
    ]
    return found


@pytest.mark.parametrize("size", [SMALL, MIXED_SMALL])
def test_what_is_stored_are_sessions_of_which_none_is_like_another(size: Size) -> None:
    stored = dict(documents(size, 8))
    read = [Session.from_json(data) for data in stored.values()]
    assert [each.id for each in read] == ids(8) == [*stored]
    assert [each.exchange_count for each in read] == [10] * 8
    updated = [each.updated_at for each in read]
    assert updated == sorted(set(updated))
    assert len({each.user_messages[0].content for each in read}) == 8
    assert {len(message.content) for each in read for message in each.user_messages} == {200}
    assert [*documents(size, 3, 5)] == [*stored.items()][5:]
    assert {len(text) for text in turn(size, 1, 1)} == {200}


def test_mixed_sessions_have_what_the_original_is_measured_with() -> None:
    data = [orjson.loads(each) for _, each in documents(MIXED_SMALL, 8)]
    messages = [
        message for each in data for message in (*each["user_messages"], *each["agent_responses"])
    ]
    text = "".join(message["content"] for message in messages)
    for some in "ť日한🎉ש\u2028\u0000":
        assert some in text
    decimals = {len(message["timestamp"].partition(".")[2].rstrip("Z")) for message in messages}
    assert decimals == {0, 3, 6, 9}
    assert {len(each["metadata"]) for each in data} == {0, 1, 3, 6}


@pytest.mark.rest
def test_it_measures_and_reports_on_a_filesystem(tmp_path: Path) -> None:
    results = measure(_plan(tmp_path), ["sessions", "others", "fleet", "listing", "pruning"])
    for size in (SMALL, MIXED_SMALL):
        for work in ("save, new", "load", "save again", "load, add, save"):
            row = _row(results, "sessions", work, "statekeep, rename", size.name)
            turns = _plan(tmp_path).sizes[size]  # so few that each is one
            assert len(row.wall) == len(row.cpu) == turns
            assert min(row.wall) > 0
    fsync = "others: a power cut takes nothing"
    assert _row(results, fsync, "save again", "bare SQLite, FULL", SMALL.name).wall[0] > 0
    assert (
        _row(results, "fleet", "save again", "statekeep, fsync", "2 processes, fsync").wall[0] > 0
    )
    assert _row(results, "listing", "all, no index", "statekeep, rename", "20").cpu[0] > 0
    assert _row(results, "listing", "kept for each", "statekeep, rename", "20").wall[0] > 0
    assert _row(results, "pruning", "half", "statekeep, rename", "20").wall[0] > 0
    assert {row.kind for row in results.rows} == {"statekeep", "floor"}
    assert not list(tmp_path.iterdir())  # nothing is left

    results.write(tmp_path / "results.json")
    again = Results.read(tmp_path / "results.json")
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    for _ in range(2):
        update_page(page, render(again))
    assert page.read_text() == f"Before.\n\n{BEGIN}\n\n{render(again)}\n{END}\n\nAfter.\n"
    assert "the original" not in render(again)


@pytest.mark.rest
def test_it_measures_conversations(tmp_path: Path) -> None:
    results = measure(replace(_plan(tmp_path), crowd=1_000), ["sessions", "journals"])
    part = "journals: a power cut takes nothing"
    subjects = "statekeep, fsync", "statekeep, SQLite full", "whole session, fsync"
    for subject in (*subjects, "bare SQLite, FULL"):
        for size, work in (
            ("turn 1,000", "append of 1 KB"), ("1,000 turns", "last 20"), ("1,000 turns", "all")
        ):  # fmt: skip
            assert _row(results, part, work, subject, size).wall[0] > 0
    bounds = [verdict.what for verdict in verdicts(results)]
    assert sum("append of 1 KB" in what for what in bounds) == 6  # without turn 10,000
    assert sum("last 20" in what for what in bounds) == 5
    assert not list(tmp_path.iterdir())


@pytest.mark.rest
def test_the_original_is_measured_in_turn_with_the_others(tmp_path: Path, stand_in: Path) -> None:
    (tmp_path / "disk").mkdir()
    plan = replace(_plan(tmp_path / "disk"), original=stand_in, rounds=2, sizes={SMALL: 2})
    results = measure(plan, ["sessions", "listing", "pruning"])
    for work in ("save, new", "load", "save again", "load, add, save"):
        original = _row(results, "sessions", work, "the original", SMALL.name)
        ours = _row(results, "sessions", work, "statekeep, rename", SMALL.name)
        assert results.base(ours) is original
        assert len(original.wall) == len(ours.wall) == 4  # two turns in each round
    assert _row(results, "listing", "all, no index", "the original", "20").cpu[0] > 0
    assert _row(results, "pruning", "half", "the original", "20").wall[0] > 0


def test_what_a_request_to_the_original_costs_is_taken_off(tmp_path: Path, stand_in: Path) -> None:
    class Clocked(Original):
        def _timed(self, line: bytes, wanted: str = "ok") -> tuple[Cost, Any]:
            _, answer = super()._timed(line, wanted)
            return Cost(3, 2) if wanted == "err" else Cost(10, 7), answer

    original = Clocked(str(tmp_path / "store"), str(stand_in))
    original.prepare(SMALL, 2)
    assert original.measure("create") == (Cost(14, 10), None)
    stored = {path.stem: path.read_bytes() for path in (tmp_path / "store/sessions").iterdir()}
    assert stored == dict(documents(SMALL, 2))  # and nothing under another name
    assert original.measure("load") == (Cost(10, 7), None)
    original.change()
    assert original.measure("update") == (Cost(14, 10), None)
    assert original.measure("turn") == (Cost(24, 17), None)  # a load of all, and two saves
    cost, listed = original.measure("newest", None)
    assert (cost, len(listed)) == (Cost(10, 7), 2)
    assert original.measure("prune", [], 1) == (Cost(10, 7), 1)
    original.close()


def _results(cpu: Sequence[float], **about: object) -> Results:
    rows = [
        Row("sessions", "tmpfs", "10 x 200, plain", "load", "the original", "original", "s",
            [2.0] * 3, [1.0, 1.0, 2.0]),
        Row("sessions", "tmpfs", "10 x 200, plain", "load", "statekeep, rename", "statekeep", "s",
            [9.0] * 3, [*cpu]),
        Row("others", "ext4", "10 x 200, plain", "load", "statekeep, fsync", "statekeep", "s",
            [2.0] * 3, [1.0] * 3),
        Row("others", "ext4", "10 x 200, plain", "load", "slow", "peer", "s", [3.0] * 3, [3.0] * 3),
        Row("others", "ext4", "10 x 200, plain", "load", "fast", "peer", "s", [1.0] * 3, [1.0] * 3),
    ]  # fmt: skip
    return Results({**IDLE, **about}, rows)


def test_ratios_are_of_each_round_and_of_the_processor_unless_the_disk_is_the_subject() -> None:
    results = _results([1.4, 1.6, 2.6])
    original, ours, saved, _, fast = results.rows
    assert results.ratio(ours, original) == pytest.approx((1.4, 1.3, 1.6))
    assert results.ratio(saved, fast).median == 2  # of wall time


def test_bounds_are_judged_by_the_median() -> None:
    (met,) = verdicts(_results([1.4, 1.6, 2.6]))
    (missed,) = verdicts(_results([1.6, 1.7, 2.6]))
    assert (met.most, met.met, missed.met) == (1.5, True, False)
    assert "| 1.5 | 1.15 | x1.60 (1.30-1.70) | **no** |" in render(_results([1.6, 1.7, 2.6]))


def test_it_says_where_others_are_ahead() -> None:
    assert [(ours.subject, peer.subject) for ours, peer, _ in behind(_results([1, 1, 1]))] == [
        ("statekeep, fsync", "fast")
    ]


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"others": 0.06}, "others had 6% of the processors"),
        ({"stolen": 0.03}, "the host took 3%"),
    ],
)
def test_it_says_when_the_machine_was_too_busy(about: dict[str, object], why: str) -> None:
    assert why in Watch.doubt({**IDLE, **about})
    assert f"**The machine was too busy to believe this: {why}" in render(
        _results([1, 1, 1], **about)
    )
    assert not Watch.doubt(IDLE)
    assert "too busy" not in render(_results([1, 1, 1]))


def test_others_who_work_while_it_waits_are_seen() -> None:
    watch = Watch()
    watch._idle = [(20, 0), (20, 4)]
    assert watch.about()["others"] == 0.1
    watch.look()
    assert len(watch._idle) == 3


def test_two_runs_are_compared_by_their_ratios() -> None:
    before, now = _results([1.0, 1.0, 2.0]), _results([1.1, 1.3, 2.4])
    both, differing = differences(before, now)
    assert both == 3
    assert differing == [
        ("sessions, tmpfs, 10 x 200, plain, load: statekeep, rename ÷ the original", 1.0, 1.2)
    ]
    assert comparison(before, now).startswith("1 of 3 ratios differ by more than 15 %")
    assert comparison(before, before) == (
        "0 of 3 ratios differ by more than 15 % from the run before.\n"
    )


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"about": {}, "rows": []}))
    with pytest.raises(ValueError, match="was not written by this version"):
        Results.read(path)


@pytest.mark.rest
def test_it_measures_on_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody's")  # would disturb it, so it must not matter
    results = measure(replace(_plan(tmp_path), sizes={SMALL: 20}), ["buckets"])
    for subject in ("bare obstore", "bare boto3", "statekeep, obstore", "statekeep, s3fs"):
        assert _row(results, "buckets", "save again", subject, SMALL.name).cpu[0] > 0
        assert _row(results, "requests", "load", subject, "one session").wall == [1]
        assert _row(results, "requests", "save again", subject, "one session").wall == [1]
    for subject in ("Sessions in asyncio's executor", "AsyncSessions"):
        for work in ("save", "load"):
            assert _row(results, "at once on S3", work, subject, "2 at once").cpu[0] > 0
    assert sum("at once" in verdict.what for verdict in verdicts(results)) == 2
    # One LIST, and one GET for each.
    for subject in ("statekeep, obstore", "statekeep, s3fs"):
        row = _row(results, "requests", "page, no index", subject, "10 sessions")
        assert row.wall == [11]


@pytest.mark.rest
def test_it_measures_in_databases(tmp_path: Path) -> None:
    plan = replace(_plan(tmp_path), sizes={SMALL: 20}, crowd=1_000)
    results = measure(plan, ["databases"])
    for subject in ("statekeep, PostgreSQL", "bare psycopg"):
        for work in ("save, new", "load", "save again"):
            row = _row(results, "databases", work, subject, SMALL.name)
            assert results.measure_of(row) == "wall"
            assert min(row.wall) > 0
        for work in ("100", "100, again"):
            assert _row(results, "listing in databases", work, subject, "1,000").wall[0] > 0
    part = "journals: in databases"
    servers = {row.place for row in results.rows}
    assert "PostgreSQL" in servers
    for subject in [f"{how}, {each}" for how in ("statekeep", "whole session") for each in servers]:
        for size, work in (
            ("turn 1,000", "append of 1 KB"), ("1,000 turns", "last 20"), ("1,000 turns", "all")
        ):  # fmt: skip
            assert _row(results, part, work, subject, size).wall[0] > 0
    bounds = [verdict.what for verdict in verdicts(results) if "PostgreSQL" in verdict.what]
    assert len(bounds) == 4  # without turn 10,000
    assert not list(tmp_path.iterdir())


@pytest.mark.rest
def test_it_measures_very_many() -> None:
    lines = [line.strip("| ").split(" | ") for line in scale.on_a_server(200)]
    # LIST, GET of the index, GET of each that is unknown, PUT of the index; after many changes
    # also a GET of those beside it and a DELETE; and asking the server whether it keeps the
    # condition of a delete, which takes five.
    assert [line[:2] for line in lines if len(line) > 4] == [
        ["200, no index", "203"],
        ["200, a new process", "2"],
        ["200, the same process again", "1"],
        ["200, 100 of them changed", "105"],
        ["a tenth of 200 pruned", "30"],
    ]
    (line,) = scale.of_the_index(20_001)
    assert line.startswith("| 20,001, a new process | ")
    (line,) = scale.in_postgres(200)
    assert line.startswith("| 200 | ")


def test_the_page_shows_what_the_last_whole_run_wrote() -> None:
    page, results = DOCS / "benchmarks.md", DOCS / "benchmarks" / "results.json"
    written = page.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    if results.exists():
        assert written == render(Results.read(results)).strip()
    else:
        assert written == "There is no whole run yet."
