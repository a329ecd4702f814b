"""Pruning strategies, and what a prune plans and reports."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from statekeep._arguments import checked
from statekeep.store.keys import journal_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from statekeep.errors import StateStoreError
    from statekeep.format.record import Problem
    from statekeep.format.summary import Summary
    from statekeep.store.protocol import Version

__all__ = [
    "PlannedVictim",
    "Protected",
    "PruneFailure",
    "PrunePlan",
    "PruneReport",
    "PruneRequest",
    "PruneThrottle",
    "PruningStrategy",
    "Retention",
    "Victim",
]


@dataclass(frozen=True, slots=True)
class Victim:
    """A session or journal that a strategy wants deleted, and the reason, for a person to read."""

    summary: Summary
    reason: str


class PruningStrategy(Protocol):
    """Chooses which sessions to delete. A pure function: it reads nothing and deletes nothing.

    It chooses among the journals of a collection in the same way.
    """

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        """Choose victims.

        Args:
            summaries: All sessions that may be deleted, newest `updated_at` first, each a
                `SessionSummary`, or for journals a `JournalSummary`.
            now: The current time, aware, in UTC.

        Returns:
            Some of the summaries, each at most once, with the reason.
        """
        ...


@checked
@dataclass(frozen=True, slots=True)
class Retention:
    """How `Sessions` prunes automatically in the background when sessions are saved.

    Attributes:
        strategy: Chooses the sessions to delete.
        every: Minimum time between two prunes, across all processes that share the store.
        trash: How long pruned sessions stay in the trash; None to delete them at once.
        protect: Ids that are never pruned.
        min_idle: Sessions that changed less than this long ago are never pruned.
        collections: Collections of journals to prune as well, each one separately.

    Raises:
        ValueError: A time is negative.
        InvalidKeyError: A collection's name is not legal.
        TypeError: An argument has the wrong type.
    """

    strategy: PruningStrategy
    every: timedelta = timedelta(minutes=5)
    trash: timedelta | None = None
    protect: frozenset[str] = frozenset()
    min_idle: timedelta = timedelta(hours=1)
    collections: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "protect", frozenset(self.protect))
        object.__setattr__(self, "collections", frozenset(self.collections))
        for collection in self.collections:
            journal_prefix(collection)
        for name in ("every", "trash", "min_idle"):
            if (getattr(self, name) or timedelta(0)) < timedelta(0):
                raise ValueError(f"{name} must not be negative")


@dataclass(frozen=True, slots=True)
class PlannedVictim:
    """A session or journal that a plan would delete, if it still has this version.

    Attributes:
        fingerprint: The `Blob.fingerprint` that came with it, by which a store may recognize it.
    """

    summary: Summary
    reason: str
    key: str
    version: Version
    fingerprint: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Protected:
    """A session or journal that is hidden from every strategy, and the reason."""

    summary: Summary
    reason: str


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What a plan is made from.

    Attributes:
        strategy: Chooses the victims.
        protect: Ids to hide from the strategy, besides those that are pinned.
        min_idle: Also hide sessions that changed less than this long ago.

    Raises:
        ValueError: `min_idle` is negative.
    """

    strategy: PruningStrategy
    protect: frozenset[str] = frozenset()
    min_idle: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "protect", frozenset(self.protect))
        if self.min_idle < timedelta(0):
            raise ValueError("min_idle must not be negative")


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do. A plan changes nothing; `Sessions.prune` carries it out.

    Attributes:
        store: The store it was made for.
        now: The time it was made for.
        victims: What would be deleted.
        protected: What was hidden from the strategy.
        kept: How many sessions the strategy saw and left alone.
        problems: What cannot be read, and so is never pruned.
        request: What was asked for; it is asked again if the store's clock says another time.
    """

    store: str
    now: datetime
    victims: tuple[PlannedVictim, ...]
    protected: tuple[Protected, ...]
    kept: int
    problems: tuple[Problem, ...]
    request: PruneRequest = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PruneFailure:
    """A victim that a prune cannot say it deleted, and the error."""

    victim: PlannedVictim
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a prune did.

    Attributes:
        pruned: Deleted by this prune.
        skipped: Saved or deleted by someone else since the plan was made, or not old enough by the
            store's clock; left alone.
        unknown: The store did not answer; they may or may not be deleted.
        failed: The store refused; not deleted.
        swept: How many leftovers of killed writers, and segments and attachments that no journal
            refers to, were removed.
        purged: How many copies had been in the trash long enough and were permanently deleted.
    """

    pruned: tuple[PlannedVictim, ...]
    skipped: tuple[PlannedVictim, ...]
    unknown: tuple[PruneFailure, ...]
    failed: tuple[PruneFailure, ...]
    swept: int = 0
    purged: int = 0


class PruneThrottle:
    """Returns true on the first call and then at most once per cool-down; thread-safe.

    Args:
        cooldown: Minimum time between two calls that return true.
    """

    @checked
    def __init__(self, cooldown: timedelta) -> None:
        if cooldown < timedelta(0):
            raise ValueError("a cool-down must not be negative")
        self._cooldown = cooldown.total_seconds()
        self._next: float | None = None
        self._lock = threading.Lock()

    def should_prune(self) -> bool:
        """Return whether a prune is due, and if so, take the turn."""
        # If the lock is taken, another thread is taking the turn. So nobody ever waits, not even
        # in a child that was forked while the lock was held.
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
