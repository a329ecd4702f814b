"""``statekeep trash``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from statekeep.cli import output
from statekeep.cli.options import AsJson, StoreUrl, settings_for
from statekeep.config.opening import open_sessions
from statekeep.views import views

__all__ = ["app"]

app = typer.Typer(help="List and empty the trash of pruned sessions.", no_args_is_help=True)


@app.command("list")
def list_trash(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List what is in the trash, the newest first; 'sessions restore ID' puts it back."""
    with open_sessions(settings_for(store)) as sessions:
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
        )
    else:
        output.note(f"nothing in the trash of {where}")


@app.command()
def empty(
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", min=0, help="Only what has been there for so long.")
    ],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete for good what is in the trash.

    For example: statekeep trash empty --older-than 7
    """
    try:
        age = timedelta(days=older_than)
    except (OverflowError, ValueError):
        raise typer.BadParameter("too long") from None
    with open_sessions(settings_for(store)) as sessions:
        purged = sessions.empty_trash(older_than=age)
    if as_json:
        output.print_json({"purged": purged})
    else:
        output.print_text(f"{purged} deleted for good")
