"""Output of conversations: for people at a terminal, as lines for programs."""

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
    int | None,
    typer.Option(parser=count, metavar="N", help="Show only the last N messages or items."),
]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Show new ones as they come, until Ctrl-C or deletion."),
]
Raw = Annotated[
    bool, typer.Option("--raw", help="Print each as JSON on one line, as it is stored.")
]
Full = Annotated[
    bool, typer.Option("--full", help="Show tool calls, thoughts and long texts in full.")
]
Pager = Annotated[
    bool | None,
    typer.Option(
        "--pager/--no-pager",
        help="Page output that does not fit on the terminal. Default: yes.",
        show_default=False,
    ),
]


def refuse_together(*, as_json: bool, follow: bool, raw: bool) -> None:
    """Refuse options that contradict each other.

    Raises:
        ConfigError: --json came with --follow or --raw.
    """
    if as_json and (follow or raw):
        other = "--follow" if follow else "--raw"
        raise ConfigError(
            f"--json prints one object, so {other} cannot be used; --raw prints lines"
        )


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
    """Show a conversation, reading a part of it at a time.

    Args:
        conversation: The conversation to show.
        last: How many entries to show, from the end; None for all.
        follow: Whether to show new entries as they come.
        raw: Whether to print entries as they are stored.
        full: Whether to show everything, without folding or cutting.
        pager: Whether to page; None means yes.
        heading: Makes the lines that come before the entries.
        plain: Prints an entry when there is no terminal. By default as JSON.

    Returns:
        Whether the conversation exists.
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
        sys.stdout.flush()  # someone may be following
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
