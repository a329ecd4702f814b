"""Single files in an open folder: read whole, written whole or not at all."""

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
"""Where the locks are; no key lies there."""

TEMPORARY_SUFFIX = ".tmp"
"""Ends the names of files that are being written; no key ends so."""

# Ours, and the original's `{name}.{pid}.{uuid}.tmp`; nothing else that ends so is ever removed.
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
# Of the filesystems in use the coarsest clock has steps of two seconds.
_CLOCK_GRAIN_NS = 2_000_000_000


class NoLinkError(OSError):
    """The filesystem does not give a file a second name."""


class FolderGoneError(OSError):
    """Someone has removed the folder in which a file was to be written."""


class New(NamedTuple):
    """How a file is to be written.

    Attributes:
        mode: Its mode, if nothing is replaced.
        sync: Whether its content shall survive a power cut.
        replaced: The status of the file that it replaces; its mode is kept.
    """

    mode: int
    sync: bool
    replaced: os.stat_result | None = None


def look_at(folder: int, name: str) -> os.stat_result | None:
    """The status of what has a name, without following it; None if there is nothing."""
    try:
        return os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None


def is_document(status: os.stat_result | None) -> bool:
    """Whether there is a regular file."""
    return status is not None and stat.S_ISREG(status.st_mode)


class TooLargeError(OSError):
    """A file that is larger than what is read."""


def read_document(folder: int, name: str, most: int) -> Blob | None:
    """Read a document; None if there is no regular file.

    Raises:
        TooLargeError: It has more bytes than these.
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
    """Read a file whole, with its status; None if there is no regular file.

    Raises:
        TooLargeError: It has more bytes than these.
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
        # Counted, because a file may grow meanwhile, and some tell no size at all.
        chunks, room = [], most + 1
        while chunk := os.read(descriptor, min(max(status.st_size, 4096) + 1, room)):
            chunks.append(chunk)
            if len(chunk) == status.st_size:  # one more was asked for, and was not there
                break
            room -= len(chunk)
            if not room:
                raise TooLargeError(errno.EFBIG, too_large(None, most))
    finally:
        os.close(descriptor)
    return b"".join(chunks), status


def new_temporary_name() -> str:
    """A name for a file that is not finished, by which a sweep knows it."""
    return f".statekeep-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


class Written:
    """A file with some content under another name, for it to be given its own.

    Use it as a context manager: if anything fails, no temporary file is left.

    Args:
        folder: The open folder.
        data: Its content.
        new: How.

    Raises:
        FolderGoneError: There is no such folder any more, and nothing was written.
        NoFlushError: It cannot be made to survive a power cut.
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
            # Never wider than the file that it replaces.
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
    """Give a file its name, which whatever had it loses."""
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def link(folder: int, name: str, to_folder: int, to: str) -> None:
    """Give a file another name as well, if that is free.

    Raises:
        FileExistsError: It is not.
        NoLinkError: The filesystem does not do that.
        OSError: It does, but not now.
    """
    try:
        os.link(name, to, src_dir_fd=folder, dst_dir_fd=to_folder, follow_symlinks=False)
    except OSError as error:
        # Over a network it may have been done, and the answer lost.
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


def _keep_mode(descriptor: int, replaced: os.stat_result) -> None:
    mode = stat.S_IMODE(replaced.st_mode) & 0o777
    if mode == _PRIVATE:
        return
    if os.fstat(descriptor).st_gid != replaced.st_gid:
        mode &= ~_GROUP  # they are others by now
    # Some filesystems have no modes to give; what is kept then is what the file has: less.
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, mode)
