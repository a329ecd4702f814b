"""The tables of a database."""

from __future__ import annotations

from typing import Final

__all__ = ["APPLICATION_ID", "CREATE", "VERSION"]

APPLICATION_ID: Final = 0x5374_6B70
"""``Stkp``: marks our databases in their header, so that no other program's is mistaken for one."""

VERSION: Final = 1
"""The version of the tables; SQLite's ``user_version``."""

# Long data is in a table of its own, so that reading many documents does not pass over it. `place`
# is what is listed together: the sessions, or the journals of a collection. Except `updated_at`, no
# index has a column that a save changes: each would cost two more pages to write.
CREATE: Final = (
    """
    CREATE TABLE documents (
        n INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        version TEXT NOT NULL,
        modified INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        place TEXT,
        v INTEGER NOT NULL DEFAULT 0,
        record TEXT,
        id TEXT,
        user_id TEXT,
        project_id TEXT,
        active_seed_id TEXT,
        last_phase TEXT,
        title TEXT,
        created_at INTEGER,
        updated_at INTEGER,
        size INTEGER,
        problem TEXT
    ) STRICT
    """,
    # There may be spare room after the document, for appends.
    "CREATE TABLE contents (n INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT",
    """
    CREATE INDEX by_update ON documents (place, updated_at)
    WHERE updated_at IS NOT NULL
    """,
    """
    CREATE INDEX by_user ON documents (place, user_id, updated_at)
    WHERE updated_at IS NOT NULL
    """,
    """
    CREATE INDEX by_creation ON documents (place, created_at)
    WHERE created_at IS NOT NULL
    """,
    "CREATE INDEX by_v ON documents (place, v) WHERE place IS NOT NULL",
    "CREATE INDEX problems ON documents (place) WHERE problem IS NOT NULL",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
