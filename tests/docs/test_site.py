"""The documentation site builds without a warning, and has every public name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

import statekeep
from statekeep.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCUMENTED = {
    name
    for page in (ROOT / "docs" / "reference").glob("*.md")
    for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_public_package_has_a_page() -> None:
    packages = re.findall(r"`(statekeep\.\w+)`", statekeep.__doc__ or "")
    assert len(packages) > 10
    ours = {name for name in DOCUMENTED if name.split(".")[0] == "statekeep"}
    assert {"statekeep", *packages} == ours


def test_every_public_package_can_be_reached_from_the_front_door() -> None:
    for name in DOCUMENTED - {"statekeep"}:
        package, _, module = name.partition(".")
        if package == "statekeep":
            assert getattr(statekeep, module).__name__ == name


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    found = {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    missing = {
        f"{module}.{name}"
        for module in DOCUMENTED
        for name in _public(module)
        if f"{module}.{name}" not in found
    }
    assert not missing


def test_every_option_of_every_command_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "commands" / "index.html").read_text()
    helps = dict(re.findall(r"<h2[^>]*>([\w ]+)<a.*?<code>(.*?)</code>", page, re.DOTALL))
    commands: Any = get_command(app)
    assert "statekeep browse" in helps
    for path, command in _commands("statekeep", commands):
        for option in command.params:
            for name in getattr(option, "opts", ()):
                if name.startswith("-") and not option.hidden:
                    assert name in helps[path], (path, name)


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(f"{path} {name}", each)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert [each for each in loaded if "statekeep" not in each] == [], page


def test_every_page_is_in_the_navigation_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    named = re.findall(r"(?m)^ +- (?:[^:\n]+: )?([\w/-]+\.md)$", text)
    assert len(named) == len(set(named))
    pages = {
        str(page.relative_to(ROOT / "docs"))
        for page in (ROOT / "docs").rglob("*.md")
        if "examples" not in page.parts and not re.match(r"\d{3}-", page.name)
    }
    assert pages == set(named) - {"changelog.md", "reference/commands.md"}


def test_every_decision_is_listed() -> None:
    listed = re.findall(
        r"\((\d{3}-[\w-]+\.md)\)", (ROOT / "docs" / "adr" / "README.md").read_text()
    )
    assert listed == sorted(page.name for page in (ROOT / "docs" / "adr").glob("0*.md"))


def _public(module: str) -> list[str]:
    """The names of ``__all__``, read and not imported: some need an extra."""
    if module == "statekeep":
        return [name for name in statekeep.__all__ if name != "__version__"]
    place = Path(*module.split("."))
    for folder in ("core", "plugins"):
        for path in (ROOT / folder / place / "__init__.py", ROOT / folder / f"{place}.py"):
            if path.exists():
                for node in ast.parse(path.read_text()).body:
                    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                        return list(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")
