"""Arguments of a store, made plain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from statekeep._arguments import refuse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["plain_bytes", "plain_keys", "plain_text"]


def plain_text(name: str, value: object) -> str:
    """Text as a plain `str`.

    Args:
        name: The parameter.
        value: What came.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(value, str):
        refuse_type(name, "text", value)
    # Subclasses have other words for themselves: some enums their names.
    return str.__str__(value)


def plain_bytes(name: str, value: object) -> bytes:
    """Bytes that nobody else changes: a copy, if they could.

    Args:
        name: The parameter.
        value: What came.

    Raises:
        TypeError: They are none.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        refuse_type(name, "bytes", value)
    return bytes(value)


def plain_keys(keys: object) -> Iterator[str]:
    """Keys, each as a plain `str`.

    Raises:
        TypeError: It is one key, or nothing of the kind.
    """
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        refuse_type("keys", "several keys", keys)
    return (key if type(key) is str else plain_text("key", key) for key in keys)
