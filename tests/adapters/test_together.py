"""Several processes in one conversation: nothing is lost, whoever is killed."""

from __future__ import annotations

import random
import signal
import time
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest
from adapters.speakers import SPEAKERS, say_often, say_until_killed
from support import at_once, prepared

from statekeep import open_store
from statekeep.doctor import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

pytestmark = [
    pytest.mark.rest,
    pytest.mark.parametrize("framework", SPEAKERS),
    pytest.mark.parametrize("url", ["sqlite", "file", "postgres"], indirect=True),
]

WRITERS = 3
WORKERS = 8
TIMES = 15


def test_of_what_processes_say_at_once_nothing_is_lost(framework: str, url: str) -> None:
    calls = [(framework, url, worker, TIMES) for worker in range(WORKERS)]
    at_once(say_often, calls, "adapters.speakers")
    heard = _heard(framework, url)
    assert len(heard) == WORKERS * TIMES
    for worker in range(WORKERS):
        said = [text for text in heard if text.startswith(f"{worker} ")]
        assert said == [f"{worker} {number}" for number in range(TIMES)]


def test_of_what_was_acknowledged_to_who_is_killed_nothing_is_lost(
    framework: str, url: str, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    context = prepared("adapters.speakers")
    workers = count()

    def start() -> ForkServerProcess:
        process = context.Process(
            target=say_until_killed, args=(framework, url, next(workers), str(notes))
        )
        process.start()
        return process

    writers = [start() for _ in range(WRITERS)]
    for _ in range(rounds(100)):
        size, deadline = notes.stat().st_size, time.monotonic() + 60
        while notes.stat().st_size < size + 40 and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.05))
        place = random.randrange(WRITERS)
        _kill(writers[place])
        writers[place] = start()
    for writer in writers:
        _kill(writer)
    acknowledged = notes.read_text().splitlines()
    assert len(acknowledged) > WRITERS
    heard = _heard(framework, url)
    assert len({*heard}) == len(heard), "something was said twice"
    assert {*acknowledged} <= {*heard}
    for worker in range(next(workers)):
        said = [text for text in heard if text.startswith(f"{worker} ")]
        assert said == [f"{worker} {number}" for number in range(len(said))]
        noted = sum(text.startswith(f"{worker} ") for text in acknowledged)
        assert len(said) - noted in {0, 1}, "more was said than one that was not acknowledged"
    with open_store(url) as store:
        diagnosis = diagnose(store)
        assert {each.kind for each in diagnosis.problems} <= {"leftover"}
        # Each may have died between a segment and the head that was to name it. A sweep takes it.
        unnamed = [int(each.reason.split()[0]) for each in diagnosis.remarks]
        assert {each.kind for each in diagnosis.remarks} <= {"orphan"}
        assert sum(unnamed) <= next(workers)


def _kill(writer: ForkServerProcess) -> None:
    assert writer.is_alive(), writer.exitcode
    writer.kill()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL


def _heard(framework: str, url: str) -> list[str]:
    with closing(SPEAKERS[framework](url)) as speaker:
        return speaker.heard()
