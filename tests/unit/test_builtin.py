"""The built-in plugins are found also where nothing says that statekeep is installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from statekeep.plugins import builtin
from statekeep.plugins.builtin import BUILTIN

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]

_WITHOUT_METADATA = """
import importlib.metadata
found = importlib.metadata.distributions
importlib.metadata.distributions = lambda **about: (
    each for each in found(**about) if each.name != "statekeep"
)
from statekeep import load_pruner, open_store
from statekeep.plugins.loader import Plugins
with open_store("memory:") as store:
    print(store)
with open_store("./state") as store:
    store.put("a.md", b"x")
load_pruner("ttl")
for each in Plugins().list():
    print(each.group, each.name, each.distribution, each.status)
"""


def test_what_is_built_in_is_what_the_distribution_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == BUILTIN


def test_they_are_found_without_metadata(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WITHOUT_METADATA]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    store, *plugins = ended.stdout.splitlines()
    assert store == "memory:"
    assert plugins == [
        f"{group.removeprefix('statekeep.')} {name} statekeep ok"
        for group in (
            "statekeep.backends",
            "statekeep.pruners",
            "statekeep.importers",
            "statekeep.observers",
            "statekeep.commands",
        )
        for name in sorted(BUILTIN[group])
    ]


def test_a_copy_without_the_backends_offers_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda _: None)
    assert builtin.missing_from("statekeep.backends", set()) == []
