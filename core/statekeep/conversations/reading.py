"""Reading a conversation a part at a time, and following it as it grows."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from statekeep.conversations.shapes import entry_of
from statekeep.format.session import plain_messages
from statekeep.journals import Journals
from statekeep.sessions.repository import SessionRepository
from statekeep.store.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from statekeep.conversations.types import Entry
    from statekeep.store.protocol import StateStore, Version

__all__ = ["Conversation", "Excerpt"]

_AT_ONCE: Final = 500
"""Entries that are read at once while following."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some entries of a conversation, and what is said of the whole.

    Attributes:
        user_id: The user it belongs to, if any.
        title: Its title, if it has one.
        created_at: When it was created; aware, UTC.
        updated_at: When it was last changed; aware, UTC.
        metadata: The caller's metadata.
        version: Of the document, or of the head.
        length: How many entries the conversation has.
        start: The place of the first of these.
        entries: These.
    """

    user_id: str | None
    title: str | None
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, Any]
    version: Version
    length: int
    start: int
    entries: Sequence[Entry]


class Conversation:
    """A session or a journal, as people read it.

    A journal, and a session in form journal, is read a part at a time: the head, and the segments
    that hold what was asked for. A session that is one document is read whole.

    Args:
        store: Where it lies.
        name: The id of a session, or the name of a journal.
        collection: The journal's collection; None for a session.

    Raises:
        InvalidKeyError: The name or the collection is not legal; by the methods for a session.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     _ = Sessions(store).add_turn("s", user=["Hello"], agent=["Hi"], user_id="ada")
        ...     excerpt = Conversation(store, "s").load(last=1)
        ...     [(each.index, each.role, each.parts[0].text) for each in excerpt.entries]
        [(1, 'agent', 'Hi')]
    """

    def __init__(self, store: StateStore, *name: str, collection: str | None = None) -> None:
        self._name = name
        self._sessions = SessionRepository(Transfer(store), "document")
        self._journals = None
        if collection is not None:
            # Who only reads meets no conflicts, so any store will do.
            self._journals = Journals(store, collection, conflicts="last-writer-wins")
            self._journals.open(*name)
        elif len(name) != 1:
            raise TypeError("a session has one id")

    def load(
        self, *, last: int | None = None, start: int = 0, stop: int | None = None
    ) -> Excerpt | None:
        """Read entries; None if there is no such conversation.

        Args:
            last: So many from the end.
            start: From this place on; a negative one counts from the end.
            stop: Up to this place.

        Raises:
            CorruptDataError, UnsupportedError: It is damaged, or of a newer format.
            UnavailableError: The store did not answer.
            ValueError: `last` comes with `start` or `stop`, or is negative.
        """
        if last is not None and (start or stop is not None or last < 0):
            raise ValueError("give last, which is not negative, or start and stop")
        if last is not None:
            start, stop = (-last, None) if last else (0, 0)
        return self._of_journal(start, stop) if self._journals else self._of_session(start, stop)

    def follow(
        self, *, start: int = 0, every: timedelta = timedelta(seconds=1)
    ) -> Iterator[Excerpt]:
        """Give what is there from some place on, and then what is added, as long as it is there.

        Where entries were taken back, the next excerpt begins at an earlier place than the last
        ended: what was shown from there on is no longer so.

        Args:
            start: Where to begin; a negative one counts from the end.
            every: How long to wait between two looks.

        Raises:
            CorruptDataError, UnsupportedError, UnavailableError: As `load`.
        """
        version = None
        while found := self.load(start=start, stop=start + _AT_ONCE if start >= 0 else None):
            if start >= 0 and found.length < start:
                start = found.length
                yield replace(found, start=start, entries=())
            elif found.entries or version is None:
                yield found
                start = found.start + len(found.entries)
            version = found.version
            if start >= found.length:
                time.sleep(every.total_seconds())

    def _of_session(self, start: int, stop: int | None) -> Excerpt | None:
        part = self._sessions.part(self._name[0], None, slice(start, stop))
        if part is None:
            return None
        session = part.session
        said = zip(part.messages, plain_messages(part.messages), strict=True)
        items = [{"role": message.role, **plain} for message, plain in said]
        return Excerpt(
            session.user_id,
            _title(session.metadata),
            session.created_at,
            session.updated_at,
            session.metadata,
            part.version,
            part.length,
            part.start,
            _entries(part.start, orjson.loads(orjson.dumps(items))),
        )

    def _of_journal(self, start: int, stop: int | None) -> Excerpt | None:
        assert self._journals is not None  # noqa: S101 - asked before
        loaded = self._journals.open(*self._name).load(start=start, stop=stop)
        if loaded is None:
            return None
        head = loaded.head
        return Excerpt(
            head.user_id,
            _title(head.metadata),
            head.created_at,
            head.updated_at,
            head.metadata,
            head.version,
            head.length,
            loaded.start,
            _entries(loaded.start, loaded.items),
        )


def _entries(start: int, items: list[Any]) -> list[Entry]:
    return [entry_of(index, item) for index, item in enumerate(items, start)]


def _title(metadata: Mapping[str, Any]) -> str | None:
    title = metadata.get("title")
    return title if isinstance(title, str) else None
