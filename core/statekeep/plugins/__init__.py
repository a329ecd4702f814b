"""Plugins: what they implement, and how installed ones are found.

No backends, strategies or layers are here; distributions provide them, including our own.
"""

from statekeep.plugins.allow_list import is_allowed
from statekeep.plugins.hooks import BackendSpec, PrunerSpec, hookimpl

__all__ = ["BackendSpec", "PrunerSpec", "hookimpl", "is_allowed"]
