"""The trash: where sessions wait that were pruned or deleted, for as long as was asked.

A session is moved there by the rule of `Transfer.move` and put back before its copy is deleted,
so whoever dies in between leaves it in one place or in both, never in none.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    NotFoundError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.format.session import Session, remember_version
from statekeep.format.summary import RESTORED
from statekeep.retention.copies import Copy, copy_key, copy_of, digest_of, list_copies, stems_of
from statekeep.store.keys import session_key
from statekeep.store.powers import delete_many, get_many
from statekeep.store.protocol import Blob
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from statekeep.store.protocol import StateStore
    from statekeep.store.transfer import Transfer

__all__ = [
    "Trashed",
    "empty_trash",
    "list_trash",
    "move_to_trash",
    "read_trashed",
    "restore",
    "young_copies",
]

_logger = logging.getLogger(__name__)

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Trashed:
    """A session in the trash.

    Attributes:
        key: Where the copy lies; `Sessions.restore` takes it as `copy`.
        stem: The name of the session's file; the id, where that is a harmless file name.
        trashed_at: When it was put there: the store's time, else that of whoever put it there.
        size: Bytes.
        id: The session's id; None if the copy cannot be read, like the two below.
        user_id: The user it belongs to.
        updated_at: When it was last updated (UTC).
    """

    key: str
    stem: str
    trashed_at: datetime
    size: int
    id: str | None
    user_id: str | None
    updated_at: datetime | None


def young_copies(store: StateStore, now: datetime) -> frozenset[str]:
    """The digests of what came into the trash within a day; for `move_to_trash`."""
    return frozenset(
        copy.digest
        for copy in list_copies(store)
        if copy.digest is not None and now - copy.trashed_at < _DAY
    )


def move_to_trash(
    transfer: Transfer,
    key: str,
    blob: Blob,
    *,
    now: datetime,
    young: frozenset[str] = frozenset(),
) -> None:
    """Move a session into the trash.

    Args:
        transfer: Moves it.
        key: The session's key.
        blob: What it is.
        now: The present.
        young: What `young_copies` gave. While there is a young copy of the same bytes, an earlier
            attempt may still be under way, and another would add a copy each time.

    Raises:
        ConflictError: It has changed, or is gone.
        UnavailableError: The store did not answer, or there is a young copy of it.
    """
    if digest_of(blob.data) in young:
        raise UnavailableError(
            "a copy of it came into the trash less than a day ago; it is tried again after that",
            key=key,
            store=transfer.store,
            landed="unknown",
        )
    transfer.move(key, blob, copy_key(key, blob, now))


def list_trash(store: StateStore) -> list[Trashed]:
    """What is in the trash, the newest first; reads every copy."""
    copies = {copy.key: copy for copy in list_copies(store)}
    found: list[Trashed] = []
    for key, blob in get_many(store, copies):
        if blob is None:
            continue  # emptied since the scan
        copy, session = copies[key], None
        if isinstance(blob, Blob):
            try:
                session = read_trashed(key, blob.data)
            except (CorruptDataError, UnsupportedError) as error:
                _logger.debug("%r on %s: %s", key, store, error)
        found.append(_trashed(copy, session))
    found.sort(key=lambda each: (each.trashed_at, each.key), reverse=True)
    return found


def _trashed(copy: Copy, session: Session | None) -> Trashed:
    told = (None,) * 3 if session is None else (session.id, session.user_id, session.updated_at)
    return Trashed(copy.key, copy.stem, copy.trashed_at, copy.size, *told)


def restore(transfer: Transfer, name: str, chosen: str | None = None) -> Session:
    """Put the newest state of a session back, if there is no session of that id.

    Args:
        transfer: Puts it.
        name: Its id, or what `Trashed.stem` says.
        chosen: The key of the copy to take instead of that of the newest state.

    Raises:
        NotFoundError: There is no copy.
        ConflictError: There is such a session; nothing was changed.
        CorruptDataError: No copy is this session; they stay where they are.
        UnsupportedError: A newer version of statekeep wrote it; it stays where it is.
    """
    store = transfer.store
    key = session_key(name)
    # Looked at before the copies are listed: what is pruned in between is among them.
    _refuse_if_live(store, key)
    copies = [copy for copy in list_copies(store) if chosen in {None, copy.key}]
    wanted = stems_of(name)
    candidates = [copy for copy in copies if copy.stem in wanted]
    if not candidates:
        for copy in copies:
            if copy.stem == name and (blob := store.get(copy.key)):
                return restore(transfer, _read(store, copy, blob).id, chosen)
        raise NotFoundError("no such session in the trash", key=key, store=store)
    copy, session = _newest(store, key, candidates)
    try:
        version = transfer.put_new(key, _as_restored(session))
    except ConflictError as error:
        raise _live(store, key, error) from error
    remember_version(session, version)
    _remove_if_old(store, key, copy)
    return session


def _as_restored(session: Session) -> bytes:
    session.metadata[RESTORED] = secrets.token_hex(16)
    return session.to_json()


def _refuse_if_live(store: StateStore, key: str) -> None:
    if store.get(key) is not None:
        raise _live(store, key)


def _live(store: StateStore, key: str, error: ConflictError | None = None) -> ConflictError:
    return ConflictError(
        "there is a session of this id; delete it first, or leave the copy in the trash",
        key=key,
        store=store,
        landed="no" if error is None else error.landed,
    )


def _newest(store: StateStore, key: str, candidates: list[Copy]) -> tuple[Copy, Session]:
    """The newest state, whichever copy came into the trash last."""
    by_key = {copy.key: copy for copy in candidates}
    read: list[tuple[Copy, Session]] = []
    flaw: StateStoreError | None = None
    for place, blob in get_many(store, by_key):
        if blob is None:
            continue
        try:
            if not isinstance(blob, Blob):
                raise blob
            read.append((by_key[place], _read(store, by_key[place], blob)))
        except StateStoreError as error:
            flaw = error
    if read:
        return max(
            read,
            key=lambda each: (
                each[1].updated_at,
                each[0].modified or _NEVER,
                each[0].trashed_at,
                each[0].key,
            ),
        )
    raise flaw or NotFoundError("no such session in the trash", key=key, store=store)


def _read(store: StateStore, copy: Copy, blob: Blob) -> Session:
    try:
        return read_trashed(copy.key, blob.data)
    except (CorruptDataError, UnsupportedError) as error:
        raise type(error)(
            f"{error.message}; it stays in the trash", key=copy.key, store=store
        ) from None


def _remove_if_old(store: StateStore, key: str, copy: Copy) -> None:
    # A young copy may be all there is of a session whose delete is still on its way: it goes with
    # the trash. So does one that cannot be deleted now.
    try:
        live = store.get(key)
        if live is not None and (live.modified or utc_now()) - copy.trashed_at >= _HOUR:
            store.delete(copy.key)
    except StateStoreError as error:
        _logger.warning("the copy %r stays in the trash: %s", copy.key, error)


def read_trashed(key: str, data: bytes) -> Session:
    """Read a copy in the trash.

    Raises:
        CorruptDataError: It is no session, or not the one that its name says.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    session = Session.from_json(data)
    try:
        copy = copy_of(key, None, len(data))
        sound = copy is not None and copy.stem in stems_of(session.id)
    except (InvalidKeyError, ValueError):
        sound = False
    if not sound:
        raise CorruptDataError(f"it is not named as a copy of {session.id[:80]!r}", key=key)
    return session


def empty_trash(store: StateStore, *, older_than: timedelta, now: datetime) -> int:
    """Delete for good what has been in the trash for so long; give how many.

    Args:
        store: Where it lies.
        older_than: How long.
        now: The present, by the store's clock where it has one.
    """
    old = [copy.key for copy in list_copies(store) if now - copy.trashed_at >= older_than]
    if old:
        delete_many(store, old)
    return len(old)
