"""``statekeep search`` and ``statekeep stats``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from statekeep.cli import output
from statekeep.cli.options import AsJson, StoreUrl, count, past, reading
from statekeep.config.opening import open_store
from statekeep.errors import ConfigError
from statekeep.format.summary import JournalSummary
from statekeep.views import views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from statekeep.format.record import Problem
    from statekeep.format.summary import Summary
    from statekeep.search import Match, Said, Statistics, Tally

__all__ = ["search", "stats"]

_AROUND = 60
"""Characters that are shown before and after a match in a long line."""

User = Annotated[str | None, typer.Option(metavar="ID", help="Only what belongs to this user.")]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collection", metavar="NAME", help="Only journals of this collection. Repeatable."
    ),
]
Before = Annotated[
    datetime | None,
    typer.Option(
        parser=past,
        metavar="TIME",
        help="Only if updated before this time: 7d, yesterday, 2026-01-31.",
    ),
]
After = Annotated[
    datetime | None,
    typer.Option(parser=past, metavar="TIME", help="Only if updated after this time."),
]


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text to search for.")],
    regex: Annotated[
        bool,
        typer.Option(
            "--regex", "-e", help="Treat TEXT as a regular expression, in the syntax of Python."
        ),
    ] = False,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="Ignore the case of letters.")
    ] = False,
    user: User = None,
    collections: Collections = None,
    updated_before: Before = None,
    updated_after: After = None,
    context: Annotated[
        int,
        typer.Option(
            "--context",
            "-C",
            min=0,
            metavar="N",
            help="Show N messages before and after each match.",
        ),
    ] = 0,
    limit: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Stop after N matches.")
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search what was said, in all sessions and journals.

    For example: statekeep search "connection refused" --user ada --context 2
    """
    from statekeep.search import search as search_store  # noqa: PLC0415 - not always needed

    with reading(store) as settings, open_store(settings) as opened:
        try:
            found = search_store(
                opened,
                text,
                regex=regex,
                ignore_case=ignore_case,
                sessions=not collections,
                collections=collections or None,
                user_id=user,
                updated_before=updated_before,
                updated_after=updated_after,
                context=context,
                limit=limit,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None
        number = 0
        for number, match in enumerate(found, start=1):
            if as_json:
                output.print_line(orjson.dumps(views.match(match)).decode())
            else:
                _print_match(match, separate=bool(context) and number > 1)
        _note_problems(found.problems)
    if not number and not as_json:
        output.note(f"not found in any of {found.searched} sessions and journals of {opened}")


def stats(
    user: User = None,
    collections: Collections = None,
    updated_before: Before = None,
    updated_after: After = None,
    biggest: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show the N biggest, and N users.")
    ] = 10,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Count sessions, journals and bytes: by user, phase and day, and where the space goes.

    For example: statekeep stats --updated-after 30d
    """
    from statekeep.search import statistics  # noqa: PLC0415 - not always needed

    with (
        reading(store) as settings,
        open_store(settings) as opened,
        output.waiting("counting"),
    ):
        found = statistics(
            opened,
            sessions=not collections,
            collections=collections or None,
            user_id=user,
            updated_before=updated_before,
            updated_after=updated_after,
            biggest=biggest,
        )
    if as_json:
        output.print_json(views.statistics(found))
        return
    _print_statistics(found, biggest)
    _note_problems(found.problems)


def _print_match(match: Match, *, separate: bool) -> None:
    if separate:
        output.print_text("--")
    for each in match.before:
        output.print_text(f"{_place(match.summary, each)}- {_first_line(each)}")
    for start, end in match.spans:
        line = _around(match.said.text, start, end)
        output.print_text(f"{_place(match.summary, match.said)}: {line}")
    for each in match.after:
        output.print_text(f"{_place(match.summary, each)}- {_first_line(each)}")


def _place(summary: Summary, said: Said) -> str:
    role = f" {said.role}" if said.role else ""
    return f"{_name(summary)} #{said.index}{role}"


def _name(summary: Summary) -> str:
    if isinstance(summary, JournalSummary):
        return "/".join((summary.collection, *summary.name))
    return summary.id


def _first_line(said: Said) -> str:
    line, _, rest = said.text.partition("\n")
    return f"{line[: 2 * _AROUND]}…" if rest or len(line) > 2 * _AROUND else line


def _around(text: str, start: int, end: int) -> str:
    """Return the line of a match, shortened if it is long."""
    first = max(text.rfind("\n", 0, start) + 1, start - _AROUND)
    stop = text.find("\n", end)
    last = min(len(text) if stop < 0 else stop, end + _AROUND)
    before = "…" if first and text[first - 1] != "\n" else ""
    after = "…" if last < len(text) and text[last] != "\n" else ""
    return f"{before}{text[first:last]}{after}"


def _print_statistics(found: Statistics, most: int) -> None:
    total = found.total
    output.print_text(
        f"{total.count} sessions and journals, {total.items} messages and items, "
        f"{output.size(total.bytes)}"
    )
    _print_tallies("COLLECTION", found.by_collection, "(sessions)")
    users = sorted(found.by_user.items(), key=lambda each: each[1].bytes, reverse=True)
    _print_tallies("USER", dict(users[:most]), "(nobody)")
    if len(users) > most:
        output.note(f"and {len(users) - most} more users: --biggest {len(users)}")
    _print_tallies("PHASE", found.by_phase, "(none)")
    _print_tallies("DAY", {str(day): tally for day, tally in found.by_day.items()})
    if found.biggest:
        rows = [[_name(each), each.user_id or "", output.size(each.size)] for each in found.biggest]
        output.print_table(["BIGGEST", "USER", "SIZE"], rows, longest=[60, 20])
    rows = [
        [place, str(tally.count), output.size(tally.bytes)] for place, tally in found.places.items()
    ]
    output.print_table(["WHOLE STORE", "DOCUMENTS", "SIZE"], rows)


def _print_tallies(heading: str, tallies: Mapping[Any, Tally], nothing: str = "") -> None:
    if not tallies:
        return
    rows = [
        [key if key is not None else nothing, str(each.count), str(each.items),
         output.size(each.bytes)]
        for key, each in tallies.items()
    ]  # fmt: skip
    output.print_table([heading, "COUNT", "ITEMS", "SIZE"], rows, longest=[60])


def _note_problems(problems: Sequence[Problem]) -> None:
    for each in problems:
        output.note(f"cannot be read: {each.key}: {each.reason}")
