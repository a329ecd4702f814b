"""Conversations for people to read: sessions, and journals of any framework, in one shape."""

from __future__ import annotations

from statekeep.conversations.reading import Conversation, Excerpt
from statekeep.conversations.shapes import entry_of
from statekeep.conversations.types import Entry, Part, PartKind

__all__ = ["Conversation", "Entry", "Excerpt", "Part", "PartKind", "entry_of"]
