"""What importing and opening cost, in modules: seconds would depend on the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

import statekeep

PLUGINS = {"statekeep_backends", "statekeep_plugins"}
COSTLY = PLUGINS | {
    "asyncio", "boto3", "botocore", "email", "fsspec", "hypothesis", "importlib.metadata",
    "obstore", "pluggy", "psycopg", "pydantic_settings", "pytest", "redis", "rich", "s3fs",
    "starlette", "statekeep.cli", "statekeep.plugins.loader", "statekeep.testing", "trio", "typer",
    "uvicorn",
}  # fmt: skip
OPENED = {"email", "importlib.metadata", "pluggy", "statekeep.plugins.loader", "statekeep_backends"}

# How many modules may come on top of those of `import pydantic`; docs/benchmarks.md says so, too.
NAMES_BUDGET = 5
IMPORT_BUDGET = 190
OPEN_BUDGET = 275
HELP_BUDGET = 315  # which shows the commands of plugins, too: finding those takes some 50


def _imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, check=True, text=True)
    return set(ended.stderr.split())


@pytest.fixture(scope="module")
def pydantic() -> set[str]:
    return _imported_by("import pydantic")


def test_importing_statekeep_imports_names_only(pydantic: set[str]) -> None:
    imported = _imported_by("import statekeep") - pydantic
    assert len(imported) <= NAMES_BUDGET, sorted(imported)


def test_errors_and_the_protocol_come_without_the_models() -> None:
    imported = _imported_by(
        "from statekeep.errors import ConflictError; from statekeep.store import StateStore"
    )
    assert not imported & {"pydantic", "statekeep.format"}


def test_importing_what_most_programs_need_imports_nothing_costly(pydantic: set[str]) -> None:
    imported = _imported_by("from statekeep import Documents, Sessions, open_store") - pydantic
    assert not imported & COSTLY
    assert len(imported) <= IMPORT_BUDGET, sorted(imported)


def test_every_public_name_is_there_when_asked_for() -> None:
    for name in statekeep.__all__:
        assert getattr(statekeep, name) is not None
        assert name in dir(statekeep)
    with pytest.raises(AttributeError, match="has no attribute 'Sesions'"):
        statekeep.Sesions  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "module", ["config", "doctor", "errors", "events", "journals", "plugins", "retention", "store"]
)
def test_a_module_can_be_asked_for_without_importing_it(module: str) -> None:
    assert f"statekeep.{module}" in _imported_by(f"import statekeep; statekeep.{module}.__all__")


@pytest.mark.parametrize(
    ("url", "backend"),
    [("memory:", "statekeep_backends.memory"), ("/nowhere", "statekeep_backends.local")],
)
def test_opening_a_store_imports_its_backend_only(
    pydantic: set[str], url: str, backend: str
) -> None:
    imported = _imported_by(f"import statekeep; statekeep.open_store({url!r})") - pydantic
    assert imported & COSTLY == OPENED
    backends = {name for name in imported if name.count(".") == 1 and name.split(".")[0] in PLUGINS}
    assert backends == {backend}
    assert len(imported) <= OPEN_BUDGET, sorted(imported)


def test_help_opens_nothing_and_prints_without_rich(pydantic: set[str]) -> None:
    help_ = "from statekeep.cli import main\nsys.argv[1:] = ['--help']\n"
    imported = _imported_by(f"{help_}try: main()\nexcept SystemExit: pass") - pydantic
    finding = {"email", "importlib.metadata", "pluggy", "statekeep.plugins.loader"}
    assert imported & COSTLY == {"statekeep.cli", "typer", *finding}
    assert len(imported) <= HELP_BUDGET, sorted(imported)


def test_the_first_session_may_be_made_by_many_threads_at_once() -> None:
    # The models are built when first used, and that is not an import, which Python would lock.
    code = """
import threading
from statekeep import Session
sys.setswitchinterval(1e-6)
text = b'''{"id": "s", "user_id": "ada", "user_messages": [
    {"content": "Hello", "timestamp": "2024-01-01T00:00:00Z"}], "agent_responses": [],
    "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z"}'''
start, good = threading.Barrier(16), []
def work():
    start.wait()
    session = Session.from_json(text)
    session.add_user_message("Go on")
    good.append(session.to_json().count(b'"content"') == 2)
threads = [threading.Thread(target=work) for _ in range(16)]
for each in threads: each.start()
for each in threads: each.join()
assert good == [True] * 16, good
"""
    _imported_by(code)
