"""Checks the filesystem of a database: SQLite needs shared memory, and locks that work."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from statekeep.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["flush_folder", "kind_of", "refuse_network"]

_MOUNTS: Final = Path("/proc/self/mountinfo")
_is_network = re.compile(
    r"nfs\d?|cifs|smb\w*|afs|ncp\w*|ceph|lustre|gpfs|beegfs|glusterfs|ocfs2|gfs2|pvfs2|orangefs"
    r"|coda|davfs|fuse\.(sshfs|s3fs|gcsfuse|glusterfs|ceph\w*|rclone|davfs\w*|juicefs|moosefs"
    r"|curlftpfs|blobfuse\w*|goofys|mountpoint-s3)"
).fullmatch


def refuse_network(folder: Path) -> None:
    """Refuse a folder that other machines may share, where that can be determined.

    Raises:
        UnsupportedError: It is on a network filesystem.
        OSError: It cannot be accessed.
    """
    kind = kind_of(folder.stat().st_dev)
    if kind is not None and _is_network(kind):
        raise UnsupportedError(
            f"the file would be on {kind}, and SQLite loses data if machines share a file; choose "
            "one on a local disk, or another store",
            landed="no",
        )


@lru_cache(maxsize=64)
def kind_of(device: int) -> str | None:
    """Return the type of the filesystem on a device; None if unknown."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError):
        return _find(device, _MOUNTS.read_text(errors="replace").splitlines())
    return None


def _find(device: int, mounts: Iterable[str]) -> str | None:
    """Find the type in lines like ``36 35 98:0 /a /b rw master:1 - ext4 /dev/sda rw``."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts:
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [wanted]:
            return after.partition(" ")[0] or None
    return None


def flush_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where folders can be flushed."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
