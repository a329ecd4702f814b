"""What is in one folder, and also what others replace while it is read."""

from __future__ import annotations

import os
import stat
import time
from functools import cache
from typing import TYPE_CHECKING, Protocol

from statekeep_backends.local.files import is_settled, look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Found", "list_folder"]

_LOOKS = 4
# struct linux_dirent64: inode, offset, length, type, and the name up to a NUL.
_LENGTH_AT, _NAME_AT = 16, 19
_ROOM_FOR_OTHERS = 65536


class Found(Protocol):
    """What was met in a folder: an `os.DirEntry`, or what is asked of one here."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def is_file(self, *, follow_symlinks: bool) -> bool:
        """Whether it is a regular file."""
        ...

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        """Whether it is a folder."""
        ...

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        """What it is now."""
        ...


def list_folder(folder: int) -> list[Found]:
    """What is in an open folder.

    On some filesystems (btrfs, tmpfs) a file that is replaced changes its place among the others,
    perhaps to one that was passed already, or that this reader will never reach. So a folder that
    has changed a moment ago is read again, and a few times while it goes on changing: on Linux
    each time in one call, in which nobody can change it. What was met in any look counts; that it
    is gone by now is found out when its status is asked for.
    """
    found: list[Found] = []
    for look in range(_LOOKS):
        now = time.time_ns()
        before = os.fstat(folder)
        names = _read_at_once(folder, found) if look else None
        if names is None:
            found = _united(_read(folder), found)
        else:
            found += _look_at(folder, names.difference([entry.name for entry in found]))
        # A change in the same step of the clock as the one before it does not show.
        if _times(before) == _times(os.fstat(folder)) and (look or is_settled(before, now)):
            break
    return found


def _read(folder: int) -> list[Found]:
    # From the beginning, and with what was added since it was opened.
    os.lseek(folder, 0, os.SEEK_SET)
    with os.scandir(folder) as entries:
        return list(entries)


def _united(new: list[Found], old: list[Found]) -> list[Found]:
    if not old:
        return new
    names = {entry.name for entry in new}
    return new + [entry for entry in old if entry.name not in names]


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns


def _read_at_once(folder: int, seen: list[Found]) -> set[str] | None:
    """All names of one moment; None if this system cannot tell them."""
    if (read := _reader()) is None:
        return None
    # Os.scandir() asks for 32 KiB at a time, and others come in between.
    room = _ROOM_FOR_OTHERS + sum(_NAME_AT + 9 + 4 * len(entry.name) for entry in seen)
    buffer = bytearray(room)
    os.lseek(folder, 0, os.SEEK_SET)
    length = read(folder, buffer)
    if length <= 0:
        return None
    data = bytes(memoryview(buffer)[:length])
    if read(folder, buffer) != 0:  # there was more
        return None
    shorts = memoryview(data).cast("H")
    names = []
    at = 0
    while at < length:
        end = at + shorts[(at + _LENGTH_AT) // 2]
        # The buffer was zero, so what follows the name in it is, too.
        names.append(data[at + _NAME_AT : end].rstrip(b"\0"))
        at = end
    return {*os.fsdecode(b"\0".join(names)).split("\0")} - {".", ".."}


@cache
def _reader() -> Callable[[int, bytearray], int] | None:
    try:
        import ctypes  # noqa: PLC0415 - most folders are quiet

        getdents = ctypes.CDLL(None).getdents64
    except (ImportError, AttributeError, OSError):
        return None
    getdents.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    getdents.restype = ctypes.c_ssize_t

    def read(folder: int, buffer: bytearray) -> int:
        place = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        length: int = getdents(folder, place, len(buffer))
        return length

    return read


def _look_at(folder: int, names: set[str]) -> Iterator[Found]:
    for name in names:
        if status := look_at(folder, name):
            yield _Late(folder, name, status.st_mode)


class _Late:
    """What only the look at all names at once has shown."""

    __slots__ = ("_folder", "_mode", "name")

    def __init__(self, folder: int, name: str, mode: int) -> None:
        self._folder = folder
        self._mode = mode
        self.name = name

    def is_file(self, *, follow_symlinks: bool) -> bool:
        return not follow_symlinks and stat.S_ISREG(self._mode)

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        return not follow_symlinks and stat.S_ISDIR(self._mode)

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        return os.stat(self.name, dir_fd=self._folder, follow_symlinks=follow_symlinks)
