"""``statekeep watch``."""

from __future__ import annotations

import shlex
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from statekeep.cli import output
from statekeep.cli.options import AsJson, StoreUrl, existing, seconds
from statekeep.config.opening import open_store
from statekeep.errors import UnavailableError
from statekeep.timestamps import format_timestamp
from statekeep.views import views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from statekeep.format.record import Problem
    from statekeep.watching import Change, Watcher

__all__ = ["watch"]

_STYLES = {"created": "green", "changed": "", "deleted": "red"}


def watch(
    every: Annotated[
        timedelta | None,
        typer.Option(
            parser=seconds,
            metavar="TIME",
            help="How long to wait between two looks: 2s, 1m. Default: 2 seconds.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only what belongs to this user.")] = None,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection", metavar="NAME", help="Only journals of this collection. Repeatable."
        ),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Report what is created, changed and deleted, until Ctrl-C; with --json a line for each.

    For example: statekeep watch --user ada --every 10s
    """
    from statekeep.watching import Watcher  # noqa: PLC0415 - not always needed

    pause = 2.0 if every is None else every.total_seconds()
    with open_store(existing(store)) as opened:
        watcher = Watcher(
            opened, sessions=not collections, collections=collections or None, user_id=user
        )
        watcher.scan()
        output.note(f"watching {opened}", "dim")
        told = _tell(watcher.problems, ())
        while True:
            _wait(pause)
            for change in _look(watcher):
                if as_json:
                    output.print_line(orjson.dumps(views.change(change)).decode())
                else:
                    output.print_text(_line(change), _STYLES[change.kind])
            told = _tell(watcher.problems, told)


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _look(watcher: Watcher) -> list[Change]:
    try:
        return watcher.scan()
    except UnavailableError as error:
        output.print_error(error)  # the next look finds what this one missed
        return []


def _tell(problems: Sequence[Problem], before: Sequence[Problem]) -> Sequence[Problem]:
    for each in problems:
        if each not in before:
            output.note(f"cannot be read: {each.key}: {each.reason}")
    return problems


def _line(change: Change) -> str:
    what = f"session {change.id}"
    if change.collection is not None:
        what = f"journal {shlex.join([change.collection, *change.name])}"
    unit = "message" if change.collection is None else "item"
    count = output.counted(change.length, unit)
    if change.kind != "deleted":
        count = f"{change.added:+d}, now {count}"
    user = f"  {change.user_id}" if change.user_id is not None else ""
    return f"{format_timestamp(change.at)}  {change.kind:7}  {what}{user}  ({count})"
