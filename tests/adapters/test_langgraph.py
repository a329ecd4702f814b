"""Checkpoints of LangGraph, kept by statekeep: as LangGraph's own savers keep them, and bounded."""

from __future__ import annotations

import asyncio
import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from adapters.langgraph_workers import write
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from support import at_once

from statekeep import ConflictError, Journals, NotFoundError, OwnershipError, open_store
from statekeep.errors import ClosedError
from statekeep.store import StoreWrapper
from statekeep.testing.faults import FaultyStore
from statekeep_adapters.langgraph import StatekeepSaver, StatekeepStore, saver
from statekeep_plugins.layouts.langgraph import threads, values
from statekeep_plugins.layouts.langgraph.threads import refs_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from langchain_core.runnables import RunnableConfig

    from statekeep import StateStore

pytestmark = pytest.mark.anyio

HOSTILE = ["", "../..", "a/b\\c", "x" * 800, "ä☃\U0001f600", "%2F", ".", "a\nb"]


def config(thread: str = "t", ns: str = "", at: str | None = None) -> RunnableConfig:
    given = {"thread_id": thread, "checkpoint_ns": ns}
    return {"configurable": given if at is None else {**given, "checkpoint_id": at}}


def whole(thread: str) -> RunnableConfig:
    """A thread with all its namespaces."""
    return {"configurable": {"thread_id": thread}}


def put(
    to: BaseCheckpointSaver[Any],
    at: str,
    *,
    parent: str | None = None,
    thread: str = "t",
    ns: str = "",
    values: dict[str, Any] | None = None,
    **metadata: Any,
) -> RunnableConfig:
    values = values or {}
    versions = dict.fromkeys(values, f"{at}.0")
    checkpoint: Any = {
        "v": 4,
        "id": at,
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {},
        "updated_channels": None,
    }
    said: Any = {"source": "loop", "step": 0, "parents": {}, **metadata}
    return to.put(config(thread, ns, parent), checkpoint, said, {**versions})


def latest(of: BaseCheckpointSaver[Any], thread: str = "t", ns: str = "") -> CheckpointTuple:
    found = of.get_tuple(config(thread, ns))
    assert found is not None
    return found


def requests(counting: FaultyStore) -> list[str]:
    made: list[str] = [fault.operation for fault in counting.faults]
    counting.faults.clear()
    return made


async def test_it_passes_the_kit_for_authors_of_savers(url: str) -> None:
    @checkpointer_test(name="statekeep")
    async def make() -> AsyncIterator[StatekeepSaver]:
        async with StatekeepSaver(url) as opened:
            yield opened

    report = await validate(make)
    assert {name: result.failures for name, result in report.results.items()} == {
        name: [] for name in report.results
    }
    assert all(result.detected and result.tests_passed for result in report.results.values())
    assert len(report.results) == 8


class Chat(TypedDict):
    messages: Annotated[list[Any], add_messages]


def ask(_: Chat) -> dict[str, Any]:
    return {"messages": [AIMessage(f"You said {interrupt('What?')}")]}


def extend(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*state, *[each for written in writes for each in written]]


def build(checkpointer: StatekeepSaver, memory: StatekeepStore | None = None) -> Any:
    builder: Any = StateGraph(Chat)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile(checkpointer=checkpointer, store=memory)


class TestAGraph:
    def test_goes_on_after_an_interrupt_elsewhere(self, store: StateStore) -> None:
        began = build(StatekeepSaver(store, user_id="ada"))
        said = began.invoke({"messages": [HumanMessage("Hello  there")]}, config())
        assert said["__interrupt__"][0].value == "What?"
        goes_on = build(StatekeepSaver(store))
        done = goes_on.invoke(Command(resume="this"), config())
        assert [message.content for message in done["messages"]] == [
            "Hello  there",
            "You said this",
        ]
        assert len([*goes_on.get_state_history(config())]) == 3
        [summary] = Journals(store, "langgraph").list()
        assert (summary.name, summary.user_id, summary.title) == (("t",), "ada", "Hello there")
        assert summary.length >= 3

    async def test_runs_in_a_loop(self, store: StateStore) -> None:
        async with StatekeepSaver(store) as ours:
            graph = build(ours)
            await graph.ainvoke({"messages": [("user", "Hello")]}, config())
            done = await graph.ainvoke(Command(resume="this"), config())
            assert [message.content for message in done["messages"]] == ["Hello", "You said this"]
            assert len([each async for each in graph.aget_state_history(config())]) == 3

    def test_with_a_graph_inside_keeps_one_thread(self, store: StateStore) -> None:
        inner: Any = StateGraph(Chat)
        inner.add_node("ask", ask)
        inner.add_edge(START, "ask")
        outer: Any = StateGraph(Chat)
        outer.add_node("inner", inner.compile())
        outer.add_edge(START, "inner")
        graph: Any = outer.compile(checkpointer=StatekeepSaver(store))
        graph.invoke({"messages": [("user", "Hello")]}, config())
        done = graph.invoke(Command(resume="this"), config())
        assert done["messages"][-1].content == "You said this"
        assert [each.name for each in Journals(store, "langgraph").list()] == [("t",)]
        found = {
            each.config["configurable"]["checkpoint_ns"]
            for each in graph.checkpointer.list({"configurable": {"thread_id": "t"}})
        }
        assert len(found) == 2


class Log(TypedDict):
    said: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=3)]


class TestDeltaChannels:
    @pytest.mark.parametrize("durability", ["sync", "async", "exit"])
    def test_go_on_after_a_prune(self, store: StateStore, durability: str) -> None:
        builder: Any = StateGraph(Log)
        for name in ("one", "two"):
            builder.add_node(name, lambda state: {"said": [f"answer {len(state['said'])}"]})
        builder.add_edge(START, "one")
        builder.add_edge("one", "two")
        theirs = builder.compile(checkpointer=InMemorySaver())
        for turn in range(9):
            ours = builder.compile(checkpointer=StatekeepSaver(store))
            assert ours.get_state(config()).values == theirs.get_state(config()).values
            said, expected = [
                graph.invoke({"said": [f"turn {turn}"]}, config(), durability=durability)
                for graph in (ours, theirs)
            ]
            assert said == expected
            assert len(said["said"]) == 3 * (turn + 1)
            if turn % 2:
                ours.checkpointer.prune(["t"])
        assert len([*ours.checkpointer.list(config())]) < 10


class TestRequests:
    """What a turn costs on a store that cannot append, such as S3."""

    def test_of_a_thread_that_is_known_are_one_each(self) -> None:
        with open_store("memory:") as inside:
            counting = FaultyStore(inside, slow=1, delay=0)
            ours = StatekeepSaver(counting)
            stored = put(ours, "1", values={"x": 1})
            counting.faults.clear()
            ours.put_writes(stored, [("x", 2), ("y", 3)], "task")
            assert requests(counting) == ["append"]
            put(ours, "2", parent="1", values={"x": 2})
            assert requests(counting) == ["append"]
            latest(ours)
            assert requests(counting) == ["get"]
            assert ours.get_tuple(config(ns="node:unknown")) is None
            assert requests(counting) == ["get"]

    def test_of_what_is_large_are_one_more_when_it_is_new(self) -> None:
        with open_store("memory:") as inside:
            counting = FaultyStore(inside, slow=1, delay=0)
            ours = StatekeepSaver(counting)
            stored = put(ours, "1", values={"x": "x" * 10_000, "y": "y" * 10_000})
            assert requests(counting) == ["get", "put", "put", "put"]
            found = latest(ours)
            assert requests(counting) == ["get", "get", "get"]
            found.checkpoint["id"] = "2"
            found.checkpoint["channel_values"]["y"] = "z" * 10_000
            found.checkpoint["channel_versions"]["y"] = "2.0"
            ours.put(stored, found.checkpoint, {}, {"y": "2.0"})
            assert requests(counting) == ["put", "append"]
            values = latest(ours).checkpoint["channel_values"]
            assert values == {"x": "x" * 10_000, "y": "z" * 10_000}

    def test_to_resume_are_as_few_however_long_the_thread_is(self, store: StateStore) -> None:
        counting = FaultyStore(store, slow=1, delay=0)
        ours, parent = StatekeepSaver(store), None
        for number in range(150):
            stored = put(ours, f"{number:04}", parent=parent, values={"x": "x" * 5000})
            ours.put_writes(stored, [("x", number)], "task")
            ours.put_writes(config(ns=f"node:{number}", at=f"{number:04}"), [("x", 1)], "task")
            parent = f"{number:04}"
        again = StatekeepSaver(counting)
        found = latest(again)
        assert requests(counting) == ["get"]
        assert found.checkpoint["id"] == "0149"
        assert found.pending_writes == [("task", "x", 149)]
        near = again.get_tuple(config(at="0145"))
        assert near is not None
        assert near.pending_writes == [("task", "x", 145)]
        assert len(requests(counting)) <= 8

    def test_of_delta_channels_go_back_to_their_last_value(self, store: StateStore) -> None:
        ours, parent = StatekeepSaver(store), None
        for number in range(120):
            values = {"d": ["seed"]} if number == 110 else {}
            stored = put(ours, f"{number:04}", parent=parent, values={"x": "x" * 5000, **values})
            ours.put_writes(stored, [("d", number)], "task")
            parent = f"{number:04}"
        counting = FaultyStore(store, slow=1, delay=0)
        history = StatekeepSaver(counting).get_delta_channel_history(
            config=config(), channels=["d"]
        )
        assert history["d"]["seed"] == ["seed"]
        assert [value for _, _, value in history["d"]["writes"]] == [*range(110, 119)]
        assert len(requests(counting)) <= 8


class TestPutting:
    def test_the_latest_is_the_greatest_id_and_not_the_last_written(
        self, store: StateStore
    ) -> None:
        ours = StatekeepSaver(store)
        put(ours, "2", values={"x": "late"})
        put(ours, "1", values={"x": "early"})
        for each in (ours, StatekeepSaver(store)):
            assert latest(each).checkpoint["channel_values"] == {"x": "late"}
            early = each.get_tuple(config(at="1"))
            assert early is not None
            assert early.checkpoint["channel_values"] == {"x": "early"}

    def test_writes_may_come_before_their_checkpoint(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        put(ours, "1")
        ours.put_writes(config(at="3"), [("x", 3)], "task")
        put(ours, "2", parent="1")
        ours.put_writes(config(at="3"), [("y", 4)], "other")
        assert latest(ours).pending_writes == []
        put(ours, "3", parent="2")
        assert latest(ours).pending_writes == [("other", "y", 4), ("task", "x", 3)]
        assert latest(StatekeepSaver(store)).pending_writes == latest(ours).pending_writes
        head = Journals(store, "langgraph").open("t").head()
        assert head
        assert "early" not in head.metadata

    def test_of_writes_the_first_counts_and_special_ones_replace(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        stored = put(ours, "1")
        for value in ("a", "b"):
            ours.put_writes(stored, [("x", value), (ERROR, value), (INTERRUPT, value)], "task")
        written = [(INTERRUPT, "b"), (ERROR, "b"), ("x", "a")]
        assert [(name, value) for _, name, value in latest(ours).pending_writes or ()] == written

    def test_a_checkpoint_that_is_put_again_is_replaced(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        stored = put(ours, "1", values={"x": 1})
        ours.put_writes(stored, [("x", 5)], "task")
        put(ours, "1", values={"x": 2})
        assert latest(ours).checkpoint["channel_values"] == {"x": 2}
        assert latest(ours).pending_writes == [("task", "x", 5)]
        assert len([*ours.list(config())]) == 1

    def test_another_version_of_a_large_value_is_another_value(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        for at, text in ("1", "a"), ("2", "b"), ("3", "a"):
            put(ours, at, parent=str(int(at) - 1), values={"x": text * 10_000})
        for at, text in ("1", "a"), ("2", "b"), ("3", "a"):
            found = ours.get_tuple(config(at=at))
            assert found is not None
            assert found.checkpoint["channel_values"] == {"x": text * 10_000}

    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_ids_are_any_text(self, store: StateStore, hostile: str) -> None:
        ours = StatekeepSaver(store)
        stored = put(ours, hostile or "1", thread=hostile, ns=hostile, values={hostile: 1})
        ours.put_writes(stored, [(hostile, 2)], hostile, hostile)
        found = latest(ours, hostile, hostile)
        assert found.checkpoint["channel_values"] == {hostile: 1}
        assert found.pending_writes == [(hostile, hostile, 2)]
        assert found.config == config(hostile, hostile, hostile or "1")
        other = ours.get_tuple(config(hostile, "another"))
        assert other is None
        ours.delete_thread(hostile)
        assert [*ours.list(None)] == []

    def test_starts_anew_after_the_journal_was_deleted(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        put(ours, "1")
        Journals(store, "langgraph").open("t").delete()
        put(ours, "2", parent="1")
        assert [each.checkpoint["id"] for each in ours.list(config())] == ["2"]


class TestSafety:
    def test_of_another_user_everything_is_refused(self, store: StateStore) -> None:
        stored = put(StatekeepSaver(store, user_id="ada"), "1", run_id="run")
        bob = StatekeepSaver(store, user_id="bob")
        calls: list[Callable[[], object]] = [
            lambda: bob.get_tuple(config()),
            lambda: [*bob.list(config())],
            lambda: put(bob, "2"),
            lambda: bob.put_writes(stored, [("x", 1)], "task"),
            lambda: bob.delete_thread("t"),
            lambda: bob.copy_thread("t", "u"),
            lambda: bob.prune(["t"]),
            lambda: bob.get_delta_channel_history(config=config(), channels=["x"]),
        ]
        for call in calls:
            with pytest.raises(OwnershipError, match="'bob'"):
                call()
        assert [*bob.list(None)] == []
        bob.delete_for_runs(["run"])
        assert latest(StatekeepSaver(store, user_id="ada")).checkpoint["id"] == "1"

    def test_nothing_is_unpickled_unless_the_serializer_allows_it(self, store: StateStore) -> None:
        class Evil:
            def __reduce__(self) -> Any:
                return print, ("unpickled",)

        pickling = StatekeepSaver(store, serde=JsonPlusSerializer(pickle_fallback=True))
        put(pickling, "1", values={"x": Evil()})
        with pytest.raises(NotImplementedError, match="pickle"):
            StatekeepSaver(store).get_tuple(config())

    def test_a_clone_with_an_allow_list_shares_the_threads(self, store: StateStore) -> None:
        ours = StatekeepSaver(store, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        clone = ours.with_allowlist([("decimal", "Decimal")])
        assert clone is not ours
        put(clone, "1", values={"x": 1})
        assert latest(ours).checkpoint["channel_values"] == {"x": 1}

    async def test_what_was_opened_by_its_url_is_closed(self, url: str) -> None:
        async with StatekeepSaver(url) as ours:
            put(ours, "1")
        with pytest.raises(ClosedError, match="StatekeepSaver"):
            await ours.aget_tuple(config())
        with pytest.raises(ClosedError):
            ours.get_tuple(config())
        await ours.aclose()

    async def test_a_store_that_was_given_stays_open(self, store: StateStore) -> None:
        with StatekeepSaver(store) as ours:
            put(ours, "1")
        assert latest(StatekeepSaver(store)).checkpoint["id"] == "1"

    async def test_a_cancelled_call_has_its_outcome_before_the_caller_goes_on(
        self, store: StateStore
    ) -> None:
        ours = StatekeepSaver(store)
        stored = put(ours, "1")
        for number in range(20):
            task = asyncio.create_task(ours.aput_writes(stored, [("x", 1)], str(number)))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            before = latest(ours).pending_writes
            await asyncio.sleep(0.001)
            assert latest(ours).pending_writes == before

    def test_a_lost_answer_loses_and_repeats_nothing(self, store: StateStore) -> None:
        faulty = FaultyStore(store, seed=3, after=0.3, operations=["put", "append"])
        ours = StatekeepSaver(faulty)
        put(StatekeepSaver(store), "0000")
        for number in range(1, 40):
            stored = put(ours, f"{number:04}", values={"x": "x" * 9000})
            ours.put_writes(stored, [("x", number)], "task")
        assert faulty.faults
        journal = Journals(store, "langgraph").open("t")
        assert len(journal.read() or ()) == 79
        assert [each.pending_writes for each in ours.list(config(), limit=39)] == [
            [("task", "x", number)] for number in range(39, 0, -1)
        ]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite",
        pytest.param("file", marks=pytest.mark.rest),
        pytest.param("postgres", marks=pytest.mark.rest),
    ],
    indirect=True,
)
@pytest.mark.parametrize("workers", [2, pytest.param(8, marks=pytest.mark.rest)])
def test_processes_at_once_lose_nothing(url: str, workers: int) -> None:
    times = 10
    with StatekeepSaver(url) as ours, StatekeepStore(url) as memory:
        put(ours, "c")
        at_once(write, [(url, worker, times) for worker in range(workers)], "adapters.speakers")
        written = latest(ours).pending_writes or []
        assert sorted(task for task, _, _ in written) == sorted(
            f"{worker}-{number}" for worker in range(workers) for number in range(times)
        )
        for worker in range(workers):
            found = [*ours.list(config(ns=f"node:{worker}"))]
            assert [each.metadata["step"] for each in found] == [*reversed(range(times))]
        assert len(memory.search(("shared",), limit=1000)) == workers * times + 1


class TestCopying:
    def test_copies_what_is_large_and_goes_its_own_way(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        put(ours, "1", values={"x": "x" * 10_000})
        ours.copy_thread("t", "u")
        ours.delete_thread("t")
        Journals(store, "langgraph").sweep()
        put(ours, "2", thread="u")
        assert [each.checkpoint["id"] for each in ours.list(config("u"))] == ["2", "1"]
        assert [*ours.list(config("t"))] == []

    def test_to_a_thread_that_is_there_is_refused(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        put(ours, "1")
        put(ours, "1", thread="u")
        with pytest.raises(ConflictError):
            ours.copy_thread("t", "u")
        with pytest.raises(NotFoundError):
            ours.copy_thread("none", "v")


class TestMoving:
    def test_as_the_page_says_brings_all_of_a_thread(self, store: StateStore) -> None:
        page = Path(__file__).parents[2] / "docs" / "adapters" / "langgraph.md"
        [block] = re.findall(
            r"^```python\n(from langgraph.checkpoint.sqlite.*?)^with",
            page.read_text(),
            re.MULTILINE | re.DOTALL,
        )
        defined: dict[str, Any] = {"StatekeepSaver": StatekeepSaver}
        exec(block, defined)
        ours = StatekeepSaver(store)
        with SqliteSaver.from_conn_string(":memory:") as theirs:
            for ns in ("", "node:1"):
                put(theirs, "1", ns=ns, values={"x": 1})
                stored = put(theirs, "2", ns=ns, parent="1", values={"x": "x" * 10_000})
                for task in "ab":
                    theirs.put_writes(stored, [("x", 1), (ERROR, "e"), ("x", 2)], task)
            defined["move"](theirs, ours, "t")
            assert sorted(ours.list(whole("t")), key=_place) == sorted(
                theirs.list(whole("t")), key=_place
            )


class TestPruning:
    def test_deletes_the_bytes_of_what_goes(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        for at in "123":
            put(ours, at, parent=None, values={"x": f"secret-{at}" * 2000, "y": f"secret-{at}"})
        ours.prune(["t", "none"])
        assert latest(ours).checkpoint["channel_values"]["x"] == "secret-3" * 2000
        data = b"".join(
            blob.data for blob in [store.get(entry.key) for entry in store.scan("")] if blob
        )
        assert b"secret-3" in data
        assert b"secret-1" not in data
        assert b"secret-2" not in data

    def test_keeps_what_delta_channels_are_made_of(self, store: StateStore) -> None:
        ours, parent = StatekeepSaver(store), None
        for number in range(8):
            values = {"d": ["seed"]} if number == 3 else {}
            since: Any = {} if number <= 3 else {"counters_since_delta_snapshot": {"d": [1, 1]}}
            stored = put(ours, str(number), parent=parent, values=values, **since)
            ours.put_writes(stored, [("d", number)], "task")
            parent = str(number)
        before = ours.get_delta_channel_history(config=config(), channels=["d"])
        assert [value for _, _, value in before["d"]["writes"]] == [3, 4, 5, 6]
        ours.prune(["t"])
        assert ours.get_delta_channel_history(config=config(), channels=["d"]) == before
        assert [each.checkpoint["id"] for each in ours.list(config())] == list("76543")

    def test_deletes_nothing_that_is_put_meanwhile(self, store: StateStore) -> None:
        class Meanwhile(StoreWrapper):
            def delete(self, key: str, **expect: Any) -> None:
                if "/attachments/" in key:
                    put(StatekeepSaver(store), "3", values={"x": "a" * 10_000})
                super().delete(key, **expect)

        ours = StatekeepSaver(Meanwhile(store))
        put(ours, "1", values={"x": "a" * 10_000})
        put(ours, "2", values={"x": "b" * 10_000})
        ours.prune(["t"])
        assert latest(ours).checkpoint["channel_values"] == {"x": "a" * 10_000}

    def test_by_another_strategy_is_refused(self, store: StateStore) -> None:
        with pytest.raises(ValueError, match="keep_latest or delete, not 'all'"):
            StatekeepSaver(store).prune(["t"], strategy="all")


@pytest.fixture
def cramped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large, and there is room for little, so that what is rare comes about."""
    monkeypatch.setattr(values, "_LARGE", 24)
    monkeypatch.setattr(saver, "_AT_ONCE", 2)
    monkeypatch.setattr(threads, "_SPACES", 1)
    monkeypatch.setattr(threads, "_MOST_EARLY", 2)
    monkeypatch.setattr(threads, "_WINDOW", 1)


@pytest.mark.usefixtures("cramped")
class TestWhatIsRare:
    def test_an_older_checkpoint_that_is_put_again_keeps_its_writes(
        self, store: StateStore
    ) -> None:
        ours = StatekeepSaver(store)
        ours.put_writes(put(ours, "1"), [("x", 1)], "task")
        for at in "231":
            put(ours, at)
        found = ours.get_tuple(config(at="1"))
        assert found is not None
        assert found.pending_writes == [("task", "x", 1)]
        assert latest(ours).checkpoint["id"] == "3"

    def test_a_namespace_that_the_head_forgot_is_found(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        for ns in ("a:1", "b:2", "c:3"):
            ours.put_writes(put(ours, "5", ns=ns), [("x", ns)], "task")
        put(ours, "4", ns="a:1")
        assert latest(ours, ns="a:1").checkpoint["id"] == "5"
        assert latest(ours, ns="a:1").pending_writes == [("task", "x", "a:1")]
        put(ours, "6", ns="a:1")
        assert latest(ours, ns="a:1").checkpoint["id"] == "6"
        assert ours.get_tuple(config(ns="d:4")) is None

    def test_many_writes_may_wait_for_their_checkpoints(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        for at in "56789":
            ours.put_writes(config(at=at), [("x", at)], "task")
        for at in "56789":
            put(ours, at)
            assert latest(ours).pending_writes == [("task", "x", at)]

    def test_writes_that_came_early_are_found_from_the_end(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        ours.put_writes(config(at="7"), [("x", 7)], "task")
        for at in "12378":
            put(ours, at)
        found = ours.get_tuple(config(at="7"))
        assert found is not None
        assert found.pending_writes == [("task", "x", 7)]

    def test_a_version_counts_only_along_a_branch(self, store: StateStore) -> None:
        ours = StatekeepSaver(store)
        put(ours, "1", values={"x": "a" * 10_000})
        checkpoint = latest(ours).checkpoint
        checkpoint["channel_values"] = {"x": "b" * 10_000}
        checkpoint["id"] = "2"
        ours.put(config(), checkpoint, {}, {})
        assert latest(ours).checkpoint["channel_values"] == {"x": "b" * 10_000}


THREADS = ["t", "u"]
SPACES = ["", "a:1", "b:2"]
ids = st.integers(10, 17).map(str)
places = st.tuples(st.sampled_from(THREADS), st.sampled_from(SPACES))
texts = st.sampled_from(["", "short", "long" * 10])
steps = st.one_of(
    st.tuples(st.just("put"), places, ids, ids, st.sets(st.sampled_from("xyz")), texts),
    st.tuples(st.just("put"), places, ids, ids, st.sets(st.sampled_from("xyz")), texts),
    st.tuples(
        st.just("write"),
        places,
        ids,
        st.lists(st.tuples(st.sampled_from(["x", "d", ERROR]), texts), max_size=3),
        st.sampled_from(["task 1", "task 2"]),
        st.sampled_from(["", "~path"]),
    ),
    st.tuples(st.just("get"), places, ids | st.none()),
    st.tuples(
        st.just("list"),
        st.sampled_from(THREADS),
        st.sampled_from(SPACES) | st.none(),
        ids | st.none(),
        st.integers(0, 1) | st.none(),
        st.integers(0, 3) | st.none(),
    ),
    st.tuples(st.just("history"), places, ids | st.none()),
    st.tuples(st.just("delete"), st.sampled_from(THREADS)),
)


class Savers:
    """LangGraph's own saver and ours, of which the same is asked."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.theirs = InMemorySaver()
        self.ours = StatekeepSaver(store)
        self._versions = count()

    def put(
        self,
        place: tuple[str, str],
        at: str,
        parent: str,
        changed: set[str],
        text: str,
    ) -> None:
        # A parent is older, or theirs may walk in circles.
        above = self.theirs.get_tuple(config(*place, parent)) if parent < at else None
        old: Any = above.checkpoint if above else {"channel_values": {}, "channel_versions": {}}
        new: Any = {name: f"{next(self._versions):08}" for name in {*changed, "d"}}
        values = {name: value for name, value in old["channel_values"].items() if name != "d"}
        values |= {name: [name, text, at] for name in changed}
        if text == "short":
            values["d"] = ["seed", at]
        checkpoint: Any = {
            "v": 4,
            "id": at,
            "ts": "2026-01-01T00:00:00+00:00",
            "channel_values": values,
            "channel_versions": {**old["channel_versions"], **new},
            "versions_seen": {},
            "updated_channels": None,
        }
        metadata: Any = {"source": "loop", "step": int(at) % 2, "parents": {}, "run_id": text}
        if "d" not in values:
            metadata["counters_since_delta_snapshot"] = {"d": (1, 1)}
        where = config(*place, parent if parent < at else None)
        assert self.ours.put(where, checkpoint, metadata, new) == self.theirs.put(
            where, checkpoint, metadata, new
        )

    def write(
        self,
        place: tuple[str, str],
        at: str,
        writes: Any,
        task: str,
        path: str,
    ) -> None:
        for each in (self.theirs, self.ours):
            each.put_writes(config(*place, at), writes, task, path)

    def get(self, place: tuple[str, str], at: str | None) -> None:
        assert self.ours.get_tuple(config(*place, at)) == self.theirs.get_tuple(config(*place, at))

    def list(
        self, thread: str, ns: str | None, before: str | None, step: int | None, limit: int | None
    ) -> None:
        where = whole(thread) if ns is None else config(thread, ns)
        wanted: dict[str, Any] = {
            "filter": None if step is None else {"step": step},
            "before": None if before is None else config(thread, "", before),
        }
        theirs, ours = [*self.theirs.list(where, **wanted)], [*self.ours.list(where, **wanted)]
        # Theirs goes from namespace to namespace; ours has the greatest id first, as their saver
        # in SQLite.
        theirs.sort(key=lambda each: each.checkpoint["id"], reverse=True)
        assert sorted(theirs, key=_place) == sorted(ours, key=_place)
        assert [each.checkpoint["id"] for each in theirs] == [
            each.checkpoint["id"] for each in ours
        ]
        assert [*self.ours.list(where, **wanted, limit=limit)] == ours[:limit]

    def history(self, place: tuple[str, str], at: str | None) -> None:
        wanted: Any = {"config": config(*place, at), "channels": ["d", "x", "none"]}
        ours = self.ours.get_delta_channel_history(**wanted)
        assert ours == self.theirs.get_delta_channel_history(**wanted)
        # What LangGraph itself does without a saver's help.
        assert ours == BaseCheckpointSaver.get_delta_channel_history(self.ours, **wanted)

    def delete(self, thread: str) -> None:
        for each in (self.theirs, self.ours):
            each.delete_thread(thread)

    def compare(self) -> None:
        for thread in THREADS:
            self.list(thread, None, None, None, None)
            for ns in SPACES:
                self.get((thread, ns), None)
                self.history((thread, ns), None)
        assert sorted(self.ours.list(None), key=_place) == sorted(
            [each for thread in THREADS for each in self.theirs.list(whole(thread))],
            key=_place,
        )


def _place(found: CheckpointTuple) -> tuple[str, ...]:
    return tuple(found.config["configurable"].values())


@pytest.mark.usefixtures("cramped")
def test_it_does_what_the_saver_of_langgraph_does(rounds: Callable[[int], int]) -> None:
    @settings(max_examples=rounds(10_000), deadline=None)
    @given(st.lists(steps, max_size=30))
    def run(history: list[Any]) -> None:
        with open_store("memory:") as store:
            savers = Savers(store)
            for number, (name, *arguments) in enumerate(history):
                if number % 7 == 3:
                    savers.ours = StatekeepSaver(store)  # another process
                getattr(savers, name)(*arguments)
            savers.compare()

    run()


@pytest.mark.usefixtures("cramped")
def test_pruning_leaves_the_latest_as_it_is(rounds: Callable[[int], int]) -> None:
    @settings(max_examples=rounds(10_000), deadline=None)
    @given(st.lists(steps, max_size=30), st.sampled_from(["", "short", "prune"]))
    def run(history: list[Any], run_id: str) -> None:
        with open_store("memory:") as store:
            savers = Savers(store)
            for name, *arguments in history:
                if name in {"put", "write"}:
                    getattr(savers, name)(*arguments)
            ours = savers.ours
            before = [*ours.list(None)]
            places = [(thread, ns) for thread in THREADS for ns in SPACES]
            found = [ours.get_tuple(config(*place)) for place in places]
            made_of = [
                ours.get_delta_channel_history(config=config(*place), channels=["d"])
                for place in places
            ]
            if run_id == "prune":
                ours.prune(THREADS)
                assert [ours.get_tuple(config(*place)) for place in places] == found
                for place, latest_of, history_of in zip(places, found, made_of, strict=True):
                    again = ours.get_delta_channel_history(config=config(*place), channels=["d"])
                    if latest_of and "d" not in latest_of.checkpoint["channel_values"]:
                        assert again == history_of
            else:
                ours.delete_for_runs([run_id])
                kept = [each for each in before if each.metadata["run_id"] != run_id]
                assert sorted(ours.list(None), key=_place) == sorted(kept, key=_place)
            for ours_again in (ours, StatekeepSaver(store)):
                assert [*ours_again.list(None)] == [*ours.list(None)]
                for place in places:
                    of_place = [*ours_again.list(config(*place))]
                    assert ours_again.get_tuple(config(*place)) == next(iter(of_place), None)
            for head in Journals(store, "langgraph").heads():
                items = Journals(store, "langgraph").open(*head.name).read() or []
                attached = store.scan(f".statekeep/attachments/{head.uid}")
                named = {entry.key.rpartition("/")[2] for entry in attached}
                assert named >= refs_of(items)
                if run_id == "prune" and len({item.get("checkpoint") for item in items}) == 1:
                    assert named == refs_of(items)

    run()


def test_the_metadata_of_a_thread_with_many_subgraphs_stays_small(store: StateStore) -> None:
    ours = StatekeepSaver(store)
    values = {f"c{number}": f"{number} {'x' * 9_000}" for number in range(20)}
    for run in range(30):
        put(ours, f"{run:04}", ns=f"node:{run}", values=values)
    put(ours, "9999", values=values)
    [head] = Journals(store, "langgraph").heads()
    assert len(str(head.metadata)) < 40_000
    for ns in ("node:0", "node:29", ""):
        assert latest(ours, ns=ns).checkpoint["channel_values"] == values
