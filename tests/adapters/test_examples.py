"""The examples in the docs do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "adapters"

SAYS = {
    "interrupt": ["waits for a person: {'send?': 'We refund you.'}", "'verdict': 'yes'"],
    "killed_agent": ["ended with 1", "went on: flight booked and hotel booked"],
    "one_store": ["openai-agents", "claude", "langgraph", "pydantic-ai", "Book my trip"],
    "two_workers": ["200 of 200 messages, 100 answers right after their questions"],
}


def test_all_are_tried() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SAYS}


@pytest.mark.parametrize("example", SAYS)
@pytest.mark.usefixtures("empty_folder")
def test_an_example_does_what_it_says(example: str) -> None:
    _run(example)


@pytest.mark.rest
@pytest.mark.parametrize("example", SAYS)
@pytest.mark.usefixtures("empty_folder")
def test_an_example_runs_on_s3(example: str, request: pytest.FixtureRequest) -> None:
    endpoint = request.getfixturevalue("seaweedfs_url")
    place = request.getfixturevalue("make_s3_place")(endpoint)
    _run(example, f"{place}?endpoint_url={endpoint}")


def _run(example: str, *arguments: str) -> None:
    command = [sys.executable, str(FOLDER / f"{example}.py"), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for said in SAYS[example]:
        assert said in done.stdout
