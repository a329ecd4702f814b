"""What tests run in processes of their own."""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Timer

from statekeep import NotFoundError, Retention, Session, Sessions, load_pruner, open_store
from statekeep.config import load_importer
from statekeep.events import Event, PruneFinished, SessionDeleted
from statekeep.transport import copy, import_conversations


def _greet(session: Session) -> None:
    session.add_user_message("hello")


def save_in_a_fleet(
    location: str, worker: int, times: int
) -> tuple[list[str], list[list[int]], list[str]]:
    """Save with background retention.

    Give the ids reported as pruned, each prune's counts, and the old sessions saved meanwhile.
    """
    pruned: list[str] = []
    woken: list[str] = []
    reports: list[list[int]] = []

    def note(event: Event) -> None:
        if isinstance(event, SessionDeleted) and event.pruned:
            pruned.append(event.session_id)
        if isinstance(event, PruneFinished):
            reports.append([event.pruned, event.skipped, event.unknown, event.failed])

    retention = Retention(load_pruner("ttl"), every=timedelta(hours=1), min_idle=timedelta(0))
    with (
        open_store(location) as store,
        Sessions(store, retention=retention, observers=[note]) as sessions,
    ):
        for n in range(times):
            sessions.get_or_create("ada", f"new-{worker}-{n}")
        # Sessions that were idle for long wake up, some of them while they are being pruned.
        for n in range(3):
            with suppress(NotFoundError):
                sessions.update(f"waking-{worker}-{n}", _greet)
                woken.append(f"waking-{worker}-{n}")
        sessions.close(timedelta(minutes=1))
    return pruned, reports, woken


def prune_until_killed(location: str, after: int) -> None:
    """Prune in the background, and die in the middle of it."""
    pruned = 0

    def note(event: Event) -> None:
        nonlocal pruned
        if isinstance(event, SessionDeleted):
            pruned += 1
            if pruned == after:
                os.kill(os.getpid(), signal.SIGKILL)

    retention = Retention(load_pruner("ttl"), every=timedelta(seconds=2), min_idle=timedelta(0))
    with (
        open_store(location) as store,
        Sessions(store, retention=retention, observers=[note]) as sessions,
    ):
        sessions.get_or_create("ada", "from a worker that dies")
        sessions.close(timedelta(minutes=1))


def copy_until_killed(source: str, target: str, after: int, delay: float) -> None:
    """Copy, and die so long after so many documents."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(done: int, _total: int) -> None:
        if done >= after:
            die() if not delay else Timer(delay, die).start()

    with open_store(source) as opened, open_store(target) as other:
        copy(opened, other, progress=watch)


def import_until_killed(location: str, path: str, importer: str, parts: int) -> None:
    """Import conversations, and die after so many parts; say how much memory it took at most."""

    def watch(done: int) -> None:
        if done >= parts:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_store(location) as store:
        report = import_conversations(store, path, load_importer(importer), progress=watch)
    assert report.complete
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Path(path).with_suffix(".peak").write_text(
        str(peak * (1 if sys.platform == "darwin" else 1024))
    )
