"""What frameworks have kept, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from pydantic_ai import Conversation as Said
from pydantic_ai.messages import (
    BinaryContent,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from statekeep import open_store
from statekeep.conversations import Conversation, Entry
from statekeep.format.summary import JournalSummary
from statekeep.heads.everything import journal_collections, list_together
from statekeep.store.query import Filter
from statekeep_adapters.claude import StatekeepSessionStore
from statekeep_adapters.langgraph import StatekeepSaver
from statekeep_adapters.openai_agents import StatekeepSession
from statekeep_adapters.pydantic_ai import StatekeepConversationStore
from statekeep_adapters.strands import StatekeepSessionRepository

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/state.db"


def entries(place: str) -> list[Entry]:
    """All entries of all journals, the oldest journal first."""
    with open_store(place) as store:
        found = list_together(store, journal_collections(store), Filter(), order="created")
        return [
            entry
            for summary in reversed(found.summaries)
            if isinstance(summary, JournalSummary)
            for part in Conversation(store, *summary.name, collection=summary.collection).parts()
            for entry in part.entries
        ]


def shown(place: str) -> list[tuple[str | None, list[tuple[str, str, str | None]]]]:
    return [
        (entry.role, [(part.kind, part.text, part.name) for part in entry.parts])
        for entry in entries(place)
    ]


async def test_pydantic_ai(place: str) -> None:
    store = StatekeepConversationStore(place)
    said = Said(conversation_id="s")
    image = BinaryContent(b"\x89PNG", media_type="image/png")
    said.messages += [
        ModelRequest(parts=[UserPromptPart(content=["Hi", image])]),
        ModelResponse(
            parts=[ThinkingPart("Hm"), TextPart("Yes"), ToolCallPart("f", {"q": 1}, "1")]
        ),
        ModelRequest(parts=[ToolReturnPart("f", {"text": "a", "n": 1}, "1")]),
    ]
    await store.save(said)
    await store.aclose()
    assert shown(place) == [
        ("user", [("text", "Hi", None), ("image", "", None)]),
        ("agent", [("thinking", "Hm", None), ("text", "Yes", None),
                   ("tool_call", '{\n  "q": 1\n}', "f")]),
        ("tool", [("tool_result", '{\n  "text": "a",\n  "n": 1\n}', "f")]),
    ]  # fmt: skip
    assert all(entry.timestamp for entry in entries(place))
    assert entries(place)[0].parts[1].source == "data:image/png;base64,iVBORw=="


async def test_openai_agents(place: str) -> None:
    session = StatekeepSession("s", place)
    items: list[Any] = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "ok"},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Yes", "annotations": []}]},
    ]  # fmt: skip
    await session.add_items(items)
    await session.aclose()
    assert shown(place) == [
        ("user", [("text", "Hi", None)]),
        ("agent", [("thinking", "Hm", None)]),
        ("agent", [("tool_call", "{}", "f")]),
        ("tool", [("tool_result", "ok", None)]),
        ("agent", [("text", "Yes", None)]),
    ]


async def test_claude(place: str) -> None:
    store = StatekeepSessionStore(place)
    key: Any = {"project_key": "p", "session_id": "s"}
    message = {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]}
    added: list[Any] = [
        {"type": "user", "uuid": "1", "message": {"role": "user", "content": "Hi"}},
        {"type": "assistant", "uuid": "2", "message": message},
    ]
    await store.append(key, added)
    await store.aclose()
    assert shown(place) == [("user", [("text", "Hi", None)]), ("agent", [("text", "Yes", None)])]


def test_strands(place: str) -> None:
    repository = StatekeepSessionRepository(place)
    repository.create_session(Session("s", SessionType.AGENT))
    repository.create_agent("s", SessionAgent("a", {}, {}))
    use: Any = {"toolUse": {"toolUseId": "1", "name": "f", "input": {"q": 1}}}
    result: Any = {
        "toolResult": {"toolUseId": "1", "status": "success", "content": [{"text": "3"}]}
    }
    repository.create_message("s", "a", SessionMessage({"role": "assistant", "content": [use]}, 0))
    repository.create_message("s", "a", SessionMessage({"role": "user", "content": [result]}, 1))
    repository.close()
    found = [each for each in shown(place) if each[0] is not None]
    assert found == [
        ("agent", [("tool_call", '{\n  "q": 1\n}', "f")]),
        ("tool", [("tool_result", "3", None)]),
    ]


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def test_langgraph(place: str) -> None:
    def answer(_: State) -> dict[str, Any]:
        call: Any = {"name": "f", "args": {"q": 1}, "id": "1"}
        return {
            "messages": [AIMessage("Yes", tool_calls=[call]), ToolMessage("3", tool_call_id="1")]
        }

    saver = StatekeepSaver(place)
    graph: Any = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    at: Any = {"configurable": {"thread_id": "t"}}
    graph.compile(saver).invoke({"messages": [HumanMessage("Hi")]}, at)
    saver.close()
    parts = [part for _, parts in shown(place) for part in parts]
    assert ("text", "Hi", None) in parts
    assert ("text", "Yes", None) in parts
    assert ("tool_call", '{\n  "q": 1\n}', "f") in parts
    assert ("tool_result", "3", None) in parts
