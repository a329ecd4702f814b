"""Whether a failed write or delete may have landed."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Effect", "Landed"]

Landed = Literal["no", "unknown"]

# Errors that mean that a system call did nothing. Not ENOENT, which a repeated call can get because
# of its own effect, and not EIO and the like, after which nobody knows.
_REFUSALS = {
    errno.EACCES,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMFILE,
    errno.EMLINK,
    errno.ENAMETOOLONG,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ENOSYS,
    errno.ENOTDIR,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,
}


class Effect:
    """A context manager around the one system call that makes a write or delete take effect.

    Attributes:
        landed: What an error that occurs now must say.
    """

    def __init__(self) -> None:
        self.landed: Landed = "no"

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not (isinstance(error, OSError) and error.errno in _REFUSALS):
            self.landed = "unknown"
