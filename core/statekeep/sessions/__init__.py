"""Sessions: the class that people use, and how a session is laid out in a store.

The code here handles one session at a time. Listing, pruning, trashing and repairing many of them
is the work of `heads`, `retention` and `doctor`.
"""

from statekeep.sessions.sessions import Sessions

__all__ = ["Sessions"]
