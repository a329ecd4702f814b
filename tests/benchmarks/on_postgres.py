"""On a PostgreSQL server: statekeep, bare psycopg, and what others offer."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, quote

import orjson

from benchmarks.floors import Whole
from benchmarks.journals import StatekeepJournal, StatekeepSession, Turns
from benchmarks.peers import Appending
from benchmarks.subjects import Statekeep, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

__all__ = [
    "AgentsInPostgres",
    "AgentsSessionInPostgres",
    "BarePostgres",
    "BarePostgresRows",
    "GraphInPostgres",
    "GraphStateInPostgres",
    "PostgresJournal",
    "PostgresSession",
    "StatekeepInPostgres",
    "place_in",
]

_MODULES = ("statekeep.plugins", "statekeep_backends.postgres.store", "statekeep_plugins.pruners")


def place_in(url: str, name: str) -> str:
    """A place of its own in the database of a server."""
    return f"{url}?store={name}"


class _Place:
    """The parts of a place, for those who want them one by one."""

    def __init__(self, place: str) -> None:
        self.url, _, query = place.partition("?")
        (self.name,) = parse_qs(query)["store"]


class StatekeepInPostgres(Statekeep):
    """statekeep in PostgreSQL."""

    modules = _MODULES
    keeps_index = False


class PostgresJournal(StatekeepJournal):
    """statekeep's journal in PostgreSQL."""

    modules = ("statekeep.journals", *_MODULES)


class PostgresSession(StatekeepSession):
    """statekeep's session in PostgreSQL, which is stored whole."""

    modules = _MODULES


class _Bare(Subject):
    """Calls of psycopg; it connects when it first asks, as statekeep does."""

    modules: ClassVar[Sequence[str]] = ("psycopg",)
    _tables: ClassVar[str]

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._at = _Place(place)
        with self._connect() as db:
            db.execute(self._sql(self._tables))

    def close(self) -> None:
        self._db.close()

    @cached_property
    def _db(self) -> psycopg.Connection[tuple[Any, ...]]:
        return self._connect()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg

        return psycopg.connect(self._at.url, autocommit=True)

    def _sql(self, text: str) -> bytes:
        return text.replace("TABLE_NAME", self._at.name).encode()


class BarePostgres(_Bare, Whole):
    """A row for each session, with what a page shows beside it and an index that holds that."""

    _tables = """
        CREATE TABLE IF NOT EXISTS TABLE_NAME (
            id text COLLATE "C" PRIMARY KEY, version bigint, user_id text, messages bigint,
            created_at timestamptz, updated_at timestamptz, body bytea STORAGE EXTERNAL
        );
        CREATE INDEX IF NOT EXISTS TABLE_NAME_newest ON TABLE_NAME (updated_at DESC, id)
            INCLUDE (user_id, messages, created_at);
    """

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._seen: dict[int, int] = {}

    def create(self, number: int) -> None:
        data = self.at_hand[number]
        row = data["id"], data["user_id"], len(data["user_messages"]), data["created_at"]
        self._db.execute(
            self._sql("INSERT INTO TABLE_NAME VALUES (%s, 1, %s, %s, %s, %s, %b)"),
            (*row, data["updated_at"], orjson.dumps(data)),
        )
        self._seen[number] = 1

    def update(self, number: int) -> None:
        data, seen = self.at_hand[number], self._seen[number]
        changed = self._db.execute(
            self._sql(
                "UPDATE TABLE_NAME SET version = %s, messages = %s, updated_at = %s, body = %b "
                "WHERE id = %s AND version = %s"
            ),
            (seen + 1, len(data["user_messages"]), data["updated_at"], orjson.dumps(data),
             data["id"], seen),
        )  # fmt: skip
        assert changed.rowcount == 1
        self._seen[number] = seen + 1

    def load(self, number: int) -> object:
        query = self._sql("SELECT version, body FROM TABLE_NAME WHERE id = %s")
        values = (self.documents[number][0],)
        row = self._db.execute(query, values, binary=True).fetchone()
        assert row is not None
        return orjson.loads(row[1])

    def newest(self, limit: int | None) -> list[Any]:
        page = self._sql(
            "SELECT id, user_id, messages, created_at, updated_at FROM TABLE_NAME "
            "ORDER BY updated_at DESC, id LIMIT %s"
        )
        return self._db.execute(page, (limit,), binary=True).fetchall()


class BarePostgresRows(_Bare, Turns):
    """A row for each item."""

    _tables = """
        CREATE TABLE IF NOT EXISTS TABLE_NAME (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea STORAGE EXTERNAL
        );
    """

    def store(self, items: list[dict[str, Any]]) -> None:
        rows = [orjson.dumps(item) for item in items]
        insert = self._sql("INSERT INTO TABLE_NAME (body) SELECT unnest(%b::bytea[])")
        self._db.execute(insert, (rows,))

    def read(self, last: int | None) -> Sequence[object]:
        query = self._sql("SELECT body FROM TABLE_NAME ORDER BY number DESC LIMIT %s")
        found = self._db.execute(query, (last,), binary=True).fetchall()
        return [orjson.loads(body) for (body,) in reversed(found)]


class _Agents(Subject):
    """openai-agents' SQLAlchemySession, with the driver of its documentation."""

    modules: ClassVar[Sequence[str]] = ("agents", "agents.extensions.memory", "asyncpg")

    def __init__(self, place: str) -> None:
        from agents.extensions.memory import SQLAlchemySession

        super().__init__(place)
        at = _Place(place)
        # One object serves for all: it has its session's id as an attribute.
        self._session: Any = SQLAlchemySession.from_url(
            "conversation",
            url=at.url.replace("postgresql:", "postgresql+asyncpg:"),
            create_tables=True,
            sessions_table=f"{at.name}_sessions",
            messages_table=f"{at.name}_messages",
        )

    async def close(self) -> None:
        await self._session.engine.dispose()


class AgentsInPostgres(_Agents, Appending):
    """A row for each message."""

    async def create(self, number: int) -> None:
        await self._add(number, 0)

    async def update(self, number: int) -> None:
        await self._add(number, len(self.messages[number]) - 2)

    async def load(self, number: int) -> object:
        self._session.session_id = self.documents[number][0]
        return await self._session.get_items()

    async def _add(self, number: int, begin: int) -> None:
        self._session.session_id = self.documents[number][0]
        items = [{"role": role, "content": text} for role, text in self.messages[number][begin:]]
        await self._session.add_items(items)


class AgentsSessionInPostgres(_Agents, Turns):
    """A row for each item."""

    def store(self, items: list[dict[str, Any]]) -> None:
        self.loop.run(self._session.add_items(items))

    def read(self, last: int | None) -> Sequence[object]:
        found: Sequence[object] = self.loop.run(self._session.get_items(last))
        return found


class _Graph(Subject):
    """langgraph's PostgresSaver: a checkpoint for each turn, and each version of a channel."""

    modules: ClassVar[Sequence[str]] = ("langgraph.checkpoint.postgres",)

    def __init__(self, place: str) -> None:
        from langgraph.checkpoint.postgres import PostgresSaver
        from psycopg import Connection
        from psycopg.rows import dict_row

        super().__init__(place)
        at = _Place(place)
        # As its from_conn_string() does.
        self._connection = Connection.connect(
            f"{at.url}?options={quote(f'-csearch_path={at.name}')}",
            autocommit=True, prepare_threshold=0, row_factory=dict_row,
        )  # fmt: skip
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {at.name}".encode())
        self._saver: Any = PostgresSaver(self._connection)
        self._saver.setup()
        self._versions = 0

    def close(self) -> None:
        self._connection.close()

    def _put(self, thread: str, value: Any) -> None:
        from langgraph.checkpoint.base import empty_checkpoint

        self._versions += 1
        versions = {"state": f"{self._versions:032}"}
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"state": value}
        checkpoint["channel_versions"] = versions
        metadata = {"source": "loop", "step": self._versions}
        self._saver.put(self._config(thread), checkpoint, metadata, versions)

    def _get(self, thread: str) -> Any:
        return self._saver.get_tuple(self._config(thread)).checkpoint["channel_values"]["state"]

    @staticmethod
    def _config(thread: str) -> Any:
        return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


class GraphInPostgres(_Graph, Whole):
    """The session as the one channel of a state."""

    def create(self, number: int) -> None:
        self._put(self.documents[number][0], self.at_hand[number])

    update = create

    def load(self, number: int) -> object:
        return self._get(self.documents[number][0])


class GraphStateInPostgres(_Graph, Turns):
    """All messages as the one channel of a state."""

    appends = 4
    turns = (1, 100, 1_000)

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._items: list[dict[str, Any]] = []

    def store(self, items: list[dict[str, Any]]) -> None:
        self._items += items
        self._put("conversation", self._items)

    def read(self, last: int | None) -> Sequence[object]:
        found: list[object] = self._get("conversation")
        return found if last is None else found[-last:]
