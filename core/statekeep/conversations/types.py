"""The entries of a conversation, and their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["Entry", "Part", "PartKind"]

PartKind = Literal["text", "thinking", "tool_call", "tool_result", "image", "data"]
"""What a part of an entry is; ``data`` is anything else, as JSON."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an entry.

    Attributes:
        kind: What it is.
        text: Text (in Markdown), the arguments of a tool call, its result, or data as JSON; empty
            for an image.
        name: The tool's name.
        call_id: The id that a tool call and its result share.
        media_type: The type of an image, such as ``image/png``, if known.
        source: The URL of an image, perhaps a ``data:`` URL, or its key in the store.
    """

    kind: PartKind
    text: str = ""
    name: str | None = None
    call_id: str | None = None
    media_type: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of a session, or an item of a journal.

    Attributes:
        index: Its place, from 0.
        role: Who speaks: ``user``, ``agent``, ``system``, ``tool``, or another role that the item
            names; None if it names none.
        timestamp: When it was said, if the item has a time; aware, UTC.
        parts: Its parts, in order.
        phase: The phase that an agent's response reached.
        raw: The message or item as stored.
    """

    index: int
    role: str | None
    timestamp: datetime | None
    parts: Sequence[Part]
    phase: str | None
    raw: Any
