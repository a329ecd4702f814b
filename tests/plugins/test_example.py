"""The example of the docs, built and installed as a user would, does what the guide says."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
from installing import install, make_venv
from plugins.conftest import EXAMPLE, Environment

if TYPE_CHECKING:
    from pathlib import Path

    from plugins.conftest import MakeOnce


GUIDE = EXAMPLE.parents[1] / "write-a-backend.md"


@pytest.fixture
def example(wheels: dict[str, Path], make_once: MakeOnce, tmp_path: Path) -> Environment:
    """Its tests, and an environment into which its wheel was installed."""
    wanted = (f"{wheels['statekeep']}[cli]", f"{wheels['statekeep-onefile']}[test]")
    venv = make_once("example", lambda folder: install(make_venv(folder), *wanted))
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    shutil.copy(EXAMPLE / "pyproject.toml", tmp_path)
    return Environment(venv / "bin", (), tmp_path)


@pytest.mark.rest
def test_its_own_tests_pass(example: Environment) -> None:
    done = example.shell("pytest -ra", TMPDIR=str(example.folder))
    assert done.code == 0, done.out
    assert " passed" in done.out
    for power in ("conditional_put", "conditional_delete", "shared"):
        assert f"not claimed: {power}" not in done.out


@pytest.mark.rest
def test_it_is_listed_with_its_options(example: Environment) -> None:
    plugins = example.plugins()
    backend = plugins["backends", "onefile", "statekeep-onefile"]
    pruner = plugins["pruners", "last-of-day", "statekeep-onefile"]
    assert backend["status"] == pruner["status"] == "ok"
    assert list(backend["schema"]["properties"]) == ["timeout"]
    assert list(pruner["schema"]["properties"]) == ["full_days"]


@pytest.mark.rest
def test_the_commands_of_the_guide_do_what_it_says(example: Environment) -> None:
    scripts = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    # The first is what the fixture and the test above have done.
    assert scripts.pop(0).endswith("pytest\n")
    told = [example.shell(script) for script in scripts]
    for done in told:
        assert done.code == 0, done.err
        assert not done.err
    assert "statekeep-onefile 1.0" in told[1].out
    assert "The store is onefile:" in told[1].out
    assert "It keeps all" in told[0].out
    assert "0 would be pruned, 1 kept" in told[-1].out
    assert (example.folder / "state.db").exists()


def test_it_has_types(example: Environment) -> None:
    told = example.python("""
import statekeep_onefile
tell(Path(statekeep_onefile.__file__).with_name("py.typed").exists())
""")
    assert told.told
