"""The commands, and what an error means to the shell."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from statekeep import __version__
from statekeep.cli import conformance, demo, doctor, documents, output, plugins, sessions, trash
from statekeep.cli.errors import exit_code
from statekeep.errors import StateStoreError

__all__ = ["app", "run"]

app = typer.Typer(
    name="statekeep",
    help="Keeps the state of AI agents: their sessions and the documents they work on.",
    epilog=(
        "The store is the one of --store, else of STATEKEEP_URL, statekeep.toml or "
        "pyproject.toml, else ./statekeep-data. Exit codes: 0 done, 1 failed, 2 wrong usage or "
        "configuration, 3 not found, 4 conflict, 5 unavailable (retry later), 6 access denied, "
        "7 corrupt data."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(sessions.app, name="sessions")
app.add_typer(documents.app, name="documents")
app.add_typer(trash.app, name="trash")
app.command("conformance")(conformance.conformance)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("plugins")(plugins.plugins)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"statekeep {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line and end the process."""
    # On the root, because backends and plugins have loggers of their own.
    logging.getLogger().addHandler(output.LogHandler(logging.WARNING))
    try:
        app()
    except StateStoreError as error:
        output.print_error(error)
        sys.exit(exit_code(error))
