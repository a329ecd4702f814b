"""Which documents to copy, in which order, and which parts a head needs."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from statekeep.errors import (
    AccessDeniedError,
    CorruptDataError,
    InvalidKeyError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.format.journal import decode_head
from statekeep.format.version import has_format, is_head
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.journals import journal_heads
from statekeep.store.keys import (
    ATTACHMENTS,
    JOURNALS,
    QUARANTINE,
    RESERVED,
    SESSIONS,
    TRASH,
    check_prefix,
    is_below,
    is_journal_key,
    is_session_key,
    segment_key,
)
from statekeep.store.powers import get_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from statekeep.format.journal import SegmentName
    from statekeep.heads.collection import Collection
    from statekeep.store.protocol import Blob, Entry, StateStore

__all__ = [
    "INCLUDED",
    "Named",
    "attachments_of",
    "batches",
    "check_scope",
    "collection_at",
    "entries",
    "named_by",
    "read_all",
]

INCLUDED: Final = {"trash": TRASH, "quarantine": QUARANTINE}
"""The places that are copied only on request."""

_HEADS: Final = (JOURNALS, SESSIONS)
_MOST: Final = 64
_BYTES: Final = 8 * 2**20
"""The most documents and bytes in memory at a time; a larger document is read alone."""


class Named(NamedTuple):
    """The parts that the head of a journal names.

    Attributes:
        uid: The uid of the journal.
        segments: Its segments.
        attached: Whether it has attachments.
    """

    uid: str
    segments: tuple[SegmentName, ...]
    attached: bool

    def keys(self) -> dict[str, SegmentName]:
        """The segments by their keys."""
        return {segment_key(self.uid, segment.name): segment for segment in self.segments}


def check_scope(prefix: str, include: Iterable[str]) -> None:
    """Check the arguments that select what to copy.

    Raises:
        InvalidKeyError: The prefix is not legal, or is in the part that statekeep reserves.
        ValueError: `include` names something other than the trash and quarantine.
    """
    check_prefix(prefix)
    if unknown := sorted({*include} - INCLUDED.keys()):
        raise ValueError(f"include takes {' and '.join(INCLUDED)}, not {unknown[0]!r}")
    if is_below(prefix, RESERVED):
        raise InvalidKeyError(
            f"{RESERVED!r} cannot be a prefix: segments and attachments are copied with their "
            "journals; for the trash and quarantine, use include=",
            key=prefix,
        )


def entries(
    store: StateStore, prefix: str, include: Iterable[str] = (), *, heads_first: bool = False
) -> Iterator[Entry]:
    """Scan what is to be copied: documents and blobs, then the heads, which may refer to them.

    Segments and attachments are not included: they are copied with the heads that name them.

    Args:
        store: The store.
        prefix: Only what is below it.
        include: Names from `INCLUDED`.
        heads_first: Reverse the order, for deleting.
    """
    places = [INCLUDED[each] for each in sorted(include)] if not prefix else []
    parts = [
        _others(store, prefix),
        *map(store.scan, places),
        *[store.scan(below) for place in _HEADS if (below := _within(prefix, place)) is not None],
    ]
    return chain.from_iterable(reversed(parts) if heads_first else parts)


def _others(store: StateStore, prefix: str) -> Iterator[Entry]:
    if prefix.split("/", maxsplit=1)[0] in _HEADS:
        return
    for entry in store.scan(prefix):
        first, below, _ = entry.key.partition("/")
        # A document at the root may have the same name as the folder of sessions.
        if not (below and first in _HEADS) and not is_below(first, RESERVED):
            yield entry


def _within(prefix: str, place: str) -> str | None:
    """The prefix of what is below both; None if nothing is."""
    if not prefix:
        return place
    return prefix if prefix == place or prefix.startswith(f"{place}/") else None


def batches(found: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Divide entries into batches that fit into memory."""
    batch: list[Entry] = []
    size = 0
    for entry in found:
        if batch and (len(batch) >= _MOST or size + entry.size > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


def read_all(store: StateStore, keys: Sequence[str]) -> dict[str, Blob | StateStoreError | None]:
    """Read documents; one that cannot be read has its error instead.

    Raises:
        UnavailableError, ClosedError: As `StateStore.get`.
    """
    try:
        return dict(get_many(store, keys))
    except InvalidKeyError:
        # A key that this store does not allow must not stop the others.
        return {key: _read(store, key) for key in keys}


def _read(store: StateStore, key: str) -> Blob | StateStoreError | None:
    try:
        return store.get(key)
    except (AccessDeniedError, CorruptDataError, InvalidKeyError) as error:
        return error


def collection_at(key: str) -> Collection | None:
    """The collection whose head is at this key; None if it is not the key of a head."""
    if is_session_key(key):
        return SESSION_HEADS
    if is_journal_key(key):
        try:
            return journal_heads(key.split("/")[1])
        except InvalidKeyError:
            return None
    return None


def named_by(key: str, data: bytes) -> Named | None:
    """The parts that a document names; None if it is not the head of a journal.

    Raises:
        CorruptDataError: It is damaged.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    collection = collection_at(key)
    is_copy = key.startswith((f"{TRASH}/", f"{QUARANTINE}/")) and is_head(data)
    if not is_copy and (
        collection is None or (collection is SESSION_HEADS and not has_format(data))
    ):
        return None
    try:
        header = decode_head(data).header
    except (CorruptDataError, UnsupportedError):
        if is_copy:  # perhaps that is why it is in quarantine
            return None
        raise
    return Named(header.uid, header.segments, header.attached)


def attachments_of(store: StateStore, uid: str) -> list[str]:
    """The keys of the attachments of a journal."""
    return sorted({entry.key for entry in store.scan(f"{ATTACHMENTS}/{uid}")})
