"""What all adapters have in common, tried on one of them or two."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from strands.types.exceptions import StorageError
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from statekeep import Journals
from statekeep.errors import ClosedError
from statekeep.events import JournalSaved
from statekeep.store import StoreWrapper
from statekeep.testing.faults import FaultyStore
from statekeep_adapters.claude import StatekeepSessionStore
from statekeep_adapters.openai_agents import StatekeepSession
from statekeep_adapters.strands import StatekeepSessionRepository, StatekeepStorage
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from statekeep import StateStore
    from statekeep.store import Blob

pytestmark = pytest.mark.anyio

KEY: Any = {"project_key": "p", "session_id": "s"}


class Slow(StoreWrapper):
    """Waits in each get, and says when it was closed."""

    def __init__(self, store: StateStore) -> None:
        super().__init__(store)
        self.waiting, self.gate = threading.Event(), threading.Event()
        self.closed = threading.Event()

    def get(self, key: str) -> Blob | None:
        self.waiting.set()
        self.gate.wait(60)
        assert not self.closed.is_set()
        return self._inner.get(key)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """What is opened by any URL."""
    store = Slow(MemoryStore())
    monkeypatch.setattr("statekeep_adapters._adapter.open_store", lambda _: store)
    return store


class TestClosing:
    async def test_waits_for_the_calls_that_run(self, slow: Slow) -> None:
        session = StatekeepSession("s", "memory:")
        reading = asyncio.create_task(session.get_items())
        await asyncio.to_thread(slow.waiting.wait, 60)
        closing = asyncio.create_task(session.aclose())
        await asyncio.sleep(0.01)
        assert not slow.closed.is_set()
        slow.gate.set()
        assert await reading == []
        await closing
        assert slow.closed.is_set()

    async def test_may_be_asked_for_twice_at_once(self, slow: Slow) -> None:
        session = StatekeepSession("s", "memory:")
        await asyncio.gather(session.aclose(), session.aclose())
        assert slow.closed.is_set()
        with pytest.raises(ClosedError, match="this StatekeepSession was closed"):
            await session.add_items([{"role": "user", "content": "a"}])

    @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
    async def test_goes_on_if_it_is_cancelled(self, slow: Slow) -> None:
        with anyio.CancelScope() as scope:
            async with StatekeepSessionStore("memory:"):
                scope.cancel()
        with anyio.fail_after(60):
            await anyio.to_thread.run_sync(slow.closed.wait)


class TestCallsThatWait:
    async def test_for_one_journal_leave_the_threads_to_others(self, slow: Slow) -> None:
        sessions = StatekeepSessionStore("memory:")
        key: Any = {"project_key": "p", "session_id": "other"}
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(sessions.load, KEY)
            await asyncio.to_thread(slow.waiting.wait, 60)
            slow.waiting.clear()
            tasks.start_soon(sessions.load, key)
            assert await asyncio.to_thread(slow.waiting.wait, 60)
            slow.gate.set()
        await sessions.aclose()

    async def test_end_when_they_are_cancelled(self, slow: Slow) -> None:
        session = StatekeepSession("s", "memory:")
        first = asyncio.create_task(session.get_items())
        await asyncio.to_thread(slow.waiting.wait, 60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.get_items(), 0.01)
        slow.gate.set()
        assert await first == []


@pytest.mark.parametrize(("conversations", "remembered"), [(100, 100), (128, 128), (200, 0)])
async def test_conversations_that_are_remembered_are_not_read_before_a_write(
    conversations: int, remembered: int
) -> None:
    store = FaultyStore(MemoryStore(), slow=1, delay=0, operations=["get"])
    sessions = StatekeepSessionStore(store)

    async def say(text: str) -> None:
        for number in range(conversations):
            key: Any = {"project_key": "p", "session_id": str(number)}
            await sessions.append(key, [{"type": "user", "uuid": text}])

    await say("a")
    store.faults.clear()
    await say("b")
    assert len(store.faults) == conversations - remembered


def test_an_observer_may_use_the_adapter(store: StateStore) -> None:
    seen: list[object] = []

    def look(event: object) -> None:
        if isinstance(event, JournalSaved):
            seen.append(repository.read_session("s"))

    repository = StatekeepSessionRepository(store, observers=[look])
    repository.create_session(Session("s", SessionType.AGENT))
    assert isinstance(seen[0], Session)


async def test_one_text_is_no_list_of_items(store: StateStore) -> None:
    session = StatekeepSession("s", store)
    for wrong in ("hey", {"role": "user"}):
        with pytest.raises(TypeError, match="items: a list of items, not"):
            await session.add_items(wrong)  # type: ignore[arg-type]
    odd: Any = ["5", "true", "{", 5, None]
    await session.add_items(odd)
    assert await session.get_items() == odd


@pytest.mark.parametrize("value", [(1, [2]), 2**70, {1: "a"}, "cut \ud83d", float("inf")])
def test_strands_keeps_what_python_writes_as_json(store: StateStore, value: Any) -> None:
    repository = StatekeepSessionRepository(store)
    repository.create_session(Session("s", SessionType.AGENT))
    repository.create_agent("s", SessionAgent("a", {"x": value}, {}))
    content: Any = [{"text": "a"}, {"json": value}]
    message = SessionMessage({"role": "user", "content": content}, 0)
    repository.create_message("s", "a", message)
    expected = {"(1, [2])": [1, [2]], "{1: 'a'}": {"1": "a"}}.get(str(value), value)
    agent = repository.read_agent("s", "a")
    assert agent is not None
    assert agent.state == {"x": expected}
    repository.update_agent("s", SessionAgent("a", {"x": value}, {}))
    [read] = repository.list_messages("s", "a")
    assert read.message["content"][1] == {"json": expected}
    assert repository.read_message("s", "a", 0) == read
    repository.update_message("s", "a", read)
    assert repository.list_messages("s", "a")[0].message == read.message


async def test_a_storage_goes_on_after_its_own_write_whose_answer_was_lost() -> None:
    store = FaultyStore(MemoryStore(), after=1, operations=["delete"])
    storage = StatekeepStorage(store)
    await storage.write("k", b"1" * 200_000)
    failed = 0
    for number in range(2, 6):
        try:
            await storage.write("k", b"%d" % number * 200_000)
        except StorageError:
            failed += 1
        assert await StatekeepStorage(store).read("k") == b"%d" % number * 200_000
    assert failed


def test_a_deletion_that_failed_half_way_is_finished_by_the_next(store: StateStore) -> None:
    repository = StatekeepSessionRepository(store, user_id="ada")
    repository.create_session(Session("s", SessionType.AGENT))
    Journals(store, "strands").open("s").change(lambda draft: draft.metadata.clear())
    repository.delete_session("s")
    assert not Journals(store, "strands").list()


async def test_what_is_nobodys_is_found_by_its_name_and_not_listed(store: StateStore) -> None:
    entry: Any = {"type": "user", "uuid": "u"}
    await StatekeepSessionStore(store).append(KEY, [entry])
    sessions = StatekeepSessionStore(store, user_id="ada")
    assert await sessions.load(KEY) == [entry]
    assert await sessions.list_sessions("p") == []
    await sessions.append(KEY, [{"type": "user", "uuid": "v"}])
    assert [each["session_id"] for each in await sessions.list_sessions("p")] == ["s"]


async def test_a_long_prompt_is_cut_in_the_summary_and_kept_in_the_transcript(
    store: StateStore,
) -> None:
    sessions = StatekeepSessionStore(store)
    entry: Any = {"type": "last-prompt", "lastPrompt": "x" * 1_200_000}
    await sessions.append(KEY, [entry])
    assert await sessions.load(KEY) == [entry]
    [summary] = await sessions.list_session_summaries("p")
    assert summary["data"]["last_prompt"] == "x" * 10_000
