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

from statekeep_backends.local.files import LOCKS
from statekeep_backends.local.folders import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep_backends.local.folders import Folders

__all__ = ["STRIPES", "is_free", "is_lock_name", "locked"]

STRIPES = 64
"""How many lock files there are; part of the format, because all writers must agree on it."""

_NAMES = frozenset(f"{n:02x}" for n in range(STRIPES))
_BUSY = {errno.EACCES, errno.EAGAIN}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02
# For reading only, which is enough to lock: the file may belong to another user.
_FLAGS = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_held: set[int] = set()


@contextmanager
def locked(folders: Folders, key: str, timeout: float) -> Iterator[None]:
    """Hold the lock of a key.

    Args:
        folders: Those of the store; that of the locks is made, unless there is no room.
        key: Whose lock; several keys share one.
        timeout: Seconds to wait for another writer.

    Raises:
        TimeoutError: It was in vain.
        OSError: The lock cannot be opened.
    """
    # Folded, because on some volumes two keys are one file.
    folded = unicodedata.normalize("NFC", key).casefold().encode()
    name = f"{zlib.crc32(folded) % STRIPES:02x}"
    deadline = time.monotonic() + timeout
    while True:
        descriptor = _open(folders, name)
        _held.add(descriptor)
        try:
            if not _lock(descriptor, deadline):
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
    descriptor = os.open(name, _FLAGS & ~os.O_CREAT, dir_fd=folder)
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


def _open(folders: Folders, name: str) -> int:
    made: list[str] = []
    try:
        for _ in range(ATTEMPTS):
            folder = folders.make(LOCKS, made)
            try:
                # Another writer that failed may have taken back the folder meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    return _open_in(folder, name, folders, made)
            finally:
                os.close(folder)
        raise OSError(errno.ENOENT, "the folder of the locks vanishes again and again")
    except BaseException:
        folders.take_back(made)
        raise


def _open_in(folder: int, name: str, folders: Folders, made: list[str]) -> int:
    descriptor = os.open(name, _FLAGS, folders.modes.file, dir_fd=folder)
    if made:
        try:
            folders.flush_what_leads_to(LOCKS)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _lock(descriptor: int, deadline: float) -> bool:
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _BUSY:
                raise
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
        pause = min(_LONGEST_PAUSE, pause * 2)


def _close_inherited() -> None:
    # If the parent dies without unlocking, a child that has the lock open would keep it.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)
