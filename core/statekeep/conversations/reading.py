"""Reads conversations a part at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from statekeep.conversations.following import Follower
from statekeep.conversations.shapes import entry_of
from statekeep.format.session import plain_messages
from statekeep.format.summary import title_of
from statekeep.journals import Journals
from statekeep.sessions.repository import SessionRepository
from statekeep.store.keys import session_key
from statekeep.store.transfer import Transfer
from statekeep.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from statekeep.conversations.types import Entry
    from statekeep.format.json import RepairText
    from statekeep.format.session import AgentResponse, UserMessage
    from statekeep.sessions.turns import SessionPart
    from statekeep.store.protocol import StateStore, Version

__all__ = ["Conversation", "Excerpt"]

_FIRST: Final = 50
_MOST: Final = 500
"""Entries to read at once: at first, and at most."""

_TEXT: Final = 2**22
"""Characters to read at once, as estimated from the entries before."""

_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some entries of a conversation, with the fields of the whole.

    Attributes:
        user_id: The user it belongs to, if any.
        title: Its title, if it has one.
        created_at: When it was created; aware, UTC.
        updated_at: When it was last changed; aware, UTC.
        metadata: The caller's metadata.
        version: The version of the document, or of the journal's head.
        length: How many entries the conversation has.
        start: The place of the first entry in `entries`.
        entries: The entries that were read.
        identity: Differs if the conversation is deleted and created anew with the same name.
        active_seed_id: The active seed of a session.
        active_persona_id: The active persona of a session.
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
    identity: str = ""
    active_seed_id: str | None = None
    active_persona_id: str | None = None


class Conversation:
    """A session or a journal, for people to read.

    A journal, or a session in form journal, is read a part at a time: the head, and the segments
    that hold the wanted entries. A session that is one document is read whole.

    Args:
        store: The store that has it.
        name: The id of a session, or the name of a journal.
        collection: The journal's collection; None for a session.
        repair_text: As in `Sessions.load`, for a session that is one document.

    Raises:
        InvalidKeyError: The name or the collection is not legal. For a session, the methods raise
            it.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     _ = Sessions(store).add_turn("s", user=["Hello"], agent=["Hi"], user_id="ada")
        ...     excerpt = Conversation(store, "s").load(last=1)
        ...     [(each.index, each.role, each.parts[0].text) for each in excerpt.entries]
        [(1, 'agent', 'Hi')]
    """

    def __init__(
        self,
        store: StateStore,
        *name: str,
        collection: str | None = None,
        repair_text: RepairText = "refuse",
    ) -> None:
        self._store = store
        self._name = name
        self._repair_text: RepairText = repair_text
        self._sessions = SessionRepository(Transfer(store), "document")
        self._journal = None
        if collection is not None:
            # Reading needs no detection of conflicts, so any store will do.
            journals = Journals(store, collection, conflicts="last-writer-wins")
            self._journal = journals.open(*name)
        elif len(name) != 1:
            raise TypeError("a session has exactly one id")

    def load(
        self, *, last: int | None = None, start: int = 0, stop: int | None = None
    ) -> Excerpt | None:
        """Read entries, or return None if there is no such conversation.

        Args:
            last: How many entries to read, from the end.
            start: The place of the first entry; if negative, counted from the end.
            stop: The place before which to stop.

        Raises:
            CorruptDataError, UnsupportedError: It is damaged, or of a newer format.
            UnavailableError: The store did not answer.
            ValueError: `last` comes with `start` or `stop`, or is negative.
        """
        start, stop = _range(last, start, stop)
        if self._journal is not None:
            return self._of_journal(start, stop)
        if (part := self._part(start, stop)) is None:
            return None
        return _of_session(part, part.start, part.messages)

    def parts(
        self, *, last: int | None = None, start: int = 0, stop: int | None = None
    ) -> Iterator[Excerpt]:
        """Read entries a part at a time, so that a long conversation is never whole in memory.

        Entries that are added meanwhile are included, up to `stop`. The first part may be empty;
        there is none only if there is no such conversation.

        Args:
            last: How many entries to read, from the end.
            start: The place of the first entry; if negative, counted from the end.
            stop: The place before which to stop; not negative.

        Raises:
            CorruptDataError, UnsupportedError, UnavailableError: As in `load`.
            ValueError: `last` comes with `start` or `stop`, or `last` or `stop` is negative.
        """
        start, stop = _range(last, start, stop)
        if stop is not None and stop < 0:
            raise ValueError("stop must not be negative where parts are read")
        return self._parts(start, stop)

    def _parts(self, start: int, stop: int | None) -> Iterator[Excerpt]:
        if start < 0:
            found = self.load(stop=0)
            start = max(0, start + found.length) if found else 0
        count, is_first = _FIRST, True
        while True:
            end = start + count if stop is None else min(start + count, stop)
            part = None
            if self._journal is None:
                part = self._part(start, end)
                found = part and _of_session(part, part.start, part.messages)
            else:
                found = self._of_journal(start, end)
            if found is None or not (found.entries or is_first):
                return
            yield found
            start, is_first = found.start + len(found.entries), False
            if part is not None and len(whole := part.session.messages) == part.length:
                # The whole session is in memory; only entries are made a part at a time.
                yield from _slices(part, whole, start, stop)
                return
            if start >= found.length or (stop is not None and start >= stop):
                return
            count = _count_after(found.entries)

    def follow(
        self, *, start: int = 0, last: int | None = None, every: timedelta = _SECOND
    ) -> Iterator[Excerpt]:
        """Read existing entries, then new ones as they are added, until it is deleted.

        It polls, which costs one request while nothing changes. If entries were removed or
        replaced, the next excerpt starts at an earlier place than the previous one ended: earlier
        entries from there on are no longer valid. This is noticed for the last thousand entries.
        A conversation that was deleted and created anew in between starts at 0.

        Args:
            start: The place of the first entry; if negative, counted from the end.
            last: How many of the existing entries to read, from the end.
            every: How long to wait between two looks.

        Raises:
            CorruptDataError, UnsupportedError, UnavailableError: As in `load`.
            ValueError: `last` comes with `start`, or is negative.
        """
        start, _ = _range(last, start, None)
        if last == 0:
            found = self.load(stop=0)
            start = found.length if found else 0
        return Follower(self.parts, self._is_still, every).follow(start)

    def _is_still(self, version: Version) -> bool:
        """Return whether the conversation still has this version; costs one request."""
        if self._journal is not None:
            head = self._journal.head()
            return head is not None and head.version == version
        blob = self._store.get(session_key(self._name[0]))
        return blob is not None and blob.version == version

    def _part(self, start: int, stop: int | None) -> SessionPart | None:
        wanted = slice(start, stop)
        return self._sessions.part(self._name[0], None, wanted, repair_text=self._repair_text)

    def _of_journal(self, start: int, stop: int | None) -> Excerpt | None:
        assert self._journal is not None  # noqa: S101 - asked before
        loaded = self._journal.load(start=start, stop=stop)
        if loaded is None:
            return None
        head = loaded.head
        return Excerpt(
            head.user_id,
            title_of(head.metadata),
            head.created_at,
            head.updated_at,
            head.metadata,
            head.version,
            head.length,
            loaded.start,
            [entry_of(index, item) for index, item in enumerate(loaded.items, loaded.start)],
            head.uid,
        )


def _range(last: int | None, start: int, stop: int | None) -> tuple[int, int | None]:
    if last is None:
        return start, stop
    if start or stop is not None or last < 0:
        raise ValueError("give either last, which must not be negative, or start and stop")
    return (-last, None) if last else (0, 0)


def _count_after(entries: Sequence[Entry]) -> int:
    """Return how many entries to read next, assuming they are as long as these."""
    said = sum(len(part.text) + len(part.source or "") for entry in entries for part in entry.parts)
    return max(1, min(_MOST, len(entries) * _TEXT // max(said, 1)))


def _slices(
    part: SessionPart,
    messages: Sequence[UserMessage | AgentResponse],
    start: int,
    stop: int | None,
) -> Iterator[Excerpt]:
    end = len(messages) if stop is None else min(stop, len(messages))
    for place in range(start, end, _FIRST):
        yield _of_session(part, place, messages[place : min(place + _FIRST, end)])


def _of_session(
    part: SessionPart, start: int, messages: Sequence[UserMessage | AgentResponse]
) -> Excerpt:
    session = part.session
    return Excerpt(
        session.user_id,
        title_of(session.metadata),
        session.created_at,
        session.updated_at,
        session.metadata,
        part.version,
        part.length,
        start,
        _entries(start, messages),
        format_timestamp(session.created_at),
        session.active_seed_id,
        session.active_persona_id,
    )


def _entries(start: int, messages: Sequence[UserMessage | AgentResponse]) -> list[Entry]:
    entries = []
    said = zip(messages, plain_messages(messages), strict=True)
    for index, (message, plain) in enumerate(said, start):
        item = {
            "role": message.role,
            **plain,
            "timestamp": format_timestamp(message.timestamp),
        }
        # Wrapped, so that it is read as a session's message whatever its other fields are called.
        entry = entry_of(index, {message.role: item})
        entries.append(replace(entry, role=message.role, raw=item))
    return entries
