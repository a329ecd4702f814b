"""One conversation of each framework, in which several processes say something at the same time."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from langgraph.checkpoint.base import empty_checkpoint
from pydantic_ai import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelRequest, UserPromptPart
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from statekeep_adapters.claude import StatekeepSessionStore
from statekeep_adapters.langgraph import StatekeepSaver
from statekeep_adapters.openai_agents import StatekeepSession
from statekeep_adapters.pydantic_ai import StatekeepConversationStore
from statekeep_adapters.strands import StatekeepSessionRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["SPEAKERS", "Speaker", "say_often", "say_until_killed"]


class Speaker(Protocol):
    """A process's handle of the conversation."""

    def say(self, text: str) -> None:
        """Add a message."""

    def heard(self) -> list[str]:
        """Read all messages, in order."""

    def close(self) -> None: ...


class _Asynchronous:
    _adapter: Any

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def close(self) -> None:
        self._run(self._adapter.aclose())
        self._runner.close()


class OpenAI(_Asynchronous):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._adapter = StatekeepSession("s", url)

    def say(self, text: str) -> None:
        self._run(self._adapter.add_items([{"role": "user", "content": text}]))

    def heard(self) -> list[str]:
        return [item["content"] for item in self._run(self._adapter.get_items())]


class Claude(_Asynchronous):
    _key: Any = {"project_key": "p", "session_id": "s"}  # noqa: RUF012

    def __init__(self, url: str) -> None:
        super().__init__()
        self._adapter = StatekeepSessionStore(url)

    def say(self, text: str) -> None:
        self._run(self._adapter.append(self._key, [{"type": "user", "uuid": text}]))

    def heard(self) -> list[str]:
        return [entry["uuid"] for entry in self._run(self._adapter.load(self._key)) or ()]


class PydanticAI(_Asynchronous):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._adapter = StatekeepConversationStore(url)

    def say(self, text: str) -> None:
        while not self._run(self._said(text)):
            pass

    async def _said(self, text: str) -> bool:
        conversation = await self._adapter.load("s") or Conversation(conversation_id="s")
        conversation.messages.append(ModelRequest(parts=[UserPromptPart(content=text)]))
        try:
            await self._adapter.save(conversation)
        except ConversationConflict:
            return False
        return True

    def heard(self) -> list[str]:
        conversation = self._run(self._adapter.load("s"))
        return [message.parts[0].content for message in conversation.messages]


class LangGraph:
    def __init__(self, url: str) -> None:
        self._saver = StatekeepSaver(url)
        self._config: Any = {"configurable": {"thread_id": "s", "checkpoint_ns": ""}}

    def say(self, text: str) -> None:
        said: Any = {"said": text}
        self._config = self._saver.put(self._config, empty_checkpoint(), said, {})

    def heard(self) -> list[str]:
        found = self._saver.list({"configurable": {"thread_id": "s"}})
        return [str(each.metadata["said"]) for each in found][::-1]  # type: ignore[typeddict-item]

    def close(self) -> None:
        self._saver.close()


class Strands:
    def __init__(self, url: str) -> None:
        self._repository = StatekeepSessionRepository(url)
        self._next = 0
        agent = SessionAgent("a", {}, {})
        for create in (
            lambda: self._repository.create_session(Session("s", SessionType.AGENT)),
            lambda: self._repository.create_agent("s", agent),
        ):
            with suppress(SessionException):  # another process did
                create()

    def say(self, text: str) -> None:
        message: Any = {"role": "user", "content": [{"text": text}]}
        self._repository.create_message("s", "a", SessionMessage(message, self._next))
        self._next += 1

    def heard(self) -> list[str]:
        found = self._repository.list_messages("s", "a")
        return [each.message["content"][0]["text"] for each in found]

    def close(self) -> None:
        self._repository.close()


SPEAKERS: dict[str, Callable[[str], Speaker]] = {
    "claude": Claude,
    "langgraph": LangGraph,
    "openai-agents": OpenAI,
    "pydantic-ai": PydanticAI,
    "strands": Strands,
}


def say_often(framework: str, url: str, worker: int, times: int) -> None:
    """Say which worker this is, and a number."""
    with closing(SPEAKERS[framework](url)) as speaker:
        for number in range(times):
            speaker.say(f"{worker} {number}")


def say_until_killed(framework: str, url: str, worker: int, notes: str) -> None:
    """Say something again and again, and note each time what was acknowledged."""
    speaker = SPEAKERS[framework](url)
    file = os.open(notes, os.O_WRONLY | os.O_APPEND)
    for number in count():
        speaker.say(f"{worker} {number}")
        os.write(file, f"{worker} {number}\n".encode())
