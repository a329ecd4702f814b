"""``statekeep export`` and ``statekeep import``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from statekeep.cli import output
from statekeep.cli.copy import DryRun, Include, Overwrite, Prefix, show
from statekeep.cli.options import AsJson, StoreUrl, existing, settings_for
from statekeep.config.opening import open_store
from statekeep.errors import ConfigError

__all__ = ["export", "import_"]


def export(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="The file to write; compressed if its name ends with .zst, as in state.jsonl.zst. "
            "'-' is the standard output.",
        ),
    ],
    prefix: Prefix = "",
    include: Include = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write everything in a store to one file of JSON Lines, which zstd and jq read.

    For example: statekeep export state.jsonl.zst
    """
    from statekeep.transport import export_documents  # noqa: PLC0415 - not needed for the help

    if file == "-" and as_json:
        raise typer.BadParameter("--json and the export cannot both go to the standard output")
    if file == "-" and output.is_discarded():
        raise ConfigError("the standard output is closed")
    with open_store(existing(store)) as opened, output.bar("exporting") as progress:
        report = export_documents(
            opened,
            sys.stdout.buffer if file == "-" else file,
            prefix=prefix,
            include=include or (),
            overwrite=overwrite,
            progress=progress,
        )
    if file != "-":
        show(report, "exported", as_json=as_json)
    elif not report.complete:
        for each in report.remarks:
            output.note(f"error: {each.key!r} is left out: {each.reason}", "red")
        raise typer.Exit(1)


def import_(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A file that 'export' wrote; '-' is the standard input."
        ),
    ],
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Put into a store what was exported from one; nothing is overwritten unless asked.

    An import that was interrupted goes on when it is begun again. Damaged lines are reported.

    For example: statekeep import state.jsonl.zst --dry-run
    """
    from statekeep.transport import import_documents  # noqa: PLC0415 - not needed for the help

    settings = settings_for(store)
    if file == "-" and sys.stdin is None:  # closed by whoever started this
        raise ConfigError("the standard input is closed")
    with open_store(settings) as opened, output.bar("importing") as progress:
        report = import_documents(
            sys.stdin.buffer if file == "-" else file,
            opened,
            overwrite=overwrite,
            dry_run=dry_run,
            conflicts=settings.conflicts,
            progress=progress,
        )
    show(report, "imported", as_json=as_json)
