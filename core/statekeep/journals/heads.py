"""What is said of a journal besides its items, and what its metadata says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from statekeep.format.summary import expires_at
from statekeep.journals.items import copied

if TYPE_CHECKING:
    from datetime import datetime

    from statekeep.journals.committing import Seen
    from statekeep.store.protocol import Version

__all__ = ["Head", "Loaded", "head_of"]


@dataclass(frozen=True, slots=True)
class Head:
    """What is said of a journal besides its items.

    Attributes:
        name: Its name in the collection.
        uid: Made when it was created; another journal of the same name has another.
        user_id: The user it belongs to, if any.
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
    about = seen.about
    return Head(
        name=about.name,
        uid=seen.uid,
        user_id=about.user_id,
        created_at=about.created_at,
        updated_at=about.updated_at,
        expires_at=expires_at(seen.contents.metadata),
        metadata=copied(seen.contents.metadata),
        length=seen.length,
        size=seen.size,
        version=seen.version,
    )
