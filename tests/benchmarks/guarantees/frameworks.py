"""The stores that agent frameworks ship for one machine, each used as its docs do."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from benchmarks.guarantees.candidates import AGENT, USER, Candidate

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "GoogleADK",
    "LangGraph",
    "OpenAIAgents",
    "PydanticAI",
]


class OpenAIAgents(Candidate):
    """A `SQLiteSession` on a file."""

    name = "openai-agents, SQLiteSession"
    distributions = ("openai-agents",)
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
    distributions = ("langgraph", "langgraph-checkpoint-sqlite")
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
    distributions = ("google-adk",)
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
    distributions = ("pydantic-ai-slim", "pydantic-ai-harness")
    modules = ("pydantic_ai.messages", "pydantic_ai_harness.step_persistence.conversations")

    def __init__(self, place: str) -> None:
        from pydantic_ai_harness.step_persistence.conversations import SqliteConversationStore

        super().__init__(place)
        self._store = SqliteConversationStore(database=self.place / "conversations.db")
        self._held: Any = None

    def create(self, session_id: str) -> None:
        self._save(self._new(session_id), [])

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        saved = self._get(session_id)
        time.sleep(pause)
        self._save(saved, [text])

    def read(self, session_id: str) -> list[str]:
        messages = self._get(session_id).messages
        return [each.parts[0].content for each in messages if each.kind == "request"]

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        self._save(self._get(session_id), texts)

    def populate(self, count: int) -> None:
        for number in range(count):
            self._save(self._new(f"session-{number}"), ["hello"])

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

    def _new(self, session_id: str) -> Any:
        from pydantic_ai_harness.step_persistence.conversations import (
            ConversationSummary,
            SavedConversation,
        )

        summary = ConversationSummary(id=session_id, workspace=AGENT)
        return SavedConversation(summary=summary, messages=[])

    def _get(self, session_id: str) -> Any:
        return self.run(self._store.get(conversation_id=session_id))

    def _save(self, saved: Any, texts: Sequence[str]) -> None:
        from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

        for text in texts:
            saved.messages.append(ModelRequest(parts=[UserPromptPart(text)]))
            saved.messages.append(ModelResponse(parts=[TextPart("ok")]))
        saved.summary = self.run(self._store.save(summary=saved.summary, messages=saved.messages))


def _items(text: str) -> list[Any]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]


def _thread(session_id: str) -> Any:
    return {"configurable": {"thread_id": session_id}}
