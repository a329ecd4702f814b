"""Planning a prune: what is protected is hidden from the strategy, which chooses from the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from statekeep.errors import PluginError
from statekeep.retention.types import PlannedVictim, Protected, PrunePlan, Victim
from statekeep.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from statekeep.format.record import HeadRecord, IndexSnapshot
    from statekeep.format.summary import Summary
    from statekeep.retention.types import PruneRequest, PruningStrategy

__all__ = ["joined", "make_plan"]


def make_plan(
    snapshot: IndexSnapshot, request: PruneRequest, *, store: str, now: datetime
) -> PrunePlan:
    """Ask a strategy about everything that is not protected.

    Raises:
        PluginError: The strategy failed, or chose a session that it was not shown.
    """
    strategy, protect, min_idle = request.strategy, request.protect, request.min_idle
    offered: dict[str, tuple[HeadRecord, Summary]] = {}
    protected: list[Protected] = []
    for record in snapshot.records:
        summary = record.summary()
        modified = snapshot.modified[record.key]
        if reason := _protection(summary, modified, now=now, protect=protect, min_idle=min_idle):
            protected.append(Protected(summary, reason))
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
        record, seen = chosen
        victims[record.id] = PlannedVictim(
            seen, victim.reason, record.key, record.version, record.fingerprint
        )
    return PrunePlan(
        store=store,
        now=now,
        victims=tuple(victims.values()),
        protected=tuple(protected),
        kept=len(offered) - len(victims),
        problems=snapshot.problems,
        request=request,
    )


def joined(plans: Sequence[PrunePlan]) -> PrunePlan:
    """Join the plans of several collections, made for the same request and time."""
    return replace(
        plans[0],
        victims=tuple([victim for plan in plans for victim in plan.victims]),
        protected=tuple([each for plan in plans for each in plan.protected]),
        kept=sum(plan.kept for plan in plans),
        problems=tuple([problem for plan in plans for problem in plan.problems]),
    )


def _selected(
    strategy: PruningStrategy, summaries: Sequence[Summary], now: datetime
) -> list[Victim]:
    try:
        victims = list(strategy.select(summaries, now))
    except Exception as error:
        raise PluginError(f"the strategy {strategy!r} failed: {error!r}") from error
    for victim in victims:
        if not isinstance(victim, Victim):
            raise PluginError(
                f"the strategy {strategy!r} returned {victim!r}, which is not a Victim"
            )
    return victims


def _protection(
    summary: Summary,
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
