"""Sessions and storage of Strands Agents, kept by statekeep: as with files, and nothing lost."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from adapters.strands_workers import count
from hypothesis import given, settings
from hypothesis import strategies as st
from strands import Agent
from strands.models.model import Model
from strands.session import FileSessionManager, RepositorySessionManager, SnapshotSessionManager
from strands.storage import LocalFileStorage, Storage
from strands.types.exceptions import SessionException, StorageError
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType
from support import at_once

from statekeep import (
    ConflictError,
    InvalidDocumentError,
    Journals,
    OwnershipError,
    open_store,
)
from statekeep.errors import ClosedError
from statekeep.testing.faults import FaultyStore
from statekeep_adapters.strands import StatekeepSessionRepository, StatekeepStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from strands.types.content import Message

    from statekeep import StateStore

pytestmark = pytest.mark.anyio


class Parrot(Model):
    """Says what it was told last."""

    def update_config(self, **_: Any) -> None:
        pass

    def get_config(self) -> Any:
        return {}

    def structured_output(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream(self, messages: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        text = messages[-1]["content"][0]["text"]
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": text}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def said(text: str, role: Any = "user") -> Message:
    return {"role": role, "content": [{"text": text}]}


def message(text: str, number: int, **fields: Any) -> SessionMessage:
    return SessionMessage(said(text), number, **fields)


def agent(name: str, **state: Any) -> SessionAgent:
    return SessionAgent(name, state=state, conversation_manager_state={})


def texts(messages: list[Any]) -> list[str]:
    return [each["content"][0]["text"] for each in messages]


def kept(repository: Any, name: str = "17", agent_id: str = "a", **page: Any) -> list[str]:
    return texts([each.to_message() for each in repository.list_messages(name, agent_id, **page)])


def begun(store: Any, **options: Any) -> StatekeepSessionRepository:
    repository = StatekeepSessionRepository(store, **options)
    repository.create_session(Session("17", SessionType.AGENT))
    repository.create_agent("17", agent("a"))
    return repository


def resumed(store: StateStore, name: str = "17", **options: Any) -> Agent:
    repository = StatekeepSessionRepository(store, **options)
    manager = RepositorySessionManager(name, session_repository=repository)
    return Agent(model=Parrot(), agent_id="a", session_manager=manager, callback_handler=None)


def assert_gone(store: StateStore, secret: bytes) -> None:
    for blob in [store.get(info.key) for info in store.scan("")]:
        assert blob is None or secret not in blob.data


def test_an_agent_goes_on_where_another_process_stopped(store: StateStore) -> None:
    first = resumed(store, user_id="ada")
    first("Hello\nworld")
    first.state.set("mood", "good")
    first("Go on")
    second = resumed(store, user_id="ada")
    assert second.messages == first.messages
    assert second.state.get("mood") == "good"
    second("And on")
    assert texts(list(resumed(store).messages))[::2] == ["Hello\nworld", "Go on", "And on"]
    [summary] = Journals(store, "strands").list()
    assert (summary.user_id, summary.length, summary.title) == ("ada", 6, "Hello world")


def test_a_turn_takes_few_requests() -> None:
    with FaultyStore(open_store("memory:"), slow=1.0, delay=0.0) as store:
        first = resumed(store)
        calls(store)
        first("a")
        assert calls(store) == ["append"] * 3  # both messages, and that the agent was changed
        second = resumed(store)
        assert calls(store) == ["get"] * 3
        second("b")
        assert calls(store) == ["append"] * 3


def calls(store: FaultyStore) -> list[str]:
    found: list[str] = [fault.operation for fault in store.faults]
    store.faults.clear()
    return found


def test_what_is_there_is_not_created(store: StateStore) -> None:
    repository = begun(store)
    repository.create_message("17", "a", message("x", 0))
    graph: Any = SimpleNamespace(id="g", serialize_state=lambda: {"n": 1})
    repository.create_multi_agent("17", graph)
    for create in (
        lambda: repository.create_session(Session("17", SessionType.AGENT)),
        lambda: repository.create_agent("17", agent("a", n=1)),
        lambda: repository.create_multi_agent("17", graph),
    ):
        with pytest.raises(SessionException, match="17 already exists"):
            create()
    read = repository.read_agent("17", "a")
    assert read is not None
    assert read.state == {}
    assert kept(repository) == ["x"]


def test_what_is_not_there_is_neither_updated_nor_added_to(store: StateStore) -> None:
    repository = StatekeepSessionRepository(store)
    graph: Any = SimpleNamespace(id="g", serialize_state=dict)
    for call in (
        lambda: repository.create_agent("17", agent("a")),
        lambda: repository.update_agent("17", agent("a")),
        lambda: repository.create_message("17", "a", message("x", 0)),
        lambda: repository.update_message("17", "a", message("x", 0)),
        lambda: repository.list_messages("17", "a"),
        lambda: repository.create_multi_agent("17", graph),
        lambda: repository.update_multi_agent("17", graph),
        lambda: repository.delete_session("17"),
    ):
        with pytest.raises(SessionException, match="does not exist"):
            call()
    assert repository.read_session("17") is None
    assert repository.read_agent("17", "a") is None
    assert repository.read_message("17", "a", 0) is None
    assert repository.read_multi_agent("17", "g") is None
    assert Journals(store, "strands").list().summaries == ()


def test_updates_keep_when_it_was_created(store: StateStore) -> None:
    repository = begun(store)
    created = repository.read_agent("17", "a")
    assert created is not None
    changed = agent("a", mood="good")
    changed.created_at = "later"
    repository.update_agent("17", changed)
    assert changed.created_at == created.created_at
    assert repository.read_agent("17", "a") == changed
    first = message("x", 0)
    repository.create_message("17", "a", first)
    second = message("y", 0, created_at="later")
    repository.update_message("17", "a", second)
    assert second.created_at == first.created_at
    assert repository.read_message("17", "a", 0) == second


@pytest.mark.parametrize("after", [0, 5])
def test_of_what_is_redacted_nothing_stays(store: StateStore, after: int) -> None:
    repository = begun(store)
    secret = message(f"secret {'x' * 70_000}", 0)
    repository.create_message("17", "a", secret)
    for number in range(after):
        repository.create_message("17", "a", message("y" * 20_000, number + 1))
    secret.redact_message = said("[removed]")
    repository.update_message("17", "a", secret)
    assert kept(repository)[0] == "[removed]"
    assert_gone(store, b"secret")
    [summary] = Journals(store, "strands").list()
    assert summary.title == "[removed]"


def test_a_session_whose_prompt_was_redacted_to_nothing_is_named_by_the_next(
    store: StateStore,
) -> None:
    repository = begun(store)
    first = message("secret", 0)
    repository.create_message("17", "a", first)
    first.redact_message = {"role": "user", "content": []}
    repository.update_message("17", "a", first)
    assert_gone(store, b"secret")
    repository.create_message("17", "a", message("Hello", 1))
    [summary] = Journals(store, "strands").list()
    assert summary.title == "Hello"


def test_what_an_agent_redacts_is_rewritten(store: StateStore) -> None:
    first = resumed(store)
    first("a secret")
    manager = first._session_manager
    assert manager is not None
    manager.redact_latest_message(said("[removed]", "assistant"), first)
    assert texts(list(resumed(store).messages)) == ["a secret", "[removed]"]


def test_of_two_managers_that_number_alike_nothing_is_lost(store: StateStore) -> None:
    one, other = resumed(store), resumed(store)
    for number in range(3):
        one(f"one {number}")
        other(f"other {number}")
    assert len(resumed(store).messages) == 12
    manager = other._session_manager
    assert manager is not None
    manager.redact_latest_message(said("[removed]", "assistant"), other)
    found = texts(list(resumed(store).messages))
    assert found.count("[removed]") == 1
    assert found.count("one 2") == 2
    assert found.count("other 2") == 1
    ids = [each.message_id for each in StatekeepSessionRepository(store).list_messages("17", "a")]
    assert ids == list(range(12))


def test_where_the_files_of_the_framework_keep_25_of_50_all_are_kept(
    store: StateStore, tmp_path: Path
) -> None:
    files = [FileSessionManager("17", storage_dir=str(tmp_path)) for _ in range(2)]
    files[0].create_agent("17", agent("a"))
    ours = begun(store)
    for number in range(25):
        for who, theirs in zip(("one", "other"), files, strict=True):
            theirs.create_message("17", "a", message(f"{who} {number}", number))
            ours.create_message("17", "a", message(f"{who} {number}", number))
    assert len(kept(files[0])) == 25
    assert len({*kept(ours)}) == 50


def test_a_message_is_found_by_its_index_wherever_it_is(store: StateStore) -> None:
    repository = begun(store)
    for number in (7, 9):
        repository.create_message("17", "a", message(str(number), number))
    for number in (7, 9):
        found = repository.read_message("17", "a", number)
        assert found is not None
        assert texts([found.to_message()]) == [str(number)]
    for number in (-1, 0, 1, 8):
        assert repository.read_message("17", "a", number) is None


def test_agents_of_one_session_have_their_own_messages(store: StateStore) -> None:
    repository = begun(store)
    repository.create_agent("17", agent("b/c"))
    for number in range(100):
        name = "b/c" if number % 3 == 0 else "a"
        repository.create_message("17", name, message(f"{name} {number}", number))
    assert kept(repository, agent_id="b/c", limit=2, offset=1) == ["b/c 3", "b/c 6"]
    assert len(kept(repository)) == 66
    assert repository.read_message("17", "a", 3) is None
    assert texts([repository.read_message("17", "b/c", 3).to_message()]) == ["b/c 3"]  # type: ignore[union-attr]
    repository.create_agent("17", agent("late"))
    repository.create_message("17", "late", message("x", 0))
    repository.update_message("17", "a", message("y", 1))
    assert kept(repository, limit=1) == ["y"]
    assert kept(repository, agent_id="late") == ["x"]


def test_the_state_of_several_agents_comes_back(store: StateStore) -> None:
    repository = begun(store)
    states: list[Any] = [
        {"task": "draw", "image": b"\xff\x00"},
        {"task": "paint", "done": [1, 2.5]},
    ]
    for number, state in enumerate(states):
        graph: Any = SimpleNamespace(id="g", serialize_state=lambda state=state: state)
        (repository.update_multi_agent if number else repository.create_multi_agent)("17", graph)
        assert StatekeepSessionRepository(store).read_multi_agent("17", "g") == state


def test_bytes_in_messages_survive(store: StateStore) -> None:
    repository = begun(store)
    content: Any = [{"image": {"format": "png", "source": {"bytes": b"\x89PNG\xff"}}}]
    picture = SessionMessage({"role": "user", "content": content}, 0)
    repository.create_message("17", "a", picture)
    assert repository.list_messages("17", "a") == [picture]


def test_what_json_cannot_hold_is_refused(store: StateStore) -> None:
    repository = begun(store)
    for state in ({"n": {1}}, {"n": object()}, {"n": "x" * 2**21}):
        with pytest.raises(InvalidDocumentError):
            repository.update_agent("17", agent("a", **state))
    read = repository.read_agent("17", "a")
    assert read is not None
    assert read.state == {}


def test_a_deleted_session_is_gone_and_can_begin_anew(store: StateStore) -> None:
    repository = begun(store)
    repository.create_message("17", "a", message(f"secret {'x' * 70_000}", 0))
    other = StatekeepSessionRepository(store)
    other.delete_session("17")
    assert_gone(store, b"secret")
    assert repository.read_session("17") is None
    with pytest.raises(SessionException):
        repository.create_message("17", "a", message("y", 1))
    repository.create_session(Session("17", SessionType.AGENT))
    assert repository.read_agent("17", "a") is None


@pytest.mark.parametrize("name", ["", "../../x", "a/b", "a\\b", "😀", ".", "x" * 800])
def test_any_text_is_an_id(store: StateStore, name: str) -> None:
    repository = StatekeepSessionRepository(store)
    repository.create_session(Session(name, SessionType.AGENT))
    repository.create_session(Session(f"{name}y", SessionType.AGENT))
    for agent_id in (name, f"{name}y"):
        repository.create_agent(name, agent(agent_id))
        repository.create_message(name, agent_id, message(f"of {agent_id}", 0))
    assert kept(repository, name, name) == [f"of {name}"]
    assert repository.read_agent(f"{name}y", name) is None
    repository.delete_session(name)
    assert repository.read_session(name) is None
    assert repository.read_session(f"{name}y") is not None


def test_the_session_of_another_user_is_refused(store: StateStore) -> None:
    begun(store, user_id="ada")
    bob = StatekeepSessionRepository(store, user_id="bob")
    graph: Any = SimpleNamespace(id="g", serialize_state=dict)
    for call in (
        lambda: bob.create_session(Session("17", SessionType.AGENT)),
        lambda: bob.read_session("17"),
        lambda: bob.delete_session("17"),
        lambda: bob.read_agent("17", "a"),
        lambda: bob.update_agent("17", agent("a")),
        lambda: bob.create_message("17", "a", message("x", 0)),
        lambda: bob.read_message("17", "a", 0),
        lambda: bob.update_message("17", "a", message("x", 0)),
        lambda: bob.list_messages("17", "a"),
        lambda: bob.read_multi_agent("17", "g"),
        lambda: bob.update_multi_agent("17", graph),
    ):
        with pytest.raises(OwnershipError, match="'bob'"):
            call()


def test_what_was_opened_by_its_url_is_closed(url: str) -> None:
    with begun(url) as repository:
        assert kept(repository) == []
    with pytest.raises(ClosedError):
        repository.read_session("17")
    with pytest.raises(ClosedError):
        repository.create_message("17", "a", message("x", 0))


def test_a_store_that_was_given_stays_open(store: StateStore) -> None:
    with begun(store):
        pass
    assert kept(StatekeepSessionRepository(store)) == []


def test_a_lost_answer_adds_nothing_twice() -> None:
    with FaultyStore(open_store("memory:"), after=0.3, operations=["append"]) as store:
        repository = begun(store)
        for number in range(40):
            repository.create_message("17", "a", message(str(number), number))
        assert store.faults
        assert kept(repository) == [str(number) for number in range(40)]


sessions = st.sampled_from(["s", "t"])
agents = st.sampled_from(["a", "b"])
places = st.integers(0, 3)
words = st.text("xyz", max_size=2)
steps = st.one_of(
    st.tuples(st.just("create_session"), sessions),
    st.tuples(st.just("delete_session"), sessions),
    st.tuples(st.just("create_agent"), sessions, agents, words),
    st.tuples(st.just("update_agent"), sessions, agents, words),
    st.tuples(st.just("create_message"), sessions, agents, words, places),
    st.tuples(st.just("update_message"), sessions, agents, words, places, st.booleans()),
    st.tuples(st.just("read"), sessions, agents, places),
    st.tuples(st.just("list"), sessions, agents, st.none() | places, places),
)


class Both:
    """Does the same on both repositories; each difference is on purpose, and explained here."""

    def __init__(self, store: StateStore, folder: str) -> None:
        self.ours = StatekeepSessionRepository(store)
        self.theirs = FileSessionManager("first", storage_dir=folder)

    def do(self, call: Callable[[Any], Any]) -> Any:
        found = []
        for repository in (self.theirs, self.ours):
            try:
                found.append(call(repository))
            except SessionException as error:
                found.append(type(error))
        assert found[0] == found[1]
        return found[0]

    def create_session(self, name: str) -> None:
        session = Session(name, SessionType.AGENT)
        self.do(lambda each: each.create_session(session))

    def delete_session(self, name: str) -> None:
        self.do(lambda each: each.delete_session(name))

    def create_agent(self, name: str, agent_id: str, word: str) -> None:
        if self.theirs.read_session(name) is None or self.theirs.read_agent(name, agent_id):
            with pytest.raises(SessionException):  # files make it, or put it in another's place
                self.ours.create_agent(name, agent(agent_id, word=word))
        else:
            made = agent(agent_id, word=word)
            self.do(lambda each: each.create_agent(name, made))

    def update_agent(self, name: str, agent_id: str, word: str) -> None:
        changed = agent(agent_id, word=word)
        self.do(lambda each: each.update_agent(name, deepcopy(changed)))

    def create_message(self, name: str, agent_id: str, word: str, place: int) -> None:
        if self.theirs.read_agent(name, agent_id) is None:
            with pytest.raises(SessionException):  # files keep it where no session names it
                self.ours.create_message(name, agent_id, message(word, place))
            return
        there = self.theirs.list_messages(name, agent_id)
        free = there[-1].message_id + 1 if there else 0
        if place % 2:  # with a gap
            free += place
        made = message(word, 0 if there and place == 0 else free)
        self.ours.create_message(name, agent_id, made)  # an index that is taken is made the next
        assert made.message_id == free
        self.theirs.create_message(name, agent_id, made)

    def update_message(
        self,
        name: str,
        agent_id: str,
        word: str,
        place: int,
        redacted: bool,
    ) -> None:
        changed = message(word, place)
        if redacted:
            changed.redact_message = changed.message = said("-")  # files keep what was redacted
        self.do(lambda each: each.update_message(name, agent_id, deepcopy(changed)))

    def read(self, name: str, agent_id: str, place: int) -> None:
        self.do(lambda each: each.read_session(name))
        self.do(lambda each: each.read_agent(name, agent_id))
        self.do(lambda each: each.read_message(name, agent_id, place))

    def list(self, name: str, agent_id: str, limit: int | None, offset: int) -> None:
        if self.theirs.read_agent(name, agent_id) is None:
            return
        self.do(lambda each: each.list_messages(name, agent_id, limit, offset))


def compare_sessions(history: list[Any]) -> None:
    with open_store("memory:") as store, TemporaryDirectory() as folder:
        both = Both(store, folder)
        for name, *arguments in history:
            getattr(both, name)(*arguments)
        for name in "st":
            for agent_id in "ab":
                both.read(name, agent_id, 0)
                both.list(name, agent_id, None, 0)


BEGUN = [("create_session", "s"), ("create_agent", "s", "a", "x")]


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=30))
def test_it_does_what_the_files_of_the_framework_do(history: list[Any]) -> None:
    compare_sessions(BEGUN + history)


@pytest.mark.rest
def test_it_does_so_for_thousands_of_steps(rounds: Callable[[int], int]) -> None:
    @settings(max_examples=rounds(5_000), deadline=None, database=None)
    @given(st.lists(steps, min_size=20, max_size=80))
    def run(history: list[Any]) -> None:
        compare_sessions(BEGUN + history)

    run()


# Storage


def kept_in(store: StateStore) -> Agent:
    manager = SnapshotSessionManager("17", storage=StatekeepStorage(store, user_id="ada"))
    return Agent(model=Parrot(), agent_id="a", session_manager=manager, callback_handler=None)


async def test_a_snapshot_goes_on_where_another_process_stopped(store: StateStore) -> None:
    first = kept_in(store)
    await first.invoke_async("Hello")
    second = kept_in(store)
    await second.invoke_async("Go on")
    assert texts(list(second.messages)) == ["Hello", "Hello", "Go on", "Go on"]
    [summary] = Journals(store, "strands-storage").list()
    assert summary.user_id == "ada"
    manager = second._session_manager
    assert isinstance(manager, SnapshotSessionManager)
    await manager.delete_session()
    assert await StatekeepStorage(store).list() == []


async def test_a_snapshot_of_a_state_that_is_no_more_is_refused(store: StateStore) -> None:
    one, other = kept_in(store), kept_in(store)
    await one.invoke_async("one")
    with pytest.raises(StorageError, match="changed since") as refused:
        await other.invoke_async("other")
    assert isinstance(refused.value.__cause__, ConflictError)
    assert texts(list(kept_in(store).messages)) == ["one", "one"]


async def test_a_lost_update_is_refused_until_it_is_read_again(store: StateStore) -> None:
    one, other = StatekeepStorage(store), StatekeepStorage(store)
    assert isinstance(one, Storage)
    await one.write("k", b"1")
    assert await other.read("k") == b"1"
    await one.write("k", b"2")
    for _ in range(2):
        with pytest.raises(StorageError):
            await other.write("k", b"3")
    assert await other.read("k") == b"2"
    await other.write("k", b"3")
    assert await StatekeepStorage(store).read("k") == b"3"
    await other.delete("k")
    with pytest.raises(StorageError):
        await one.write("k", b"4")
    assert await one.read("k") is None
    await other.write("k", b"5")
    with pytest.raises(StorageError):
        await one.write("k", b"6")  # which was not there when it was read
    await StatekeepStorage(store).write("k", b"7")  # of what was never read nothing is known


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\x00", "ü😀\0".encode(), b"\xff" * 3_000_000, "ü".encode() * 1_500_000],
    ids=["empty", "bytes", "text", "many bytes", "much text"],
)
async def test_bytes_come_back_as_they_were(store: StateStore, data: bytes) -> None:
    await StatekeepStorage(store).write("k", data)
    assert await StatekeepStorage(store).read("k") == data
    assert await StatekeepStorage(store).list() == ["k"]


async def test_of_what_is_overwritten_or_deleted_nothing_stays(store: StateStore) -> None:
    storage = StatekeepStorage(store)
    await storage.write("k", b"secret" * 20_000)
    await storage.write("k", b"other" * 20_000)
    assert_gone(store, b"secret")
    await storage.delete("k")
    assert_gone(store, b"other")
    await storage.delete("k")
    assert await storage.read("k") is None
    assert Journals(store, "strands-storage").list().summaries == ()


async def test_what_was_deleted_in_part_is_not_there() -> None:
    with FaultyStore(open_store("memory:"), before=1.0, operations=["delete"]) as store:
        storage = StatekeepStorage(store)
        await storage.write("k", b"1")
        with pytest.raises(StorageError):
            await storage.delete("k")
        assert await StatekeepStorage(store).list() == []
        assert await storage.read("k") is None
        await storage.write("k", b"2")
        assert await storage.list() == ["k"]


@pytest.mark.parametrize("key", ["../../x", "a\\b", "😀", ".", "x" * 800, "a/b/c/d/e/f/g/h"])
async def test_any_text_is_a_key(store: StateStore, key: str) -> None:
    storage = StatekeepStorage(store)
    await storage.write(key, b"1")
    await storage.write(f"{key}y", b"2")
    assert await storage.read(f"/{key}/") == b"1"
    assert await storage.list(key) == sorted([key, f"{key}y"])
    await storage.delete(key)
    assert await storage.list() == [f"{key}y"]


async def test_an_error_is_one_of_the_framework(store: StateStore) -> None:
    ada, bob = StatekeepStorage(store, user_id="ada"), StatekeepStorage(store, user_id="bob")
    await ada.write("k", b"1")
    for call in (bob.read("k"), bob.write("k", b"2"), bob.delete("k")):
        with pytest.raises(StorageError, match="'bob'") as refused:
            await call
        assert isinstance(refused.value.__cause__, OwnershipError)
    assert await bob.list() == []
    for call in (ada.write("//", b""), ada.read(""), ada.write("\ud800", b"")):
        with pytest.raises(StorageError):
            await call


async def test_words_are_searched_for(store: StateStore) -> None:
    storage = StatekeepStorage(store)
    await storage.write("a", b"the weather in Paris")
    await storage.write("b", b"a parser")
    assert [found.key for found in await storage.search("Paris weather")] == ["a"]


async def test_a_storage_that_was_opened_by_its_url_is_closed(url: str) -> None:
    async with StatekeepStorage(url) as storage:
        await storage.write("k", b"1")
    with pytest.raises(StorageError, match="StatekeepStorage was closed"):
        await storage.read("k")


async def test_a_cancelled_write_has_its_outcome_before_the_caller_goes_on(
    store: StateStore,
) -> None:
    storage = StatekeepStorage(store)
    for number in range(20):
        task = asyncio.create_task(storage.write("k", b"%d" % number))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        before = await storage.read("k")
        await asyncio.sleep(0.001)
        assert await storage.read("k") == before


async def test_after_a_lost_answer_the_storage_goes_on() -> None:
    with FaultyStore(open_store("memory:"), after=0.3, operations=["put"]) as store:
        storage = StatekeepStorage(store)
        for number in range(40):
            await storage.write("k", b"%d" % number)
        assert store.faults
        assert await storage.read("k") == b"39"


@pytest.mark.rest
@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
def test_of_what_many_processes_count_nothing_is_lost(url: str) -> None:
    at_once(count, [(url, 20)] * 8, "adapters.speakers")

    async def read() -> bytes | None:
        async with StatekeepStorage(url) as storage:
            return await storage.read("count")

    assert asyncio.run(read()) == b"160"


keys = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=3).map("/".join)
changes = st.one_of(
    st.tuples(st.just("write"), keys, st.binary(max_size=3)),
    st.tuples(st.just("read"), keys),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("list"), keys),
)


async def compare_storages(history: list[Any]) -> None:
    with open_store("memory:") as store, TemporaryDirectory() as folder:
        ours, theirs = StatekeepStorage(store), LocalFileStorage(folder)
        for name, *arguments in history:
            try:
                expected = await getattr(theirs, name)(*arguments)
            except StorageError as error:
                if error.__cause__ is not None:
                    continue  # with files, a key cannot be another's folder
                with pytest.raises(StorageError):
                    await getattr(ours, name)(*arguments)
                continue
            assert await getattr(ours, name)(*arguments) == expected, (name, *arguments)
        assert await ours.list("") == await theirs.list("")


@settings(max_examples=60, deadline=None)
@given(st.lists(changes, max_size=30))
async def test_it_does_what_a_folder_of_the_framework_does(history: list[Any]) -> None:
    await compare_storages(history)
