"""Translates SQLite's errors, and those of the machine, to statekeep's."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from statekeep.errors import (
    AccessDeniedError,
    CorruptDataError,
    InvalidDocumentError,
    StateStoreError,
    UnavailableError,
)
from statekeep_backends.sqlite.connections import UncertainError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.errors import Landed

__all__ = ["FAILURES", "translated"]

FAILURES = (sqlite3.Error, OSError, UncertainError, UnicodeDecodeError)
"""What connections to a database raise, apart from statekeep's errors."""

_KINDS: dict[int, tuple[type[StateStoreError], str]] = {
    sqlite3.SQLITE_AUTH: (AccessDeniedError, "check that this user can read and write it"),
    sqlite3.SQLITE_CANTOPEN: (
        AccessDeniedError,
        (
            "check that it is a file, and that this user can read and write it and create files "
            "beside it"
        ),
    ),
    sqlite3.SQLITE_PERM: (AccessDeniedError, "check that this user can read and write it"),
    sqlite3.SQLITE_READONLY: (
        AccessDeniedError,
        "check that this user can write it and create files beside it",
    ),
    sqlite3.SQLITE_CORRUPT: (CorruptDataError, "restore it from a backup"),
    sqlite3.SQLITE_ERROR: (CorruptDataError, "restore it from a backup"),
    sqlite3.SQLITE_NOTADB: (CorruptDataError, "it is not a SQLite database; choose another file"),
    sqlite3.SQLITE_TOOBIG: (InvalidDocumentError, "split it"),
    sqlite3.SQLITE_BUSY: (
        UnavailableError,
        "another process kept it locked for the whole busy_timeout; retry later",
    ),
    sqlite3.SQLITE_FULL: (UnavailableError, "free some space"),
}


def translated(
    error: Exception, *, key: str | None, store: object, landed: Landed | None = None
) -> StateStoreError:
    """Return the error that says what failed.

    Args:
        error: One of `FAILURES`.
        key: The key that was read or written; None for more than one document.
        store: The store.
        landed: "no" for a write; if it cannot be determined, the error says so instead.
    """
    if isinstance(error, UncertainError):
        landed, error = "unknown", next(_causes(error))
    if isinstance(error, OSError):
        denied = isinstance(error, PermissionError)
        kind: type[StateStoreError] = AccessDeniedError if denied else UnavailableError
        advice = f"; {_KINDS[sqlite3.SQLITE_CANTOPEN][1]}" if denied else ""
        return kind(f"{error.strerror or error}{advice}", key=key, store=store, landed=landed)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Python, not SQLite, reports damaged text; also in a message that quotes it.
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode"):
        code = sqlite3.SQLITE_CORRUPT
    kind, advice = _KINDS.get(code, (UnavailableError, "retry later"))
    return kind(f"{error}; {advice}", key=key, store=store, landed=landed)


def _causes(error: BaseException) -> Iterator[Exception]:
    if isinstance(error.__cause__, Exception):
        yield error.__cause__
    yield sqlite3.OperationalError("it failed")
