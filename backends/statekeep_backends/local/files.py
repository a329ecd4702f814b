"""Single files in an open folder: read whole, and written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from statekeep.store import Blob, content_version
from statekeep.store.limits import too_large
from statekeep.timestamps import from_nanoseconds, utc_now
from statekeep_backends.local.flushes import flush
from statekeep_backends.local.trouble import TROUBLE

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = [
    "LOCKS",
    "TEMPORARY_SUFFIX",
    "FolderGoneError",
    "New",
    "NoLinkError",
    "TooLargeError",
    "Written",
    "fingerprint",
    "fingerprint_if_settled",
    "is_document",
    "is_leftover",
    "is_older",
    "is_settled",
    "link",
    "look_at",
    "new_temporary_name",
    "read_document",
    "read_file",
    "replace",
]

LOCKS = ".statekeep/locks"
"""Where the locks are; no key is below it."""

TEMPORARY_SUFFIX = ".tmp"
"""The suffix of files that are being written; no key has it."""

# Our own, and the original's `{name}.{pid}.{uuid}.tmp`; no other file with that suffix is removed.
_LEFTOVER = re.compile(
    r"\.statekeep-[0-9a-f]{16}\.tmp"
    r"|.*\.[0-9]+\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp",
    re.DOTALL,
)
# O_NONBLOCK, because opening a FIFO would wait for its writer.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_PRIVATE = 0o600
_GROUP = 0o070
_64_BITS = 2**64 - 1
_pack = struct.Struct(">QQQQ").pack
# The coarsest clock among filesystems in use has steps of two seconds.
_CLOCK_GRAIN_NS = 2_000_000_000


class NoLinkError(OSError):
    """The filesystem cannot give a file a second name."""


class FolderGoneError(OSError):
    """Someone removed the folder that a file was about to be written to."""


class New(NamedTuple):
    """How to write a file.

    Attributes:
        mode: Its mode, if it replaces nothing.
        sync: Whether its content must survive a power cut.
        replaced: The status of the file that it replaces, whose mode is kept.
    """

    mode: int
    sync: bool
    replaced: os.stat_result | None = None


def look_at(folder: int, name: str) -> os.stat_result | None:
    """Return the status of a name, without following links; None if there is nothing."""
    try:
        return os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None


def is_document(status: os.stat_result | None) -> bool:
    """Return whether this is a regular file."""
    return status is not None and stat.S_ISREG(status.st_mode)


class TooLargeError(OSError):
    """A file is larger than the limit for reading."""


def read_document(folder: int, name: str, most: int) -> Blob | None:
    """Read a document; None if there is no regular file.

    Raises:
        TooLargeError: It is larger than `most` bytes.
    """
    now = time.time_ns()
    if (found := read_file(folder, name, most)) is None:
        return None
    data, status = found
    return Blob(
        data,
        content_version(data),
        from_nanoseconds(status.st_mtime_ns),
        fingerprint_if_settled(status, now),
    )


def read_file(folder: int, name: str, most: int) -> tuple[bytes, os.stat_result] | None:
    """Read a whole file, with its status; None if there is no regular file.

    Raises:
        TooLargeError: It is larger than `most` bytes.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
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
        if status.st_size > most:
            raise TooLargeError(errno.EFBIG, too_large(status.st_size, most))
        # Count the bytes, because a file can grow while it is read, and some report no size.
        chunks, room = [], most + 1
        while chunk := os.read(descriptor, min(max(status.st_size, 4096) + 1, room)):
            chunks.append(chunk)
            if len(chunk) == status.st_size:  # one more was requested, and was not there
                break
            room -= len(chunk)
            if not room:
                raise TooLargeError(errno.EFBIG, too_large(None, most))
    finally:
        os.close(descriptor)
    return b"".join(chunks), status


def new_temporary_name() -> str:
    """Return a name for an unfinished file, which a sweep recognizes."""
    return f".statekeep-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


class Written:
    """A new file under a temporary name, ready to be given its final one.

    Use it as a context manager: if anything fails, no temporary file is left behind.

    Args:
        folder: The open folder.
        data: The content.
        new: How to write it.

    Raises:
        FolderGoneError: The folder no longer exists, and nothing was written.
        NoFlushError: The filesystem cannot make it survive a power cut.
    """

    __slots__ = ("_data", "_folder", "_new", "_temporary")

    def __init__(self, folder: int, data: bytes, new: New) -> None:
        self._folder = folder
        self._data = data
        self._new = new
        self._temporary = new_temporary_name()

    def __enter__(self) -> str:
        try:
            self._write()
        except BaseException:
            self._remove()
            raise
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._remove()

    def _write(self) -> None:
        new = self._new
        try:
            # Never more permissive than the file that it replaces.
            mode = _PRIVATE if new.replaced else new.mode
            descriptor = os.open(self._temporary, _NEW, mode, dir_fd=self._folder)
        except FileNotFoundError as error:
            raise FolderGoneError(error.errno, error.strerror) from error
        try:
            view = memoryview(self._data)
            while view:
                view = view[os.write(descriptor, view) :]
            if new.replaced:
                _keep_mode(descriptor, new.replaced)
            if new.sync:
                flush(descriptor)
        finally:
            os.close(descriptor)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._temporary, dir_fd=self._folder)


def replace(folder: int, temporary: str, name: str) -> None:
    """Give a file its final name, replacing what has that name."""
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def link(folder: int, name: str, to_folder: int, to: str) -> None:
    """Give a file another name as well, if that name is free.

    Raises:
        FileExistsError: The name is taken.
        NoLinkError: The filesystem cannot do that.
        OSError: The filesystem can, but not right now.
    """
    try:
        os.link(name, to, src_dir_fd=folder, dst_dir_fd=to_folder, follow_symlinks=False)
    except OSError as error:
        # Over a network, it may have been done although the answer was lost.
        if _are_one(folder, name, to_folder, to):
            return
        if isinstance(error, FileExistsError) or error.errno in TROUBLE:
            raise
        raise NoLinkError(error.errno, error.strerror) from error


def _are_one(folder: int, name: str, to_folder: int, to: str) -> bool:
    try:
        this, that = look_at(folder, name), look_at(to_folder, to)
    except OSError:
        return False
    return bool(this and that and os.path.samestat(this, that))


def is_leftover(name: str) -> bool:
    """Return whether a name is that of an unfinished file, ours or the original's."""
    return _LEFTOVER.fullmatch(name) is not None


def is_older(status: os.stat_result, age: timedelta) -> bool:
    """Return whether a file was last written longer ago than this, by this machine's clock."""
    return utc_now().timestamp() - status.st_mtime > age.total_seconds()


def fingerprint(status: os.stat_result) -> str:
    """Return text that changes when a file does, unless within a single step of the clock."""
    # Packing takes a third of the time of formatting four numbers.
    return _pack(
        status.st_ino,
        status.st_size,
        status.st_mtime_ns & _64_BITS,
        status.st_ctime_ns & _64_BITS,
    ).hex()


def fingerprint_if_settled(status: os.stat_result, now_ns: int) -> str | None:
    """Return a file's fingerprint if no later change can have the same; None if it is too young.

    Args:
        status: The file's status.
        now_ns: The time just before the status was read, in nanoseconds since 1970.
    """
    return fingerprint(status) if is_settled(status, now_ns) else None


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    """Return whether a status is old enough that a later change will show in it.

    Args:
        status: The status.
        now_ns: The time just before it was read, in nanoseconds since 1970.
    """
    # A file that changed within the current step of the clock can change again in it, with neither
    # its times nor its size showing that.
    return max(status.st_mtime_ns, status.st_ctime_ns) + _CLOCK_GRAIN_NS < now_ns


def _keep_mode(descriptor: int, replaced: os.stat_result) -> None:
    mode = stat.S_IMODE(replaced.st_mode) & 0o777
    if mode == _PRIVATE:
        return
    if os.fstat(descriptor).st_gid != replaced.st_gid:
        mode &= ~_GROUP  # it would apply to a different group
    # Some filesystems cannot set modes; the file then keeps its own, which is more restrictive.
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, mode)
