"""Connections to a database: each serves one call at a time, and none is used across a fork.

SQLite keeps its locks per process. A child that inherits a connection, or only the library's
knowledge of one, believes that it holds locks that it does not hold. So all connections are closed
before a fork, which waits for running calls.
"""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar
from urllib.parse import quote

from statekeep.errors import ClosedError, CorruptDataError, UnsupportedError
from statekeep_backends.sqlite import filesystems
from statekeep_backends.sqlite.schema import APPLICATION_ID, CREATE, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Connections", "Durability", "UncertainError", "transaction"]

T = TypeVar("T")

Durability = Literal["full", "normal"]

_IDLE: Final = 16
"""How many connections are kept for later calls."""

_WAIT, _LONGEST_WAIT = 0.0005, 0.005
_LOG_BYTES: Final = 64 * 2**20
"""The size to which the log of changes is cut when it is larger and fully in the database file."""


class UncertainError(Exception):
    """A transaction failed while committing, so it may have landed."""


class _Frozen(sqlite3.Connection):
    """Sees nothing that is written after it was opened, so it serves a single call."""


class _Gate:
    """Lets calls in while nobody forks, and forks while no call is inside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: list[int] = []
        self._forks = 0

    def __enter__(self) -> None:
        with self._changed:
            while self._forks:
                self._changed.wait()
            self._inside.append(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside.remove(threading.get_ident())
            if self._forks:
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait until only the forking thread can be inside, and close what is open."""
        own = threading.get_ident()
        # Held across the fork: in the child, nobody would release what another thread holds.
        self._changed.acquire()
        self._forks += 1
        while any(each != own for each in self._inside):
            self._changed.wait()
        for connections in _all:
            connections.close_idle()

    def after_fork(self) -> None:
        """Let calls in again, once nobody is forking."""
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """Let calls in again, none of which waits for a thread of the parent."""
        global _making  # noqa: PLW0603
        _making = threading.Lock()
        for connections in _all:
            connections.renew_locks()
        self._forks = 1  # forks by other threads end in the parent
        self.after_fork()


_gate = _Gate()
_making = threading.Lock()
_all: weakref.WeakSet[Connections] = weakref.WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_gate.before_fork,
        after_in_parent=_gate.after_fork,
        after_in_child=_gate.after_fork_in_child,
    )


class Connections:
    """The connections of one store.

    Args:
        path: The database file.
        durability: What a commit waits for.
        busy_timeout: Seconds to wait for others.
    """

    def __init__(self, path: Path, durability: Durability, busy_timeout: float) -> None:
        self._path = path
        self._durability = durability
        self._busy_timeout = busy_timeout
        self._idle: list[sqlite3.Connection] = []
        self._file: tuple[int, int] | None = None
        self._is_closed = False
        self.renew_locks()
        with _gate:
            _all.add(self)

    def renew_locks(self) -> None:
        """Replace locks that a thread of the parent may have held."""
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run some work on the database, again if it was busy; None if there is no database.

        Raises:
            sqlite3.Error, OSError, StateStoreError: It failed.
        """
        return self._patiently(lambda: self._read(work))

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run some work in a transaction; the first one creates the database.

        Raises:
            sqlite3.Error, OSError, StateStoreError: It failed, and nothing was written.
            UncertainError: It failed, and may have been written.
        """
        # The writers of one process queue, instead of all trying again and again.
        if not self._writing.acquire(timeout=self._busy_timeout):
            raise sqlite3.OperationalError("another thread is writing for too long")
        try:
            return self._patiently(lambda: self._write(work))
        finally:
            self._writing.release()

    def close(self) -> None:
        """Close all connections; those in use once they are returned."""
        self._is_closed = True
        with _gate:
            self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def _patiently(self, attempt: Callable[[], T]) -> T:
        deadline, wait = time.monotonic() + self._busy_timeout, _WAIT
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - to separate those that wait
            wait = min(2 * wait, _LONGEST_WAIT)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        with _gate:
            if (found := self.find()) is None:
                return None
            with self._lent(found, reading=True) as db:
                return work(db) if _is_ours(db) else None

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _gate, self._lent(self.find() or self._make()) as db:
            if not _is_ours(db):
                _create(db)
            elif not isinstance(db, _Frozen) and _mode(db) != "wal":
                _keep_log(db)  # for example, a copy that `VACUUM INTO` made
            with transaction(db):
                return work(db)

    @contextmanager
    def _lent(
        self, found: tuple[int, int], *, reading: bool = False
    ) -> Iterator[sqlite3.Connection]:
        db = self._take(found)
        try:
            if db is None:
                db = self._open(reading=reading)
            yield db
        except (sqlite3.Error, UncertainError) as error:
            # It may belong to a file that is gone, or not know what became of its last statement.
            if _is_busy(error):
                self._give_back(db, found)
            elif db is not None:
                db.close()
            raise
        except BaseException:
            self._give_back(db, found)
            raise
        else:
            self._give_back(db, found)

    def find(self) -> tuple[int, int] | None:
        """Return the identity of the file; None if there is none.

        Raises:
            CorruptDataError: It is a folder, or something else that is not a file.
            OSError: It cannot be accessed.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise CorruptDataError("it is not a file; name another one", landed="no")
        return found.st_dev, found.st_ino

    def _make(self) -> tuple[int, int]:
        """Create an empty file that only its owner can read, if there is none."""
        _make_folder(self._path.parent)
        filesystems.refuse_network(self._path.parent)
        # Closing a file releases all locks that this process has on it, including SQLite's; so
        # nobody may connect before this one is closed.
        with _making, suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        filesystems.flush_folder(self._path.parent)
        found = self._path.stat()
        return found.st_dev, found.st_ino

    def _take(self, found: tuple[int, int]) -> sqlite3.Connection | None:
        if self._is_closed:
            raise ClosedError("the store was closed during the call; open it again", landed="no")
        stale: list[sqlite3.Connection] = []
        with self._lock:
            if self._file != found:
                # SQLite continues with a deleted or replaced file, and loses what it writes.
                stale, self._idle, self._file = self._idle, [], found
            db = self._idle.pop() if self._idle else None
        for each in stale:
            each.close()
        return db

    def _give_back(self, db: sqlite3.Connection | None, found: tuple[int, int]) -> None:
        if db is None:
            return
        with self._lock:
            if (
                not self._is_closed
                and self._file == found  # and not replaced since
                and not isinstance(db, _Frozen)
                and not db.in_transaction
                and len(self._idle) < _IDLE
            ):
                self._idle.append(db)
                return
        db.close()

    def _open(self, *, reading: bool) -> sqlite3.Connection:
        filesystems.refuse_network(self._path.parent)
        db = self._connect("mode=rw")
        try:
            db.execute("PRAGMA application_id")
            return self._set_up(db)
        except BaseException as error:
            db.close()
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if not reading or code not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
                raise
            # Where nothing can be written beside it, SQLite can only read a file that nobody
            # writes. The log is beside the file, not beside a link to it.
            if Path(f"{os.path.realpath(self._path)}-wal").exists():
                raise
        return self._set_up(self._connect("mode=ro&immutable=1", _Frozen))

    def _connect(
        self, how: str, kind: type[sqlite3.Connection] = sqlite3.Connection
    ) -> sqlite3.Connection:
        with _making:
            return sqlite3.connect(
                f"file://{quote(os.fsencode(self._path))}?{how}",
                uri=True,
                factory=kind,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )

    def _set_up(self, db: sqlite3.Connection) -> sqlite3.Connection:
        try:
            for option in (
                f"synchronous = {self._durability}",
                "fullfsync = on",
                "temp_store = memory",
                "trusted_schema = off",
                f"journal_size_limit = {_LOG_BYTES}",
            ):
                db.execute(f"PRAGMA {option}")
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Run everything in a transaction, or nothing.

    Raises:
        UncertainError: It failed while committing.
    """
    db.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    try:
        db.execute("COMMIT")
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL}:
            raise  # before the last page, which makes the others count
        raise UncertainError from error


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _is_ours(db: sqlite3.Connection) -> bool:
    """Whether it has our tables; false if it is still empty.

    Raises:
        CorruptDataError: It belongs to another program.
        UnsupportedError: A newer version of statekeep created it.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if (application, version) == (APPLICATION_ID, VERSION):
        return True
    # Once more, all at one moment: another process may be creating the tables.
    application, version, tables = db.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master) "
        "FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if (application, version) == (APPLICATION_ID, VERSION):
        return True
    if application == APPLICATION_ID:
        raise UnsupportedError(
            f"a newer version of statekeep created its tables (version {version}, known is "
            f"{VERSION}); upgrade statekeep",
            landed="no",
        )
    if application or version or tables:
        raise CorruptDataError(
            "it is the database of another program; choose another file", landed="no"
        )
    return False


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents, accessible only to their owner."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    filesystems.flush_folder(folder.parent)


def _mode(db: sqlite3.Connection) -> str:
    (mode,) = db.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


def _keep_log(db: sqlite3.Connection) -> None:
    (mode,) = db.execute("PRAGMA journal_mode = wal").fetchone()
    if mode != "wal":
        raise UnsupportedError(
            f"SQLite cannot use a write-ahead log here, and reports {mode!r}; choose a file on a "
            "local disk",
            landed="no",
        )


def _create(db: sqlite3.Connection) -> None:
    _keep_log(db)
    with transaction(db):
        if not _is_ours(db):  # another process may have been first
            for statement in CREATE:
                db.execute(statement)
