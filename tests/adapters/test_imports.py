"""What frameworks keep in SQLite files comes into journals, and adapters go on with it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from adapters.test_langgraph import Log, build, config
from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from statekeep import ConflictError, Journals
from statekeep.config import load_importer
from statekeep.transport import import_conversations
from statekeep_adapters.langgraph import StatekeepSaver
from statekeep_adapters.openai_agents import StatekeepSession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from statekeep import StateStore
    from statekeep.transport import ImportsReport

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "theirs.db"


@pytest.fixture
def theirs(path: Path) -> Iterator[SqliteSaver]:
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        yield SqliteSaver(connection)


def bring(store: StateStore, path: Path, name: str) -> ImportsReport:
    return import_conversations(store, path, load_importer(name), user_id="ada")


def said(text: str) -> Any:
    return {"role": "user", "content": text}


class TestSessionsOfOpenAI:
    async def test_go_on_where_they_were(self, store: StateStore, path: Path) -> None:
        theirs = {name: SQLiteSession(name, path) for name in ("a", "b/../c", "empty")}
        odd: list[Any] = [said("\ud83d"), {"n": 10**30}, {"type": "reasoning", "summary": []}]
        await theirs["a"].add_items([said("Hello  there"), *odd])  # as JSON has it
        await theirs["b/../c"].add_items([said(str(n)) for n in range(1500)])
        report = bring(store, path, "openai-agents")  # it is still open
        assert (report.imported, report.added, report.failed) == (2, 1504, 0)
        for name, each in theirs.items():
            ours = StatekeepSession(name, store, user_id="ada")
            assert await ours.get_items() == await each.get_items()
        titles = {each.name: each.title for each in Journals(store, "openai-agents").list()}
        assert titles["a",] == "Hello there"
        await theirs["a"].add_items([said("more")])
        assert bring(store, path, "openai-agents").added == 1
        for each in theirs.values():
            each.close()
        # Nothing is left beside it, though nobody has it open.
        assert bring(store, path, "openai-agents").added == 0
        assert [each.name for each in path.parent.glob("theirs*")] == ["theirs.db"]

    async def test_continued_on_both_sides_are_left_alone(
        self, store: StateStore, path: Path
    ) -> None:
        theirs, ours = SQLiteSession("a", path), StatekeepSession("a", store, user_id="ada")
        await theirs.add_items([said("Hello"), said("Go on")])
        assert bring(store, path, "openai-agents").added == 2
        await ours.pop_item()
        await ours.add_items([said("elsewhere")])  # as long as before
        assert bring(store, path, "openai-agents").complete
        await theirs.add_items([said("here")])
        report = bring(store, path, "openai-agents")
        assert report.only_conflicts
        assert [type(each.error) for each in report.failures] == [ConflictError]
        assert len(await ours.get_items()) == 2
        theirs.close()

    async def test_of_branches_the_first_comes_in(self, store: StateStore, path: Path) -> None:
        theirs = AdvancedSQLiteSession(session_id="a", db_path=path, create_tables=True)
        await theirs.add_items([said("one"), said("two"), said("three")])
        await theirs.create_branch_from_turn(2, "other")
        await theirs.add_items([said("elsewhere")])
        await theirs.switch_to_branch("main")
        await theirs.add_items([said("four")])
        assert bring(store, path, "openai-agents").added == 4
        ours = StatekeepSession("a", store, user_id="ada")
        assert await ours.get_items() == await theirs.get_items(branch_id="main")
        theirs.close()


def tuples(saver: Any, thread: str = "t") -> list[Any]:
    found = saver.list({"configurable": {"thread_id": thread}})
    plain = [
        (
            each.config["configurable"],
            each.checkpoint,
            each.metadata,
            each.parent_config,
            sorted(each.pending_writes, key=str),
        )
        for each in found
    ]
    return sorted(plain, key=lambda each: (each[0]["checkpoint_ns"], each[0]["checkpoint_id"]))


class Wide(TypedDict):
    text: Annotated[str, lambda _, new: new]
    large: str


class TestThreadsOfLangGraph:
    def test_an_interrupt_goes_on(self, store: StateStore, path: Path, theirs: SqliteSaver) -> None:
        began = build(theirs)  # type: ignore[arg-type]
        began.invoke({"messages": [HumanMessage("Hello  there")]}, config())
        began.invoke({"messages": [HumanMessage("And here")]}, config("other"))
        report = bring(store, path, "langgraph")
        assert (report.imported, report.failed, report.damaged) == (2, 0, 0)
        ours = StatekeepSaver(store, user_id="ada")
        assert tuples(ours) == tuples(theirs)
        assert ours.get_tuple(config()).checkpoint == theirs.get_tuple(config()).checkpoint  # type: ignore[union-attr]
        titles = {each.name: each.title for each in Journals(store, "langgraph").list()}
        assert titles == {("t",): "Hello there", ("other",): "And here"}
        assert bring(store, path, "langgraph").added == 0
        # What both sides do with it is the same.
        done = build(ours).invoke(Command(resume="this"), config())
        assert [each.content for each in done["messages"]] == ["Hello  there", "You said this"]
        assert bring(store, path, "langgraph").complete
        began.invoke(Command(resume="that"), config())
        report = bring(store, path, "langgraph")
        assert report.only_conflicts
        assert [each.name for each in report.failures] == [("t",)]

    def test_what_is_new_is_added(self, store: StateStore, path: Path, theirs: SqliteSaver) -> None:
        graph = build(theirs)  # type: ignore[arg-type]
        graph.invoke({"messages": [HumanMessage("Hello")]}, config())
        ours = StatekeepSaver(store)
        for resumed in ("one", "two", "three"):
            bring(store, path, "langgraph")
            assert tuples(ours) == tuples(theirs)
            graph.invoke(Command(resume=resumed), config())
            assert bring(store, path, "langgraph").added
            assert tuples(ours) == tuples(theirs)
            graph.invoke({"messages": [HumanMessage("again")]}, config())
            theirs.conn.execute("VACUUM")
        before = Journals(store, "langgraph").open("t").head()
        bring(store, path, "langgraph")
        after = Journals(store, "langgraph").open("t").head()
        assert before
        assert after
        assert after.length > before.length
        assert tuples(ours) == tuples(theirs)

    def test_large_values_and_namespaces_come_along(
        self, store: StateStore, path: Path, theirs: SqliteSaver
    ) -> None:
        inner: Any = StateGraph(Wide)
        inner.add_node("ask", lambda state: {"text": f"{interrupt('What?')} {state['text']}"})
        inner.add_edge(START, "ask")
        outer: Any = StateGraph(Wide)
        outer.add_node("inner", inner.compile())
        outer.add_edge(START, "inner")
        graph = outer.compile(checkpointer=theirs)
        graph.invoke({"text": "x", "large": "y" * 100_000}, config())
        bring(store, path, "langgraph")
        ours = StatekeepSaver(store)
        assert tuples(ours) == tuples(theirs)
        assert {each[0]["checkpoint_ns"] != "" for each in tuples(ours)} == {True, False}
        size = Journals(store, "langgraph").open("t").head()
        assert size
        assert size.size < 100_000  # it is attached
        done = outer.compile(checkpointer=ours).invoke(Command(resume="this"), config())
        assert done["text"] == "this x"
        ours.prune(["t"])
        assert ours.get_tuple(config()).checkpoint["channel_values"]["text"] == "this x"  # type: ignore[union-attr]

    def test_delta_channels_are_whole(
        self, store: StateStore, path: Path, theirs: SqliteSaver
    ) -> None:
        builder: Any = StateGraph(Log)
        builder.add_node("say", lambda _: {"said": ["more"]})
        builder.add_edge(START, "say")
        graph = builder.compile(checkpointer=theirs)
        for n in range(5):
            graph.invoke({"said": [str(n)]}, config())
        bring(store, path, "langgraph")
        again = builder.compile(checkpointer=StatekeepSaver(store))
        assert again.get_state(config()).values == graph.get_state(config()).values
        done = again.invoke({"said": ["end"]}, config())
        assert done["said"][-2:] == ["end", "more"]
        assert len(done["said"]) == 12

    def test_what_is_pickled_is_refused(self, store: StateStore, path: Path) -> None:
        with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            saver = SqliteSaver(connection, serde=JsonPlusSerializer(pickle_fallback=True))
            checkpoint: Any = {
                "v": 1, "id": "1", "ts": "", "channel_values": {"x": int}, "channel_versions": {},
                "versions_seen": {},
            }  # fmt: skip
            at: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
            saver.put(at, checkpoint, {}, {})
            report = bring(store, path, "langgraph")
        assert "'pickle' cannot be imported" in str(report.failures[0].error)
        assert Journals(store, "langgraph").open("t").head() is None


async def test_a_writer_is_not_disturbed(store: StateStore, path: Path) -> None:
    theirs = SQLiteSession("a", path)

    async def write() -> None:
        for n in range(100):
            await theirs.add_items([said(str(n))])

    async def read() -> None:
        while not (found := await StatekeepSession("a", store).get_items()) or len(found) < 100:
            await asyncio.to_thread(bring, store, path, "openai-agents")

    await asyncio.gather(write(), read())
    ours = StatekeepSession("a", store)
    assert [each["content"] for each in await ours.get_items()] == [str(n) for n in range(100)]  # type: ignore[typeddict-item]
    theirs.close()
