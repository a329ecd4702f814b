"""Sessions that are stored as journals, where adding a turn costs no more in a long session."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    NotFoundError,
    OwnershipError,
    UnsupportedError,
)
from statekeep.format.contents import fold
from statekeep.format.journal import MAX_IDS, MAX_KEYS, Change, Header, hashed_key
from statekeep.format.record import encode_record, record_of_head
from statekeep.format.session import Session, remember_stored, remember_version, stored_of
from statekeep.format.turns import Parts, parts_of, session_of, turns_of
from statekeep.journals.committing import HeadFile, Seen, decode_seen, in_time, refuse_late
from statekeep.journals.items import check_sizes, encoded
from statekeep.journals.segments import MissingSegmentError, items_between
from statekeep.journals.writing import HeadWriter, new_uid
from statekeep.store.keys import session_key
from statekeep.store.protocol import Version
from statekeep.timestamps import format_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from statekeep.format.session import AgentResponse, UserMessage
    from statekeep.format.summary import SessionSummary
    from statekeep.store.protocol import Blob
    from statekeep.store.query import Record
    from statekeep.store.transfer import Transfer

__all__ = [
    "ADD_TURN_CREATES_IT",
    "NOT_THE_BEGINNING",
    "SessionJournals",
    "SessionPart",
    "begins_with",
    "no_such_session",
]

NOT_THE_BEGINNING: Final = "a stored message was changed or removed; use save() instead"

ADD_TURN_CREATES_IT: Final = "; with a user_id, add_turn() creates it"

_AT_ONCE: Final = timedelta(0)


class SessionPart(NamedTuple):
    """Some messages of a session.

    Attributes:
        session: The session; it may hold only these of its messages.
        messages: The messages.
        start: The index of the first of them.
        length: How many messages the session has.
        version: The version of the document or head.
    """

    session: Session
    messages: Sequence[UserMessage | AgentResponse]
    start: int
    length: int
    version: Version


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is known of a session that was read from a journal, or written to one.

    Attributes:
        seen: The head.
        messages: The stored messages, in order, as objects of the session.
        said: The contents of each of them.
    """

    seen: Seen
    messages: list[UserMessage | AgentResponse]
    said: list[tuple[dict[str, Any], str]]

    def is_beginning_of(self, session: Session) -> bool:
        """Return whether the session still begins with what is stored."""
        now = session.messages
        return (
            len(now) >= len(self.messages)
            and all(map(is_, now, self.messages))
            and all(map(_still_says, now, self.said))
        )


def _begins(stored: _Stored, session: Session) -> bool:
    try:
        return stored.is_beginning_of(session)
    except (AttributeError, TypeError):
        return False  # something in it is not a message; the encoder says what


def begins_with(session: Session, stored: Session) -> bool:
    """Return whether a session begins with the stored messages, in order."""
    before = [_said(each) for each in stored.messages]
    return [_said(each) for each in session.messages[: len(before)]] == before


def _still_says(message: UserMessage | AgentResponse, said: tuple[dict[str, Any], str]) -> bool:
    extra = message.__pydantic_extra__
    return message.__dict__ == said[0] and (repr(extra) if extra else "") == said[1]


def _said(message: UserMessage | AgentResponse) -> tuple[dict[str, Any], str]:
    """Return what a message holds; extra fields as text, since to Python 1 and True are equal."""
    extra = message.__pydantic_extra__
    return message.__dict__.copy(), repr(extra) if extra else ""


class SessionJournals:
    """Reads and writes single sessions as journals. Internal: errors name key and store.

    Args:
        transfer: Performs conditional writes and deletes.
    """

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._store = transfer.store

    def read(self, key: str, blob: Blob, user_id: str | None = None) -> Session | None:
        """Read the session whose head was read; None if it is gone by now.

        Raises:
            OwnershipError: It belongs to another user.
            CorruptDataError: It is damaged.
            UnsupportedError: A newer version of statekeep wrote it.
        """
        if (found := self._read(key, blob, user_id, slice(None))) is None:
            return None
        session = self._session_of(key, *found)
        self._remember(session, found[0])
        return session

    def _session_of(self, key: str, seen: Seen, items: list[Any]) -> Session:
        try:
            return session_of(seen.contents, items)
        except CorruptDataError as error:
            raise CorruptDataError(error.message, key=key, store=self._store) from None

    def part(self, key: str, blob: Blob, user_id: str | None, wanted: slice) -> SessionPart | None:
        """Read some messages of the session whose head was read; None if it is gone by now.

        Raises:
            OwnershipError, CorruptDataError, UnsupportedError: As in `read`.
        """
        if (found := self._read(key, blob, user_id, wanted)) is None:
            return None
        seen, items = found
        session = self._session_of(key, seen, items)
        start, _, _ = wanted.indices(seen.length)
        return SessionPart(session, session.messages, start, seen.length, seen.version)

    def owner(self, key: str, blob: Blob, user_id: str | None) -> None:
        """Check that the session whose head was read may be deleted.

        Raises:
            OwnershipError, CorruptDataError, UnsupportedError: As in `read`.
        """
        self._decode(key, blob, user_id)

    def _read(
        self, key: str, blob: Blob, user_id: str | None, wanted: slice
    ) -> tuple[Seen, list[Any]] | None:
        found: Blob | None = blob
        missed: Version | None = None
        while found is not None:
            seen = self._decode(key, found, user_id)
            start, stop, _ = wanted.indices(seen.length)
            try:
                return seen, items_between(self._transfer, seen, start, stop)
            except MissingSegmentError as error:
                # A newer head names other segments. One that still names this one is damaged.
                if missed == found.version:
                    raise CorruptDataError(
                        error.message, key=error.key, store=self._store
                    ) from None
                missed = found.version
            found = self._store.get(key)
        return None

    def _decode(self, key: str, blob: Blob, user_id: str | None) -> Seen:
        try:
            seen = decode_seen(key, blob.data, blob.version)
        except (CorruptDataError, UnsupportedError) as error:
            raise type(error)(
                f"{error.message}; it was left unchanged", key=key, store=self._store
            ) from None
        if user_id is not None and seen.about.user_id != user_id:
            raise OwnershipError(
                f"the session does not belong to {user_id!r}", key=key, store=self._store
            )
        return seen

    def create(self, session: Session) -> Version:
        """Store a new session.

        Raises:
            ConflictError: Something is already there.
            InvalidDocumentError: It holds something that cannot be stored.
        """
        key, data = session_key(session.id), self.whole(session)
        version = self._transfer.put_new(key, data, partial(self.describe, key, data))
        self.remember(session, data, version)
        return version

    def save(self, session: Session, *, append: bool = False) -> Version:
        """Replace the journal that a session was loaded from.

        Args:
            session: The session, with the version that the journal must have.
            append: Refuse to change what is already stored.

        Raises:
            ConflictError: Someone else saved or deleted it.
            ValueError: An earlier message was changed.
        """
        key, stored = session_key(session.id), stored_of(session)
        if not (isinstance(stored, _Stored) and stored.seen.version == session.version):
            stored = None
        detects = self._transfer.policy == "detect"
        begins = stored is not None and _begins(stored, session)
        if append and not begins:
            self._compare(
                key, HeadFile(self._transfer, key, documents=True).read(), session.version
            )
            raise ValueError(NOT_THE_BEGINNING)
        parts = _parts_of(session, len(stored.messages) if stored and begins else 0)

        def follow(there: Seen | None, change: str) -> bytes | None:
            if detects:
                self._compare(key, there, session.version)
            if there is None:
                return self.whole(session)
            if not begins or there.version != session.version:
                # The stored older messages may be gone.
                return self._rewritten(key, there, _parts_of(session), change)
            line = _change(there, parts, change)
            return None if line is None else self._writer(key).followed(there, line)

        known = stored.said if stored and begins else ()
        # Under last-writer-wins, first read what is to be replaced.
        seen = stored.seen if stored and detects else None
        return self._swap(session, key, seen, follow, known)

    def recall(self, session: Session, key: str, blob: Blob) -> None:
        """Attach to a session that was serialized what is stored of it, if it begins with that."""
        there = self.read(key, blob)
        if there is not None and there.version == session.version and begins_with(session, there):
            stored = stored_of(there)
            assert isinstance(stored, _Stored)  # noqa: S101 - it was read from a journal
            messages = session.messages[: len(stored.messages)]
            remember_stored(session, replace(stored, messages=messages))

    def whole(self, session: Session) -> bytes:
        """Return the head of a session as its own journal, after writing what the head refers to.

        Raises:
            InvalidDocumentError: It holds something that cannot be stored.
        """
        key = session_key(session.id)
        make = partial(self._written, key, _parts_of(session))
        data, begun = in_time(make, None)
        assert data is not None  # noqa: S101 - there is always something to write
        refuse_late(begun, None, data, key=key, store=self._store)
        return data

    def describe(self, key: str, data: bytes) -> Record:
        """Return the record to keep beside a head that `whole` returned."""
        seen = decode_seen(key, data, Version(""))
        return encode_record(record_of_head(key, seen.version, seen.lines, seen.contents))

    def remember(self, session: Session, data: bytes, version: Version) -> None:
        """Attach to a session what was written of it."""
        self._remember(session, decode_seen(session_key(session.id), data, version))

    def add(
        self,
        key: str,
        session_id: str,
        blob: Blob | None,
        said: Sequence[UserMessage | AgentResponse],
        user_id: str | None,
        guard: str | None,
    ) -> tuple[SessionSummary, Version | None]:
        """Append messages to the session whose head was read, or create one with them.

        Args:
            key: The session's key.
            session_id: The session's id.
            blob: The head; None if there was none.
            said: The messages.
            user_id: The user who must own it; without one, the session must exist.
            guard: Idempotency key: what was done under a key is not done again.

        Returns:
            The updated session's summary, as a listing shows it, and the version; None if nothing
            was written.

        Raises:
            ConflictError: Someone else saved or deleted it.
            NotFoundError: There is no such session, and no user to create it for.
            OwnershipError: It belongs to another user.
            CorruptDataError: It is damaged.
        """
        file = HeadFile(self._transfer, key, documents=True)
        file.seen = base = None if blob is None else self._decode(key, blob, user_id)
        before = None if base is None else self._summary(key, base)
        if base is None and user_id is None:
            raise no_such_session(session_id, self._store, ADD_TURN_CREATES_IT)
        turns, at = tuple(turns_of(said)), format_timestamp(utc_now())
        check_sizes(turns)
        keys = () if guard is None else (hashed_key(guard),)
        if base is not None and before is not None and {*keys} & {*base.contents.keys}:
            return before, None

        def follow(seen: Seen | None, change: str) -> bytes:
            self._compare(key, seen, None if base is None else base.version)
            n = seen.contents.n + 1 if seen else 1
            line = Change(n=n, id=change, at=at, items=turns, keys=keys)
            if seen is not None:
                return self._writer(key).followed(seen, line)
            about = {"id": session_id, "user_id": user_id, "created_at": at, "updated_at": at}
            return self._writer(key).anew(Header(uid=new_uid(), n=0, about=about), (line,))

        seen = file.swap(follow, _AT_ONCE, lambda *_: None)
        assert seen is not None  # noqa: S101 - it was written
        return self._summary(key, seen), seen.version

    def _summary(self, key: str, seen: Seen) -> SessionSummary:
        try:
            record = record_of_head(key, seen.version, seen.lines, seen.contents)
        except CorruptDataError as error:
            raise CorruptDataError(error.message, key=key, store=self._store, landed="no") from None
        return cast("SessionSummary", record.summary())

    def _swap(
        self,
        session: Session,
        key: str,
        seen: Seen | None,
        follow: Callable[[Seen | None, str], bytes | None],
        known: Sequence[tuple[dict[str, Any], str]],
    ) -> Version:
        file = HeadFile(self._transfer, key, documents=True)
        file.seen = seen
        written = file.swap(follow, _AT_ONCE, lambda *_: None)
        assert written is not None  # noqa: S101 - only an existing head can be left unchanged
        self._remember(session, written, known)
        return written.version

    def _compare(self, key: str, seen: Seen | None, version: Version | None) -> Any:  # noqa: ANN401
        if (seen and seen.version) != version:
            what = (
                "exists already" if version is None else "was saved or deleted since it was loaded"
            )
            raise ConflictError(
                f"the session {what}; load it again, or use update()",
                key=key,
                store=self._store,
                landed="no",
            )
        return seen

    def _written(self, key: str, parts: Parts) -> bytes:
        return self._anew(key, None, Header(uid=new_uid(), n=0, about=parts.about), parts)

    def _rewritten(self, key: str, seen: Seen, parts: Parts, change: str) -> bytes:
        contents = fold(seen.lines.header, seen.lines.changes)
        header = replace(
            seen.lines.header,
            n=contents.n,
            about=parts.about,
            metadata={},
            segments=(),
            before={},
            keys=tuple(contents.keys[-MAX_KEYS:]),
            ids=tuple([*contents.ids.items()][-MAX_IDS:]),
        )
        return self._anew(key, seen, header, parts, change)

    def _anew(
        self, key: str, seen: Seen | None, header: Header, parts: Parts, change: str | None = None
    ) -> bytes:
        writer = self._writer(key)
        writer.check_metadata(seen, parts.metadata)
        line = Change(
            n=header.n + 1,
            id=change or secrets.token_hex(12),
            at=parts.about["updated_at"],
            items=tuple(parts.turns),
            set=parts.metadata,
        )
        return writer.anew(header, (line,))

    def _writer(self, key: str) -> HeadWriter:
        return HeadWriter(self._transfer, key, ())

    def _remember(
        self, session: Session, seen: Seen, known: Sequence[tuple[dict[str, Any], str]] = ()
    ) -> None:
        """Attach to a session what is stored of it.

        Args:
            session: The session.
            seen: Its head.
            known: The contents of its first messages.
        """
        messages = session.messages
        said = [*known, *map(_said, messages[len(known) :])]
        remember_version(session, seen.version)
        remember_stored(session, _Stored(seen, messages, said))


def _parts_of(session: Session, start: int = 0) -> Parts:
    parts = parts_of(session, start)
    check_sizes(parts.turns)
    return parts


def _change(seen: Seen, parts: Parts, change: str) -> Change | None:
    """Return the line that records what was changed and added; None if nothing was."""
    stored, metadata = seen.contents.about, seen.contents.metadata
    about = {
        name: value
        for name, value in parts.about.items()
        if name != "updated_at" and not (name in stored and _is_equal(stored[name], value))
    } | {name: None for name in stored if name not in parts.about}
    at = parts.about["updated_at"]
    line = Change(
        n=seen.contents.n + 1,
        id=change,
        at=at if at != stored.get("updated_at") else None,
        items=tuple(parts.turns),
        unset=tuple([name for name in metadata if name not in parts.metadata]),
        set={
            name: value
            for name, value in parts.metadata.items()
            if not (name in metadata and _is_equal(metadata[name], value))
        },
        about=about,
    )
    is_empty = not (line.at or line.items or line.unset or line.set or line.about)
    return None if is_empty else line


def _is_equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - plain values
    return one == other and encoded(one) == encoded(other)  # Python equates 1, True and 1.0


def no_such_session(session_id: str, store: object, advice: str = "") -> NotFoundError:
    """Return the error for a session that does not exist.

    Its key may be an encoded form of the id, so the message has the id itself.
    """
    message = f"no such session: {session_id!r}{advice}"
    return NotFoundError(message, key=session_key(session_id), store=store)
