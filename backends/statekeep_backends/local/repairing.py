"""Moves things in a folder that are not documents out of the way."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING
from urllib.parse import quote

from statekeep.store import is_key
from statekeep_backends.local.files import link, look_at
from statekeep_backends.local.folders import TO_PASS, TO_READ, NotAFolderError
from statekeep_backends.local.inspection import FileIdentity, identify

if TYPE_CHECKING:
    from statekeep.store import Anomaly
    from statekeep_backends.local.effect import Landed
    from statekeep_backends.local.folders import Folders

__all__ = ["ChangedError", "repair"]


class ChangedError(Exception):
    """Something has changed since it was seen.

    Attributes:
        landed: Whether the repair may have landed.
    """

    def __init__(self, landed: Landed = "no") -> None:
        super().__init__()
        self.landed = landed


def repair(folders: Folders, anomaly: Anomaly, quarantine: str) -> str | None:
    """Move something to quarantine or remove it, if it is still what was seen.

    Args:
        folders: The store's folders.
        anomaly: What was seen.
        quarantine: The prefix to move it below.

    Returns:
        Where it went, relative to the base; None if it was removed.

    Raises:
        ChangedError: It has changed since it was seen.
    """
    identity = anomaly.identity
    if not isinstance(identity, FileIdentity):
        raise ChangedError
    path = identity.path.rpartition("/")[0]
    try:
        folder = folders.find(path, TO_READ if folders.sync else TO_PASS)
    except NotAFolderError:
        raise ChangedError from None
    if folder is None:
        raise ChangedError
    try:
        if identify(folder, identity.path) != identity:
            raise ChangedError
        folders.prepare(folder)
        to = None
        if anomaly.action == "remove":
            _remove(folder, identity)
        else:
            to = f"{quarantine}/{_as_key(identity.path)}"
            _move(folders, folder, identity, to)
        folders.flush(path, folder)
    finally:
        os.close(folder)
    return to


def _remove(folder: int, identity: FileIdentity) -> None:
    name = identity.path.rpartition("/")[2]
    try:
        if stat.S_ISDIR(identity.mode):
            # Fails if it is no longer empty.
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
            raise
        raise ChangedError from None


def _move(folders: Folders, folder: int, identity: FileIdentity, to: str) -> None:
    name = identity.path.rpartition("/")[2]
    to_path, _, to_name = to.rpartition("/")
    with folders.writing(to_path, make=True) as to_folder:
        if look_at(to_folder, to_name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), to)
        try:
            os.rename(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder)
        except FileNotFoundError:
            raise ChangedError from None
        if identify(to_folder, to) != identity._replace(path=to):
            # Someone put a document there at this very moment: give it its name back.
            with contextlib.suppress(OSError):
                link(to_folder, to_name, folder, name)
                os.unlink(to_name, dir_fd=to_folder)
                raise ChangedError
            raise ChangedError("unknown")
        folders.flush(to_path, to_folder)


def _as_key(path: str) -> str:
    """Return the path with everything encoded that a key cannot contain."""
    return "/".join(
        segment if is_key(segment) else _encoded(os.fsencode(segment))
        for segment in path.split("/")
    )


def _encoded(name: bytes) -> str:
    return f"{quote(name)[:160]}~{hashlib.sha256(name).hexdigest()}"
