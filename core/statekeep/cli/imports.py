"""``statekeep import``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from statekeep.cli import output
from statekeep.cli.copy import DryRun, Overwrite, show
from statekeep.cli.errors import exit_code
from statekeep.cli.options import AsJson, StoreUrl, settings_for
from statekeep.config.opening import load_importer, open_store
from statekeep.errors import ConfigError
from statekeep.views import views

if TYPE_CHECKING:
    from statekeep.transport import ImportsReport

__all__ = ["import_"]


def import_(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A file from 'export'; '-' is standard input. With --from: a file or a folder.",
        ),
    ],
    importer: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Import conversations of another program: claude-code, codex, langgraph, "
            "openai-agents, or any other importer that 'statekeep plugins' lists.",
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="USER", help="The user the conversations belong to."),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Load an export into a store, or import conversations of other programs.

    Nothing is overwritten unless asked. To resume an interrupted import, run it again.
    Conversations that were imported before get only what is new. Damage is reported.

    For example: statekeep import ~/.claude/projects --from claude-code --user ada
    """
    if importer is None:
        if user is not None:
            raise typer.BadParameter("--user needs --from: an export has its own users")
        _import_documents(path, store, overwrite=overwrite, dry_run=dry_run, as_json=as_json)
        return
    if overwrite:
        raise typer.BadParameter("--overwrite cannot be used with --from: nothing is replaced")
    from statekeep.transport import import_conversations  # noqa: PLC0415 - not needed for the help

    spec = load_importer(importer)
    with (
        output.resumable(),
        open_store(settings_for(store)) as opened,
        output.bar("importing") as progress,
    ):
        report = import_conversations(
            opened, path, spec, user_id=user, dry_run=dry_run, progress=progress
        )
    if as_json:
        output.print_json(views.imports_report(report))
    else:
        _print(report)
    if not report.complete:
        # Conflicts alone end with 4, as everywhere: the user only has to choose a side.
        raise typer.Exit(exit_code(report.failures[0].error) if report.only_conflicts else 1)


def _import_documents(
    file: str, store: str | None, *, overwrite: bool, dry_run: bool, as_json: bool
) -> None:
    from statekeep.transport import import_documents  # noqa: PLC0415

    settings = settings_for(store)
    if file == "-" and sys.stdin is None:  # the parent process closed it
        raise ConfigError("standard input is closed")
    with (
        output.resumable(),
        open_store(settings) as opened,
        output.bar("importing") as progress,
    ):
        report = import_documents(
            sys.stdin.buffer if file == "-" else file,
            opened,
            overwrite=overwrite,
            dry_run=dry_run,
            conflicts=settings.conflicts,
            progress=progress,
        )
    show(report, "imported", as_json=as_json)


def _print(report: ImportsReport) -> None:
    rows = [
        [each.collection, "/".join(each.name), str(each.added), str(each.unchanged)]
        for each in report.reports
        if each.added
    ]
    if rows:
        output.print_table(["COLLECTION", "NAME", "ADDED", "UNCHANGED"], rows)
    if report.imported > len(rows):
        output.note(f"and {report.imported - len(rows)} more")
    told = 0
    for each in report.reports:
        for remark in each.remarks:
            output.note(f"damaged: {each.path}: {remark.place}: {remark.reason}", "yellow")
            told += 1
    if report.damaged > told:
        output.note(f"and {report.damaged - told} more damaged parts")
    for failure in report.failures:
        of = "/".join(failure.name)
        output.note(f"error: {failure.path}{of and f' ({of})'}: {failure.error.message}", "red")
    if more := report.failed - len(report.failures):
        output.note(f"and {more} more failures")
    would = "would be " if report.dry_run else ""
    met = report.imported + report.unchanged
    added = output.counted(report.added, "item")
    said = [f"{added} {would}added in {report.imported} of {output.counted(met, 'conversation')}"]
    if report.damaged:
        said.append(output.counted(report.damaged, "damaged part"))
    if report.failed:
        said.append(f"{report.failed} failed")
    output.print_text(", ".join(said))
