"""``statekeep sessions``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from statekeep.cli import output
from statekeep.cli.errors import exit_code
from statekeep.cli.options import (
    AsJson,
    Command,
    Repaired,
    StoreUrl,
    bytes_of,
    count,
    days,
    existing,
    group,
    hours,
    past,
    reading,
    refuse_missing,
    settings_for,
    strategies,
    upcoming,
)
from statekeep.cli.prune import print_prune
from statekeep.cli.show import Follow, Full, Last, Pager, Raw, refuse_together
from statekeep.cli.show import show as show_conversation
from statekeep.config.opening import configured_strategy, load_pruner, open_sessions
from statekeep.errors import ConfigError, StateStoreError
from statekeep.format.summary import JournalSummary, SessionSummary
from statekeep.heads.everything import journal_collections, list_together
from statekeep.sessions.repository import Form
from statekeep.sessions.turns import no_such_session
from statekeep.store.query import Filter
from statekeep.timestamps import format_timestamp
from statekeep.views import views

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.config.settings import RetentionSettings
    from statekeep.conversations import Entry, Excerpt
    from statekeep.format.json import RepairText
    from statekeep.format.summary import Summary
    from statekeep.heads.pages import Listing
    from statekeep.retention import PrunePlan, PruneReport, PruningStrategy
    from statekeep.sessions import Sessions

__all__ = ["app"]

app = group(
    "List, show, delete, pin and prune sessions.\n\nFor example: statekeep sessions list --user ada"
)


class Sorting(StrEnum):
    """The orders of a list."""

    UPDATED = "updated"
    CREATED = "created"
    SIZE = "size"


SessionId = Annotated[str, typer.Argument(metavar="ID", help="The id of the session.")]


@app.command("list", cls=Command)
def list_sessions(
    store: StoreUrl = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="Only sessions of this user.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="ID", help="Only sessions of this project.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="ID", help="Only sessions with this active seed.")
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(metavar="PHASE", help="Only sessions whose last phase is this one."),
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
    larger_than: Annotated[
        int | None,
        typer.Option(
            parser=bytes_of,
            metavar="SIZE",
            help="Only if larger than this: 10k, 1.5M. Sorts by size.",
        ),
    ] = None,
    sort: Annotated[
        Sorting | None,
        typer.Option(help="Sort by this, the latest or largest first. Default: updated."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Show at most N.")
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Continue where the last page ended.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Include the journals of all collections.")
    ] = False,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            help="Include the journals of this collection. Repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List sessions, the newest first.

    For example: statekeep sessions list --user ada --updated-after 7d
    """
    if larger_than is not None and sort not in {None, Sorting.SIZE}:
        raise ConfigError("--larger-than lists the largest first; leave --sort out")
    if larger_than is not None:
        sort = Sorting.SIZE
    wanted: dict[str, Any] = {
        "user_id": user,
        "project_id": project,
        "active_seed_id": seed,
        "last_phase": phase,
        "updated_before": updated_before,
        "updated_after": updated_after,
    }
    part: dict[str, Any] = {"limit": limit, "cursor": cursor}
    if sort is not None:
        part["order"] = sort.value
    with (
        reading(store) as settings,
        open_sessions(settings) as sessions,
        output.waiting("reading the sessions"),
    ):
        where = str(sessions.store)
        listing: Listing[SessionSummary] | Listing[Summary]
        if everything or collections:
            names = journal_collections(sessions.store) if everything else collections or ()
            listing = list_together(sessions.store, names, Filter(**wanted), **part)
        else:
            listing = sessions.list(**wanted, **part)
    if larger_than is not None:
        listing = _larger(listing, larger_than)
    if as_json:
        output.print_json(views.listing(listing))
        return
    if listing.summaries:
        headings = ["ID", "USER", "MESSAGES", "PHASE", "UPDATED", "SIZE", "PINNED"]
        longest = [40, 20]
        rows = [_row(each) for each in listing]
        if everything or collections:
            longest += [*[0] * (len(headings) - len(longest)), 40]
            headings += ["TITLE", "COLLECTION"]
            for row, each in zip(rows, listing, strict=True):
                collection = each.collection if isinstance(each, JournalSummary) else ""
                row += [each.title or "", collection]
        output.print_table(headings, rows, longest=longest)
    else:
        output.note(f"no such sessions in {where}")
    if listing.cursor:
        output.note(f"more: --cursor {listing.cursor}")


@app.command(cls=Command)
def show(
    session_id: SessionId,
    last: Last = None,
    follow: Follow = False,
    raw: Raw = False,
    full: Full = False,
    pager: Pager = None,
    repair_text: Repaired = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one session with its messages, for people to read; when piped, as plain text.

    For example: statekeep sessions show weekly --last 5 --follow
    """
    from statekeep.conversations import Conversation  # noqa: PLC0415 - not always needed

    refuse_together(as_json=as_json, follow=follow, raw=raw)
    repair: RepairText = "replace" if repair_text else "refuse"
    with reading(store) as settings, open_sessions(settings) as sessions:
        if as_json:
            _print_as_json(sessions, session_id, last, repair)
            return
        is_there = show_conversation(
            Conversation(sessions.store, session_id, repair_text=repair),
            last=last,
            follow=follow,
            raw=raw,
            full=full,
            pager=pager,
            heading=None if last is not None else partial(_heading, session_id),
            plain=_print_message,
        )
        if not is_there:
            raise no_such_session(session_id, sessions.store)


@app.command(cls=Command)
def delete(
    session_ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="The ids of the sessions.")
    ],
    store: StoreUrl = None,
    trash: Annotated[
        bool,
        typer.Option("--trash", help="Move them to the trash; 'sessions restore' puts them back."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete sessions.

    For example: statekeep sessions delete draft-1 draft-2 --trash
    """
    deleted: list[str] = []
    errors: dict[str, StateStoreError] = {}
    with open_sessions(existing(store)) as sessions:
        for session_id in session_ids:
            try:
                if not sessions.delete(session_id, trash=trash):
                    raise no_such_session(session_id, sessions.store)
            except StateStoreError as error:
                errors[session_id] = error
                output.print_error(error)
            else:
                deleted.append(session_id)
                if not as_json:
                    output.print_text(f"deleted {session_id}")
    if as_json:
        failed = [{"id": each, "error": str(error)} for each, error in errors.items()]
        output.print_json({"deleted": deleted, "failed": failed})
    if errors:
        raise typer.Exit(max(map(exit_code, errors.values())))


@app.command(cls=Command)
def restore(
    session_id: SessionId,
    copy: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Restore this copy, as 'trash list' shows it. Default: the newest state.",
        ),
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Restore a session from the trash.

    For example: statekeep sessions restore draft-1
    """
    with open_sessions(existing(store)) as sessions:
        session = sessions.restore(session_id, copy=copy)
    output.print_text(f"restored {session.id}")


@app.command(cls=Command)
def pin(
    session_id: SessionId,
    until: Annotated[
        datetime | None,
        typer.Option(
            parser=upcoming,
            metavar="TIME",
            help="End the protection then: 7d, tomorrow, 2026-01-31. Default: never.",
        ),
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Protect a session from pruning.

    For example: statekeep sessions pin weekly --until 30d
    """
    with open_sessions(existing(store)) as sessions:
        sessions.pin(session_id, until)
    end = "for ever" if until is None else f"until {format_timestamp(until)}"
    output.print_text(f"pinned {session_id} {end}")


@app.command(cls=Command)
def convert(
    session_ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="The ids of the sessions.")
    ],
    form: Annotated[
        Form,
        typer.Option(
            help="How to store them: as a 'journal', where saving a turn is cheap, or as a "
            "'document', which any program can read."
        ),
    ],
    store: StoreUrl = None,
) -> None:
    """Store sessions in another form.

    For example: statekeep sessions convert plan --form journal
    """
    errors: list[StateStoreError] = []
    with open_sessions(existing(store)) as sessions:
        for session_id in session_ids:
            try:
                converted = sessions.convert(session_id, form)
            except StateStoreError as error:
                errors.append(error)
                output.print_error(error)
            else:
                done = "converted" if converted else "left unchanged"
                output.print_text(f"{done} {session_id}")
    if errors:
        raise typer.Exit(max(map(exit_code, errors)))


@app.command(cls=Command)
def unpin(session_id: SessionId, store: StoreUrl = None) -> None:
    """End the protection of a session.

    For example: statekeep sessions unpin weekly
    """
    with open_sessions(existing(store)) as sessions:
        sessions.unpin(session_id)
    output.print_text(f"unpinned {session_id}")


@app.command(cls=Command)
def prune(
    store: StoreUrl = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=strategies,
            help="The strategy; 'plugins' lists them. Default: the configured one.",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Set an option of the strategy. Repeatable."
        ),
    ] = None,
    protect: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Never prune this session. Repeatable.")
    ] = None,
    min_idle: Annotated[
        timedelta | None,
        typer.Option(
            parser=hours,
            metavar="TIME",
            help="Spare sessions changed within this time: 30m, 2h; a bare number is hours. "
            "Default: a minute.",
        ),
    ] = None,
    trash: Annotated[
        timedelta | None,
        typer.Option(
            parser=days,
            metavar="TIME",
            help="Keep pruned sessions in the trash this long: 12h, 7d; a bare number is days.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be pruned, and prune nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the sessions that a strategy chooses.

    For example: statekeep sessions prune --strategy ttl --set ttl_hours=24 --dry-run
    """
    settings = settings_for(store)
    configured = settings.retention
    idle = timedelta(minutes=1)
    if configured is not None and configured.min_idle is not None:
        idle = configured.min_idle
    if min_idle is not None:
        idle = min_idle
    trash_for = None if configured is None else configured.trash
    if trash is not None:
        trash_for = trash
    chosen = _strategy(strategy, options or (), configured)
    refuse_missing(settings)
    with open_sessions(settings) as sessions:
        with output.waiting("reading the sessions"):
            plan = sessions.plan_prune(chosen, protect=set(protect or ()), min_idle=idle)
        if dry_run:
            result = views.prune_plan(plan)
            unsure = False
        else:
            report = _prune(sessions, plan, trash_for)
            result = views.prune_report(plan, report)
            unsure = bool(report.unknown or report.failed)
    if as_json:
        output.print_json(result)
    else:
        print_prune(result, "SESSIONS")
    if unsure:
        raise typer.Exit(1)


def _larger(listing: Listing[Any], size: int) -> Listing[Any]:
    """Cut a listing by size after the last session that is larger."""
    kept = tuple(takewhile(lambda each: each.size > size, listing))
    cursor = listing.cursor if len(kept) == len(listing) else None
    return replace(listing, summaries=kept, cursor=cursor)


def _print_as_json(
    sessions: Sessions, session_id: str, last: int | None, repair_text: RepairText
) -> None:
    if last is None:
        session = sessions.load(session_id, required=True, repair_text=repair_text)
        output.print_json(views.session(session))
        return
    messages = sessions.tail(session_id, last=last)
    if messages is None:
        raise no_such_session(session_id, sessions.store)
    output.print_json(views.messages(messages))


def _row(summary: Summary) -> list[str]:
    if isinstance(summary, JournalSummary):
        count = summary.length
        name = shlex.join(summary.name)  # ready to be pasted into other commands
    else:
        count = summary.message_count if isinstance(summary, SessionSummary) else 0
        name = summary.id
    return [
        name,
        summary.user_id or "",
        str(count),
        summary.last_phase or "",
        output.ago(summary.updated_at),
        output.size(summary.size),
        output.ago(summary.pinned_until),
    ]


def _prune(sessions: Sessions, plan: PrunePlan, trash: timedelta | None) -> PruneReport:
    done = 0
    with output.bar("pruning", len(plan.victims)) as show:

        def progress(count: int) -> None:
            nonlocal done
            done = count
            show(count)

        try:
            return sessions.prune(plan, trash=trash, progress=progress)
        except KeyboardInterrupt:
            output.note(
                f"interrupted: {done} of {len(plan.victims)} sessions were processed, one more may "
                "have been, and the rest are untouched",
                "yellow",
            )
            raise


def _strategy(
    name: str | None, assignments: Iterable[str], configured: RetentionSettings | None
) -> PruningStrategy:
    options: dict[str, str] = {}
    for option, value in map(_assignment, assignments):
        if options.setdefault(option, value) != value:
            raise ConfigError(f"--set gives {option} twice")
    if name is not None:
        return load_pruner(name, **options)
    if configured is None:
        raise ConfigError(
            "no pruning strategy is configured; name one, for example "
            "--strategy ttl+count --set max_sessions=100 --set ttl_hours=168"
        )
    return configured_strategy(configured, options)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes NAME=VALUE, not {text!r}")
    return name, value


def _heading(session_id: str, excerpt: Excerpt) -> list[str]:
    lines = [
        f"session  {session_id}",
        f"user     {excerpt.user_id}",
        f"created  {format_timestamp(excerpt.created_at)}",
        f"updated  {format_timestamp(excerpt.updated_at)}",
    ]
    if excerpt.active_seed_id is not None:
        lines.append(f"seed     {excerpt.active_seed_id}")
    if excerpt.active_persona_id is not None:
        lines.append(f"persona  {excerpt.active_persona_id}")
    metadata = excerpt.metadata.items()
    return lines + [f"{key} = {orjson.dumps(value).decode()}" for key, value in metadata]


def _print_message(entry: Entry) -> None:
    who = entry.role or ""
    if entry.phase:
        who += f", {entry.phase}"
    output.print_text()
    output.print_text(f"{who}  {entry.raw['timestamp']}", "bold")
    output.print_content(entry.raw["content"])
