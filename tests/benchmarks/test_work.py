"""What the ways that everybody takes cost, in steps that can be counted; never in time.

A step is a line of Python that runs, here or in a library, or a call of a function, in C or not.
They are the same in each run and on each machine, and nearly so in each version: since 3.12 a
comprehension is no function of its own. What one call in C does shows in no step, so those that are
dear (of the kernel, of decoding, validating and hashing) are counted one by one.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.conversations import MIXED_LARGE, MIXED_SMALL, documents
from statekeep import Session, Sessions, open_store
from statekeep.sessions import repository
from statekeep_backends.local import LocalDiskStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from benchmarks.conversations import Size
    from statekeep import StateStore

MARGIN = 1.1
"""So much more than was counted is still good: small repairs are, a second look is not."""

_DEAR_MODULES = {"fcntl", "orjson", "posix"}
_DEAR_TYPES = ("Decoder.", "DirEntry.", "SchemaSerializer.", "SchemaValidator.", "blake3.")
_CHEAP = ("posix._", "posix.fspath", "posix.urandom")
_CROWD = 300  # sessions that are listed


@dataclass(frozen=True)
class Work:
    """What was done.

    Attributes:
        lines: Of Python that ran.
        calls: Of functions.
        dear: Those of functions in C of which each counts.
    """

    lines: int
    calls: int
    dear: dict[str, int]

    def stays_within(self, most: Work) -> bool:
        """Whether it is not more than it may be."""
        return (
            self.lines <= most.lines * MARGIN
            and self.calls <= most.calls * MARGIN
            and Counter(self.dear) <= Counter(most.dear)
        )


_READ = {"posix.open": 2, "posix.fstat": 1, "posix.read": 1, "posix.close": 2}
_LOAD = {**_READ, "blake3.hexdigest": 1, "orjson.loads": 1, "Decoder.decode": 1}
_NEW = {
    "orjson.dumps": 1, "blake3.hexdigest": 1,
    "fcntl.flock": 2, "posix.stat": 1, "posix.open": 2, "posix.write": 1, "posix.close": 2,
    "posix.link": 1, "posix.unlink": 1,
}  # fmt: skip
_AGAIN = {
    "orjson.dumps": 1, "blake3.hexdigest": 2,
    "fcntl.flock": 2, "posix.stat": 1, "posix.open": 3, "posix.lstat": 1, "posix.fstat": 1,
    "posix.read": 1, "posix.write": 1, "posix.replace": 1, "posix.close": 3,
}  # fmt: skip
_PAGE = {
    "posix.open": 7, "posix.fstat": 2, "posix.read": 1, "posix.close": 6, "blake3.hexdigest": 1,
    "orjson.loads": 3, "orjson.dumps": 1,
}  # fmt: skip
MOST = {
    ("load", MIXED_SMALL): Work(194, 89, _LOAD),
    ("load", MIXED_LARGE): Work(574, 89, _LOAD),
    ("save, new", MIXED_SMALL): Work(580, 247, _NEW),
    ("save, new", MIXED_LARGE): Work(3252, 626, _NEW),
    ("save again", MIXED_SMALL): Work(513, 217, _AGAIN),
    ("save again", MIXED_LARGE): Work(3173, 597, _AGAIN),
    ("page of 100", MIXED_SMALL): Work(7200, 2335, _PAGE),
}
"""What was counted, of ways on a local disk, with `durability="rename"`."""


def _work(function: Callable[[], object]) -> Work:
    """Count, in this thread; the function is called three times."""
    lines = calls = 0
    dear: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001
        nonlocal lines
        lines += event == "line"
        return trace

    def profile(frame: FrameType, event: str, function: Any) -> None:  # noqa: ARG001
        nonlocal calls
        calls += event in {"call", "c_call"}
        if event == "c_call":
            name = function.__qualname__
            if function.__module__ in _DEAR_MODULES:
                name = f"{function.__module__}.{name}"
            elif not name.startswith(_DEAR_TYPES):
                return
            if not name.startswith(_CHEAP):
                dear[name] += 1

    function()  # what happens once only is no part of the way
    gc.disable()
    traced, profiled = sys.gettrace(), sys.getprofile()
    try:
        sys.settrace(trace)
        function()
        sys.settrace(traced)
        sys.setprofile(profile)
        function()
    finally:
        sys.setprofile(profiled)
        sys.settrace(traced)
        gc.enable()
    return Work(lines, calls, dict(dear))


@pytest.fixture
def ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    minute = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: minute)  # then no file is too new for the index
    with open_store(str(tmp_path), durability="rename") as store:
        assert isinstance(store, LocalDiskStore)
        for number in range(400):
            with store._locked(str(number)):  # as after some saves: each lock was left open
                pass
        yield Ways(store, tmp_path / "sessions")


class Ways:
    """Does the work in a store, with sessions that nothing else has touched."""

    def __init__(self, store: StateStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._used = 0

    def work(self, way: str, size: Size) -> Work:
        """What one of the ways costs with sessions of a size."""
        sessions = Sessions(self._store)
        count = _CROWD if "page" in way else 4
        texts = [*documents(size, count, self._used)]
        self._used += count
        made = [Session.from_json(data) for _, data in texts[:4]]
        assert all(session.messages for session in made)  # which makes them
        one, new = made[0], iter(made[1:])
        sessions.save(one)
        if "page" in way:
            for session_id, data in texts[1:]:
                (self._folder / f"{session_id}.json").write_bytes(data)
        return _work(
            {
                "load": lambda: sessions.load(one.id),
                "save, new": lambda: sessions.save(next(new)),
                "save again": lambda: sessions.save(one),
                # As in a new process: nothing is known but the index that the first has written.
                "page of 100": lambda: Sessions(self._store).list(limit=100),
            }[way]
        )


@pytest.mark.parametrize(("way", "size"), MOST)
def test_a_way_costs_no_more_than_it_did(ways: Ways, way: str, size: Size) -> None:
    work = ways.work(way, size)
    assert work.stays_within(MOST[way, size]), work


@pytest.mark.parametrize(("way", "size"), MOST)
def test_a_way_that_costs_less_is_held_to_that(ways: Ways, way: str, size: Size) -> None:
    work, most = ways.work(way, size), MOST[way, size]
    assert work.lines * MARGIN >= most.lines, f"put {work} into the table"
    assert work.calls * MARGIN >= most.calls, f"put {work} into the table"
    assert Counter(most.dear) <= Counter(work.dear), f"put {work} into the table"


def test_what_is_counted_is_the_same_each_time(ways: Ways) -> None:
    assert ways.work("load", MIXED_SMALL) == ways.work("load", MIXED_SMALL)


@pytest.mark.parametrize(
    ("way", "owner", "name"),
    [
        ("load", LocalDiskStore, "get"),
        ("load", repository, "decode_session"),
        ("save, new", Session, "to_json"),
        ("save again", Session, "to_json"),
        ("save again", LocalDiskStore, "_compare"),
        ("page of 100", LocalDiskStore, "survey"),
        ("page of 100", LocalDiskStore, "get"),
    ],
)
def test_doing_a_part_twice_is_noticed(
    ways: Ways, monkeypatch: pytest.MonkeyPatch, way: str, owner: Any, name: str
) -> None:
    once = getattr(owner, name)

    def twice(*arguments: Any, **options: Any) -> Any:
        found = once(*arguments, **options)
        if isinstance(found, Iterator):
            deque(found, 0)
        return once(*arguments, **options)

    monkeypatch.setattr(owner, name, twice)
    assert not ways.work(way, MIXED_SMALL).stays_within(MOST[way, MIXED_SMALL])


@pytest.mark.parametrize("way", ["load", "save, new", "save again", "page of 100"])
def test_a_loop_that_calls_nothing_is_noticed(
    ways: Ways, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    most = MOST[way, MIXED_SMALL]
    name = "put" if "save" in way else "survey" if "page" in way else "get"
    once = getattr(LocalDiskStore, name)

    def slowly(*arguments: Any, **options: Any) -> Any:
        number = 0
        while number < most.lines // 2:
            number += 1
        return once(*arguments, **options)

    monkeypatch.setattr(LocalDiskStore, name, slowly)
    assert not ways.work(way, MIXED_SMALL).stays_within(most)
