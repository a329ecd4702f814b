"""A journal of a hundred thousand items: whatever is done takes as much memory as was asked for."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import Journals, open_store
from statekeep.store.keys import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.rest

MEBIBYTE = 2**20
TEXT = "x" * 1000


@pytest.fixture(params=["local", "seaweedfs"])
def location(
    request: pytest.FixtureRequest, tmp_path: Path, make_s3_place: Callable[[str], str]
) -> str:
    if request.param == "local":
        return f"file:{tmp_path}?durability=rename"
    endpoint = request.getfixturevalue(f"{request.param}_url")
    return f"{make_s3_place(endpoint)}?endpoint_url={endpoint}"


@contextmanager
def at_most(mebibytes: float) -> Iterator[None]:
    """What runs inside takes no more memory than this, at any moment."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MEBIBYTE, f"{peak / MEBIBYTE:.1f} MiB"


def test_is_appended_to_tailed_and_read_in_little_memory(
    location: str, rounds: Callable[[int], int]
) -> None:
    count = rounds(100_000)
    with open_store(location) as store:
        journals = Journals(store, "long")
        journal = journals.open("a")
        for number in range(0, count, 40):
            journal.append([_item(each) for each in range(number, min(count, number + 40))])
        segments = [*store.scan(SEGMENTS)]
        assert sum(each.size for each in segments) < 8 * count * len(TEXT)

        # Segments of at most 4 MiB that are merged, and what they are in memory.
        with at_most(40):
            for number in range(count, count + 200):
                journal.append([_item(number)])
        count += 200
        cold = journals.open("a")
        with at_most(20):
            head = cold.head()
            assert head is not None
            assert head.length == count
            tail = cold.read(last=20)
        assert tail == [_item(number) for number in range(count - 20, count)]
        with at_most(40):
            for number in range(0, count, count // 17):
                assert cold.read(start=number, stop=number + 3) == [
                    _item(each) for each in range(number, min(count, number + 3))
                ]
        # All of it, as objects, and the bytes of a few segments.
        with at_most(40 + 1.3 * count * len(TEXT) / MEBIBYTE):
            items = cold.read()
        assert items is not None
        assert all(item == _item(number) for number, item in enumerate(items))
        assert len(items) == count


def _item(number: int) -> list[Any]:
    return [number, TEXT]
