"""What others offer, used as their documentation says, for the nearest equivalent.

Each class says what its peer promises; `docs/benchmarks.md` repeats it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from benchmarks.adapters import Bucket, Subject
from benchmarks.conversations import as_dict, session, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.conversations import Size

__all__ = [
    "DiskCache",
    "KeyValueBucket",
    "KeyValueDisk",
    "KeyValueFiles",
    "LangGraph",
    "OpenAIAgents",
    "StrandsBucket",
    "StrandsFiles",
]

_OWN = "the-managers-own"


class _Strands(Subject):
    """A session is a folder of one file for each message; a turn writes two of them.

    What its manager does for an agent whose own state has not changed, without the agent.
    """

    most = 1000
    _agent: ClassVar = "benchmark"
    _repository: Any

    def fill(self, size: Size, session_ids: list[str]) -> None:
        from strands.types.session import Session, SessionAgent, SessionType

        for each in session_ids:
            self._repository.create_session(Session(each, SessionType.AGENT))
            self._repository.create_agent(each, SessionAgent(self._agent, {}, {}))
            for number in range(2 * size.exchanges):
                self._append(each, number, text(size.characters, number))

    def take(self, session_id: str, size: Size) -> None:
        self._id, self._next, self._length = session_id, 2 * size.exchanges, size.characters

    def turn(self, number: int) -> None:
        self._text = text(self._length, number)

    def save(self) -> None:
        for _ in range(2):
            self._append(self._id, self._next, self._text)
            self._next += 1

    def load(self, session_id: str) -> object:
        return (
            self._repository.read_session(session_id),
            self._repository.read_agent(session_id, self._agent),
            self._repository.list_messages(session_id, self._agent),
        )

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            self._repository.delete_session(each)
        return len(victims)

    def _append(self, session_id: str, number: int, words: str) -> None:
        from strands.types.session import SessionMessage

        role = "assistant" if number % 2 else "user"
        message = SessionMessage.from_message({"role": role, "content": [{"text": words}]}, number)
        self._repository.create_message(session_id, self._agent, message)


class StrandsFiles(_Strands):
    """strands-agents' FileSessionManager."""

    modules = ("strands.session.file_session_manager",)

    def __init__(self, place: str) -> None:
        from strands.session.file_session_manager import FileSessionManager

        super().__init__(place)
        self._repository = FileSessionManager(_OWN, storage_dir=place)

    def newest(self, limit: int | None) -> list[tuple[str, str]]:
        # It has no listing; this is the nearest that its own reading gives.
        names = (each.name.removeprefix("session_") for each in Path(self.place).iterdir())
        read = [self._repository.read_session(name) for name in names if name != _OWN]
        return sorted(((each.updated_at, each.session_id) for each in read), reverse=True)[:limit]


class StrandsBucket(_Strands):
    """strands-agents' S3SessionManager."""

    modules = ("strands.session.s3_session_manager",)

    def __init__(self, place: str) -> None:
        from strands.session.s3_session_manager import S3SessionManager

        super().__init__(place)
        bucket = Bucket(place)
        self._repository = S3SessionManager(
            _OWN,
            bucket=bucket.name,
            prefix=bucket.prefix,
            endpoint_url=bucket.endpoint,
        )


class OpenAIAgents(Subject):
    """openai-agents' SQLiteSession: a row for each message; a turn appends two."""

    modules = ("agents", "agents.memory.sqlite_session")

    def __init__(self, place: str) -> None:
        from agents import SQLiteSession

        super().__init__(place)
        Path(place).mkdir(parents=True, exist_ok=True)
        self._file = f"{place}/sessions.sqlite"
        self._open: dict[str, Any] = {}
        self._make: Any = SQLiteSession

    def fill(self, size: Size, session_ids: list[str]) -> None:
        # As add_items would, but in one transaction.
        self._session(session_ids[0])
        connection = sqlite3.connect(self._file)
        times = (f"2026-01-{1 + n // 86400:02}" for n in range(len(session_ids)))
        sessions = zip(session_ids, times, strict=True)
        connection.executemany(
            "INSERT INTO agent_sessions (session_id, updated_at) VALUES (?, ?)", sessions
        )
        messages = [orjson.dumps(each).decode() for each in self._messages(size)]
        connection.executemany(
            "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)",
            ((each, message) for each in session_ids for message in messages),
        )
        connection.commit()
        connection.close()

    def take(self, session_id: str, size: Size) -> None:
        self._taken, self._length = self._session(session_id), size.characters

    def turn(self, number: int) -> None:
        words = text(self._length, number)
        self._items = [
            {"role": "user", "content": words},
            {"role": "assistant", "content": words},
        ]

    async def save(self) -> None:
        await self._taken.add_items(self._items)

    async def load(self, session_id: str) -> object:
        return await self._session(session_id).get_items()

    def newest(self, limit: int | None) -> Sequence[object]:
        # It has no listing; this reads its tables. Counting waits until the page is known.
        connection = sqlite3.connect(self._file)
        page = "SELECT session_id, updated_at FROM agent_sessions ORDER BY updated_at DESC LIMIT ?"
        counted = (
            "SELECT *, (SELECT COUNT(*) FROM agent_messages m WHERE m.session_id = p.session_id) "
            f"FROM ({page}) p"
        )
        found = connection.execute(counted, (-1 if limit is None else limit,)).fetchall()
        connection.close()
        return found

    async def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        # One object serves for all: it has its session's id as an attribute.
        any_session = self._session(victims[0])
        for each in victims:
            any_session.session_id = each
            await any_session.clear_session()
        return len(victims)

    def close(self) -> None:
        for each in self._open.values():
            each.close()

    def _session(self, session_id: str) -> Any:
        if session_id not in self._open:
            self._open[session_id] = self._make(session_id, self._file)
        return self._open[session_id]

    def _messages(self, size: Size) -> list[dict[str, str]]:
        return [
            {"role": "assistant" if n % 2 else "user", "content": text(size.characters, n)}
            for n in range(2 * size.exchanges)
        ]


class LangGraph(Subject):
    """langgraph's SqliteSaver: each turn adds a checkpoint with the whole state."""

    modules = ("langgraph.checkpoint.sqlite",)

    def __init__(self, place: str) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver

        super().__init__(place)
        Path(place).mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(f"{place}/checkpoints.sqlite", check_same_thread=False)
        self._saver: Any = SqliteSaver(connection)
        self._saver.setup()

    def fill(self, size: Size, session_ids: list[str]) -> None:
        self._state = as_dict(size, "")
        for each in session_ids:
            self._put(each)

    def take(self, session_id: str, size: Size) -> None:
        self._id, self._length = session_id, size.characters
        self._state = as_dict(size, session_id)

    def turn(self, number: int) -> None:
        self._state["user_messages"][-1]["content"] = text(self._length, number)
        self._state["agent_responses"][-1]["content"] = text(self._length, number)

    def save(self) -> None:
        self._put(self._id)

    def load(self, session_id: str) -> object:
        return self._saver.get_tuple(self._config(session_id))

    def newest(self, limit: int | None) -> Sequence[object]:
        return [*self._saver.list(None, limit=limit)]

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            self._saver.delete_thread(each)
        return len(victims)

    def close(self) -> None:
        self._saver.conn.close()

    def _put(self, session_id: str) -> None:
        from langgraph.checkpoint.base import empty_checkpoint

        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = self._state
        self._saver.put(self._config(session_id), checkpoint, {"source": "loop", "step": 1}, {})

    def _config(self, session_id: str) -> Any:
        return {"configurable": {"thread_id": session_id, "checkpoint_ns": ""}}


class _Whole(Subject):
    """Stores a session as one value."""

    def take(self, session_id: str, size: Size) -> None:
        self._id, self._length = session_id, size.characters
        self._data = as_dict(size, session_id)

    def turn(self, number: int) -> None:
        self._data["user_messages"][-1]["content"] = text(self._length, number)
        self._data["agent_responses"][-1]["content"] = text(self._length, number)


class DiskCache(_Whole):
    """diskcache, with JSON as values and without eviction."""

    modules = ("diskcache",)

    def __init__(self, place: str) -> None:
        import diskcache

        super().__init__(place)
        self._cache: Any = diskcache.Cache(place, eviction_policy="none")

    def fill(self, size: Size, session_ids: list[str]) -> None:
        with self._cache.transact():
            for each in session_ids:
                self._cache[each] = session(size, each).to_json()

    def save(self) -> None:
        self._cache[self._id] = orjson.dumps(self._data)

    def load(self, session_id: str) -> object:
        return orjson.loads(self._cache[session_id])

    def newest(self, limit: int | None) -> Sequence[object]:
        loaded = (orjson.loads(self._cache[each]) for each in self._cache.iterkeys())
        return sorted(((each["updated_at"], each["id"]) for each in loaded), reverse=True)[:limit]

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            self._cache.delete(each)
        return len(victims)

    def close(self) -> None:
        self._cache.close()


class _KeyValue(_Whole):
    """A store of py-key-value-aio; it has no listing."""

    most = 1000
    _store: Any

    async def fill(self, size: Size, session_ids: list[str]) -> None:
        for each in session_ids:
            await self._store.put(each, as_dict(size, each))

    async def save(self) -> None:
        await self._store.put(self._id, self._data)

    async def load(self, session_id: str) -> object:
        return await self._store.get(session_id)

    async def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        await self._store.delete_many(victims)
        return len(victims)

    async def close(self) -> None:
        if close := getattr(self._store, "close", None):
            await close()


class KeyValueDisk(_KeyValue):
    """Its DiskStore, which is diskcache."""

    modules = ("key_value.aio.stores.disk",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores.disk import DiskStore

        super().__init__(place)
        self._store = DiskStore(directory=place)


class KeyValueFiles(_KeyValue):
    """Its FileTreeStore: a JSON file for each key."""

    modules = ("key_value.aio.stores.filetree",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores.filetree import FileTreeStore

        super().__init__(place)
        self._store = FileTreeStore(data_directory=place)


class KeyValueBucket(_KeyValue):
    """Its S3Store."""

    modules = ("key_value.aio.stores.s3",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores.s3 import S3Store

        super().__init__(place)
        bucket = Bucket(place)
        self._store = S3Store(
            bucket_name=bucket.name,
            endpoint_url=bucket.endpoint,
            default_collection=bucket.prefix.replace("/", "-"),
        )
