"""``statekeep doctor``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from statekeep.cli import output
from statekeep.cli.errors import EXIT_CODES
from statekeep.cli.options import AsJson, StoreUrl, reading
from statekeep.config.opening import open_store
from statekeep.doctor import diagnose
from statekeep.doctor import repair as repair_store
from statekeep.errors import CorruptDataError
from statekeep.store.powers import vacuum as vacuum_store
from statekeep.views import views

if TYPE_CHECKING:
    from statekeep.doctor import Diagnosis, Finding, RepairReport
    from statekeep.store.protocol import StateStore

__all__ = ["doctor"]


def doctor(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Move what cannot be read to .statekeep/quarantine, and remove leftovers.",
        ),
    ] = False,
    documents: Annotated[
        bool,
        typer.Option("--documents", help="Treat documents that cannot be read as damage, too."),
    ] = False,
    vacuum: Annotated[
        bool,
        typer.Option(
            "--vacuum",
            help="Afterwards, release the space that deletions left in a database. Blocks writes "
            "to SQLite meanwhile.",
        ),
    ] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Read everything in a store and say what is wrong; change nothing unless asked to.

    The exit code is 7 if something is wrong, or still is after a repair.

    For example: statekeep doctor --repair
    """
    if not logging.getLogger("statekeep").isEnabledFor(logging.DEBUG):
        logging.disable(logging.WARNING)  # the report has what the store would warn about
    with reading(store) as settings, open_store(settings) as opened:
        with output.bar("examining") as show:
            diagnosis = diagnose(opened, documents=documents, progress=show)
        report = _repair(opened, diagnosis) if repair else None
    if as_json:
        output.print_json(views.diagnosis(diagnosis, report))
    else:
        _print(diagnosis, report)
    if vacuum:  # last, because the store may refuse it
        with open_store(settings) as opened:
            vacuum_store(opened)
    if not (diagnosis if report is None else report).healthy:
        raise typer.Exit(EXIT_CODES[CorruptDataError])


def _repair(store: StateStore, diagnosis: Diagnosis) -> RepairReport:
    with output.bar("repairing", len(diagnosis.findings)) as show:
        return repair_store(store, diagnosis, progress=show)


def _print(diagnosis: Diagnosis, report: RepairReport | None) -> None:
    outcomes = _outcomes(report) if report else {}
    if diagnosis.findings:
        output.print_table(
            ["WHAT", "WHERE", "WHY", "REPAIR"],
            (
                [
                    each.kind,
                    each.place,
                    f"only a remark: {each.reason}" if each.harmless else each.reason,
                    outcomes.get(each)
                    or f"would {each.action} it" * bool(each.action and not report),
                ]
                for each in diagnosis.findings
            ),
        )
    said = [f"{diagnosis.examined} documents examined"]
    if diagnosis.quarantined:
        said.append(f"{diagnosis.quarantined} more in quarantine")
    said.append(f"{len(diagnosis.problems)} problems found")
    if report:
        said.append(f"{len(report.repaired)} repaired")
        if report.swept:
            said.append(f"{output.counted(report.swept, 'orphan')} deleted")
    output.print_text(", ".join(said))
    if not diagnosis.is_store and diagnosis.findings:
        output.note(f"{diagnosis.store} has no data of statekeep, so nothing is repaired there")
    if report is None and any(each.action for each in diagnosis.findings):
        output.note("--repair moves what cannot be read to quarantine, and deletes no document")
    if report is None and any(each.kind == "orphan" for each in diagnosis.findings):
        output.note("a prune, or --repair, deletes orphans in two runs at least a day apart")


def _outcomes(report: RepairReport) -> dict[Finding, str]:
    return {
        **{each.finding: f"now {each.to}" if each.to else "removed" for each in report.repaired},
        **dict.fromkeys(report.skipped, "left alone: it changed meanwhile"),
        **{each.finding: f"failed: {each.error}" for each in report.failed},
    }
