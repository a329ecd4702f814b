"""Local disk: a folder of plain files, shared with other processes and with the original.

Writes go to a temporary file in the same folder and are renamed, so readers never lock and never
see half a document. What creates links the temporary file to its name, which fails if the name is
taken; every other write and delete holds an advisory lock. Below the base no symbolic link is
followed, and only regular files are documents.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import random
import re
import secrets
import stat
import time
import unicodedata
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    UnavailableError,
)
from statekeep.hooks import BackendSpec, hookimpl
from statekeep.keys import LOCKS, TEMPORARY_SUFFIX, check_key, check_prefix, is_key
from statekeep.protocol import (
    ABSENT,
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    StateStore,
    Version,
    content_version,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.urls import StoreURL

__all__ = ["LocalDiskStore"]

_logger = logging.getLogger(__name__)

Durability = Literal["fsync", "rename"]

STRIPES = 64
"""How many lock files there are; part of the format, because all writers must agree on it."""

# Ours, and the original's `{name}.{pid}.{uuid}.tmp`; nothing else that ends so is ever removed.
_TEMPORARY = re.compile(
    r"\.statekeep-[0-9a-f]{16}\.tmp"
    r"|.*\.(?:json|md)\.[0-9]+\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp",
    re.DOTALL,
)
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_BUSY = {errno.EACCES, errno.EAGAIN}
_LONGEST_PAUSE = 0.02
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        ConfigError: The path is a file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "fsync",
        lock_timeout: float = 10.0,
    ) -> None:
        self._base = os.path.abspath(path)  # noqa: PTH100 - keeps bytes and links as they are
        self._sync = durability == "fsync"
        self._lock_timeout = lock_timeout
        if os.path.exists(self._base) and not os.path.isdir(self._base):  # noqa: PTH110, PTH112
            raise ConfigError(f"{self._base} is a file; a store is a folder")

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
            if not self._parents_are_folders(key):
                return None
            return _read(f"{self._base}/{key}")
        except OSError as error:
            self._fail(error, key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        check_key(key)
        path = f"{self._base}/{key}"
        try:
            self._refuse_links(key)
            if expect is ABSENT:
                self._create(key, path, data)
            else:
                with self._locked(key):
                    self._compare(key, path, expect)
                    self._write(path, data, os.replace)
        except OSError as error:
            self._fail(error, key)
        return content_version(data)

    def delete(self, key: str, *, expect: Expect = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        path = f"{self._base}/{key}"
        try:
            if not self._parents_are_folders(key) or not _is_document(path):
                if expect is ANY or expect is ABSENT:
                    return
                raise ConflictError("it is no longer there", key=key, store=self)
            with self._locked(key):
                self._compare(key, path, expect)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108
                if self._sync:
                    _sync_folder(os.path.dirname(path))  # noqa: PTH120
        except OSError as error:
            self._fail(error, key)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        return self._scan(prefix)

    def close(self) -> None:
        """See `StateStore.close`. Nothing stays open between calls."""

    def sweep(self, *, older_than: timedelta) -> int:
        """Remove temporary files of killed writers, ours and the original's, by age alone."""
        latest = time.time() - older_than.total_seconds()
        swept = 0
        try:
            for found in self._walk(self._base):
                with contextlib.suppress(FileNotFoundError):
                    if (
                        _TEMPORARY.fullmatch(found.name)
                        and found.is_file(follow_symlinks=False)
                        and found.stat(follow_symlinks=False).st_mtime < latest
                    ):
                        os.unlink(found.path)  # noqa: PTH108
                        swept += 1
        except OSError as error:
            self._fail(error, None)
        return swept

    def _scan(self, prefix: str) -> Iterator[Entry]:
        start = f"{self._base}/{prefix}" if prefix else self._base
        cut = len(self._base) + 1
        try:
            if prefix and not self._parents_are_folders(f"{prefix}/x"):
                return
            for found in self._walk(start):
                key = found.path[cut:]
                if not is_key(key):
                    if not key.endswith(TEMPORARY_SUFFIX):
                        _logger.warning("%r in %s is no legal key, so not listed", key, self)
                    continue
                try:
                    if not found.is_file(follow_symlinks=False):
                        continue
                    status = found.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield Entry(key, status.st_size, _modified(status), _fingerprint(status))
        except OSError as error:
            self._fail(error, prefix or None)

    def _walk(self, start: str) -> Iterator[os.DirEntry[str]]:
        locks = f"{self._base}/{LOCKS}"
        # A stack, because folders can be nested deeper than Python recurses.
        folders = [start]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    found = list(entries)
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in found:
                if not entry.is_dir(follow_symlinks=False):
                    yield entry
                elif entry.path != locks:
                    folders.append(entry.path)

    def _create(self, key: str, path: str, data: bytes) -> None:
        try:
            self._write(path, data, _link)
        except FileExistsError:
            self._refuse_existing(key, path)
        except _LinksUnsupportedError:
            # Every creator on such a filesystem takes the lock instead.
            with self._locked(key):
                if os.path.lexists(path):
                    self._refuse_existing(key, path)
                self._write(path, data, os.replace)

    def _refuse_existing(self, key: str, path: str) -> NoReturn:
        if not _is_document(path):
            self._refuse_obstacle(key)
        raise ConflictError("it exists already", key=key, store=self) from None

    def _refuse_obstacle(self, key: str) -> NoReturn:
        raise CorruptDataError(
            "a folder, a link or a special file is in the way; move it elsewhere",
            key=key,
            store=self,
        ) from None

    def _compare(self, key: str, path: str, expect: Expect) -> None:
        if expect is ANY:
            if os.path.lexists(path) and not _is_document(path):
                self._refuse_obstacle(key)
            return
        current = _read(path)
        if expect is ABSENT:
            if current is not None:
                raise ConflictError("it exists already", key=key, store=self)
        elif current is None:
            raise ConflictError("it is no longer there", key=key, store=self)
        elif current.version != expect:
            raise ConflictError("it has changed", key=key, store=self)

    def _write(self, path: str, data: bytes, publish: Callable[[str, str], object]) -> None:
        folder = os.path.dirname(path)  # noqa: PTH120
        temporary = f"{folder}/.statekeep-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        made: list[str] = []
        try:
            descriptor = self._open_temporary(temporary, folder, made)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                if self._sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            publish(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            for each in reversed(made):
                with contextlib.suppress(OSError):
                    os.rmdir(each)  # noqa: PTH106 - fails where someone else has written meanwhile
            raise
        if self._sync:
            for each in {folder, *map(os.path.dirname, made)}:
                _sync_folder(each)

    def _open_temporary(self, temporary: str, folder: str, made: list[str]) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        for _ in range(100):
            try:
                return os.open(temporary, flags, 0o666)
            except FileNotFoundError:
                # The folder is new, or another writer that failed has just removed it again.
                _make_folders(folder, made)
        raise UnavailableError("the folder vanishes again and again", key=folder, store=self)

    def _parents_are_folders(self, key: str) -> bool:
        path = self._base
        for segment in key.split("/")[:-1]:
            path = f"{path}/{segment}"
            try:
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    return False
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def _refuse_links(self, key: str) -> None:
        path = self._base
        for segment in key.split("/")[:-1]:
            path = f"{path}/{segment}"
            try:
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    self._refuse_obstacle(path.removeprefix(f"{self._base}/"))
            except FileNotFoundError:
                return

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        # Folded, because on some volumes two keys are one file.
        folded = unicodedata.normalize("NFC", key).casefold().encode()
        stripe = f"{self._base}/{LOCKS}/{zlib.crc32(folded) % STRIPES:02x}"
        descriptor = self._open_lock(stripe)
        _held.add(descriptor)
        try:
            self._wait_for(descriptor, key)
            try:
                yield
            finally:
                # Not left to close(): a child forked meanwhile has the same lock open.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            _held.discard(descriptor)
            os.close(descriptor)

    def _open_lock(self, stripe: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(stripe, flags, 0o666)
        except FileNotFoundError:
            self._refuse_links(f"{LOCKS}/x")
            os.makedirs(os.path.dirname(stripe), exist_ok=True)  # noqa: PTH103, PTH120
            return os.open(stripe, flags, 0o666)

    def _wait_for(self, descriptor: int, key: str) -> None:
        deadline = time.monotonic() + self._lock_timeout
        pause = 0.0002
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"another writer has held the lock for {self._lock_timeout} seconds; retry",
                    key=key,
                    store=self,
                )
            time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _fail(self, error: OSError, key: str | None) -> NoReturn:
        reason = error.strerror or str(error)
        match error.errno:
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise AccessDeniedError(reason, key=key, store=self) from error
            case errno.ENAMETOOLONG:
                raise InvalidKeyError(
                    "too long for this filesystem", key=key, store=self
                ) from error
            case errno.ENOTDIR | errno.EISDIR | errno.ELOOP:
                raise CorruptDataError(
                    f"something that is no document is in the way: {reason}", key=key, store=self
                ) from error
            case errno.ENOSPC | errno.EDQUOT:
                raise UnavailableError(
                    f"{reason}; nothing was changed, free some room and retry", key=key, store=self
                ) from error
            case _:
                raise UnavailableError(reason, key=key, store=self) from error


_held: set[int] = set()


def _close_inherited_locks() -> None:
    # A lock belongs to all who have it open: a child would keep those of its parent's threads
    # until it ends.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited_locks)


def _read(path: str) -> Blob | None:
    # O_NONBLOCK, because opening a FIFO would wait for its writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
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
    data = b"".join(chunks)
    return Blob(data, content_version(data), _modified(status))


def _is_document(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _modified(status: os.stat_result) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    except OverflowError:
        return None  # someone has set a time that no datetime holds


def _fingerprint(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


class _LinksUnsupportedError(Exception):
    """The filesystem has no hard links."""


def _link(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise _LinksUnsupportedError from error
        raise
    os.unlink(temporary)  # noqa: PTH108


def _make_folders(folder: str, made: list[str]) -> None:
    missing = []
    while not os.path.isdir(folder):  # noqa: PTH112
        missing.append(folder)
        folder = os.path.dirname(folder)  # noqa: PTH120
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(each)  # noqa: PTH102
            made.append(each)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalDiskConfig(BaseModel):
    """Options of a folder."""

    model_config = ConfigDict(extra="forbid")

    durability: Durability = "fsync"
    """``fsync`` survives a power cut, ``rename`` only the death of the process."""

    lock_timeout: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Seconds to wait for another writer."""


def _open(url: StoreURL, config: LocalDiskConfig) -> LocalDiskStore:
    return LocalDiskStore(url.path, **config.model_dump())


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Offer ``file:``, which is also what a bare path means."""
    return [BackendSpec("file", "a folder on this machine", LocalDiskConfig, _open)]
