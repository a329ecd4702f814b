"""The format of a document. Formats newer than this version knows are refused by number."""

from __future__ import annotations

import re
from typing import Final

from statekeep.errors import UnsupportedError

__all__ = [
    "KNOWN_FORMAT",
    "has_format",
    "is_head",
    "newer_format",
    "refuse_head",
    "refuse_newer",
]

KNOWN_FORMAT: Final = 2
"""The newest format that this version reads and writes."""

_HEAD: Final = b'{"statekeep":2,'
"""The start of the head of a journal, and so of a session in format 2."""

_BEGINNING: Final = b'{"statekeep":'
# This many digits are enough, however many follow.
_is_marked = re.compile(rb'\{"statekeep":([0-9]{1,18})').match


def newer_format(data: bytes) -> int | None:
    """Return a document's format if a newer version of statekeep wrote it; otherwise None."""
    if data.startswith(_BEGINNING) and (match := _is_marked(data)):
        number = int(match[1])
        return number if number > KNOWN_FORMAT else None
    return None


def has_format(data: bytes) -> bool:
    """Return whether a document states its format, as all but the first format do."""
    return _is_marked(data) is not None


def is_head(data: bytes) -> bool:
    """Return whether this is the head of a journal, or what is left of one."""
    return data.startswith(_HEAD)


def refuse_newer(data: bytes, *, key: str | None = None, store: object = None) -> None:
    """Refuse to read, replace or delete what a newer version of statekeep wrote.

    Args:
        data: The stored document.
        key: Its key.
        store: Its store.

    Raises:
        UnsupportedError: It has a newer format; the message says which.
    """
    if number := newer_format(data):
        raise UnsupportedError(
            f"it is in format {number} and this version of statekeep knows {KNOWN_FORMAT}; "
            "upgrade statekeep",
            key=key,
            store=store,
        )


def refuse_head(data: bytes, *, key: str | None = None, store: object = None) -> None:
    """Refuse to read the head of a journal where a whole document is expected.

    Raises:
        UnsupportedError: It is a journal's head.
    """
    if is_head(data):
        raise UnsupportedError(
            "it is stored as a journal; read it with Sessions or Journals", key=key, store=store
        )
