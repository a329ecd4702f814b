"""Translates what the server refuses, and failures on the way to it, to statekeep's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    InvalidDocumentError,
    StateStoreError,
    UnavailableError,
)
from statekeep_backends.postgres.connections import LostError, UnsentError

if TYPE_CHECKING:
    from statekeep.errors import Landed

__all__ = ["FAILURES", "translated"]

FAILURES: Final = (psycopg.Error, LostError, UnsentError)
"""What connections to a server raise, apart from statekeep's errors."""

_SIGN_IN: Final = (
    "check the user and the password, which comes from PGPASSWORD, ~/.pgpass, a service file or "
    "the settings"
)
# By SQLSTATE, or by its class, the first two characters.
_KINDS: Final[dict[str, tuple[type[StateStoreError], str]]] = {
    "22": (InvalidDocumentError, "the server cannot store it"),
    "25006": (AccessDeniedError, "the server is read-only; connect to the primary"),
    "28": (AccessDeniedError, _SIGN_IN),
    "3D000": (ConfigError, "create it, or correct the URL"),
    "3F000": (ConfigError, "create it, or correct the option schema"),
    "42501": (AccessDeniedError, "check this user's rights; see `statekeep init`"),
    "42": (CorruptDataError, "its tables are not what they were; restore them from a backup"),
    "53100": (UnavailableError, "free some space"),
    "53300": (UnavailableError, "lower max_connections, or raise that of the server"),
    "54": (InvalidDocumentError, "split it"),
    "57014": (UnavailableError, "it took longer than the server allows; retry later"),
    "XX001": (CorruptDataError, "restore it from a backup"),
    "XX002": (CorruptDataError, "rebuild that index with REINDEX"),
}
_OTHERWISE: Final[tuple[type[StateStoreError], str]] = (UnavailableError, "retry later")


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
    if isinstance(error, LostError):
        if landed is not None:
            landed = "unknown"
        said = _said(error.__cause__) or "the connection broke"
        return UnavailableError(f"{said}; retry later", key=key, store=store, landed=landed)
    if isinstance(error, UnsentError):
        cause = error.__cause__
        state = _state_of_refusal(cause) if isinstance(cause, psycopg.Error) else None
        kind, advice = _kind_of(state)
        said = _said(cause) or "no connection"
        return kind(f"{said}; {advice}", key=key, store=store, landed=landed)
    kind, advice = _kind_of(error.sqlstate if isinstance(error, psycopg.Error) else None)
    return kind(f"{_said(error)}; {advice}", key=key, store=store, landed=landed)


def _kind_of(state: str | None) -> tuple[type[StateStoreError], str]:
    return _KINDS.get(state or "") or _KINDS.get((state or "")[:2]) or _OTHERWISE


def _state_of_refusal(error: psycopg.Error) -> str | None:
    """Return the SQLSTATE of a refused connection; libpq only gives a message."""
    said = str(error)
    for words, state in (
        ("authentication failed", "28P01"),
        ("no password supplied", "28P01"),
        ("no pg_hba.conf entry", "28000"),
        ("too many clients", "53300"),
        ("remaining connection slots", "53300"),
    ):
        if words in said:
            return state
    if "does not exist" in said:
        return "28000" if 'role "' in said else "3D000"
    return error.sqlstate


def _said(error: BaseException | None) -> str:
    """Return the first line of a message, without libpq's prefix."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = str(error or "").splitlines()
    return lines[0].strip() if lines else ""
