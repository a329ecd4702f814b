"""Whatever is made on a disk is flushed there, the folders and the folders above them, too."""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from statekeep import ABSENT, StateStore, open_store
from statekeep.store import SupportsInspect, power

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> dict[Path, set[str]]:
    """The folders that were flushed, each with the names that were in it by then."""
    found: dict[Path, set[str]] = defaultdict(set)
    fsync = os.fsync

    def note(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if target.is_dir():
            found[target] |= {each.name for each in target.iterdir()}
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


def repair(store: StateStore) -> None:
    able = power(store, SupportsInspect)
    assert able
    (anomaly,) = (each for each in able.inspect(older_than=timedelta(0)) if each.action == "move")
    assert able.repair(anomaly, ".statekeep/quarantine/today")


WRITES: dict[str, Callable[[StateStore], object]] = {
    "a put": lambda store: store.put("x/y/z.md", b"x"),
    "a put that creates": lambda store: store.put("x/y/z.md", b"x", expect=ABSENT),
    "a put after others": lambda store: (
        store.put("a.md", b"x", expect=ABSENT),
        store.put("x/y/z.md", b"x"),
        store.put("x/z.md", b"x", expect=ABSENT),
    ),
    "a repair": repair,
}


@pytest.mark.parametrize("write", WRITES)
def test_every_folder_that_is_made_survives_a_power_cut(
    tmp_path: Path, flushed: dict[Path, set[str]], write: str
) -> None:
    top = tmp_path.resolve()
    base = top / "not" / "there" / "yet"
    if write == "a repair":
        base.mkdir(parents=True)
        (base / "sessions").mkdir()
        os.mkfifo(base / "sessions" / "x.md")
    before = set(top.rglob("*"))
    with open_store(base) as store:
        WRITES[write](store)
    made = {path for path in top.rglob("*") if path.is_dir()} - before
    assert made
    unsafe = sorted(str(path) for path in made if path.name not in flushed[path.parent])
    assert not unsafe, f"after {write} a power cut may take {unsafe}, and what is in it"
