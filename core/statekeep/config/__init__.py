"""Configuration: what a deployment chose, and opening it.

Where a store is and what it can do is not decided here; that is up to the backend.
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
    from statekeep.config.pruning import PrunedCollection, prune_configured
    from statekeep.config.settings import RetentionSettings, Settings

__all__ = [
    "PrunedCollection",
    "RetentionSettings",
    "Settings",
    "load_importer",
    "load_pruner",
    "load_settings",
    "open_sessions",
    "open_store",
    "prune_configured",
]


def __getattr__(name: str) -> object:
    # pydantic-settings costs more to import than all of statekeep.
    if name in {"RetentionSettings", "Settings"}:
        from statekeep.config import settings  # noqa: PLC0415

        return getattr(settings, name)
    if name in {"PrunedCollection", "prune_configured"}:
        from statekeep.config import pruning  # noqa: PLC0415 - imports journals; rarely needed

        return getattr(pruning, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
