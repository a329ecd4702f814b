"""The head of a journal as callers see it: everything except the items."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """Everything about a journal except its items.

    Attributes:
        name: The journal's name in the collection.
        uid: Random, set when the journal is created; a later journal of the same name has a
            different one.
        user_id: The user who owns it, if any.
        created_at: When it was created; time-zone aware, UTC.
        updated_at: When it was last changed; time-zone aware, UTC.
        expires_at: When it expires, if it does; time-zone aware, UTC.
        metadata: The caller's metadata; a copy.
        length: The number of items.
        size: The size of the head and the segments in bytes.
        version: The version of the head; pass it as `expect` when writing.
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
    """Items of a journal, and the head they belong to.

    Attributes:
        head: The journal's head.
        start: The position of the first of these items in the journal.
        items: The items.
        attachments: The files that were asked for, by their refs.
    """

    head: Head
    start: int
    items: list[Any]
    attachments: dict[str, bytes] = field(default_factory=dict)


def head_of(seen: Seen) -> Head:
    """Convert a head that was read into what callers see."""
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
