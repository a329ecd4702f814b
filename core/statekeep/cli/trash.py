"""``statekeep trash``."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

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
from statekeep.config.opening import open_sessions, open_store
from statekeep.views import views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.config.settings import Settings
    from statekeep.journals import Journals
    from statekeep.sessions import Sessions

__all__ = ["app"]

app = group(
    "List and empty the trash of pruned sessions and journals.\n\n"
    "For example: statekeep trash list --user ada"
)

Collection = Annotated[
    str | None,
    typer.Option(
        "--collection", metavar="NAME", help="Journals of this collection, in place of sessions."
    ),
]


User = Annotated[
    str | None,
    typer.Option("--user", metavar="ID", help="Only what belongs to this user."),
]


@app.command("list", cls=Command)
def list_trash(
    user: User = None,
    collection: Collection = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List what is in the trash, the newest first; restore with 'sessions restore ID'.

    For example: statekeep trash list --collection support
    """
    with reading(store) as settings, _opened(settings, collection) as owner:
        trash = owner.list_trash(user_id=user)
        where = str(owner.store)
    if as_json:
        output.print_json(views.trash(trash))
    elif trash:
        output.print_table(
            ["ID", "USER", "UPDATED", "TRASHED", "SIZE", "COPY"],
            (
                [
                    "/".join(each.name) or each.id or each.stem,
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
            help="Only what has been there this long: 12h, 7d; a bare number is days.",
        ),
    ],
    user: User = None,
    collection: Collection = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Permanently delete what is in the trash.

    For example: statekeep trash empty --older-than 7d
    """
    with _opened(existing(store), collection) as owner:
        purged = owner.empty_trash(older_than=older_than, user_id=user)
    if as_json:
        output.print_json({"purged": purged})
    else:
        output.print_text(f"{purged} permanently deleted")


@contextmanager
def _opened(settings: Settings, collection: str | None) -> Iterator[Sessions | Journals]:
    if collection is None:
        with open_sessions(settings) as sessions:
            yield sessions
    else:
        from statekeep.journals import Journals  # noqa: PLC0415 - not needed to print the help

        with open_store(settings) as store:
            yield Journals(store, collection, conflicts=settings.conflicts)
