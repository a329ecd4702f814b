"""``statekeep copy``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from statekeep.cli import output
from statekeep.cli.options import AsJson, existing, settings_for
from statekeep.config.opening import open_store
from statekeep.errors import ConfigError
from statekeep.store.urls import StoreURL
from statekeep.views import views

if TYPE_CHECKING:
    from statekeep.transport import CopyReport

__all__ = ["DryRun", "Include", "Included", "Overwrite", "Prefix", "copy", "show"]


class Included(StrEnum):
    """What is copied only if asked for."""

    TRASH = "trash"
    QUARANTINE = "quarantine"


Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace documents that differ in the target, unless they are newer there.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")
]

Prefix = Annotated[
    str,
    typer.Option(
        "--prefix", metavar="PREFIX", help="Only keys below this prefix, such as sessions."
    ),
]
Include = Annotated[
    list[Included] | None,
    typer.Option("--include", metavar="WHAT", help="Include the trash or quarantine. Repeatable."),
]


def copy(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The store to copy from: a folder or a URL.")
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The store to copy to.")],
    prefix: Prefix = "",
    overwrite: Overwrite = False,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Delete what only the target has, unless a document failed."),
    ] = False,
    include: Include = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Copy with N threads.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Copy everything from one store to another; nothing is overwritten or deleted unless asked.

    To resume an interrupted copy, run it again.

    For example: statekeep copy ./statekeep-data s3://acme-agents/prod --dry-run
    """
    from statekeep.transport import copy as copy_store  # noqa: PLC0415 - not needed for the help

    whence, into = existing(source), settings_for(target)
    _refuse_nested(whence.url, into.url)
    with (
        output.resumable(),
        open_store(whence) as opened,
        open_store(into) as other,
        output.bar("copying") as progress,
    ):
        report = copy_store(
            opened,
            other,
            prefix=prefix,
            include=include or (),
            overwrite=overwrite,
            delete=delete,
            dry_run=dry_run,
            conflicts=into.conflicts,
            workers=workers,
            progress=progress,
        )
    show(report, "copied", as_json=as_json)


def _refuse_nested(source: str, target: str) -> None:
    """Refuse to copy between a folder and one inside it, whose files are documents of both.

    Raises:
        ConfigError: One folder lies inside the other.
    """
    urls = StoreURL.parse(source), StoreURL.parse(target)
    if any(url.scheme != "file" for url in urls):
        return
    one, other = (url.path.resolve() for url in urls)
    if one in other.parents or other in one.parents:
        raise ConfigError(
            f"one store must not lie inside the other; choose another folder: {one}, {other}"
        )


def show(report: CopyReport, done: str, *, as_json: bool) -> None:
    """Print what was done, and exit with 1 if some documents could not be copied."""
    if as_json:
        output.print_json(views.copy_report(report))
    else:
        _print(report, done)
    if not report.complete:
        raise typer.Exit(1)


def _print(report: CopyReport, done: str) -> None:
    if report.remarks:
        output.print_table(
            ["WHAT", "WHERE", "WHY"],
            (
                [
                    each.outcome,
                    each.key if each.line is None else f"line {each.line} {each.key}".rstrip(),
                    each.reason,
                ]
                for each in report.remarks
            ),
        )
    left = report.differing + report.newer + report.failed
    if more := left - len(report.remarks):
        output.note(f"and {more} more")
    would = "would be " if report.dry_run else ""
    said = [f"{report.copied} {would}{done} ({output.size(report.bytes)})"]
    if report.overwritten:
        said[0] += f", {report.overwritten} of them replacing others"
    if report.equal:
        said.append(f"{report.equal} there already")
    if kept := report.differing + report.newer:
        said.append(f"{kept} that differ left alone")
    if report.deleted:
        said.append(f"{report.deleted} {would}deleted")
    if report.failed:
        said.append(f"{report.failed} failed")
    output.print_text(", ".join(said))
    if report.deletion_skipped:
        output.note("nothing was deleted, because some failed")
    if report.differing:
        output.note("--overwrite replaces documents that differ, unless they are newer there")
