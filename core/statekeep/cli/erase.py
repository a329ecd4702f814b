"""``statekeep erase``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statekeep.cli import output
from statekeep.cli.errors import EXIT_CODES
from statekeep.cli.options import AsJson, StoreUrl, existing, reading
from statekeep.config.opening import open_store
from statekeep.errors import CorruptDataError
from statekeep.views import views

if TYPE_CHECKING:
    from statekeep.erasure import ErasurePlan, ErasureReport, Thoroughness
    from statekeep.store.protocol import StateStore

__all__ = ["erase"]


def erase(
    user: Annotated[str, typer.Argument(metavar="USER", help="The id of the user.")],
    documents: Annotated[
        list[str] | None,
        typer.Option(
            "--documents",
            metavar="PATTERN",
            help="Also erase documents and blobs with keys like 'users/ada/*'. Repeatable.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--verify-everything",
            help="Afterwards, search documents, blobs, segments and attachments for the id.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be erased, and erase nothing.")
    ] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete everything that belongs to a user, including the trash and quarantine.

    The exit code is 1 if something is left, and 7 if something cannot be read.

    For example: statekeep erase ada --documents 'users/ada/*' --dry-run
    """
    if not logging.getLogger("statekeep").isEnabledFor(logging.DEBUG):
        logging.disable(logging.WARNING)  # the report has what the store would warn about
    if dry_run:
        with reading(store) as settings, open_store(settings) as opened:
            result = views.erasure_plan(_plan(opened, user, documents))
        code = 0
    else:
        with open_store(existing(store)) as opened:
            report = _erase(opened, _plan(opened, user, documents), everything=everything)
        result = views.erasure_report(report)
        code = _code(report)
    if as_json:
        output.print_json(result)
    else:
        _print(result)
    if code:
        raise typer.Exit(code)


def _plan(store: StateStore, user: str, documents: list[str] | None) -> ErasurePlan:
    from statekeep.erasure import plan_erasure  # noqa: PLC0415 - not needed to print the help

    with output.waiting("reading the store"):
        return plan_erasure(store, user, documents=documents or ())


def _erase(store: StateStore, plan: ErasurePlan, *, everything: bool) -> ErasureReport:
    from statekeep import erasure  # noqa: PLC0415 - not needed to print the help

    with output.bar("erasing", len(plan.victims)) as show:
        verify: Thoroughness = "everything" if everything else "heads"
        return erasure.erase(store, plan, verify=verify, progress=show)


def _code(report: ErasureReport) -> int:
    if report.left or report.failed:
        return 1
    return 0 if report.complete else EXIT_CODES[CorruptDataError]


def _print(result: dict[str, Any]) -> None:
    rows = [
        [
            what.replace("_", " "),
            each.get("kind", ""),
            each["key"] or "",
            each.get("reason") or each.get("error", ""),
        ]
        for what in (
            "would_erase", "erased", "skipped", "failed", "left", "problems", "mentions"
        )
        for each in result.get(what, ())
    ]  # fmt: skip
    if rows:
        output.print_table(["WHAT", "KIND", "KEY", "WHY"], rows)
    gone = result.get("erased", result.get("would_erase", ()))
    size = output.size(sum(each["size"] for each in gone))
    if "erased" in result:
        output.print_text(f"{len(gone)} erased, {size}; {len(result['left'])} left")
    else:
        output.print_text(f"{len(gone)} would be erased, {size}")
    if result["unnamed"]:
        output.note(
            f"{result['unnamed']} segments and attachments belong to no journal; the sweep deletes "
            "them, in two runs a day apart"
        )
    for each in (*result["remains"], "backups of the store"):
        output.note(f"not erased: {each}")
