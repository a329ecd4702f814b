"""The calls of a store, even if its tables do not exist yet or an answer is lost.

A write chooses the version of what it writes, so it can be recognized if its answer was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import psycopg

from statekeep.errors import ConflictError, StateStoreError
from statekeep_backends.postgres.connections import LostError
from statekeep_backends.postgres.errors import FAILURES, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.errors import Landed
    from statekeep.store import Version
    from statekeep_backends.postgres.connections import Connection, Connections
    from statekeep_backends.postgres.schema import Schema

__all__ = ["Calls", "There"]

T = TypeVar("T")

_ANY_FAILURE = (*FAILURES, StateStoreError)


class There(NamedTuple):
    """An existing document.

    Attributes:
        version: Its version.
        size: Its size in bytes.
    """

    version: Version
    size: int


class Calls:
    """What the calls of one store share; they raise statekeep's errors.

    Args:
        connections: Where statements are sent.
        schema: The store's tables.
        store: The store to name in errors.
    """

    def __init__(self, connections: Connections, schema: Schema, store: object) -> None:
        self._connections = connections
        self._schema = schema
        self._store = store
        self._is_made = False

    def read(self, key: str | None, work: Callable[[Connection], T]) -> T | None:
        """Run a read, again if its answer was lost; return None if there are no tables."""
        try:
            try:
                return self._where_made(work)
            except LostError:
                return self._where_made(work)
        except _ANY_FAILURE as error:
            raise self._failed(error, key, None) from error

    def change(self, key: str | None, work: Callable[[Connection], T]) -> T | None:
        """Run a change that does nothing if there are no tables; return None in that case."""
        try:
            return self._where_made(work)
        except _ANY_FAILURE as error:
            raise self._failed(error, key, "no") from error

    def write(
        self,
        key: str,
        version: Version,
        statement: bytes,
        values: tuple[Any, ...],
        refuse: Callable[[There | None], None],
        *,
        again: bool = True,
    ) -> Version:
        """Send a write, and look for it if its answer was lost.

        Args:
            key: The key to write.
            version: The version that the write creates.
            statement: The statement; it returns a row if it has written.
            values: The values of its parameters.
            refuse: Raises if what is there does not allow the write.
            again: Whether it expects a version, so that it can be sent twice. A creation cannot:
                someone may already have deleted what it created.
        """

        def work(db: Connection) -> object:
            return db.execute(statement, values).fetchone()

        while True:
            try:
                is_written = self._making(work)
            except LostError as lost:
                return self._settle(key, version, work if again else None, lost)
            except _ANY_FAILURE as error:
                raise self._failed(error, key, "no") from error
            if is_written:
                return version
            # Nothing was written; perhaps the obstacle is gone by now.
            refuse(self.look(key, landed="no"))

    def look(self, key: str, *, landed: Landed | None = None) -> There | None:
        """Look up the document at a key.

        Args:
            key: The key.
            landed: Whether the write that asks has landed, as far as is known.
        """
        try:
            row = self.read(key, lambda db: db.execute(self._schema.version, (key,)).fetchone())
        except StateStoreError as error:
            error.landed = landed
            raise
        return There(*row) if row else None

    def make(self) -> None:
        """Create the tables if they do not exist."""
        try:
            self._making(lambda _: None)
        except _ANY_FAILURE as error:
            raise self._failed(error, None, "no") from error

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _settle(
        self,
        key: str,
        version: Version,
        work: Callable[[Connection], object] | None,
        lost: LostError,
    ) -> Version:
        """Find out what became of a write.

        Raises:
            ConflictError: It did not land, or someone has replaced it.
            UnavailableError: It cannot be determined.
        """

        def has_landed() -> bool:
            found = self.look(key)
            return found is not None and found.version == version

        try:
            if has_landed():
                return version
            # The first one may still be running; then the second waits for it, and writes nothing.
            if work is not None and (self._making(work) or has_landed()):
                return version
        except _ANY_FAILURE as error:
            raise translated(lost, key=key, store=self._store, landed="unknown") from error
        if work is None:
            raise translated(lost, key=key, store=self._store, landed="unknown") from lost
        raise ConflictError(
            "its answer was lost, and now something else is there; reload it, and check whether "
            "this was written",
            key=key,
            store=self._store,
            landed="unknown",
        ) from lost

    def _where_made(self, work: Callable[[Connection], T]) -> T | None:
        def attempt(db: Connection) -> T | None:
            self._is_made = self._is_made or self._schema.look(db)
            return work(db) if self._is_made else None

        return self._again_where_gone(attempt)

    def _making(self, work: Callable[[Connection], T]) -> T:
        def attempt(db: Connection) -> T:
            if not self._is_made:
                if not self._schema.look(db):
                    self._schema.make(db)
                self._is_made = True
            return work(db)

        return self._again_where_gone(attempt)

    def _again_where_gone(self, attempt: Callable[[Connection], T]) -> T:
        was_made = self._is_made
        try:
            return self._connections.run(attempt)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            if not was_made:
                raise
            self._is_made = False  # someone has dropped them
        return self._connections.run(attempt)

    def _failed(self, error: Exception, key: str | None, landed: Landed | None) -> StateStoreError:
        if not isinstance(error, StateStoreError):
            return translated(error, key=key, store=self._store, landed=landed)
        if error.store is not None:
            return error
        return type(error)(error.message, key=key, store=self._store, landed=landed)
