"""What the tests of conversations run in processes of their own."""

from __future__ import annotations

import asyncio

from pydantic_ai import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelRequest, UserPromptPart

from statekeep_adapters.pydantic_ai import StatekeepConversationStore


def talk(url: str, worker: int, times: int) -> None:
    """Say something in one conversation, each again until nobody came between."""

    async def main() -> None:
        async with StatekeepConversationStore(url) as store:
            for number in range(times):
                while not await _say(store, f"{worker}-{number}"):
                    pass

    asyncio.run(main())


async def _say(store: StatekeepConversationStore, text: str) -> bool:
    conversation = await store.load("17") or Conversation(conversation_id="17")
    conversation.messages.append(ModelRequest(parts=[UserPromptPart(content=text)]))
    try:
        await store.save(conversation)
    except ConversationConflict:
        return False
    return True
