"""Single files and folders: read whole, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import struct
import time
from typing import TYPE_CHECKING

from statekeep.store import Blob, content_version
from statekeep.timestamps import from_nanoseconds, utc_now

if TYPE_CHECKING:
    from datetime import timedelta

    from statekeep_backends.local.effect import Effect

__all__ = [
    "LOCKS",
    "TEMPORARY_SUFFIX",
    "LinksUnsupportedError",
    "fingerprint",
    "fingerprint_if_settled",
    "is_document",
    "is_leftover",
    "is_obstacle",
    "is_older",
    "is_settled",
    "link",
    "make_folders",
    "open_below",
    "read_document",
    "read_file",
    "remove_folders",
    "sync_folder",
    "sync_names_of",
    "write_file",
]

LOCKS = ".statekeep/locks"
"""Where the locks are; no key lies there."""

TEMPORARY_SUFFIX = ".tmp"
"""Ends the names of files that are being written; no key ends so."""

# Ours, and the original's `{name}.{pid}.{uuid}.tmp`; nothing else that ends so is ever removed.
_LEFTOVER = re.compile(
    r"\.statekeep-[0-9a-f]{16}\.tmp"
    r"|.*\.[0-9]+\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp",
    re.DOTALL,
)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_64_BITS = 2**64 - 1
_pack = struct.Struct(">QQQQ").pack
# Of the filesystems in use the coarsest clock has steps of two seconds.
_CLOCK_GRAIN_NS = 2_000_000_000


class LinksUnsupportedError(OSError):
    """The filesystem has no hard links."""


def read_document(path: str) -> Blob | None:
    """Read a document; None if there is no regular file."""
    now = time.time_ns()
    if (found := read_file(path)) is None:
        return None
    data, status = found
    return Blob(
        data,
        content_version(data),
        from_nanoseconds(status.st_mtime_ns),
        fingerprint_if_settled(status, now),
    )


def read_file(path: str) -> tuple[bytes, os.stat_result] | None:
    """Read a file whole, with its status; None if there is no regular file."""
    # O_NONBLOCK, because opening a FIFO would wait for its writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link; a socket
            return None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        chunks = []
        while chunk := os.read(descriptor, max(status.st_size, 4096) + 1):
            chunks.append(chunk)
    finally:
        os.close(descriptor)
    return b"".join(chunks), status


def write_file(path: str, data: bytes, effect: Effect, *, create: bool, sync: bool) -> None:
    """Write a file under another name, then give it its own.

    If anything fails before that, nothing is left: no temporary file and no new folder.

    Args:
        path: Its name.
        data: Its content.
        effect: Is told when it gets its name.
        create: Whether that must be free; otherwise what is there is replaced.
        sync: Whether it shall survive a power cut, but for its name: see `sync_folder`.

    Raises:
        FileExistsError: It was to be created, and the name is taken.
        LinksUnsupportedError: It was to be created, and the filesystem cannot do that in one step.
    """
    folder = os.path.dirname(path)  # noqa: PTH120
    temporary = f"{folder}/.statekeep-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    made: list[str] = []
    try:
        descriptor = open_below(folder, temporary, _NEW, made)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if sync:
                _flush(descriptor)
        finally:
            os.close(descriptor)
        with effect:
            if create:
                link(temporary, path)
            else:
                os.replace(temporary, path)  # noqa: PTH105
        if create:
            os.unlink(temporary)  # noqa: PTH108
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        remove_folders(made)
        raise
    if sync:
        sync_names_of(made)


def link(path: str, to: str) -> None:
    """Give a file another name as well, if that is free.

    Raises:
        FileExistsError: It is not.
        LinksUnsupportedError: The filesystem cannot do that.
    """
    try:
        os.link(path, to)
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise LinksUnsupportedError(error.errno, error.strerror) from error
        raise


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _flush(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a filesystem that does not flush folders
            raise
    finally:
        os.close(descriptor)


def sync_names_of(folders: list[str]) -> None:
    """Make the names of folders survive a power cut."""
    for folder in reversed(folders):
        sync_folder(os.path.dirname(folder))  # noqa: PTH120


def open_below(folder: str, path: str, flags: int, made: list[str]) -> int:
    """Open a file to be created in a folder that may have to be made first.

    Args:
        folder: The folder.
        path: The file in it.
        flags: How to open it.
        made: Gets the folders that were made, also if all fails then.
    """
    for _ in range(100):
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            # The folder is new, or another writer that failed has just removed it again.
            made += make_folders(folder)
    raise OSError(errno.ENOENT, "the folder vanishes again and again")


def make_folders(folder: str) -> list[str]:
    """Make a folder and what leads to it; give those that were made, the outermost first."""
    made: list[str] = []
    missing = []
    while not os.path.isdir(folder):  # noqa: PTH112
        missing.append(folder)
        folder = os.path.dirname(folder)  # noqa: PTH120
    for each in reversed(missing):
        try:
            os.mkdir(each)  # noqa: PTH102
        except FileExistsError:
            continue
        except FileNotFoundError:
            break  # another writer that failed has removed its parent again
        except BaseException:
            remove_folders(made)
            raise
        made.append(each)
    return made


def remove_folders(folders: list[str]) -> None:
    """Take back folders that were made for nothing, unless someone has written there meanwhile."""
    for each in reversed(folders):
        with contextlib.suppress(OSError):
            os.rmdir(each)  # noqa: PTH106


def is_document(path: str) -> bool:
    """Whether there is a regular file, and not by a link."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_obstacle(path: str) -> bool:
    """Whether there is something else than a regular file."""
    mode = _mode(path)
    return mode is not None and not stat.S_ISREG(mode)


def is_leftover(name: str) -> bool:
    """Whether a name is that of a file that was being written, by us or by the original."""
    return _LEFTOVER.fullmatch(name) is not None


def is_older(status: os.stat_result, age: timedelta) -> bool:
    """Whether a file was last written longer ago, by this machine's clock."""
    return utc_now().timestamp() - status.st_mtime > age.total_seconds()


def fingerprint(status: os.stat_result) -> str:
    """A text that changes when a file does, unless it did so within one step of the clock."""
    # Packed, because that takes a third of the time of writing out four numbers.
    return _pack(
        status.st_ino,
        status.st_size,
        status.st_mtime_ns & _64_BITS,
        status.st_ctime_ns & _64_BITS,
    ).hex()


def fingerprint_if_settled(status: os.stat_result, now_ns: int) -> str | None:
    """The fingerprint of a file if no later change can have the same; None if it is too young.

    Args:
        status: Its status.
        now_ns: The time just before the status was read; nanoseconds since 1970.
    """
    return fingerprint(status) if is_settled(status, now_ns) else None


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether a status was old enough for a later change to show in it.

    Args:
        status: The status.
        now_ns: The time just before it was read; nanoseconds since 1970.
    """
    # What was changed in this very step of the clock may be changed again in it, with neither its
    # times nor its size telling.
    return max(status.st_mtime_ns, status.st_ctime_ns) + _CLOCK_GRAIN_NS < now_ns


def _mode(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _flush(descriptor: int) -> None:
    # On macOS fsync() leaves the data in the drive's own cache.
    if full_sync := getattr(fcntl, "F_FULLFSYNC", None):
        fcntl.fcntl(descriptor, full_sync)
    else:
        os.fsync(descriptor)
