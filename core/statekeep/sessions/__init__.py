"""Sessions: what people call, and how a session lies in a store.

What is written here is about one session at a time. How many are listed, pruned, trashed or
repaired lives in `heads`, `retention` and `doctor`.
"""

from statekeep.sessions.sessions import Sessions

__all__ = ["Sessions"]
