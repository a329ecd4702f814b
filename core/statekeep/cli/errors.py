"""What an error means to the shell."""

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
"""What each kind of error ends with; any other ends with `FAILED`."""

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
"""What a command may end with, in words: the help shows it, and docs/cli.md says more."""


def exit_code(error: StateStoreError) -> int:
    """What a command that met this error ends with."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)
