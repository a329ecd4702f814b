"""What fails at times, told from what a filesystem does not do."""

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
"""What is wrong with a machine, a disk or a server and may pass; anything else is a lack."""
