"""How the values of a thread are stored in its items."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from statekeep_plugins.layouts.titles import text_of, title_of

if TYPE_CHECKING:
    from statekeep.journals import Draft

__all__ = ["COLLECTION", "NONCE", "packed", "title_in"]

COLLECTION: Final = "langgraph"

NONCE: Final = 8
"""Bytes before a large value, so that attachments always differ: deleting one affects no other."""

_LARGE: Final = 8192
"""Size in bytes from which a value becomes an attachment, so that the head stays small."""

_BEGINNING: Final = 8
"""How many messages to search for the user's first one."""


def packed(draft: Draft, kind: str, data: bytes, version: Any, nonce: bytes) -> list[Any]:  # noqa: ANN401
    """Return a value as items hold it: its type, and its bytes or their attachment.

    Args:
        draft: A draft of the thread's journal.
        kind: The type that LangGraph's serializer gave it.
        data: The serialized value.
        version: The channel's version, so that an unchanged value is not attached again.
        nonce: `NONCE` random bytes.
    """
    if len(data) < _LARGE:
        return [kind, b64encode(data).decode()]
    return [kind, {"ref": draft.attach(nonce + data, ""), "version": version}]


def title_in(messages: Any) -> str:  # noqa: ANN401
    """Make a title from the user's first message, if this is a list of messages; else empty."""
    for message in messages[:_BEGINNING] if isinstance(messages, (list, tuple)) else ():
        said = message if isinstance(message, dict) else getattr(message, "__dict__", {})
        if {"human", "user"} & {str(said.get("type")), str(said.get("role"))}:
            return title_of(text_of(said.get("content")))
    return ""
