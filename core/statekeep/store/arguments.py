"""Converts the arguments of a store to plain types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from statekeep._arguments import refuse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["plain_bytes", "plain_keys", "plain_text"]


def plain_text(name: str, value: object) -> str:
    """Return text as a plain `str`.

    Args:
        name: The parameter's name.
        value: The argument.

    Raises:
        TypeError: It is not text.
    """
    if not isinstance(value, str):
        refuse_type(name, "text", value)
    # Subclasses can print as something else: some enums print as their names.
    return str.__str__(value)


def plain_bytes(name: str, value: object) -> bytes:
    """Return bytes that nobody else can change, copied if necessary.

    Args:
        name: The parameter's name.
        value: The argument.

    Raises:
        TypeError: It is not bytes.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        refuse_type(name, "bytes", value)
    return bytes(value)


def plain_keys(keys: object) -> Iterator[str]:
    """Return keys, each as a plain `str`.

    Raises:
        TypeError: It is a single key, or not an iterable of keys.
    """
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        refuse_type("keys", "several keys", keys)
    return (key if type(key) is str else plain_text("key", key) for key in keys)
