"""What is said of a journal besides its items, and what its metadata says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from statekeep.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from statekeep.journals.committing import Seen
    from statekeep.store.protocol import Version

__all__ = ["EXPIRES", "Head", "Loaded", "head_of"]

EXPIRES: Final = "statekeep.expires"
"""The metadata key of the end that a journal carries: a time as text."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is said of a journal besides its items.

    Attributes:
        name: Its name in the collection.
        uid: Made when it was created; another journal of the same name has another.
        user_id: Whom it belongs to, if anybody.
        created_at: Aware, UTC.
        updated_at: Aware, UTC.
        expires_at: When its end is, if it carries one.
        metadata: The caller's.
        length: How many items it has.
        size: Bytes of head and segments.
        version: Of the head.
    """

    name: tuple[str, ...]
    uid: str
    user_id: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    metadata: dict[str, Any]
    length: int
    size: int
    version: Version


@dataclass(frozen=True, slots=True)
class Loaded:
    """Items of a journal, with the head that they belong to.

    Attributes:
        head: What is said of the journal.
        start: The position of the first of them.
        items: The items.
    """

    head: Head
    start: int
    items: list[Any]


def head_of(seen: Seen) -> Head:
    """What a head that was read says."""
    about = seen.contents.about
    return Head(
        name=tuple(about["name"]),
        uid=seen.uid,
        user_id=about.get("user_id"),
        created_at=parse_timestamp(about["created_at"]),
        updated_at=parse_timestamp(about["updated_at"]),
        expires_at=_expires_at(seen.contents.metadata),
        metadata=seen.contents.metadata,
        length=seen.length,
        size=len(seen.data) + sum(segment.size for segment in seen.lines.header.segments),
        version=seen.version,
    )


def _expires_at(metadata: Mapping[str, Any]) -> datetime | None:
    try:
        return parse_timestamp(metadata[EXPIRES])
    except (KeyError, TypeError, ValueError):
        return None  # one that cannot be read ends nothing
