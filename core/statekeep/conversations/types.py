"""What a conversation consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["Entry", "Part", "PartKind"]

PartKind = Literal["text", "thinking", "tool_call", "tool_result", "image", "data"]
"""What a part of an entry is; ``data`` is whatever has no better name, as JSON."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an entry.

    Attributes:
        kind: What it is.
        text: Markdown of a text, the arguments of a tool call, its result, JSON of data; empty of
            an image.
        name: The tool's name.
        call_id: What ties the result of a tool to its call.
        media_type: Of an image, such as ``image/png``, if it is said.
        source: Where an image is: a URL, which may be one of ``data:``, or a key of the store.
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
        role: Who speaks: ``user``, ``agent``, ``system``, ``tool``, or what the item says; None if
            it does not say.
        timestamp: When, if it says; aware, UTC.
        parts: What it consists of.
        phase: The phase that an agent's response reached.
        raw: The message or item as JSON has it.
    """

    index: int
    role: str | None
    timestamp: datetime | None
    parts: Sequence[Part]
    phase: str | None
    raw: Any
