"""What lies where in a store, read without the library."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from statekeep.format.summary import PIN
from statekeep.store.keys import QUARANTINE, SESSIONS, TRASH

__all__ = [
    "NOTE",
    "State",
    "holds_facts",
    "is_copy",
    "is_copy_of",
    "is_session",
    "read_state",
]

NOTE = "notes/log.json"
"""The one document that is no session: a list of texts."""


class State(NamedTuple):
    """What a document says.

    Attributes:
        facts: What must not be lost: each message, and for a session that it was created.
        updated_at: When a session says that it was updated; None for what is no session.
        pinned: Whether a session is pinned for ever.
    """

    facts: frozenset[str]
    updated_at: datetime | None
    pinned: bool


@lru_cache(maxsize=4096)
def read_state(data: bytes) -> State:
    """Read a document without the library. What cannot be read is a fact as it is."""
    try:
        fields = json.loads(data)
    except ValueError:
        return State(frozenset({data.decode()}), None, pinned=False)
    if isinstance(fields, list):
        return State(frozenset(fields), None, pinned=False)
    return State(
        frozenset(
            {
                f"{fields['id']} created at {fields['created_at']}",
                *(message["content"] for message in fields["user_messages"]),
            }
        ),
        datetime.fromisoformat(fields["updated_at"]),
        pinned=fields["metadata"].get(PIN) is True,
    )


def is_session(key: str) -> bool:
    """Whether a live session lies there."""
    return key.startswith(f"{SESSIONS}/")


def is_copy(key: str) -> bool:
    """Whether a copy lies there, in the trash or in quarantine."""
    return key.startswith((f"{TRASH}/", f"{QUARANTINE}/"))


def is_copy_of(copy: str, key: str) -> bool:
    """Whether a copy of what lies, or lay, at a key lies at another, by its name."""
    return is_copy(copy) and copy.endswith((f"-{key.partition('/')[2]}", f"/{key}"))


def holds_facts(key: str) -> bool:
    """Whether what lies there must not be lost."""
    return is_session(key) or is_copy(key) or key == NOTE
