"""``statekeep trash``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from statekeep.cli import output
from statekeep.cli.options import (
    AsJson,
    Command,
    StoreUrl,
    days,
    existing,
    group,
    reading,
)
from statekeep.config.opening import open_sessions
from statekeep.views import views

__all__ = ["app"]

app = group("List and empty the trash of pruned sessions.")


@app.command("list", cls=Command)
def list_trash(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List what is in the trash, the newest first; 'sessions restore ID' puts it back."""
    with reading(store) as settings, open_sessions(settings) as sessions:
        trash = sessions.list_trash()
        where = str(sessions.store)
    if as_json:
        output.print_json(views.trash(trash))
    elif trash:
        output.print_table(
            ["ID", "USER", "UPDATED", "TRASHED", "SIZE", "COPY"],
            (
                [
                    each.stem if each.id is None else each.id,
                    each.user_id or "",
                    output.ago(each.updated_at),
                    output.ago(each.trashed_at),
                    output.size(each.size),
                    each.key,
                ]
                for each in trash
            ),
            longest=(40, 20),
        )
    else:
        output.note(f"nothing in the trash of {where}")


@app.command(cls=Command)
def empty(
    older_than: Annotated[
        timedelta,
        typer.Option(
            parser=days,
            metavar="TIME",
            help="Only what has been there for so long: 12h, 7d; a bare number is days.",
        ),
    ],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete for good what is in the trash.

    For example: statekeep trash empty --older-than 7d
    """
    with open_sessions(existing(store)) as sessions:
        purged = sessions.empty_trash(older_than=older_than)
    if as_json:
        output.print_json({"purged": purged})
    else:
        output.print_text(f"{purged} deleted for good")
