"""What the adapters cost, beside what the frameworks ship: ``python -m adapters.costs``.

It prints the tables of docs/adapters/README.md: requests and bytes on S3, counted by a proxy before
a SeaweedFS, and times in files, in turns.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import servers
from proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS = 200
"""Of two messages each, so that 400 are to be resumed."""

CONVERSATIONS = 50
ROUNDS = 5
TEXT = "x" * 500


class Subject(Protocol):
    """A store of a framework, at some place."""

    def __init__(self, place: str) -> None: ...

    async def turn(self, conversation: str, number: int) -> None:
        """What a framework asks of its store in a turn of a question and an answer."""

    async def resume(self, conversation: str) -> int:
        """Load a conversation in a new process, as it were; how many messages it has."""

    async def list(self) -> int:
        """List the conversations, with what the framework needs of each."""

    async def close(self) -> None: ...


class OpenAI:
    def __init__(self, place: str) -> None:
        from statekeep import open_store

        self._store = open_store(place)
        self._sessions: dict[str, Any] = {}

    def _open(self, conversation: str) -> Any:
        from statekeep_adapters.openai_agents import StatekeepSession

        return StatekeepSession(conversation, self._store, user_id="ada")

    async def turn(self, conversation: str, number: int) -> None:
        session = self._sessions.setdefault(conversation, self._open(conversation))
        await session.get_items(limit=20)
        await session.add_items([{"role": "user", "content": f"{number} {TEXT}"}])
        await session.add_items([{"role": "assistant", "content": f"{number} {TEXT}"}])

    async def resume(self, conversation: str) -> int:
        return len(await self._open(conversation).get_items())

    async def list(self) -> int:
        from statekeep import Journals

        return len(Journals(self._store, "openai-agents").list())

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.aclose()
        self._store.close()


class OpenAITheirs(OpenAI):
    def __init__(self, place: str) -> None:
        self._path = Path(place) / "sessions.db"
        self._sessions = {}

    def _open(self, conversation: str) -> Any:
        from agents import SQLiteSession

        return SQLiteSession(conversation, self._path)

    async def list(self) -> int:
        return 0  # it lists nothing

    async def close(self) -> None:
        for session in self._sessions.values():
            session.close()


class Claude:
    def __init__(self, place: str) -> None:
        from statekeep_adapters.claude import StatekeepSessionStore

        self._place, self._make = place, StatekeepSessionStore
        self._store: Any = self._make(place, user_id="ada")

    async def turn(self, conversation: str, number: int) -> None:
        entries = [
            {
                "type": role,
                "uuid": f"{conversation}-{number}-{role}",
                "timestamp": f"2026-11-27T12:{number // 60:02}:{number % 60:02}.000Z",
                "message": {"role": role, "content": f"{number} {TEXT}"},
            }
            for role in ("user", "assistant")
        ]
        await self._store.append(_key(conversation), entries)

    async def resume(self, conversation: str) -> int:
        async with self._make(self._place, user_id="ada") as store:
            return len(await store.load(_key(conversation)) or ())

    async def list(self) -> int:
        return len(await self._store.list_session_summaries("app"))

    async def close(self) -> None:
        await self._store.aclose()


def _key(conversation: str) -> Any:
    return {"project_key": "app", "session_id": conversation}


class PydanticAI:
    def __init__(self, place: str) -> None:
        from pydantic_ai import Agent
        from pydantic_ai.models.test import TestModel

        from statekeep_adapters.pydantic_ai import StatekeepConversationStore

        self._place, self._make = place, StatekeepConversationStore
        self._store: Any = self._make(place, user_id="ada")
        self._agent: Any = Agent(TestModel(custom_output_text=TEXT))

    async def turn(self, conversation: str, number: int) -> None:
        from pydantic_ai.conversation import Conversation
        from pydantic_ai.usage import UsageLimits

        loaded = await self._store.load(conversation)
        loaded = loaded or Conversation(conversation_id=conversation)
        limits = UsageLimits(request_limit=None)
        result = await self._agent.run(f"{number} {TEXT}", conversation=loaded, usage_limits=limits)
        await self._store.save(result)

    async def resume(self, conversation: str) -> int:
        async with self._make(self._place, user_id="ada") as store:
            loaded = await store.load(conversation)
            return len(loaded.messages) if loaded else 0

    async def list(self) -> int:
        return len(await self._store.list_conversations())

    async def close(self) -> None:
        await self._store.aclose()


class LangGraph:
    def __init__(self, place: str) -> None:
        self._place = place
        self._saver = self._open()
        self._graph = self._compiled(self._saver)

    def _open(self) -> Any:
        from statekeep_adapters.langgraph import StatekeepSaver

        return StatekeepSaver(self._place, user_id="ada")

    def _compiled(self, saver: Any) -> Any:
        from langgraph.graph import START, MessagesState, StateGraph

        builder = StateGraph(MessagesState)
        builder.add_node("answer", lambda _: {"messages": [("ai", TEXT)]})
        builder.add_edge(START, "answer")
        return builder.compile(checkpointer=saver)

    async def turn(self, conversation: str, number: int) -> None:
        said = {"messages": [("user", f"{number} {TEXT}")]}
        await asyncio.to_thread(self._graph.invoke, said, _thread(conversation))

    async def resume(self, conversation: str) -> int:
        saver = self._open()
        state = await asyncio.to_thread(self._compiled(saver).get_state, _thread(conversation))
        self._end(saver)
        return len(state.values["messages"])

    async def list(self) -> int:
        from statekeep import Journals

        return len(Journals(self._saver._journals.store, "langgraph").list())

    async def close(self) -> None:
        self._end(self._saver)

    def _end(self, saver: Any) -> None:
        saver.close()


def _thread(conversation: str) -> Any:
    return {"configurable": {"thread_id": conversation}}


class LangGraphTheirs(LangGraph):
    def _open(self) -> Any:
        import sqlite3

        from langgraph.checkpoint.sqlite import SqliteSaver

        path = Path(self._place) / "checkpoints.db"
        return SqliteSaver(sqlite3.connect(path, check_same_thread=False))

    async def list(self) -> int:
        # It lists checkpoints, so this goes through those of all threads.
        found = self._saver.list(None)
        return len({each.config["configurable"]["thread_id"] for each in found})

    def _end(self, saver: Any) -> None:
        saver.conn.close()


class Strands:
    def __init__(self, place: str) -> None:
        self._place = place
        self._repository = self._open("")
        self._known: dict[str, Any] = {}

    def _open(self, _: str) -> Any:
        from statekeep_adapters.strands import StatekeepSessionRepository

        return StatekeepSessionRepository(self._place, user_id="ada")

    async def turn(self, conversation: str, number: int) -> None:
        await asyncio.to_thread(self._turn, conversation, number)

    def _turn(self, conversation: str, number: int) -> None:
        from strands.types.session import Session, SessionMessage, SessionType

        repository = self._known.get(conversation)
        if repository is None:
            repository = self._known[conversation] = self._in(conversation)
            if not isinstance(self, StrandsTheirs):
                repository.create_session(
                    Session(session_id=conversation, session_type=SessionType.AGENT)
                )
            repository.create_agent(conversation, _agent(number))
        for role in ("user", "assistant"):
            message = {"role": role, "content": [{"text": f"{number} {TEXT}"}]}
            index = 2 * number + (role == "assistant")
            repository.create_message(
                conversation,
                "agent",
                SessionMessage(message=message, message_id=index),  # type: ignore[arg-type]
            )
            repository.update_agent(conversation, _agent(number))  # as its manager does

    def _in(self, _: str) -> Any:
        return self._repository

    async def resume(self, conversation: str) -> int:
        def load() -> int:
            repository = self._open(conversation)
            repository.read_session(conversation)
            repository.read_agent(conversation, "agent")
            return len(repository.list_messages(conversation, "agent"))

        return await asyncio.to_thread(load)

    async def list(self) -> int:
        from statekeep import Journals

        return len(Journals(self._repository._journals.store, "strands").list())

    async def close(self) -> None:
        self._repository.close()


def _agent(number: int) -> Any:
    from strands.types.session import SessionAgent

    return SessionAgent(
        agent_id="agent", state={"turn": number}, conversation_manager_state={"removed": 0}
    )


class StrandsTheirs(Strands):
    """Its files, or on a bucket its objects."""

    def _open(self, conversation: str) -> Any:
        from strands.session import FileSessionManager, S3SessionManager

        if not self._place.startswith("s3:"):
            return FileSessionManager(conversation, storage_dir=self._place)
        bucket, _, prefix = self._place.removeprefix("s3://").partition("?")[0].partition("/")
        os.environ["AWS_ENDPOINT_URL_S3"] = self._place.partition("endpoint_url=")[2]
        return S3SessionManager(conversation, bucket=bucket, prefix=prefix, region_name="us-east-1")

    def _in(self, conversation: str) -> Any:
        return self._open(conversation)

    async def list(self) -> int:
        return 0  # it lists nothing

    async def close(self) -> None:
        pass


SUBJECTS: dict[str, Callable[[str], Subject]] = {
    "openai-agents: statekeep": OpenAI,
    "claude-agent-sdk: statekeep": Claude,
    "pydantic-ai: statekeep": PydanticAI,
    "langgraph: statekeep": LangGraph,
    "strands-agents: statekeep": Strands,
    "strands-agents: its own, objects": StrandsTheirs,
}

IN_FILES: dict[str, list[tuple[str, str, Callable[[str], Subject]]]] = {
    "openai-agents": [
        ("statekeep, SQLite", "sqlite:{}/state.db", OpenAI),
        ("its own, SQLite", "{}", OpenAITheirs),
    ],
    "claude-agent-sdk": [("statekeep, SQLite", "sqlite:{}/state.db", Claude)],
    "pydantic-ai": [("statekeep, SQLite", "sqlite:{}/state.db", PydanticAI)],
    "langgraph": [
        ("statekeep, SQLite", "sqlite:{}/state.db", LangGraph),
        ("its own, SQLite", "{}", LangGraphTheirs),
    ],
    "strands-agents": [
        ("statekeep, files", "{}/state", Strands),
        ("its own, files", "{}", StrandsTheirs),
    ],
}


async def on_s3(make: Callable[[str], Subject], place: str, proxy: Proxy) -> list[str]:
    """Requests and bytes, of a turn, of resuming and of a listing."""

    def taken() -> tuple[int, int]:
        sent = sum(int(each.headers.get("content-length", 0)) for each in proxy.requests)
        return len(proxy.count()), sent

    subject = make(place)
    for number in range(TURNS - 10):
        await subject.turn("c0", number)
    taken()
    for number in range(TURNS - 10, TURNS):
        await subject.turn("c0", number)
    requests, sent = taken()
    turn = f"{requests / 10:.1f}", f"{sent / 10 / 1000:.1f} KB"
    assert await subject.resume("c0") == 2 * TURNS
    resume, _ = taken()
    for number in range(1, CONVERSATIONS):
        await subject.turn(f"c{number}", 0)
    taken()
    found = await subject.list()
    assert found in {0, CONVERSATIONS}
    cold, _ = taken()
    again = "-"
    if found:
        await subject.list()
        again = str(taken()[0])
    await subject.close()
    return [*turn, str(resume), str(cold) if found else "-", again]


async def in_files(subjects: list[tuple[str, str, Callable[[str], Subject]]]) -> list[list[str]]:
    """Milliseconds, of a turn, of resuming and of a listing: the median of rounds in turns."""
    with ExitStack() as stack:
        opened: list[tuple[str, Subject]] = []
        for name, place, make in subjects:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            opened.append((name, make(place.format(folder))))
        for _, subject in opened:
            for number in range(TURNS - 10 * ROUNDS):
                await subject.turn("c0", number)
            for number in range(1, CONVERSATIONS):
                await subject.turn(f"c{number}", 0)
        times: dict[str, list[list[float]]] = {name: [[], [], []] for name, _ in opened}
        for round_ in range(ROUNDS):
            for name, subject in opened:
                begun = time.perf_counter()
                first = TURNS - 10 * ROUNDS + 10 * round_
                for number in range(first, first + 10):
                    await subject.turn("c0", number)
                times[name][0].append((time.perf_counter() - begun) / 10)
                begun = time.perf_counter()
                await subject.resume("c0")
                times[name][1].append(time.perf_counter() - begun)
                begun = time.perf_counter()
                found = await subject.list()
                if found:
                    times[name][2].append(time.perf_counter() - begun)
        for _, subject in opened:
            await subject.close()
    return [[name, *[_median(each) for each in found]] for name, found in times.items()]


def _median(times: list[float]) -> str:
    return f"{sorted(times)[len(times) // 2] * 1e3:.1f} ms" if times else "-"


def main() -> None:
    os.environ.update(servers.CREDENTIALS)
    wanted = sys.argv[1:]
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.seaweedfs(Path(folder)) as url,
        Proxy(url) as proxy,
    ):
        client = boto3.client("s3", endpoint_url=url)
        print(
            "| on S3 | requests a turn | sent a turn | to resume 400 messages |"
            " to list 50, new | again |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        for number, (name, make) in enumerate(SUBJECTS.items()):
            if wanted and not name.startswith(tuple(wanted)):
                continue
            client.create_bucket(Bucket=f"bucket-{number}")
            place = f"s3://bucket-{number}/state?endpoint_url={proxy.url}"
            row = asyncio.run(on_s3(make, place, proxy))
            print(f"| {' | '.join([name, *row])} |", flush=True)
    print("\n| in files | | a turn | to resume 400 messages | to list 50 |")
    print("| --- | --- | --- | --- | --- |")
    for framework, subjects in IN_FILES.items():
        if wanted and not framework.startswith(tuple(wanted)):
            continue
        for row in asyncio.run(in_files(subjects)):
            print(f"| {' | '.join([framework, *row])} |", flush=True)


if __name__ == "__main__":
    main()
