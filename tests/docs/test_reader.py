"""The reader of format 2 in the docs reads the test vectors."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from support import DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = DATA.parents[1] / "docs" / "format.md"
VECTORS = DATA / "journals"


def cases(file: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((VECTORS / file).read_text())
    return {name: case for name, case in found.items() if "error" not in case}


JOURNALS, SESSIONS = cases("cases.json"), cases("sessions.json")


@pytest.fixture(scope="module")
def read() -> Callable[[Path, str], tuple[dict[str, Any], dict[str, Any], list[Any]]]:
    page = PAGE.read_text()
    code = page.partition("### A reader")[2].partition("```python\n")[2].partition("```")[0]
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    found: Callable[[Path, str], tuple[dict[str, Any], dict[str, Any], list[Any]]]
    found = namespace["read"]
    return found


def folder_with(head: Path, folder: Path) -> Path:
    shutil.copytree(VECTORS / "segments", folder / ".statekeep" / "segments")
    shutil.copy(head, folder / "head")
    return folder


@pytest.mark.parametrize("name", JOURNALS)
def test_it_reads_journals(name: str, tmp_path: Path, read: Callable[..., Any]) -> None:
    case = JOURNALS[name]
    about, metadata, items = read(
        folder_with(VECTORS / "heads" / f"{name}.jsonl", tmp_path), "head"
    )
    assert (items, metadata) == (case["items"], case["metadata"])
    assert (about["user_id"], about["updated_at"]) == (case["user_id"], case["updated_at"])


@pytest.mark.parametrize("name", SESSIONS)
def test_it_reads_sessions(name: str, tmp_path: Path, read: Callable[..., Any]) -> None:
    case = SESSIONS[name]
    about, _, items = read(folder_with(VECTORS / "sessions" / f"{name}.jsonl", tmp_path), "head")
    assert about["id"] == "plan"
    assert "".join(role[0] for item in items for role in item) == case["roles"]
    said = [item["user"] for item in items if "user" in item]
    assert said == case["session"]["user_messages"]
