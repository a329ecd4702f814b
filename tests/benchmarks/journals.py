"""One long conversation: what a turn costs when there were many before it, and reading them."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from blake3 import blake3

from benchmarks.bench import Entry, folder
from benchmarks.machine import filesystem
from benchmarks.subjects import Subject, is_on_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench import Bench

__all__ = [
    "ALL",
    "APPEND",
    "LOCKED",
    "ONE_BY_ONE",
    "TAIL",
    "WHOLE",
    "StatekeepJournal",
    "StatekeepSession",
    "Turns",
    "journals",
    "longest_of",
    "one_conversation",
]

APPEND, TAIL, ALL = "append of 1 KB", "last 20", "all"
WHOLE = "whole session"
ONE_BY_ONE = "statekeep"
LOCKED = "bare lock, look, append"
_TURNS = (1, 100, 1_000, 10_000)
_READ_AT = 1_000
_TAIL = 20
_BATCH = 50
_END, _SEAL = 4096, 32


class Turns(Subject):
    """Keeps the turns of one conversation.

    A turn is an item of a kilobyte. Warming up takes what is measured for sessions: create, load
    and update.
    """

    appends: ClassVar[int] = 64
    """How many are measured: enough for what is done once in so many to be among them."""

    turns: ClassVar[Sequence[int]] = _TURNS
    """After how many turns it is measured."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        if not is_on_server(place):
            Path(place).mkdir(parents=True, exist_ok=True)
        self.length = 0

    def make(self, number: int) -> None:
        """Nothing is at hand."""

    def add(self, number: int, question: str, answer: str) -> None:
        """Nothing is at hand."""

    def create(self, number: int) -> None:  # noqa: ARG002
        self.append(1)

    def update(self, number: int) -> None:  # noqa: ARG002
        self.append(1)

    def load(self, number: int) -> object:  # noqa: ARG002
        return self.read(None)

    def fill(self, turns: int) -> None:
        """Have so many turns. Not measured."""
        while self.length < turns:
            self.store(self._next(min(_BATCH, turns - self.length)))

    def append(self, times: int) -> None:
        """Append so many items, each for itself."""
        for _ in range(times):
            self.store(self._next(1))

    def read(self, last: int | None) -> Sequence[object]:
        """Read the last items, or all."""
        raise NotImplementedError

    def store(self, items: list[dict[str, Any]]) -> None:
        """Append items, all at once."""
        raise NotImplementedError

    def _next(self, count: int) -> list[dict[str, Any]]:
        first, self.length = self.length, self.length + count
        return [
            {"role": "user", "content": f"{number}: ".ljust(980, "x")}
            for number in range(first, self.length)
        ]


class StatekeepJournal(Turns):
    """statekeep's journal."""

    modules: ClassVar[Sequence[str]] = (
        "statekeep.journals",
        "statekeep.plugins",
        "statekeep_backends.local",
    )
    url: ClassVar[str] = "{}"

    def __init__(self, place: str, *, appends: bool = True, **options: str) -> None:
        from statekeep import Journals, open_store
        from statekeep.store import StoreWrapper

        class Whole(StoreWrapper):
            """Writes every document anew, as stores do that cannot append."""

            def put(self, *args: Any, **expect: Any) -> Any:
                return super().put(*args, **expect)

        super().__init__(place)
        store = open_store(self.url.format(place), **options)
        self._store = store if appends else Whole(store)
        self._journal = Journals(self._store, "benchmark").open("conversation")

    def store(self, items: list[dict[str, Any]]) -> None:
        self._journal.append(items)

    def read(self, last: int | None) -> Sequence[object]:
        return self._journal.read(last=last) or []

    def close(self) -> None:
        self._store.close()


class StatekeepFileJournal(StatekeepJournal):
    """statekeep's journal in a file of SQLite."""

    modules = ("statekeep.journals", "statekeep.plugins", "statekeep_backends.sqlite")
    url = "sqlite:{}/state.db"


class StatekeepSession(Turns):
    """statekeep's session, which is stored whole."""

    modules = StatekeepJournal.modules
    appends = 10
    turns = (_READ_AT,)

    def __init__(self, place: str, **options: str) -> None:
        from statekeep import Sessions, open_store

        super().__init__(place)
        self._store = open_store(place, **options)
        self._sessions = Sessions(self._store)
        self._session = self._sessions.get_or_create("ada", "conversation")

    def store(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            self._session.add_user_message(item["content"])
        self._sessions.save(self._session)

    def read(self, last: int | None) -> Sequence[object]:
        session = self._sessions.load("conversation")
        assert session is not None
        return session.messages if last is None else session.messages[-last:]

    def close(self) -> None:
        self._sessions.close()
        self._store.close()


class BareAppend(Turns):
    """`open("ab")` and a line for each item; nobody is excluded, and no torn end is found."""

    def __init__(self, place: str, *, fsync: bool = False) -> None:
        super().__init__(place)
        self._path = f"{place}/items.jsonl"
        self._fsync = fsync

    def store(self, items: list[dict[str, Any]]) -> None:
        with open(self._path, "ab") as file:  # noqa: PTH123
            file.write(b"".join([orjson.dumps(item) + b"\n" for item in items]))
            if self._fsync:
                file.flush()
                os.fsync(file.fileno())

    def read(self, last: int | None) -> Sequence[object]:
        with open(self._path, "rb") as file:  # noqa: PTH123
            lines = file.read().splitlines()
        return [orjson.loads(line) for line in (lines if last is None else lines[-last:])]


class LockedAppend(BareAppend):
    """The same under a lock, after a look at the end, each line with a hash of it and the last."""

    def store(self, items: list[dict[str, Any]]) -> None:
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            try:
                size = os.fstat(file).st_size
                end = os.pread(file, _END, max(0, size - _END))
                body = orjson.dumps({"items": items})
                mark = blake3(end[-_SEAL:] + body).hexdigest(length=_SEAL // 2)
                os.write(file, body[:-1] + b',"~":"' + mark.encode() + b'"}\n')
                if self._fsync:
                    os.fsync(file)
            finally:
                os.close(file)
            fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def read(self, last: int | None) -> Sequence[object]:
        items = [item for line in super().read(None) for item in line["items"]]  # type: ignore[index]
        return items if last is None else items[-last:]


class BareRows(Turns):
    """A row of SQLite for each item."""

    def __init__(self, place: str, *, synchronous: str = "NORMAL") -> None:
        super().__init__(place)
        self._connection = sqlite3.connect(f"{place}/items.sqlite", isolation_level=None)
        self._connection.executescript(
            f"""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = {synchronous};
            CREATE TABLE IF NOT EXISTS item (number INTEGER PRIMARY KEY, body BLOB);
            """
        )

    def store(self, items: list[dict[str, Any]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        rows = [(orjson.dumps(item),) for item in items]
        self._connection.executemany("INSERT INTO item (body) VALUES (?)", rows)
        self._connection.execute("COMMIT")

    def read(self, last: int | None) -> Sequence[object]:
        query = "SELECT body FROM item ORDER BY number DESC LIMIT ?"
        found = self._connection.execute(query, (-1 if last is None else last,)).fetchall()
        return [orjson.loads(body) for (body,) in reversed(found)]

    def close(self) -> None:
        self._connection.close()


class AgentsSession(Turns):
    """openai-agents' SQLiteSession: a row for each item."""

    modules = ("agents", "agents.memory.sqlite_session")

    def __init__(self, place: str) -> None:
        from agents import SQLiteSession

        super().__init__(place)
        self._session: Any = SQLiteSession("conversation", f"{place}/sessions.sqlite")

    def store(self, items: list[dict[str, Any]]) -> None:
        self.loop.run(self._session.add_items(items))

    def read(self, last: int | None) -> Sequence[object]:
        found: Sequence[object] = self.loop.run(self._session.get_items(last))
        return found

    def close(self) -> None:
        self._session.close()


class GraphState(Turns):
    """langgraph's SqliteSaver: each turn adds a checkpoint with the whole state."""

    modules = ("langgraph.checkpoint.sqlite",)
    appends = 4
    turns = (1, 100, 1_000)

    def __init__(self, place: str) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver

        super().__init__(place)
        connection = sqlite3.connect(f"{place}/checkpoints.sqlite", check_same_thread=False)
        self._saver: Any = SqliteSaver(connection)
        self._saver.setup()
        self._items: list[dict[str, Any]] = []
        self._config = {"configurable": {"thread_id": "conversation", "checkpoint_ns": ""}}

    def store(self, items: list[dict[str, Any]]) -> None:
        from langgraph.checkpoint.base import empty_checkpoint

        self._items += items
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": self._items}
        self._saver.put(self._config, checkpoint, {"source": "loop", "step": 1}, {})

    def read(self, last: int | None) -> Sequence[object]:
        state: Any = self._saver.get_tuple(self._config).checkpoint["channel_values"]
        found: list[object] = state["messages"]
        return found if last is None else found[-last:]

    def close(self) -> None:
        self._saver.conn.close()


class CachedList(Turns):
    """diskcache, with the whole conversation as one value, as JSON."""

    modules = ("diskcache",)
    appends = 4
    turns = (1, 100, 1_000)

    def __init__(self, place: str) -> None:
        import diskcache

        super().__init__(place)
        self._cache: Any = diskcache.Cache(place, eviction_policy="none")

    def store(self, items: list[dict[str, Any]]) -> None:
        with self._cache.transact():
            before = orjson.loads(self._cache.get("conversation", b"[]"))
            self._cache["conversation"] = orjson.dumps(before + items)

    def read(self, last: int | None) -> Sequence[object]:
        found: list[object] = orjson.loads(self._cache["conversation"])
        return found if last is None else found[-last:]

    def close(self) -> None:
        self._cache.close()


_GROUPS = {
    "journals: a power cut may take what was appended": [
        Entry(f"{ONE_BY_ONE}, rename", partial(StatekeepJournal, durability="rename"), "statekeep"),
        Entry(f"{WHOLE}, rename", partial(StatekeepSession, durability="rename"), "statekeep"),
        Entry(
            f"{ONE_BY_ONE}, head written anew",
            partial(StatekeepJournal, durability="rename", appends=False),
            "statekeep",
        ),
        Entry(
            f"{ONE_BY_ONE}, SQLite normal",
            partial(StatekeepFileJournal, durability="normal"),
            "statekeep",
        ),
        Entry(LOCKED, LockedAppend, "floor"),
        Entry('bare open("ab")', BareAppend, "floor"),
        Entry("bare SQLite, NORMAL", BareRows, "floor"),
        Entry("diskcache", CachedList, "peer"),
    ],
    "journals: a power cut takes nothing": [
        Entry(f"{ONE_BY_ONE}, fsync", partial(StatekeepJournal, durability="fsync"), "statekeep"),
        Entry(f"{WHOLE}, fsync", partial(StatekeepSession, durability="fsync"), "statekeep"),
        Entry(
            f"{ONE_BY_ONE}, SQLite full",
            partial(StatekeepFileJournal, durability="full"),
            "statekeep",
        ),
        Entry(f"{LOCKED}, fsync", partial(LockedAppend, fsync=True), "floor"),
        Entry('bare open("ab"), fsync', partial(BareAppend, fsync=True), "floor"),
        Entry("bare SQLite, FULL", partial(BareRows, synchronous="FULL"), "floor"),
        Entry("openai-agents, SQLite", AgentsSession, "peer"),
        Entry("langgraph, SQLite", GraphState, "peer"),
    ],
}


def journals(bench: Bench) -> None:
    """Append to one conversation after ever more turns, and read the last and all."""
    disk = bench.plan.disk
    name = filesystem(disk)
    longest = longest_of(bench)
    for part, group in _GROUPS.items():
        bench.part = part
        entries = [each for each in group if bench.plan.peers or each.kind != "peer"]
        for _ in bench.rounds(bench.plan.rounds):
            with folder(disk) as base:
                for number, entry in enumerate(entries):
                    one_conversation(bench, name, entry, f"{base}/{number}", longest)


def longest_of(bench: Bench) -> int:
    """After how many turns is measured at last."""
    return max(_TURNS) if bench.plan.crowd >= max(_TURNS) else _READ_AT


def one_conversation(bench: Bench, name: str, entry: Entry, place: str, longest: int) -> None:
    """Append to a conversation of one subject after ever more turns, and read it."""
    subject = entry.subject
    assert issubclass(subject, Turns)
    with bench.worker(entry, place) as worker:
        for turns in subject.turns:
            if turns > longest:
                continue
            worker.call("fill", turns - 1)
            times = subject.appends
            cost = worker.call("whole", "append", times) / times
            bench.add(entry, name, f"turn {turns:,}", APPEND, cost)
            if turns == _READ_AT:
                for work, last in ((TAIL, _TAIL), (ALL, None)):
                    bench.add(
                        entry, name, f"{turns:,} turns", work, worker.call("whole", "read", last)
                    )
