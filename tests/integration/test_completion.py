"""Shell completion: it is printed, can be installed, and completes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from statekeep.cli.options import strategies

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = {
    "bash": ("complete -o default -F", ".bash_completions/statekeep.sh", ".bashrc"),
    "zsh": ("compdef _statekeep_completion", ".zfunc/_statekeep", ".zshrc"),
    "fish": ("complete --command statekeep", ".config/fish/completions/statekeep.fish", ""),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that has the command, under the name that shells complete."""
    script = tmp_path / "bin" / "statekeep"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom statekeep.cli import main\nmain()\n")
    script.chmod(0o755)
    return tmp_path


def _run(folder: Path, *words: str, **environment: str) -> str:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        words,
        env={**os.environ, "HOME": str(folder), "PATH": path, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_is_printed_and_installed(folder: Path, shell: str) -> None:
    says, place, read_by = SHELLS[shell]
    shown = _run(folder, "statekeep", _STATEKEEP_COMPLETE=f"source_{shell}")
    assert says in shown
    assert "_STATEKEEP_COMPLETE" in shown
    # Else they ask which shell called them, and take no value.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert _run(folder, "statekeep", "--show-completion", shell, **named).strip() == shown.strip()
    _run(folder, "statekeep", "--install-completion", shell, **named)
    assert (folder / place).read_text().strip() == shown.strip()
    if read_by:
        assert place.partition("/")[0] in (folder / read_by).read_text()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("statekeep ses", {"sessions"}),
        ("statekeep sessions list --sor", {"--sort"}),
        ("statekeep sessions list --sort ", {"updated", "created", "size"}),
        ("statekeep sessions prune --strategy max-", {"max-per-user", "max-sessions"}),
    ],
)
def test_completes_what_was_begun(folder: Path, line: str, completed: set[str]) -> None:
    words = line.split(" ")
    said = _run(
        folder,
        "statekeep",
        _STATEKEEP_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
    )
    assert set(said.split()) == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completes_for_shells_that_show_what_it_means(folder: Path, shell: str) -> None:
    said = _run(
        folder,
        "statekeep",
        _STATEKEEP_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="statekeep ses",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "sessions" in said
    assert "List, show, delete, pin and prune sessions." in said


def test_completes_in_bash_itself(folder: Path) -> None:
    script = """
        eval "$(_STATEKEEP_COMPLETE=source_bash statekeep)"
        COMP_WORDS=(statekeep ses); COMP_CWORD=1
        _statekeep_completion statekeep
        echo "${COMPREPLY[@]}"
    """
    assert _run(folder, "bash", "-c", script) == "sessions\n"


def test_knows_strategies_by_name() -> None:
    names = strategies("")
    assert {"ttl", "ttl+count", "any-of"} <= {*names}
    assert names == sorted(names)
