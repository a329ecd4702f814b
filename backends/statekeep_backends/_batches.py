"""Many things, some at a time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["batches"]

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Divide items into lists of a size; the last may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
