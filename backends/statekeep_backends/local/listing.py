"""Lists one folder, including files that others replace while it is read."""

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
    """An entry of a folder: an `os.DirEntry`, or something with the part of it used here."""

    @property
    def name(self) -> str:
        """The entry's name."""
        ...

    def is_file(self, *, follow_symlinks: bool) -> bool:
        """Return whether it is a regular file."""
        ...

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        """Return whether it is a folder."""
        ...

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        """Return its current status."""
        ...


def list_folder(folder: int) -> list[Found]:
    """Return the entries of an open folder.

    On some filesystems (btrfs, tmpfs), a file that is replaced changes its position in the folder,
    perhaps to one that was already passed, or that this reader will never reach. So a folder that
    changed a moment ago is read again, and a few more times while it keeps changing: on Linux, each
    time in a single call, during which nobody can change it. An entry seen in any of these reads
    counts; whether it is gone by now shows when its status is read.
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
        # A change within the same step of the clock as the previous one does not show.
        if _times(before) == _times(os.fstat(folder)) and (look or is_settled(before, now)):
            break
    return found


def _read(folder: int) -> list[Found]:
    # From the start, including what was added since it was opened.
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
    """Return all names at one moment; None if this system cannot do that."""
    if (read := _reader()) is None:
        return None
    # os.scandir() reads 32 KiB at a time, and others can change the folder in between.
    room = _ROOM_FOR_OTHERS + sum(_NAME_AT + 9 + 4 * len(entry.name) for entry in seen)
    buffer = bytearray(room)
    os.lseek(folder, 0, os.SEEK_SET)
    length = read(folder, buffer)
    if length <= 0:
        return None
    data = bytes(memoryview(buffer)[:length])
    if read(folder, buffer) != 0:  # there were more
        return None
    shorts = memoryview(data).cast("H")
    names = []
    at = 0
    while at < length:
        end = at + shorts[(at + _LENGTH_AT) // 2]
        # The buffer was zeroed, so a name is followed by zeros.
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
    """An entry that only the read of all names at once has shown."""

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
