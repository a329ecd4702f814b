"""A very long transcript comes in in bounded memory, whoever is killed meanwhile."""

from __future__ import annotations

import json
import random
import signal
from typing import TYPE_CHECKING

import pytest
from support import prepared
from workers import import_until_killed

from statekeep import Journals, open_store
from statekeep.doctor import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.rest

MOST = 150 * 2**20
"""Bytes of memory, the interpreter and all modules included."""


def entry(n: int) -> dict[str, object]:
    return {"type": "user", "uuid": f"u{n}", "message": {"content": f"Say {n} {'x' * 300}"}}


@pytest.mark.timeout(1200)
def test_a_million_lines_come_in_once(tmp_path: Path, rounds: Callable[[int], int]) -> None:
    count = rounds(1_000_000)
    path = tmp_path / "project" / "session.jsonl"
    path.parent.mkdir()
    with path.open("w") as file:
        for n in range(count):
            file.write("\0" * 50 + "\n" if n % 1000 == 500 else json.dumps(entry(n)) + "\n")
    location = f"file:{tmp_path}/state?durability=rename"
    drawn = random.Random(0)
    for after in (drawn.randrange(count // 2), drawn.randrange(count), count * 2):
        arguments = location, str(path), "claude-code", after
        process = prepared("workers").Process(target=import_until_killed, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == (0 if after > count else -signal.SIGKILL)
    assert int(path.with_suffix(".peak").read_text()) < MOST
    with open_store(location) as store:
        assert diagnose(store).healthy
        journal = Journals(store, "claude").open("project", "session")
        expected = [n for n in range(count) if n % 1000 != 500]
        head = journal.head()
        assert head is not None
        assert head.length == len(expected)
        for start in range(0, len(expected), 10_000):
            found = journal.read(start=start, stop=start + 10_000)
            assert found == [entry(n) for n in expected[start : start + 10_000]]
