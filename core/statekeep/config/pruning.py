"""Pruning all that a deployment configured: sessions, and the journals of collections."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from statekeep.config.opening import configured_strategy, open_configured, settings_for
from statekeep.errors import ConfigError
from statekeep.journals import Journals
from statekeep.sessions.sessions import Sessions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from statekeep.config.settings import RetentionSettings, Settings
    from statekeep.retention.types import PrunePlan, PruneReport, PruningStrategy

__all__ = ["PrunedCollection", "prune_configured"]

_MIN_IDLE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PrunedCollection:
    """What `prune_configured` did, or would do, with the sessions or the journals of a collection.

    Attributes:
        collection: The name of the collection; None for the sessions.
        plan: What it planned.
        report: What became of that; None if it was only planned.
    """

    collection: str | None
    plan: PrunePlan
    report: PruneReport | None


def prune_configured(
    config: str | os.PathLike[str] | Settings | None = None,
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> list[PrunedCollection]:
    """Prune what a deployment configured: its sessions, and the journals of each collection.

    Each goes by the strategy, the trash and the idle time of its own table, ``[retention]`` or
    ``[journal_retention.NAME]``; what changed within a minute is spared if that says nothing. All
    strategies are made before anything is deleted. A collection that is not there has nothing to
    prune.

    Args:
        config: As for `open_sessions`.
        dry_run: Only plan.
        progress: Told after each victim how many are done.

    Returns:
        The sessions first, if they are configured, then the collections by name.

    Raises:
        ConfigError: Nothing is configured, or something is wrong.
        PluginError: A strategy is not there, or failed; collections before it are pruned.
        UnavailableError, AccessDeniedError: The store did not answer, or refused.

    Example:
        >>> from statekeep.config import load_settings
        >>> tables = {"support": {"strategy": "ttl"}}
        >>> settings = load_settings(url="memory:", journal_retention=tables)
        >>> (pruned,) = prune_configured(settings, dry_run=True)
        >>> pruned.collection
        'support'
    """
    settings = settings_for(config)
    tables: dict[str | None, RetentionSettings] = dict(sorted(settings.journal_retention.items()))
    if settings.retention is not None:
        tables = {None: settings.retention, **tables}
    if not tables:
        raise ConfigError(
            "no pruning is configured: there is neither [retention] nor [journal_retention.NAME]"
        )
    strategies = {name: configured_strategy(each, collection=name) for name, each in tables.items()}
    asked = settings.model_copy(deep=True)
    for each in filter(None, [asked.retention, *asked.journal_retention.values()]):
        each.every = None  # nothing besides in the background
    store, chosen = open_configured(asked)
    done = 0
    pruned: list[PrunedCollection] = []
    with store:
        for name, table in tables.items():

            def told(count: int, before: int = done) -> None:
                if progress:
                    progress(before + count)

            of_journals = {key: value for key, value in chosen.items() if key != "retention"}
            with (
                Sessions(store, **chosen) if name is None else Journals(store, name, **of_journals)
            ) as owner:
                found = _prune(owner, strategies[name], table, told, dry_run=dry_run)
            done += len(found[0].victims)
            pruned.append(PrunedCollection(name, *found))
    return pruned


def _prune(
    owner: Sessions | Journals,
    strategy: PruningStrategy,
    table: RetentionSettings,
    progress: Callable[[int], object],
    *,
    dry_run: bool,
) -> tuple[PrunePlan, PruneReport | None]:
    idle = _MIN_IDLE if table.min_idle is None else table.min_idle
    plan = owner.plan_prune(strategy, min_idle=idle)
    if dry_run:
        return plan, None
    return plan, owner.prune(plan, trash=table.trash, progress=progress)
