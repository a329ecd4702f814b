"""Virtual environments, and what is installed into them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UV = (sys.executable, "-m", "uv", "--quiet")


def make_venv(folder: Path) -> Path:
    """Make one without pip; gives its Python."""
    check([sys.executable, "-m", "venv", "--without-pip", folder])
    return folder / "bin" / "python"


def install(python: Path, *wanted: str) -> None:
    """Install into the environment of that Python."""
    # Claude's wheel carries a program of 300 MB; its source distribution does not.
    lean = ("--no-binary", "claude-agent-sdk")
    ended = _run([*UV, "pip", "install", "--python", python, *lean, *wanted])
    if ended.returncode:
        # It does not read the configuration of pip, which may be needed to reach the packages.
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        check([*pip, "--python", python, "install", "--no-compile", *lean, *wanted])


def check(command: Iterable[str | Path], **variables: str) -> None:
    """Run a command that must go well."""
    ended = _run(command, **variables)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _run(command: Iterable[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(command),
        env={**os.environ, **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
