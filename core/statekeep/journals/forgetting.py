"""Deletes at once what was removed from a journal, if its bytes must not wait for the sweep.

A segment that is listed before a head is written, and that this head does not refer to, was put
there by someone who had read an older head. Nothing will ever refer to it, so it can go at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.errors import CorruptDataError, UnsupportedError
from statekeep.format.journal import decode_head
from statekeep.retention.copies import list_copies
from statekeep.store.keys import segment_key, segment_prefix
from statekeep.store.powers import delete_many, get_many
from statekeep.store.protocol import Blob

if TYPE_CHECKING:
    from collections.abc import Collection

    from statekeep.journals.committing import Seen
    from statekeep.store.protocol import StateStore

__all__ = ["delete_unnamed", "segments_of"]


def segments_of(store: StateStore, uid: str) -> frozenset[str]:
    """Return the keys of all segments of a journal, whether or not anything refers to them."""
    return frozenset(entry.key for entry in store.scan(segment_prefix(uid)))


def delete_unnamed(store: StateStore, key: str, seen: Seen, listed: Collection[str]) -> None:
    """Delete segments that a head no longer refers to, and the journal's copies in the trash.

    Args:
        store: The store to delete from.
        key: The head's key.
        seen: The head, which has certainly been written.
        listed: What `segments_of` returned before.
    """
    named = {segment_key(seen.uid, each.name) for each in seen.lines.header.segments}
    copies = [copy.key for copy in list_copies(store) if copy.source == key]
    ours = [
        each
        for each, blob in get_many(store, copies)
        if isinstance(blob, Blob) and _uid_of(blob.data) == seen.uid
    ]
    delete_many(store, [*(each for each in listed if each not in named), *ours])


def _uid_of(data: bytes) -> str | None:
    header, _, _ = data.partition(b"\n")
    try:
        return decode_head(header + b"\n").header.uid
    except (CorruptDataError, UnsupportedError):
        return None  # unreadable copies are left to the doctor
