"""statekeep as a user installs it, next to the plugins of strangers.

There is one virtual environment, and one more for the example. Each of the `distributions` is
installed into a folder of its own, and a test chooses by PYTHONPATH which of them are there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from installing import UV, check, install, make_venv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    MakeOnce = Callable[[str, Callable[[Path], object]], Path]

_CHECKOUT = Path(__file__).parents[2]
_DISTRIBUTIONS = Path(__file__).with_name("distributions")
EXAMPLE = _CHECKOUT / "docs" / "examples" / "statekeep-onefile"

_BEFORE = """
import json, os, sys
from pathlib import Path
from statekeep import *
from statekeep.config import load_settings
from statekeep.errors import *
from statekeep.retention import Victim

def tell(value):
    print(json.dumps(value))

def imported(prefix):
    return sorted(name for name in sys.modules if name.startswith(prefix))
"""


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """The JSON that it printed; it must have gone well."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Environment:
    """Runs programs in an empty folder, with some of the distributions installed."""

    bin: Path
    installed: tuple[Path, ...]
    folder: Path

    def python(self, source: str, **variables: str) -> Finished:
        """Run a program, which has all of statekeep's names and `tell`."""
        return self._run([self.bin / "python", "-c", _BEFORE + source], variables)

    def statekeep(self, *arguments: str, **variables: str) -> Finished:
        """Run the command line."""
        return self._run([self.bin / "statekeep", *arguments], variables)

    def error_of(self, expression: str, **variables: str) -> tuple[str, str]:
        """The class and the text of the error that an expression ends with."""
        told = self.python(
            f"try:\n    {expression}\n"
            "except StateStoreError as error:\n    tell([type(error).__name__, str(error)])\n"
            "else:\n    tell(['', 'no error'])\n",
            **variables,
        ).told
        return told[0], told[1]

    def plugins(self, **variables: str) -> dict[tuple[str, str, str], dict[str, Any]]:
        """What `statekeep plugins` lists, by group, name and distribution."""
        listed = self.statekeep("plugins", "--json", **variables).told
        return {(each["group"], each["name"], each["distribution"]): each for each in listed}

    def shell(self, script: str, **variables: str) -> Finished:
        """Run a script that finds the programs of the environment first."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return self._run(["sh", "-ec", script], {"PATH": path, **variables})

    def _run(self, command: Iterable[str | Path], variables: dict[str, str]) -> Finished:
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STATEKEEP_", "PYTEST", "PYTHON"))
        }
        path = os.pathsep.join(map(str, self.installed))
        done = subprocess.run(
            list(command),
            cwd=self.folder,
            env={**ours, "PYTHONPATH": path, **variables},
            capture_output=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def environment(
    programs: Path, distributions: dict[str, Path], tmp_path: Path
) -> Callable[..., Environment]:
    """Make an environment with the named distributions."""

    def with_distributions(*names: str) -> Environment:
        return Environment(programs, tuple(distributions[name] for name in names), tmp_path)

    return with_distributions


@pytest.fixture(scope="session")
def programs(wheels: dict[str, Path], make_once: MakeOnce) -> Path:
    """The programs of a virtual environment that has statekeep and nothing it does not declare."""
    wanted = f"{wheels['statekeep']}[cli]"
    folder = make_once("venv", lambda folder: install(make_venv(folder), wanted))
    return folder / "bin"


@pytest.fixture(scope="session")
def distributions(
    wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The folders into which the strangers' distributions are installed."""
    folders = {}
    for project in _projects():
        folder = tmp_path_factory.mktemp(project.name)
        wheel = wheels[f"{project.name}-statekeep"]
        check([*UV, "pip", "install", "--no-deps", "--no-index", "--target", folder, wheel])
        folders[project.name] = folder
    return folders


@pytest.fixture(scope="session")
def wheels(make_once: MakeOnce) -> dict[str, Path]:
    """The wheels of statekeep, of the strangers' distributions and of the example, by name."""
    folder = make_once("wheels", _build)
    return {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in folder.glob("*.whl")}


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Gives a folder that is made once for all the processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                make(folder)
                made.touch()
        return folder

    return make_once


def _build(folder: Path) -> None:
    # Copies keep what a build leaves behind out of the checkout; that of statekeep leaves nothing.
    projects = [*_projects(), EXAMPLE]
    copies = [shutil.copytree(each, folder / "sources" / each.name) for each in projects]
    # Without isolation, which would install the build backend once for each of them.
    options = ("--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    for project in (_CHECKOUT, *copies):
        check([*UV, "build", *options, project])


def _projects() -> list[Path]:
    return sorted(path.parent for path in _DISTRIBUTIONS.glob("*/pyproject.toml"))
