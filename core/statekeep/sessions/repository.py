"""How a session is laid out in a store: as a whole document or as a journal, at one key either way.

`Sessions` says what should happen; only this module and `sessions.turns` know in which form a
session is stored.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    NotFoundError,
    OwnershipError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.format.journal import decode_head
from statekeep.format.json import repair_json
from statekeep.format.record import decode_session, encode_record, record_of
from statekeep.format.session import (
    Session,
    add_message,
    remember_stored,
    remember_version,
    stored_of,
)
from statekeep.format.version import is_head, refuse_newer
from statekeep.retention.trash import move_to_trash
from statekeep.sessions.restoring import restore_session
from statekeep.sessions.turns import (
    ADD_TURN_CREATES_IT,
    NOT_THE_BEGINNING,
    SessionJournals,
    SessionPart,
    begins_with,
    no_such_session,
)
from statekeep.store.keys import session_key
from statekeep.store.protocol import Blob, Version
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from statekeep.errors import Landed
    from statekeep.format.json import RepairText
    from statekeep.format.session import AgentResponse, UserMessage
    from statekeep.format.summary import SessionSummary
    from statekeep.store.query import Record
    from statekeep.store.transfer import Transfer

__all__ = ["Added", "Form", "SessionRepository"]

Form = Literal["document", "journal"]
"""How a session is stored: whole, as the original stores it, or as a journal."""

_WHOLE: Final = "whole"
"""Marks a session that was read from a document, or written to one."""


class Added(NamedTuple):
    """The outcome of adding a turn.

    Attributes:
        summary: The updated session's summary, as a listing shows it.
        version: The new version; None if nothing was written.
    """

    summary: SessionSummary
    version: Version | None
    created: bool


class SessionRepository:
    """Reads, writes and deletes single sessions. Internal: errors name key and store.

    Args:
        transfer: Performs conditional writes and deletes.
        form: How new sessions are stored.
    """

    def __init__(self, transfer: Transfer, form: Form) -> None:
        self._transfer = transfer
        self._store = transfer.store
        self._form = form
        self._journals = SessionJournals(transfer)

    def load(self, session_id: str, user_id: str | None, repair_text: RepairText) -> Session | None:
        """Read a session; see `Sessions.load`."""
        key = session_key(session_id)
        blob = self._store.get(key)
        if blob is None:
            return None
        if is_head(blob.data):
            return self._journals.read(key, blob, user_id)
        if repair_text == "replace":
            blob = replace(blob, data=repair_json(blob.data))
        return self._decode(key, blob, user_id)

    def save(
        self, session: Session, *, overwrite: bool, append: bool = False
    ) -> tuple[Version, bool]:
        """Store a session; see `Sessions.save` and `Sessions.append`.

        Returns:
            The session's version, and whether it was created.
        """
        key = session_key(session.id)
        try:
            if overwrite:
                return self._overwrite(key, session)
            created = session.version is None
            return self._save(key, session, append=append), created
        except InvalidDocumentError as error:
            raise InvalidDocumentError(
                error.message, key=key, store=self._store, landed="no"
            ) from None

    def _overwrite(self, key: str, session: Session) -> tuple[Version, bool]:
        there = self._there_for(session.id)
        if self._form == "journal" if there is None else is_head(there):
            data = self._journals.whole(session)
            describe = partial(self._journals.describe, key, data)
            version = self._transfer.put_any(key, data, describe)
            self._journals.remember(session, data, version)
        else:
            data = session.to_json()
            version = self._transfer.put_any(key, data, partial(_describe, key, session, data))
            self._remember_whole(session, version)
        return version, there is None

    def _save(self, key: str, session: Session, *, append: bool) -> Version:
        seen = session.version
        try:
            if seen is None:
                if self._form == "journal":
                    return self._journals.create(session)
                data = session.to_json()
                version = self._transfer.put_new(key, data, partial(_describe, key, session, data))
            else:
                if (stored := stored_of(session)) is None:
                    # The session was pickled, say, and came back; only the store knows its form.
                    blob = self._store.get(key)
                    stored = _WHOLE if blob is None or not is_head(blob.data) else None
                    if blob is not None and append and stored is None:
                        self._journals.recall(session, key, blob)
                if stored is not _WHOLE:
                    return self._journals.save(session, append=append)
                if append:
                    self._refuse_changed(key, session)
                if self._transfer.policy != "detect":
                    there = self._refuse_newer(key, landed="no")
                    if there is not None and is_head(there.data):  # someone converted it
                        return self._journals.save(session, append=append)
                data = session.to_json()
                describe = partial(_describe, key, session, data)
                version = self._transfer.put_seen(key, data, seen, describe)
        except ConflictError as error:
            self._refuse_newer(key, landed=error.landed)
            what = "exists already" if seen is None else "was saved or deleted since it was loaded"
            raise ConflictError(
                f"the session {what}; load it again, or use update()",
                key=key,
                store=self._store,
                landed=error.landed,
            ) from error
        self._remember_whole(session, version)
        return version

    def _refuse_changed(self, key: str, session: Session) -> None:
        """Check that a session still begins with what is stored as a whole document.

        Raises:
            ValueError: An earlier message was changed.
        """
        blob = self._store.get(key)
        if blob is None or blob.version != session.version:
            return  # the write will find out
        if not begins_with(session, self._decode(key, blob, None)):
            raise ValueError(NOT_THE_BEGINNING)

    def _remember_whole(self, session: Session, version: Version) -> None:
        remember_version(session, version)
        remember_stored(session, _WHOLE)

    def part(
        self,
        session_id: str,
        user_id: str | None,
        wanted: slice,
        *,
        repair_text: RepairText = "refuse",
    ) -> SessionPart | None:
        """Read some messages of a session; from a journal, it reads no others.

        Raises:
            OwnershipError, CorruptDataError, UnsupportedError: As in `Sessions.load`.
        """
        key = session_key(session_id)
        blob = self._store.get(key)
        if blob is None:
            return None
        if is_head(blob.data):
            return self._journals.part(key, blob, user_id, wanted)
        if repair_text == "replace":
            blob = replace(blob, data=repair_json(blob.data))
        session = self._decode(key, blob, user_id)
        messages = session.messages
        start, _, _ = wanted.indices(len(messages))
        return SessionPart(session, messages[wanted], start, len(messages), blob.version)

    def add_turn(
        self,
        session_id: str,
        said: Sequence[UserMessage | AgentResponse],
        user_id: str | None,
        guard: str | None,
    ) -> Added:
        """Add messages to a session; see `Sessions.add_turn`.

        Raises:
            ConflictError: Someone else saved or deleted it.
        """
        key = session_key(session_id)
        blob = self._store.get(key)
        if self._form == "journal" if blob is None else is_head(blob.data):
            try:
                added = self._journals.add(key, session_id, blob, said, user_id, guard)
            except InvalidDocumentError as error:
                raise InvalidDocumentError(
                    error.message, key=key, store=self._store, landed="no"
                ) from None
            return Added(*added, blob is None)
        if guard is not None:
            first = "convert it to a journal" if blob else "open the sessions with form='journal'"
            raise UnsupportedError(
                f"a session that is stored whole remembers no keys; {first}, or add the turn "
                "without a key",
                key=key,
                store=self._store,
                landed="no",
            )
        if blob is not None:
            session = self._decode(key, blob, user_id)
        elif user_id is not None:
            session = Session.new(user_id, session_id)
        else:
            raise no_such_session(session_id, self._store, ADD_TURN_CREATES_IT)
        for message in said:
            add_message(session, message)
        version, created = self.save(session, overwrite=False)
        return Added(session.summary(size=len(session.to_json())), version, created)

    def convert(self, session_id: str, form: Form) -> Session | None:
        """Store a session in another form; see `Sessions.convert`.

        Returns:
            The session as stored; None if it already was in that form.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Someone else saved or deleted it.
        """
        key = session_key(session_id)
        blob = self._store.get(key)
        session = None
        if blob is not None:
            is_journal = is_head(blob.data)
            session = (
                self._journals.read(key, blob) if is_journal else self._decode(key, blob, None)
            )
        if blob is None or session is None:
            raise no_such_session(session_id, self._store)
        if is_journal == (form == "journal"):
            return None
        try:
            if is_journal:
                data = session.to_json()
                describe = partial(_describe, key, session, data)
            else:
                data = self._journals.whole(session)
                describe = partial(self._journals.describe, key, data)
        except InvalidDocumentError as error:
            raise InvalidDocumentError(
                error.message, key=key, store=self._store, landed="no"
            ) from None
        version = self._transfer.put_seen(key, data, blob.version, describe)
        remember_version(session, version)
        return session

    def delete(self, session_id: str, user_id: str | None, *, trash: bool) -> bool:
        """Delete a session; see `Sessions.delete`.

        Raises:
            ConflictError: Someone else saved or deleted it.
        """
        key = session_key(session_id)
        blob = self._store.get(key)
        if blob is None:
            return False
        if is_head(blob.data):
            self._journals.owner(key, blob, user_id)
        else:
            self._decode(key, blob, user_id)
        if trash:
            move_to_trash(self._transfer, key, blob, now=utc_now())
        else:
            self._transfer.delete_seen(key, blob.version)
        return True

    def restore(self, session_id: str, copy: str | None) -> Session:
        """Restore a session from the trash; see `Sessions.restore`."""
        inner, session, data, version = restore_session(self._transfer, session_id, copy)
        if session is not None:
            self._remember_whole(session, version)
            return session
        key = session_key(inner)
        restored = self._journals.read(key, Blob(data, version, None))
        if restored is None:
            raise NotFoundError(
                "it was restored, and immediately deleted again", key=key, store=self._store
            )
        return restored

    def _decode(self, key: str, blob: Blob, user_id: str | None) -> Session:
        try:
            session = decode_session(key, blob)
        except (CorruptDataError, UnsupportedError) as error:
            raise type(error)(
                f"{error.message}; it was left unchanged", key=key, store=self._store
            ) from None
        if user_id is not None and session.user_id != user_id:
            raise OwnershipError(
                f"the session does not belong to {user_id!r}", key=key, store=self._store
            )
        remember_stored(session, _WHOLE)
        return session

    def _refuse_newer(self, key: str, *, landed: Landed | None) -> Blob | None:
        """Read what is at a key that is about to be written, or could not be.

        Args:
            key: The key.
            landed: Whether the write landed, as far as is known.
        """
        try:
            if blob := self._store.get(key):
                refuse_newer(blob.data, key=key, store=self._store)
            return blob
        except StateStoreError as error:
            error.landed = landed
            raise

    def _there_for(self, session_id: str) -> bytes | None:
        """Return what is at a session's key if it may be overwritten; None if nothing is there.

        Raises:
            CorruptDataError: It is another session, on a volume that does not distinguish two ids.
            UnsupportedError: A newer version of statekeep wrote it.
        """
        key = session_key(session_id)
        try:
            blob = self._store.get(key)
            if blob is None:
                return None
            refuse_newer(blob.data, key=key, store=self._store)
            if is_head(blob.data):
                inner = str(decode_head(blob.data).header.about.get("id"))
            else:
                inner = Session.from_json(blob.data).id
        except CorruptDataError:
            return b""  # corrupt: replacing it is what overwriting is for
        if inner != session_id:
            raise CorruptDataError(
                f"it holds the session {inner[:80]!r}, which is not overwritten",
                key=key,
                store=self._store,
                landed="no",
            )
        return blob.data


def _describe(key: str, session: Session, data: bytes) -> Record:
    """Return the record to keep beside a session that is stored whole."""
    return encode_record(record_of(key, Version(""), session.summary(size=len(data))))
