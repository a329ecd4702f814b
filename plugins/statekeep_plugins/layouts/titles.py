"""The title of a conversation."""

from __future__ import annotations

from typing import Any, Final

from statekeep import repair_text

__all__ = ["text_of", "title_of"]

_TITLE: Final = 80


def title_of(text: str) -> str:
    """Make a conversation's title from what was said first: one short line."""
    words = " ".join(repair_text(text).split())
    return words if len(words) <= _TITLE else f"{words[: _TITLE - 1].rstrip()}…"


def text_of(content: Any) -> str:  # noqa: ANN401 - JSON is any value
    """Return the text of a message's content, which is text or a list of parts."""
    parts = content if isinstance(content, (list, tuple)) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return " ".join([text for text in texts if isinstance(text, str)])
