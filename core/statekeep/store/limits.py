"""The maximum size of documents, so that each fits into memory."""

from __future__ import annotations

from typing import Final

from statekeep._arguments import refuse_type
from statekeep.errors import ConfigError, InvalidDocumentError
from statekeep.store.keys import CACHE

__all__ = ["MAX_DOCUMENT_BYTES", "check_limit", "limit_of", "refuse_too_large", "too_large"]

MAX_DOCUMENT_BYTES: Final = 256 * 2**20
"""The default of a backend's option ``max_document_bytes``."""


_MAX_CACHED: Final = 8 * 2**30
"""The size of an index of about twenty million sessions."""


def check_limit(max_document_bytes: object) -> None:
    """Refuse a limit that is not a positive integer.

    Raises:
        TypeError: It is not an integer.
        ConfigError: It is not positive.
    """
    if isinstance(max_document_bytes, bool) or not isinstance(max_document_bytes, int):
        refuse_type("max_document_bytes", "an integer", max_document_bytes)
    if max_document_bytes <= 0:
        raise ConfigError(f"max_document_bytes must be a positive number, not {max_document_bytes}")


def limit_of(key: str, most: int) -> int:
    """Return the maximum size of one document, in bytes.

    Args:
        key: The document's key.
        most: The ``max_document_bytes`` option. What statekeep can rebuild may be larger: an index
            grows with the number of sessions, not with their size.
    """
    return max(most, _MAX_CACHED) if key.startswith(f"{CACHE}/") else most


def too_large(size: int | None, most: int) -> str:
    """Return the message for a document that is too large.

    Args:
        size: Its size in bytes; None if unknown.
        most: The maximum size in bytes.

    >>> too_large(300, 256)
    'it has 300 bytes, more than max_document_bytes (256)'
    """
    has = "more bytes than" if size is None else f"{size} bytes, more than"
    return f"it has {has} max_document_bytes ({most})"


def refuse_too_large(data: bytes, most: int, *, key: str, store: object) -> None:
    """Refuse to write a document that could not be read again.

    Raises:
        InvalidDocumentError: It is too large; nothing was written.
    """
    if len(data) > most:
        raise InvalidDocumentError(too_large(len(data), most), key=key, store=store, landed="no")
