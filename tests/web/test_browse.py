"""``statekeep browse``, as a person runs it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from statekeep import Sessions, open_store
from statekeep_web import command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATEKEEP = [sys.executable, "-m", "statekeep.cli"]


@pytest.fixture
def state(empty_folder: Path) -> str:
    with open_store(empty_folder / "state") as store:
        Sessions(store).get_or_create("ada", "plan")
    return "./state"


@contextmanager
def browsing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command, and the link that it prints."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*STATEKEEP, "browse", *arguments], stdout=pipe, stderr=pipe, text=True
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline().strip()
            assert line, running.communicate()[1]
            yield running, line
        finally:
            running.kill()


def ask(link: str, path: str, cookie: str = "") -> tuple[int, str, str]:
    parts = urlsplit(link)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    found = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("set-cookie", "").partition(";")[0], found


def ended(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [*STATEKEEP, "browse", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


def test_it_prints_a_link_that_opens_and_ends_when_told(state: str) -> None:
    with browsing("--store", state, "--port", "0") as (running, link):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", link)
        parts = urlsplit(link)
        assert ask(link, "/")[0] == 401
        status, cookie, _ = ask(link, f"/?{parts.query}")
        assert status == 303
        status, _, page = ask(link, "/", cookie)
        assert status == 200
        assert ">plan</a>" in page
        in_use = ended("--store", state, "--port", str(parts.port))
        assert in_use[0] == 2
        assert f"{parts.port} is in use" in in_use[1]
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
        assert running.returncode in {0, 130}
        assert "Traceback" not in err
        assert parts.query.partition("=")[2] not in err


def test_what_it_needs_is_said(state: str, empty_folder: Path) -> None:
    code, err = ended("--store", "./none")
    assert (code, "no such folder" in err) == (3, True)
    assert not (empty_folder / "none").exists()
    code, err = ended("--store", state, "--listen", "no.such.host.invalid")
    assert (code, "is not an address" in err) == (2, True)


def test_without_the_extra_it_is_named(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from statekeep.errors import ConfigError

    monkeypatch.setattr(command, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'statekeep\[web\]'"):
        command.browse(store=state)


class TestListening:
    def test_a_usual_port_that_is_taken_gives_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            monkeypatch.setattr(command, "_USUAL_PORT", taken.getsockname()[1])
            with command._listening("127.0.0.1", None) as other:
                assert other.getsockname()[1] != taken.getsockname()[1]

    def test_beyond_this_machine_is_said_and_lets_no_other_name_in(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from web.client import Browser

        from statekeep_web import create_app

        app = create_app("memory:", hosts=command._hosts("0.0.0.0"))
        with command._listening("0.0.0.0", 0) as listening, Browser(app) as browser:
            command._tell(listening, "0.0.0.0", app)
            for host, status in [("10.0.0.1", 401), (socket.gethostname(), 401), ("evil.x", 421)]:
                assert browser.get("/", headers={"host": host}).status == status
        app.close()
        said = capsys.readouterr()
        assert "unencrypted" in said.err
        assert f"http://{socket.gethostname()}:" in said.out

    def test_on_this_machine_only_its_own_names_are_known(self) -> None:
        assert "*ip" not in command._hosts("127.0.0.1")
        assert "*ip" not in command._hosts("::1")
        assert "*ip" not in command._hosts("localhost")
        assert "*ip" in command._hosts("192.168.0.1")
