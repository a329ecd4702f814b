"""How the values of a thread lie in its items."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from statekeep_plugins.layouts.titles import text_of, title_of

if TYPE_CHECKING:
    from statekeep.journals import Draft

__all__ = ["COLLECTION", "NONCE", "packed", "title_in"]

COLLECTION: Final = "langgraph"

NONCE: Final = 8
"""Bytes before a large value, so that no two attachments are the same: what a prune deletes is
nobody else's."""

_LARGE: Final = 8192
"""Bytes from which on a value is an attachment, so that the head stays small."""

_BEGINNING: Final = 8
"""Among so many messages the first of the user is looked for."""


def packed(draft: Draft, kind: str, data: bytes, version: Any, nonce: bytes) -> list[Any]:  # noqa: ANN401
    """A value as items hold it: its type, and its bytes or where they are attached.

    Args:
        draft: The thread's.
        kind: The type that LangGraph's serializer gave it.
        data: What the serializer made of it.
        version: Of the channel, that the same value need not be attached again.
        nonce: So many random bytes.
    """
    if len(data) < _LARGE:
        return [kind, b64encode(data).decode()]
    return [kind, {"ref": draft.attach(nonce + data, ""), "version": version}]


def title_in(messages: Any) -> str:  # noqa: ANN401
    """What the user said first, if a channel of messages has this value; else empty."""
    for message in messages[:_BEGINNING] if isinstance(messages, (list, tuple)) else ():
        said = message if isinstance(message, dict) else getattr(message, "__dict__", {})
        if {"human", "user"} & {str(said.get("type")), str(said.get("role"))}:
            return title_of(text_of(said.get("content")))
    return ""
