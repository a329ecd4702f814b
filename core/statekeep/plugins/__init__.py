"""Plugins: what a plugin implements, and how installed ones are found.

No backend, strategy or layer lives here; they are in distributions, ours among them.
"""

from statekeep.plugins.allow_list import is_allowed
from statekeep.plugins.hooks import BackendSpec, CommandSpec, PrunerSpec, hookimpl

__all__ = ["BackendSpec", "CommandSpec", "PrunerSpec", "hookimpl", "is_allowed"]
