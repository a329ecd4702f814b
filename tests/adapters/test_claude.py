"""Sessions of the Claude Agent SDK, kept by statekeep: each entry once, and none lost."""

from __future__ import annotations

import json
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio
import claude_agent_sdk as sdk
import pytest
from adapters.claude_workers import mirror
from claude_agent_sdk import InMemorySessionStore, project_key_for_directory
from claude_agent_sdk.testing import run_session_store_conformance
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_once

from statekeep import InvalidDocumentError, Journals, OwnershipError, open_store
from statekeep.errors import ClosedError
from statekeep.testing.faults import FaultyStore
from statekeep_adapters.claude import COLLECTION, StatekeepSessionStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from claude_agent_sdk import SessionKey, SessionListSubkeysKey

    from statekeep import StateStore

pytestmark = pytest.mark.anyio

MAIN: SessionKey = {"project_key": "p", "session_id": "s"}
AGENT: SessionKey = {**MAIN, "subpath": "subagents/agent-1"}
ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The SDK runs under either."""
    backend: str = request.param
    return backend


@pytest.fixture
def sessions(store: StateStore) -> StatekeepSessionStore:
    return StatekeepSessionStore(store)


def entry(uuid: object = None, **fields: Any) -> Any:
    made = {"type": "user", **fields}
    return made if uuid is None else {**made, "uuid": uuid}


def entries(first: int, last: int) -> list[Any]:
    """As a transcript has them: each is later than those before."""
    return [entry(f"{n}", timestamp=f"2026-11-27T09:00:00.{n:06}Z") for n in range(first, last)]


def said(text: str, **fields: Any) -> Any:
    return entry(**fields, message={"role": "user", "content": text})


async def data_of(sessions: StatekeepSessionStore) -> dict[str, Any]:
    [summary] = await sessions.list_session_summaries("p")
    return summary["data"]


async def test_it_passes_the_conformance_kit_of_the_sdk(store: StateStore) -> None:
    numbers = count()
    await run_session_store_conformance(
        lambda: StatekeepSessionStore(store, collection=f"claude.{next(numbers)}")
    )


class TestAnEntryWithAUuid:
    async def test_is_kept_once_however_retries_overlap(
        self, store: StateStore, sessions: StatekeepSessionStore
    ) -> None:
        await sessions.append(MAIN, [entry("a"), entry("b")])
        await sessions.append(MAIN, [entry("b"), entry("c"), entry("c")])
        await StatekeepSessionStore(store).append(MAIN, [entry("a"), entry("d")])
        assert await sessions.load(MAIN) == [entry(uuid) for uuid in "abcd"]

    async def test_may_be_in_several_transcripts(self, sessions: StatekeepSessionStore) -> None:
        await sessions.append(MAIN, [entry("a")])
        await sessions.append(AGENT, [entry("a")])
        assert await sessions.load(MAIN) == await sessions.load(AGENT) == [entry("a")]

    async def test_changes_nothing_a_second_time(
        self, store: StateStore, sessions: StatekeepSessionStore
    ) -> None:
        await sessions.append(MAIN, [entry("a", customTitle="first", summary="x")])
        await sessions.append(MAIN, [entry("b", customTitle="second")])
        before = await sessions.list_session_summaries("p")
        await sessions.append(MAIN, [entry("a", customTitle="first", summary="x")])
        assert await sessions.list_session_summaries("p") == before
        [summary] = Journals(store, COLLECTION).list()
        assert (summary.title, summary.length) == ("second", 2)

    async def test_is_not_counted_when_others_of_its_batch_are_new(
        self, sessions: StatekeepSessionStore
    ) -> None:
        await sessions.append(MAIN, [entry("a", customTitle="first")])
        await sessions.append(MAIN, [entry("b", customTitle="second")])
        await sessions.append(MAIN, [entry("a", customTitle="first"), entry("c")])
        assert (await data_of(sessions))["custom_title"] == "second"

    async def test_is_kept_once_in_a_batch_of_more_than_a_journal_remembers(
        self, sessions: StatekeepSessionStore
    ) -> None:
        await sessions.append(MAIN, entries(0, 100))
        batch = [*entries(0, 1500), entry(), *entries(0, 2)]
        await sessions.append(MAIN, batch)
        await sessions.append(MAIN, batch)
        loaded = await sessions.load(MAIN)
        assert loaded == [*entries(0, 1500), entry(), entry()]

    async def test_is_kept_once_when_a_long_session_is_imported_again(
        self, sessions: StatekeepSessionStore
    ) -> None:
        for _ in range(2):
            for first in range(0, 2500, 500):
                await sessions.append(MAIN, entries(first, first + 500))
        assert await sessions.load(MAIN) == entries(0, 2500)

    async def test_is_added_to_a_long_session_without_reading_it(self, store: StateStore) -> None:
        sessions = StatekeepSessionStore(store)
        await sessions.append(MAIN, entries(0, 2000))
        counting = FaultyStore(store, slow=1, delay=0)
        sessions = StatekeepSessionStore(counting)
        await sessions.append(MAIN, entries(2000, 2001))
        assert [fault.key for fault in counting.faults] == ["journals/claude/p/s.jsonl"] * 2


@pytest.mark.parametrize("uuid", [None, "", 7])
async def test_an_entry_without_a_uuid_is_always_added(
    sessions: StatekeepSessionStore, uuid: object
) -> None:
    for _ in range(2):
        await sessions.append(MAIN, [entry(uuid), entry(uuid)])
    assert await sessions.load(MAIN) == [entry(uuid)] * 4


async def test_nothing_makes_no_session(sessions: StatekeepSessionStore) -> None:
    await sessions.append(MAIN, [])
    assert await sessions.load(MAIN) is None


async def test_times_grow_whatever_the_clock_does(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    found = []
    for step, each in enumerate([now, now, now - 10**12]):
        monkeypatch.setattr("time.time_ns", lambda each=each: each)
        sessions = StatekeepSessionStore(store)
        await sessions.append(MAIN, [entry(f"{step}")])
        [listed] = await sessions.list_sessions("p")
        [summary] = await sessions.list_session_summaries("p")
        assert listed["mtime"] == summary["mtime"]
        found.append(listed["mtime"])
    assert found == [now // 10**6, now // 10**6 + 1, now // 10**6 + 2]


async def test_times_of_several_sessions_do_not_tie(
    sessions: StatekeepSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 10**18)
    for name in "cab":
        await sessions.append({"project_key": "p", "session_id": name}, [entry()])
    times = {each["session_id"]: each["mtime"] for each in await sessions.list_sessions("p")}
    assert times["c"] < times["a"] < times["b"]


class TestNames:
    async def test_that_are_hostile_do_not_collide(self, sessions: StatekeepSessionStore) -> None:
        long = "x" * 800
        keys: list[Any] = [
            {"project_key": project, "session_id": session, **subpath}
            for project, session in [
                ("a", "b/c"), ("a/b", "c"), ("a", "b"), ("", ""), ("..", "."), (long, f"{long}é"),
                (long, long), ("\0", "a.jsonl"), ("a", "A"),
            ]
            for subpath in [{}, {"subpath": "c"}, {"subpath": "c/d"}, {"subpath": long}]
        ]  # fmt: skip
        for number, key in enumerate(keys):
            await sessions.append(key, [entry(n=number)])
        for number, key in enumerate(keys):
            assert await sessions.load(key) == [entry(n=number)]
        for key in keys[::4]:
            subpaths = await sessions.list_subkeys(key)
            assert sorted(subpaths) == ["c", "c/d", long]
        listed = [each["session_id"] for each in await sessions.list_sessions(long)]
        assert sorted(listed) == [long, f"{long}é"]
        assert len(await sessions.list_session_summaries("a")) == 3

    async def test_with_an_empty_subpath_are_refused(self, sessions: StatekeepSessionStore) -> None:
        for call in (sessions.load, sessions.delete, lambda key: sessions.append(key, [entry()])):
            with pytest.raises(ValueError, match="subpath is empty"):
                await call({**MAIN, "subpath": ""})


class TestWhatAJournalCannotHold:
    """What the JSON of a transcript can say, and most stores refuse."""

    @pytest.mark.parametrize(
        "value",
        ["half of \ud83d", 10**30, json.loads("[" * 200 + "]" * 200), {"\udc00": 1}],
        ids=["half a character", "large", "deep", "half a key"],
    )
    async def test_is_kept_nevertheless(
        self, sessions: StatekeepSessionStore, value: object
    ) -> None:
        batch = [entry("a"), entry("b\ud83d", value=value, timestamp="\udc00"), entry("c")]
        await sessions.append(MAIN, batch)
        await sessions.append(MAIN, batch)
        assert await sessions.load(MAIN) == batch

    async def test_may_be_in_a_summary(
        self, store: StateStore, sessions: StatekeepSessionStore
    ) -> None:
        cut = entry("a", customTitle="Hello \ud83d", lastPrompt="\ud83d")
        expected = sdk.fold_session_summary(None, MAIN, [cut, entry("b")])["data"]
        await sessions.append(MAIN, [cut])
        await sessions.append(MAIN, [entry("b")])
        assert await data_of(sessions) == expected
        [summary] = Journals(store, COLLECTION).list()
        assert summary.title == "Hello �"

    @pytest.mark.parametrize("value", [object(), {1}, "x" * 2**24])
    async def test_is_refused_with_its_batch_if_json_cannot_hold_it_either(
        self, sessions: StatekeepSessionStore, value: object
    ) -> None:
        with pytest.raises(InvalidDocumentError):
            await sessions.append(MAIN, [entry("a"), entry("b", value=value)])
        assert await sessions.load(MAIN) is None


class TestListings:
    async def test_show_user_title_and_counts(self, store: StateStore) -> None:
        sessions = StatekeepSessionStore(store, user_id="ada")
        await sessions.append(MAIN, [entry(isMeta=True), said("Plan a\nparser")])
        await sessions.append(AGENT, [said("Look around")])
        found = {each.name: each for each in Journals(store, COLLECTION).list(user_id="ada")}
        assert {name: (each.title, each.length) for name, each in found.items()} == {
            ("p", "s"): ("Plan a parser", 2),
            ("p", "s", "subagents/agent-1"): ("subagents/agent-1", 1),
        }

    @pytest.mark.parametrize(
        ("later", "title"),
        [
            ([{"aiTitle": "Parser"}], "Parser"),
            ([{"customTitle": "Mine"}, {"aiTitle": "Parser"}], "Mine"),
            ([{"lastPrompt": "Thanks"}], "/plan"),
        ],
    )
    async def test_take_the_title_that_the_summary_has(
        self, store: StateStore, sessions: StatekeepSessionStore, later: list[Any], title: str
    ) -> None:
        await sessions.append(MAIN, [said("<command-name>/plan</command-name>")])
        for fields in later:
            await sessions.append(MAIN, [entry(**fields)])
        [summary] = Journals(store, COLLECTION).list()
        assert summary.title == title

    async def test_read_heads_of_sessions_alone(self, store: StateStore) -> None:
        sessions = StatekeepSessionStore(store)
        for name in "abc":
            key: SessionKey = {"project_key": "p", "session_id": name}
            await sessions.append(key, entries(0, 500))
            for agent in "xyz":
                await sessions.append({**key, "subpath": agent}, [entry()])
        counting = FaultyStore(store, slow=1, delay=0)
        sessions = StatekeepSessionStore(counting)
        for call in (sessions.list_sessions, sessions.list_session_summaries):
            counting.faults.clear()
            assert len(await call("p")) == 3
            assert sorted(fault.operation for fault in counting.faults) == ["get"] * 3 + ["scan"]
        counting.faults.clear()
        assert sorted(await sessions.list_subkeys({"project_key": "p", "session_id": "a"})) == [
            "x",
            "y",
            "z",
        ]
        assert len(counting.faults) == 4

    async def test_of_the_sdk_read_no_transcript(
        self, store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = StatekeepSessionStore(store)
        key: SessionKey = {
            "project_key": project_key_for_directory(tmp_path),
            "session_id": ID,
        }
        await sessions.append(key, [said("Hello")])
        await sdk.rename_session_via_store(sessions, ID, "Greetings", str(tmp_path))
        await sdk.tag_session_via_store(sessions, ID, "polite", str(tmp_path))
        monkeypatch.setattr(StatekeepSessionStore, "load", None)
        [info] = await sdk.list_sessions_from_store(sessions, str(tmp_path))
        assert (info.summary, info.tag, info.session_id) == ("Greetings", "polite", ID)

    async def test_tell_of_a_session_that_came_by_other_ways(
        self, store: StateStore, sessions: StatekeepSessionStore
    ) -> None:
        journal = Journals(store, COLLECTION).open("p", "s")
        head = journal.append([said("Hello"), entry("a", customTitle="Greetings")])
        [listed] = await sessions.list_sessions("p")
        assert listed["mtime"] == int(head.updated_at.timestamp() * 1000)
        assert await sessions.list_session_summaries("p") == []  # the SDK makes it of the entries
        await sessions.append(MAIN, [entry("b")])
        assert (
            await data_of(sessions)
            == sdk.fold_session_summary(None, MAIN, await sessions.load(MAIN) or [])["data"]
        )


class TestTheSdk:
    async def test_imports_forks_and_deletes(
        self, sessions: StatekeepSessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
        where = str(tmp_path)
        folder = tmp_path / "config" / "projects" / project_key_for_directory(where)
        agents = folder / ID / "subagents"
        agents.mkdir(parents=True)
        uuids = [f"{n:08}-1111-4111-8111-111111111111" for n in range(3)]
        lines = [
            said("Hello", uuid=uuid, parentUuid=parent, sessionId=ID)
            for uuid, parent in zip(uuids, [None, *uuids], strict=False)
        ]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (folder / f"{ID}.jsonl").write_text(text)
        (agents / "agent-7.jsonl").write_text(text)
        (agents / "agent-7.meta.json").write_text('{"agentType": "explorer"}')
        for _ in range(2):
            await sdk.import_session_to_store(ID, sessions, directory=where)
        messages = await sdk.get_session_messages_from_store(sessions, ID, where)
        assert [message.uuid for message in messages] == uuids
        assert await sdk.list_subagents_from_store(sessions, ID, where) == ["7"]
        assert len(await sdk.get_subagent_messages_from_store(sessions, ID, "7", where)) == 3
        fork = await sdk.fork_session_via_store(sessions, ID, where)
        assert len(await sdk.list_sessions_from_store(sessions, where)) == 2
        await sdk.delete_session_via_store(sessions, ID, where)
        [left] = await sdk.list_sessions_from_store(sessions, where)
        assert left.session_id == fork.session_id
        assert await sdk.list_subagents_from_store(sessions, ID, where) == []


class TestDeleting:
    async def test_takes_subagents_first(self, store: StateStore) -> None:
        counting = FaultyStore(store, slow=1, delay=0, operations=["delete"])
        sessions = StatekeepSessionStore(counting)
        others: SessionKey = {**MAIN, "subpath": "b"}
        for key in (MAIN, AGENT, others):
            await sessions.append(key, [entry()])
        await sessions.delete(MAIN)
        deleted = [fault.key for fault in counting.faults]
        assert len(deleted) == 3
        assert deleted[-1] == "journals/claude/p/s.jsonl"

    async def test_lets_the_session_begin_anew(
        self, store: StateStore, sessions: StatekeepSessionStore
    ) -> None:
        for key in (MAIN, AGENT):
            await sessions.append(key, [entry("a", customTitle="old")])
        await StatekeepSessionStore(store).delete(MAIN)
        for key in (MAIN, AGENT):
            await sessions.append(key, [entry("a")])
            assert await sessions.load(key) == [entry("a")]
        assert "custom_title" not in await data_of(sessions)


async def test_sessions_of_another_user_are_refused_and_not_listed(store: StateStore) -> None:
    ada = StatekeepSessionStore(store, user_id="ada")
    bob = StatekeepSessionStore(store, user_id="bob")
    for key in (MAIN, AGENT):
        await ada.append(key, [entry("a")])
        for refused in (bob.load(key), bob.append(key, [entry("b")]), bob.delete(key)):
            with pytest.raises(OwnershipError, match="'bob'"):
                await refused
        assert await ada.load(key) == [entry("a")]
    await bob.append({"project_key": "p", "session_id": "t"}, [entry()])
    assert [each["session_id"] for each in await bob.list_sessions("p")] == ["t"]
    assert [each["session_id"] for each in await bob.list_session_summaries("p")] == ["t"]
    assert await bob.list_subkeys({"project_key": "p", "session_id": "s"}) == []
    assert len(await StatekeepSessionStore(store).list_sessions("p")) == 2


async def test_deleting_a_session_spares_what_another_user_has_below_it(store: StateStore) -> None:
    ada = StatekeepSessionStore(store, user_id="ada")
    bob = StatekeepSessionStore(store, user_id="bob")
    await ada.append(MAIN, [entry()])
    await bob.append(AGENT, [entry()])
    with pytest.raises(OwnershipError):
        await ada.delete(MAIN)
    assert await ada.load(MAIN) == await bob.load(AGENT) == [entry()]


async def test_what_was_opened_by_its_url_is_closed(url: str) -> None:
    async with StatekeepSessionStore(url) as sessions:
        await sessions.append(MAIN, [entry()])
    with pytest.raises(ClosedError, match="StatekeepSessionStore"):
        await sessions.load(MAIN)
    await sessions.aclose()


async def test_a_store_that_was_given_stays_open(store: StateStore) -> None:
    async with StatekeepSessionStore(store) as sessions:
        await sessions.append(MAIN, [entry("a")])
    assert await StatekeepSessionStore(store).load(MAIN) == [entry("a")]


async def test_a_cancelled_call_has_its_outcome_before_the_caller_goes_on(
    sessions: StatekeepSessionStore,
) -> None:
    for number in range(20):
        async with anyio.create_task_group() as group:
            group.start_soon(sessions.append, MAIN, [entry(f"{number}")])
            for _ in range(number % 4):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        before = await sessions.load(MAIN)
        await anyio.sleep(0.001)
        assert await sessions.load(MAIN) == before


@pytest.mark.parametrize("chance", ["before", "after"])
async def test_lost_answers_neither_lose_nor_repeat_an_entry(
    store: StateStore, chance: str
) -> None:
    operations: Any = ["put", "append", "get"]
    faulty: Any = {chance: 0.3}
    failing = FaultyStore(store, seed=7, operations=operations, **faulty)
    sessions = StatekeepSessionStore(failing)
    for number in range(30):
        batch = entries(max(0, number - 3), number + 1)  # as a retry that overlaps
        for _ in range(100):
            try:
                await sessions.append(MAIN, batch)
                break
            except Exception:  # noqa: BLE001 - so does the SDK
                continue
    assert failing.faults
    assert await StatekeepSessionStore(store).load(MAIN) == entries(0, 30)


@pytest.mark.parametrize(
    ("url", "processes"),
    [
        ("sqlite", 2),
        pytest.param("sqlite", 8, marks=pytest.mark.rest),
        pytest.param("file", 8, marks=pytest.mark.rest),
        pytest.param("postgres", 8, marks=pytest.mark.rest),
    ],
    indirect=["url"],
)
def test_processes_lose_nothing_and_repeat_nothing(url: str, processes: int) -> None:
    at_once(mirror, [(url, worker, 5) for worker in range(processes)], "adapters.speakers")

    async def load() -> list[Any] | None:
        async with StatekeepSessionStore(url) as sessions:
            return await sessions.load(MAIN)

    found = sorted(each["uuid"] for each in anyio.run(load) or [])
    assert found == sorted(
        [f"{worker}-{n}" for worker in ["all", *range(processes)] for n in range(5)]
    )


keys = st.fixed_dictionaries(
    {"project_key": st.sampled_from("pq"), "session_id": st.sampled_from("st")},
    optional={"subpath": st.sampled_from(["subagents/agent-1", "x"])},
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "customTitle": st.text(max_size=3),
        "lastPrompt": st.text(max_size=3),
        "isSidechain": st.booleans(),
        "timestamp": st.sampled_from(["2026-11-27T09:00:00Z", "2026-11-27T09:00:01Z", "soon"]),
        "message": st.builds(lambda text: {"content": text}, st.text(max_size=3)),
    },
)
steps = st.one_of(
    st.tuples(st.just("append"), keys, st.lists(st.tuples(st.booleans(), fields), max_size=3)),
    st.tuples(st.just("repeat"), keys),
    st.tuples(st.just("delete"), keys),
)


async def compare(history: list[Any]) -> None:
    """Do the same to the store of the SDK and to ours.

    Theirs differs in two ways, which are left out here: it keeps an entry again whose uuid it has,
    and an append of nothing makes a session.
    """
    theirs, uuids = InMemorySessionStore(), count()
    last: dict[str, list[Any]] = {}
    with open_store("memory:") as store:
        ours = StatekeepSessionStore(store)
        for name, key, *rest in history:
            if name == "append" and rest[0]:
                batch = [
                    entry(str(next(uuids)) if has_uuid else None, **more)
                    for has_uuid, more in rest[0]
                ]
                last[str(key)] = [each for each in batch if "uuid" in each]
                await theirs.append(key, batch)
                await ours.append(key, batch)
            elif name == "repeat":
                await ours.append(key, last.get(str(key), []))
            elif name == "delete":
                await theirs.delete(key)
                await ours.delete(key)
                last = {where: [] for where in last}
            assert await ours.load(key) == await theirs.load(key)
        for project in "pq":
            listed = [
                {each["session_id"]: each["mtime"] for each in await store.list_sessions(project)}
                for store in (ours, theirs)
            ]
            orders = [sorted(each, key=each.__getitem__) for each in listed]
            assert orders[0] == orders[1]
            summaries = [
                {each["session_id"]: each["data"] for each in found}
                for found in [
                    await ours.list_session_summaries(project),
                    await theirs.list_session_summaries(project),
                ]
            ]
            assert summaries[0] == summaries[1]
            for session in "st":
                wanted: SessionListSubkeysKey = {"project_key": project, "session_id": session}
                subkeys = [await ours.list_subkeys(wanted), await theirs.list_subkeys(wanted)]
                assert sorted(subkeys[0]) == sorted(subkeys[1])


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, max_size=20))
async def test_it_does_what_the_store_of_the_sdk_does(history: list[Any]) -> None:
    await compare(history)


def test_it_does_so_thousands_of_times(rounds: Callable[[int], int]) -> None:
    @settings(max_examples=rounds(5000), deadline=None)
    @given(st.lists(steps, min_size=1, max_size=20))
    def check(history: list[Any]) -> None:
        anyio.run(compare, history)

    check()
