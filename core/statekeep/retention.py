"""Which sessions to delete, and deleting exactly those.

A strategy decides; the core withholds what is protected from it, and deletes on the condition
that a session is still the one that was seen.
"""

from __future__ import annotations

import threading
import time
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

from statekeep.errors import ConflictError, PluginError, StateStoreError, UnavailableError
from statekeep.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from statekeep.listing import Catalogue, Problem, Record
    from statekeep.models import SessionSummary
    from statekeep.protocol import Version

__all__ = [
    "PlannedVictim",
    "PrunePlan",
    "PruneReport",
    "PruneThrottle",
    "PruningStrategy",
    "Retention",
    "Undeleted",
    "Victim",
    "Withheld",
    "carry_out",
    "make_plan",
]

_UNTOUCHED: Final = object()


@dataclass(frozen=True, slots=True)
class Victim:
    """A session that a strategy wants deleted, and why, in words for a person."""

    summary: SessionSummary
    reason: str


class PruningStrategy(Protocol):
    """Decides which sessions to delete. A pure function: it reads nothing and deletes nothing."""

    def select(self, summaries: Sequence[SessionSummary], now: datetime) -> Iterable[Victim]:
        """Choose victims.

        Args:
            summaries: All sessions that may be deleted, newest `updated_at` first.
            now: The present, aware, in UTC.

        Returns:
            Some of the summaries, each once, with the reason.
        """
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How `Sessions` prunes by itself, in the background, when sessions are saved.

    Attributes:
        strategy: Which sessions to delete.
        every: The least time from one prune to the next, in all processes that share the store.
        trash: How long pruned sessions stay in the trash; None to delete them at once.
        protect: Ids that are never pruned.
        min_idle: Sessions changed within this time are never pruned.

    Raises:
        ValueError: A time is negative.
        TypeError: What is protected is no collection of ids.
    """

    strategy: PruningStrategy
    every: timedelta = timedelta(minutes=5)
    trash: timedelta | None = None
    protect: frozenset[str] = frozenset()
    min_idle: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if isinstance(self.protect, str):
            raise TypeError("protect is a collection of ids, not one")
        object.__setattr__(self, "protect", frozenset(self.protect))
        for name in ("every", "trash", "min_idle"):
            if (getattr(self, name) or timedelta(0)) < timedelta(0):
                raise ValueError(f"{name} must not be negative")


@dataclass(frozen=True, slots=True)
class PlannedVictim:
    """A session that a plan would delete, if it is still of that version."""

    summary: SessionSummary
    reason: str
    key: str
    version: Version


@dataclass(frozen=True, slots=True)
class Withheld:
    """A session that no strategy gets to see, and why."""

    summary: SessionSummary
    reason: str


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do. It reads and changes nothing; `Sessions.prune` carries it out.

    Attributes:
        store: The store it was made for.
        now: The time it was made for.
        victims: What would be deleted.
        withheld: What was kept from the strategy.
        kept: How many sessions the strategy saw and left alone.
        problems: What cannot be read, and so is never pruned.
    """

    store: str
    now: datetime
    victims: tuple[PlannedVictim, ...]
    withheld: tuple[Withheld, ...]
    kept: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Undeleted:
    """A victim of which a prune cannot say that it deleted it, and the error it met."""

    victim: PlannedVictim
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a prune did.

    Attributes:
        pruned: Deleted by this prune.
        spared: Saved or deleted by someone else since the plan, so left alone.
        unknown: The store did not answer: deleted or not.
        failed: The store refused.
        swept: Leftovers of killed writers that were removed.
        emptied: Sessions that were in the trash for long enough, and were deleted for good.
    """

    pruned: tuple[PlannedVictim, ...]
    spared: tuple[PlannedVictim, ...]
    unknown: tuple[Undeleted, ...]
    failed: tuple[Undeleted, ...]
    swept: int = 0
    emptied: int = 0


def make_plan(
    catalogue: Catalogue,
    strategy: PruningStrategy,
    *,
    store: str,
    now: datetime,
    protect: Iterable[str],
    min_idle: timedelta,
) -> PrunePlan:
    """Ask a strategy about everything that is not protected.

    Raises:
        PluginError: The strategy failed, or named a session that it was not shown.
    """
    if isinstance(protect, str):
        raise TypeError("protect is a collection of ids, not one")
    if min_idle < timedelta(0):
        raise ValueError("min_idle must not be negative")
    protect = frozenset(protect)
    offered: dict[str, tuple[Record, SessionSummary]] = {}
    withheld: list[Withheld] = []
    for record in catalogue.records:
        summary = record.summary()
        modified = catalogue.modified[record.key]
        if reason := _protection(summary, modified, now=now, protect=protect, min_idle=min_idle):
            withheld.append(Withheld(summary, reason))
        else:
            offered[summary.id] = record, summary
    victims: dict[str, PlannedVictim] = {}
    for victim in _selected(strategy, [summary for _, summary in offered.values()], now):
        chosen = offered.get(victim.summary.id)
        if chosen is None:
            raise PluginError(
                f"the strategy {strategy!r} chose {victim.summary.id!r}, which it was not shown; "
                "nothing was pruned"
            )
        record, summary = chosen
        victims[record.id] = PlannedVictim(summary, victim.reason, record.key, record.version)
    return PrunePlan(
        store=store,
        now=now,
        victims=tuple(victims.values()),
        withheld=tuple(withheld),
        kept=len(offered) - len(victims),
        problems=catalogue.problems,
    )


def carry_out(
    plan: PrunePlan,
    delete: Callable[[PlannedVictim], object],
    *,
    workers: int,
    finished: Callable[[PruneReport], object],
    progress: Callable[[int], object] | None,
    stop: Callable[[], bool],
) -> PruneReport:
    """Delete what a plan names and report each victim's fate.

    Args:
        plan: The plan.
        delete: Deletes a victim if it is still of the version that was seen.
        workers: How many threads call `delete` at a time.
        finished: Told of the report even if the prune is interrupted.
        progress: Told after each victim how many are done.
        stop: Asked before each victim whether to leave it and the rest alone.
    """
    fates: dict[str, StateStoreError | None] = {}

    def meet_fate(victim: PlannedVictim) -> None:
        if stop():
            return
        try:
            delete(victim)
        except StateStoreError as error:
            fates[victim.key] = error
        else:
            fates[victim.key] = None

    pool = None
    if workers > 1:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not always needed

        pool = ThreadPoolExecutor(workers, "statekeep-prune")
    # So that observers in the threads of the pool see the caller's context variables.
    context = copy_context()
    # In batches, because the interpreter does not end before all that was handed to a pool has.
    batches = (
        plan.victims[start : start + 4 * workers]
        for start in range(0, len(plan.victims), 4 * workers)
    )
    try:
        done = chain.from_iterable(
            (pool.map if pool else map)(lambda victim: context.copy().run(meet_fate, victim), batch)
            for batch in batches
        )
        for count, _ in enumerate(done, start=1):
            if progress:
                progress(count)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
        report = _report(plan, fates)
        finished(report)
    return report


def _report(plan: PrunePlan, fates: dict[str, StateStoreError | None]) -> PruneReport:
    pruned: list[PlannedVictim] = []
    spared: list[PlannedVictim] = []
    unknown: list[Undeleted] = []
    failed: list[Undeleted] = []
    for victim in plan.victims:
        match fates.get(victim.key, _UNTOUCHED):
            case None:
                pruned.append(victim)
            case ConflictError():
                spared.append(victim)
            case UnavailableError() as error:
                unknown.append(Undeleted(victim, error))
            case StateStoreError() as error:
                failed.append(Undeleted(victim, error))
    return PruneReport(tuple(pruned), tuple(spared), tuple(unknown), tuple(failed))


def _selected(
    strategy: PruningStrategy, summaries: Sequence[SessionSummary], now: datetime
) -> list[Victim]:
    try:
        victims = list(strategy.select(summaries, now))
    except Exception as error:
        raise PluginError(f"the strategy {strategy!r} failed: {error!r}") from error
    for victim in victims:
        if not isinstance(victim, Victim):
            raise PluginError(f"the strategy {strategy!r} gave {victim!r}, which is no Victim")
    return victims


def _protection(
    summary: SessionSummary,
    modified_ns: int | None,
    *,
    now: datetime,
    protect: frozenset[str],
    min_idle: timedelta,
) -> str | None:
    if summary.pinned_until is not None and summary.pinned_until > now:
        return "pinned"
    if summary.id in protect:
        return "protected"
    if min_idle:
        modified = from_nanoseconds(modified_ns)
        if now - max(summary.updated_at, modified or summary.updated_at) < min_idle:
            return f"changed within {min_idle}"
    return None


class PruneThrottle:
    """Says yes on the first call and then at most once per cool-down; safe under threads.

    Args:
        cooldown: The least time between two yeses.
    """

    def __init__(self, cooldown: timedelta) -> None:
        if cooldown < timedelta(0):
            raise ValueError("a cool-down must not be negative")
        self._cooldown = cooldown.total_seconds()
        self._next: float | None = None
        self._lock = threading.Lock()

    def should_prune(self) -> bool:
        """Take the turn if it is due."""
        # Who does not get the lock meets another who takes the turn. So nobody ever waits, not
        # even in a child that was forked while the lock was held.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            now = time.monotonic()
            if self._next is not None and now < self._next:
                return False
            self._next = now + self._cooldown
            return True
        finally:
            self._lock.release()
