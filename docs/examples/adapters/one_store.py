"""Conversations of four frameworks in one store, listed together: ``python one_store.py [URL]``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from langgraph.graph import START, MessagesState, StateGraph
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from statekeep import StateStore, open_store
from statekeep.cli import main as statekeep
from statekeep_adapters.claude import StatekeepSessionStore
from statekeep_adapters.langgraph import StatekeepSaver
from statekeep_adapters.openai_agents import StatekeepSession
from statekeep_adapters.pydantic_ai import StatekeepConversationStore


async def with_openai_agents(store: StateStore) -> None:
    async with StatekeepSession("thread-17", store, user_id="ada") as session:
        await session.add_items([{"role": "user", "content": "Book my trip"}])


async def with_claude(store: StateStore) -> None:
    async with StatekeepSessionStore(store, user_id="bob") as sessions:
        entry: Any = {
            "type": "user",
            "uuid": "8f4f1f4e-5d0f-4f3c-9f3e-0a1b2c3d4e5f",
            "timestamp": "2026-11-27T12:00:00.000Z",
            "message": {"role": "user", "content": "Mend the tests"},
        }
        await sessions.append({"project_key": "app", "session_id": "s1"}, [entry])


async def with_langgraph(store: StateStore) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda _: {"messages": [("ai", "Hello, Ada")]})
    builder.add_edge(START, "answer")
    async with StatekeepSaver(store, user_id="ada") as saver:
        graph: Any = builder.compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "greeting"}}
        await graph.ainvoke({"messages": [("user", "Hello")]}, config)


async def with_pydantic_ai(store: StateStore) -> None:
    async with StatekeepConversationStore(store, user_id="ada") as conversations:
        agent = Agent(TestModel(custom_output_text="Sunny"))
        result = await agent.run("How is the weather?")
        await conversations.save(result)


async def main(url: str) -> None:
    with open_store(url) as store:
        await with_openai_agents(store)
        await with_claude(store)
        await with_langgraph(store)
        await with_pydantic_ai(store)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "sqlite:state.db"
    asyncio.run(main(url))
    sys.argv[1:] = ["sessions", "list", "--all", "--store", url]
    statekeep()
