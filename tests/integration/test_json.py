"""What commands print with ``--json`` is what docs/schemas says, to the last field."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

import pytest
import schemas
import typer
from jsonschema import Draft202012Validator
from typer.main import get_command

from statekeep import Documents, Journals, Sessions, load_pruner, open_store
from statekeep.cli import watch
from statekeep.cli.app import app
from statekeep.store import Capabilities
from statekeep.store.keys import session_key
from statekeep.testing import conformance
from statekeep.testing.running import Outcome
from statekeep.views.results import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIGURED = """
url = "./state"

[retention]
strategy = "max-sessions"
options = { max_sessions = 2 }
min_idle = "0"

[journal_retention.support]
strategy = "max-sessions"
options = { max_sessions = 1 }
min_idle = "0"
"""
LINES = {
    "conformance": [["conformance", "memory:"]],
    "copy": [["copy", "./state", "./other"], ["copy", "./changed", "./state"]],
    "doctor": [["doctor"], ["doctor", "--repair"]],
    "documents list": [["documents", "list"]],
    "documents show": [
        ["documents", "show", "specs", "plan"],
        ["documents", "show", "specs", "limits"],
    ],
    "erase": [["erase", "ada", "--dry-run"], ["erase", "ada", "--documents", "specs/*"]],
    "export": [["export", "state.jsonl"]],
    "import": [
        ["import", "damaged.jsonl", "--dry-run"],
        ["import", "rollouts", "--from", "codex"],
    ],
    "journals append": [["journals", "append", "support", "ada", "x", "--item", "1"]],
    "journals delete": [["journals", "delete", "support", "ada", "1"]],
    "journals list": [["journals", "list"], ["journals", "list", "support", "--limit", "1"]],
    "journals show": [["journals", "show", "support", "ada", "1"]],
    "journals tail": [["journals", "tail", "support", "ada", "1", "--last", "1"]],
    "plugins": [["plugins"]],
    "prune": [["prune", "--dry-run"], ["prune"]],
    "search": [["search", "Hello", "--context", "1"]],
    "sessions delete": [["sessions", "delete", "s0", "none"]],
    "sessions list": [["sessions", "list", "--all"], ["sessions", "list", "--limit", "1"]],
    "sessions prune": [["sessions", "prune", "--dry-run"], ["sessions", "prune", "--trash", "7d"]],
    "sessions show": [["sessions", "show", "s0"], ["sessions", "show", "s0", "--last", "1"]],
    "stats": [["stats"]],
    "trash empty": [["trash", "empty", "--older-than", "7d"]],
    "trash list": [["trash", "list"], ["trash", "list", "--collection", "support"]],
    "watch": [["watch"]],
}
OF_LINES = {"search", "watch"}
"""Commands that print an object for each of what they find."""


@pytest.fixture
def filled(empty_folder: Path) -> Path:
    """A folder with a store that has something of everything, something wrong included."""
    (empty_folder / "statekeep.toml").write_text(CONFIGURED)
    with open_store(empty_folder / "state") as store:
        sessions = Sessions(store)
        for n in range(4):
            session = sessions.get_or_create("ada" if n % 2 else "bob", f"s{n}")
            session.add_user_message("Hello")
            session.add_agent_response("Hello to you", phase_reached="greeting")
            session.metadata["title"] = "A title"
            sessions.save(session)
        sessions.pin("s1", datetime.now(UTC) + timedelta(days=1))
        sessions.get_or_create("ada", "gone")
        sessions.delete("gone", trash=True)
        for n in range(3):
            journal = Journals(store, "support").open("ada", f"{n}")
            journal.append([{"role": "user", "content": "Hello"}, "Hello"], user_id="ada")
        newest = load_pruner("max-sessions", max_sessions=2)
        Journals(store, "support").prune(newest, trash=timedelta(days=7))
        Documents(store).save_markdown("specs", "plan", "# Plan for ada")
        Documents(store).save_json("specs", "limits", {"tokens": 5})
        store.put(session_key("bad"), b"{")
    with open_store(empty_folder / "changed") as store:
        store.put("specs/plan.md", b"# Another")
    (empty_folder / "damaged.jsonl").write_bytes(
        b'{"statekeep":{"export":1,"created_at":"","prefix":"","include":[]}}\n{"key"\n'
    )
    (empty_folder / "rollouts").mkdir()
    rollout = empty_folder / "rollouts" / "rollout-1.jsonl"
    rollout.write_text('{"type": "session_meta", "payload": {}}\nno JSON\n')
    (empty_folder / "rollouts" / "rollout-2.jsonl").mkdir()
    return empty_folder


@pytest.fixture
def _few_promises(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    outcomes = Outcome("it holds", "holds"), Outcome("it breaks", "broken", "it did")
    claims = Capabilities(conditional_put=True, conditional_delete=True, shared=False)
    found = conformance.Conformance("memory:", claims, outcomes)
    monkeypatch.setattr(conformance, "check_store", lambda *_, **__: found)
    yield
    logging.disable(logging.NOTSET)  # what some commands show in their report, they do not log


@pytest.fixture
def _one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `watch`, which has no end, one look at what has changed."""
    looks = 0

    def wait(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks > 1:
            raise typer.Exit
        with open_store("./state") as store:
            Sessions(store).add_turn("s0", user=["More"])
            Sessions(store).delete("s1")
            Journals(store, "support").open("new").append([1])

    monkeypatch.setattr(watch, "_wait", wait)


def printed(line: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    said = BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", TextIOWrapper(said))
        get_command(app).main([*line, "--json"], prog_name="statekeep", standalone_mode=False)
        return said.getvalue().decode()


def _commands(command: Any, *path: str) -> Iterator[str]:
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from _commands(each, *path, name)
        elif any(param.name == "as_json" for param in each.params):
            yield " ".join((*path, name))


def test_every_command_that_gives_json_is_tried() -> None:
    assert set(_commands(get_command(app))) == RESULTS.keys() == LINES.keys(), (
        "describe what it prints in core/statekeep/views/results.py, and try it here"
    )


@pytest.mark.parametrize("command", LINES)
@pytest.mark.usefixtures("filled", "_few_promises", "_one_look")
def test_output_is_as_the_schema_says(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = schemas.FOLDER / f"{command.replace(' ', '-')}.json"
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for line in LINES[command]:
        said = printed(line, monkeypatch)
        values = [json.loads(each) for each in said.splitlines()] if command in OF_LINES else None
        for value in values or [json.loads(said)]:
            assert value, line
            wrong = {each.json_path: each.message for each in validator.iter_errors(value)}
            assert not wrong, line


def test_the_schemas_are_those_of_the_code() -> None:
    found = {path.name: path.read_text() for path in schemas.FOLDER.glob("*.json")}
    assert found == schemas.files(), "run: make schemas"


def test_a_field_that_is_not_described_is_refused() -> None:
    schema = json.loads((schemas.FOLDER / "trash-empty.json").read_text())
    assert Draft202012Validator(schema).is_valid({"purged": 1})
    assert not Draft202012Validator(schema).is_valid({"purged": 1, "more": 2})
