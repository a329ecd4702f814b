"""Search conversations, a stretch of the list at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from statekeep.format.summary import JournalSummary
from statekeep.heads.everything import journal_collections, list_together
from statekeep.search import search
from statekeep.store.query import Filter
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from starlette.responses import Response

    from statekeep.format.record import Problem
    from statekeep.format.summary import Summary
    from statekeep.search import Match
    from statekeep_web.visits import Visit

__all__ = ["show_search"]

_ENOUGH: Final = 20
"""How many sessions and journals with a match end a page."""

_PER_SUMMARY: Final = 5
_FIRST, _LARGEST = 50, 3_200
_PATIENCE: Final = 8.0
"""Seconds after which no further stretch is searched."""

_AROUND: Final = 120
_TICK: Final = timedelta(microseconds=1)


@dataclass(slots=True)
class _Found:
    summary: Summary
    matches: list[tuple[int, str | None, datetime | None, list[tuple[str, bool]]]] = field(
        default_factory=list
    )
    more: int = 0


def show_search(visit: Visit) -> Response:
    """Search from the newest, or from where the last page ended."""
    text = visit.exact("q") or ""
    asked = {name: visit.get(name) for name in ("collection", "after", "before")}
    asked["user"] = visit.exact("user")
    case = visit.get("case") is not None
    shown: dict[str, Any] = {
        "text": text, "asked": asked, "case": case,
        "collections": journal_collections(visit.site.store),
    }  # fmt: skip
    if not text:
        return visit.render("search.html", found=None, error=None, **shown)
    try:
        result = _Searching(visit, text, case=case).run()
    except (BadRequest, ValueError) as error:
        return visit.render("search.html", status=400, found=None, error=str(error), **shown)
    kept = {name: value for name, value in asked.items() if value}
    if case:
        kept["case"] = "1"
    return visit.render(
        "search.html", error=None, **result,
        further={"q": text, **kept, "cursor": result["cursor"]}, **shown,
    )  # fmt: skip


class _Searching:
    """Searches stretches of the list, so that a page comes soon however large the store is.

    It does not support regular expressions: one that never ends would block the whole process,
    which may be someone's application.
    """

    def __init__(self, visit: Visit, text: str, *, case: bool) -> None:
        self._store = visit.site.store
        self._text = text
        self._ignore_case = not case
        self._wanted = Filter(
            user_id=visit.exact("user") or None,
            updated_after=visit.moment("after"),
            updated_before=visit.moment("before"),
        )
        only = visit.get("collection")
        self._sessions = only in {None, "*"}
        every = () if only == "*" else journal_collections(self._store)
        self._collections: Sequence[str] = [only] if only and only != "*" else every
        self._cursor = visit.get("cursor")
        self._problems: dict[str, Problem] = {}

    def run(self) -> dict[str, Any]:
        """Return what was found, how much was searched, and the cursor to continue from."""
        found: list[_Found] = []
        searched, size = 0, _FIRST
        end = time.monotonic() + _PATIENCE
        while True:
            listing = list_together(
                self._store, self._collections, self._wanted,
                sessions=self._sessions, limit=size, cursor=self._cursor,
            )  # fmt: skip
            if listing.summaries:
                found += self._look_through(listing.summaries)
            searched += len(listing)
            self._cursor = listing.cursor
            if self._cursor is None or len(found) >= _ENOUGH or time.monotonic() > end:
                break
            size = min(2 * size, _LARGEST)
        return {
            "found": found, "searched": searched, "cursor": self._cursor,
            "unread": [*self._problems.values()],
        }  # fmt: skip

    def _look_through(self, stretch: Sequence[Summary]) -> list[_Found]:
        """Search one stretch: what was updated between its ends, except what is not in it."""
        found = {_identity(each): _Found(each) for each in stretch}
        matches = search(
            self._store,
            self._text,
            sessions=self._sessions,
            collections=self._collections,
            user_id=self._wanted.user_id,
            updated_before=stretch[0].updated_at + _TICK,
            updated_after=stretch[-1].updated_at - _TICK,
            ignore_case=self._ignore_case,
        )
        for match in matches:
            if (one := found.get(_identity(match.summary))) is None:
                continue
            if len(one.matches) < _PER_SUMMARY:
                one.matches.append(_shown(match))
            else:
                one.more += 1
        # Each stretch reports all problems again.
        self._problems |= {each.key: each for each in matches.problems}
        return [each for each in found.values() if each.matches]


def _identity(summary: Summary) -> tuple[str, ...]:
    if isinstance(summary, JournalSummary):
        return summary.collection, *summary.name
    return (summary.id,)


def _shown(match: Match) -> tuple[int, str | None, datetime | None, list[tuple[str, bool]]]:
    """The first span of a match with the text around it, as pieces to mark or not."""
    text = match.said.text
    start, end = match.spans[0]
    end = min(end, start + 4 * _AROUND)
    first, last = max(0, start - _AROUND), min(len(text), end + _AROUND)
    parts = [
        ("…" * bool(first) + text[first:start], False),
        (text[start:end], True),
        (text[end:last] + "…" * (last < len(text)), False),
    ]
    return match.said.index, match.said.role, match.said.timestamp, parts
