"""Surviving a power cut: contents, names, and the names of the folders that lead there."""

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
# Inode numbers are reused, on ext4 at once; the generation distinguishes the two.
_GET_GENERATION = 0x8000_7601 | struct.calcsize("l") << 16


class NoFlushError(OSError):
    """The filesystem cannot make this survive a power cut."""


class _Identity(NamedTuple):
    device: int
    inode: int
    generation: bytes | float


class Flushes:
    """Knows which folders of a store have names that survive a power cut.

    Whoever made a folder may have died before its name was flushed, or may have failed to flush it.
    So a store relies only on what it has flushed itself, and not on what was recreated since.

    Attributes:
        made_outside: The base and the folders around it, if they were created for this store and
            their names are not flushed yet.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._durable: dict[str, _Identity] = {}
        self._able: set[int] = set()  # devices on which names in folders could be flushed
        self.made_outside: set[str] = set()

    def prepare(self, path: str, folder: int) -> None:
        """Find out whether names in a folder can be flushed, before anything changes there.

        Args:
            path: The folder's path, relative to the base.
            folder: The folder, opened for reading.

        Raises:
            NoFlushError: They cannot, or the names that lead there cannot.
        """
        if path not in self._durable:
            self.flush_what_leads_to(path)
        self.probe(folder)

    def probe(self, folder: int) -> None:
        """Find out whether names in a folder can be flushed, unless its device is known to do it.

        Args:
            folder: The folder, opened for reading.

        Raises:
            NoFlushError: They cannot.
        """
        if os.fstat(folder).st_dev not in self._able:
            self._flush_names(folder)

    def flush(self, path: str, folder: int) -> None:
        """Flush the names in a folder, and those that lead there if that was not done before.

        Args:
            path: The folder's path, relative to the base.
            folder: The folder, opened for reading.
        """
        try:
            self._flush_names(folder)
            if self._durable.get(path) != _identify(folder):
                self.flush_what_leads_to(path)
        except OSError:
            # What used to work no longer does, so the next write must find out in advance.
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
        """Flush the names that lead to a folder, if that was not done before.

        Args:
            path: The folder's path, relative to the base.
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
        # Not before everything has succeeded: others rely on it at once.
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
                continue  # removed again
            except NoFlushError:
                # For example, a folder that can be entered but not read. Once per process will do.
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
        NoFlushError: The filesystem cannot do that.
    """
    with _refusing():
        # On macOS, fsync() leaves the data in the drive's cache.
        if full_sync := getattr(fcntl, "F_FULLFSYNC", None):
            # Without a local drive, fsync() is all there is.
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, full_sync)
                return
        os.fsync(descriptor)


def _identify(folder: int) -> _Identity:
    status = os.fstat(folder)
    generation: bytes | float = getattr(status, "st_birthtime", 0.0)
    with contextlib.suppress(OSError):  # not every filesystem has generations
        generation = fcntl.ioctl(folder, _GET_GENERATION, bytes(struct.calcsize("l")))
    return _Identity(status.st_dev, status.st_ino, generation)
