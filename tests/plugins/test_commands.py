"""Commands that plugins add; here, what pip installs is written by hand."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from statekeep.errors import PluginLoadError, PluginNotFoundError
from statekeep.plugins.loader import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GREETING = """
    from statekeep.errors import ConflictError
    from statekeep.plugins import CommandSpec, hookimpl

    def make():
        def greet(name: str, loudly: bool = False) -> None:
            '''Greet somebody.'''
            if name == "nobody":
                raise ConflictError("there is nobody")
            print(f"Hello {name}" + "!" * loudly)
        return greet

    @hookimpl
    def statekeep_commands():
        return [CommandSpec("greet", "Greet somebody.", make)]
"""
BROKEN = {
    "cannot be imported": "raise ImportError('a library is missing')",
    "has no hook": "",
    "gives none": GREETING.replace('CommandSpec("greet", "Greet somebody.", make)', "'greet'"),
    "gives another": GREETING.replace('"greet", "Greet', '"other", "Greet'),
    "ends the program": "raise SystemExit('not here')",
    "says nothing of itself": GREETING.replace('"Greet somebody."', "None"),
    "makes nothing": GREETING.replace('somebody.", make', 'somebody.", None'),
}
LATE = {
    "makes nothing": GREETING.replace("return greet", "raise RuntimeError('no licence')"),
    "ends the program": GREETING.replace("return greet", "raise SystemExit(0)"),
    "makes no function": GREETING.replace("return greet", "return 5"),
    "has odd parameters": GREETING.replace("name: str", "name: Nobody"),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install `odd-statekeep`: one module with commands of these names."""

    def install(source: str, *names: str) -> None:
        (tmp_path / "odd_commands.py").write_text(dedent(source))
        info = tmp_path / "odd_statekeep-1.0.dist-info"
        info.mkdir()
        points = "\n".join(f"{name} = odd_commands" for name in names or ("greet",))
        (info / "entry_points.txt").write_text(f"[statekeep.commands]\n{points}\n")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-statekeep\nVersion: 1.0\n")
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

    return install


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "statekeep.cli", *arguments],
            env={**os.environ, "PYTHONPATH": paths, **environment},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return shell


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    sys.modules.pop("odd_commands", None)


def test_a_command_is_listed_described_and_run(
    install: Callable[..., None], shell: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    install(GREETING)
    assert "greet        Greet somebody." in shell("--help").stdout
    assert "--loudly" in shell("greet", "--help").stdout
    assert shell("greet", "Ada", "--loudly").stdout == "Hello Ada!\n"
    assert shell("odd-statekeep:greet", "Ada").stdout == "Hello Ada\n"
    failed = shell("greet", "nobody")
    assert (failed.returncode, failed.stderr) == (4, "error: there is nobody\n")
    blocked = shell("greet", "Ada", STATEKEEP_PLUGINS="")
    assert (blocked.returncode, "No such command" in blocked.stderr) == (2, True)
    assert "greet" not in shell("--help", STATEKEEP_PLUGINS="").stdout


@pytest.mark.parametrize("how", BROKEN)
def test_one_that_is_broken_is_said_to_be_and_breaks_no_other(
    install: Callable[..., None], how: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from statekeep.cli import extending
    from statekeep.cli.app import app

    install(BROKEN[how])
    plugins = Plugins()
    with pytest.raises(PluginLoadError, match="odd-statekeep"):
        plugins.command("greet")
    assert plugins.command("browse").name == "browse"
    assert {each.name: each.status for each in plugins.list()}["greet"] == "broken"
    monkeypatch.setattr(extending, "installed_plugins", lambda: plugins)
    with pytest.raises(SystemExit) as ended:
        app(["--help"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "Does not work; 'statekeep plugins' says why." in said
    assert "browse" in said
    with pytest.raises(SystemExit) as ended:
        app(["plugins", "--help"])
    assert not ended.value.code
    with pytest.raises(PluginLoadError):
        app(["greet", "Ada"])


def test_one_that_needs_more_packages_says_so_and_breaks_no_help(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from statekeep.cli import extending
    from statekeep.cli.app import app

    needs = "pip install 'odd-statekeep[greet]'"
    install(f'from statekeep.errors import ConfigError\nraise ConfigError("{needs}")')
    plugins = Plugins()
    monkeypatch.setattr(extending, "installed_plugins", lambda: plugins)
    with pytest.raises(SystemExit) as ended:
        app(["--help"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert needs in said
    assert "browse" in said


@pytest.mark.parametrize("how", LATE)
def test_one_that_breaks_when_it_is_made_breaks_when_it_is_named(
    install: Callable[..., None], how: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from statekeep.cli import extending
    from statekeep.cli.app import app

    install(LATE[how])
    plugins = Plugins()
    monkeypatch.setattr(extending, "installed_plugins", lambda: plugins)
    with pytest.raises(SystemExit):
        app(["--help"])
    assert "Greet somebody." in capsys.readouterr().out
    with pytest.raises(PluginLoadError, match="'greet'"):
        app(["greet", "Ada"])


def test_names_of_our_own_commands_are_never_taken(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from statekeep.cli import extending
    from statekeep.cli.app import app

    install(GREETING.replace('"greet"', '"doctor"'), "doctor", "browse")
    plugins = Plugins()
    assert plugins.command("browse").summary.startswith("Show")
    monkeypatch.setattr(extending, "installed_plugins", lambda: plugins)
    with pytest.raises(SystemExit):
        app(["doctor", "--help"])
    assert "Greet" not in capsys.readouterr().out
    with pytest.raises(PluginNotFoundError):
        plugins.command("none")
