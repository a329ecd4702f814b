"""Find pictures in a conversation, and tell their type by their bytes."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from statekeep.errors import InvalidKeyError
from statekeep.store.keys import blob_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BEGINNING", "LARGEST", "Place", "in_url", "picture_type", "place_of"]

LARGEST: Final = 20 * 2**20
"""The most bytes of a picture that is shown."""

BEGINNING: Final = 64
"""How many characters of a ``data:`` URL's content are enough to tell its type."""

_SIGNATURES: Final[Mapping[bytes, str]] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")

_header = re.compile(r"data:[^,]{0,200},", re.IGNORECASE)
_is_ref = re.compile(r"[0-9a-f]{32}(?:\.[a-z0-9]{1,10})?").fullmatch
# The library takes a source that is neither a URL nor a key for the bytes themselves.
_named = re.compile(r"data:[^,]{0,200};base64,(?P<ref>[0-9a-f]{32}(?:\.[a-z0-9]{1,10})?)").fullmatch


class Place(NamedTuple):
    """Where in the store a picture is.

    Attributes:
        kind: Whether it is a blob or an attachment of the journal.
        name: The blob's key, or the attachment's ref.
    """

    kind: Literal["blob", "attachment"]
    name: str

    @property
    def may_be_shown(self) -> bool:
        """Whether its name suggests a picture that can be shown; its bytes decide."""
        return self.name.lower().endswith(_ENDINGS)


def picture_type(data: bytes) -> str | None:
    """The media type of a picture that may be shown, by its first bytes; None for anything else.

    Example:
        >>> picture_type(b"GIF89a..."), picture_type(b"<svg onload=...")
        ('image/gif', None)
    """
    for signature, media_type in _SIGNATURES.items():
        if data.startswith(signature):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def place_of(source: str) -> Place | None:
    """Where in the store the source of a picture is; None if it is not in the store."""
    if named := _named(source[:400]):
        source = named["ref"]
    if _is_ref(source):
        return Place("attachment", source)
    if source.startswith("blobs/"):
        try:
            return Place("blob", source) if blob_name(source) else None
        except InvalidKeyError:
            return None
    return None


def in_url(source: str, most: int | None = None) -> bytes | None:
    """Decode the bytes in a ``data:`` URL; None if it is not one or cannot be decoded.

    Args:
        source: The URL.
        most: How many characters of its content to decode; by default all.
    """
    header = _header.match(source)
    if header is None:
        return None
    content = source[header.end() : None if most is None else header.end() + most]
    if not header[0].lower().endswith(";base64,"):
        return unquote_to_bytes(content.encode(errors="replace"))
    try:
        kept = re.sub("[^A-Za-z0-9+/]", "", content.replace("-", "+").replace("_", "/"))
        return b64decode(kept[: len(kept) // 4 * 4] + _padded(kept[len(kept) // 4 * 4 :]))
    except ValueError:
        return None


def _padded(rest: str) -> str:
    return rest.ljust(4, "=") if len(rest) > 1 else ""
