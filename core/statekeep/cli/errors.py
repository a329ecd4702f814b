"""The exit codes."""

from __future__ import annotations

from typing import Final

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    NotFoundError,
    PluginError,
    StateStoreError,
    UnavailableError,
)

__all__ = ["EXIT_CODES", "FAILED", "INTERRUPTED", "MEANINGS", "WRONG_USAGE", "exit_code"]

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130

EXIT_CODES: dict[type[StateStoreError], int] = {
    ConfigError: WRONG_USAGE,
    PluginError: WRONG_USAGE,
    InvalidKeyError: WRONG_USAGE,
    NotFoundError: 3,
    ConflictError: 4,
    UnavailableError: 5,
    AccessDeniedError: 6,
    CorruptDataError: 7,
}
"""The exit code of each kind of error; any other is `FAILED`."""

MEANINGS: Final[dict[int, str]] = {
    0: "done",
    FAILED: "failed",
    WRONG_USAGE: "wrong usage or configuration",
    3: "not found",
    4: "conflict",
    5: "unavailable (retry later)",
    6: "access denied",
    7: "corrupt data",
    INTERRUPTED: "interrupted",
}
"""The meaning of each exit code, as the help shows it; docs/cli.md says more."""


def exit_code(error: StateStoreError) -> int:
    """Return the exit code for an error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)
