"""A store in a folder of plain files.

Writes go to a temporary file in the same folder and are renamed, so readers never lock and never
see half a document. What creates links the temporary file to its name, which fails if the name is
taken; every other write and delete holds an advisory lock. Below the base no symbolic link is
followed, and only regular files are documents.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    StateStoreError,
    UnavailableError,
)
from statekeep.store import (
    ABSENT,
    ANY,
    Anomaly,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    StateStore,
    Version,
    check_key,
    check_prefix,
    compare,
    content_version,
    is_key,
)
from statekeep_backends.local.effect import Effect
from statekeep_backends.local.files import (
    LOCKS,
    TEMPORARY_SUFFIX,
    LinksUnsupportedError,
    fingerprint,
    is_document,
    is_leftover,
    is_obstacle,
    is_older,
    read_document,
    read_file,
    sync_folder,
    write_file,
)
from statekeep_backends.local.inspection import (
    ChangedError,
    inspect_folder,
    inspect_locks,
    repair,
)
from statekeep_backends.local.locks import locked
from statekeep_backends.local.walking import walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from statekeep_backends.local.effect import Landed
    from statekeep_backends.local.walking import Folder

__all__ = ["Durability", "LocalDiskStore"]

_logger = logging.getLogger(__name__)

Durability = Literal["fsync", "rename"]


class LocalDiskStore(StateStore):
    """A store in a folder.

    All statekeep writers of a folder, in any process, are safe from each other. Against a writer
    that does not lock (the original, an editor) a moment between check and rename remains.

    Args:
        path: The folder; it is made by the first write, and nothing is touched before.
        durability: ``"fsync"``: what a call has acknowledged survives a power cut. ``"rename"``:
            it survives the death of the process, not of the machine; much faster.
        lock_timeout: Seconds to wait for another writer.

    Raises:
        ConfigError: The path is something else than a folder, an option is wrong, or Python does
            not write file names in UTF-8 here.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "fsync",
        lock_timeout: float = 10.0,
    ) -> None:
        if durability not in get_args(Durability):
            raise ConfigError(f"durability is 'fsync' or 'rename', not {durability!r}")
        if not 0 <= lock_timeout < inf:
            raise ConfigError(f"lock_timeout is a number of seconds, not {lock_timeout!r}")
        if sys.getfilesystemencoding() != "utf-8":
            raise ConfigError(
                f"file names are {sys.getfilesystemencoding()} here, and a store needs UTF-8, "
                "because others read it, too; set PYTHONUTF8=1"
            )
        # Not abspath(), which takes `link/..` for the folder that the link is in.
        self._base = str(Path(path).absolute())
        self._sync = durability == "fsync"
        self._lock_timeout = lock_timeout
        self._durable: set[str] = set()
        self._warned_of: set[str] = set()
        if os.path.lexists(self._base) and not os.path.isdir(self._base):  # noqa: PTH112
            raise ConfigError(f"{self._base} is no folder; a store is one")

    def __repr__(self) -> str:
        return self._base

    @property
    def capabilities(self) -> Capabilities:
        """All."""
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        try:
            return read_document(self._path(key)) if self._is_reached(key) else None
        except OSError as error:
            self._fail(error, key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        check_key(key)
        path = self._path(key)
        version = content_version(data)
        effect = Effect()
        try:
            self._refuse_links(key)
            if expect is ABSENT:
                self._create(key, path, data, effect)
            else:
                if expect is not ANY and not is_document(path):
                    compare(None, expect, key=key, store=self)
                with self._locked(key):
                    self._compare(key, path, expect)
                    write_file(path, data, effect, create=False, sync=self._sync)
            if self._sync:
                self._sync_name(path)
        except OSError as error:
            self._fail(error, key, effect.landed)
        return version

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        path = self._path(key)
        effect = Effect()
        try:
            if not self._is_reached(key) or not is_document(path):
                compare(None, expect, key=key, store=self)
                return
            with self._locked(key):
                self._compare(key, path, expect)
                with contextlib.suppress(FileNotFoundError), effect:
                    os.unlink(path)  # noqa: PTH108
                if self._sync:
                    sync_folder(os.path.dirname(path))  # noqa: PTH120
        except OSError as error:
            self._fail(error, key, effect.landed)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        return self._scan(prefix)

    def close(self) -> None:
        """See `StateStore.close`. Nothing stays open between calls."""

    def sweep(self, *, older_than: timedelta) -> int:
        """See `SupportsSweep.sweep`; by age alone, because a pid means nothing elsewhere."""
        swept = 0
        try:
            for folder in self._walk():
                for file in folder.files:
                    if is_leftover(file.name):
                        swept += _remove_if_older(file, older_than)
        except OSError as error:
            self._fail(error, None)
        return swept

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:
        """See `SupportsInspect.inspect`."""
        try:
            yield from inspect_folder(self._base, older_than)
            if self._is_reached(f"{LOCKS}/x"):
                yield from inspect_locks(self._base, self._lock_timeout)
        except OSError as error:
            self._fail(error, None)

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:
        """See `SupportsInspect.repair`."""
        check_key(quarantine)
        try:
            self._refuse_links(f"{quarantine}/x")
            return repair(self._base, anomaly, quarantine, sync=self._sync)
        except ChangedError:
            raise ConflictError(
                "it has changed or is gone; look again", key=anomaly.place, store=self
            ) from None
        except OSError as error:
            self._fail(error, anomaly.place)

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}"

    def _scan(self, prefix: str) -> Iterator[Entry]:
        try:
            if prefix and not self._is_reached(f"{prefix}/x"):
                if os.path.lexists(self._path(prefix)):
                    self._warn_of(prefix, "is no folder")
                return
            for folder in self._walk(prefix):
                yield from self._entries(folder.files)
        except OSError as error:
            self._fail(error, prefix or None)

    def _entries(self, files: list[os.DirEntry[str]]) -> list[Entry]:
        skip = len(self._base) + 1
        entries = []
        for file in files:
            key = file.path[skip:]
            if is_key(key):
                try:
                    entries.append(_entry(key, file.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
            elif not key.endswith(TEMPORARY_SUFFIX):
                self._warn_of(key, "is no legal key")
        return entries

    def _walk(self, prefix: str = "") -> Iterator[Folder]:
        for folder in walk(self._base, prefix):
            if folder.closed:
                # Somebody else's, a `lost+found` for one.
                key = folder.path.removeprefix(f"{self._base}/")
                self._warn_of(key, f"is closed ({folder.closed.strerror})")
            yield folder

    def _warn_of(self, key: str, why: str) -> None:
        if key not in self._warned_of:
            self._warned_of.add(key)
            _logger.warning("%r in %s %s, so not listed", key, self, why)

    def _sync_name(self, path: str) -> None:
        folder = os.path.dirname(path)  # noqa: PTH120
        sync_folder(folder)
        # Who made the folder may have died before its own name was safe; once is enough.
        synced = []
        while folder not in self._durable:
            outer = os.path.dirname(folder)  # noqa: PTH120
            sync_folder(outer)
            synced.append(folder)
            if folder == self._base:
                break
            folder = outer
        # Not before all of it has succeeded: others rely on it at once.
        self._durable.update(synced)

    def _create(self, key: str, path: str, data: bytes, effect: Effect) -> None:
        try:
            write_file(path, data, effect, create=True, sync=self._sync)
        except FileExistsError:
            self._refuse_existing(key, path)
        except LinksUnsupportedError:
            # Every creator on such a filesystem takes the lock instead.
            with self._locked(key):
                if is_document(path) or is_obstacle(path):
                    self._refuse_existing(key, path)
                write_file(path, data, effect, create=False, sync=self._sync)

    def _refuse_existing(self, key: str, path: str) -> NoReturn:
        if is_obstacle(path):
            self._refuse_obstacle(key)
        raise ConflictError("it exists already", key=key, store=self, landed="no") from None

    def _refuse_obstacle(self, key: str) -> NoReturn:
        raise CorruptDataError(
            "a folder, a link or a special file is in the way; move it elsewhere",
            key=key,
            store=self,
            landed="no",
        ) from None

    def _compare(self, key: str, path: str, expect: Expect) -> None:
        if expect is ANY:
            if is_obstacle(path):
                self._refuse_obstacle(key)
            return
        current = read_file(path)
        compare(current and content_version(current[0]), expect, key=key, store=self)

    def _is_reached(self, key: str) -> bool:
        """Whether all that leads to a key are folders."""
        path = self._base
        for segment in key.split("/")[:-1]:
            path = f"{path}/{segment}"
            try:
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    return False
            except FileNotFoundError:
                return False
        return True

    def _refuse_links(self, key: str) -> None:
        path = self._base
        for segment in key.split("/")[:-1]:
            path = f"{path}/{segment}"
            try:
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    self._refuse_obstacle(path[len(self._base) + 1 :])
            except FileNotFoundError:
                return

    def _locked(self, key: str) -> AbstractContextManager[None]:
        self._refuse_links(f"{LOCKS}/x")
        return locked(self._path(LOCKS), key, self._lock_timeout, sync=self._sync)

    def _fail(self, error: OSError, key: str | None, landed: Landed | None = None) -> NoReturn:
        if key is None and isinstance(error.filename, str):
            key = error.filename.removeprefix(f"{self._base}/")
        kind, advice = _meaning(error)
        reason = error.strerror or str(error)
        if landed == "unknown":
            reason = f"{reason}, and what was asked for may have landed"
        raise kind(f"{reason}; {advice}", key=key, store=self, landed=landed) from error


def _meaning(error: OSError) -> tuple[type[StateStoreError], str]:
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return AccessDeniedError, "see to whom the folder belongs, or choose another"
        case errno.ENAMETOOLONG:
            return InvalidKeyError, "it is too long for this filesystem"
        case errno.ENOTDIR | errno.EISDIR | errno.ELOOP:
            return CorruptDataError, "something that is no document is in the way"
        case errno.ENOSPC | errno.EDQUOT:
            return UnavailableError, "free some room and retry"
        case _:
            return UnavailableError, "retry later"


def _entry(key: str, status: os.stat_result) -> Entry:
    return Entry(key, status.st_size, status.st_mtime_ns, fingerprint(status))


def _remove_if_older(file: os.DirEntry[str], age: timedelta) -> bool:
    try:
        if not is_older(file.stat(follow_symlinks=False), age):
            return False
        os.unlink(file.path)  # noqa: PTH108
    except OSError:
        return False
    return True
