"""The stores that agent frameworks ship for one machine, each used as its docs do."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from benchmarks.guarantees.candidates import AGENT, USER, Candidate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = [
    "GoogleADK",
    "LangGraph",
    "OpenAIAgents",
    "PydanticAI",
    "StrandsFiles",
    "StrandsSnapshots",
]


class OpenAIAgents(Candidate):
    """A `SQLiteSession` on a file."""

    name = "openai-agents, SQLiteSession"
    distribution = "openai-agents"
    modules = ("agents", "agents.memory.sqlite_session")

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self._held: Any = None
        self._open: dict[str, Any] = {}

    def create(self, session_id: str) -> None:
        self._session(session_id)  # there is nothing to store yet

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        session = self._session(session_id)
        self.run(session.get_items())
        time.sleep(pause)
        self.run(session.add_items(_items(text)))

    def read(self, session_id: str) -> list[str]:
        items = self.run(self._session(session_id).get_items())
        return [each["content"] for each in items if each["role"] == "user"]

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        items = [item for text in texts for item in _items(text)]
        self.run(self._session(session_id).add_items(items))

    def hold(self, session_id: str) -> None:
        self._held = self._session(session_id)
        self.run(self._held.get_items())

    def append(self, text: str) -> None:
        self.run(self._held.add_items(_items(text)))

    def delete(self, seen: Any) -> None:
        self.run(self._session(seen).clear_session())

    def close(self) -> None:
        for session in self._open.values():
            session.close()

    def _session(self, session_id: str) -> Any:
        from agents import SQLiteSession

        if session_id not in self._open:
            self._open[session_id] = SQLiteSession(session_id, self.place / "sessions.db")
        return self._open[session_id]


class LangGraph(Candidate):
    """A graph of one node over `MessagesState`, compiled with a `SqliteSaver`."""

    name = "langgraph, SqliteSaver"
    distribution = "langgraph-checkpoint-sqlite"
    modules = ("langgraph.graph", "langgraph.checkpoint.sqlite")

    def __init__(self, place: str) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver
        from langgraph.graph import END, START, MessagesState, StateGraph

        super().__init__(place)
        self.place.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.place / "checkpoints.db", check_same_thread=False)
        self._saver = SqliteSaver(connection)
        self._pause: float = 0

        def reply(_: Any) -> Any:
            time.sleep(self._pause)
            return {"messages": [("ai", "ok")]}

        builder: Any = StateGraph(MessagesState)
        builder.add_node("reply", reply)
        builder.add_edge(START, "reply")
        builder.add_edge("reply", END)
        self._graph: Any = builder.compile(checkpointer=self._saver)
        self._held = ""

    def create(self, session_id: str) -> None:
        """A thread is there as soon as it is used."""

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        self._pause = pause
        self._graph.invoke({"messages": [("user", text)]}, _thread(session_id))

    def read(self, session_id: str) -> list[str]:
        found = self._graph.get_state(_thread(session_id)).values.get("messages", [])
        return [each.content for each in found if each.type == "human"]

    def history(self, session_id: str) -> list[str]:
        states = self._graph.get_state_history(_thread(session_id))
        messages = [each for state in states for each in state.values.get("messages", [])]
        return [each.content for each in messages if each.type == "human"]

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        said = [each for text in texts for each in (("user", text), ("ai", "ok"))]
        self._graph.update_state(_thread(session_id), {"messages": said}, as_node="reply")

    def hold(self, session_id: str) -> None:
        self._held = session_id

    def append(self, text: str) -> None:
        self.turn(self._held, text)

    def newest(self, limit: int) -> Sequence[object]:
        found: dict[str, object] = {}
        for each in self._saver.list(None):  # of checkpoints, the newest first
            thread = each.config["configurable"]["thread_id"]
            found.setdefault(thread, each)
            if len(found) == limit:
                break
        return [*found.values()]

    def delete(self, seen: Any) -> None:
        self._saver.delete_thread(seen)

    def close(self) -> None:
        self._saver.conn.close()


class GoogleADK(Candidate):
    """A `DatabaseSessionService` over SQLite, and `append_event`."""

    name = "google-adk, DatabaseSessionService"
    distribution = "google-adk"
    modules = (
        "google.adk.sessions",
        "google.adk.sessions.database_session_service",
        "google.adk.events.event",
        "google.genai.types",
    )

    def __init__(self, place: str) -> None:
        from google.adk.sessions import DatabaseSessionService

        super().__init__(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self._service: Any = DatabaseSessionService(f"sqlite+aiosqlite:///{self.place}/adk.db")
        self._held: Any = None

    def create(self, session_id: str) -> None:
        self.run(self._service.create_session(app_name=AGENT, user_id=USER, session_id=session_id))

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        session = self._get(session_id)
        time.sleep(pause)
        self._append(session, ("user", text))  # one call stores one event

    def read(self, session_id: str) -> list[str]:
        events = self._get(session_id).events
        return [each.content.parts[0].text for each in events if each.author == "user"]

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        session = self._get(session_id)
        for text in texts:
            self._append(session, ("user", text), (AGENT, "ok"))

    def populate(self, count: int) -> None:
        for number in range(count):  # their events would not be read by a listing
            self.create(f"session-{number}")

    def hold(self, session_id: str) -> None:
        self._held = self._get(session_id)

    def append(self, text: str) -> None:
        self._append(self._held, ("user", text), (AGENT, "ok"))

    def newest(self, limit: int) -> Sequence[object]:
        listed = self.run(self._service.list_sessions(app_name=AGENT, user_id=USER))
        newest: Sequence[object] = listed.sessions[-limit:]  # it sorts by time
        return newest

    def delete(self, seen: Any) -> None:
        self.run(self._service.delete_session(app_name=AGENT, user_id=USER, session_id=seen))

    def open_as(self, session_id: str, user: str) -> object:
        found: object = self.run(
            self._service.get_session(app_name=AGENT, user_id=user, session_id=session_id)
        )
        return found

    def close(self) -> None:
        self.run(self._service.close())

    def _get(self, session_id: str) -> Any:
        found = self.run(
            self._service.get_session(app_name=AGENT, user_id=USER, session_id=session_id)
        )
        if found is None:
            raise KeyError(session_id)
        return found

    def _append(self, session: Any, *events: tuple[str, str]) -> None:
        from google.adk.events.event import Event
        from google.genai import types

        for author, said in events:
            role = "user" if author == "user" else "model"
            content = types.Content(role=role, parts=[types.Part(text=said)])
            self.run(self._service.append_event(session, Event(author=author, content=content)))


class PydanticAI(Candidate):
    """The harness's `SqliteConversationStore`; a conversation has a revision."""

    name = "pydantic-ai-harness, SqliteConversationStore"
    distribution = "pydantic-ai-harness"
    modules = ("pydantic_ai.messages", "pydantic_ai_harness.step_persistence.conversations")

    def __init__(self, place: str) -> None:
        from pydantic_ai_harness.step_persistence.conversations import SqliteConversationStore

        super().__init__(place)
        self._store = SqliteConversationStore(database=self.place / "conversations.db")
        self._held: Any = None

    def create(self, session_id: str) -> None:
        from pydantic_ai_harness.step_persistence.conversations import ConversationSummary

        summary = ConversationSummary(id=session_id, workspace=AGENT)
        self.run(self._store.save(summary=summary, messages=[]))

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        saved = self._get(session_id)
        time.sleep(pause)
        self._save(saved, [text])

    def read(self, session_id: str) -> list[str]:
        messages = self._get(session_id).messages
        return [each.parts[0].content for each in messages if each.kind == "request"]

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        self._save(self._get(session_id), texts)

    def hold(self, session_id: str) -> None:
        self._held = self._get(session_id)

    def append(self, text: str) -> None:
        self._save(self._held, [text])

    def newest(self, limit: int) -> Sequence[object]:
        found: Sequence[object] = self.run(self._store.listing(limit=limit))
        return found

    def look(self, session_id: str) -> Any:
        return self._get(session_id).summary

    def delete(self, seen: Any) -> None:
        self.run(self._store.delete(source=seen))

    def _get(self, session_id: str) -> Any:
        return self.run(self._store.get(conversation_id=session_id))

    def _save(self, saved: Any, texts: Sequence[str]) -> None:
        from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

        for text in texts:
            saved.messages.append(ModelRequest(parts=[UserPromptPart(text)]))
            saved.messages.append(ModelResponse(parts=[TextPart("ok")]))
        saved.summary = self.run(self._store.save(summary=saved.summary, messages=saved.messages))


class _Strands(Candidate):
    """An `Agent` whose model answers at once; it is made anew for each turn, as a server does."""

    distribution = "strands-agents"

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._pause: float = 0
        self._held: Any = None

    def create(self, session_id: str) -> None:
        self._agent(session_id)

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        self._pause = pause
        self._agent(session_id)(text)

    def read(self, session_id: str) -> list[str]:
        messages = self._agent(session_id).messages
        return [each["content"][0]["text"] for each in messages if each["role"] == "user"]

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        agent = self._agent(session_id)
        for text in texts:
            agent(text)

    def hold(self, session_id: str) -> None:
        self._pause = 0
        self._held = self._agent(session_id)

    def append(self, text: str) -> None:
        self._held(text)

    def _manager(self, session_id: str) -> Any:
        raise NotImplementedError

    def _agent(self, session_id: str) -> Any:
        from strands import Agent
        from strands.agent.conversation_manager import NullConversationManager

        return Agent(
            model=_model(self),
            agent_id=AGENT,
            session_manager=self._manager(session_id),
            conversation_manager=NullConversationManager(),
            callback_handler=None,
        )


class StrandsFiles(_Strands):
    """With a `FileSessionManager`."""

    name = "strands, FileSessionManager"
    modules = ("strands", "strands.session.file_session_manager")

    def delete(self, seen: Any) -> None:
        self._manager(seen).delete_session(seen)

    def _manager(self, session_id: str) -> Any:
        from strands.session.file_session_manager import FileSessionManager

        return FileSessionManager(session_id, storage_dir=str(self.place))


class StrandsSnapshots(_Strands):
    """With a `SnapshotSessionManager` over `LocalFileStorage`, which its docs advise today."""

    name = "strands, SnapshotSessionManager"
    modules = ("strands", "strands.session", "strands.storage")

    def delete(self, seen: Any) -> None:
        self.run(self._manager(seen).delete_session())

    def _manager(self, session_id: str) -> Any:
        from strands.session import SnapshotSessionManager
        from strands.storage import LocalFileStorage

        return SnapshotSessionManager(session_id, storage=LocalFileStorage(str(self.place)))


def _model(owner: Any) -> Any:
    """A model that thinks for a moment and says "ok"."""
    from strands.models.model import Model

    base: Any = Model

    class Stub(base):  # type: ignore[misc]
        def update_config(self, **_: Any) -> None: ...

        def get_config(self) -> Any:
            return {}

        def structured_output(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

        async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
            await asyncio.sleep(owner._pause)
            yield {"messageStart": {"role": "assistant"}}
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": "ok"}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}

    return Stub()


def _items(text: str) -> list[Any]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]


def _thread(session_id: str) -> Any:
    return {"configurable": {"thread_id": session_id}}
