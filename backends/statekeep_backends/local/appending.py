"""Adding at the end of a file: one write under the lock, no new file and no rename.

What a file is hashed to is remembered with the status that one's own last write left it in. While
it is in that status, the next append hashes on from there; otherwise it reads the file anew, since
size alone does not tell an append from an edit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from statekeep.store import Version
from statekeep.store.limits import too_large
from statekeep_backends.local.files import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep_backends.local.effect import Effect

__all__ = ["End", "Ends", "add", "find_end", "is_of", "opened"]

_APPEND = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_FILE = {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.ETXTBSY}
_REMEMBERED = 64
_AT_ONCE = 2**20


class End(NamedTuple):
    """What all bytes of a file are hashed to.

    Attributes:
        hasher: Has seen them.
        status: What tells whether the file has changed since: device, inode, size and times.
    """

    hasher: blake3
    status: tuple[int, int, int, int, int]

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.status[2]

    @property
    def version(self) -> Version:
        """Their version."""
        return Version(self.hasher.hexdigest())


class Ends:
    """The ends of the files that were appended to last."""

    def __init__(self) -> None:
        self._ends: dict[str, End] = {}

    def take(self, key: str) -> End | None:
        """Give what is remembered of a file, and forget it."""
        return self._ends.pop(key, None)

    def keep(self, key: str, end: End) -> None:
        """Remember a file, and forget the one that was appended to longest ago."""
        self._ends[key] = end
        if len(self._ends) > _REMEMBERED:
            # Other threads do the same meanwhile.
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                del self._ends[next(iter(self._ends))]


@contextmanager
def opened(folder: int, name: str) -> Iterator[int | None]:
    """Open a document to append to it; None if there is none that may be written in place."""
    try:
        descriptor = os.open(name, _APPEND, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_FILE | _NOT_WRITABLE:
            raise
        descriptor = None
    if descriptor is None:
        yield None
        return
    try:
        status = os.fstat(descriptor)
        # A second name is somebody's snapshot, which must not grow.
        in_place = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        yield descriptor if in_place else None
    finally:
        os.close(descriptor)


def find_end(descriptor: int, known: End | None, most: int) -> tuple[End, bool]:
    """Hash a file, unless it is as it was left.

    Args:
        descriptor: The open file.
        known: What is remembered of it.
        most: How many bytes it may have.

    Returns:
        What it is hashed to, and whether that was known.

    Raises:
        TooLargeError: It has more bytes.
    """
    status = os.fstat(descriptor)
    if known is not None and known.status == _identify(status):
        return known, True
    if status.st_size > most:
        raise TooLargeError(errno.EFBIG, too_large(status.st_size, most))
    hasher, size = blake3(), 0
    while chunk := os.pread(descriptor, _AT_ONCE, size):
        hasher.update(chunk)
        size += len(chunk)
    device, inode, _, written, changed = _identify(status)
    return End(hasher, (device, inode, size, written, changed)), False


def add(descriptor: int, end: End, data: bytes, effect: Effect) -> End:
    """Write at the end of a file; if that fails, take back what was written, and no more.

    Args:
        descriptor: The open file.
        end: What is there.
        data: What is added.
        effect: Notes what may have landed.

    Returns:
        What is there then.
    """
    view = memoryview(data)
    try:
        with effect:
            while view:
                view = view[os.write(descriptor, view) :]
    except OSError:
        written = len(data) - len(view)
        if written:
            _take_back(descriptor, end, written, effect)
        raise
    end.hasher.update(data)
    status = _identify(os.fstat(descriptor))
    return End(end.hasher, (*end.status[:2], end.size + len(data), *status[3:]))


def is_of(status: os.stat_result | None, end: End, *, whole: bool = False) -> bool:
    """Whether a status is that of the file of an end.

    Args:
        status: The status.
        end: The end.
        whole: And it has just the bytes of that.
    """
    if status is None:
        return False
    now = _identify(status)
    return now[:2] == end.status[:2] and (not whole or now[2] == end.size)


def _take_back(descriptor: int, end: End, written: int, effect: Effect) -> None:
    try:
        if os.fstat(descriptor).st_size == end.size + written:
            os.ftruncate(descriptor, end.size)
            return
    except OSError:
        pass
    effect.landed = "unknown"


def _identify(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip
