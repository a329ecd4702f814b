"""Finds things in a folder that are not documents."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from statekeep.errors import InvalidKeyError
from statekeep.store import Anomaly, check_key, is_key
from statekeep.store.keys import (
    CACHE,
    QUARANTINE,
    RESERVED,
    SESSIONS,
    TRASH,
    WRITTEN_BY,
    parse_document_key,
)
from statekeep_backends.local.files import (
    LOCKS,
    TEMPORARY_SUFFIX,
    is_leftover,
    is_older,
    look_at,
)
from statekeep_backends.local.folders import TO_READ, NotAFolderError
from statekeep_backends.local.locks import is_free, is_lock_name
from statekeep_backends.local.walking import Contents, walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from statekeep.store import RepairAction
    from statekeep_backends.local.folders import Folders
    from statekeep_backends.local.listing import Found

__all__ = ["FileIdentity", "identify", "inspect_folder", "inspect_locks"]

_PAUSE = 0.01
_OURS = {*WRITTEN_BY, RESERVED}
_OUR_FOLDERS = {*_OURS, CACHE, LOCKS, QUARANTINE, TRASH}
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class FileIdentity(NamedTuple):
    """How something is recognized before it is moved or removed.

    Attributes:
        path: Its path, relative to the base.
        inode: Its inode number.
        mode: Its mode, which includes its type.
    """

    path: str
    inode: int
    mode: int


def inspect_folder(folders: Folders, older_than: timedelta) -> Iterator[Anomaly]:
    """Find things that are not documents, except among locks; in quarantine, only leftovers.

    Outside our own folders there can be anything, even a whole project: there, findings are only
    remarks, except leftovers, whose names say what they are.

    Args:
        folders: The store's folders.
        older_than: Minimum age of leftovers since the last write.
    """
    for contents in walk(folders):
        # Every volume has a `lost+found` for fsck, closed to everyone else.
        if contents.closed and os.path.basename(contents.path) != "lost+found":  # noqa: PTH119
            reason = (
                f"it cannot be entered ({contents.closed.strerror}); what it holds is not known"
            )
            harmless = not _is_ours(contents.path)
            yield Anomaly("closed folder", _printable(contents.path), reason, None, harmless)
        in_quarantine = f"{contents.path}/".startswith(f"{QUARANTINE}/")
        for entry in chain(contents.folders, contents.files, contents.others):
            anomaly = None
            with contextlib.suppress(FileNotFoundError):
                anomaly = _inspect(entry, contents, older_than)
            if anomaly is None:
                continue
            if anomaly.kind == "leftover":
                yield anomaly
            elif not _is_ours(contents.path_of(entry.name)):
                yield replace(anomaly, action=None, harmless=True)
            elif not in_quarantine:
                yield anomaly


def inspect_locks(folders: Folders, patience: float) -> Iterator[Anomaly]:
    """Find things among the locks that are not locks, and locks that someone does not release.

    Args:
        folders: The store's folders.
        patience: Seconds after which a writer would have given up.
    """
    try:
        folder = folders.find(LOCKS, TO_READ)
    except NotAFolderError:
        return  # `inspect_folder` reports this
    if folder is None:
        return
    try:
        yield from _inspect_locks(folder, patience)
    finally:
        os.close(folder)


def identify(folder: int, path: str) -> FileIdentity | None:
    """Return how to recognize something; None if it is gone.

    Args:
        folder: The open folder that holds it.
        path: Its path, relative to the base.
    """
    status = look_at(folder, path.rpartition("/")[2])
    return status and FileIdentity(path, status.st_ino, status.st_mode)


def _is_ours(path: str) -> bool:
    return path.partition("/")[0] in _OURS


def _inspect_locks(folder: int, patience: float) -> Iterator[Anomaly]:
    held: list[Found] = []
    with os.scandir(folder) as entries:
        found: list[Found] = list(entries)
    contents = Contents(LOCKS, folder, found, [], [])
    for entry in found:
        if is_lock_name(entry.name) and entry.is_file(follow_symlinks=False):
            held.append(entry)
        else:
            yield _anomaly(
                "lock", entry, contents, "not a lock file, and in the way of one", "move"
            )
    deadline = time.monotonic() + patience
    while held:
        for entry in list(held):
            try:
                if is_free(folder, entry.name):
                    held.remove(entry)
            except FileNotFoundError:
                held.remove(entry)
            except OSError as error:
                held.remove(entry)
                reason = f"it cannot be locked ({error.strerror}), so writers fail"
                yield _anomaly("lock", entry, contents, reason, None)
        if time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE if held else 0)
    for entry in held:
        reason = (
            f"it was held on every attempt for {patience} seconds, after which writers give up; "
            "end or wake the process that holds it, and leave the file alone"
        )
        yield _anomaly("lock", entry, contents, reason, None)


def _inspect(entry: Found, contents: Contents, older_than: timedelta) -> Anomaly | None:
    if entry.is_dir(follow_symlinks=False):
        return _inspect_subfolder(entry, contents)
    return _inspect_file(entry, contents, older_than)


def _inspect_subfolder(entry: Found, contents: Contents) -> Anomaly | None:
    if not _is_named_like_a_document(entry.name):
        return None
    if _is_empty(contents.folder, entry.name):
        reason = "an empty folder named like a document"
        return _anomaly("no document", entry, contents, reason, "remove")
    reason = "a folder named like a document, and not empty"
    # Sessions have no categories.
    harmless = contents.path != SESSIONS and not contents.path.startswith(f"{SESSIONS}/")
    return _anomaly("no document", entry, contents, reason, None, harmless=harmless)


def _is_empty(folder: int, name: str) -> bool:
    try:
        inner = os.open(name, TO_READ, dir_fd=folder)
    except OSError:
        return False
    try:
        with os.scandir(inner) as entries:
            return next(entries, None) is None
    except OSError:
        return False
    finally:
        os.close(inner)


def _inspect_file(entry: Found, contents: Contents, older_than: timedelta) -> Anomaly | None:
    status = entry.stat(follow_symlinks=False)
    key = contents.path_of(entry.name)
    if key in _OUR_FOLDERS:
        reason = "not a folder, and in the way of one of statekeep's, so writing fails"
        return _anomaly("no document", entry, contents, reason, "move" if key == LOCKS else None)
    if stat.S_ISLNK(status.st_mode):
        target = _printable(os.readlink(entry.name, dir_fd=contents.folder))
        reason = f"a link to {target!r}; links are not followed"
        return _anomaly("no document", entry, contents, reason, "move")
    if not stat.S_ISREG(status.st_mode):
        if not _is_named_like_a_document(entry.name):
            return None
        what = _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
        return _anomaly("no document", entry, contents, f"{what} named like a document", "move")
    if is_leftover(entry.name):
        if not is_older(status, older_than):
            return None
        return _anomaly("leftover", entry, contents, "from a write that never finished", "remove")
    if is_key(key):
        return None
    if _is_named_like_a_document(entry.name):
        return _anomaly("no key", entry, contents, _broken_rule(key), "move")
    return _anomaly("no key", entry, contents, _broken_rule(key), None, harmless=True)


def _anomaly(
    kind: Literal["leftover", "lock", "no document", "no key"],
    entry: Found,
    contents: Contents,
    reason: str,
    action: RepairAction | None,
    *,
    harmless: bool = False,
) -> Anomaly:
    path = contents.path_of(entry.name)
    identity = identify(contents.folder, path)
    return Anomaly(kind, _printable(path), reason, action, harmless, identity)


def _is_named_like_a_document(name: str) -> bool:
    return parse_document_key(name) is not None


def _broken_rule(key: str) -> str:
    if key.endswith(TEMPORARY_SUFFIX):
        return f"no document ends with {TEMPORARY_SUFFIX!r}, and it is not one of our leftovers"
    if _printable(key) != key:
        return "its name is not UTF-8"
    try:
        check_key(key)
    except InvalidKeyError as error:
        return error.message
    raise AssertionError(key)  # pragma: no cover - it is asked for illegal keys only


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
