"""Planning a prune, and carrying it out.

What is protected is withheld from the strategy, and a session is deleted on the condition that it
is still the one that was seen.
"""

from __future__ import annotations

import logging
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

from statekeep.errors import ConflictError, PluginError, StateStoreError, UnavailableError
from statekeep.protocol import SupportsGetMany, SupportsSweep
from statekeep.retention import (
    PlannedVictim,
    PrunePlan,
    PruneReport,
    Undeleted,
    Victim,
    Withheld,
)
from statekeep.timestamps import from_nanoseconds
from statekeep.trash import discard, empty_trash

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import datetime

    from statekeep.listing import Catalogue, Record
    from statekeep.protocol import StateStore, Version
    from statekeep.retention import PruningStrategy
    from statekeep.summaries import SessionSummary

__all__ = ["carry_out", "make_plan"]

_logger = logging.getLogger(__name__)

_WORKERS = 16
_STALE = timedelta(hours=1)
_UNTOUCHED: Final = object()


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
    store: StateStore,
    delete: Callable[[str, Version], object],
    *,
    trash: timedelta | None,
    now: datetime,
    deleted: Callable[[PlannedVictim], object],
    finished: Callable[[PruneReport], object],
    progress: Callable[[int], object] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> PruneReport:
    """Delete what a plan names and report each victim's fate; then tidy the store.

    Args:
        plan: The plan.
        store: The store it was made for.
        delete: Deletes what lies at a key if it is of a version.
        trash: How long victims stay in the trash; None to delete them at once.
        now: The present.
        deleted: Told of each victim that was deleted, in the thread that deleted it.
        finished: Told of the report even if the prune is interrupted.
        progress: Told after each victim how many are done.
        stop: Asked before each victim whether to leave it and the rest alone.
    """
    fates: dict[str, StateStoreError | None] = {}

    def meet_fate(victim: PlannedVictim) -> None:
        if stop():
            return
        try:
            if trash is None:
                delete(victim.key, victim.version)
            else:
                _throw_away(store, victim, delete, now)
        except StateStoreError as error:
            fates[victim.key] = error
        else:
            fates[victim.key] = None
            deleted(victim)

    swept = emptied = 0
    try:
        # A store that reads many at once because each takes its time deletes so, too.
        workers = _WORKERS if isinstance(store, SupportsGetMany) else 1
        with closing(_do_all(meet_fate, plan.victims, workers)) as done:
            for count in done:
                if progress:
                    progress(count)
        if not stop():
            swept = _tidy("leftovers", lambda: _sweep(store))
            if trash is not None:
                in_use = None in fates.values()
                emptied = _tidy(
                    "the trash",
                    lambda: empty_trash(store, older_than=trash, now=now, in_use=in_use),
                )
    finally:
        report = replace(_report(plan, fates), swept=swept, emptied=emptied)
        finished(report)
    return report


def _throw_away(
    store: StateStore,
    victim: PlannedVictim,
    delete: Callable[[str, Version], object],
    now: datetime,
) -> None:
    blob = store.get(victim.key)
    if blob is None or blob.version != victim.version:
        raise ConflictError("it has changed since it was read", key=victim.key, store=store)
    discard(store, victim.key, blob, delete, now=now)


def _do_all(
    work: Callable[[PlannedVictim], None], victims: Sequence[PlannedVictim], workers: int
) -> Generator[int]:
    """Do work for each, and say after each how many are done."""
    pool = None
    if workers > 1:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not always needed

        pool = ThreadPoolExecutor(workers, "statekeep-prune")
    # So that observers in the threads of the pool see the caller's context variables.
    context = copy_context()
    # In batches, because the interpreter does not end before all that was handed to a pool has.
    batches = (
        victims[start : start + 4 * workers] for start in range(0, len(victims), 4 * workers)
    )
    try:
        done = chain.from_iterable(
            (pool.map if pool else map)(lambda victim: context.copy().run(work, victim), batch)
            for batch in batches
        )
        for count, _ in enumerate(done, start=1):
            yield count
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _sweep(store: StateStore) -> int:
    return store.sweep(older_than=_STALE) if isinstance(store, SupportsSweep) else 0


def _tidy(what: str, remove: Callable[[], int]) -> int:
    try:
        return remove()
    except StateStoreError as error:
        # What was pruned must be reported, whatever becomes of the rest.
        _logger.warning("%s could not be removed: %s", what, error)
        return 0


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
