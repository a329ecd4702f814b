"""How results look: tables for people, JSON for machines, nothing that can steer a terminal.

rich is imported where it is used: it costs more than the rest of the command line, and
``--help`` does without.
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
"""What takes less time is not worth showing progress for."""


def prepare() -> None:
    """Make the standard streams take any text, and show what the library logs."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this
            setattr(sys, name, _Nowhere(Path(os.devnull).open("wb")))  # noqa: SIM115 - for all the process
        else:
            stream.reconfigure(errors="backslashreplace")
    # On the root, because backends and plugins have loggers of their own.
    logging.getLogger().addHandler(_LogHandler())


class _Nowhere(TextIOWrapper):
    """Takes the place of a stream that is closed."""


def is_discarded() -> bool:
    """Whether the standard output was closed by whoever started this."""
    return isinstance(sys.stdout, _Nowhere)


def log_debug() -> None:
    """Show everything that statekeep logs; of others still the warnings only."""
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)


def console(file: Paged | None = None) -> Console:
    """What prints to a terminal in colours, if it has them.

    Args:
        file: Stands before the terminal; None for standard output itself.
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
    except TypeError:  # half a character, in the name of a folder for one
        text = json.dumps(value, indent=2)
    print_exactly(text + "\n")


def print_exactly(text: str) -> None:
    """Print text to the letter, in UTF-8 whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """Print a line to the letter, in UTF-8 whatever the terminal's encoding."""
    print_exactly(text + "\n")


def print_text(text: str = "", style: str = "", *, file: Paged | None = None) -> None:
    """Print a line for people."""
    _print(console(file), printable(text), style)


def print_content(text: str) -> None:
    """Print what may have many lines, for people."""
    _print(_console(), printable(text, keep="\n\t"))


def note(text: str, style: str = "") -> None:
    """Print a remark to standard error, if that can be written."""
    with suppress(OSError):
        _print(_console(stderr=True), printable(text), style)


def print_error(error: Exception) -> None:
    """Print an error to standard error."""
    note(f"error: {error}", "red")


def print_table(
    headings: Iterable[str], rows: Iterable[Iterable[str]], *, longest: Sequence[int] = ()
) -> None:
    """Print a table for people.

    Args:
        headings: Of the columns.
        rows: Their cells.
        longest: How wide the cells of the first columns may be at a terminal; of longer ones the
            middle is left out.
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
    """Shows what the library logs, an unreadable document for one, to the person at the shell."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        note(f"{record.levelname.lower()}: {record.getMessage()}", style)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something goes on, if a person is watching."""
    from rich.text import Text

    status = _console(stderr=True).status(Text(what))
    with _shown_after_a_while(status.start, status.stop):
        yield


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show how far something is, if a person is watching.

    Args:
        what: What is going on.
        total: How much there is to do, if that is known by now.

    Yields:
        Takes how much is done and, if it was not known before, how much there is.
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
