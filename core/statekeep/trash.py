"""The trash: where sessions wait that were pruned or deleted, for as long as was asked.

A copy is stored before the session is deleted, and the session is stored before its copy is, so
whoever dies in between leaves it in one place or in both, never in none.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from statekeep.errors import ConflictError, CorruptDataError, InvalidKeyError, NotFoundError
from statekeep.keys import TRASH, session_key, session_stem
from statekeep.listing import decode_session
from statekeep.models import Session
from statekeep.protocol import ABSENT, ANY, Blob, delete_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.protocol import StateStore, Version

__all__ = [
    "Trashed",
    "check_trashed",
    "discard",
    "empty_trash",
    "list_trash",
    "restore",
    "trash_key",
]

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


def trash_key(key: str, version: Version, now: datetime) -> str:
    """Where the copy of a session is put.

    Args:
        key: The session's key.
        version: What is copied.
        now: When.
    """
    mark = hashlib.sha256(version.encode()).hexdigest()[:16]
    stem = _shortened(key.rpartition("/")[2].removesuffix(".json"))
    return f"{TRASH}/{now.strftime(_TIME)}-{mark}-{stem}.json"


def discard(
    store: StateStore,
    key: str,
    blob: Blob,
    delete: Callable[[str, Version], object],
    *,
    now: datetime,
) -> None:
    """Put a copy of a session into the trash, then delete the session.

    Args:
        store: Where both lie.
        key: The session's key.
        blob: What it is.
        delete: Deletes it if it is still of that version.
        now: The present.

    Raises:
        ConflictError: It has changed; the copy is removed again.
    """
    copy = trash_key(key, blob.version, now)
    conditional = store.capabilities.conditional_put
    copied = store.put(copy, blob.data, expect=ABSENT if conditional else ANY)
    try:
        delete(key, blob.version)
    except ConflictError:
        store.delete(copy, expect=copied if store.capabilities.conditional_delete else ANY)
        raise


def list_trash(store: StateStore) -> list[Trashed]:
    """What is in the trash, the newest first; reads names only."""
    found = []
    for entry in store.scan(TRASH):
        if match := _NAME.fullmatch(entry.key):
            moment = entry.modified or datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
            found.append(Trashed(entry.key, match["stem"], moment, entry.size))
    found.sort(key=lambda each: (each.trashed_at, each.key), reverse=True)
    return found


def restore(store: StateStore, session_id: str) -> Session:
    """Put the newest copy of a session back, if there is no session of that id.

    Raises:
        NotFoundError: There is no copy.
        ConflictError: There is such a session; nothing was changed.
        CorruptDataError: The copy is not this session; it stays where it is.
    """
    key = session_key(session_id)
    stem = _shortened(session_stem(session_id))
    for trashed in list_trash(store):
        if trashed.stem == stem and (blob := store.get(trashed.key)) is not None:
            break
    else:
        raise NotFoundError("no such session in the trash", key=key, store=store)
    session = decode_session(key, blob)
    conditional = store.capabilities.conditional_put
    try:
        version = store.put(key, blob.data, expect=ABSENT if conditional else ANY)
    except ConflictError as error:
        raise ConflictError(
            "there is a session of this id; delete it first, or leave the copy in the trash",
            key=key,
            store=store,
        ) from error
    store.delete(trashed.key)
    session.expect_version(version)
    return session


def check_trashed(key: str, data: bytes) -> None:
    """Refuse what cannot be restored.

    Raises:
        CorruptDataError: It is no session, or not the one that its name says.
    """
    session = Session.from_json(data)
    match = _NAME.fullmatch(key)
    try:
        sound = match is not None and match["stem"] == _shortened(session_stem(session.id))
    except InvalidKeyError:
        sound = False
    if not sound:
        raise CorruptDataError(f"it is not named as a copy of {session.id[:80]!r}")


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
