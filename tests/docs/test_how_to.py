"""The programs of docs/how-to run as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pytest
from servers import free_port

from statekeep import (
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    NotFoundError,
    OwnershipError,
    Sessions,
    StateStoreError,
    UnavailableError,
    open_sessions,
    open_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEXTS = {page.stem: page.read_text() for page in (ROOT / "docs" / "how-to").glob("*.md")}
PROGRAMS = dict(re.findall(r"(?ms)^```python\n# (\w+\.py)\n(.*?)^```$", "\n".join(TEXTS.values())))
COMMANDS = {
    program: (dict(each.split("=") for each in settings.split()), [program, *arguments.split()])
    for settings, program, arguments in re.findall(
        r"(?m)^((?:STATEKEEP_\w+=\S+ )+)(\w+) (.*)$", "\n".join(TEXTS.values())
    )
}


@pytest.fixture(autouse=True)
def _programs(empty_folder: Path) -> None:
    for name, text in PROGRAMS.items():
        (empty_folder / name).write_text(text)


def test_all_of_them_are_run_here() -> None:
    assert PROGRAMS.keys() == {
        "app.py", "handler.py", "pool.py", "tasks.py", "test_agent.py", "wsgi.py",
    }  # fmt: skip
    assert COMMANDS.keys() == {"celery", "gunicorn", "uvicorn"}


def _run(*command: str) -> str:
    ended = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "STATEKEEP_URL": "./state"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.rest
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_pool_loses_nothing(method: str) -> None:
    begin = 'if __name__ == "__main__":\n'
    assert begin in PROGRAMS["pool.py"]
    chosen = f"{begin}    __import__('multiprocessing').set_start_method('{method}')\n"
    Path("pool.py").write_text(PROGRAMS["pool.py"].replace(begin, chosen))
    assert _run("pool.py") == "20\n"


def test_the_fixture_gives_a_fresh_store_to_each_test() -> None:
    said = _run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_agent.py")
    assert "2 passed" in said


ERRORS: list[tuple[type[StateStoreError], int]] = [
    (ConflictError, 409),
    (OwnershipError, 404),
    (NotFoundError, 404),
    (InvalidKeyError, 422),
    (InvalidDocumentError, 422),
    (UnavailableError, 503),
    (CorruptDataError, 500),
]


@pytest.mark.parametrize(("kind", "status"), ERRORS)
def test_an_error_becomes_the_status_that_the_page_says(
    kind: type[StateStoreError], status: int
) -> None:
    program = runpy.run_path("app.py")
    handler = program["app"].exception_handlers[StateStoreError]
    response = asyncio.run(handler(None, kind("hunter2", key="sessions/s.json")))
    assert response.status_code == status
    assert b"hunter2" not in response.body
    assert ("retry-after" in response.headers) == (status == 503)
    row = kind.__name__ if status != 500 else "any other"
    assert re.search(rf"^\|.*{row}.* \| {status}\b", TEXTS["fastapi"], re.MULTILINE)


@contextmanager
def _serving(program: str) -> Iterator[str]:
    """Run the page's command of a server on a free port; give the URL."""
    port = free_port()
    settings, command = COMMANDS[program]
    at = {"uvicorn": ["--port", str(port)], "gunicorn": ["--bind", f"127.0.0.1:{port}"]}[program]
    with (
        Path("log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", *command, *at],
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _ask(f"{url}/sessions/none", "nobody")
        except (URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(Path("log").read_text())


def _ask(url: str, user: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"user": user, "content-type": "application/json"}
    request = Request(url, data, headers, method=method)
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, None


@pytest.mark.rest
def test_fastapi_with_two_workers_loses_nothing() -> None:
    with _serving("uvicorn") as url:
        chat = f"{url}/sessions/chat"

        def say(number: int) -> int:
            return _ask(f"{chat}/messages", "ada", "POST", {"content": f"no. {number}"})[0]

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(say, range(40))) == {200}
        status, read = _ask(chat, "ada")
        assert status == 200
        assert {each["content"] for each in read["messages"]} == {f"no. {n}" for n in range(40)}
        assert _ask(chat, "eve")[0] == 404
        assert _ask(f"{chat}/messages", "eve", "POST", {"content": "mine"})[0] == 404
        assert _ask(f"{url}/sessions/other", "ada")[0] == 404
        odd = f"{url}/sessions/{quote('slack:C1/17.5', safe='')}"
        assert _ask(f"{odd}/messages", "ada", "POST", {"content": "Hello"})[0] == 200
        assert _ask(odd, "ada")[1]["messages"] == [{"role": "user", "content": "Hello"}]
        seed = f"{chat}/seed?" + urlencode({"seed": "seed-1", "version": read["version"]})
        assert _ask(seed, "ada", "PUT")[0] == 200
        assert _ask(seed, "ada", "PUT")[0] == 409
        assert _ask(f"{url}/sessions/{'x' * 513}", "ada")[0] == 422
    with open_store("./state") as store:
        session = Sessions(store).load("chat", required=True)
    assert (len(session.messages), session.active_seed_id) == (40, "seed-1")


@pytest.mark.rest
def test_gunicorn_that_preloads_loses_nothing() -> None:
    with _serving("gunicorn") as url:
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda n: _ask(f"{url}/{n}", "ada")[1], range(40)))
        assert len(set(told)) == 40
    with open_store("./state") as store:
        said = [each.content for each in Sessions(store).load("visits", required=True).messages]
    assert set(said) >= {f"/{number}" for number in range(40)}


@pytest.fixture
def worker(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two processes of Celery, as the page starts them."""
    monkeypatch.setenv("CELERY_BROKER_URL", valkey_url)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", valkey_url)
    settings, command = COMMANDS["celery"]
    with subprocess.Popen(
        [sys.executable, "-m", *command, "--loglevel", "warning"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield
        process.terminate()


@pytest.mark.usefixtures("worker")
def test_tasks_of_one_session_lose_nothing_and_a_task_that_runs_twice_adds_once() -> None:
    program = """
import tasks
again = [tasks.answer.apply_async(("s", "ada", f"said {n}"), task_id=f"t{n}") for n in range(10)]
[each.get(timeout=60) for each in again]
tasks.app.AsyncResult("t3").forget()  # else its result is that of the first time
tasks.answer.apply_async(("s", "ada", "said 3"), task_id="t3").get(timeout=60)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    with open_sessions("./state") as sessions:
        session = sessions.load("s", required=True)
    assert sorted(each.content for each in session.user_messages) == [
        f"said {n}" for n in range(10)
    ]
    assert len(session.agent_responses) == 10


def test_a_function_that_is_called_twice_adds_its_turn_once(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATEKEEP_URL", str(empty_folder / "state"))
    monkeypatch.setenv("STATEKEEP_FORM", "journal")
    handler = runpy.run_path(str(empty_folder / "handler.py"))["handler"]
    event = {"session": "s", "user": "ada", "said": "Hello", "request_id": "r1"}
    assert handler(event, None) == {"messages": 1}
    assert handler(event, None) == {"messages": 1}
    assert handler(event | {"request_id": "r2"}, None) == {"messages": 2}


@pytest.mark.parametrize("name", ["", ".", "..", "../acme", "a/b", "..%2Facme", "a?mode=0", "a\n"])
def test_no_tenants_name_leads_into_another_store(name: str) -> None:
    (program,) = re.findall(r"(?ms)^```python\n(.*?)^```$", TEXTS["tenants"])
    Path("tenants.py").write_text(program)
    sessions_of = runpy.run_path("tenants.py")["sessions_of"]
    with pytest.raises(ValueError, match="not a tenant"), sessions_of(name):
        pass
