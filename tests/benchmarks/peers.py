"""What others offer, used as their documentation says, for the nearest equivalent.

Each class says what its peer promises; `docs/benchmarks.md` repeats it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from benchmarks.floors import Whole
from benchmarks.subjects import Bucket, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Appending",
    "DiskCache",
    "KeyValue",
    "KeyValueBucket",
    "KeyValueDisk",
    "KeyValueFiles",
    "LangGraph",
    "OpenAIAgents",
    "StrandsBucket",
    "StrandsFiles",
]

_OWN = "the-managers-own"


class Appending(Subject):
    """Keeps a session as its messages; a turn adds two."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.messages: dict[int, list[tuple[str, str]]] = {}

    def make(self, number: int) -> None:
        data = orjson.loads(self.documents[number][1])
        pairs = zip(data["user_messages"], data["agent_responses"], strict=True)
        self.messages[number] = [
            message
            for question, answer in pairs
            for message in (("user", question["content"]), ("assistant", answer["content"]))
        ]

    def add(self, number: int, question: str, answer: str) -> None:
        self.messages[number] += [("user", question), ("assistant", answer)]


class _Strands(Appending):
    """A session is a folder of one file for each message.

    What its manager does for an agent whose own state has not changed, without the agent.
    """

    _agent: ClassVar = "benchmark"
    _repository: Any

    def create(self, number: int) -> None:
        from strands.types.session import Session, SessionAgent, SessionType

        session_id = self.documents[number][0]
        self._repository.create_session(Session(session_id, SessionType.AGENT))
        self._repository.create_agent(session_id, SessionAgent(self._agent, {}, {}))
        self._append(number, 0)

    def update(self, number: int) -> None:
        self._append(number, len(self.messages[number]) - 2)

    def load(self, number: int) -> object:
        session_id = self.documents[number][0]
        return (
            self._repository.read_session(session_id),
            self._repository.read_agent(session_id, self._agent),
            self._repository.list_messages(session_id, self._agent),
        )

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            self._repository.delete_session(each)
        return len(victims)

    def _append(self, number: int, begin: int) -> None:
        from strands.types.session import SessionMessage

        session_id = self.documents[number][0]
        for index, (role, text) in enumerate(self.messages[number][begin:], begin):
            message: Any = {"role": role, "content": [{"text": text}]}
            self._repository.create_message(
                session_id, self._agent, SessionMessage.from_message(message, index)
            )


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


class OpenAIAgents(Appending):
    """openai-agents' SQLiteSession: a row for each message."""

    modules = ("agents", "agents.memory.sqlite_session")

    def __init__(self, place: str) -> None:
        from agents import SQLiteSession

        super().__init__(place)
        Path(place).mkdir(parents=True, exist_ok=True)
        self._file = f"{place}/sessions.sqlite"
        # One object serves for all: it has its session's id as an attribute.
        self._session: Any = SQLiteSession("any", self._file)

    async def create(self, number: int) -> None:
        await self._add(number, 0)

    async def update(self, number: int) -> None:
        await self._add(number, len(self.messages[number]) - 2)

    async def load(self, number: int) -> object:
        self._session.session_id = self.documents[number][0]
        return await self._session.get_items()

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
        for each in victims:
            self._session.session_id = each
            await self._session.clear_session()
        return len(victims)

    def close(self) -> None:
        self._session.close()

    async def _add(self, number: int, begin: int) -> None:
        self._session.session_id = self.documents[number][0]
        items = [{"role": role, "content": text} for role, text in self.messages[number][begin:]]
        await self._session.add_items(items)


class LangGraph(Whole):
    """langgraph's SqliteSaver: each turn adds a checkpoint with the whole state."""

    modules = ("langgraph.checkpoint.sqlite",)

    def __init__(self, place: str) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver

        super().__init__(place)
        Path(place).mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(f"{place}/checkpoints.sqlite", check_same_thread=False)
        self._saver: Any = SqliteSaver(connection)
        self._saver.setup()

    def create(self, number: int) -> None:
        from langgraph.checkpoint.base import empty_checkpoint

        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = self.at_hand[number]
        self._saver.put(self._config(number), checkpoint, {"source": "loop", "step": 1}, {})

    update = create

    def load(self, number: int) -> object:
        return self._saver.get_tuple(self._config(number))

    def newest(self, limit: int | None) -> Sequence[object]:
        return [*self._saver.list(None, limit=limit)]

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            self._saver.delete_thread(each)
        return len(victims)

    def close(self) -> None:
        self._saver.conn.close()

    def _config(self, number: int) -> Any:
        return {"configurable": {"thread_id": self.documents[number][0], "checkpoint_ns": ""}}


class DiskCache(Whole):
    """diskcache, with JSON as values and without eviction."""

    modules = ("diskcache",)

    def __init__(self, place: str) -> None:
        import diskcache

        super().__init__(place)
        self._cache: Any = diskcache.Cache(place, eviction_policy="none")

    def create(self, number: int) -> None:
        self._cache[self.documents[number][0]] = orjson.dumps(self.at_hand[number])

    update = create

    def load(self, number: int) -> object:
        return orjson.loads(self._cache[self.documents[number][0]])

    def newest(self, limit: int | None) -> Sequence[object]:
        loaded = (orjson.loads(self._cache[each]) for each in self._cache.iterkeys())
        return sorted(((each["updated_at"], each["id"]) for each in loaded), reverse=True)[:limit]

    def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        for each in victims:
            self._cache.delete(each)
        return len(victims)

    def close(self) -> None:
        self._cache.close()


class KeyValue(Whole):
    """A store of py-key-value-aio; it has no listing."""

    _store: Any

    async def create(self, number: int) -> None:
        await self._store.put(self.documents[number][0], self.at_hand[number])

    update = create

    async def load(self, number: int) -> object:
        return await self._store.get(self.documents[number][0])

    async def prune(self, victims: list[str], keep: int) -> int:  # noqa: ARG002
        await self._store.delete_many(victims)
        return len(victims)

    async def close(self) -> None:
        if close := getattr(self._store, "close", None):
            await close()


class KeyValueDisk(KeyValue):
    """Its DiskStore, which is diskcache."""

    modules = ("key_value.aio.stores.disk",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores.disk import DiskStore

        super().__init__(place)
        self._store = DiskStore(directory=place)


class KeyValueFiles(KeyValue):
    """Its FileTreeStore: a JSON file for each key."""

    modules = ("key_value.aio.stores.filetree",)

    def __init__(self, place: str) -> None:
        from key_value.aio.stores.filetree import FileTreeStore

        super().__init__(place)
        self._store = FileTreeStore(data_directory=place)


class KeyValueBucket(KeyValue):
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
