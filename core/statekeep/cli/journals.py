"""``statekeep journals``."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statekeep.cli import output
from statekeep.cli.options import (
    AsJson,
    Command,
    StoreUrl,
    count,
    existing,
    group,
    past,
    reading,
    settings_for,
)
from statekeep.cli.show import Follow, Full, Last, Pager, Raw, refuse_together
from statekeep.cli.show import show as show_conversation
from statekeep.config.opening import open_configured, open_store
from statekeep.errors import NotFoundError
from statekeep.heads.everything import journal_collections, list_together
from statekeep.store.keys import journal_key
from statekeep.store.query import Filter
from statekeep.views import views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.config.settings import Settings
    from statekeep.format.summary import JournalSummary, Summary
    from statekeep.heads.pages import Listing
    from statekeep.journals import Journals, Loaded

__all__ = ["app"]

app = group(
    "List, show and delete journals, and append to them.\n\n"
    "For example: statekeep journals tail support ada thread-17"
)

Collection = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="The collection of the journal.")
]
Name = Annotated[
    list[str],
    typer.Argument(metavar="NAME", help="The name of the journal; each part is an argument."),
]


@app.command("list", cls=Command)
def list_journals(
    collection: Annotated[
        str | None,
        typer.Argument(
            metavar="COLLECTION", help="Only journals of this collection. Default: all."
        ),
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Argument(metavar="PART", help="Only journals whose names begin with these parts."),
    ] = None,
    store: StoreUrl = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="Only journals of this user.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TITLE", help="Only journals with this title.")
    ] = None,
    updated_before: Annotated[
        datetime | None,
        typer.Option(
            parser=past,
            metavar="TIME",
            help="Only if updated before this time: 7d, yesterday, 2026-01-31.",
        ),
    ] = None,
    updated_after: Annotated[
        datetime | None,
        typer.Option(parser=past, metavar="TIME", help="Only if updated after this time."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Show at most N.")
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Continue where the last page ended.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List journals, the newest first; of one collection, or of all.

    For example: statekeep journals list openai-agents ada
    """
    wanted: dict[str, Any] = {
        "user_id": user,
        "title": title,
        "updated_before": updated_before,
        "updated_after": updated_after,
    }
    part: dict[str, Any] = {"limit": limit, "cursor": cursor}
    found: Listing[Summary] | Listing[JournalSummary]
    with reading(store) as settings, output.waiting("reading the journals"):
        if collection is None:
            with open_store(settings) as opened:
                names = journal_collections(opened)
                found = list_together(opened, names, Filter(**wanted), sessions=False, **part)
                where = str(opened)
        else:
            with _opened(settings, collection) as journals:
                found = journals.list(*prefix or (), **wanted, **part)
                where = str(journals.store)
    if as_json:
        output.print_json(views.journals(found))
        return
    if found.summaries:
        output.print_table(
            ["COLLECTION", "NAME", "USER", "ITEMS", "TITLE", "UPDATED", "SIZE", "PINNED"],
            map(_row, found),
            longest=(30, 40, 20, 10, 40),
        )
    else:
        output.note(f"no such journals in {where}")
    if found.cursor:
        output.note(f"more: --cursor {found.cursor}")


@app.command(cls=Command)
def show(
    collection: Collection,
    name: Name,
    last: Last = None,
    follow: Follow = False,
    raw: Raw = False,
    full: Full = False,
    pager: Pager = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the items of a journal for people to read; when piped, as JSON Lines.

    With --json, it prints one object with the head and the items.

    For example: statekeep journals show support ada thread-17 --last 5 --follow
    """
    shown = partial(show_conversation, follow=follow, raw=raw, full=full, pager=pager)
    refuse_together(as_json=as_json, follow=follow, raw=raw)
    _show(collection, name, store, last, shown, as_json=as_json)


@app.command(cls=Command)
def tail(
    collection: Collection,
    name: Name,
    last: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Print the last N. Default: 20.")
    ] = None,
    follow: Follow = False,
    raw: Raw = False,
    full: Full = False,
    pager: Pager = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the last items of a journal, as 'show' does.

    For example: statekeep journals tail support ada thread-17 --follow
    """
    shown = partial(show_conversation, follow=follow, raw=raw, full=full, pager=pager)
    refuse_together(as_json=as_json, follow=follow, raw=raw)
    _show(collection, name, store, 20 if last is None else last, shown, as_json=as_json)


@app.command(cls=Command)
def append(
    collection: Collection,
    name: Name,
    items: Annotated[
        list[str] | None,
        typer.Option(
            "--item",
            metavar="JSON",
            help="Append this item. Repeatable. Default: JSON Lines from standard input.",
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The user the journal belongs to; refused if it belongs to another.",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TITLE", help="Set the title of the journal.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Append only once with this key, however often the command is run."
        ),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Append items to a journal, all or none; create it, and the store, if needed.

    For example: statekeep journals append notes ada --item '{"text": "Hello"}'
    """
    lines = enumerate(items, start=1) if items else _standard_input()
    what = "--item" if items else "line"
    values = [_value(line, f"{what} {number}") for number, line in lines]
    if not values and title is None:
        raise typer.BadParameter("no items given")
    with _opened(settings_for(store), collection) as journals:
        head = journals.open(*name).append(
            values, set=None if title is None else {"title": title}, key=key, user_id=user
        )
        where = str(journals.store)
    if as_json:
        output.print_json(views.head(head))
    else:
        has = output.counted(head.length, "item")
        output.print_text(f"{shlex.join([collection, *name])} has {has}, in {where}")


@app.command(cls=Command)
def delete(
    collection: Collection, name: Name, store: StoreUrl = None, as_json: AsJson = False
) -> None:
    """Delete a journal.

    For example: statekeep journals delete support ada thread-17
    """
    with _opened(existing(store), collection) as journals:
        if not journals.open(*name).delete():
            raise _no_such(journals, name)
    if as_json:
        output.print_json({"deleted": {"collection": collection, "name": name}})
    else:
        output.print_text(f"deleted {shlex.join([collection, *name])}")


@contextmanager
def _opened(settings: Settings, collection: str) -> Iterator[Journals]:
    from statekeep.journals import Journals  # noqa: PLC0415 - not needed to print the help

    store, chosen = open_configured(settings)
    chosen.pop("retention")  # is for sessions
    with store, Journals(store, collection, **chosen) as journals:
        yield journals


def _show(
    collection: str,
    name: list[str],
    store: str | None,
    last: int | None,
    show: Callable[..., bool],
    *,
    as_json: bool,
) -> None:
    from statekeep.conversations import Conversation  # noqa: PLC0415 - not always needed

    with reading(store) as settings, _opened(settings, collection) as journals:
        if as_json:
            loaded: Loaded | None = journals.open(*name).load(last=last)
            if loaded is not None:
                output.print_json(views.loaded(loaded))
                return
        elif show(Conversation(journals.store, *name, collection=collection), last=last):
            return
        raise _no_such(journals, name)


def _standard_input() -> Iterable[tuple[int, bytes]]:
    if sys.stdin is None:  # the parent process closed it
        return
    if sys.stdin.isatty():
        output.note("enter one item per line, as JSON; end with Ctrl-D", "dim")
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield number, line


def _value(text: str | bytes, where: str) -> Any:  # noqa: ANN401 - JSON is any value
    try:
        # Python's parser also accepts what cannot be stored, so that it is refused by name later.
        return json.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=where) from None


def _no_such(journals: Journals, name: list[str]) -> NotFoundError:
    parts = [part for each in name for part in each.split("/")]
    hint = ""
    if parts != name:
        hint = f"; give each part of a name as its own argument: {shlex.join(parts)}"
    key = journal_key(journals.collection, name)
    return NotFoundError(f"no such journal{hint}", key=key, store=journals.store)


def _row(summary: Summary) -> list[str]:
    shown = views.summary(summary)
    return [
        shown["collection"],
        shlex.join(shown["name"]),
        summary.user_id or "",
        str(shown["length"]),
        summary.title or "",
        output.ago(summary.updated_at),
        output.size(summary.size),
        output.ago(summary.pinned_until),
    ]
