"""How conversations are shown: to people at a terminal, and as lines to programs."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from statekeep.cli import output
from statekeep.cli.options import count
from statekeep.cli.pager import paged
from statekeep.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.cli.pager import Paged
    from statekeep.conversations import Conversation, Entry, Excerpt

__all__ = ["Follow", "Full", "Last", "Pager", "Raw", "refuse_together", "show"]

Last = Annotated[
    int | None, typer.Option(parser=count, metavar="N", help="Only the last N, and what comes.")
]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on as it grows, until Ctrl-C or it is deleted.")
]
Raw = Annotated[bool, typer.Option("--raw", help="Print each as JSON on a line, as it is stored.")]
Full = Annotated[
    bool, typer.Option("--full", help="Fold and cut nothing: tool calls, thoughts, long texts.")
]
Pager = Annotated[
    bool | None,
    typer.Option(
        "--pager/--no-pager",
        help="Whether what does not fit on the terminal goes through a pager; else it does.",
        show_default=False,
    ),
]


def refuse_together(*, as_json: bool, follow: bool, raw: bool) -> None:
    """Refuse what makes no sense together.

    Raises:
        ConfigError: --json came with --follow or --raw.
    """
    if as_json and (follow or raw):
        other = "--follow" if follow else "--raw"
        raise ConfigError(f"--json prints one object, and takes no {other}; --raw prints lines")


def show(
    conversation: Conversation,
    *,
    last: int | None,
    follow: bool,
    raw: bool,
    full: bool,
    pager: bool | None,
    heading: Callable[[Excerpt], list[str]] | None = None,
    plain: Callable[[Entry], None] | None = None,
) -> bool:
    """Show a conversation, a part at a time.

    Args:
        conversation: Which.
        last: Only so many from the end.
        follow: Whether to go on as it grows.
        raw: Whether to print what is stored.
        full: Whether to fold and cut nothing.
        pager: Whether to page; None for where it is of use.
        heading: Gives the lines that come before the entries.
        plain: Prints an entry where no terminal is; without it, as JSON.

    Returns:
        Whether there is such a conversation.
    """
    found = (conversation.follow if follow else conversation.parts)(last=last)
    if raw or not sys.stdout.isatty():
        write = _write_raw if raw or plain is None else plain
        is_there = _print(found, write, output.print_text, None if raw else heading)
    else:
        is_there = True  # if the pager is left early
        with paged(wanted=not follow and pager is not False) as file:
            say = partial(output.print_text, file=file)
            is_there = _print(found, _renderer(file, full=full), say, heading)
    if follow and is_there:
        output.note("it was deleted", "yellow")
    return is_there


def _print(
    found: Iterator[Excerpt],
    write: Callable[[Entry], None],
    say: Callable[..., None],
    heading: Callable[[Excerpt], list[str]] | None,
) -> bool:
    shown: int | None = None
    for excerpt in found:
        if shown is None and heading is not None:
            for number, line in enumerate(heading(excerpt)):
                say(line, "" if number else "bold")
        if shown is not None and excerpt.start < shown:
            output.note(f"taken back, from #{excerpt.start} on", "yellow")
        for entry in excerpt.entries:
            write(entry)
        shown = excerpt.start + len(excerpt.entries)
        sys.stdout.flush()  # who follows wants it now
    return shown is not None


def _write_raw(entry: Entry) -> None:
    write = output.print_content if sys.stdout.isatty() else output.print_line
    write(orjson.dumps(entry.raw).decode())


def _renderer(file: Paged | None, *, full: bool) -> Callable[[Entry], None]:
    from statekeep.cli.rendering import render  # noqa: PLC0415 - rich is an extra, and slow

    console = output.console(file)
    symbols = sys.stdout.encoding.lower().replace("-", "") == "utf8"

    def write(entry: Entry) -> None:
        console.print()
        console.print(render(entry, full=full, symbols=symbols))

    return write
