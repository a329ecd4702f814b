"""Where gevent has replaced threads and waits."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.rest

OPEN = """
from gevent import monkey
monkey.{patch}
from statekeep import ConfigError, open_store
for url in {urls!r}:
    try:
        open_store(url)
    except ConfigError as error:
        print(error)
"""
USE = """
from gevent import monkey, pool
monkey.patch_all()
from statekeep import Sessions, open_store
with open_store({url!r}) as store:
    sessions = Sessions(store, conflicts={conflicts!r})
    sessions.get_or_create("ada", "s")
    add = lambda n: sessions.update("s", lambda session: session.add_user_message(str(n)))
    workers = pool.Pool(8)
    workers.map(add, range(20))
    print(sessions.list().summaries[0].message_count)
"""


def run(script: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("patch", ["patch_all()", "patch_all(thread=False)", "patch_thread()"])
def test_what_runs_a_loop_is_refused_at_open(patch: str) -> None:
    urls = [f"s3://bucket/prefix?client={client}" for client in ("auto", "s3fs", "obstore")]
    urls.append("http://127.0.0.1:1/x")
    said = run(OPEN.format(patch=patch, urls=urls)).splitlines()
    assert len(said) == len(urls)
    assert all("gevent has replaced Python's threads" in each for each in said)
    assert all("does not patch" in each for each in said)


@pytest.mark.parametrize("url", ["memory:", "{tmp}/store"])
def test_other_stores_work(url: str, tmp_path: object) -> None:
    assert run(USE.format(url=url.format(tmp=tmp_path), conflicts="detect")) == "20\n"


def test_a_filesystem_without_a_loop_works() -> None:
    said = run(USE.format(url="fsspec+memory://x", conflicts="last-writer-wins"))
    assert int(said) > 0
