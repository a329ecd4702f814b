"""Sessions, journals, documents and blobs for programs with an event loop.

The stores are synchronous. Here each operation runs as a whole in a thread: one hop, not one for
each file or request it needs. The threads belong to no loop, so asyncio and trio can wait for them,
with or without anyio, even several loops at once.

`Threads` is that hop by itself, for adapters and for anything else that needs several operations in
one hop.
"""

from statekeep.aio.documents import AsyncBlobs, AsyncDocuments
from statekeep.aio.journals import AsyncJournal, AsyncJournals
from statekeep.aio.sessions import AsyncSessions
from statekeep.aio.threads import Threads

__all__ = [
    "AsyncBlobs",
    "AsyncDocuments",
    "AsyncJournal",
    "AsyncJournals",
    "AsyncSessions",
    "Threads",
]
