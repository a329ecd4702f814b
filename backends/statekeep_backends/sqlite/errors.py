"""SQLite's errors, and those of the machine, as statekeep's."""

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
"""What the connections to a database raise besides errors of statekeep."""

_KINDS: dict[int, tuple[type[StateStoreError], str]] = {
    sqlite3.SQLITE_AUTH: (AccessDeniedError, "may this user read and write it?"),
    sqlite3.SQLITE_CANTOPEN: (
        AccessDeniedError,
        "is it a file, and may this user read and write it and make files beside it?",
    ),
    sqlite3.SQLITE_PERM: (AccessDeniedError, "may this user read and write it?"),
    sqlite3.SQLITE_READONLY: (
        AccessDeniedError,
        "may this user write it and make files beside it?",
    ),
    sqlite3.SQLITE_CORRUPT: (CorruptDataError, "restore it from a backup"),
    sqlite3.SQLITE_ERROR: (CorruptDataError, "restore it from a backup"),
    sqlite3.SQLITE_NOTADB: (CorruptDataError, "it is no SQLite database; name another file"),
    sqlite3.SQLITE_TOOBIG: (InvalidDocumentError, "split it"),
    sqlite3.SQLITE_BUSY: (
        UnavailableError,
        "another process kept it locked for the whole busy_timeout; retry later",
    ),
    sqlite3.SQLITE_FULL: (UnavailableError, "make room"),
}


def translated(
    error: Exception, *, key: str | None, store: object, landed: Landed | None = None
) -> StateStoreError:
    """Say what failed.

    Args:
        error: One of `FAILURES`.
        key: Of what was read or written; None if that was more than one document.
        store: On which store.
        landed: Of a write, "no"; who cannot tell says so.
    """
    if isinstance(error, UncertainError):
        landed, error = "unknown", next(_causes(error))
    if isinstance(error, OSError):
        denied = isinstance(error, PermissionError)
        kind: type[StateStoreError] = AccessDeniedError if denied else UnavailableError
        return kind(f"{error.strerror or error}", key=key, store=store, landed=landed)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Says Python, not SQLite, of text that is damaged; of a message that quotes it, too.
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode"):
        code = sqlite3.SQLITE_CORRUPT
    kind, advice = _KINDS.get(code, (UnavailableError, "retry later"))
    return kind(f"{error}; {advice}", key=key, store=store, landed=landed)


def _causes(error: BaseException) -> Iterator[Exception]:
    if isinstance(error.__cause__, Exception):
        yield error.__cause__
    yield sqlite3.OperationalError("it failed")
