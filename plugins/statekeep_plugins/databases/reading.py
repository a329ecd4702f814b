"""Reads SQLite databases that belong to other programs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from statekeep.errors import (
    AccessDeniedError,
    CorruptDataError,
    NotFoundError,
    StateStoreError,
    UnavailableError,
)
from statekeep_plugins.files import files_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LONGEST", "Database", "databases_in", "opened", "shown"]

LONGEST: Final = 32 * 2**20
"""Size of the longest value that is read, in bytes."""

_MAGIC: Final = b"SQLite format 3\0"
_WAL: Final = b"\x02\x02"
_PATIENCE: Final = 10.0
"""Seconds to wait for a writer."""


Tables = Mapping[str, set[str]]
"""The tables that a database must have, with their columns."""


def databases_in(tables: Tables, path: Path) -> Iterator[Path]:
    """Find the databases with these tables below a folder; a single file is always returned.

    Files that cannot be read are included, so that opening them reports the error.
    """
    if path.is_file():
        yield path
        return
    for each in files_below(path):
        try:
            if not _head(each).startswith(_MAGIC):
                continue
            with _open(each) as database:
                if _lacking(database, tables):
                    continue
        except StateStoreError:
            pass
        yield each


class Database:
    """A database that is open for reading."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, is_still: bool) -> None:
        self.path = path
        self._connection = connection
        self._stood = self._stand() if is_still else None

    def rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        """Yield the rows of a query as they are read; after taking only some, call `check`.

        Raises:
            CorruptDataError, UnavailableError: The database cannot be read.
        """
        try:
            with _translated(self.path), closing(self._connection.execute(query, values)) as found:
                yield from found
        except CorruptDataError:
            self.check()
            raise
        self.check()

    def row(self, query: str, *values: object) -> Any:  # noqa: ANN401 - a row or None
        """Return the first row of a query; None if there is none."""
        return next(iter([*self.rows(f"{query} LIMIT 1", *values)]), None)

    def run(self, statement: str, *values: object) -> None:
        """Run a statement that creates something temporary in the connection.

        Raises:
            CorruptDataError, UnavailableError: The database cannot be read.
        """
        for _ in self.rows(statement, *values):
            pass

    def columns(self, table: str) -> set[str]:
        """Return the columns of a table; none if there is no such table."""
        return {row["name"] for row in self.rows("SELECT name FROM pragma_table_info(?)", table)}

    def check(self) -> None:
        """Check that the database did not change while it was read.

        Raises:
            UnavailableError: Another program has opened it meanwhile.
        """
        # Without a lock, what was read is consistent only if nobody wrote meanwhile.
        if self._stood is not None and self._stand() != self._stood:
            raise UnavailableError(
                "another program opened the database while it was read; import it again",
                store=self.path,
            )

    def _stand(self) -> tuple[int, int, bool]:
        stat = self.path.stat()
        return stat.st_mtime_ns, stat.st_size, _log_of(self.path).exists()


@contextmanager
def opened(path: Path, tables: Tables, whose: str) -> Iterator[Database]:
    """Open a database for reading, without changing anything in it or beside it.

    Args:
        path: The file.
        tables: The tables that it must have.
        whose: The program that it belongs to, for errors.

    Raises:
        NotFoundError: There is no such file.
        CorruptDataError: It is not a SQLite database, or lacks a table or column.
        AccessDeniedError, UnavailableError: It cannot be read.
    """
    head = _head(path)
    if not head.startswith(_MAGIC):
        said = "the file is empty" if not head else "this is not a SQLite database"
        raise CorruptDataError(f"{said}, so it is not a file of {whose}", store=path)
    with _open(path) as database:
        if lacks := _lacking(database, tables):
            raise CorruptDataError(
                f"this database has no {lacks}, so it is not a file of {whose}", store=path
            )
        yield database


def _lacking(database: Database, tables: Tables) -> str:
    """Return a table or column that a database lacks, in words; empty if it lacks none."""
    for table, wanted in tables.items():
        columns = database.columns(table)
        if missing := wanted - columns:
            return (
                f"column {min(missing)!r} in its table {table!r}" if columns else f"table {table!r}"
            )
    return ""


@contextmanager
def _open(path: Path) -> Iterator[Database]:
    # Without a WAL file, SQLite would create one and leave it there; an existing one is in use.
    is_still = _head(path)[18:20] == _WAL and not _log_of(path).exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_still else ''}"
    with _translated(path):
        connection = sqlite3.connect(
            uri, uri=True, timeout=_PATIENCE, check_same_thread=False, isolation_level=None
        )
    with closing(connection):
        connection.row_factory = sqlite3.Row
        # Text that is not UTF-8 damages one value, not the whole file.
        connection.text_factory = lambda data: data.decode(errors="surrogateescape")
        yield Database(path, connection, is_still=is_still)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except FileNotFoundError as error:
        raise NotFoundError("there is no such file", store=path) from error
    except OSError as error:
        kinds = AccessDeniedError if isinstance(error, PermissionError) else UnavailableError
        raise kinds(f"the database cannot be read: {error.strerror}", store=path) from error


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise CorruptDataError("the database has an id that is not UTF-8", store=path) from error
    except sqlite3.OperationalError as error:
        raise UnavailableError(
            f"the database cannot be read: {error}; if its program was killed, open it with that "
            "program once",
            store=path,
        ) from error
    except sqlite3.DatabaseError as error:
        raise CorruptDataError(f"the database is damaged: {error}", store=path) from error


def shown(value: object) -> bytes:
    """Return the bytes of a value, to be kept aside."""
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode(errors="surrogateescape")
