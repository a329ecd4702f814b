"""Many processes that save, and prune each other's sessions."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from workers import save_in_a_fleet

from statekeep import (
    Journals,
    Retention,
    Session,
    Sessions,
    StateStore,
    load_pruner,
    open_store,
)
from statekeep.events import Event, PruneFinished
from statekeep.store.keys import session_key
from statekeep.testing.journal_checks import COLLECTION, NAME, Watching, in_order
from statekeep.testing.processes import (
    add_turns_at,
    append_often,
    in_processes,
    update_often,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FLEET = 16
APPENDERS = TURNS = 8
TESTS = Path(__file__).parents[1]


def age(store: StateStore, session_id: str, *, pinned: bool = False) -> None:
    session = Session.new("ada", session_id)
    session.updated_at = datetime.now(UTC) - timedelta(days=30)
    if pinned:
        session.metadata["statekeep.pin"] = True
    store.put(session_key(session_id), session.to_json())


def ids(store: StateStore) -> set[str]:
    return {summary.id for summary in Sessions(store).list()}


@pytest.fixture(params=["local", "moto", "seaweedfs", "postgres"])
def location(
    request: pytest.FixtureRequest, tmp_path: Path, make_s3_place: Callable[[str], str]
) -> str:
    if request.param == "local":
        return f"file:{tmp_path}?durability=rename"
    endpoint = request.getfixturevalue(f"{request.param}_url")
    if request.param == "postgres":
        return f"{endpoint}?store=t{secrets.token_hex(8)}"
    return f"{make_s3_place(endpoint)}?endpoint_url={endpoint}&retries=20"


@pytest.mark.rest
def test_a_fleet_prunes_once_and_deletes_nothing_that_lives(location: str) -> None:
    with open_store(location) as store:
        for n in range(FLEET):
            age(store, f"idle-{n}")
            age(store, f"pinned-{n}", pinned=True)
            for m in range(3):
                age(store, f"waking-{n}-{m}")
        before = ids(store)
        results = in_processes(save_in_a_fleet, [(location, worker, 4) for worker in range(FLEET)])
        after = ids(store)
    new = {f"new-{worker}-{n}" for worker in range(FLEET) for n in range(4)}
    pruned = [session_id for reported, _, _ in results for session_id in reported]
    woken = {session_id for _, _, kept in results for session_id in kept}
    [[gone, _, unknown, failed]] = [counts for _, reports, _ in results for counts in reports]
    assert new <= after
    assert woken <= after
    assert {f"pinned-{n}" for n in range(FLEET)} <= after
    assert (unknown, failed) == (0, 0)
    # What is reported is what vanished, no more and no less.
    assert sorted(pruned) == sorted((before | new) - after)
    assert gone == len(pruned)
    assert {f"idle-{n}" for n in range(FLEET)} <= set(pruned)
    assert all(session_id.startswith(("idle-", "waking-")) for session_id in pruned)


@pytest.mark.rest
def test_what_a_killed_pruner_left_is_pruned_in_the_next_period(location: str) -> None:
    with open_store(location) as store:
        # A database deletes some hundred with one statement.
        for n in range(600 if location.startswith("postgres") else 60):
            age(store, f"idle-{n}")
        age(store, "pinned", pinned=True)
        script = "import sys, workers; workers.prune_until_killed(sys.argv[1], 4)"
        killed = subprocess.run(
            [sys.executable, "-c", script, location],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        left = ids(store)
        assert {"pinned", "from a worker that dies"} <= left
        assert left > {"pinned", "from a worker that dies"}
        time.sleep(3.1)
        finished: list[Event] = []
        retention = Retention(load_pruner("ttl"), every=timedelta(seconds=2), min_idle=timedelta(0))
        with Sessions(store, retention=retention, observers=[finished.append]) as sessions:
            sessions.get_or_create("ada", "next")
            deadline = time.monotonic() + 60
            while not any(isinstance(event, PruneFinished) for event in finished):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert ids(store) == {"pinned", "from a worker that dies", "next"}


@pytest.mark.rest
def test_a_fleet_appends_to_one_journal_and_keeps_the_order_of_each(
    location: str, rounds: Callable[[int], int]
) -> None:
    times = rounds(200)
    with open_store(location) as store:
        journals = Journals(store, COLLECTION)
        with Watching(journals) as watch:
            calls = [(open_store, location, COLLECTION, NAME, n, times) for n in range(APPENDERS)]
            in_processes(append_often, calls)
        in_order(journals, APPENDERS, times)
        assert watch.looks > 1
        head = journals.open(*NAME).head()
        assert head is not None
        assert head.length == APPENDERS * times


@pytest.mark.rest
@pytest.mark.parametrize("location", ["local", "postgres"], indirect=True)
def test_a_fleet_updates_one_session_and_loses_nothing(
    location: str, rounds: Callable[[int], int]
) -> None:
    times = rounds(200)
    with open_store(location) as store:
        sessions = Sessions(store)
        sessions.get_or_create("ada", "s")
        in_processes(update_often, [(open_store, location, n, times) for n in range(APPENDERS)])
        said = [each.content for each in sessions.load("s", required=True).user_messages]
    for worker in range(APPENDERS):
        ours = [each for each in said if each.startswith(f"{worker}-")]
        assert ours == [f"{worker}-{n}" for n in range(times)]
    assert len(said) == APPENDERS * times


@pytest.mark.rest
@pytest.mark.parametrize("location", ["local", "seaweedfs", "postgres"], indirect=True)
def test_a_fleet_adds_turns_to_one_session_and_tears_none_apart(
    location: str, rounds: Callable[[int], int]
) -> None:
    times = rounds(200)
    in_processes(add_turns_at, [(open_store, location, "journal", n, times) for n in range(TURNS)])
    with open_store(location) as store:
        messages = Sessions(store).load("s", required=True).messages
    said = [message.content.partition(" ")[0] for message in messages]
    assert said[::2] == said[1::2]
    for worker in range(TURNS):
        ours = [each for each in said[::2] if each.startswith(f"{worker}-")]
        assert ours == [f"{worker}-{n}" for n in range(times)]
