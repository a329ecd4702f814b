"""Whose code may run: the allow-list ``STATEKEEP_PLUGINS``."""

from __future__ import annotations

import os
import re

from statekeep._arguments import checked

__all__ = ["allowed_distributions", "is_allowed", "normal_name"]


def allowed_distributions() -> frozenset[str] | None:
    """The distributions that may be loaded besides statekeep itself; None for all.

    ``STATEKEEP_PLUGINS`` names them, with commas; empty allows none.
    """
    listed = os.environ.get("STATEKEEP_PLUGINS")
    if listed is None:
        return None
    return frozenset(normal_name(each) for each in map(str.strip, listed.split(",")) if each)


@checked
def is_allowed(distribution: str) -> bool:
    """Whether the code of a distribution may be loaded.

    For a backend that finds code of others by ways of its own, such as a library's entry points.
    """
    allowed = allowed_distributions()
    return allowed is None or normal_name(distribution) in {*allowed, "statekeep"}


def normal_name(distribution: str) -> str:
    """The name of a distribution as the packaging index compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
