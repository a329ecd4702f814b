"""Conversations of Pydantic AI, kept by statekeep: as its own store does, and for good."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent, Conversation, DeferredToolRequests
from pydantic_ai.conversation import ConversationTypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    FilePart,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

from statekeep import InvalidDocumentError, Journals, NotFoundError, OwnershipError, open_store
from statekeep.errors import ClosedError, CorruptDataError
from statekeep.testing.faults import FaultyStore
from statekeep_adapters.pydantic_ai import StatekeepConversationStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_ai.messages import ModelMessage

    from statekeep import StateStore

pytestmark = pytest.mark.anyio

IMAGE = BinaryContent(b"\x89PNG\xff\x00", media_type="image/png")


def said(text: str) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(content=text)])


def texts(conversation: Conversation | None) -> list[str]:
    assert conversation is not None
    return [content_of(message) for message in conversation.messages]


def content_of(message: ModelMessage) -> str:
    part = message.parts[0]
    assert isinstance(part, UserPromptPart)
    assert isinstance(part.content, str)
    return part.content


def conversation(name: str, *said_: str) -> Conversation:
    return Conversation(conversation_id=name, messages=[said(text) for text in said_])


async def test_an_agent_goes_on_where_another_process_stopped(store: StateStore) -> None:
    agent = Agent(TestModel())
    ours = StatekeepConversationStore(store, user_id="ada")
    assert await ours.load("17") is None
    result = await agent.run("Hello\nworld", conversation=Conversation(conversation_id="17"))
    await ours.save(result)
    again = StatekeepConversationStore(store, user_id="ada")
    loaded = await again.load("17")
    assert loaded is not None
    assert loaded.messages == result.all_messages()
    assert loaded.usage == result.usage
    result = await agent.run("Go on", conversation=loaded)
    assert len(await again.save(result)) == 2
    loaded = await ours.load("17")
    assert loaded is not None
    assert loaded.messages == result.all_messages()
    assert loaded.usage.requests == 2
    [summary] = Journals(store, "pydantic-ai").list()
    assert (summary.user_id, summary.length, summary.title) == ("ada", 4, "Hello world")


async def test_a_turn_takes_few_requests() -> None:
    with FaultyStore(open_store("memory:"), slow=1.0, delay=0.0) as store:
        ours = StatekeepConversationStore(store)
        await ours.save(conversation("17", "a"))
        assert calls(store) == ["get", "get", "put"]
        for text in "bcd":
            loaded = await ours.load("17")
            assert loaded is not None
            assert calls(store) == ["get", "get"]
            loaded.messages.append(said(text))
            await ours.save(loaded)
            assert calls(store) == ["get", "append"]
        again = StatekeepConversationStore(store)
        assert texts(await again.load("17", limit=2)) == ["c", "d"]
        assert calls(store) == ["get", "get"]


def calls(store: FaultyStore) -> list[str]:
    found: list[str] = [fault.operation for fault in store.faults]
    store.faults.clear()
    return found


@pytest.mark.parametrize("name", ["", "../../x", "a/b", "a\\b", "😀", ".", "x" * 800])
async def test_any_text_is_an_id(store: StateStore, name: str) -> None:
    ours = StatekeepConversationStore(store)
    await ours.save(conversation(name, "a"))
    await ours.save(conversation(f"{name}y", "b"))
    assert texts(await ours.load(name)) == ["a"]
    assert {each.conversation_id for each in await ours.list_conversations()} == {name, f"{name}y"}
    cold = StatekeepConversationStore(store)
    for record in await ours.list_conversations(limit=2):
        assert [entry.id for entry in await cold.read_history(record.head_id)] == [record.head_id]
    await ours.delete(name)
    assert [each.conversation_id for each in await ours.list_conversations()] == [f"{name}y"]


async def test_a_conversation_of_another_user_is_refused(store: StateStore) -> None:
    ada = StatekeepConversationStore(store, user_id="ada")
    [entry] = await ada.save(conversation("17", "a"), scope="web")
    bob = StatekeepConversationStore(store, user_id="bob")
    for call in (
        lambda: bob.load("17"),
        lambda: bob.save(conversation("17", "b")),
        lambda: bob.fork("17"),
        lambda: bob.delete("17"),
    ):
        with pytest.raises(OwnershipError, match="'bob'"):
            await call()
    assert await bob.list_conversations(scope="web") == []
    with pytest.raises(NotFoundError):
        await bob.read_entry(entry.id)
    assert texts(await ada.load("17")) == ["a"]


async def test_of_two_who_save_one_is_told_to_load_again(store: StateStore) -> None:
    one, other = StatekeepConversationStore(store), StatekeepConversationStore(store)
    await one.save(conversation("17", "a"))
    first, second = await one.load("17"), await other.load("17")
    assert first is not None
    assert second is not None
    for each, text in ((first, "b"), (second, "c")):
        each.messages.append(said(text))
    await one.save(first)
    with pytest.raises(ConversationConflict):
        await other.save(second)
    assert texts(await other.load("17")) == ["a", "b"]


async def test_what_lost_a_race_leaves_nothing_behind(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    entry = ConversationEntry(parent_id=None, message=said("a"))
    record = ConversationRecord(conversation_id="17", head_id=entry.id)
    with pytest.raises(ConversationConflict):
        await ours.write_record(record, new_entries=[entry], expected_revision="other")
    assert Journals(store, "pydantic-ai").list().summaries == ()
    record.head_id = "nowhere"
    with pytest.raises(ConversationConflict):
        await ours.write_record(record, new_entries=[entry], expected_revision=None)
    assert Journals(store, "pydantic-ai").list().summaries == ()


async def test_one_that_was_deleted_is_not_written_over(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    await ours.save(conversation("17", "a"))
    loaded = await ours.load("17")
    assert loaded is not None
    Journals(store, "pydantic-ai").open("17").delete()
    with pytest.raises(ConversationConflict):
        await ours.save(loaded)
    await ours.save(conversation("17", "b"))
    assert texts(await ours.load("17")) == ["b"]


async def test_bytes_survive_as_through_the_adapter_of_the_framework(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    messages: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(content=["What is this?", IMAGE])]),
        ModelResponse(parts=[FilePart(content=IMAGE), ToolCallPart("draw", {"a": 1}, "call")]),
        ModelRequest(
            parts=[ToolReturnPart("draw", b"\xff\xfe", "call", metadata={"raw": b"\xff"})]
        ),
    ]
    waiting = DeferredToolRequests(
        approvals=[ToolCallPart("draw", "{}", "c")], metadata={"c": {"raw": b"\xff"}}
    )
    saved = Conversation(
        conversation_id="17",
        messages=messages,
        usage=RunUsage(requests=3, details={"x": 1}),
        deferred_tool_requests=waiting,
    )
    await ours.save(saved)
    loaded = await StatekeepConversationStore(store).load("17")
    assert loaded is not None
    data = ModelMessagesTypeAdapter.dump_json(messages)
    assert loaded.messages == ModelMessagesTypeAdapter.validate_json(data)
    assert loaded.usage == saved.usage
    assert loaded.deferred_tool_requests is not None
    assert loaded.deferred_tool_requests.approvals == waiting.approvals
    assert loaded.deferred_tool_requests.metadata == {"c": {"raw": "_w=="}}
    assert Journals(store, "pydantic-ai").list().summaries[0].title == "What is this?"


async def test_an_image_that_reads_back_as_another_type_branches_nothing(
    store: StateStore,
) -> None:
    ours = StatekeepConversationStore(store)
    message = ModelRequest(parts=[UserPromptPart(content=["What is this?", IMAGE])])
    first = Conversation(conversation_id="17", messages=[message])
    await ours.save(first)
    loaded = await ours.load("17")
    assert loaded is not None
    assert loaded.messages != first.messages
    by_hand = Conversation(
        conversation_id="17", messages=[message, said("b")], revision=first.revision
    )
    [entry] = await ours.save(by_hand)
    assert entry.message is by_hand.messages[1]
    [record] = await ours.list_conversations()
    assert record.branches == []


async def test_what_json_cannot_hold_is_refused(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    for value in (object(), 2**70, "\ud800"):
        part = ToolReturnPart("draw", "done", "call", metadata=value)
        with pytest.raises(InvalidDocumentError):
            await ours.save(Conversation(conversation_id="17", messages=[ModelRequest([part])]))
    assert await ours.load("17") is None


async def test_damage_is_told_as_such(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    await ours.save(conversation("17", "a"))
    journal = Journals(store, "pydantic-ai").open("17")
    journal.change(lambda draft: draft.replace(0, draft.items()[0] | {"message": {"kind": 3}}))
    with pytest.raises(CorruptDataError, match="Pydantic AI"):
        await ours.load("17")
    journal.append([], set={"record": {"conversation_id": "17"}})
    with pytest.raises(CorruptDataError, match="Pydantic AI"):
        await ours.read_record("17")


async def test_an_entry_is_found_by_its_id_alone(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    ids = [
        entry.id
        for name in "xyz"
        for entry in await ours.save(conversation(name, name, f"{name}2"))
    ]
    for cold in (True, False):
        for entry_id in ids:
            again = StatekeepConversationStore(store) if cold else ours
            assert (await again.read_entry(entry_id)).id == entry_id
            history = await again.read_history(entry_id)
            assert history[-1].id == entry_id
            assert len(history) == 1 + ids.index(entry_id) % 2
    with pytest.raises(LookupError):
        await ours.read_entry("nowhere")
    assert await ours.read_history(None) == []
    assert await ours.read_history(ids[0], limit=0) == []


async def test_a_fork_outlives_what_it_was_forked_from(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    entries = await ours.save(conversation("17", "a", "a secret", "c"))
    await ours.fork("17", at=1, new_conversation_id="18")
    fork = await ours.load("18")
    assert fork is not None
    fork.messages.append(said("d"))
    await ours.save(fork)
    await ours.delete("17")
    assert texts(await ours.load("18")) == ["a", "d"]
    assert await ours.read_entry(entries[0].id) == entries[0]
    with pytest.raises(LookupError):
        await ours.read_entry(entries[1].id)
    for blob in [store.get(info.key) for info in store.scan("")]:
        assert blob is None or b"secret" not in blob.data
    assert Journals(store, "pydantic-ai").list().summaries[0].title == "a"


async def test_a_long_conversation_is_deleted_with_its_segments(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    await ours.save(conversation("17", *[f"secret {'x' * 40_000}"] * 4))
    await ours.fork("17", new_conversation_id="18")
    await ours.delete("17")
    assert len(texts(await ours.load("18"))) == 4
    await ours.delete("18")
    for blob in [store.get(info.key) for info in store.scan("")]:
        assert blob is None or b"secret" not in blob.data


async def test_only_the_revision_that_was_seen_is_deleted(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    with pytest.raises(ConversationConflict):
        await ours.delete_record("17", expected_revision="other")
    await ours.save(conversation("17", "a"))
    with pytest.raises(ConversationConflict):
        await ours.delete_record("17", expected_revision="other")
    assert texts(await ours.load("17")) == ["a"]


async def test_conversations_are_listed_newest_first(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    for number in range(5):
        await ours.save(conversation(str(number), "a"), scope="even" if number % 2 == 0 else "odd")
    loaded = await ours.load("0")
    assert loaded is not None
    await ours.save(loaded)

    async def ids(**wanted: Any) -> str:
        return "".join([each.conversation_id for each in await ours.list_conversations(**wanted)])

    assert await ids() == "04321"
    assert await ids(limit=2) == "04"
    assert await ids(scope="even", limit=2) == "04"
    assert await ids(scope="odd", limit=9) == "31"
    assert await ids(limit=0) == ""
    assert await ids(scope="none") == ""


async def test_they_go_by_the_time_that_their_records_say(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    now = datetime.now(UTC)
    for hours in (0, 2, 1, 3):
        record = ConversationRecord(
            conversation_id=str(hours), head_id=None, updated_at=now - timedelta(hours=hours)
        )
        await ours.write_record(record, expected_revision=None)
    for limit in (1, 2, 3, 4):
        records = await ours.list_conversations(limit=limit)
        assert [each.conversation_id for each in records] == ["0", "1", "2", "3"][:limit]


async def test_an_entry_is_kept_once_in_each_conversation(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    entries = await ours.save(conversation("17", "a", "b", "c"))
    loaded = await ours.load("17")
    assert loaded is not None
    await ours.branch("17", at=1, expected_revision=loaded.revision)
    await ours.fork("17", new_conversation_id="18")
    fork = await ours.read_record("18")
    assert fork is not None
    changed = dataclasses.replace(fork, branches=[entries[2].id], revision="2")
    await ours.write_record(changed, expected_revision=fork.revision)
    assert len(await ours.read_history(entries[2].id)) == 3
    lengths = {each.name: each.length for each in Journals(store, "pydantic-ai").list()}
    assert lengths == {("17",): 3, ("18",): 3}


async def test_a_scope_keeps_a_conversation_to_its_owner(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    await ours.save(conversation("17", "a"), scope="ada")
    assert await ours.load("17", scope="bob") is None
    await ours.delete("17", scope="bob")
    with pytest.raises(ConversationConflict):
        await ours.save(conversation("17", "b"), scope="bob")
    assert texts(await ours.load("17", scope="ada")) == ["a"]


async def test_what_was_opened_by_its_url_is_closed(url: str) -> None:
    async with StatekeepConversationStore(url) as ours:
        await ours.save(conversation("17", "a"))
    with pytest.raises(ClosedError, match="StatekeepConversationStore"):
        await ours.load("17")


async def test_a_store_that_was_given_stays_open(store: StateStore) -> None:
    async with StatekeepConversationStore(store) as ours:
        await ours.save(conversation("17", "a"))
    assert texts(await StatekeepConversationStore(store).load("17")) == ["a"]


async def test_a_cancelled_save_has_its_outcome_before_the_caller_goes_on(
    store: StateStore,
) -> None:
    ours = StatekeepConversationStore(store)
    for number in range(20):
        task = asyncio.create_task(ours.save(conversation(str(number), "a")))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        before = await ours.read_record(str(number))
        await asyncio.sleep(0.001)
        assert await ours.read_record(str(number)) == before


async def test_a_lost_answer_saves_nothing_twice() -> None:
    with FaultyStore(open_store("memory:"), after=0.3, operations=["put", "append"]) as store:
        ours = StatekeepConversationStore(store)
        saved = conversation("17")
        for number in range(40):
            saved.messages.append(said(str(number)))
            await ours.save(saved)
        assert store.faults
        assert texts(await ours.load("17")) == [str(number) for number in range(40)]
        assert Journals(store, "pydantic-ai").list().summaries[0].length == 40


names = st.sampled_from("xyz")
scopes = st.sampled_from([None, "ada", "bob"])
places = st.integers(0, 4)
steps = st.one_of(
    st.tuples(st.just("new"), names, st.lists(st.sampled_from("ab"), max_size=3), scopes),
    st.tuples(st.just("load"), names, st.none() | places, scopes),
    st.tuples(st.just("say"), names, st.sampled_from("ab"), scopes),
    st.tuples(st.just("rewrite"), names, places, st.sampled_from("ab")),
    st.tuples(st.just("plain"), names),
    st.tuples(st.just("branch"), names, places),
    st.tuples(st.just("back"), names, places, places),
    st.tuples(st.just("fork"), names, names, st.none() | places),
    st.tuples(st.just("delete"), names, scopes),
    st.tuples(st.just("list"), scopes, st.none() | places),
)


class Actor:
    """Does steps on a store, and tells what came of them in words that know no ids of entries."""

    def __init__(self, store: ConversationStore) -> None:
        self.store = store
        self.held: dict[str, Conversation] = {}

    async def do(self, name: str, *arguments: Any) -> Any:
        try:
            return await getattr(self, name)(*arguments)
        except (UserError, KeyError) as error:
            return type(error)

    def hold(self, loaded: Conversation | None) -> Any:
        if loaded is None:
            return None
        self.held[loaded.conversation_id] = loaded
        return texts(loaded)

    async def new(self, name: str, words: list[str], scope: str | None) -> Any:
        self.held[name] = made = conversation(name, *words)
        return [content_of(e.message) for e in await self.store.save(made, scope=scope)]

    async def load(self, name: str, limit: int | None, scope: str | None) -> Any:
        entries = await self.store.load_entries(name, limit=limit, scope=scope)
        loaded = self.hold(await self.store.load(name, limit=limit, scope=scope))
        assert loaded == (None if entries is None else [content_of(e.message) for e in entries])
        return loaded

    async def say(self, name: str, word: str, scope: str | None) -> Any:
        self.held[name].messages.append(said(word))
        saved = await self.store.save(self.held[name], scope=scope)
        return [content_of(entry.message) for entry in saved]

    async def rewrite(self, name: str, place: int, word: str) -> Any:
        held = self.held[name]
        held.messages[place % len(held.messages) if held.messages else 0 :] = [said(word)]
        return [content_of(entry.message) for entry in await self.store.save(held)]

    async def plain(self, name: str) -> Any:
        data = ConversationTypeAdapter.dump_json(self.held[name])
        return self.hold(ConversationTypeAdapter.validate_json(data))

    async def branch(self, name: str, place: int) -> Any:
        revision = self.held[name].revision
        return self.hold(await self.store.branch(name, at=place, expected_revision=revision))

    async def back(self, name: str, branch: int, place: int) -> Any:
        record = await self.store.read_record(name)
        if record is None or not record.branches:
            return None
        line = await self.store.read_history(record.branches[branch % len(record.branches)])
        entry = line[place % len(line)].id
        revision = self.held[name].revision
        return self.hold(
            await self.store.branch(name, from_entry=entry, expected_revision=revision)
        )

    async def fork(self, name: str, other: str, place: int | None) -> Any:
        return self.hold(await self.store.fork(name, at=place, new_conversation_id=other))

    async def delete(self, name: str, scope: str | None) -> Any:
        await self.store.delete(name, scope=scope)

    async def list(self, scope: str | None, limit: int | None) -> Any:
        return [
            (each.conversation_id, each.scope, each.forked_from, len(each.branches))
            for each in await self.store.list_conversations(scope=scope, limit=limit)
        ]


async def compare(history: list[Any]) -> None:
    with open_store("memory:") as store:
        ours, theirs = Actor(StatekeepConversationStore(store)), Actor(InMemoryConversationStore())
        for name, *arguments in history:
            expected = await theirs.do(name, *arguments)
            assert await ours.do(name, *arguments) == expected, (name, *arguments)
        for each in "xyz":
            assert await ours.do("load", each, None, None) == await theirs.do(
                "load", each, None, None
            )
        cold = Actor(StatekeepConversationStore(store))
        for record in await theirs.store.list_conversations():
            kept = await ours.store.read_record(record.conversation_id)
            assert kept is not None
            assert len(kept.branches) == len(record.branches)
            for one, other in zip(kept.branches, record.branches, strict=True):
                line = [content_of(e.message) for e in await cold.store.read_history(one)]
                assert line == [
                    content_of(e.message) for e in await theirs.store.read_history(other)
                ]


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=30))
async def test_it_does_what_the_store_in_memory_does(history: list[Any]) -> None:
    await compare(history)


@pytest.mark.rest
def test_it_does_so_for_thousands_of_steps(rounds: Callable[[int], int]) -> None:
    @settings(max_examples=rounds(5_000), deadline=None, database=None)
    @given(st.lists(steps, min_size=20, max_size=80))
    def run(history: list[Any]) -> None:
        asyncio.run(compare(history))

    run()


async def test_what_is_given_and_returned_is_nobody_elses(store: StateStore) -> None:
    ours = StatekeepConversationStore(store)
    given_ = conversation("17", "a")
    await ours.save(given_)
    given_.messages.append(said("b"))
    given_.usage.requests = 7
    record = await ours.read_record("17")
    assert record is not None
    record.branches.append("x")
    read = await ours.read_record("17")
    assert read is not None
    assert (read.branches, read.usage.requests) == ([], 0)
    assert read == dataclasses.replace(record, branches=[])
    assert isinstance((await ours.read_entry(str(read.head_id))).message, ModelRequest)
