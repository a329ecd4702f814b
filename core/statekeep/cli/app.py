"""The app with all its commands, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from statekeep import __version__
from statekeep.cli import (
    conformance,
    copy,
    demo,
    doctor,
    documents,
    erase,
    export,
    imports,
    init,
    journals,
    output,
    plugins,
    prune,
    search,
    sessions,
    trash,
    watch,
)
from statekeep.cli.errors import FAILED, MEANINGS, WRONG_USAGE, exit_code
from statekeep.cli.extending import Extensible
from statekeep.cli.options import AsJson, Command, StoreUrl, Verbose
from statekeep.errors import StateStoreError

__all__ = ["app", "run"]

app = typer.Typer(
    name="statekeep",
    cls=Extensible,
    help=(
        "Keep the state of AI agents: their sessions, their journals and the documents they work "
        "on.\n\nFor example: statekeep demo"
    ),
    epilog=(
        "These options can go before or after a command. The store is taken from --store, else "
        "STATEKEEP_URL, statekeep.toml or pyproject.toml, else it is ./statekeep-data. "
        f"Exit codes: {', '.join(f'{code} {meaning}' for code, meaning in MEANINGS.items())}."
    ),
    context_settings={"max_content_width": 120},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(sessions.app, name="sessions")
app.add_typer(journals.app, name="journals")
app.add_typer(documents.app, name="documents")
app.add_typer(trash.app, name="trash")
app.command("conformance", cls=Command)(conformance.conformance)
app.command("copy", cls=Command)(copy.copy)
app.command("demo", cls=Command)(demo.demo)
app.command("doctor", cls=Command)(doctor.doctor)
app.command("erase", cls=Command)(erase.erase)
app.command("export", cls=Command)(export.export)
app.command("import", cls=Command)(imports.import_)
app.command("init", cls=Command)(init.init)
app.command("plugins", cls=Command)(plugins.plugins)
app.command("prune", cls=Command)(prune.prune)
app.command("search", cls=Command)(search.search)
app.command("stats", cls=Command)(search.stats)
app.command("watch", cls=Command)(watch.watch)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"statekeep {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    store: StoreUrl = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line and end the process."""
    output.prepare()
    for number, argument in enumerate(sys.argv[1:], start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            output.note(f"error: argument {number} is not UTF-8: {argument}", "red")
            sys.exit(WRONG_USAGE)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # may fail: the disk may be full
    except StateStoreError as error:
        output.print_error(error)
        sys.exit(exit_code(error))
    except OSError as error:
        if error.filename is not None:
            raise  # a bug: the library translates errors about files
        _discard_output()
        if not isinstance(error, BrokenPipeError):
            output.note(f"error: the output cannot be written: {error.strerror}", "red")
        sys.exit(FAILED)


def _discard_output() -> None:
    # Otherwise Python tries to flush it again at exit.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
