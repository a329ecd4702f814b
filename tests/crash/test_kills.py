"""Writers that are killed in the middle."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import tree

from statekeep import Session, Sessions, load_pruner, open_store

KILLS = 20
TESTS = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["fsync", "rename"])
def test_nothing_is_torn_and_nothing_acknowledged_is_lost(tmp_path: Path, durability: str) -> None:
    base = tmp_path / "store"
    location = f"file:{base}?durability={durability}"
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    most = 0
    for _ in range(KILLS):
        script = "import sys, workers; workers.save_for_ever(*sys.argv[1:])"
        writer = subprocess.Popen(
            [sys.executable, "-c", script, location, str(acknowledged)],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        seen = acknowledged.read_bytes()
        deadline = time.monotonic() + 30
        while acknowledged.read_bytes() == seen and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()

        file = base / "sessions" / "s.json"
        json.loads(file.read_bytes())
        most = max(map(int, acknowledged.read_text().split()))
        with open_store(location) as store:
            listing = Sessions(store).list()
            session = Sessions(store).load("s")
        assert listing.problems == ()
        assert [summary.id for summary in listing] == ["s"]
        assert session is not None
        # One more may have landed just before it could be acknowledged.
        assert len(session.user_messages) in {most, most + 1}
    assert most > KILLS

    leftovers = [path for path in tree(base) if path.endswith(".tmp")]
    two_hours_ago = time.time() - 7200
    for name in leftovers:
        os.utime(base / name, (two_hours_ago, two_hours_ago))
    with open_store(location) as store:
        sessions = Sessions(store)
        sessions.save(Session.new("ada", "a lock of a dead writer is no lock"))
        sessions.update("s", lambda session: session.add_user_message("alive"))
        report = sessions.prune(load_pruner("ttl"))
    assert report.swept == len(leftovers)
    assert sorted(tree(base)) == [
        "sessions/a lock of a dead writer is no lock.json",
        "sessions/s.json",
    ]
