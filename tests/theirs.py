"""SQLite files as other programs write them, made without these programs."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Checkpoints", "Messages", "said"]


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


class Messages:
    """The file of a `SQLiteSession` of the OpenAI Agents SDK."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path)
        self.db.executescript("""
            PRAGMA journal_mode=WAL;
            CREATE TABLE agent_sessions (
                session_id TEXT PRIMARY KEY,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            );
            CREATE TABLE agent_messages (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                message_data TEXT NOT NULL,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            );
            CREATE INDEX idx_messages ON agent_messages (session_id, id);
        """)

    def add(self, session: str, *items: Any) -> None:
        """Add items; one that is bytes or text goes in as it is."""
        self.db.execute("INSERT OR IGNORE INTO agent_sessions (session_id) VALUES (?)", [session])
        self.db.executemany(
            "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)",
            [
                (session, each if isinstance(each, (bytes, str)) else json.dumps(each))
                for each in items
            ],
        )
        self.db.commit()

    def branch(self, session: str, *branches: str) -> None:
        """Say of the session's items in which branch each lies, as `AdvancedSQLiteSession` does."""
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS message_structure (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " session_id TEXT NOT NULL, message_id INTEGER NOT NULL, branch_id TEXT NOT NULL)"
        )
        found = self.db.execute("SELECT id FROM agent_messages WHERE session_id = ?", [session])
        self.db.executemany(
            "INSERT INTO message_structure (session_id, message_id, branch_id) VALUES (?, ?, ?)",
            [(session, at, branch) for (at,), branch in zip(found, branches, strict=True)],
        )
        self.db.commit()

    def pop(self, session: str) -> None:
        """Take the last item away."""
        self.db.execute(
            "DELETE FROM agent_messages WHERE id ="
            " (SELECT max(id) FROM agent_messages WHERE session_id = ?)",
            [session],
        )
        self.db.commit()

    def close(self) -> None:
        self.db.close()


class Checkpoints:
    """The file of a `SqliteSaver` of LangGraph."""

    def __init__(self, path: Path, *, has_paths: bool = True) -> None:
        task_path = "task_path TEXT NOT NULL DEFAULT ''," if has_paths else ""
        self.db = sqlite3.connect(path)
        self.db.executescript(f"""
            PRAGMA journal_mode=WAL;
            CREATE TABLE checkpoints (
                thread_id TEXT NOT NULL,
                checkpoint_ns TEXT NOT NULL DEFAULT '',
                checkpoint_id TEXT NOT NULL,
                parent_checkpoint_id TEXT,
                type TEXT,
                checkpoint BLOB,
                metadata BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
            );
            CREATE TABLE writes (
                thread_id TEXT NOT NULL,
                checkpoint_ns TEXT NOT NULL DEFAULT '',
                checkpoint_id TEXT NOT NULL,
                task_id TEXT NOT NULL,
                {task_path}
                idx INTEGER NOT NULL,
                channel TEXT NOT NULL,
                type TEXT,
                value BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
            );
        """)

    def put(
        self,
        thread: str,
        checkpoint: str,
        values: dict[str, Any],
        *,
        ns: str = "",
        parent: str | None = None,
        kind: str | None = "msgpack",
        data: bytes | None = b"",
        metadata: bytes = b'{"source": "loop", "step": 1}',
    ) -> None:
        """Put a checkpoint, all of its channels at the version that is the checkpoint's id."""
        whole = {
            "v": 4,
            "id": checkpoint,
            "channel_values": values,
            "channel_versions": dict.fromkeys(values, checkpoint),
            "versions_seen": {},
        }
        encode = msgspec.json.encode if kind == "json" else msgspec.msgpack.encode
        self.db.execute(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                thread,
                ns,
                checkpoint,
                parent,
                kind,
                encode(whole) if data == b"" else data,
                metadata,
            ],
        )
        self.db.commit()

    def write(
        self, thread: str, checkpoint: str, task: str, *values: Any, ns: str = "", index: int = 0
    ) -> None:
        """Put what a task wrote; None is a value that is missing."""
        rows = [
            (thread, ns, checkpoint, task, at, "x", "msgpack",
             None if value is None else msgspec.msgpack.encode(value))
            for at, value in enumerate(values, index)
        ]  # fmt: skip
        self.db.executemany(
            "INSERT OR REPLACE INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx,"
            " channel, type, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self.db.commit()

    def all(self, thread: str) -> dict[tuple[str, str], tuple[Any, Any, list[Any]]]:
        """Of each checkpoint, its parent, values and writes."""
        found: dict[tuple[str, str], tuple[Any, Any, list[Any]]] = {}
        for ns, at, parent, data in self.db.execute(
            "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint "
            "FROM checkpoints WHERE thread_id = ?",
            [thread],
        ).fetchall():
            writes = self.db.execute(
                "SELECT task_id, channel, value FROM writes WHERE thread_id = ? "
                "AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx",
                [thread, ns, at],
            )
            read = [(task, name, msgspec.msgpack.decode(value)) for task, name, value in writes]
            found[ns, at] = parent, msgspec.msgpack.decode(data)["channel_values"], read
        return found

    def close(self) -> None:
        self.db.close()
