"""How a session lies in a store: whole, as one document at a key of its own.

`Sessions` says what is to happen; only what is here knows in which form it is stored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    OwnershipError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.format.json import repair_json
from statekeep.format.record import decode_session
from statekeep.format.session import Session, remember_version
from statekeep.format.version import refuse_newer
from statekeep.retention.trash import move_to_trash
from statekeep.store.keys import session_key
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from statekeep.errors import Landed
    from statekeep.format.json import RepairText
    from statekeep.store.protocol import Blob, Version
    from statekeep.store.transfer import Transfer

__all__ = ["SessionRepository"]


class SessionRepository:
    """Reads, writes and deletes single sessions. Internal: errors name key and store.

    Args:
        transfer: Writes and deletes on conditions.
    """

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._store = transfer.store

    def load(self, session_id: str, user_id: str | None, repair_text: RepairText) -> Session | None:
        """Read a session; see `Sessions.load`."""
        key = session_key(session_id)
        blob = self._store.get(key)
        if blob is None:
            return None
        if repair_text == "replace":
            blob = replace(blob, data=repair_json(blob.data))
        return self._decode(key, blob, user_id)

    def save(self, session: Session, *, overwrite: bool) -> tuple[Version, bool]:
        """Store a session; see `Sessions.save`.

        Returns:
            Its version, and whether it was created.
        """
        key = session_key(session.id)
        try:
            data = session.to_json()
        except InvalidDocumentError as error:
            raise InvalidDocumentError(
                error.message, key=key, store=self._store, landed="no"
            ) from None
        if overwrite:
            created = not self._is_there_for(session.id)
            version = self._store.put(key, data)
            remember_version(session, version)
            return version, created
        seen = session.version
        try:
            if seen is None:
                version = self._transfer.put_new(key, data)
            else:
                if self._transfer.policy != "detect":
                    self._refuse_newer(key, landed="no")
                version = self._transfer.put_seen(key, data, seen)
        except ConflictError as error:
            self._refuse_newer(key, landed=error.landed)
            what = "exists already" if seen is None else "was saved or deleted since it was loaded"
            raise ConflictError(
                f"the session {what}; load it again, or let update() do so",
                key=key,
                store=self._store,
                landed=error.landed,
            ) from error
        remember_version(session, version)
        return version, seen is None

    def delete(self, session_id: str, user_id: str | None, *, trash: bool) -> bool:
        """Delete a session; see `Sessions.delete`.

        Raises:
            ConflictError: It was saved or deleted meanwhile.
        """
        key = session_key(session_id)
        blob = self._store.get(key)
        if blob is None:
            return False
        self._decode(key, blob, user_id)
        if trash:
            move_to_trash(self._transfer, key, blob, now=utc_now())
        else:
            self._transfer.delete_seen(key, blob.version)
        return True

    def _decode(self, key: str, blob: Blob, user_id: str | None) -> Session:
        try:
            session = decode_session(key, blob)
        except (CorruptDataError, UnsupportedError) as error:
            raise type(error)(
                f"{error.message}; it was left as it is", key=key, store=self._store
            ) from None
        if user_id is not None and session.user_id != user_id:
            raise OwnershipError(
                f"the session does not belong to {user_id!r}", key=key, store=self._store
            )
        return session

    def _refuse_newer(self, key: str, *, landed: Landed | None) -> None:
        """Look at what lies where a write is to go, or did not.

        Args:
            key: Where.
            landed: What is known of the write.
        """
        try:
            if blob := self._store.get(key):
                refuse_newer(blob.data, key=key, store=self._store)
        except StateStoreError as error:
            error.landed = landed
            raise

    def _is_there_for(self, session_id: str) -> bool:
        """Whether something lies at the key of a session that may be overwritten.

        Raises:
            CorruptDataError: It is another session, on a volume that takes two ids for one.
            UnsupportedError: A newer version of statekeep wrote it.
        """
        key = session_key(session_id)
        try:
            blob = self._store.get(key)
            if blob is None:
                return False
            refuse_newer(blob.data, key=key, store=self._store)
            inner = Session.from_json(blob.data).id
        except CorruptDataError:
            return True  # garbage: replacing it is what overwriting is for
        if inner != session_id:
            raise CorruptDataError(
                f"it holds the session {inner[:80]!r}, which is not overwritten",
                key=key,
                store=self._store,
                landed="no",
            )
        return True
