"""``statekeep prune``, and the output of all prunes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from statekeep.cli import output
from statekeep.cli.errors import FAILED
from statekeep.cli.options import AsJson, StoreUrl, existing
from statekeep.config.opening import open_store
from statekeep.heads.everything import journal_collections
from statekeep.views import views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from statekeep.config import Settings
    from statekeep.retention.types import PrunePlan

__all__ = ["print_prune", "prune"]


def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be pruned, and prune nothing.")
    ] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Prune sessions and the journals of each collection, as configured.

    Each has its own table, [retention] or [journal_retention.NAME].

    For example: statekeep prune --dry-run
    """
    from statekeep.config import prune_configured  # noqa: PLC0415 - not needed to print the help

    settings = existing(store)
    with output.bar("pruning") as show:
        pruned = prune_configured(settings, dry_run=dry_run, progress=show)
    result = views.prune_configured(pruned)
    if as_json:
        output.print_json(result)
    else:
        for number, each in enumerate(result["collections"]):
            if number:
                output.print_text()
            output.print_text(each["collection"] or "(sessions)", "bold")
            print_prune(each, "JOURNALS" if each["collection"] else "SESSIONS")
    _note_missing(settings, [each.collection for each in pruned if not _count(each.plan)])
    if any(each.report and (each.report.unknown or each.report.failed) for each in pruned):
        raise typer.Exit(FAILED)


def _count(plan: PrunePlan) -> int:
    return plan.kept + len(plan.victims) + len(plan.protected)


def _note_missing(settings: Settings, empty: Sequence[str | None]) -> None:
    """Say which configured collections the store does not have: the name may be misspelled."""
    names = [name for name in empty if name is not None]
    if not names:
        return
    with open_store(settings) as opened:
        there = journal_collections(opened)
    known = ", ".join(there) or "none"
    for name in names:
        if name not in there:
            output.note(
                f"note: [journal_retention.{name}]: the store has no such journals (it has: "
                f"{known})",
                "yellow",
            )


def print_prune(result: dict[str, Any], what_is_pruned: str) -> None:
    """Print what a prune of one collection did, or would do.

    Args:
        result: As `views.prune_plan` or `views.prune_report` gives it.
        what_is_pruned: The heading of the column that counts them.
    """
    rows = [
        [what.replace("_", " "), each["id"], each.get("reason") or each.get("error", "")]
        for what in ("would_prune", "pruned", "skipped", "unknown", "failed", "protected")
        for each in result.get(what, ())
    ]
    if rows:
        output.print_table(["WHAT", "ID", "WHY"], rows)
    if "pruned" in result:
        done = f"{len(result['pruned'])} pruned"
    else:
        victims = result["would_prune"]
        done = f"{len(victims)} would be pruned"
        if victims:
            done += f" ({output.size(sum(each['size'] for each in victims))})"
        _print_users(victims, what_is_pruned)
    output.print_text(f"{done}, {result['kept'] + len(result['protected'])} kept")
    if result.get("purged"):
        output.print_text(f"{result['purged']} permanently deleted from the trash")
    if result.get("swept"):
        output.print_text(f"{result['swept']} leftovers and unreferenced files removed")


def _print_users(victims: Sequence[dict[str, Any]], what_is_pruned: str) -> None:
    """Print the users that the victims belong to, if there are several."""
    users: dict[str, list[int]] = {}
    for each in victims:
        users.setdefault(each["user_id"] or "", []).append(each["size"])
    if len(users) > 1:
        most = sorted(users.items(), key=lambda each: sum(each[1]), reverse=True)
        rows = [[user, str(len(sizes)), output.size(sum(sizes))] for user, sizes in most]
        output.print_table(["USER", what_is_pruned, "SIZE"], rows)
