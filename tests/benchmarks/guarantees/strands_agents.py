"""What Strands Agents ships for one machine, used as its docs do: by an agent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks.guarantees.candidates import AGENT, Candidate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["StrandsFiles", "StrandsSnapshots"]


class _Strands(Candidate):
    """An `Agent` whose model answers at once; it is made anew for each turn, as a server does."""

    distributions = ("strands-agents",)

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

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        agent = self._agent(session_id)
        for message in _messages(texts):  # what the agent's hooks call
            agent.messages.append(message)
            agent._session_manager.append_message(message, agent)

    def delete(self, seen: Any) -> None:
        self._manager(seen).delete_session(seen)

    def _manager(self, session_id: str) -> Any:
        from strands.session.file_session_manager import FileSessionManager

        return FileSessionManager(session_id, storage_dir=str(self.place))


class StrandsSnapshots(_Strands):
    """With a `SnapshotSessionManager` over `LocalFileStorage`, which its docs advise today."""

    name = "strands, SnapshotSessionManager"
    modules = ("strands", "strands.session", "strands.storage")

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        agent = self._agent(session_id)
        agent.messages.extend(_messages(texts[:-1]))
        agent(texts[-1])

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


def _messages(texts: Sequence[str]) -> list[Any]:
    return [
        {"role": role, "content": [{"text": said}]}
        for text in texts
        for role, said in (("user", text), ("assistant", "ok"))
    ]
