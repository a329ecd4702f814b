"""Splitting a large number of items into batches."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["batches"]

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Split items into lists of a given size; the last one can be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
