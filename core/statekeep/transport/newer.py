"""Decide which of two documents is newer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.errors import CorruptDataError, UnsupportedError
from statekeep.transport.reading import collection_at

if TYPE_CHECKING:
    from statekeep.format.record import HeadRecord
    from statekeep.store.protocol import Blob

__all__ = ["protects", "record_at"]


def record_at(key: str, blob: Blob) -> HeadRecord | None:
    """The record of a session or journal; None for other documents and unreadable ones."""
    collection = collection_at(key)
    if collection is None:
        return None
    try:
        return collection.read(key, blob)
    except (CorruptDataError, UnsupportedError):
        return None


def protects(key: str, blob: Blob, found: Blob) -> str | None:
    """Why a document in the target is kept when overwriting; None if it is not."""
    ours, theirs = record_at(key, blob), record_at(key, found)
    if theirs is not None:
        if ours is None:
            return "the target's document can be read, and the source's cannot"
        if theirs.updated_at > ours.updated_at:
            return "the target's document was updated later"
        return None
    if blob.modified is None or found.modified is None:
        return None
    is_newer = ours is None and found.modified > blob.modified
    return "the target's document was written later" if is_newer else None
