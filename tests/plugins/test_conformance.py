"""A stranger's backend against the contract, by the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


URL = "acme:box.db?tenant=blue"


def conformance(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "statekeep.cli", "conformance", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.rest
def test_a_backend_that_does_not_say_what_is_below_it_is_tested_in_place(
    distributions: dict[str, Path], tmp_path: Path
) -> None:
    refused = conformance(distributions["acme"], tmp_path, URL)
    assert refused.returncode == 2
    assert "--in-place" in refused.stderr
    assert not list(tmp_path.iterdir())
    ended = conformance(distributions["acme"], tmp_path, URL, "--in-place")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "documents are shared among processes" in ended.stdout
    assert "It keeps all " in ended.stdout
