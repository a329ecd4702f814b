"""Output: tables for people, JSON for machines, and no control characters from stored text.

rich is imported where it is used: it takes longer to import than the rest of the command line,
and ``--help`` does not need it.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import timedelta
from io import TextIOWrapper
from itertools import zip_longest
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import orjson

from statekeep._text import printable
from statekeep.views.wording import ago, counted, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console

    from statekeep.cli.pager import Paged

__all__ = [
    "PATIENCE",
    "ago",
    "bar",
    "console",
    "counted",
    "is_discarded",
    "log_debug",
    "note",
    "prepare",
    "print_content",
    "print_error",
    "print_exactly",
    "print_json",
    "print_line",
    "print_table",
    "print_text",
    "size",
    "waiting",
]

_PIPED_WIDTH = 10_000
_OURS = ("statekeep", "statekeep_backends", "statekeep_plugins")
PATIENCE = timedelta(seconds=0.5)
"""How long something takes before its progress is shown."""


def prepare() -> None:
    """Make the standard streams accept any text, and show what the library logs."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the parent process closed it
            setattr(sys, name, _Nowhere(Path(os.devnull).open("wb")))  # noqa: SIM115 - for all the process
        else:
            stream.reconfigure(errors="backslashreplace")
    # On the root, because backends and plugins have loggers of their own.
    logging.getLogger().addHandler(_LogHandler())


class _Nowhere(TextIOWrapper):
    """Stands in for a closed stream."""


def is_discarded() -> bool:
    """Return whether the parent process closed standard output."""
    return isinstance(sys.stdout, _Nowhere)


def log_debug() -> None:
    """Show everything that statekeep logs, but still only warnings of other libraries."""
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)


def console(file: Paged | None = None) -> Console:
    """Make a console, which prints in colours if the terminal has them.

    Args:
        file: The pager to print to; None for standard output.
    """
    from rich.console import Console

    if file is None:
        return _console()
    return Console(
        file=cast("IO[str]", file),
        width=file.width,
        force_terminal=True,
        highlight=False,
        markup=False,
    )


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Piped tables keep their whole cells.
    return Console(
        file=stream, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False, markup=False
    )


def _print(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(text, style=style), soft_wrap=True)


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print one JSON value, in UTF-8 whatever the terminal's encoding."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # a lone surrogate, for example in the name of a folder
        text = json.dumps(value, indent=2)
    print_exactly(text + "\n")


def print_exactly(text: str) -> None:
    """Print text unchanged, in UTF-8 whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """Print a line unchanged, in UTF-8 whatever the terminal's encoding."""
    print_exactly(text + "\n")


def print_text(text: str = "", style: str = "", *, file: Paged | None = None) -> None:
    """Print a line for people."""
    _print(console(file), printable(text), style)


def print_content(text: str) -> None:
    """Print text of one or more lines for people."""
    _print(_console(), printable(text, keep="\n\t"))


def note(text: str, style: str = "") -> None:
    """Print a remark to standard error, ignoring errors."""
    with suppress(OSError):
        _print(_console(stderr=True), printable(text), style)


@contextmanager
def resumable() -> Iterator[None]:
    """Say, if Ctrl-C ends what is done in it, that the same command goes on from there."""
    try:
        yield
    except KeyboardInterrupt:
        note("interrupted; run the same command again to resume", "yellow")
        raise


def print_error(error: Exception) -> None:
    """Print an error to standard error."""
    note(f"error: {error}", "red")


def print_table(
    headings: Iterable[str], rows: Iterable[Iterable[str]], *, longest: Sequence[int] = ()
) -> None:
    """Print a table for people.

    Args:
        headings: The headings of the columns.
        rows: The cells of each row.
        longest: The greatest width of cells in the first columns, at a terminal; longer ones are
            shortened in the middle.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    limits = longest if sys.stdout.isatty() else ()
    for row in rows:
        cells = zip_longest(map(printable, row), limits)
        table.add_row(*(Text(_cut(cell, limit) if limit else cell) for cell, limit in cells))
    _console().print(table)


def _cut(text: str, limit: int) -> str:
    from rich.cells import cell_len, chop_cells

    if cell_len(text) <= limit:
        return text
    half = limit // 2
    left_out = "…" if sys.stdout.encoding == "utf-8" else "..."
    return chop_cells(text, half)[0] + left_out + chop_cells(text[::-1], half)[0][::-1]


class _LogHandler(logging.Handler):
    """Prints what the library logs, such as unreadable documents, to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        note(f"{record.levelname.lower()}: {record.getMessage()}", style)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a spinner at a terminal, if it takes a while."""
    from rich.text import Text

    status = _console(stderr=True).status(Text(what))
    with _shown_after_a_while(status.start, status.stop):
        yield


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a progress bar at a terminal, if it takes a while.

    Args:
        what: The label of the bar.
        total: How much there is to do, if known.

    Yields:
        A function to call with how much is done and, if it was not known before, the total.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    progress = Progress(*columns, console=_console(stderr=True), transient=True)
    task = progress.add_task(what, total=total)
    with _shown_after_a_while(progress.start, progress.stop):
        yield lambda done, total=None: progress.update(task, completed=done, total=total)


@contextmanager
def _shown_after_a_while(start: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    if not sys.stdout.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE.total_seconds(), start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        stop()
