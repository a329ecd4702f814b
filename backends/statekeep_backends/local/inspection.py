"""What lies in a folder and is no document, and how to get it out of the way."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote

from statekeep.errors import InvalidKeyError
from statekeep.store import Anomaly, check_key, is_key
from statekeep.store.keys import (
    CACHE,
    QUARANTINE,
    RESERVED,
    SESSIONS,
    TRASH,
    parse_document_key,
)
from statekeep_backends.local.files import (
    LOCKS,
    TEMPORARY_SUFFIX,
    is_leftover,
    is_older,
    link,
    make_folders,
    remove_folders,
    sync_folder,
    sync_names_of,
)
from statekeep_backends.local.locks import is_free, is_lock_name
from statekeep_backends.local.walking import walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from statekeep.store import RepairAction

__all__ = ["ChangedError", "FileIdentity", "inspect_folder", "inspect_locks", "repair"]

_PAUSE = 0.01
_OUR_FOLDERS = {SESSIONS, RESERVED, CACHE, LOCKS, QUARANTINE, TRASH}
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class ChangedError(Exception):
    """What lies there is not what was seen."""


class FileIdentity(NamedTuple):
    """By what something is known again before it is moved or removed."""

    path: str
    inode: int
    mode: int


def inspect_folder(base: str, older_than: timedelta) -> Iterator[Anomaly]:
    """Find what is no document, except among the locks; in quarantine, leftovers only.

    Args:
        base: The store's folder.
        older_than: Only leftovers that were last written longer ago.
    """
    for folder in walk(base):
        # `lost+found` is fsck's, on any volume, and closed to everybody else.
        if folder.closed and os.path.basename(folder.path) != "lost+found":  # noqa: PTH119
            reason = f"it may not be entered ({folder.closed.strerror}); what it holds is not known"
            yield Anomaly("closed folder", _shown(folder.path, base), reason, None)
        in_quarantine = f"{folder.path}/".startswith(f"{base}/{QUARANTINE}/")
        for entry in chain(folder.folders, folder.files, folder.others):
            anomaly = None
            with contextlib.suppress(FileNotFoundError):
                anomaly = _inspect(entry, base, older_than)
            if anomaly and (anomaly.kind == "leftover" or not in_quarantine):
                yield anomaly


def inspect_locks(base: str, patience: float) -> Iterator[Anomaly]:
    """Find what is no lock among the locks, and locks that somebody does not give back.

    Args:
        base: The store's folder, with a folder for locks.
        patience: Seconds after which a writer would have given up.
    """
    held: list[os.DirEntry[str]] = []
    with os.scandir(f"{base}/{LOCKS}") as entries:
        found = list(entries)
    for entry in found:
        if is_lock_name(entry.name) and entry.is_file(follow_symlinks=False):
            held.append(entry)
        else:
            yield _anomaly("lock", entry, base, "no lock file, and in the way of one", "move")
    deadline = time.monotonic() + patience
    while held:
        for entry in list(held):
            try:
                if is_free(entry.path):
                    held.remove(entry)
            except FileNotFoundError:
                held.remove(entry)
            except OSError as error:
                held.remove(entry)
                reason = f"it cannot be taken ({error.strerror}), so writers fail"
                yield _anomaly("lock", entry, base, reason, None)
        if time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE if held else 0)
    for entry in held:
        reason = (
            f"for {patience} seconds it was held whenever it was tried, and then writers give up; "
            "end or wake the process that holds it, and leave the file alone"
        )
        yield _anomaly("lock", entry, base, reason, None)


def repair(base: str, anomaly: Anomaly, quarantine: str, *, sync: bool) -> str | None:
    """Move something to quarantine or remove it, if it is still what was seen.

    Args:
        base: The store's folder.
        anomaly: What was seen.
        quarantine: Below which prefix it goes.
        sync: Whether that shall survive a power cut.

    Returns:
        Where it went, relative to the base; None if it was removed.

    Raises:
        ChangedError: It is not what was seen.
    """
    identity = anomaly.identity
    if not isinstance(identity, FileIdentity) or _identify(identity.path) != identity:
        raise ChangedError
    folder = os.path.dirname(identity.path)  # noqa: PTH120
    to = None
    if anomaly.action == "remove":
        _remove(identity)
    else:
        to = f"{quarantine}/{_as_key(identity.path[len(base) + 1 :])}"
        _move(identity, f"{base}/{to}", sync=sync)
    if sync:
        sync_folder(folder)
    return to


def _inspect(entry: os.DirEntry[str], base: str, older_than: timedelta) -> Anomaly | None:
    if entry.is_dir(follow_symlinks=False):
        return _inspect_subfolder(entry, base)
    return _inspect_file(entry, base, older_than)


def _inspect_subfolder(entry: os.DirEntry[str], base: str) -> Anomaly | None:
    if not _is_named_like_a_document(entry.name):
        return None
    with contextlib.suppress(OSError), os.scandir(entry.path) as entries:
        if next(entries, None) is None:
            reason = "an empty folder named like a document"
            return _anomaly("no document", entry, base, reason, "remove")
    reason = "a folder named like a document, with something in it"
    # It may well be a category; among the sessions there are none.
    harmless = not entry.path.startswith(f"{base}/{SESSIONS}/")
    return _anomaly("no document", entry, base, reason, None, harmless=harmless)


def _inspect_file(entry: os.DirEntry[str], base: str, older_than: timedelta) -> Anomaly | None:
    status = entry.stat(follow_symlinks=False)
    key = entry.path[len(base) + 1 :]
    if key in _OUR_FOLDERS:
        reason = "no folder, and in the way of one of ours, so that writing fails"
        return _anomaly("no document", entry, base, reason, "move" if key == LOCKS else None)
    if stat.S_ISLNK(status.st_mode):
        target = _printable(os.readlink(entry.path))  # noqa: PTH115
        reason = f"a link to {target!r}; no link is followed"
        return _anomaly("no document", entry, base, reason, "move")
    if not stat.S_ISREG(status.st_mode):
        if not _is_named_like_a_document(entry.name):
            return None
        what = _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
        return _anomaly("no document", entry, base, f"{what} named like a document", "move")
    if is_leftover(entry.name):
        if not is_older(status, older_than):
            return None
        return _anomaly("leftover", entry, base, "of a write that was never finished", "remove")
    if is_key(key):
        return None
    if _is_named_like_a_document(entry.name):
        return _anomaly("no key", entry, base, _broken_rule(key), "move")
    return _anomaly("no key", entry, base, _broken_rule(key), None, harmless=True)


def _anomaly(
    kind: Literal["leftover", "lock", "no document", "no key"],
    entry: os.DirEntry[str],
    base: str,
    reason: str,
    action: RepairAction | None,
    *,
    harmless: bool = False,
) -> Anomaly:
    place = _shown(entry.path, base)
    return Anomaly(kind, place, reason, action, harmless, _identify(entry.path))


def _identify(path: str) -> FileIdentity | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileIdentity(path, status.st_ino, status.st_mode)


def _remove(identity: FileIdentity) -> None:
    try:
        if stat.S_ISDIR(identity.mode):
            os.rmdir(identity.path)  # noqa: PTH106 - fails if there is something in it by now
        else:
            os.unlink(identity.path)  # noqa: PTH108
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
            raise
        raise ChangedError from None


def _move(identity: FileIdentity, to: str, *, sync: bool) -> None:
    folder = os.path.dirname(to)  # noqa: PTH120
    made = make_folders(folder)
    try:
        if os.path.lexists(to):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), to)
        os.rename(identity.path, to)  # noqa: PTH104
    except BaseException as error:
        remove_folders(made)
        if isinstance(error, FileNotFoundError):
            raise ChangedError from None
        raise
    if _identify(to) != identity._replace(path=to):
        # Someone has put a document there in this very moment: give it its name back.
        with contextlib.suppress(OSError):
            link(to, identity.path)
            os.unlink(to)  # noqa: PTH108
        raise ChangedError
    if sync:
        sync_folder(folder)
        sync_names_of(made)


def _is_named_like_a_document(name: str) -> bool:
    return parse_document_key(name) is not None


def _broken_rule(key: str) -> str:
    if key.endswith(TEMPORARY_SUFFIX):
        return f"no document ends with {TEMPORARY_SUFFIX!r}, and it is none of our leftovers"
    if _printable(key) != key:
        return "its name is not UTF-8"
    try:
        check_key(key)
    except InvalidKeyError as error:
        return error.message
    raise AssertionError(key)  # pragma: no cover - it is asked for illegal keys only


def _as_key(path: str) -> str:
    """The same path, with what no key may contain encoded."""
    return "/".join(
        segment if is_key(segment) else _encoded(os.fsencode(segment))
        for segment in path.split("/")
    )


def _encoded(name: bytes) -> str:
    return f"{quote(name)[:160]}~{hashlib.sha256(name).hexdigest()}"


def _shown(path: str, base: str) -> str:
    return _printable(path[len(base) + 1 :])


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
