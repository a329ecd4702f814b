"""Pruning: makes a plan from an index, and carries it out only on the versions that were seen."""

from __future__ import annotations

import logging
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Final

from statekeep.errors import ConflictError, StateStoreError
from statekeep.format.summary import FOREVER, JournalSummary
from statekeep.observe.events import JournalDeleted, PruneFinished, SessionDeleted
from statekeep.retention.planning import joined, make_plan
from statekeep.retention.stamp import Stamp
from statekeep.retention.sweeping import sweep_unnamed
from statekeep.retention.trash import empty_trash, move_to_trash, young_copies
from statekeep.retention.types import PlannedVictim, PruneFailure, PrunePlan, PruneReport
from statekeep.store.powers import Seen, SupportsDeleteSeen, power, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence
    from datetime import datetime
    from typing import Protocol

    from statekeep.format.record import IndexSnapshot
    from statekeep.format.summary import Summary
    from statekeep.observe.emitter import Emitter
    from statekeep.retention.copies import Copy
    from statekeep.retention.types import PruneRequest
    from statekeep.store.transfer import Transfer

    class Index(Protocol):
        """Knows the heads of a collection."""

        def read(self, *, times: bool = False) -> IndexSnapshot:
            """Return the heads as they are now."""
            ...


__all__ = ["Pruner", "purging"]

_logger = logging.getLogger(__name__)

_WORKERS = 16
_STALE = timedelta(hours=1)
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_UNTOUCHED: Final = object()


class Pruner:
    """Plans prunes and carries them out.

    Args:
        indexes: The indexes, one per collection; a strategy is asked about one at a time.
        transfer: Deletes and moves heads.
        emitter: Tells observers.
        purges: Whether a prune may permanently delete a copy in the trash.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        transfer: Transfer,
        emitter: Emitter,
        purges: Callable[[Copy], bool] = lambda _: True,
    ) -> None:
        self._indexes = indexes
        self._transfer = transfer
        self._store = transfer.store
        self._emitter = emitter
        self._stamp = Stamp(transfer)
        self._purges = purges

    def plan(self, request: PruneRequest, *, now: datetime) -> PrunePlan:
        """Return what a prune would delete."""
        store = str(self._store)
        return joined(
            [
                make_plan(index.read(times=True), request, store=store, now=now)
                for index in self._indexes
            ]
        )

    def prune(
        self,
        plan: PrunePlan,
        *,
        ours: bool,
        trust_clock: bool,
        trash: timedelta | None,
        progress: Callable[[int], object] | None,
    ) -> PruneReport:
        """Carry out a plan by the store's clock.

        Args:
            plan: The plan.
            ours: Whether nobody has seen the plan, so that another one can replace it. Otherwise
                it can only shrink.
            trust_clock: Use the plan's time, whatever the store's clock says.
            trash: How long victims stay in the trash; None to delete them at once.
            progress: Called after each victim with the number done so far.

        Raises:
            ValueError: The plan was made for another store, or `trash` is negative.
        """
        if trash is not None and trash < timedelta(0):
            raise ValueError("trash must not be negative")
        if plan.store != str(self._store):
            raise ValueError(f"the plan was made for {plan.store}, not for {self._store}")
        skip: frozenset[str] = frozenset()
        present = None
        if plan.victims or trash is not None:
            present = self._stamp.write()
            if abs(present - plan.now) > _MINUTE and not trust_clock:
                anew = self.plan(plan.request, now=present)
                if ours:
                    plan = anew
                else:
                    chosen = {victim.key for victim in anew.victims}
                    skip = frozenset({victim.key for victim in plan.victims} - chosen)
        return self.execute(plan, present=present, trash=trash, skip=skip, progress=progress)

    def execute(
        self,
        plan: PrunePlan,
        *,
        present: datetime | None,
        trash: timedelta | None,
        skip: frozenset[str] = frozenset(),
        progress: Callable[[int], object] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> PruneReport:
        """Delete what a plan names and report what became of each victim; then tidy the store.

        Observers receive the report even if the prune is interrupted.

        Args:
            plan: The plan.
            present: The current time by the store's clock; None to determine it when needed.
            trash: How long victims stay in the trash; None to delete them at once.
            skip: Keys of victims to leave alone.
            progress: Called after each victim with the number done so far.
            stop: Called before each victim; if true, it and the rest are left alone. A batch that
                is being deleted is finished first.
        """
        young: frozenset[str] = frozenset()
        if trash is not None:
            present = present or self._stamp.write()
            if plan.victims:
                young = young_copies(self._store, present)

        why = "by the store's clock, the strategy does not choose it"
        outcomes: dict[str, StateStoreError | None] = {
            key: self._conflict(key, why) for key in skip
        }
        victims = [victim for victim in plan.victims if victim.key not in skip]
        move = None
        if present is not None and trash is not None:
            move = partial(self._move, present=present, young=young)
        swept = purged = 0
        try:
            with closing(self._carry_out(victims, move, outcomes, stop)) as done:
                for count in done:
                    if progress:
                        progress(count + len(plan.victims) - len(victims))
            if not stop():
                if present is not None and trash is not None:
                    keep, now = trash, present
                    purged = _tidy("the trash", lambda: self._purge(keep, now))
                swept = _tidy(
                    "unreferenced segments and attachments", lambda: self._sweep(present, stop)
                )
                swept += _tidy("leftovers", lambda: sweep(self._store, older_than=_STALE))
        finally:
            report = replace(_report(plan, outcomes), swept=swept, purged=purged)
            self._emitter.emit(
                PruneFinished,
                pruned=len(report.pruned),
                skipped=len(report.skipped),
                unknown=len(report.unknown),
                failed=len(report.failed),
                swept=swept,
                purged=purged,
            )
        return report

    def _carry_out(
        self,
        victims: Sequence[PlannedVictim],
        move: Callable[[PlannedVictim], None] | None,
        outcomes: dict[str, StateStoreError | None],
        stop: Callable[[], bool],
    ) -> Generator[int]:
        """Move victims to the trash or delete them; yield the number done after each."""

        def settle(victim: PlannedVictim, error: StateStoreError | None) -> None:
            outcomes[victim.key] = error
            if error is None:
                self._tell(victim.summary, trashed=move is not None)

        def prune_one(victim: PlannedVictim) -> None:
            if stop():
                return
            error = None
            try:
                if move is None:
                    self._transfer.delete_seen(victim.key, victim.version)
                else:
                    move(victim)
            except StateStoreError as met:
                error = met
            settle(victim, error)

        remote = self._store.capabilities.remote
        if move is not None or (remote and power(self._store, SupportsDeleteSeen) is None):
            yield from _do_all(prune_one, victims, _WORKERS if remote else 1)
            return
        by_key = {victim.key: victim for victim in victims}
        seen = (
            Seen(each.key, each.version, each.fingerprint)
            for each in takewhile(lambda _: not stop(), victims)
        )
        count = 0
        with closing(self._transfer.delete_all_seen(seen)) as deleted:
            for done in deleted:
                # Record all of them first, because a callback may interrupt.
                for key, error in done.items():
                    settle(by_key[key], error)
                for _ in done:
                    count += 1
                    yield count
                if stop():
                    return

    def empty_trash(
        self, older_than: timedelta, wanted: Callable[[Copy], bool], user_id: str | None
    ) -> int:
        """Permanently delete copies that have been in the trash at least this long.

        Their age is by the store's clock.
        """
        if older_than < timedelta(0):
            raise ValueError("older_than must not be negative")
        # Every copy is older than zero, by any clock.
        present = self._stamp.write() if older_than else FOREVER
        return empty_trash(
            self._store, older_than=older_than, now=present, wanted=wanted, user_id=user_id
        )

    def _purge(self, trash: timedelta, present: datetime) -> int:
        # A day later than asked for: a copy may be all there is of a victim while its delete is
        # still on its way.
        return empty_trash(self._store, older_than=trash + _DAY, now=present, wanted=self._purges)

    def _sweep(self, present: datetime | None, stop: Callable[[], bool]) -> int:
        return sweep_unnamed(self._transfer, present=present, stop=stop).deleted

    def _move(self, victim: PlannedVictim, present: datetime, young: frozenset[str]) -> None:
        blob = self._store.get(victim.key)
        if blob is None or blob.version != victim.version:
            raise self._conflict(victim.key, "it has changed since it was read")
        move_to_trash(self._transfer, victim.key, blob, now=present, young=young)

    def _tell(self, pruned: Summary, *, trashed: bool) -> None:
        if isinstance(pruned, JournalSummary):
            self._emitter.emit(
                JournalDeleted, pruned.collection, pruned.name, pruned=True, trashed=trashed
            )
        else:
            self._emitter.emit(SessionDeleted, pruned.id, pruned=True, trashed=trashed)

    def _conflict(self, key: str, why: str) -> ConflictError:
        return ConflictError(why, key=key, store=self._store, landed="no")


def purging(collection: str | None, apart: Collection[str]) -> Callable[[Copy], bool]:
    """Return a function that says which trash copies a collection's prunes may permanently delete.

    Args:
        collection: The collection that they prune; None for the sessions.
        apart: Collections that are pruned separately, each of which decides how long its own copies
            are kept.
    """
    if collection in apart:
        return lambda copy: copy.collection == collection
    return lambda copy: copy.collection not in apart


def _do_all(
    work: Callable[[PlannedVictim], None], victims: Sequence[PlannedVictim], workers: int
) -> Generator[int]:
    """Do the work for each victim, and yield the number done after each."""
    pool = None
    if workers > 1:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not always needed

        pool = ThreadPoolExecutor(workers, "statekeep-prune")
    # So that observers in the threads of the pool see the caller's context variables.
    context = copy_context()
    # In batches, because the interpreter does not exit before everything given to a pool is done.
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


def _tidy(what: str, remove: Callable[[], int]) -> int:
    try:
        return remove()
    except StateStoreError as error:
        # What was pruned must be reported, whatever happens to the rest.
        _logger.warning("%s could not be removed: %s", what, error)
        return 0


def _report(plan: PrunePlan, outcomes: dict[str, StateStoreError | None]) -> PruneReport:
    pruned: list[PlannedVictim] = []
    skipped: list[PlannedVictim] = []
    unknown: list[PruneFailure] = []
    failed: list[PruneFailure] = []
    for victim in plan.victims:
        match outcomes.get(victim.key, _UNTOUCHED):
            case None:
                pruned.append(victim)
            case ConflictError(landed="no"):
                skipped.append(victim)
            case StateStoreError(landed="no") as error:
                failed.append(PruneFailure(victim, error))
            case StateStoreError() as error:
                unknown.append(PruneFailure(victim, error))
    return PruneReport(tuple(pruned), tuple(skipped), tuple(unknown), tuple(failed))
