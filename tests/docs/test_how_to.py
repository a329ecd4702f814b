"""The programs of docs/how-to run as they stand there."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from statekeep import open_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"


def _write_programs(page: str, folder: Path) -> None:
    text = (FOLDER / page).read_text()
    for name, program in re.findall(r"(?ms)^```python\n# (\w+\.py)\n(.*?)^```$", text):
        (folder / name).write_text(program)


@pytest.fixture
def worker(empty_folder: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two processes of Celery, as the page starts them."""
    _write_programs("celery.md", empty_folder)
    monkeypatch.setenv("CELERY_BROKER_URL", valkey_url)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", valkey_url)
    monkeypatch.setenv("STATEKEEP_URL", str(empty_folder / "state"))
    monkeypatch.setenv("STATEKEEP_FORM", "journal")
    (command,) = re.findall(
        r"(?m)^STATEKEEP_URL=\./state (celery .*)$", (FOLDER / "celery.md").read_text()
    )
    with subprocess.Popen(
        [sys.executable, "-m", *command.split(), "--loglevel", "warning"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield
        process.terminate()


@pytest.mark.usefixtures("worker")
def test_tasks_of_one_session_lose_nothing_and_a_task_that_runs_twice_adds_once() -> None:
    program = """
import tasks
again = [tasks.answer.apply_async(("s", "ada", f"said {n}"), task_id=f"t{n}") for n in range(10)]
[each.get(timeout=60) for each in again]
tasks.app.AsyncResult("t3").forget()  # else its result is that of the first time
tasks.answer.apply_async(("s", "ada", "said 3"), task_id="t3").get(timeout=60)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    with open_sessions(os.environ["STATEKEEP_URL"]) as sessions:
        session = sessions.load("s", required=True)
    assert sorted(each.content for each in session.user_messages) == [
        f"said {n}" for n in range(10)
    ]
    assert len(session.agent_responses) == 10


def test_a_function_that_is_called_twice_adds_its_turn_once(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_programs("serverless.md", empty_folder)
    monkeypatch.setenv("STATEKEEP_URL", str(empty_folder / "state"))
    monkeypatch.setenv("STATEKEEP_FORM", "journal")
    handler = runpy.run_path(str(empty_folder / "handler.py"))["handler"]
    event = {"session": "s", "user": "ada", "said": "Hello", "request_id": "r1"}
    assert handler(event, None) == {"messages": 1}
    assert handler(event, None) == {"messages": 1}
    assert handler(event | {"request_id": "r2"}, None) == {"messages": 2}
