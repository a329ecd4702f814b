"""The heads of journals, as listings see them. Internal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from statekeep.format.contents import about_at, fold
from statekeep.format.journal import decode_head
from statekeep.format.record import HeadRecord
from statekeep.format.summary import expires_at, pinned_until, title_of
from statekeep.heads.collection import Collection
from statekeep.heads.queries import heads_of
from statekeep.store.keys import CACHE, is_journal_key, journal_id, journal_prefix
from statekeep.timestamps import to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.format.contents import About, Contents
    from statekeep.format.journal import Lines
    from statekeep.heads.pages import Heads
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import Blob, StateStore, Version

__all__ = ["journal_heads", "journal_indexes", "record_of_journal"]


def journal_heads(collection: str) -> Collection:
    """Return the journals of a collection.

    Raises:
        InvalidKeyError: It is not a legal name of a collection.
    """
    prefix = journal_prefix(collection)
    index = f"{CACHE}/journals/{collection}-2.jsonl"
    return Collection(prefix, index, is_journal_key, _read_record)


def journal_indexes(store: StateStore, collections: Iterable[str], emitter: Emitter) -> list[Heads]:
    """Return the heads of several collections of journals."""
    return [heads_of(store, journal_heads(name), emitter) for name in sorted(collections)]


def _read_record(key: str, blob: Blob) -> HeadRecord:
    """Read what a listing needs of the journal whose head is at a key.

    Raises:
        CorruptDataError: It is damaged, or another journal's.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    lines = decode_head(blob.data)
    contents = fold(lines.header, lines.changes)
    about = about_at(key, contents)
    fingerprint = blob.fingerprint
    return record_of_journal(key, blob.version, lines, contents, about, fingerprint=fingerprint)


def record_of_journal(
    key: str,
    version: Version,
    lines: Lines,
    contents: Contents,
    about: About,
    *,
    fingerprint: str | None = None,
) -> HeadRecord:
    """Return what a listing needs of a journal whose head was read."""
    segments = lines.header.segments
    pin, end = pinned_until(contents.metadata), expires_at(contents.metadata)
    return HeadRecord(
        key,
        fingerprint,
        version,
        journal_id(key),
        about.user_id,
        sum(segment.items for segment in segments) + len(contents.tail),
        None,
        None,
        to_microseconds(about.created_at),
        to_microseconds(about.updated_at),
        lines.sound + sum(segment.size for segment in segments),
        None if pin is None else to_microseconds(pin),
        None if end is None else to_microseconds(end),
        title_of(contents.metadata),
        None,
        None,
        orjson.dumps(about.name).decode(),
    )
