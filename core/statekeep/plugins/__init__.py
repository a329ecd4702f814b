"""Plugins: what a plugin implements, and how installed ones are found.

No backend, strategy, importer or layer lives here; they are in distributions, ours among them.
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
