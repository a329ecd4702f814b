"""Distinguishes temporary failures from what a filesystem cannot do."""

from __future__ import annotations

import errno

__all__ = ["TROUBLE"]

TROUBLE = frozenset(
    {
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOENT,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EROFS,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""Problems of a machine, disk or server that can pass; all others mean a missing feature."""
