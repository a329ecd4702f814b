"""A store in a PostgreSQL database.

Each call is one statement, so it writes everything or nothing.
"""

from __future__ import annotations

import secrets
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from statekeep.errors import (
    ConfigError,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    StateStoreError,
)
from statekeep.store import (
    ABSENT,
    ANY,
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
from statekeep.store.limits import limit_of, refuse_too_large, too_large
from statekeep.timestamps import from_nanoseconds
from statekeep_backends._batches import batches
from statekeep_backends._records import NOTHING
from statekeep_backends.postgres import records
from statekeep_backends.postgres.calls import Calls
from statekeep_backends.postgres.config import LARGEST, conninfo, describe
from statekeep_backends.postgres.connections import Connections
from statekeep_backends.postgres.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from statekeep.errors import Landed
    from statekeep.store import Expect, ExpectSeen, Filter, Found, Order, Position, Record, Seen
    from statekeep_backends.postgres.calls import There
    from statekeep_backends.postgres.config import PostgresConfig
    from statekeep_backends.postgres.connections import Connection

__all__ = ["PostgresStore"]

T = TypeVar("T")

_MANY, _LARGE, _FEW = 5000, 500, 32
_FINDINGS: Final = 20
_TORN: Final = "it is not whole; restore it from a backup"
_REMAINS = (
    "the bytes of deleted documents stay in the files of the tables until others take their "
    "place (VACUUM FULL rewrites the tables), and in the write-ahead log, its archive and "
    "replicas for as long as the server keeps these"
)


class PostgresStore(StateStore):
    """A store in a PostgreSQL database; the first write, or `initialize`, creates its tables.

    Args:
        location: What follows the scheme of its URL: ``//user@host:port/database``.
        config: Its options.

    Raises:
        ConfigError: libpq does not understand them.
    """

    def __init__(self, location: str, config: PostgresConfig) -> None:
        self._name = describe(location, config)
        self._most = config.max_document_bytes
        self._schema = Schema(config.schema_, config.store)
        address, options = conninfo(location, config)
        try:
            ports = str(psycopg.conninfo.conninfo_to_dict(address).get("port") or "")
        except psycopg.ProgrammingError as error:
            raise ConfigError(f"{self._name}: {error}".strip()) from None
        if not all(port.isdecimal() for port in ports.split(",") if port):
            raise ConfigError(f"{self._name}: a port must be a number, not {ports!r}")
        connections = Connections(
            address, options, timeout=config.timeout, most=config.max_connections
        )
        self._calls = Calls(connections, self._schema, self)

    def __repr__(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """All of them."""
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True, remote=True)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        found = self._calls.read(key, lambda db: self._rows(db, [key])) or {}
        blob = self._blob(key, found[key]) if key in found else None
        if isinstance(blob, StateStoreError):
            raise blob
        return blob

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
        version, most = _new_version(), self._limit_of(key)
        values = (
            version, len(data), *records.values_of(key, record), key, expect, len(data), most, data,
        )  # fmt: skip

        def refuse(found: There | None) -> None:
            compare(found.version if found else None, expect, key=key, store=self)
            if found and found.size + len(data) > most:
                said = too_large(found.size + len(data), self._most)
                raise InvalidDocumentError(said, key=key, store=self, landed="no")

        return self._calls.write(key, version, self._schema.append, values, refuse)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        statement = self._schema.delete if expect is ANY else self._schema.delete_version
        values = (key,) if expect is ANY else (key, expect)
        if self._calls.change(key, lambda db: db.execute(statement, values).fetchone()):
            return
        found = None if expect is ANY else self._calls.look(key, landed="no")
        compare(found.version if found else None, expect, key=key, store=self)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        # "0" follows "/"; and no key is as long as this bound.
        after, end = (f"{prefix}/", f"{prefix}0") if prefix else ("", "\U0010ffff" * 256)
        while True:
            values = (after, end, _MANY)
            rows = self._calls.read(
                None,
                lambda db, values=values: db.execute(  # type: ignore[misc]
                    self._schema.scan, values, binary=True
                ).fetchall(),
            )
            yield from starmap(Entry, rows or ())
            if rows is None or len(rows) < _MANY:
                return
            after = rows[-1][0]

    def close(self) -> None:
        """See `StateStore.close`."""
        self._calls.close()

    def initialize(self) -> None:
        """See `SupportsInitialize.initialize`; creates the tables, and the schema."""
        self._calls.make()

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`; reads a few with each statement."""
        for batch in batches(keys, _FEW):
            for key in batch:
                check_key(key)
            found = self._calls.read(None, lambda db, batch=batch: self._rows(db, batch)) or {}  # type: ignore[misc]
            for key in batch:
                yield key, self._blob(key, found[key]) if key in found else None

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `SupportsDeleteMany`; deletes some hundreds with each statement."""
        for batch in batches(keys, _LARGE):
            for key in batch:
                check_key(key)
            self._calls.change(
                None,
                lambda db, batch=batch: db.execute(self._schema.delete_many, (batch,)),  # type: ignore[misc]
            )

    def delete_seen(self, seen: Iterable[Seen]) -> Iterator[dict[str, StateStoreError | None]]:
        """See `SupportsDeleteSeen`; deletes some hundreds with each statement."""
        for batch in batches(seen, _LARGE):
            for each in batch:
                check_key(each.key)
            yield self._delete_seen(batch)

    def set_records(self, records_: Iterable[tuple[str, Version, Record]]) -> None:
        """See `SupportsQuery.set_records`; sets some hundreds with each statement."""
        for batch in batches(records_, _LARGE):
            for key, _, _ in batch:
                check_key(key)
            self._calls.change(
                None,
                lambda db, batch=batch: records.set_records(db, self._schema, batch),  # type: ignore[misc]
            )

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
        found = self._calls.read(
            None,
            lambda db: records.find(
                db, self._schema, prefix, wanted, known=known, order=order, after=after, limit=limit
            ),
        )
        return found or NOTHING

    def count(self, prefix: str, wanted: Filter, *, known: int) -> int:
        """See `SupportsQuery.count`."""
        check_prefix(prefix)
        number = self._calls.read(
            None, lambda db: records.count(db, self._schema, prefix, wanted, known=known)
        )
        return number or 0

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:  # noqa: ARG002
        """See `SupportsInspect.inspect`; finds documents with a missing part."""

        def work(db: Connection) -> list[tuple[Any, ...]]:
            with db.unlimited():
                return db.execute(self._schema.torn, (_FINDINGS,)).fetchall()

        torn = self._calls.read(None, work)
        for (key,) in torn or ():
            yield Anomaly("damage", key, _TORN, None)

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:  # noqa: ARG002
        """See `SupportsInspect.repair`; nothing found here can be repaired.

        Raises:
            CorruptDataError: Always.
        """
        raise CorruptDataError(anomaly.reason, key=anomaly.place, store=self)

    def remains(self) -> Sequence[str]:
        """See `SupportsRemains`. Sends no statement."""
        return [_REMAINS]

    def vacuum(self) -> None:
        """See `SupportsVacuum`; others can write while it runs."""

        def work(db: Connection) -> None:
            with db.unlimited():
                db.execute(self._schema.tidy)
                db.execute(self._schema.vacuum)

        self._calls.change(None, work)

    def _put(self, key: str, data: bytes, expect: Expect, record: Record | None) -> Version:
        check_key(key)
        refuse_too_large(data, self._limit_of(key), key=key, store=self)
        version = _new_version()
        described = records.values_of(key, record)
        schema = self._schema
        if expect is ANY or expect is ABSENT:
            statement = schema.put if expect is ANY else schema.create
            values = (key, version, len(data), data, *described)
        else:
            statement = schema.replace
            values = (version, len(data), data, *described, key, expect)

        def refuse(found: There | None) -> None:
            compare(found.version if found else None, expect, key=key, store=self)

        return self._calls.write(
            key, version, statement, values, refuse, again=isinstance(expect, str)
        )

    def _delete_seen(self, batch: list[Seen]) -> dict[str, StateStoreError | None]:
        versions = {each.key: each.version for each in batch}
        given = ([*versions], [*versions.values()])

        def delete(db: Connection) -> set[str]:
            return {key for (key,) in db.execute(self._schema.delete_seen, given)}

        def look(db: Connection) -> dict[str, Version]:
            return dict(db.execute(self._schema.versions, (left,)).fetchall())

        done: dict[str, StateStoreError | None] = dict.fromkeys(versions)
        left = [*versions]
        landed: Landed | None = None
        try:
            deleted = self._calls.change(None, delete) or set()
            left, landed = [key for key in left if key not in deleted], "no"
            found = self._calls.read(None, look) or {} if left else {}
        except StateStoreError as error:
            for key in left:
                kind, what = type(error), landed or error.landed
                done[key] = kind(error.message, key=key, store=self, landed=what)
            return done
        for key in left:
            try:
                compare(found.get(key), versions[key], key=key, store=self)
            except ConflictError as error:
                done[key] = error
        return done

    def _rows(self, db: Connection, keys: list[str]) -> dict[str, tuple[Any, ...]]:
        most = max(map(self._limit_of, keys))
        rows = db.execute(self._schema.get, (most, keys), binary=True)
        return {row[0]: row[1:] for row in rows}

    def _blob(self, key: str, row: tuple[Any, ...]) -> Blob | StateStoreError:
        size, version, modified, data = row
        most = self._limit_of(key)
        if size > most:
            return CorruptDataError(too_large(size, most), key=key, store=self)
        if data is None or len(data) != size:
            return CorruptDataError(_TORN, key=key, store=self)
        return Blob(data, Version(version), from_nanoseconds(modified), version)

    def _limit_of(self, key: str) -> int:
        return min(limit_of(key, self._most), LARGEST)


def _new_version() -> Version:
    # Random, because a counter would come back with a restored backup.
    return Version(secrets.token_hex(12))
