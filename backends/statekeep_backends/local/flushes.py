"""What survives a power cut: contents, names, and the names of the folders that lead there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from statekeep_backends.local.folders import Folders

__all__ = ["Flushes", "flush", "flush_names"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# An inode's number is given away again, on ext4 at once; its generation tells the two apart.
_GET_GENERATION = 0x8000_7601 | struct.calcsize("l") << 16


class _Identity(NamedTuple):
    device: int
    inode: int
    generation: bytes | float


class Flushes:
    """Knows which folders of a store have names that survive a power cut.

    Who made a folder may have died before its own name was safe, or may have failed to make it so.
    So a store relies on what it has flushed itself, and not on what was made anew since.

    Attributes:
        made_outside: The base, and the folders that hold it, if they were made for this store and
            their names were not flushed yet.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._durable: dict[str, _Identity] = {}
        self.made_outside: set[str] = set()

    def flush(self, path: str, folder: int) -> None:
        """Flush the names in a folder, and those that lead there unless that was done before.

        Args:
            path: Relative to the base.
            folder: The folder, opened to be read.
        """
        flush_names(folder)
        if self._durable.get(path) != _identify(folder):
            self.flush_what_leads_to(path)

    def flush_what_leads_to(self, path: str) -> None:
        """Flush the names that lead to a folder, unless that was done before.

        Args:
            path: Relative to the base.
        """
        durable = {}
        outer = self._folders.open("", _FOLDER)
        try:
            identity = _identify(outer)
            if self._durable.get("") != identity:
                self._flush_outside()
                durable[""] = identity
            steps = path.split("/") if path else []
            for n in range(1, len(steps) + 1):
                step = "/".join(steps[:n])
                inner = self._folders.open_in(outer, step)
                try:
                    identity = _identify(inner)
                    if self._durable.get(step) != identity:
                        flush_names(outer)
                        durable[step] = identity
                finally:
                    done, outer = outer, inner
                    os.close(done)
        finally:
            os.close(outer)
        # Not before all of it has succeeded: others rely on it at once.
        self._durable.update(durable)

    def _flush_outside(self) -> None:
        made = {*self.made_outside}
        for each in made | {self._folders.base}:
            try:
                holder = os.open(os.path.dirname(each), _FOLDER)  # noqa: PTH120
            except FileNotFoundError:
                if each == self._folders.base:
                    raise
                continue  # taken back
            try:
                flush_names(holder)
            finally:
                os.close(holder)
        self.made_outside -= made


def flush(descriptor: int) -> None:
    """Make a file survive a power cut."""
    # On macOS fsync() leaves the data in the drive's own cache.
    if full_sync := getattr(fcntl, "F_FULLFSYNC", None):
        fcntl.fcntl(descriptor, full_sync)
    else:
        os.fsync(descriptor)


def flush_names(folder: int) -> None:
    """Make the names in a folder survive a power cut."""
    try:
        flush(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a filesystem that does not flush folders
            raise


def _identify(folder: int) -> _Identity:
    status = os.fstat(folder)
    generation: bytes | float = getattr(status, "st_birthtime", 0.0)
    with contextlib.suppress(OSError):  # not every filesystem has it
        generation = fcntl.ioctl(folder, _GET_GENERATION, bytes(struct.calcsize("l")))
    return _Identity(status.st_dev, status.st_ino, generation)
