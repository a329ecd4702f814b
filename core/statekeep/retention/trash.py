"""The trash: where sessions wait that were pruned or deleted, for as long as was asked.

A copy is stored before the session is deleted, and the session is stored before its copy is, so
whoever dies in between leaves it in one place or in both, never in none.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    NotFoundError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.format.session import Session
from statekeep.store.keys import TRASH, session_key, session_stem
from statekeep.store.powers import delete_many

if TYPE_CHECKING:
    from statekeep.store.protocol import Blob, StateStore
    from statekeep.store.transfer import Transfer

__all__ = [
    "Trashed",
    "empty_trash",
    "list_trash",
    "move_to_trash",
    "read_trashed",
    "restore",
    "trash_key",
]

_logger = logging.getLogger(__name__)

_TIME = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(
    re.escape(TRASH) + r"/(?P<time>[0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-[0-9a-f]{16}-(?P<stem>.+)\.json",
    re.DOTALL,
)
_LONGEST_STEM = 255 - len("20240131T120000.000000Z-0123456789abcdef-.json")


@dataclass(frozen=True, slots=True)
class Trashed:
    """A session in the trash.

    Attributes:
        key: Where the copy lies.
        stem: The name of the session's file; the id, where that is a harmless file name.
        trashed_at: When it was put there: the store's time, else that of whoever put it there.
        size: Bytes.
    """

    key: str
    stem: str
    trashed_at: datetime
    size: int


def trash_key(key: str, now: datetime) -> str:
    """Where a copy of a session is put: a key that belongs to one attempt alone.

    Args:
        key: The session's key.
        now: When.
    """
    stem = _shortened(key.rpartition("/")[2].removesuffix(".json"))
    return f"{TRASH}/{now.strftime(_TIME)}-{secrets.token_hex(8)}-{stem}.json"


def move_to_trash(transfer: Transfer, key: str, blob: Blob, *, now: datetime) -> None:
    """Move a session into the trash.

    Args:
        transfer: Moves it.
        key: The session's key.
        blob: What it is.
        now: The present.

    Raises:
        ConflictError: It has changed, or is gone.
    """
    transfer.move(key, blob, trash_key(key, now))


def list_trash(store: StateStore) -> list[Trashed]:
    """What is in the trash, the newest first; reads names only."""
    found = []
    for entry in store.scan(TRASH):
        if (match := _NAME.fullmatch(entry.key)) is None:
            continue
        with suppress(ValueError):  # no time, so none of ours
            named = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
            found.append(Trashed(entry.key, match["stem"], entry.modified or named, entry.size))
    found.sort(key=lambda each: (each.trashed_at, each.key), reverse=True)
    return found


def restore(transfer: Transfer, name: str) -> Session:
    """Put the newest copy of a session back, if there is no session of that id.

    Args:
        transfer: Puts it.
        name: Its id, or what `Trashed.stem` says.

    Raises:
        NotFoundError: There is no copy.
        ConflictError: There is such a session; nothing was changed.
        CorruptDataError: The copy is not this session; it stays where it is.
        UnsupportedError: A newer version of statekeep wrote it; it stays where it is.
    """
    store = transfer.store
    trashed, blob = _find(store, name)
    try:
        session = read_trashed(trashed.key, blob.data)
    except (CorruptDataError, UnsupportedError) as error:
        raise type(error)(
            f"{error.message}; it stays in the trash", key=trashed.key, store=store
        ) from None
    key = session_key(session.id)
    try:
        version = transfer.put_new(key, blob.data)
    except ConflictError as error:
        raise ConflictError(
            "there is a session of this id; delete it first, or leave the copy in the trash",
            key=key,
            store=store,
            landed=error.landed,
        ) from error
    try:
        store.delete(trashed.key)
    except StateStoreError as error:
        # It is restored; the copy goes with the trash.
        _logger.warning("the copy %s stays in the trash: %s", trashed.key, error)
    session.version = version
    return session


def _find(store: StateStore, name: str) -> tuple[Trashed, Blob]:
    trash = list_trash(store)
    for stem in dict.fromkeys([_shortened(session_stem(name)), name]):
        for trashed in trash:
            if trashed.stem == stem and (blob := store.get(trashed.key)) is not None:
                return trashed, blob
    raise NotFoundError("no such session in the trash", key=session_key(name), store=store)


def read_trashed(key: str, data: bytes) -> Session:
    """Read a copy in the trash.

    Raises:
        CorruptDataError: It is no session, or not the one that its name says.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    session = Session.from_json(data)
    match = _NAME.fullmatch(key)
    try:
        sound = match is not None and match["stem"] == _shortened(session_stem(session.id))
    except InvalidKeyError:
        sound = False
    if not sound:
        raise CorruptDataError(f"it is not named as a copy of {session.id[:80]!r}", key=key)
    return session


def empty_trash(
    store: StateStore, *, older_than: timedelta, now: datetime, in_use: bool = False
) -> int:
    """Delete for good what has been in the trash for so long; give how many.

    Args:
        store: Where it lies.
        older_than: How long.
        now: The present.
        in_use: Something was put there just now. Then the present is no later than the store's
            time of that, so that a fast clock here does not empty the trash too soon.
    """
    if older_than < timedelta(0):
        raise ValueError("older_than must not be negative")
    trash = list_trash(store)
    if in_use and trash:
        now = min(now, trash[0].trashed_at)
    old = [each.key for each in trash if now - each.trashed_at >= older_than]
    if old:
        delete_many(store, old)
    return len(old)


def _shortened(stem: str) -> str:
    if len(stem.encode()) <= _LONGEST_STEM:
        return stem
    digest = hashlib.sha256(stem.encode()).hexdigest()
    cut = stem.encode()[: _LONGEST_STEM - len(digest) - 1].decode(errors="ignore")
    return f"{cut}~{digest}"
