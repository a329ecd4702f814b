"""Items as they are stored."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from statekeep.errors import CorruptDataError, InvalidDocumentError
from statekeep.format.journal import MAX_KEYS, hashed_key
from statekeep.format.values import plain_value, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "check_sizes",
    "copied",
    "encoded",
    "hashed_keys",
    "plain_item",
    "read_object",
    "size_of",
    "storable",
]

T = TypeVar("T")

_MOST: Final = 16 * 2**20
"""Bytes of an item as JSON."""


def plain_item(value: object) -> Any:  # noqa: ANN401 - JSON is any value
    """An item as it is stored, which keeps nothing of the caller's.

    Raises:
        InvalidDocumentError: It cannot be stored.
    """
    data = encoded(plain_value(value))
    _refuse_large(len(data))
    return orjson.loads(data)  # a copy, for less than copying it


def storable(value: Any) -> Any:  # noqa: ANN401
    """A value as a journal holds it, in the way in which `json` writes it.

    What a journal does not hold goes in as JSON text: half a character, where a text was cut, an
    integer of more than 64 bits, what is no number, or what lies too deep.

    Raises:
        InvalidDocumentError: It is nothing that JSON holds, or has more than 16 MiB.
    """
    if isinstance(value, str):
        return _as_text(json.dumps(value))  # as a text of its own it would be read as JSON
    try:
        return plain_item(value)
    except InvalidDocumentError as error:
        refused = error
    try:
        text = json.dumps(value)
        read = json.loads(text)
    except (RecursionError, TypeError, ValueError):
        raise refused from None
    with suppress(InvalidDocumentError):
        return plain_item(read)  # tuples are lists now, and keys are texts
    return _as_text(text)


def _as_text(text: str) -> str:
    if len(text) > _MOST // 4:  # each character of it, all are ASCII, takes two bytes at the most
        _refuse_large(size_of(text))
    return text


def read_object(item: Any) -> Any:  # noqa: ANN401
    """The value that is stored as this item.

    Raises:
        CorruptDataError: The item is none that `storable` gave.
    """
    if not isinstance(item, str):
        return item
    try:
        return json.loads(item)
    except ValueError as error:
        raise CorruptDataError(f"an item is no JSON text: {error}") from None


def check_sizes(items: Iterable[object]) -> None:
    """Look whether plain values are small enough to be items.

    Raises:
        InvalidDocumentError: One is not.
    """
    for item in items:
        _refuse_large(size_of(item))


def _refuse_large(size: int) -> None:
    if size > _MOST:
        raise InvalidDocumentError(f"an item has {size} bytes, more than {_MOST}", landed="no")


def copied(items: T) -> T:
    """Items of which nothing is shared; several times as fast as a deep copy.

    Raises:
        CorruptDataError: They are nested deeper than anything that is written.
    """
    try:
        copy: T = orjson.loads(orjson.dumps(items))
    except TypeError:
        raise CorruptDataError("an item is nested too deep") from None
    return copy


def hashed_keys(keys: Sequence[str | None] | None, count: int, before: int = 0) -> list[str | None]:
    """The keys of items as they are stored.

    Args:
        keys: One for each item, or None.
        count: How many items there are.
        before: How many more keys the same change has.

    Raises:
        ValueError: There are not as many keys as items, or more than are remembered: some would be
            forgotten at once, and their items appended again.
    """
    if keys is None:
        return [None] * count
    if len(keys) != count:
        raise ValueError(f"keys: one for each of {count} items, not {len(keys)}")
    if before + sum(key is not None for key in keys) > MAX_KEYS:
        raise ValueError(
            f"keys: a journal remembers the last {MAX_KEYS}; give those of the newest items only"
        )
    return [None if key is None else hashed_key(key) for key in keys]


def size_of(value: object) -> int:
    """How many bytes a plain value takes as JSON.

    Raises:
        InvalidDocumentError: It cannot be stored.
    """
    return len(encoded(value))


def encoded(value: object) -> bytes:
    """A plain value as JSON.

    Raises:
        InvalidDocumentError: It cannot be stored.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        raise refusal(value) from None
