"""Configuration: what a deployment chose, and opening it.

Where a store is or what it can do is not decided here; that is the backend's affair.
"""

from typing import TYPE_CHECKING

from statekeep.config.opening import (
    load_importer,
    load_pruner,
    load_settings,
    open_sessions,
    open_store,
)

if TYPE_CHECKING:
    from statekeep.config.settings import RetentionSettings, Settings

__all__ = [
    "RetentionSettings",
    "Settings",
    "load_importer",
    "load_pruner",
    "load_settings",
    "open_sessions",
    "open_store",
]


def __getattr__(name: str) -> object:
    # pydantic-settings costs more to import than all of statekeep.
    if name in {"RetentionSettings", "Settings"}:
        from statekeep.config import settings  # noqa: PLC0415

        return getattr(settings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
