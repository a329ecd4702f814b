"""Searching what was said, in sessions and in the items of journals."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from statekeep._arguments import refuse_type
from statekeep.conversations import Conversation
from statekeep.conversations.blocks import texts_in
from statekeep.errors import StateStoreError
from statekeep.format.record import Problem
from statekeep.format.summary import JournalSummary
from statekeep.search.chosen import chosen
from statekeep.store.keys import journal_key, session_key
from statekeep.store.query import Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from datetime import datetime

    from statekeep.conversations import Entry
    from statekeep.format.summary import Summary
    from statekeep.store.protocol import StateStore

__all__ = ["Match", "Said", "Search", "search"]

_WORKERS: Final = 16
_LABELS: Final = {"role", "type"}
"""What an item says of itself; nobody searches for what most have in common."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a session, or an item of a journal.

    Attributes:
        index: Its place, from 0.
        role: Who said it, if it tells, as `statekeep.conversations.Entry` has it.
        timestamp: When, if it tells.
        text: What a message says; of an item all its texts but ``role`` and ``type``, in lines.
    """

    index: int
    role: str | None
    timestamp: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Match:
    """Where something was found.

    Attributes:
        summary: The session or journal.
        said: The message or item.
        spans: Where in its text, as slices have it: each a start and an end.
        before: What was said before, as much as was asked for.
        after: What was said afterwards.
    """

    summary: Summary
    said: Said
    spans: Sequence[tuple[int, int]]
    before: Sequence[Said] = ()
    after: Sequence[Said] = ()


class Search(Iterator[Match]):
    """The matches of a search, as they are found.

    Attributes:
        problems: What could not be read so far.
        searched: How many sessions and journals have been looked through so far.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.searched = 0
        self._found: Generator[Match] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Match:
        if self._found is None:
            raise StopIteration
        return next(self._found)

    def close(self) -> None:
        """Stop searching."""
        if self._found is not None:
            self._found.close()


def search(
    store: StateStore,
    text: str,
    *,
    regex: bool = False,
    ignore_case: bool = False,
    sessions: bool = True,
    collections: Iterable[str] | None = None,
    user_id: str | None = None,
    updated_before: datetime | None = None,
    updated_after: datetime | None = None,
    context: int = 0,
    limit: int | None = None,
) -> Search:
    """Look for a text in what was said.

    It reads as it goes: what was found first can be used while the rest is looked through. Journals
    are read a part at a time, and so are sessions that are stored as such. On stores that are far
    away several are read at once, each to its end. What is saved meanwhile may be missed.

    Args:
        store: Where to look.
        text: What to look for; it is not empty.
        regex: The text is a regular expression, as Python's `re` has them.
        ignore_case: Take capital and small letters for the same.
        sessions: Look through sessions.
        collections: Look through the journals of these; None for all, ``()`` for none.
        user_id: Only what belongs to this user.
        updated_before: Only what was updated before; aware.
        updated_after: Only what was updated after; aware.
        context: So many messages or items before and after each match are given with it.
        limit: Stop after so many matches; None for all.

    Returns:
        The matches, those in what was updated last first, each in the order in which it was said.

    Raises:
        ValueError: The text is empty or no regular expression, a time is naive, or a number is
            negative.
        InvalidKeyError: A collection is not legal.
        UnavailableError, AccessDeniedError: By iterating; the store did not answer, or refused.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     session = Sessions(store).get_or_create("ada", "s")
        ...     _ = session.add_user_message("Where is the parser?")
        ...     _ = Sessions(store).save(session)
        ...     [(each.summary.id, each.said.index, each.spans) for each in search(store, "parser")]
        [('s', 0, [(13, 19)])]
    """
    pattern = _pattern(text, regex=regex, ignore_case=ignore_case)
    if context < 0 or (limit is not None and limit < 1):
        raise ValueError("context is at least 0, and limit at least 1")
    wanted = Filter(user_id=user_id, updated_before=updated_before, updated_after=updated_after)
    wanted.conditions()  # refuses a naive time now, and not in the middle
    found = Search()
    names = None if collections is None else [*collections]
    summaries = chosen(store, wanted, names, found.problems, sessions=sessions)
    found._found = _search(store, summaries, pattern, context, limit, found)  # noqa: SLF001
    return found


def _pattern(text: str, *, regex: bool, ignore_case: bool) -> re.Pattern[str]:
    if not isinstance(text, str):
        refuse_type("text", "text", text)
    if not text:
        raise ValueError("text is empty, and would be found everywhere")
    try:
        return re.compile(text if regex else re.escape(text), re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


def _search(
    store: StateStore,
    summaries: Iterator[Summary],
    pattern: re.Pattern[str],
    context: int,
    limit: int | None,
    told: Search,
) -> Generator[Match]:
    def look(summary: Summary) -> Iterator[Match | Problem]:
        try:
            yield from islice(_matches(summary, _said(store, summary), pattern, context), limit)
        except (LookupError, StateStoreError) as error:
            reason = getattr(error, "message", str(error))
            yield Problem(_key_of(summary), None, reason)

    left = limit
    for found in _in_order(look, summaries, _WORKERS if store.capabilities.remote else 1):
        told.searched += 1
        for each in found:
            if isinstance(each, Problem):
                told.problems.append(each)
                continue
            yield each
            if left is not None:
                left -= 1
                if not left:
                    return


def _in_order(
    look: Callable[[Summary], Iterator[Match | Problem]],
    summaries: Iterator[Summary],
    workers: int,
) -> Iterator[Iterable[Match | Problem]]:
    """Look through each, some at once, and give what was found in their order."""
    if workers == 1:
        yield from map(look, summaries)
        return

    def look_through(summary: Summary) -> list[Match | Problem]:
        return [*look(summary)]

    context = copy_context()  # so that observers see the caller's
    pool = ThreadPoolExecutor(workers, "statekeep-search")
    try:
        under_way = deque(
            pool.submit(context.copy().run, look_through, each)
            for each in islice(summaries, workers)
        )
        while under_way:
            found = under_way.popleft().result()
            for each in islice(summaries, 1):
                under_way.append(pool.submit(context.copy().run, look_through, each))
            yield found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _matches(
    summary: Summary, said: Iterator[Said], pattern: re.Pattern[str], context: int
) -> Iterator[Match]:
    before: deque[Said] = deque(maxlen=context)
    waiting: deque[tuple[Match, list[Said]]] = deque()
    for each in said:
        for _, after in waiting:
            after.append(each)
        while waiting and len(waiting[0][1]) >= context:
            yield _with_after(*waiting.popleft())
        spans = [match.span() for match in pattern.finditer(each.text) if match[0]]
        if spans:
            match = Match(summary, each, spans, (*before,))
            if context:
                waiting.append((match, []))
            else:
                yield match
        before.append(each)
    for match, after in waiting:
        yield _with_after(match, after)


def _with_after(match: Match, after: list[Said]) -> Match:
    return Match(match.summary, match.said, match.spans, match.before, (*after,))


def _said(store: StateStore, summary: Summary) -> Iterator[Said]:
    """What was said in a session or journal; nothing if it is gone by now."""
    if isinstance(summary, JournalSummary):
        conversation = Conversation(store, *summary.name, collection=summary.collection)
    else:
        conversation = Conversation(store, summary.id)
    is_session = not isinstance(summary, JournalSummary)
    for part in conversation.parts():
        for entry in part.entries:
            yield Said(entry.index, entry.role, entry.timestamp, _text(entry, is_session))


def _text(entry: Entry, is_session: bool) -> str:
    if is_session:
        content: str = entry.raw["content"]
        return content
    return "\n".join(texts_in(entry.raw, but=_LABELS))


def _key_of(summary: Summary) -> str:
    if isinstance(summary, JournalSummary):
        return journal_key(summary.collection, summary.name)
    return session_key(summary.id)
