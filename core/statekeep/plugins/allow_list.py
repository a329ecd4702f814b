"""Whose code can run: the allow-list ``STATEKEEP_PLUGINS``."""

from __future__ import annotations

import os
import re

from statekeep._arguments import checked

__all__ = ["allowed_distributions", "is_allowed", "normal_name"]


def allowed_distributions() -> frozenset[str] | None:
    """Return the distributions that can be loaded besides statekeep itself; None for all.

    ``STATEKEEP_PLUGINS`` lists them, separated by commas; if it is empty, none is allowed.
    """
    listed = os.environ.get("STATEKEEP_PLUGINS")
    if listed is None:
        return None
    return frozenset(normal_name(each) for each in map(str.strip, listed.split(",")) if each)


@checked
def is_allowed(distribution: str) -> bool:
    """Return whether code of a distribution can be loaded.

    For backends that find other people's code in their own way, such as a library's entry points.
    """
    allowed = allowed_distributions()
    return allowed is None or normal_name(distribution) in {*allowed, "statekeep"}


def normal_name(distribution: str) -> str:
    """Normalize a distribution's name, as the package index does to compare names."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
