"""Statistics about the store, as charts and tables."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from statekeep.heads.everything import journal_collections
from statekeep.search import Tally, statistics
from statekeep_web.charts import bars, columns
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from starlette.responses import Response

    from statekeep_web.visits import Visit

__all__ = ["show_statistics"]

_MOST: Final = 20
_DAYS: Final = 92


def show_statistics(visit: Visit) -> Response:
    """Show how much there is per day, user, collection, phase and place."""
    asked = {name: visit.get(name) for name in ("collection", "after", "before")}
    asked["user"] = visit.exact("user")
    shown: dict[str, Any] = {
        "asked": asked, "collections": journal_collections(visit.site.store)
    }  # fmt: skip
    only = asked["collection"]
    try:
        found = statistics(
            visit.site.store,
            sessions=only in {None, "*"},
            collections=None if only is None else () if only == "*" else [only],
            user_id=visit.exact("user") or None,
            updated_after=visit.moment("after"),
            updated_before=visit.moment("before"),
        )
    except BadRequest as error:
        return visit.render("statistics.html", status=400, found=None, error=str(error), **shown)
    days = _days(found.by_day)
    charts = [
        ("per-day", "Last updated, by day", columns([(str(day), n.count) for day, n in days])),
        ("by-user", "Users, by size", bars(_largest(found.by_user, "(no user)"), as_size=True)),
        (
            "by-collection", "Collections, by size",
            bars(_largest(found.by_collection, "(sessions)"), as_size=True),
        ),
        ("by-phase", "Sessions, by last phase", bars(_counts(found.by_phase, "(none)"))),
        ("by-place", "Space used, by place", bars(_largest(found.places, ""), as_size=True)),
    ]  # fmt: skip
    return visit.render(
        "statistics.html", found=found, charts=charts, days=_DAYS, error=None, **shown
    )


def _days(by_day: Mapping[date, Tally]) -> list[tuple[date, Tally]]:
    """The tallies of the last days, including days without any."""
    if not by_day:
        return []
    last = max(by_day)
    first = max(min(by_day), last - timedelta(days=_DAYS - 1))
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [(day, by_day.get(day, Tally())) for day in every]


def _largest(tallies: Mapping[Any, Tally], nothing: str) -> list[tuple[str, int]]:
    sizes = [(nothing if key is None else str(key), each.bytes) for key, each in tallies.items()]
    return _first(sizes)


def _counts(tallies: Mapping[Any, Tally], nothing: str) -> list[tuple[str, int]]:
    return _first(
        [(nothing if key is None else str(key), each.count) for key, each in tallies.items()]
    )


def _first(values: list[tuple[str, int]]) -> list[tuple[str, int]]:
    values.sort(key=lambda each: each[1], reverse=True)
    if len(values) <= _MOST:
        return values
    rest = values[_MOST:]
    return [*values[:_MOST], (f"({len(rest)} others)", sum(value for _, value in rest))]
