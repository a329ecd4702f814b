"""``statekeep export``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from statekeep.cli import output
from statekeep.cli.copy import Include, Prefix, show
from statekeep.cli.options import AsJson, StoreUrl, existing
from statekeep.config.opening import open_store
from statekeep.errors import ConfigError

__all__ = ["export"]


def export(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="The file to write; compressed if its name ends with .zst, as in state.jsonl.zst. "
            "'-' is standard output.",
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
    """Write everything in a store to one file of JSON Lines, which zstd and jq can read.

    For example: statekeep export state.jsonl.zst
    """
    from statekeep.transport import export_documents  # noqa: PLC0415 - not needed for the help

    if file == "-" and as_json:
        raise typer.BadParameter("--json and the export cannot both go to standard output")
    if file == "-" and output.is_discarded():
        raise ConfigError("standard output is closed")
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
