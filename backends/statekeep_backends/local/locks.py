"""Advisory locks that all statekeep writers of a folder agree on.

Opening a lock file takes a walk through folders, so releasing it leaves the file open. Whether it
still is the file that others lock is checked once the lock is held.
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
"""The number of lock files; part of the format, because all writers must agree on it."""

_NAMES = frozenset(f"{n:02x}" for n in range(STRIPES))
_BUSY = {errno.EACCES, errno.EAGAIN}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# NFS can only lock files that are open for writing.
_WRITE = _READ | os.O_RDWR | os.O_CREAT
_MOST_KEPT = 64
_ours: set[int] = set()
_kept: dict[tuple[str, str], _Opened] = {}


class NoLockError(OSError):
    """The filesystem does not support locks."""


class Lock:
    """Holds the lock of a key; use it as a context manager, once.

    Args:
        folders: The store's folders; the folder of the locks is created unless the disk is full.
        key: The key to lock; several keys share a lock.
        timeout: Seconds to wait for another writer.

    Raises:
        TimeoutError: Another writer held the lock for too long.
        NoLockError: The filesystem does not support locks; what was created is removed again.
        OSError: The lock file cannot be opened.
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
            # Not left to close(): a child that was forked since has the same lock open.
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
        """Lock the file, unless it is no longer the one that others lock."""
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
        """Return whether a file that was left open is the one that would be opened now."""
        try:
            # A link on the way does not matter: what counts is the file that it reaches.
            status = os.stat(f"{self._folders.base}/{LOCKS}/{self._name}")  # noqa: PTH116
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == opened.identity


class _Opened(NamedTuple):
    """An open lock file.

    Attributes:
        descriptor: Its descriptor.
        identity: Its device and inode.
        made: The folders that were created for it.
    """

    descriptor: int
    identity: tuple[int, int]
    made: list[str]


def _is_somewhere(opened: _Opened) -> bool:
    """Return whether a file that was just opened still exists."""
    # Not by inode number: not every filesystem keeps the number of a file.
    return os.fstat(opened.descriptor).st_nlink > 0


def _keep(place: tuple[str, str], opened: _Opened) -> None:
    """Leave a lock file open for the next lock; only a few stay open across all stores."""
    opened.made.clear()
    if _kept.setdefault(place, opened) is not opened:
        _close(opened.descriptor)
    if len(_kept) > _MOST_KEPT:
        # Other threads do this at the same time.
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):
            _close(_kept.pop(next(iter(_kept))).descriptor)


def close_kept(base: str) -> None:
    """Close a store's lock files that were left open."""
    for name in _NAMES:
        if opened := _kept.pop((base, name), None):
            _close(opened.descriptor)


def _close(descriptor: int) -> None:
    _ours.discard(descriptor)
    # Nothing was written to it, and a caller that wrote elsewhere must not get this error.
    with contextlib.suppress(OSError):
        os.close(descriptor)


def lock_of(key: str) -> str:
    """Return the name of a key's lock; several keys share one."""
    if not key.isascii():
        key = unicodedata.normalize("NFC", key)
    # Case-folded, because on some volumes two keys are one file.
    return f"{zlib.crc32(key.casefold().encode()) % STRIPES:02x}"


def is_lock_name(name: str) -> bool:
    """Return whether this is the name of a lock file."""
    return name in _NAMES


def is_free(folder: int, name: str) -> bool:
    """Return whether nobody holds a lock at this moment.

    Args:
        folder: The open folder of the locks.
        name: The lock file's name.

    Raises:
        OSError: It cannot be opened or locked.
    """
    descriptor = os.open(name, _READ, dir_fd=folder)
    _ours.add(descriptor)
    try:
        # A shared lock, so that two checks do not block each other.
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
                # Another writer that failed may have removed the folder.
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
        # Perhaps another user's; on a local disk it can be locked nevertheless.
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
            # Some systems report this for a lock that another process holds, some for any lock.
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
    # A child has the same locks open: it would keep a lock that the parent holds when it dies, and
    # a lock file that both left open would not exclude them from each other.
    for descriptor in _ours:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _ours.clear()
    _kept.clear()


os.register_at_fork(after_in_child=_close_inherited)
