"""What survives a power cut: contents, names, and the names of the folders that lead there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from statekeep_backends.local.trouble import TROUBLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep_backends.local.folders import Folders

__all__ = ["Flushes", "NoFlushError", "flush"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# An inode's number is given away again, on ext4 at once; its generation tells the two apart.
_GET_GENERATION = 0x8000_7601 | struct.calcsize("l") << 16


class NoFlushError(OSError):
    """The filesystem does not make this survive a power cut."""


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
        self._able: set[int] = set()  # devices on which the names in folders were flushed
        self.made_outside: set[str] = set()

    def prepare(self, path: str, folder: int) -> None:
        """Before anything changes in a folder, find out whether its names can be flushed.

        Args:
            path: Relative to the base.
            folder: The folder, opened to be read.

        Raises:
            NoFlushError: They cannot, or those that lead there.
        """
        if path not in self._durable:
            self.flush_what_leads_to(path)
        self.probe(folder)

    def probe(self, folder: int) -> None:
        """Find out whether the names in a folder can be flushed, unless others on its device were.

        Args:
            folder: The folder, opened to be read.

        Raises:
            NoFlushError: They cannot.
        """
        if os.fstat(folder).st_dev not in self._able:
            self._flush_names(folder)

    def flush(self, path: str, folder: int) -> None:
        """Flush the names in a folder, and those that lead there unless that was done before.

        Args:
            path: Relative to the base.
            folder: The folder, opened to be read.
        """
        try:
            self._flush_names(folder)
            if self._durable.get(path) != _identify(folder):
                self.flush_what_leads_to(path)
        except OSError:
            # What worked before does so no more, which the next write is to find out in time.
            self._able.clear()
            self._durable.clear()
            raise

    def flush_names(self, folder: int) -> None:
        """Flush the names in a folder, but not those that lead there."""
        try:
            self._flush_names(folder)
        except OSError:
            self._able.clear()
            raise

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
                        self._flush_names(outer)
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
                with _refusing():
                    holder = os.open(os.path.dirname(each), _FOLDER)  # noqa: PTH120
                try:
                    flush(holder)
                finally:
                    os.close(holder)
            except FileNotFoundError:
                if each == self._folders.base:
                    raise
                continue  # taken back
            except NoFlushError:
                # A folder that may be entered but not read, for one. Once in a process will do.
                os.sync()
        self.made_outside -= made

    def _flush_names(self, folder: int) -> None:
        flush(folder)
        self._able.add(os.fstat(folder).st_dev)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except NotADirectoryError:
        raise
    except OSError as error:
        if error.errno in TROUBLE:
            raise
        raise NoFlushError(error.errno, error.strerror) from error


def flush(descriptor: int) -> None:
    """Make a file, or the names in a folder, survive a power cut.

    Raises:
        NoFlushError: The filesystem does not do that.
    """
    with _refusing():
        # On macOS fsync() leaves the data in the drive's own cache.
        if full_sync := getattr(fcntl, "F_FULLFSYNC", None):
            # Where there is no drive of this machine, fsync() is all there is.
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, full_sync)
                return
        os.fsync(descriptor)


def _identify(folder: int) -> _Identity:
    status = os.fstat(folder)
    generation: bytes | float = getattr(status, "st_birthtime", 0.0)
    with contextlib.suppress(OSError):  # not every filesystem has it
        generation = fcntl.ioctl(folder, _GET_GENERATION, bytes(struct.calcsize("l")))
    return _Identity(status.st_dev, status.st_ino, generation)
