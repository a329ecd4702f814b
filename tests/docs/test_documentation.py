"""Every code block in the README and the docs runs, and what they name exists."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import psycopg
import pytest
import wrappers
from sybil import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

import statekeep
from statekeep import cli, errors, events
from statekeep.cli.errors import EXIT_CODES, FAILED, INTERRUPTED, MEANINGS
from statekeep.config import Settings, load_settings
from statekeep.doctor.findings import FindingKind
from statekeep.erasure import VictimKind
from statekeep.plugins.builtin import BUILTIN
from statekeep.plugins.hooks import HookSpecs
from statekeep.store.query import ORDERS, Filter
from statekeep_plugins import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sybil import Example

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WITH_FRAMEWORKS = ROOT / "docs" / "adapters"
"""Pages whose blocks need the frameworks: `make test-adapters` runs them."""
SERVERS = {"postgresql.md": "postgres_at_hand"}
"""Pages that need a server, each with the fixture that starts it."""
EXAMPLE = ROOT / "docs" / "examples" / "statekeep-onefile"
_QUOTE = re.compile(r"<!-- from (\S+) -->\n(?P<block>```\w+\n(.*?)^```$)", re.DOTALL | re.MULTILINE)


def _run_shell(example: Example) -> None:
    """Blocks of `sh` are for a checkout or a plugin's folder; what they call must exist."""
    for line in example.parsed.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True,
                           capture_output=True)  # fmt: skip
        elif words[:2] == ["pip", "install"]:
            for wanted in words[2:]:
                if wanted != "-e":
                    _check_extra(wanted)
        elif words[:1] == ["statekeep"]:
            before = words.index("--store") if "--store" in words else len(words)
            _ask_for_help(*words[1:before])
        elif words:
            # tests/plugins/test_example.py calls them for good.
            # Pages of docs/how-to call servers; test_how_to.py runs them.
            assert words[0] in {"createdb", "python3", ".", "pytest", "STATEKEEP_URL=./state"}, line


def _check_extra(wanted: str) -> None:
    if wanted == "statekeep":
        return
    named = re.fullmatch(r"(statekeep|\.)\[([\w,]+)\]", wanted)
    assert named, wanted
    project = EXAMPLE if named[1] == "." else ROOT
    metadata = tomllib.loads((project / "pyproject.toml").read_text())
    assert {*named[2].split(",")} <= {*metadata["project"]["optional-dependencies"]}, wanted


def _run_console(example: Example) -> None:
    for line in example.parsed.splitlines():
        assert line.startswith("$ statekeep "), line
        _statekeep(*shlex.split(line)[2:])


def _statekeep(*arguments: str) -> None:
    command = [sys.executable, "-m", "statekeep.cli", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def _ask_for_help(*arguments: str) -> str:
    # In this process, because a new one takes ten times as long, and help opens nothing.
    said = BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", TextIOWrapper(said))
        patch.setattr(sys, "argv", ["statekeep", *arguments, "--help"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = said.getvalue().decode()
    assert not ended.value.code, arguments
    return shown


def _read_toml(example: Example) -> None:
    values = tomllib.loads(example.parsed)
    if "project" not in values:
        load_settings(**values)


EVALUATORS: dict[str, Callable[[Example], str | None]] = {
    "python": PythonEvaluator(),
    "sh": _run_shell,
    "console": _run_console,
    "toml": _read_toml,
}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent != WITH_FRAMEWORKS],
    ids=lambda page: str(page.relative_to(ROOT)),
)
@pytest.mark.usefixtures("empty_folder")
def test_every_code_block_runs(page: Path, request: pytest.FixtureRequest) -> None:
    if page.name in SERVERS:
        request.getfixturevalue(SERVERS[page.name])
    parsers = [CodeBlockParser(language, run) for language, run in EVALUATORS.items()]
    document = Document.parse(str(page), *parsers)
    examples = list(document.examples())
    assert len(examples) == len(re.findall(r"^```\w", page.read_text(), re.MULTILINE)), (
        f"a block has a language that is not run; known: {', '.join(EVALUATORS)}"
    )
    quoted = {match.start("block") for match in _QUOTE.finditer(document.text)}
    for example in examples:
        if example.start not in quoted and not _is_program(example):
            example.evaluate()


@pytest.fixture
def postgres_at_hand(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has what the page of PostgreSQL names, at the place that libpq takes by default."""
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("CREATE DATABASE agents")
        for role in ("owner", "ada"):
            db.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
    about = psycopg.conninfo.conninfo_to_dict(postgres_url)
    monkeypatch.setenv("PGPORT", str(about["port"]))


def test_every_block_of_the_readme_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        monkeypatch.setattr(os, "environ", os.environ.copy())
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        exec(compile(block, f"block {number + 1}", "exec"), {})


def _is_program(example: Example) -> bool:
    """Whether a block is a file of its own; test_how_to.py runs those."""
    named = re.match(r"# \w+\.py\n", example.parsed)
    return bool(named) and Path(example.path).parent.name == "how-to"


def test_what_is_quoted_is_a_file_whole_and_in_order() -> None:
    quoted: dict[Path, str] = {}
    for page in PAGES:
        for match in _QUOTE.finditer(page.read_text()):
            path = page.parent / match[1]
            quoted[path] = quoted.get(path, "") + match[3]
    assert {path.relative_to(EXAMPLE).name for path in quoted} == {
        "pyproject.toml",
        "store.py",
        "pruning.py",
        "test_promises.py",
    }
    for path, text in quoted.items():
        assert _lines(text) == _lines(path.read_text()), path


def _lines(text: str) -> list[str]:
    # Blank ones are lost where a file is cut into pieces.
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_hook_is_described_with_its_signature() -> None:
    described = (ROOT / "docs" / "plugins.md").read_text()
    for name, hook in inspect.getmembers(HookSpecs, inspect.isfunction):
        parameters = list(inspect.signature(hook).parameters.values())[1:]
        arguments = ", ".join(f"{each.name}: {each.annotation}" for each in parameters)
        returns = inspect.signature(hook).return_annotation
        assert f"`{name}({arguments}) -> {returns}`" in described


def test_every_setting_is_described() -> None:
    described = (ROOT / "docs" / "configuration.md").read_text()
    for name in Settings.model_fields:
        assert f"`{name}" in described
        assert f"`STATEKEEP_{name.upper()}" in described


def test_the_wrappers_that_are_shown_are_those_that_the_kit_runs_over() -> None:
    page = (ROOT / "docs" / "wrappers.md").read_text()
    for wrapper in (wrappers.ReadCounter, wrappers.CompressingStore):
        assert inspect.getsource(wrapper).replace("  # noqa: ARG002", "") in page


_PAGES_OF_BACKENDS = {
    "file": "local-disk",
    "postgres": "postgresql",
    **dict.fromkeys(("rediss", "unix", "valkey"), "redis"),
}


@pytest.mark.parametrize("scheme", BUILTIN["statekeep.backends"])
def test_every_backend_is_described_under_the_same_headings_with_its_options(scheme: str) -> None:
    folder = ROOT / "docs" / "backends"
    page = (folder / f"{_PAGES_OF_BACKENDS.get(scheme, scheme)}.md").read_text()
    assert re.findall(r"^## (.+)$", page, re.MULTILINE)[:5] == [
        "When to use it",
        "Opening it",
        "Options",
        "What it promises",
        "What it does not promise",
    ]
    options = page.partition("\n## Options\n")[2].partition("\n## ")[0]
    module = importlib.import_module(BUILTIN["statekeep.backends"][scheme])
    (spec,) = (each for each in module.statekeep_backends() if each.name == scheme)
    named = re.findall(r"^\| (`\w.*?) \|", options, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(named))) == sorted(
        field.alias or name for name, field in spec.config.model_fields.items()
    )


def test_every_kind_of_finding_is_described() -> None:
    described = (ROOT / "docs" / "doctor.md").read_text()
    for kind in get_args(FindingKind):
        assert f"`{kind}`" in described, kind


def test_every_kind_of_victim_of_an_erasure_is_described() -> None:
    described = (ROOT / "docs" / "operators.md").read_text()
    for kind in get_args(VictimKind):
        assert f"`{kind}`" in described, kind


def test_every_filter_and_order_of_a_listing_is_described() -> None:
    described = (ROOT / "docs" / "guide.md").read_text().partition("### Listing")[2]
    described = described.partition("\n## ")[0]
    for field in dataclasses.fields(Filter):
        assert f"`{field.name}`" in described, field.name
    for order in ORDERS.keys() - {"updated"}:
        assert f'`order="{order}"`' in described, order


def test_every_exit_code_is_described_as_the_help_does() -> None:
    table = (ROOT / "docs" / "cli.md").read_text().partition("| exit code | meaning |\n")[2]
    described = re.findall(r"^\| (\d+) \| ([^,;|]+?)(?:[,;][^|]*)? \|$", table, re.MULTILINE)
    assert {int(code): meaning for code, meaning in described} == MEANINGS
    assert {0, FAILED, INTERRUPTED, *EXIT_CODES.values()} == MEANINGS.keys()
    words = " ".join(_ask_for_help().split())
    for code, meaning in MEANINGS.items():
        assert f"{code} {meaning}" in words


def test_every_event_and_error_is_described() -> None:
    described = (ROOT / "docs" / "guide.md").read_text()
    for module in (events, errors):
        for name in module.__all__:
            if inspect.isclass(getattr(module, name)) and "Plugin" not in name:
                assert name in described, name


def test_every_event_and_measurement_is_described_to_those_who_observe() -> None:
    described = (ROOT / "docs" / "observability.md").read_text()
    named = {each.__name__ for each in events.Event.__subclasses__()}
    assert named == set(re.findall(r"^\| `([A-Z]\w+)` \|", described, re.MULTILINE))
    measured = re.findall(r'"(statekeep\.[\w.]+|error\.type)"', inspect.getsource(telemetry))
    assert set(measured) == set(re.findall(r"^\| `([\w]+\.[\w.]+)` \|", described, re.MULTILINE))


_LINK_TO_TEST = re.compile(r"\[`([\w:]+)`\]\(([^)]+)\)")


def test_each_promise_names_tests_that_exist() -> None:
    readme = ROOT / "README.md"
    few = _promises(
        readme, readme.read_text().partition("\n## Promises\n")[2].partition("\n## ")[0]
    )
    page = ROOT / "docs" / "promises.md"
    promises = _promises(page, page.read_text())
    assert len(few) > 9
    assert len(promises) > 100
    shown = set[tuple[str, str]]().union(*promises.values())
    for promise, tests in few.items():
        assert tests <= shown, promise


def _promises(page: Path, text: str) -> dict[str, set[tuple[str, str]]]:
    """The rows of a page's tables, each with the files and names of its tests."""
    found = {}
    for row in re.findall(r"^\| (?!promise \||---)(.+) \|$", text, re.MULTILINE):
        promise, _, cell = row.rpartition(" | ")
        links = _LINK_TO_TEST.findall(cell)
        assert links, f"names no test: {row}"
        assert cell == ", ".join(f"[`{name}`]({path})" for name, path in links), cell
        for name, path in links:
            file = os.path.normpath(page.parent / path)
            assert path == os.path.relpath(file, page.parent), f"another spelling of {file}"
            assert name in _tests_in(file), f"{path} has no {name}"
        found[promise] = {(os.path.normpath(page.parent / path), name) for name, path in links}
    return found


@cache
def _tests_in(file: str) -> set[str]:
    def tests(node: ast.Module | ast.ClassDef, inside: str) -> Iterator[str]:
        for each in node.body:
            if isinstance(each, ast.ClassDef):
                yield from tests(each, f"{inside}{each.name}::")
            elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                yield inside + each.name

    assert Path(file).is_file(), f"there is no {file}"
    return {
        name
        for name in tests(ast.parse(Path(file).read_text()), "")
        if name.rpartition("::")[2].startswith("test_")
    }


def test_the_changelog_begins_with_this_version_or_what_is_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    latest = re.findall(r"(?m)^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", text)
    released = [each for each in latest if each != "Unreleased"]
    assert released[0] == statekeep.__version__
    assert f"\n[{released[0]}]: https://" in text


def test_docstring_examples_are_true() -> None:
    modules = sorted((ROOT / "core" / "statekeep").rglob("*.py"))
    named = [str(path) for path in modules if ">>> " in path.read_text()]
    assert len(named) > 4
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "--doctest-modules",
               "-p", "no:cacheprovider", "--import-mode=prepend", *named]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
