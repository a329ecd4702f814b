"""Appending to a file: one write under the lock, no new file and no rename.

The hash of a file is remembered together with the status that this store's last write left it with.
As long as the file has that status, the next append continues the hash; otherwise it reads the file
again, since size alone does not distinguish an append from an edit.
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
    """The hash state after all bytes of a file.

    Attributes:
        hasher: The hasher that has seen all bytes.
        status: Shows whether the file has changed since: device, inode, size and times.
    """

    hasher: blake3
    status: tuple[int, int, int, int, int]

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.status[2]

    @property
    def version(self) -> Version:
        """The version of the bytes."""
        return Version(self.hasher.hexdigest())


class Ends:
    """The ends of the files that were last appended to."""

    def __init__(self) -> None:
        self._ends: dict[str, End] = {}

    def take(self, key: str) -> End | None:
        """Return what is remembered of a file, and forget it."""
        return self._ends.pop(key, None)

    def keep(self, key: str, end: End) -> None:
        """Remember a file; forget the one least recently appended to if there are too many."""
        self._ends[key] = end
        if len(self._ends) > _REMEMBERED:
            # Other threads do this at the same time.
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                del self._ends[next(iter(self._ends))]


@contextmanager
def opened(folder: int, name: str) -> Iterator[int | None]:
    """Open a document to append to it; yield None if it cannot be written in place."""
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
        # A second name is someone's snapshot, which must not grow.
        in_place = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        yield descriptor if in_place else None
    finally:
        os.close(descriptor)


def find_end(descriptor: int, known: End | None, most: int) -> tuple[End, bool]:
    """Hash a file, unless it is still as it was left.

    Args:
        descriptor: The open file.
        known: What is remembered of it.
        most: Its maximum size in bytes.

    Returns:
        The file's end, and whether it was already known.

    Raises:
        TooLargeError: The file is larger than that.
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
    """Write at the end of a file; if that fails, remove what was written, and nothing else.

    Args:
        descriptor: The open file.
        end: The file's current end.
        data: The bytes to append.
        effect: Records whether anything may have landed.

    Returns:
        The file's new end.
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
    """Return whether a status belongs to the file of an end.

    Args:
        status: The status.
        end: The end.
        whole: Whether the file's size must also be that of the end.
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
