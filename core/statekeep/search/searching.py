"""Search the messages of sessions and the items of journals."""

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
"""Keys whose values are not searched, because most items share them."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a session, or an item of a journal.

    Attributes:
        index: Its position, from 0.
        role: Who said it, if known, as in `statekeep.conversations.Entry`.
        timestamp: When it was said, if known.
        text: The text of a message; for an item, all its strings except ``role`` and ``type``,
            joined by newlines.
    """

    index: int
    role: str | None
    timestamp: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Match:
    """A message or item that matches a search.

    Attributes:
        summary: The session or journal.
        said: The message or item.
        spans: Where in its text the matches are: the start and end of each, as in a slice.
        before: The messages or items before it, as many as `context` asked for.
        after: The messages or items after it, likewise.
    """

    summary: Summary
    said: Said
    spans: Sequence[tuple[int, int]]
    before: Sequence[Said] = ()
    after: Sequence[Said] = ()


class Search(Iterator[Match]):
    """An iterator over the matches of a search, as they are found.

    Attributes:
        problems: Documents that could not be read, so far.
        searched: How many sessions and journals have been searched so far.
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
    """Search sessions and journals for a text.

    Matches are returned as they are found, while the search goes on. Journals, and sessions stored
    as journals, are read a part at a time. On remote stores, several are read at once, each to its
    end. The search may miss what is saved while it runs.

    Args:
        store: The store.
        text: The text to find; not empty.
        regex: Whether `text` is a regular expression, for Python's `re`.
        ignore_case: Whether to ignore case.
        sessions: Whether to search sessions.
        collections: Collections whose journals to search; None for all, ``()`` for none.
        user_id: Search only what belongs to this user.
        updated_before: Search only what was last updated before this time; aware.
        updated_after: Search only what was last updated after this time; aware.
        context: How many messages or items before and after each match to return with it.
        limit: Stop after this many matches; None for no limit.

    Returns:
        The matches: those in the most recently updated session or journal first, and within one in
        the order they were said.

    Raises:
        ValueError: The text is empty or not a valid regular expression, a time is naive, `context`
            is negative, or `limit` is less than 1.
        InvalidKeyError: While iterating: the name of a collection is not legal.
        UnavailableError, AccessDeniedError: While iterating: the store did not answer, or refused.

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
        raise ValueError("context must be at least 0, and limit at least 1")
    wanted = Filter(user_id=user_id, updated_before=updated_before, updated_after=updated_after)
    wanted.conditions()  # refuses a naive time now, not during the search
    found = Search()
    names = None if collections is None else [*collections]
    summaries = chosen(store, wanted, names, found.problems, sessions=sessions)
    found._found = _search(store, summaries, pattern, context, limit, found)  # noqa: SLF001
    return found


def _pattern(text: str, *, regex: bool, ignore_case: bool) -> re.Pattern[str]:
    if not isinstance(text, str):
        refuse_type("text", "text", text)
    if not text:
        raise ValueError("text must not be empty: it would match everywhere")
    try:
        return re.compile(text if regex else re.escape(text), re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise ValueError(f"{text!r} is not a valid regular expression: {error}") from None


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
    """Search each, several at once, and yield the results in the order of the summaries."""
    if workers == 1:
        yield from map(look, summaries)
        return

    def look_through(summary: Summary) -> list[Match | Problem]:
        return [*look(summary)]

    context = copy_context()  # so that observers see the caller's context
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
    """Yield the messages of a session or items of a journal; none if it was deleted meanwhile."""
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
