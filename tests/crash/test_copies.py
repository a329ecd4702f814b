"""Copies that are killed in the middle."""

from __future__ import annotations

import random
import signal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from support import prepared
from workers import copy_until_killed

from statekeep import Blobs, Journals, Session, Sessions, StateStore, open_store
from statekeep.doctor import diagnose
from statekeep.store.keys import CACHE
from statekeep.transport import copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.rest


def fill(store: StateStore, count: int) -> None:
    """Write so many sessions and journals, some of these with segments and attachments."""
    sessions, journals = Sessions(store), Journals(store, "support")
    for n in range(count // 2):
        session = Session.new(f"user{n % 7}", f"s{n}")
        session.add_user_message(f"Hello {n}")
        sessions.save(session)
        journal = journals.open(f"user{n % 7}", f"{n}")
        journal.append([{"text": f"Hello {n}"}, {"text": "x" * (70_000 * (n % 10 == 0))}])
        if n % 20 == 0:
            journal.attach(f"file {n}".encode(), "a.txt")
            Blobs(store, "plots").put(f"blob {n}".encode(), f"user{n % 7}", f"{n}.txt")


def digest(store: StateStore) -> str:
    """Of all keys and contents, but those of the cache."""
    keys = sorted({entry.key for entry in store.scan() if not entry.key.startswith(CACHE)})
    total = blake3()
    for key in keys:
        blob = store.get(key)
        assert blob is not None
        total.update(f"{key} {len(blob.data)} ".encode() + blob.data)
    return total.hexdigest()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2))
def test_killed_in_the_middle_they_are_equal_at_the_end(
    seed: int,
    tmp_path: Path,
    rounds: Callable[[int], int],
    seaweedfs_url: str,
    make_s3_place: Callable[[str], str],
) -> None:
    drawn = random.Random(seed)
    count = rounds(10_000)
    places = [
        f"file:{tmp_path}/first?durability=rename",
        f"{make_s3_place(seaweedfs_url)}?endpoint_url={seaweedfs_url}&client=obstore",
        f"sqlite:{tmp_path}/third.db?durability=normal",
        f"file:{tmp_path}/last?durability=rename",
    ]
    with open_store(places[0]) as store:
        fill(store, count)
        expected = digest(store)
    for source, target in pairwise(places):
        killed = 0
        for delay in (0, drawn.uniform(0, 0.05), drawn.uniform(0, 0.5)):
            after = drawn.randrange(1, max(2, count // 2))
            arguments = source, target, after, delay
            process = prepared("workers").Process(target=copy_until_killed, args=arguments)
            process.start()
            process.join()
            assert process.exitcode in {0, -signal.SIGKILL}
            killed += process.exitcode != 0
            with open_store(target) as other:
                assert diagnose(other).healthy
        assert killed
        with open_store(source) as opened, open_store(target) as other:
            report = copy(opened, other)
            assert (report.failed, report.differing) == (0, 0)
            assert report.equal > 0
            assert digest(other) == expected
