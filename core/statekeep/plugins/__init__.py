"""Plugins: what a plugin implements, and how installed ones are found.

No backend, strategy or layer lives here; they are in distributions, ours among them.
"""

from statekeep.plugins.allow_list import is_allowed
from statekeep.plugins.hooks import BackendSpec, PrunerSpec, hookimpl

__all__ = ["BackendSpec", "PrunerSpec", "hookimpl", "is_allowed"]
