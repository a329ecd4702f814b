"""A store in a folder of plain files.

Writes go to a temporary file in the same folder, which is then renamed, so readers never lock and
never see half a document. Every write and delete holds an advisory lock. Creating links the
temporary file to its name instead, so that it cannot replace what a program without locks has put
there. Below the base no symbolic link is followed, not even one that replaces a folder during an
operation, and only regular files are documents.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import time
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

from statekeep._arguments import refuse_type
from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.store import (
    ABSENT,
    ANY,
    MAX_DOCUMENT_BYTES,
    Anomaly,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    Seen,
    StateStore,
    Survey,
    Version,
    check_key,
    check_prefix,
    compare,
    content_version,
    is_key,
)
from statekeep.store.limits import check_limit, limit_of, refuse_too_large, too_large
from statekeep_backends.local.appending import Ends, add, find_end, is_of, opened
from statekeep_backends.local.effect import Effect
from statekeep_backends.local.files import (
    TEMPORARY_SUFFIX,
    FolderGoneError,
    New,
    NoLinkError,
    TooLargeError,
    Written,
    fingerprint,
    is_document,
    is_leftover,
    is_older,
    link,
    look_at,
    read_document,
    read_file,
    replace,
)
from statekeep_backends.local.flushes import NoFlushError, flush
from statekeep_backends.local.folders import (
    ATTEMPTS,
    TO_PASS,
    TO_READ,
    Folders,
    NoFolderError,
    NotAFolderError,
    NothingNewError,
)
from statekeep_backends.local.inspection import inspect_folder, inspect_locks
from statekeep_backends.local.locks import Lock, NoLockError, close_kept, lock_of
from statekeep_backends.local.modes import Modes
from statekeep_backends.local.repairing import ChangedError, repair
from statekeep_backends.local.surveying import look_again, mark_of, of_entries
from statekeep_backends.local.walking import EMPTIED, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from statekeep.store import Record
    from statekeep_backends.local.effect import Landed
    from statekeep_backends.local.listing import Found
    from statekeep_backends.local.walking import Contents

__all__ = ["Durability", "LocalDiskStore"]

_logger = logging.getLogger(__name__)
_IN_ONE_GO = 32
"""How many documents to delete under one lock before other writers get a chance."""
_LONGEST_PATH = os.pathconf("/", "PC_PATH_MAX") - 1

Durability = Literal["fsync", "rename"]
_REMAINS = (
    "a folder of documents that is now empty keeps its name: remove it yourself if the name "
    "reveals something"
)


class LocalDiskStore(StateStore):
    """A store in a folder.

    All statekeep writers of a folder, in any process, are safe from each other. Against a writer
    that does not lock (the original, an editor), a short window between check and rename remains.

    Args:
        path: The folder; the first write creates it, and nothing is touched before.
        durability: ``"fsync"``: what a call has acknowledged survives a power cut. ``"rename"``:
            it survives the death of the process, not of the machine; much faster.
        lock_timeout: Seconds to wait for another writer.
        mode: The mode of new files, before the umask is applied: ``"private"`` (0600), or an octal
            mode as text, such as ``"0640"``; whoever can read the files can enter the folders. A
            replaced file keeps its mode.
        max_document_bytes: Maximum size of a document. A larger one is not written, and reading it
            raises `CorruptDataError`. It does not limit what statekeep can rebuild (its index).

    Raises:
        ConfigError: The path is not a folder, an option is wrong, or Python does not encode file
            names in UTF-8 here.
        TypeError: `path` is not a path, or a numeric option is not a number.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "fsync",
        lock_timeout: float = 10.0,
        mode: str = "private",
        max_document_bytes: int = MAX_DOCUMENT_BYTES,
    ) -> None:
        if durability not in get_args(Durability):
            raise ConfigError(f"durability is 'fsync' or 'rename', not {durability!r}")
        if not isinstance(path, str | os.PathLike):
            refuse_type("path", "a path", path)
        if isinstance(lock_timeout, bool) or not isinstance(lock_timeout, int | float):
            refuse_type("lock_timeout", "a number of seconds", lock_timeout)
        if not 0 <= lock_timeout < inf:
            raise ConfigError(f"lock_timeout is a number of seconds, not {lock_timeout!r}")
        check_limit(max_document_bytes)
        if sys.getfilesystemencoding() != "utf-8":
            raise ConfigError(
                f"file names are {sys.getfilesystemencoding()} here, and a store needs UTF-8, "
                "because other programs read it, too; set PYTHONUTF8=1"
            )
        # Not abspath(), which takes `link/..` for the folder that contains the link.
        self._base = str(Path(path).absolute())
        self._folders = Folders(self._base, Modes.parse(mode), sync=durability == "fsync")
        # Longer paths could be written step by step, but no other program could use them.
        self._room = _LONGEST_PATH - len(os.fsencode(self._base)) - 1
        self._lock_timeout = lock_timeout
        self._most = max_document_bytes
        self._warned_of: set[str] = set()
        self._ends = Ends()
        # Not by pathlib, which raises PermissionError for a link into a folder closed to us.
        if os.path.lexists(self._base) and not os.path.isdir(self._base):  # noqa: PTH112
            raise ConfigError(
                f"{self._base} is not a folder, and a store must be one; for a SQLite file, write "
                "sqlite:PATH"
            )
        nearest = next(filter(os.path.lexists, Path(self._base).parents), "")
        if os.path.isfile(nearest):  # noqa: PTH113
            raise ConfigError(f"{nearest} is not a folder, so no store can be in it")

    def __repr__(self) -> str:
        return self._base

    @property
    def capabilities(self) -> Capabilities:
        """All of them."""
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        path, _, name = key.rpartition("/")
        try:
            if (folder := self._folders.find(path)) is None:
                return None
            try:
                return read_document(folder, name, limit_of(key, self._most))
            finally:
                os.close(folder)
        except NotAFolderError:
            return None
        except OSError as error:
            self._fail(error, key)

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`; consecutive keys in one folder share an open descriptor."""
        at, folder = "", None
        try:
            for key in keys:
                check_key(key)
                path, _, name = key.rpartition("/")
                blob = None
                with contextlib.suppress(OSError):
                    if folder is None or path != at:
                        left, folder = folder, None
                        if left is not None:
                            os.close(left)
                        at, folder = path, self._folders.find(path)
                    if folder is not None:
                        blob = read_document(folder, name, limit_of(key, self._most))
                # Nothing is there, or something is wrong; the folder may have been replaced.
                yield key, blob or self._get_or_error(key)
        finally:
            if folder is not None:
                os.close(folder)

    def _get_or_error(self, key: str) -> Blob | StateStoreError | None:
        try:
            return self.get(key)
        except (AccessDeniedError, CorruptDataError) as error:
            return error

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        check_key(key)
        refuse_too_large(data, limit_of(key, self._most), key=key, store=self)
        version = content_version(data)
        effect = Effect()
        try:
            if len(key) * 4 > self._room < len(key.encode()):
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            for _ in range(ATTEMPTS):
                # Another writer that failed may remove a folder that this one relies on.
                with contextlib.suppress(FolderGoneError):
                    self._put(key, data, expect, effect)
                    return version
            raise NothingNewError(errno.ENOENT, os.strerror(errno.ENOENT))
        except NoFolderError:
            compare(None, expect, key=key, store=self)
            raise
        except NotAFolderError as error:
            self._refuse_obstacle(str(error.filename), effect.landed)
        except OSError as error:
            self._fail(error, key, effect.landed)

    def append(
        self,
        key: str,
        data: bytes,
        *,
        expect: Version,
        record: Record | None = None,  # noqa: ARG002 - this store keeps no records
    ) -> Version:
        """See `SupportsAppend.append`: one write at the end of the file, and one flush."""
        check_key(key)
        effect = Effect()
        try:
            return self._append(key, data, expect, effect)
        except NoFolderError:
            compare(None, expect, key=key, store=self)
            raise
        except NotAFolderError as error:
            self._refuse_obstacle(str(error.filename), effect.landed)
        except TooLargeError as error:
            raise InvalidDocumentError(
                str(error.strerror), key=key, store=self, landed="no"
            ) from None
        except OSError as error:
            self._fail(error, key, effect.landed)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        effect = Effect()
        try:
            if not self._delete(key, expect, effect):
                compare(None, expect, key=key, store=self)
        except NotAFolderError as error:  # in the place of the locks' folder
            self._refuse_obstacle(str(error.filename))
        except OSError as error:
            self._fail(error, key, effect.landed)

    def delete_seen(self, seen: Iterable[Seen]) -> Iterator[dict[str, StateStoreError | None]]:
        """See `SupportsDeleteSeen`; takes a lock for several documents, and reads few of them."""
        of_locks: dict[str, list[Seen]] = {}
        for each in seen:
            check_key(each.key)
            of_locks.setdefault(lock_of(each.key), []).append(each)
        for victims in of_locks.values():
            for start in range(0, len(victims), _IN_ONE_GO):
                yield self._delete_seen(victims[start : start + _IN_ONE_GO])

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        return self._scan(prefix)

    def survey(self, prefix: str, known: Survey | None = None) -> Survey:
        """See `SupportsSurvey.survey`; names stay known if a folder has no subfolders."""
        check_prefix(prefix)
        try:
            if known is not None and known.names and (again := self._look_again(prefix, known)):
                return again
            return self._survey(prefix)
        except NotAFolderError:
            self._warn_of(prefix, "is not a folder")
            return of_entries((), None)
        except OSError as error:
            self._fail(error, prefix or None)

    def remains(self) -> Sequence[str]:
        """See `SupportsRemains`."""
        return [_REMAINS]

    def close(self) -> None:
        """See `StateStore.close`. Only a scan that was not read to its end stays open."""
        close_kept(self._base)

    def sweep(self, *, older_than: timedelta) -> int:
        """See `SupportsSweep.sweep`; by age alone, because a pid means nothing on other machines.

        It also removes empty folders that come and go with documents, without counting them.
        """
        swept, folders = 0, list[str]()
        try:
            for contents in self._walk():
                if contents.path.startswith(EMPTIED) and not contents.files:
                    folders.append(contents.path)
                for file in contents.files:
                    if is_leftover(file.name):
                        swept += _remove_if_older(contents.folder, file, older_than)
            self._folders.take_back(folders)
        except OSError as error:
            self._fail(error, None)
        return swept

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:
        """See `SupportsInspect.inspect`."""
        try:
            yield from inspect_folder(self._folders, older_than)
            yield from inspect_locks(self._folders, self._lock_timeout)
        except OSError as error:
            self._fail(error, None)

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:
        """See `SupportsInspect.repair`."""
        check_key(quarantine)
        try:
            return repair(self._folders, anomaly, quarantine)
        except ChangedError as error:
            raise ConflictError(
                "it has changed or is gone; look again",
                key=anomaly.place,
                store=self,
                landed=error.landed,
            ) from None
        except NotAFolderError as error:
            self._refuse_obstacle(str(error.filename), None)
        except OSError as error:
            self._fail(error, anomaly.place)

    def _put(self, key: str, data: bytes, expect: Expect, effect: Effect) -> None:
        path, _, name = key.rpartition("/")
        make = expect is ANY or expect is ABSENT
        with self._folders.writing(path, make=make) as folder:
            if expect is ABSENT:
                self._create(key, folder, data, effect)
            else:
                if not make and not is_document(look_at(folder, name)):
                    compare(None, expect, key=key, store=self)
                with self._locked(key):
                    new = self._new(self._compare(key, folder, expect))
                    with Written(folder, data, new) as temporary, effect:
                        replace(folder, temporary, name)
            self._folders.flush(path, folder)

    def _append(self, key: str, data: bytes, expect: Version, effect: Effect) -> Version:
        path, _, name = key.rpartition("/")
        with self._folders.writing(path, make=False) as folder:
            if not is_document(look_at(folder, name)):
                compare(None, expect, key=key, store=self)
            with self._locked(key):
                with opened(folder, name) as descriptor:
                    if descriptor is not None:
                        return self._append_in_place(key, folder, descriptor, data, expect, effect)
                status = self._compare(key, folder, expect)
                found = read_file(folder, name, limit_of(key, self._most))
                whole = (found[0] if found else b"") + data
                refuse_too_large(whole, limit_of(key, self._most), key=key, store=self)
                with Written(folder, whole, self._new(status)) as temporary, effect:
                    replace(folder, temporary, name)
            self._folders.flush(path, folder)
        return content_version(whole)

    def _append_in_place(
        self, key: str, folder: int, descriptor: int, data: bytes, expect: Version, effect: Effect
    ) -> Version:
        path, _, name = key.rpartition("/")
        most = limit_of(key, self._most)
        known = self._ends.take(key)
        end, is_known = find_end(descriptor, known, most)
        if end.version != expect:
            self._ends.keep(key, end)  # whoever lost will try again
            compare(end.version, expect, key=key, store=self)
        if end.size + len(data) > most:
            raise InvalidDocumentError(
                too_large(end.size + len(data), most), key=key, store=self, landed="no"
            )
        end = add(descriptor, end, data, effect)
        if self._folders.sync:
            flush(descriptor)
            if not is_known:  # whoever made the file may have died before its name was flushed
                self._folders.flush(path, folder)
        if not is_of(look_at(folder, name), end):
            effect.landed = "no"
            raise self._changed(key, effect)
        if not is_of(os.fstat(descriptor), end, whole=True):
            raise self._changed(key, effect)
        self._ends.keep(key, end)
        return end.version

    def _create(self, key: str, folder: int, data: bytes, effect: Effect) -> None:
        name = key.rpartition("/")[2]
        # Linking and renaming must exclude each other: where one process can link, another may
        # not be allowed to.
        with Written(folder, data, self._new()) as temporary, self._locked(key):
            try:
                with effect:
                    link(folder, temporary, folder, name)
            except FileExistsError:
                self._refuse_existing(key, look_at(folder, name), effect)
            except NoLinkError:
                if status := look_at(folder, name):
                    self._refuse_existing(key, status, effect)
                with effect:
                    replace(folder, temporary, name)
            else:
                os.unlink(temporary, dir_fd=folder)

    def _delete(
        self,
        key: str,
        expect: Expect,
        effect: Effect,
        *,
        mark: str | None = None,
        held: bool = False,
    ) -> bool:
        """Return whether there was something to delete.

        Args:
            key: The key to delete.
            expect: What may be deleted.
            effect: Surrounds the delete.
            mark: A fingerprint that only the expected document can have, while the lock is held.
            held: Whether the lock is held.
        """
        path, _, name = key.rpartition("/")
        try:
            folder = self._folders.find(path, TO_READ if self._folders.sync else TO_PASS)
        except NotAFolderError:
            return False
        if folder is None:
            return False
        try:
            status = look_at(folder, name)
            if status is None or not is_document(status):
                return False
            with contextlib.nullcontext() if held else self._locked(key):
                if mark is None or fingerprint(status) != mark:
                    self._compare(key, folder, expect)
                self._folders.prepare(folder)
                with contextlib.suppress(FileNotFoundError), effect:
                    os.unlink(name, dir_fd=folder)
                self._folders.flush_names(folder)
        finally:
            os.close(folder)
        return True

    def _delete_seen(self, victims: list[Seen]) -> dict[str, StateStoreError | None]:
        """Delete documents that share a lock; others wait no longer than for a few deletes."""
        done: dict[str, StateStoreError | None] = {}
        try:
            with self._locked(victims[0].key):
                done = {victim.key: self._error_in_deleting(victim) for victim in victims}
        except OSError as error:  # from the lock
            return done or {each.key: self._error_of(error, each.key, "no") for each in victims}
        return done

    def _error_in_deleting(self, victim: Seen) -> StateStoreError | None:
        """Delete one document while the lock is held; return the error, if any."""
        key, effect = victim.key, Effect()
        try:
            if not self._delete(key, victim.version, effect, mark=victim.fingerprint, held=True):
                compare(None, victim.version, key=key, store=self)
        except StateStoreError as error:
            return error
        except OSError as error:
            return self._error_of(error, key, effect.landed)
        return None

    def _error_of(self, error: OSError, key: str, landed: Landed) -> StateStoreError:
        try:
            if isinstance(error, NotAFolderError):  # in the place of the locks' folder
                self._refuse_obstacle(str(error.filename))
            self._fail(error, key, landed)
        except StateStoreError as known:
            return known

    def _scan(self, prefix: str) -> Iterator[Entry]:
        try:
            for contents in self._walk(prefix):
                yield from self._entries(contents)
        except NotAFolderError:
            self._warn_of(prefix, "is not a folder")
        except OSError as error:
            self._fail(error, prefix or None)

    def _look_again(self, prefix: str, known: Survey) -> Survey | None:
        if (folder := self._folders.find(prefix)) is None:
            return None
        try:
            return look_again(folder, prefix, known)
        finally:
            os.close(folder)

    def _survey(self, prefix: str) -> Survey:
        entries: list[Entry] = []
        marks: list[str | None] = []
        now = time.time_ns()
        for contents in self._walk(prefix):
            entries += self._entries(contents)
            marks.append(None if contents.closed else mark_of(contents.folder, now))
        # Changes in a subfolder do not show in the times of this folder.
        return of_entries(entries, marks[0] if len(marks) == 1 else None)

    def _entries(self, contents: Contents) -> list[Entry]:
        outer = f"{contents.path}/" if contents.path else ""
        entries = []
        for file in contents.files:
            key = outer + file.name
            if is_key(key):
                try:
                    entries.append(_entry(key, file.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
            elif not key.endswith(TEMPORARY_SUFFIX):
                self._warn_of(key, "is not a legal key")
        return entries

    def _walk(self, prefix: str = "") -> Iterator[Contents]:
        for contents in walk(self._folders, prefix):
            if contents.closed:
                # Someone else's, such as `lost+found`.
                self._warn_of(contents.path, f"is closed ({contents.closed.strerror})")
            yield contents

    def _warn_of(self, key: str, why: str) -> None:
        if key not in self._warned_of:
            self._warned_of.add(key)
            _logger.warning("%r in %s %s, so it is not listed", key, self, why)

    def _new(self, replaced: os.stat_result | None = None) -> New:
        return New(self._folders.modes.file, self._folders.sync, replaced)

    def _changed(self, key: str, effect: Effect) -> ConflictError:
        return ConflictError(
            "it was written by a program that does not lock",
            key=key,
            store=self,
            landed=effect.landed,
        )

    def _refuse_existing(self, key: str, status: os.stat_result | None, effect: Effect) -> NoReturn:
        # If it was deleted since, nothing is there anymore: a conflict like any other.
        if status and not is_document(status):
            self._refuse_obstacle(key, effect.landed)
        raise ConflictError(
            "it exists already", key=key, store=self, landed=effect.landed
        ) from None

    def _refuse_obstacle(self, key: str, landed: Landed | None = "no") -> NoReturn:
        raise CorruptDataError(
            "a folder, a link or a special file is in the way; move it elsewhere",
            key=key,
            store=self,
            landed=landed,
        ) from None

    def _compare(self, key: str, folder: int, expect: Expect) -> os.stat_result | None:
        """Check a document against an expectation, and return its status."""
        name = key.rpartition("/")[2]
        if expect is ANY:
            status = look_at(folder, name)
            if status and not is_document(status):
                self._refuse_obstacle(key)
            return status
        found = read_file(folder, name, limit_of(key, self._most))
        compare(found and content_version(found[0]), expect, key=key, store=self)
        return found and found[1]

    def _locked(self, key: str) -> Lock:
        return Lock(self._folders, key, self._lock_timeout)

    def _fail(self, error: OSError, key: str | None, landed: Landed | None = None) -> NoReturn:
        if key is None and isinstance(error.filename, str):
            key = error.filename.removeprefix(f"{self._base}/")
        reason = error.strerror or str(error)
        kind, advice = _meaning(error)
        if landed == "unknown":
            if isinstance(error, NoFlushError):
                kind, advice = UnavailableError, "a power cut may undo it"
            advice = f"the write or delete may have landed; {advice}"
        raise kind(f"{reason}; {advice}", key=key, store=self, landed=landed) from error


def _meaning(error: OSError) -> tuple[type[StateStoreError], str]:
    match error:
        case NoFlushError():
            return UnsupportedError, (
                "this filesystem cannot make anything survive a power cut; open the store with "
                "durability=rename to accept that"
            )
        case TooLargeError():
            return CorruptDataError, "open the store with a larger limit to read it"
        case NoLockError():
            return UnsupportedError, (
                "this filesystem does not support locks, without which writers overwrite each "
                "other; mount it with locks, or choose another folder"
            )
        case NothingNewError():
            return UnsupportedError, (
                "nothing can be created in this folder, or something keeps removing it; choose "
                "another one"
            )
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return AccessDeniedError, "check who owns the folder, or choose another one"
        case errno.ENAMETOOLONG:
            return InvalidKeyError, "it is too long for this filesystem"
        case errno.ENOTDIR | errno.EISDIR | errno.ELOOP:
            return CorruptDataError, "something that is not a document is in the way"
        case errno.ENOSPC | errno.EDQUOT:
            return UnavailableError, "free some space and retry"
        case errno.EINVAL | errno.ENOSYS | errno.EOPNOTSUPP | errno.EXDEV | errno.EMLINK:
            return UnsupportedError, "this filesystem cannot do that; choose another folder"
        case _:
            return UnavailableError, "retry later"


def _entry(key: str, status: os.stat_result) -> Entry:
    return Entry(key, status.st_size, status.st_mtime_ns, fingerprint(status))


def _remove_if_older(folder: int, file: Found, age: timedelta) -> bool:
    try:
        if not is_older(file.stat(follow_symlinks=False), age):
            return False
        os.unlink(file.name, dir_fd=folder)
    except OSError:
        return False
    return True
