"""Prunes everything the deployment configured: sessions, and the journals of collections."""

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
    """What `prune_configured` did, or would do, to the sessions or to a collection's journals.

    Attributes:
        collection: The name of the collection; None for the sessions.
        plan: The plan.
        report: The result of carrying it out; None in a dry run.
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
    """Prune what the deployment configured: sessions, and the journals of each collection.

    Each uses the strategy, trash and idle time of its own table, ``[retention]`` or
    ``[journal_retention.NAME]``; by default, what changed in the last minute is kept. All
    strategies are created before anything is deleted. A missing collection has nothing to prune.

    Args:
        config: As in `open_sessions`.
        dry_run: Plan, but delete nothing.
        progress: Called after each victim with the number done so far.

    Returns:
        The sessions first, if configured, then the collections by name.

    Raises:
        ConfigError: No pruning is configured, or a setting is wrong.
        PluginError: A strategy is missing or failed; the collections before it have been pruned.
        UnavailableError, AccessDeniedError: The store did not answer, or denied access.

    Examples:
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
        each.every = None  # no background pruning at the same time
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
