"""Long files of SQLite come in in bounded memory, whoever is killed meanwhile."""

from __future__ import annotations

import random
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support import prepared
from theirs import Checkpoints, Messages, said
from workers import import_until_killed

from statekeep import Journals, open_store
from statekeep.doctor import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.rest

MOST = 150 * 2**20
"""Bytes of memory, the interpreter and all modules included."""


def bring(tmp_path: Path, name: str, count: int) -> str:
    """Import a file three times, of which two are killed; give where."""
    location = f"file:{tmp_path}/state?durability=rename"
    path = tmp_path / "theirs.db"
    drawn = random.Random(0)
    for after in (drawn.randrange(count // 2), drawn.randrange(count // 4), count * 2):
        arguments = location, str(path), name, after
        process = prepared("workers").Process(target=import_until_killed, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == (0 if after > count else -signal.SIGKILL)
    assert int(path.with_suffix(".peak").read_text()) < MOST
    with open_store(location) as store:
        assert diagnose(store).healthy
    return location


@pytest.mark.timeout(1200)
def test_a_long_session_of_openai(tmp_path: Path, rounds: Callable[[int], int]) -> None:
    count = rounds(300_000)
    with closing(Messages(tmp_path / "theirs.db")) as theirs:
        theirs.add("a", *(said(f"Say {n} {'x' * 300}") for n in range(count)))
    with open_store(bring(tmp_path, "openai-agents", count)) as store:
        journal = Journals(store, "openai-agents").open("a")
        for start in range(0, count, 10_000):
            stop = min(count, start + 10_000)
            expected = [said(f"Say {n} {'x' * 300}") for n in range(start, stop)]
            assert journal.read(start=start, stop=stop) == expected


@pytest.mark.timeout(1200)
def test_a_long_thread_of_langgraph(tmp_path: Path, rounds: Callable[[int], int]) -> None:
    count = rounds(20_000)
    with closing(Checkpoints(tmp_path / "theirs.db")) as theirs:
        theirs.db.execute("PRAGMA synchronous=OFF")
        for n in range(count):
            parent = f"{n - 1:06}" if n else None
            large = "y" * (20_000 if n % 10 == 0 else 300)
            theirs.put("t", f"{n:06}", {"x": f"{n} {large}"}, parent=parent)
            theirs.write("t", f"{n:06}", "task", n)
    with open_store(bring(tmp_path, "langgraph", 2 * count)) as store:
        items = Journals(store, "langgraph").open("t").read() or []
    assert [each["checkpoint"] for each in items[::2]] == [f"{n:06}" for n in range(count)]
    assert [each["writes"] for each in items[1::2]] == [f"{n:06}" for n in range(count)]
