"""Advisory locks that all statekeep writers of a folder agree on.

Opening one takes a walk through folders, so who gives it back leaves the file open. That it still
is what the others lock is found out with the lock at hand.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import time
import unicodedata
import zlib
from typing import TYPE_CHECKING, NamedTuple

from statekeep_backends.local.files import LOCKS, new_temporary_name
from statekeep_backends.local.folders import ATTEMPTS, NothingNewError
from statekeep_backends.local.trouble import TROUBLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep_backends.local.folders import Folders

__all__ = ["STRIPES", "Lock", "NoLockError", "close_kept", "is_free", "is_lock_name", "lock_of"]

STRIPES = 64
"""How many lock files there are; part of the format, because all writers must agree on it."""

_NAMES = frozenset(f"{n:02x}" for n in range(STRIPES))
_BUSY = {errno.EACCES, errno.EAGAIN}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# NFS locks only what is open for writing.
_WRITE = _READ | os.O_RDWR | os.O_CREAT
_MOST_KEPT = 64
_ours: set[int] = set()
_kept: dict[tuple[str, str], _Opened] = {}


class NoLockError(OSError):
    """The filesystem has no locks."""


class Lock:
    """Holds the lock of a key; use it as a context manager, once.

    Args:
        folders: Those of the store; that of the locks is made, unless there is no room.
        key: Whose lock; several keys share one.
        timeout: Seconds to wait for another writer.

    Raises:
        TimeoutError: It was in vain.
        NoLockError: The filesystem has no locks; what was made for this one is taken back.
        OSError: The lock cannot be opened.
    """

    __slots__ = ("_folders", "_name", "_opened", "_timeout")

    def __init__(self, folders: Folders, key: str, timeout: float) -> None:
        self._name = lock_of(key)
        self._folders = folders
        self._timeout = timeout

    def __enter__(self) -> None:
        deadline = time.monotonic() + self._timeout
        kept = _kept.pop((self._folders.base, self._name), None)
        if kept is not None and self._take(kept, deadline, self._is_there):
            self._opened = kept
            return
        while not self._take(opened := self._open(), deadline, _is_somewhere):
            pass
        self._opened = opened

    def __exit__(self, *_: object) -> None:
        try:
            # Not left to close(): a child forked meanwhile has the same lock open.
            fcntl.flock(self._opened.descriptor, fcntl.LOCK_UN)
        except BaseException:
            _close(self._opened.descriptor)
            raise
        _keep((self._folders.base, self._name), self._opened)

    def _open(self) -> _Opened:
        made: list[str] = []
        descriptor = _open(self._folders, self._name, made)
        _ours.add(descriptor)
        try:
            status = os.fstat(descriptor)
            return _Opened(descriptor, (status.st_dev, status.st_ino), made)
        except BaseException:
            _close(descriptor)
            raise

    def _take(self, opened: _Opened, deadline: float, is_sound: Callable[[_Opened], bool]) -> bool:
        """Lock it, unless it is no longer what the others lock."""
        try:
            granted = _lock(self._folders, opened.descriptor, deadline)
            if not granted:
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    f"another writer has held the lock for {self._timeout:g} seconds",
                )
            if is_sound(opened):
                return True
        except BaseException as error:
            _close(opened.descriptor)
            if isinstance(error, NoLockError) and opened.made:
                _remove(self._folders, self._name)
                self._folders.take_back(opened.made)
            raise
        _close(opened.descriptor)
        return False

    def _is_there(self, opened: _Opened) -> bool:
        """Whether one that was left open is what would be opened now."""
        try:
            # Whoever made it reach another file by a link has not made it another file.
            status = os.stat(f"{self._folders.base}/{LOCKS}/{self._name}")  # noqa: PTH116
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == opened.identity


class _Opened(NamedTuple):
    """A lock file that is open.

    Attributes:
        descriptor: Of it.
        identity: Its device and inode.
        made: The folders that were made for it.
    """

    descriptor: int
    identity: tuple[int, int]
    made: list[str]


def _is_somewhere(opened: _Opened) -> bool:
    """Whether one that was opened just now was not removed meanwhile."""
    # Its number would not do: not every filesystem gives a file the same one each time.
    return os.fstat(opened.descriptor).st_nlink > 0


def _keep(place: tuple[str, str], opened: _Opened) -> None:
    """Leave a lock file open for the next who needs it; few of all stores stay so."""
    opened.made.clear()
    if _kept.setdefault(place, opened) is not opened:
        _close(opened.descriptor)
    if len(_kept) > _MOST_KEPT:
        # Other threads do the same meanwhile.
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):
            _close(_kept.pop(next(iter(_kept))).descriptor)


def close_kept(base: str) -> None:
    """Close the lock files of a store that were left open."""
    for name in _NAMES:
        if opened := _kept.pop((base, name), None):
            _close(opened.descriptor)


def _close(descriptor: int) -> None:
    _ours.discard(descriptor)
    # Nothing was written there, and who has written elsewhere shall not hear of it.
    with contextlib.suppress(OSError):
        os.close(descriptor)


def lock_of(key: str) -> str:
    """The name of the lock of a key; several keys share one."""
    if not key.isascii():
        key = unicodedata.normalize("NFC", key)
    # Folded, because on some volumes two keys are one file.
    return f"{zlib.crc32(key.casefold().encode()) % STRIPES:02x}"


def is_lock_name(name: str) -> bool:
    """Whether a lock file is called so."""
    return name in _NAMES


def is_free(folder: int, name: str) -> bool:
    """Whether nobody holds a lock file in this moment.

    Args:
        folder: The open folder of the locks.
        name: Its name.

    Raises:
        OSError: It cannot be opened or locked.
    """
    descriptor = os.open(name, _READ, dir_fd=folder)
    _ours.add(descriptor)
    try:
        # Shared, so that two who ask do not hold each other up.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    finally:
        _close(descriptor)
    return True


def _open(folders: Folders, name: str, made: list[str]) -> int:
    try:
        for _ in range(ATTEMPTS):
            folder = folders.make(LOCKS, made)
            try:
                # Another writer that failed may have taken back the folder meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    return _open_in(folder, name, folders, made)
            finally:
                os.close(folder)
        raise NothingNewError(errno.ENOENT, os.strerror(errno.ENOENT))
    except BaseException:
        folders.take_back(made)
        raise


def _open_in(folder: int, name: str, folders: Folders, made: list[str]) -> int:
    try:
        descriptor = os.open(name, _WRITE, folders.modes.file, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        # Another user's, perhaps; on a disk of this machine it can be locked all the same.
        try:
            descriptor = os.open(name, _READ, dir_fd=folder)
        except OSError:
            raise error from None
    if made:
        try:
            folders.flush_what_leads_to(LOCKS)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _lock(folders: Folders, descriptor: int, deadline: float) -> bool:
    pause = _FIRST_PAUSE
    probed = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _BUSY:
                if error.errno in TROUBLE:
                    raise
                raise NoLockError(error.errno, error.strerror) from error
            # Some say so of a lock that another has, and some of any lock.
            if error.errno == errno.EACCES and not probed:
                _lock_a_file_of_ones_own(folders)
                probed = True
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
        pause = min(_LONGEST_PAUSE, pause * 2)


def _lock_a_file_of_ones_own(folders: Folders) -> None:
    name = new_temporary_name()
    folder = folders.open(LOCKS)
    try:
        descriptor = os.open(name, _WRITE | os.O_EXCL, folders.modes.file, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TROUBLE:
                raise
            raise NoLockError(error.errno, error.strerror) from error
        finally:
            os.close(descriptor)
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def _remove(folders: Folders, name: str) -> None:
    with contextlib.suppress(OSError):
        folder = folders.open(LOCKS)
        try:
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)


def _close_inherited() -> None:
    # A child has the same locks open: with one that the parent holds when it dies it would keep it,
    # and one that both left open would not exclude them.
    for descriptor in _ours:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _ours.clear()
    _kept.clear()


os.register_at_fork(after_in_child=_close_inherited)
