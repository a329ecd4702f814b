"""Sizes as people write them: ``500``, ``10k``, ``1.5M``, ``2 GB``."""

from __future__ import annotations

import math
import re

__all__ = ["parse_size"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kKmMgGtT])(?:i?[bB])?|[bB])?", re.ASCII)


def parse_size(text: str) -> int:
    """Parse a size in bytes; each unit is 1024 times the previous one.

    Raises:
        ValueError: It is not a size.

    >>> parse_size("1.5k")
    1536
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("a number of bytes is needed, such as 10k or 1.5M")
    power = 1 + "kmgt".index(match[2].lower()) if match[2] else 0
    size = float(match[1]) * float(1024**power)
    if math.isinf(size):
        raise ValueError("a smaller number of bytes is needed")
    return int(size)
