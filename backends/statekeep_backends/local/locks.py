"""Advisory locks that all statekeep writers of a folder agree on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import time
import unicodedata
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from statekeep_backends.local.files import LOCKS, new_temporary_name
from statekeep_backends.local.folders import ATTEMPTS, NothingNewError
from statekeep_backends.local.trouble import TROUBLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep_backends.local.folders import Folders

__all__ = ["STRIPES", "NoLockError", "is_free", "is_lock_name", "locked"]

STRIPES = 64
"""How many lock files there are; part of the format, because all writers must agree on it."""

_NAMES = frozenset(f"{n:02x}" for n in range(STRIPES))
_BUSY = {errno.EACCES, errno.EAGAIN}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# NFS locks only what is open for writing.
_WRITE = _READ | os.O_RDWR | os.O_CREAT
_held: set[int] = set()


class NoLockError(OSError):
    """The filesystem has no locks."""


@contextmanager
def locked(folders: Folders, key: str, timeout: float) -> Iterator[None]:
    """Hold the lock of a key.

    Args:
        folders: Those of the store; that of the locks is made, unless there is no room.
        key: Whose lock; several keys share one.
        timeout: Seconds to wait for another writer.

    Raises:
        TimeoutError: It was in vain.
        NoLockError: The filesystem has no locks; what was made for this one is taken back.
        OSError: The lock cannot be opened.
    """
    # Folded, because on some volumes two keys are one file.
    folded = unicodedata.normalize("NFC", key).casefold().encode()
    name = f"{zlib.crc32(folded) % STRIPES:02x}"
    deadline = time.monotonic() + timeout
    while True:
        made: list[str] = []
        descriptor = _open(folders, name, made)
        _held.add(descriptor)
        try:
            try:
                granted = _lock(folders, descriptor, deadline)
            except NoLockError:
                if made:
                    _remove(folders, name)
                    folders.take_back(made)
                raise
            if not granted:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"another writer has held the lock for {timeout:g} seconds"
                )
            if os.fstat(descriptor).st_nlink == 0:
                continue  # removed meanwhile: the others lock its successor
            try:
                yield
            finally:
                # Not left to close(): a child forked meanwhile has the same lock open.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            return
        finally:
            _held.discard(descriptor)
            os.close(descriptor)


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
    _held.add(descriptor)
    try:
        # Shared, so that two who ask do not hold each other up.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    finally:
        _held.discard(descriptor)
        os.close(descriptor)
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
    # If the parent dies without unlocking, a child that has the lock open would keep it.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)
