"""What an error means to the shell."""

from __future__ import annotations

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

__all__ = ["EXIT_CODES", "exit_code"]

EXIT_CODES: dict[type[StateStoreError], int] = {
    ConfigError: 2,
    PluginError: 2,
    InvalidKeyError: 2,
    NotFoundError: 3,
    ConflictError: 4,
    UnavailableError: 5,
    AccessDeniedError: 6,
    CorruptDataError: 7,
}
"""What each kind of error ends with; any other ends with 1."""


def exit_code(error: StateStoreError) -> int:
    """What a command that met this error ends with."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)
