"""A backend in one SQLite file, with one table of documents for all tenants."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from statekeep.errors import ConflictError, UnavailableError
from statekeep.plugins import BackendSpec, hookimpl
from statekeep.store import (
    ABSENT,
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    StateStore,
    Version,
    check_key,
    check_prefix,
    content_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.store import StoreURL

_TABLE = (
    "CREATE TABLE IF NOT EXISTS documents "
    "(tenant TEXT, key TEXT, data BLOB, version TEXT, PRIMARY KEY (tenant, key))"
)


class AcmeConfig(BaseModel):
    """Options of a box."""

    model_config = ConfigDict(extra="forbid")

    tenant: str = Field(pattern="^[a-z]+$")
    """Whose documents."""

    timeout: float = Field(default=5.0, ge=0)
    """Seconds to wait for another writer."""

    journal_mode: Literal["delete", "wal"] = Field(default="delete", alias="journal-mode")
    """What SQLite does to survive a crash."""


class AcmeStore(StateStore):
    """A tenant's part of a box."""

    def __init__(self, path: Path, config: AcmeConfig) -> None:
        self._path = path
        self._config = config

    def __repr__(self) -> str:
        return f"acme:{self._path}?tenant={self._config.tenant}&timeout={self._config.timeout:g}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def get(self, key: str) -> Blob | None:
        check_key(key)
        with self._transaction() as box:
            query = "SELECT data, version FROM documents WHERE tenant = ? AND key = ?"
            row = box.execute(query, (self._config.tenant, key)).fetchone()
        return None if row is None else Blob(row[0], Version(row[1]), None)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        check_key(key)
        version = content_version(data)
        with self._transaction() as box:
            self._compare(box, key, expect)
            box.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)",
                (self._config.tenant, key, data, version),
            )
        return version

    def delete(self, key: str, *, expect: Expect = ANY) -> None:
        check_key(key)
        with self._transaction() as box:
            self._compare(box, key, expect)
            query = "DELETE FROM documents WHERE tenant = ? AND key = ?"
            box.execute(query, (self._config.tenant, key))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        with self._transaction() as box:
            query = "SELECT key, length(data), version FROM documents WHERE tenant = ?"
            rows = box.execute(query, (self._config.tenant,)).fetchall()
        below = f"{prefix}/" if prefix else ""
        return (Entry(key, size, None, mark) for key, size, mark in rows if key.startswith(below))

    def close(self) -> None:
        pass

    def _compare(self, box: sqlite3.Connection, key: str, expect: Expect) -> None:
        if expect is ANY:
            return
        query = "SELECT version FROM documents WHERE tenant = ? AND key = ?"
        row = box.execute(query, (self._config.tenant, key)).fetchone()
        if (None if row is None else row[0]) != (None if expect is ABSENT else expect):
            raise ConflictError("it is not as expected", key=key, store=self, landed="no")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # A connection of its own for each operation: safe under threads and after a fork.
        try:
            timeout = self._config.timeout
            with closing(sqlite3.connect(self._path, timeout, isolation_level=None)) as box:
                box.execute(f"PRAGMA journal_mode = {self._config.journal_mode}")
                box.execute("BEGIN IMMEDIATE")
                with box:
                    box.execute(_TABLE)
                    yield box
        except sqlite3.Error as error:
            raise UnavailableError(str(error), store=self) from error


def _open(url: StoreURL, config: AcmeConfig) -> AcmeStore:
    return AcmeStore(Path(url.location.removeprefix("//")), config)


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    return [BackendSpec("acme", "a box of Acme's", AcmeConfig, _open)]
