"""Items in the form in which they are stored."""

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
"""Maximum size of an item as JSON, in bytes."""


def plain_item(value: object) -> Any:  # noqa: ANN401 - JSON is any value
    """Convert a value to an item as stored, sharing nothing with the caller's value.

    Raises:
        InvalidDocumentError: It cannot be stored.
    """
    data = encoded(plain_value(value))
    _refuse_large(len(data))
    return orjson.loads(data)  # makes a copy, and cheaper than copying does


def storable(value: Any) -> Any:  # noqa: ANN401
    """Convert a value to what a journal can hold, the way `json` would write it.

    What a journal cannot hold is stored as JSON text: a lone surrogate where a text was cut, an
    integer of more than 64 bits, a float that is not a number, or a value nested too deep.

    Raises:
        InvalidDocumentError: JSON cannot hold it, or it is larger than 16 MiB.
    """
    if isinstance(value, str):
        return _as_text(json.dumps(value))  # stored as is, a text would be read as JSON
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
        return plain_item(read)  # tuples are now lists, and keys are text
    return _as_text(text)


def _as_text(text: str) -> str:
    if len(text) > _MOST // 4:  # each character is ASCII and takes at most two bytes
        _refuse_large(size_of(text))
    return text


def read_object(item: Any) -> Any:  # noqa: ANN401
    """Return the value that an item stores.

    Raises:
        CorruptDataError: `storable` never returned this item.
    """
    if not isinstance(item, str):
        return item
    try:
        return json.loads(item)
    except ValueError as error:
        raise CorruptDataError(f"an item is not JSON text: {error}") from None


def check_sizes(items: Iterable[object]) -> None:
    """Check that plain values are small enough to be items.

    Raises:
        InvalidDocumentError: One is too large.
    """
    for item in items:
        _refuse_large(size_of(item))


def _refuse_large(size: int) -> None:
    if size > _MOST:
        raise InvalidDocumentError(f"an item has {size} bytes, more than {_MOST}", landed="no")


def copied(items: T) -> T:
    """Copy items so that nothing is shared; several times as fast as a deep copy.

    Raises:
        CorruptDataError: They are nested deeper than anything statekeep writes.
    """
    try:
        copy: T = orjson.loads(orjson.dumps(items))
    except TypeError:
        raise CorruptDataError("an item is nested too deep") from None
    return copy


def hashed_keys(keys: Sequence[str | None] | None, count: int, before: int = 0) -> list[str | None]:
    """Return the keys of items as they are stored.

    Args:
        keys: A key for each item, or None.
        count: The number of items.
        before: How many keys the same change already has.

    Raises:
        ValueError: The number of keys differs from the number of items, or there are more than are
            remembered: some would be forgotten at once, and their items appended again.
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
    """Return how many bytes a plain value takes as JSON.

    Raises:
        InvalidDocumentError: It cannot be stored.
    """
    return len(encoded(value))


def encoded(value: object) -> bytes:
    """Encode a plain value as JSON.

    Raises:
        InvalidDocumentError: It cannot be stored.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        raise refusal(value) from None
