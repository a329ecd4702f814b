"""A preview of what a prune would delete, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from statekeep.config.opening import configured_strategy, installed_plugins, load_pruner
from statekeep.config.times import parse_duration
from statekeep.errors import ClosedError, ConfigError, PluginError
from statekeep.heads.everything import journal_collections
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from starlette.responses import Response

    from statekeep.config.settings import RetentionSettings
    from statekeep.plugins.loader import PluginInfo
    from statekeep.retention import PrunePlan, PruningStrategy
    from statekeep_web.visits import Visit

__all__ = ["show_plan"]

_MOST: Final = 500
_MINUTE: Final = timedelta(minutes=1)


def show_plan(visit: Visit) -> Response:
    """Show forms to choose a strategy and its options, then the plan."""
    strategies = [
        each
        for each in installed_plugins().list()
        if each.group == "pruners" and each.status == "ok"
    ]
    name = visit.get("strategy")
    chosen = next((each for each in strategies if each.name == name), None)
    options = _options(visit, chosen)
    shown: dict[str, Any] = {
        "strategies": strategies, "chosen": chosen, "options": options,
        "configured": _configured(visit), "name": name, "most": _MOST,
        "min_idle": visit.get("min_idle"), "collection": visit.get("collection"),
        "collections": journal_collections(visit.site.store), "plan": None, "error": None,
        "users": (),
    }  # fmt: skip
    if visit.get("plan") is None or name is None:
        return visit.render("prune.html", **shown)
    try:
        given = {option["name"]: option["value"] for option in options if option["value"]}
        plan = _plan(visit, name, given)
    except ClosedError:
        raise
    except (BadRequest, ConfigError, PluginError, ValueError) as error:
        shown["error"] = str(error)
        return visit.render("prune.html", status=400, **shown)
    shown |= {"plan": plan, "users": _users(plan)}
    return visit.render("prune.html", **shown)


def _configured(visit: Visit) -> bool:
    settings = visit.site.settings
    return settings is not None and bool(settings.retention or settings.journal_retention)


def _table(visit: Visit) -> RetentionSettings | None:
    """The retention configured for sessions, or for the collection in the query."""
    if (settings := visit.site.settings) is None:
        return None
    collection = visit.get("collection")
    if collection is None:
        return settings.retention
    return settings.journal_retention.get(collection)


def _options(visit: Visit, chosen: PluginInfo | None) -> list[dict[str, Any]]:
    """The options of a strategy, each with the value typed into the form."""
    if chosen is None:
        return []
    properties: dict[str, Any] = chosen.schema.get("properties", {})
    return [
        {
            "name": name,
            "value": visit.get(f"option.{name}"),
            "default": details.get("default"),
            "description": details.get("description", ""),
        }
        for name, details in properties.items()
    ]


def _plan(visit: Visit, name: str, options: dict[str, str]) -> PrunePlan:
    table, collection = _table(visit), visit.get("collection")
    idle = _MINUTE
    if table is not None and table.min_idle is not None:
        idle = table.min_idle
    if typed := visit.get("min_idle"):
        idle = parse_duration(typed)
    strategy: PruningStrategy
    if name == "*":
        if table is None:
            raise BadRequest(f"No strategy is configured for {collection or 'sessions'}.")
        strategy = configured_strategy(table, collection=collection)
    else:
        strategy = load_pruner(name, **options)
    if collection is not None:
        return visit.site.journals(collection).plan_prune(strategy, min_idle=idle)
    return visit.site.sessions().plan_prune(strategy, min_idle=idle)


def _users(plan: PrunePlan) -> list[tuple[str | None, int, int]]:
    """The count and total size of victims for each user, largest first."""
    found: dict[str | None, tuple[int, int]] = {}
    for each in plan.victims:
        count, total = found.get(each.summary.user_id, (0, 0))
        found[each.summary.user_id] = count + 1, total + each.summary.size
    most = sorted(found.items(), key=lambda each: each[1][1], reverse=True)
    return [(user, count, total) for user, (count, total) in most]
