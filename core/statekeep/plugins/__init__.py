"""Plugins: what they implement, and how installed ones are found.

No backends, strategies, importers or layers are here; distributions provide them, including our
own.
"""

from statekeep.plugins.allow_list import is_allowed
from statekeep.plugins.hooks import (
    BackendSpec,
    CommandSpec,
    ImporterSpec,
    PrunerSpec,
    hookimpl,
)

__all__ = [
    "BackendSpec",
    "CommandSpec",
    "ImporterSpec",
    "PrunerSpec",
    "hookimpl",
    "is_allowed",
]
