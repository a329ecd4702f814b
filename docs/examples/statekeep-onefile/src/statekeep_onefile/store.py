"""A statekeep backend in one SQLite file."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from itertools import starmap
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from statekeep.errors import (
    AccessDeniedError,
    CorruptDataError,
    InvalidDocumentError,
    StateStoreError,
    UnavailableError,
)
from statekeep.plugins import BackendSpec, hookimpl
from statekeep.store import (
    ANY,
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
)
from statekeep.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from statekeep.store import StoreURL

# The data are last, so that a scan, which needs only the other columns, does not read them.
_TABLE = """
    CREATE TABLE IF NOT EXISTS statekeep (
        key TEXT PRIMARY KEY,
        version TEXT NOT NULL,
        modified INTEGER NOT NULL,
        data BLOB NOT NULL
    )
"""
_GET = "SELECT data, version, modified FROM statekeep WHERE key = ?"
_VERSION = "SELECT version FROM statekeep WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO statekeep (key, version, modified, data) VALUES (?, ?, ?, ?)"
_DELETE = "DELETE FROM statekeep WHERE key = ?"
_SCAN = "SELECT key, length(data), modified, version FROM statekeep"
_SCAN_BELOW = f"{_SCAN} WHERE key >= ? AND key < ?"

# In bytes; SQLite itself gives up at twice as many.
_LARGEST = 500_000_000


def _blob(row: tuple[bytes, str, int] | None) -> Blob | None:
    if row is None:
        return None
    data, version, modified = row
    return Blob(data, Version(version), from_nanoseconds(modified), fingerprint=version)


class OneFileStore(StateStore):
    """A store in one SQLite file, which the first write creates.

    Args:
        path: The file.
        timeout: Seconds to wait for another process.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"onefile:{self._path}"

    @property
    def capabilities(self) -> Capabilities:
        """Everything."""
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        with self._connection(key) as db:
            return self._read(db, key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        check_key(key)
        if len(data) > _LARGEST:
            raise InvalidDocumentError(f"over {_LARGEST:,} bytes; split it", key=key, store=self)
        version = content_version(data)
        with self._transaction(key, creates=True) as db:
            self._compare(db, key, expect)
            db.execute(_PUT, (key, version, time.time_ns(), data))
        return version

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        with self._transaction(key) as db:
            self._compare(db, key, expect)
            db.execute(_DELETE, (key,))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        with self._connection() as db:
            if prefix:
                # "0" follows "/", so this is what begins with "prefix/".
                rows = db.execute(_SCAN_BELOW, (f"{prefix}/", f"{prefix}0")).fetchall()
            else:
                rows = db.execute(_SCAN).fetchall()
        return starmap(Entry, rows)

    def close(self) -> None:
        """See `StateStore.close`. Nothing stays open between calls."""

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`; one connection serves a hundred keys."""
        waiting = list(keys)
        while waiting:
            batch, waiting = waiting[:100], waiting[100:]
            for key in batch:
                check_key(key)
            with self._connection() as db:
                found = [(key, self._read_or_tell(db, key)) for key in batch]
            yield from found

    def _read_or_tell(self, db: sqlite3.Connection, key: str) -> Blob | StateStoreError | None:
        try:
            return self._read(db, key)
        except (AccessDeniedError, CorruptDataError) as error:
            return error

    @contextmanager
    def _connection(
        self, key: str | None = None, *, creates: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """A connection for one operation; raises statekeep's errors."""
        # Reading must not create the file; if there is none yet, read an empty database.
        path = self._path if creates or self._is_there() else ":memory:"
        with (
            self._translating(key),
            _one_at_a_time,
            closing(sqlite3.connect(path, timeout=self._timeout, isolation_level=None)) as db,
        ):
            # Acknowledged writes survive a power cut.
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute(_TABLE)
            yield db

    @contextmanager
    def _transaction(self, key: str, *, creates: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for comparing and writing, with nobody else writing in between."""
        with self._connection(key, creates=creates) as db, db:
            db.execute("BEGIN IMMEDIATE")
            yield db

    def _is_there(self) -> bool:
        try:
            return self._path.stat().st_size > 0
        except OSError as error:
            return error.errno != errno.ENOENT  # any other error is left to SQLite

    def _read(self, db: sqlite3.Connection, key: str) -> Blob | None:
        with self._translating(key):
            return _blob(db.execute(_GET, (key,)).fetchone())

    def _compare(self, db: sqlite3.Connection, key: str, expect: Expect) -> None:
        row = db.execute(_VERSION, (key,)).fetchone()
        compare(row[0] if row else None, expect, key=key, store=self)

    @contextmanager
    def _translating(self, key: str | None) -> Iterator[None]:
        """Translates SQLite's errors into statekeep's."""
        try:
            yield
        except sqlite3.Error as error:
            kind: type[StateStoreError]
            match getattr(error, "sqlite_errorcode", 0) & 0xFF:
                case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY:
                    kind, advice = AccessDeniedError, "is its folder there, may this user write?"
                case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
                    kind, advice = CorruptDataError, "restore it from a backup or name another file"
                case _:  # busy or locked, out of space or memory, failed to read or write
                    kind, advice = UnavailableError, "retry later"
            raise kind(f"{error}; {advice}", key=key, store=self) from error


# A child forked in the middle of an operation would believe that it holds SQLite's locks.
# So operations run one at a time, and a fork waits for its turn.
_one_at_a_time = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_one_at_a_time.acquire,
        after_in_parent=_one_at_a_time.release,
        after_in_child=_one_at_a_time.release,
    )


class OneFileConfig(BaseModel):
    """The options of ``onefile:PATH``."""

    model_config = ConfigDict(extra="forbid")

    timeout: float = Field(default=10.0, ge=0, le=3600)
    """Seconds to wait for another process."""


def _open(url: StoreURL, config: OneFileConfig) -> OneFileStore:
    return OneFileStore(url.path, config.timeout)


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Offer ``onefile:``."""
    return [BackendSpec("onefile", "one SQLite file", OneFileConfig, _open)]
