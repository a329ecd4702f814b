"""A store in one SQLite file.

Each call is a transaction, so it writes everything or nothing. Readers wait for nobody; writers
wait for each other, for a bounded time.
"""

from __future__ import annotations

import secrets
import sqlite3
from functools import partial
from itertools import starmap
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, get_args

from statekeep._arguments import refuse_type
from statekeep.errors import (
    ConfigError,
    CorruptDataError,
    InvalidDocumentError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.store import (
    ANY,
    MAX_DOCUMENT_BYTES,
    Anomaly,
    Blob,
    Capabilities,
    Entry,
    StateStore,
    Version,
    check_key,
    check_prefix,
    compare,
)
from statekeep.store.limits import check_limit, limit_of, refuse_too_large, too_large
from statekeep.timestamps import from_nanoseconds
from statekeep_backends._batches import batches
from statekeep_backends._records import NOTHING
from statekeep_backends.sqlite import records
from statekeep_backends.sqlite.connections import Connections, Durability
from statekeep_backends.sqlite.errors import FAILURES, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from statekeep.errors import Landed
    from statekeep.store import Expect, ExpectSeen, Filter, Found, Order, Position, Record

__all__ = ["Durability", "SqliteStore"]

T = TypeVar("T")

# In milliseconds, by SQLite's own clock.
_NOW: Final = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000"
# After an append, there may be spare room at the end.
_DATA: Final = "CASE WHEN length(data) = bytes THEN data ELSE substr(data, 1, bytes) END"
_GET: Final = f"""
    SELECT bytes, version, modified, CASE WHEN bytes <= ? THEN {_DATA} END
    FROM documents LEFT JOIN contents USING (n) WHERE key = ?
"""
_LOOK: Final = f"""
    SELECT n, version, bytes, {", ".join(records.INDEXED)} FROM documents WHERE key = ?
"""
_INSERT: Final = f"""
    INSERT INTO documents
        (key, version, bytes, {", ".join(records.columns(indexed=True))}, modified)
    VALUES (?, ?, ?, {", ".join("?" for _ in records.columns(indexed=True))}, {_NOW})
"""
_UPDATE: Final = {
    indexed: f"""
        UPDATE documents SET version = ?, bytes = ?,
            {", ".join(f"{name} = ?" for name in records.columns(indexed=indexed))},
            modified = {_NOW}
        WHERE n = ?
    """
    for indexed in (False, True)
}
_INSERT_DATA: Final = "INSERT INTO contents (n, data) VALUES (?, ?)"
_UPDATE_DATA: Final = "UPDATE contents SET data = ? WHERE n = ?"
_DATA_OF: Final = "SELECT data FROM contents WHERE n = ?"
_CAPACITY: Final = "SELECT length(data) FROM contents WHERE n = ?"
_SCAN: Final = """
    SELECT key, bytes, modified, version FROM documents WHERE key > ? AND key < ?
    ORDER BY key LIMIT ?
"""
_UNMATCHED: Final = """
    SELECT (SELECT count(*) FROM documents WHERE n NOT IN (SELECT n FROM contents))
        + (SELECT count(*) FROM contents WHERE n NOT IN (SELECT n FROM documents))
        + (SELECT count(*) FROM documents JOIN contents USING (n) WHERE length(data) < bytes)
"""

_TORN: Final = "it is not whole; restore the file from a backup"

_MANY, _LARGE, _FEW = 5000, 500, 32
_MOST_ROOM: Final = 2**16
_FINDINGS: Final = 20
_OLDEST: Final = (3, 37)
"""The first SQLite version with strict tables."""


class SqliteStore(StateStore):
    """A store in one SQLite file; the first write creates it, and its parent folders.

    Args:
        path: The file. The files ``-wal`` and ``-shm`` beside it belong to it.
        durability: ``"full"``: what a call has acknowledged survives a power cut. ``"normal"``: it
            survives the death of the process; a crash of the machine loses the last moments.
        busy_timeout: Seconds to wait for another writer.
        max_document_bytes: Maximum size of a document. A larger one is not written, and reading it
            raises `CorruptDataError`.

    Raises:
        ConfigError: An option is wrong.
        TypeError: A numeric option is not a number.
        UnsupportedError: This Python has a SQLite older than 3.37.
    """

    LARGEST: ClassVar[int] = 900 * 2**20
    """Maximum size of a document, in bytes; SQLite's own limit is a little higher."""

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "full",
        busy_timeout: float = 10.0,
        max_document_bytes: int = MAX_DOCUMENT_BYTES,
    ) -> None:
        if durability not in get_args(Durability):
            raise ConfigError(f"durability is 'full' or 'normal', not {durability!r}")
        if isinstance(busy_timeout, bool) or not isinstance(busy_timeout, int | float):
            refuse_type("busy_timeout", "a number of seconds", busy_timeout)
        if not 0 <= busy_timeout < inf:
            raise ConfigError(f"busy_timeout must be a number of seconds, not {busy_timeout!r}")
        check_limit(max_document_bytes)
        if max_document_bytes > self.LARGEST:
            raise ConfigError(f"max_document_bytes can be at most {self.LARGEST} here")
        if sqlite3.sqlite_version_info < _OLDEST:
            raise UnsupportedError(
                f"this Python comes with SQLite {sqlite3.sqlite_version}; 3.37 is needed"
            )
        self._path = path.absolute()
        self._most = max_document_bytes
        self._connections = Connections(self._path, durability, busy_timeout)

    def __repr__(self) -> str:
        return f"sqlite:{self._path}"

    @property
    def capabilities(self) -> Capabilities:
        """All of them."""
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        return self._read(key, lambda db: self._blob(db, key))

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        return self._put(key, data, expect, None)

    def put_record(self, key: str, data: bytes, record: Record, *, expect: Expect) -> Version:
        """See `SupportsQuery.put_record`."""
        return self._put(key, data, expect, record)

    def append(
        self, key: str, data: bytes, *, expect: Version, record: Record | None = None
    ) -> Version:
        """See `SupportsAppend.append`; it writes only what is appended."""
        check_key(key)

        def work(db: sqlite3.Connection) -> Version:
            n, size, before = self._look(db, key, expect)
            whole = size + len(data)
            if whole > self._limit_of(key):
                raise InvalidDocumentError(
                    too_large(whole, self._most), key=key, store=self, landed="no"
                )
            (capacity,) = db.execute(_CAPACITY, (n,)).fetchone() or (0,)
            if capacity < size:
                raise CorruptDataError(_TORN)
            if whole <= capacity:
                with db.blobopen("contents", "data", n) as end:
                    end.seek(size)
                    end.write(data)
            else:
                (there,) = db.execute(_DATA_OF, (n,)).fetchone()
                room = bytes(min(whole, _MOST_ROOM))
                db.execute(_UPDATE_DATA, (there[:size] + data + room, n))
            return self._describe(db, key, n, before, whole, record)

        return self._write(key, work)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)

        def work(db: sqlite3.Connection) -> None:
            n, *_ = self._look(db, key, expect)
            _delete(db, n)

        if self._is_there(key):
            self._write(key, work)
        else:
            compare(None, expect, key=key, store=self)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        # "0" follows "/"; and no key is as long as this bound.
        after, end = (f"{prefix}/", f"{prefix}0") if prefix else ("", "\U0010ffff" * 256)
        while True:
            rows = self._read(None, partial(_page, after=after, end=end))
            yield from starmap(Entry, rows or ())
            if rows is None or len(rows) < _MANY:
                return
            after = rows[-1][0]

    def close(self) -> None:
        """See `StateStore.close`."""
        self._connections.close()

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`; reads a few each time it borrows a connection."""
        for batch in batches(keys, _FEW):

            def work(db: sqlite3.Connection, batch: list[str] = batch) -> list[Any]:
                found: list[tuple[str, Blob | StateStoreError | None]] = []
                for key in batch:
                    try:
                        found.append((key, self._blob(db, key)))
                    except CorruptDataError as error:
                        found.append((key, error))
                    except FAILURES as error:
                        damage = translated(error, key=key, store=self)
                        if not isinstance(damage, CorruptDataError):
                            raise
                        found.append((key, damage))
                return found

            for key in batch:
                check_key(key)
            yield from self._read(None, work) or [(key, None) for key in batch]

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `SupportsDeleteMany`; deletes some hundreds with each transaction."""
        for batch in batches(keys, _LARGE):

            def work(db: sqlite3.Connection, batch: list[str] = batch) -> None:
                for key in batch:
                    if row := db.execute(_LOOK, (key,)).fetchone():
                        _delete(db, row[0])

            for key in batch:
                check_key(key)
            if self._is_there(None):
                self._write(None, work)

    def set_records(self, records_: Iterable[tuple[str, Version, Record]]) -> None:
        """See `SupportsQuery.set_records`."""
        for batch in batches(records_, _LARGE):

            def work(
                db: sqlite3.Connection, batch: list[tuple[str, Version, Record]] = batch
            ) -> None:
                for key, version, record in batch:
                    records.set_record(db, key, version, record)

            for key, _, _ in batch:
                check_key(key)
            if self._is_there(None):
                self._write(None, work)

    def query(
        self,
        prefix: str,
        wanted: Filter,
        *,
        known: int,
        order: Order = "updated",
        after: Position | None = None,
        limit: int | None = None,
    ) -> Found:
        """See `SupportsQuery.query`."""
        check_prefix(prefix)
        found = self._read(
            None,
            lambda db: records.find(
                db, prefix, wanted, known=known, order=order, after=after, limit=limit
            ),
        )
        return found or NOTHING

    def count(self, prefix: str, wanted: Filter, *, known: int) -> int:
        """See `SupportsQuery.count`."""
        check_prefix(prefix)
        return self._read(None, lambda db: records.count(db, prefix, wanted, known=known)) or 0

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:  # noqa: ARG002
        """See `SupportsInspect.inspect`; runs SQLite's own check of the file."""

        def work(db: sqlite3.Connection) -> list[str]:
            wrong: list[str] = []
            try:
                wrong += [row[0] for row in db.execute(f"PRAGMA integrity_check({_FINDINGS})")]
                (unmatched,) = db.execute(_UNMATCHED).fetchone()
                if unmatched:
                    wrong.append(f"{unmatched} documents are not whole")
            except FAILURES as error:
                damage = translated(error, key=None, store=self)
                if not isinstance(damage, CorruptDataError):
                    raise
                wrong.append(damage.message)
            return [each for each in wrong if each != "ok"]

        for reason in self._read(None, work) or ():
            yield Anomaly("damage", self._path.name, reason, None)

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:  # noqa: ARG002
        """See `SupportsInspect.repair`; nothing found here can be repaired.

        Raises:
            CorruptDataError: Always.
        """
        raise CorruptDataError(
            f"{anomaly.reason}; restore the file from a backup", key=anomaly.place, store=self
        )

    def initialize(self) -> None:
        """See `SupportsInitialize`; creates the file."""
        self._write(None, lambda _: None)

    def vacuum(self) -> None:
        """See `SupportsVacuum`; rewrites the file."""
        self._read(None, _vacuum)
        self._read(None, _empty_log)

    def _is_there(self, key: str | None) -> bool:
        """Return whether the file exists, so that deleting does not create it."""
        try:
            return self._connections.find() is not None
        except OSError as error:
            raise translated(error, key=key, store=self, landed="no") from error
        except StateStoreError as error:
            raise self._naming(error, key, "no") from error

    def _put(self, key: str, data: bytes, expect: Expect, record: Record | None) -> Version:
        check_key(key)
        refuse_too_large(data, self._limit_of(key), key=key, store=self)

        def work(db: sqlite3.Connection) -> Version:
            row = db.execute(_LOOK, (key,)).fetchone()
            compare(row[1] if row else None, expect, key=key, store=self)
            if row is not None:
                db.execute(_UPDATE_DATA, (data, row[0]))
                return self._describe(db, key, row[0], row[3:], len(data), record)
            version = _new_version()
            indexed, others = records.encode(key, record)
            new = db.execute(_INSERT, (key, version, len(data), *indexed, *others)).lastrowid
            db.execute(_INSERT_DATA, (new, data))
            return version

        return self._write(key, work)

    def _describe(
        self,
        db: sqlite3.Connection,
        key: str,
        n: int,
        before: tuple[Any, ...],
        size: int,
        record: Record | None,
    ) -> Version:
        """Set everything about a document whose bytes were written."""
        version = _new_version()
        indexed, others = records.encode(key, record)
        if indexed == before:
            db.execute(_UPDATE[False], (version, size, *others, n))
        else:
            db.execute(_UPDATE[True], (version, size, *indexed, *others, n))
        return version

    def _look(
        self, db: sqlite3.Connection, key: str, expect: ExpectSeen
    ) -> tuple[int, int, tuple[Any, ...]]:
        """Return the row of a document, its size, and the columns of its indexes.

        Raises:
            ConflictError: What is there is not what was expected.
        """
        row = db.execute(_LOOK, (key,)).fetchone()
        compare(row[1] if row else None, expect, key=key, store=self)
        if row is None:
            return 0, 0, ()  # none was expected
        return row[0], row[2], row[3:]

    def _blob(self, db: sqlite3.Connection, key: str) -> Blob | None:
        most = self._limit_of(key)
        row = db.execute(_GET, (most, key)).fetchone()
        if row is None:
            return None
        size, version, modified, data = row
        if size > most:
            raise CorruptDataError(too_large(size, most), key=key, store=self)
        if data is None or len(data) != size:
            raise CorruptDataError(_TORN, key=key, store=self)
        return Blob(data, Version(version), from_nanoseconds(modified), version)

    def _limit_of(self, key: str) -> int:
        return min(limit_of(key, self._most), self.LARGEST)

    def _read(self, key: str | None, work: Callable[[sqlite3.Connection], T]) -> T | None:
        try:
            return self._connections.read(work)
        except FAILURES as error:
            raise translated(error, key=key, store=self) from error
        except StateStoreError as error:
            raise self._naming(error, key, None) from error.__cause__

    def _write(self, key: str | None, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._connections.write(work)
        except FAILURES as error:
            raise translated(error, key=key, store=self, landed="no") from error
        except StateStoreError as error:
            raise self._naming(error, key, "no") from error.__cause__

    def _naming(
        self, error: StateStoreError, key: str | None, landed: Landed | None
    ) -> StateStoreError:
        if error.store is not None:
            return error
        return type(error)(error.message, key=key, store=self, landed=landed)


def _new_version() -> Version:
    # Random, because a counter would come back with a restored backup.
    return Version(secrets.token_hex(12))


def _delete(db: sqlite3.Connection, n: int) -> None:
    db.execute("DELETE FROM documents WHERE n = ?", (n,))
    db.execute("DELETE FROM contents WHERE n = ?", (n,))


def _page(db: sqlite3.Connection, *, after: str, end: str) -> list[Any]:
    return db.execute(_SCAN, (after, end, _MANY)).fetchall()


def _vacuum(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA temp_store = file")  # it holds the whole database
    try:
        db.execute("VACUUM")
    finally:
        db.execute("PRAGMA temp_store = memory")


def _empty_log(db: sqlite3.Connection) -> None:
    """Empty the write-ahead log, which holds the bytes of deleted documents.

    Raises:
        sqlite3.OperationalError: Someone is reading an older state.
    """
    (is_busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:  # it returns this instead of raising
        error = sqlite3.OperationalError("the write-ahead log is being read")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error
