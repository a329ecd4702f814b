"""How large a document may be, so that nobody reads what fits into no memory."""

from __future__ import annotations

from typing import Final

from statekeep.errors import InvalidDocumentError

__all__ = ["MAX_DOCUMENT_BYTES", "refuse_too_large", "too_large"]

MAX_DOCUMENT_BYTES: Final = 256 * 2**20
"""What the option ``max_document_bytes`` of a backend is by default."""


def too_large(size: int, most: int) -> str:
    """Say that a document is too large.

    >>> too_large(300, 256)
    'it has 300 bytes, more than max_document_bytes (256)'
    """
    return f"it has {size} bytes, more than max_document_bytes ({most})"


def refuse_too_large(data: bytes, most: int, *, key: str, store: object) -> None:
    """Refuse to write what would not be read.

    Raises:
        InvalidDocumentError: It is too large; nothing was written.
    """
    if len(data) > most:
        raise InvalidDocumentError(too_large(len(data), most), key=key, store=store, landed="no")
