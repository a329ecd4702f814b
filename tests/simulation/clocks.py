"""What the library takes from its surroundings, replaced: time, chance, threads, the process."""

from __future__ import annotations

import logging
import os
import pkgutil
import platform
import random
import secrets
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import statekeep
from statekeep import timestamps
from statekeep.testing.journal_checks import small_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from simulation.operations import Operation
    from simulation.scheduler import Scheduler, Task

__all__ = ["DAY", "HOUR", "MINUTE", "SECOND", "as_datetime", "simulated"]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def as_datetime(moment: int) -> datetime:
    """What a right clock shows so many microseconds after the beginning of a history."""
    return _BEGINNING + moment * _MICROSECOND


class _Thread:
    """A thread of the library, as a task of the process that starts it."""

    def __init__(
        self,
        scheduler: Scheduler[Operation],
        target: Callable[..., object],
        args: tuple[object, ...] = (),
        **_: object,
    ) -> None:
        self._scheduler = scheduler
        self._work = lambda: target(*args)
        self._task: Task[Operation] | None = None

    def start(self) -> None:
        current = self._scheduler.current
        make = current.operation.background
        assert make is not None, "nobody asked for a thread"
        self._task = self._scheduler.start(current.process, make(), self._work)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done

    def join(self, timeout: float | None = None) -> None:
        scheduler = self._scheduler
        deadline = scheduler.now + int((timeout or 3600) * SECOND)
        while self.is_alive() and scheduler.now < deadline:
            scheduler.sleep(SECOND)


@contextmanager
def simulated(scheduler: Scheduler[Operation]) -> Iterator[None]:
    """Let the library live in the world of a scheduler; not for two at once.

    The time is that of the process that runs, chance is that of the operation that runs.
    """

    def utc_now() -> datetime:
        return as_datetime(scheduler.now + scheduler.current.process.offset)

    def chance() -> random.Random:
        return scheduler.current.operation.chance

    replaced: dict[int, Any] = {
        id(timestamps.utc_now): utc_now,
        id(time): SimpleNamespace(
            monotonic=lambda: scheduler.now / SECOND,
            time=lambda: utc_now().timestamp(),
            sleep=lambda seconds: scheduler.sleep(int(seconds * SECOND)),
        ),
        id(secrets): SimpleNamespace(token_hex=lambda size: chance().randbytes(size).hex()),
        id(random): SimpleNamespace(uniform=lambda low, high: chance().uniform(low, high)),
        id(os): SimpleNamespace(**{**vars(os), "getpid": lambda: 1}),
        id(platform): SimpleNamespace(node=lambda: "simulated"),
        id(uuid): SimpleNamespace(uuid4=lambda: uuid.UUID(int=chance().getrandbits(128))),
        id(threading): SimpleNamespace(
            **{
                **vars(threading),
                "Thread": lambda **options: _Thread(scheduler, **options),
            }
        ),
    }
    places = _places()
    for module, name, original in places:
        setattr(module, name, replaced[id(original)])
    logging.disable()  # it would take longer than the rest
    try:
        with small_bounds():
            yield
    finally:
        logging.disable(logging.NOTSET)
        for module, name, original in places:
            setattr(module, name, original)


@cache
def _places() -> list[tuple[ModuleType, str, object]]:
    """Each name in a module of the library that stands for something outside it."""
    for package in (
        "store",
        "sessions",
        "documents",
        "retention",
        "heads",
        "doctor",
        "journals",
        "observe",
    ):
        module = import_module(f"statekeep.{package}")
        for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
            import_module(found.name)
    outside = (timestamps.utc_now, time, secrets, random, uuid, threading, os, platform)
    return [
        (module, name, value)
        for module in [*sys.modules.values()]
        if module.__name__.startswith(f"{statekeep.__name__}.")
        and not module.__name__.startswith("statekeep.testing")
        for name, value in [*vars(module).items()]
        if any(value is each for each in outside)
    ]
