"""What holds of appends on a disk is missed at once where one of its measures is left out."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from statekeep.testing.running import run
from statekeep_backends.local import LocalDiskStore, appending
from statekeep_backends.local import store as local

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep_backends.local.appending import End
    from statekeep_backends.local.effect import Effect

pytestmark = pytest.mark.rest

HERE = Path(__file__).parent / "test_appending.py"


def _take_no_lock(*_: object) -> nullcontext[None]:
    return nullcontext()


def _flush_nothing(_: int) -> None:
    pass


def _acknowledge_in_any_file(*_: object, **__: object) -> bool:
    return True


def _cut_off_whatever_follows(descriptor: int, end: End, _: int, effect: Effect) -> None:
    os.ftruncate(descriptor, end.size)
    effect.landed = "no"


def _trust_the_size_alone(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, 0, 0


MISTAKES: list[tuple[object, str, Callable[..., Any], str]] = [
    (LocalDiskStore, "_locked", _take_no_lock, "an append waits for the one that is at it"),
    (
        local,
        "flush",
        _flush_nothing,
        "each append is flushed if it shall outlive a power cut",
    ),
    (
        local,
        "is_of",
        _acknowledge_in_any_file,
        "who replaces the file meanwhile takes nothing acknowledged with it",
    ),
    (
        appending,
        "_take_back",
        _cut_off_whatever_follows,
        "takes back nothing of anybody elses",
    ),
    (
        appending,
        "_identify",
        _trust_the_size_alone,
        "is hashed anew after an edit of the same size",
    ),
]


@pytest.mark.parametrize(
    ("where", "name", "mistake", "promise"),
    MISTAKES,
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_it_is_found_out(
    where: object, name: str, mistake: Callable[..., Any], promise: str
) -> None:
    words = promise.replace(" ", "_")

    def broken() -> bool:
        found = run(str(HERE), "-k", words)
        assert found
        return any(each.verdict == "broken" for each in found)

    assert not broken()
    with mock.patch.object(where, name, mistake):
        assert broken()
