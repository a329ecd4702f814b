"""Whoever lacks a framework is told which extra brings it."""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from pathlib import Path

import pytest

import statekeep_adapters

ROOT = Path(__file__).parents[2]
EXTRAS = {
    "langgraph": "langgraph",
    "claude": "claude-agent-sdk",
    "openai_agents": "openai-agents",
    "pydantic_ai": "pydantic-ai",
    "strands": "strands-agents",
}


def test_every_adapter_is_known() -> None:
    (folder,) = statekeep_adapters.__path__
    found = {path.stem for path in Path(folder).iterdir() if not path.name.startswith(("_", "py."))}
    assert found == {*EXTRAS}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*EXTRAS.values()} <= {*project["optional-dependencies"]}


@pytest.mark.parametrize("adapter", EXTRAS)
def test_an_adapter_without_its_framework_names_the_extra(adapter: str) -> None:
    with pytest.raises(ImportError, match=rf"pip install 'statekeep\[{EXTRAS[adapter]}\]'"):
        importlib.import_module(f"statekeep_adapters.{adapter}")
