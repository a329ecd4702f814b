"""The tables of a store, and the SQL of all operations on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from statekeep.errors import CorruptDataError, UnsupportedError
from statekeep_backends._records import COLUMNS

if TYPE_CHECKING:
    from statekeep_backends.postgres.connections import Connection

__all__ = ["RECORD", "Schema"]

_VERSION: Final = 1
_MARK: Final = "statekeep "
_LOCK: Final = int.from_bytes(b"stkpmake")
"""The advisory lock to hold while creating tables."""

RECORD: Final = ("place", "v", "record", *COLUMNS)
"""The columns that a record fills."""

_TYPES: Final = {
    "v": "bigint",
    "created_at": "bigint",
    "updated_at": "bigint",
    "size": "bigint",
}
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000"
_TEXT: Final = 'text COLLATE "C"'
# What was appended since the last put is stored beside the document, in pieces. They count only
# with the current `base`, which every put increases.
_DATA: Final = """
    CASE WHEN bytes <= %s THEN CASE WHEN pieces = 0 THEN data ELSE data || (
        SELECT string_agg(piece.data, ''::bytea ORDER BY piece.number) FROM {appended} AS piece
        WHERE piece.n = there.n AND piece.base = there.base
    ) END END
"""


class Schema:
    """The SQL of one store.

    Args:
        schema: Where its tables are; None for the first schema in the ``search_path``.
        store: What the names of its tables start with.
    """

    def __init__(self, schema: str | None, store: str) -> None:
        self._schema = schema
        self._store = store
        self._documents = self._named("documents")
        set_record = ", ".join(f"{name} = %s" for name in RECORD)
        written = ", ".join(f"{name} = EXCLUDED.{name}" for name in RECORD)
        columns = ", ".join(RECORD)
        self.get = self._sql(
            f"SELECT key, bytes, version, modified, {_DATA} FROM {{documents}} AS there "
            "WHERE key = ANY(%s::text[])"
        )
        self.version = self._sql("SELECT version, bytes FROM {documents} WHERE key = %s")
        self.versions = self._sql(
            "SELECT key, version FROM {documents} WHERE key = ANY(%s::text[])"
        )
        insert = (
            f"INSERT INTO {{documents}} AS there (key, version, bytes, data, {columns}, modified) "
            f"VALUES (%s, %s, %s, %b, {', '.join('%s' for _ in RECORD)}, {_NOW})"
        )
        renewed = f"modified = {_NOW}, base = there.base + 1, pieces = 0"
        self.create = self._sql(f"{insert} ON CONFLICT (key) DO NOTHING RETURNING 1")
        self.replace = self._putting(
            f"UPDATE {{documents}} AS there SET version = %s, bytes = %s, data = %b, {set_record}, "
            f"{renewed} WHERE key = %s AND version = %s"
        )
        self.put = self._putting(
            f"{insert} ON CONFLICT (key) DO UPDATE SET version = EXCLUDED.version, "
            f"bytes = EXCLUDED.bytes, data = EXCLUDED.data, {written}, {renewed}"
        )
        self.append = self._sql(
            "WITH changed AS ("
            "UPDATE {documents} SET version = %s, bytes = bytes + %s, pieces = pieces + 1, "
            f"{set_record}, modified = {_NOW} "
            "WHERE key = %s AND version = %s AND bytes + %s <= %s RETURNING n, base, pieces"
            ") INSERT INTO {appended} (n, base, number, data) "
            "SELECT n, base, pieces, %b FROM changed RETURNING 1"
        )
        self.delete = self._sql("DELETE FROM {documents} WHERE key = %s RETURNING 1")
        self.delete_version = self._sql(
            "DELETE FROM {documents} WHERE key = %s AND version = %s RETURNING 1"
        )
        self.delete_many = self._sql("DELETE FROM {documents} WHERE key = ANY(%s::text[])")
        self.delete_seen = self._sql(
            "DELETE FROM {documents} AS there "
            "USING unnest(%s::text[], %s::text[]) AS seen (key, version) "
            "WHERE there.key = seen.key AND there.version = seen.version RETURNING there.key"
        )
        self.scan = self._sql(
            "SELECT key, bytes, modified, version FROM {documents} WHERE key > %s AND key < %s "
            "ORDER BY key LIMIT %s"
        )
        given = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in RECORD)
        self.set_records = self._sql(
            f"UPDATE {{documents}} AS there SET "
            f"{', '.join(f'{name} = given.{name}' for name in RECORD)} "
            f"FROM jsonb_to_recordset(%s::jsonb) AS given (key text, version text, {given}) "
            "WHERE there.key = given.key AND there.version = given.version"
        )
        self.torn = self._sql(
            "SELECT key FROM {documents} AS there WHERE bytes <> octet_length(data) + coalesce(("
            "SELECT sum(octet_length(piece.data)) FROM {appended} AS piece "
            "WHERE piece.n = there.n AND piece.base = there.base), 0) "
            "ORDER BY key LIMIT %s"
        )
        self.tidy = self._sql(
            "DELETE FROM {appended} AS piece USING {documents} AS there "
            "WHERE piece.n = there.n AND piece.base < there.base"
        )
        self.vacuum = self._sql("VACUUM (ANALYZE) {documents}, {appended}")

    def listing(self, there: str, page: str, order: str) -> bytes:
        """Return a query for a page, for what cannot be read, and for what has no record.

        Args:
            there: The conditions for all three.
            page: The conditions for the page.
            order: How the page is ordered.
        """
        # The sign keeps the second query off the index on `v`, whose value most documents share:
        # without statistics, PostgreSQL would prefer it to the index of problems.
        return self._sql(
            "SELECT row_number() OVER () AS n, key, version, modified, record FROM ("
            f"SELECT key, version, modified, record FROM {{documents}} WHERE {page} "
            f"ORDER BY {order} LIMIT %s) AS page "
            "UNION ALL SELECT -1, key, version, modified, record FROM {documents} "
            f"WHERE {there} AND problem IS NOT NULL AND +v >= %s "
            "UNION ALL SELECT -2, key, NULL, NULL, NULL FROM {documents} "
            f"WHERE {there} AND v < %s"
        )

    def count(self, where: str) -> bytes:
        """Return a query that counts documents."""
        return self._sql(f"SELECT count(*) FROM {{documents}} WHERE {where}")

    def look(self, connection: Connection) -> bool:
        """Return whether the tables exist.

        Raises:
            CorruptDataError: They belong to another program.
            UnsupportedError: A newer version of statekeep created them, or the database has an
                encoding other than UTF-8.
        """
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise UnsupportedError(
                f"the database is encoded in {encoding}; create one with ENCODING 'UTF8'",
                landed="no",
            )
        # Query a table, because to_regclass() alone may remember what was there before.
        row = connection.execute(
            b"SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)",
            (self._documents,),
        ).fetchone()
        if row is None:
            return False
        said = row[0] or ""
        version = said.removeprefix(_MARK)
        if not said.startswith(_MARK) or not version.isdecimal():
            raise CorruptDataError(
                f"the table {self._documents} belongs to another program; choose another store or "
                "schema",
                landed="no",
            )
        if int(version) > _VERSION:
            raise UnsupportedError(
                f"a newer version of statekeep created its tables (version {version}, known is "
                f"{_VERSION}); upgrade statekeep",
                landed="no",
            )
        return True

    def make(self, connection: Connection) -> None:
        """Create the tables if they do not exist."""
        with connection.transaction():
            # With a stricter default, this would not see what was created while it waited.
            connection.execute(b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            # Two that create them at the same time would clash, even with IF NOT EXISTS.
            connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if self.look(connection):
                return
            if self._schema is not None:
                found = connection.execute(
                    b"SELECT FROM pg_namespace WHERE nspname = %s", (self._schema,)
                ).fetchone()
                if found is None:
                    connection.execute(f'CREATE SCHEMA "{self._schema}"'.encode())
            for statement in self._statements():
                connection.execute(self._sql(statement))

    def _statements(self) -> tuple[str, ...]:
        columns = ", ".join(f"{name} {_TYPES.get(name, _TEXT)}" for name in RECORD if name != "v")
        return (
            f"""
            CREATE TABLE {{documents}} (
                n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                key {_TEXT} NOT NULL UNIQUE,
                version {_TEXT} NOT NULL,
                modified bigint NOT NULL,
                bytes bigint NOT NULL,
                base bigint NOT NULL DEFAULT 0,
                pieces integer NOT NULL DEFAULT 0,
                v bigint NOT NULL,
                {columns},
                data bytea NOT NULL
            )
            """,
            """
            CREATE TABLE {appended} (
                n bigint NOT NULL REFERENCES {documents} ON DELETE CASCADE,
                base bigint NOT NULL,
                number integer NOT NULL,
                data bytea NOT NULL,
                PRIMARY KEY (n, base, number)
            )
            """,
            # Compression takes more time than it saves.
            "ALTER TABLE {documents} ALTER data SET STORAGE EXTERNAL",
            self._index("by_update", "place, updated_at", "updated_at"),
            self._index("by_user", "place, user_id, updated_at", "updated_at"),
            self._index("by_creation", "place, created_at", "created_at"),
            self._index("by_v", "place, v", "place"),
            self._index("problems", "place", "problem"),
            f"COMMENT ON TABLE {{documents}} IS '{_MARK}{_VERSION}'",
        )

    def _index(self, name: str, columns: str, needed: str) -> str:
        return (
            f'CREATE INDEX "{self._store}_{name}" ON {{documents}} ({columns}) '
            f"WHERE {needed} IS NOT NULL"
        )

    def _putting(self, write: str) -> bytes:
        """Return a write of a whole document that removes its pieces; it counts what it wrote."""
        return self._sql(
            f"WITH written AS ({write} RETURNING n, base), gone AS ("
            "DELETE FROM {appended} AS piece USING written "
            "WHERE piece.n = written.n AND piece.base < written.base"
            ") SELECT 1 FROM written"
        )

    def _named(self, what: str) -> str:
        table = f'"{self._store}_{what}"'
        return table if self._schema is None else f'"{self._schema}".{table}'

    def _sql(self, text: str) -> bytes:
        # The names were validated: quotation marks are all that they need.
        return text.format(documents=self._documents, appended=self._named("appended")).encode()
