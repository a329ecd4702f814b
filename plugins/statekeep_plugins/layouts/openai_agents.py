"""A session of the OpenAI Agents SDK: a journal named after its id, with its items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from statekeep_plugins.layouts.titles import text_of, title_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BEGINNING", "COLLECTION", "title_in"]

COLLECTION: Final = "openai-agents"

BEGINNING: Final = 4
"""How many items to search for the user's first message."""


def title_in(items: Iterable[Any]) -> str:
    """Make a title from the user's first message, if it is among these items; else empty."""
    for item in items:
        if isinstance(item, dict) and item.get("role") == "user":
            content = item.get("content")
            said = content if isinstance(content, list) else [{"text": content}]
            return title_of(text_of([part for part in said if isinstance(part, dict)]))
    return ""
