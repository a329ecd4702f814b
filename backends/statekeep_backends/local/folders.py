"""The folders of a store: opened one step at a time, created, removed again, flushed.

Anyone who can write to a store can replace a folder by a link at any moment, even between a check
and its use. So below the base, the system never gets a path of more than one step: each folder is
opened in its parent, unless it is a link, and its contents are reached through its descriptor. The
base itself is trusted, and can be a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from statekeep_backends.local.flushes import Flushes

if TYPE_CHECKING:
    from statekeep_backends.local.modes import Modes

__all__ = [
    "ATTEMPTS",
    "TO_PASS",
    "TO_READ",
    "Folders",
    "NoFolderError",
    "NotAFolderError",
    "NothingNewError",
    "Trail",
    "Writing",
]

ATTEMPTS = 100
"""How often to recreate a folder that others remove."""

_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TO_READ = _FOLDER | os.O_RDONLY
"""Opens a folder in order to list or flush it."""

TO_PASS = _FOLDER | getattr(os, "O_PATH", os.O_RDONLY)
"""Opens a folder that may be accessible but not readable."""

_NO_FOLDER = {errno.ENOTDIR, errno.ELOOP}
_TRAIL = 16


class NotAFolderError(NotADirectoryError):
    """A link or something else is in the place of a folder, given by `filename`."""


class NoFolderError(Exception):
    """The folder does not exist."""


class NothingNewError(OSError):
    """No file or folder can be created: each time, its parent seems to be gone."""


class Folders:
    """The folders of one store. It returns open descriptors, for the caller to close.

    Args:
        base: The store's folder.
        modes: The modes of new files and folders.
        sync: Whether what is written must survive a power cut.
    """

    def __init__(self, base: str, modes: Modes, *, sync: bool) -> None:
        self.base = base
        self.modes = modes
        self.sync = sync
        self._flushes = Flushes(self)

    def open(self, path: str, flags: int = TO_PASS) -> int:
        """Open a folder.

        Args:
            path: The folder's path, relative to the base; empty for the base itself.
            flags: How to open it: `TO_PASS` or `TO_READ`.

        Raises:
            FileNotFoundError: It does not exist.
            NotAFolderError: It, or something on the way to it, is not a folder.
            NotADirectoryError: The base is not a folder.
        """
        if not path:
            return os.open(self.base, flags & ~os.O_NOFOLLOW)
        steps = path.split("/")
        last = len(steps) - 1
        descriptor = self._enter(steps, 0, TO_PASS if last else flags, None)
        for n in range(1, last + 1):
            outer = descriptor
            try:
                descriptor = self._enter(steps, n, flags if n == last else TO_PASS, outer)
            finally:
                os.close(outer)
        return descriptor

    def open_in(self, outer: int, path: str) -> int:
        """Open a folder for reading, in its open parent.

        Args:
            outer: The parent.
            path: The folder's path, relative to the base.
        """
        steps = path.split("/")
        return self._enter(steps, len(steps) - 1, TO_READ, outer)

    def find(self, path: str, flags: int = TO_PASS) -> int | None:
        """Open a folder; None if it does not exist.

        Raises:
            NotAFolderError: It, or something on the way to it, is not a folder.
        """
        try:
            return self.open(path, flags)
        except FileNotFoundError:
            return None

    def make(self, path: str, made: list[str], flags: int = TO_PASS) -> int:
        """Open a folder; create it first if necessary, with all its parents.

        Args:
            path: The folder's path, relative to the base.
            made: Receives the folders that were created, outermost first, even if this then fails.
            flags: How to open it.
        """
        for _ in range(ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return self.open(path, flags)
            # Another writer that failed may be removing a parent.
            with contextlib.suppress(FileNotFoundError):
                self._make(path, made)
        raise NothingNewError(errno.ENOENT, os.strerror(errno.ENOENT))

    def writing(self, path: str, *, make: bool) -> Writing:
        """Open a folder to write in it; if that fails, folders created for it are removed again.

        Args:
            path: The folder's path, relative to the base.
            make: Whether to create it if necessary.

        Raises:
            NoFolderError: It does not exist, and was not to be created.
            NoFlushError: What would be written there would not survive a power cut.
        """
        return Writing(self, path, make=make)

    def take_back(self, made: list[str]) -> None:
        """Remove folders that were created in vain, unless someone has written there since."""
        for each in reversed(made):
            with contextlib.suppress(OSError):
                if os.path.isabs(each):  # noqa: PTH117
                    os.rmdir(each)  # noqa: PTH106
                    continue
                outer, _, name = each.rpartition("/")
                folder = self.open(outer)
                try:
                    os.rmdir(name, dir_fd=folder)
                finally:
                    os.close(folder)

    def flush(self, path: str, folder: int) -> None:
        """Make the names in a folder survive a power cut, and those that lead there.

        Args:
            path: The folder's path, relative to the base.
            folder: The folder, opened for reading.
        """
        if self.sync:
            self._flushes.flush(path, folder)

    def prepare(self, folder: int) -> None:
        """Before deleting in a folder, find out whether the deletion would be durable.

        Args:
            folder: The folder, opened for reading.

        Raises:
            NoFlushError: What is deleted could come back after a power cut.
        """
        if self.sync:
            self._flushes.probe(folder)

    def flush_names(self, folder: int) -> None:
        """Make deletions in a folder durable.

        Args:
            folder: The folder, opened for reading.
        """
        if self.sync:
            self._flushes.flush_names(folder)

    def flush_what_leads_to(self, path: str) -> None:
        """Make the name of a folder survive a power cut, but not its contents.

        Args:
            path: The folder's path, relative to the base.
        """
        if self.sync:
            self._flushes.flush_what_leads_to(path)

    def _enter(self, steps: list[str], n: int, flags: int, outer: int | None) -> int:
        try:
            if outer is None:
                # The base and one step: the flags apply to the last step of a path.
                return os.open(f"{self.base}/{steps[n]}", flags)
            return os.open(steps[n], flags, dir_fd=outer)
        except OSError as error:
            if error.errno not in _NO_FOLDER or not os.path.isdir(self.base):  # noqa: PTH112
                raise
            place = "/".join(steps[: n + 1])
            raise NotAFolderError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place) from error

    def _make(self, path: str, made: list[str]) -> None:
        self._make_base(made)
        descriptor = self.open("")
        steps = path.split("/") if path else []
        try:
            for n, name in enumerate(steps):
                outer = descriptor
                try:
                    descriptor = self._enter(steps, n, TO_PASS, outer)
                except FileNotFoundError:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, self.modes.folder, dir_fd=outer)
                        made.append("/".join(steps[: n + 1]))
                    descriptor = self._enter(steps, n, TO_PASS, outer)
                os.close(outer)
        finally:
            os.close(descriptor)

    def _make_base(self, made: list[str]) -> None:
        missing = []
        folder = self.base
        while not os.path.isdir(folder):  # noqa: PTH112
            missing.append(folder)
            folder = os.path.dirname(folder)  # noqa: PTH120
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(each, self.modes.folder)  # noqa: PTH102
                made.append(each)
                self._flushes.made_outside.add(each)


class Writing:
    """See `Folders.writing`; a context manager, for one use."""

    __slots__ = ("_folder", "_folders", "_made", "_make", "_path")

    def __init__(self, folders: Folders, path: str, *, make: bool) -> None:
        self._folders = folders
        self._path = path
        self._make = make
        self._made: list[str] = []

    def __enter__(self) -> int:
        try:
            self._folder = self._open()
            if self._folders.sync:
                try:
                    self._folders._flushes.prepare(self._path, self._folder)  # noqa: SLF001
                except BaseException:
                    os.close(self._folder)
                    raise
        except BaseException:
            self._folders.take_back(self._made)
            raise
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        os.close(self._folder)
        if kind is not None:
            self._folders.take_back(self._made)

    def _open(self) -> int:
        flags = TO_READ if self._folders.sync else TO_PASS
        try:
            return self._folders.open(self._path, flags)
        except FileNotFoundError:
            if not self._make:
                raise NoFolderError from None
        return self._folders.make(self._path, self._made, flags)


class Trail:
    """Opens folders in the order of a walk, each in its parent. Only a few stay open."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._opened: list[tuple[str, int]] = []

    def enter(self, path: str) -> int:
        """Open a folder for reading; it stays open until one outside it is entered."""
        outer = path.rpartition("/")[0]
        if not path:
            self.close()
            descriptor = self._folders.open("", TO_READ)
        else:
            while self._opened and self._opened[-1][0] != outer:
                os.close(self._opened.pop()[1])
            if not self._opened:
                self._opened.append((outer, self._folders.open(outer)))
            descriptor = self._folders.open_in(self._opened[-1][1], path)
        self._opened.append((path, descriptor))
        if len(self._opened) > _TRAIL:
            os.close(self._opened.pop(0)[1])
        return descriptor

    def close(self) -> None:
        """Close all open folders."""
        while self._opened:
            os.close(self._opened.pop()[1])
