"""Sessions of the OpenAI Agents SDK, kept by statekeep: as the SDK's own, and safer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from adapters.openai_workers import add_often, adding_often
from agents import SQLiteSession
from agents.memory import SessionABC, SessionSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_once

from statekeep import InvalidDocumentError, Journals, OwnershipError, StateStoreError, open_store
from statekeep.errors import ClosedError
from statekeep.testing.faults import FaultyStore
from statekeep_adapters.openai_agents import StatekeepSession
from statekeep_backends.memory import MemoryStore
from statekeep_plugins.layouts.openai_agents import COLLECTION

if TYPE_CHECKING:
    from statekeep import StateStore

pytestmark = pytest.mark.anyio


def said(text: object) -> Any:
    return {"role": "user", "content": text}


def contents(items: list[Any]) -> list[str]:
    return [item["content"] for item in items]


def texts(items: list[Any]) -> str:
    return "".join(contents(items))


async def test_it_keeps_what_is_added_in_order(store: StateStore) -> None:
    session = StatekeepSession("thread/../17", store, user_id="ada")
    assert isinstance(session, SessionABC)
    assert await session.get_items() == []
    await session.add_items([said("Hello"), {"type": "reasoning", "id": "r", "summary": []}])
    await session.add_items([])
    await session.add_items([said("Go on")])
    again = StatekeepSession("thread/../17", store)
    assert await again.get_items() == await session.get_items()
    assert [item.get("content") for item in await session.get_items()] == ["Hello", None, "Go on"]
    assert await session.pop_item() == said("Go on")
    assert len(await again.get_items()) == 2


@pytest.mark.parametrize(("limit", "expected"), [(2, "cd"), (9, "abcd"), (0, ""), (-1, "")])
async def test_a_limit_means_the_latest(store: StateStore, limit: int, expected: str) -> None:
    session = StatekeepSession("s", store)
    await session.add_items([said(text) for text in "abcd"])
    assert texts(await session.get_items(limit)) == expected
    limited: list[Any] = [{"limit": limit}, SessionSettings(limit=limit)]
    for given_settings in limited:
        session = StatekeepSession("s", store, session_settings=given_settings)
        assert texts(await session.get_items()) == expected
        assert len(await session.get_items(3)) == 3  # what is said goes before what is set


async def test_clearing_leaves_nothing_and_the_session_goes_on(store: StateStore) -> None:
    session = StatekeepSession("s", store, user_id="ada")
    await session.clear_session()
    assert await session.pop_item() is None
    assert not Journals(store, COLLECTION).list()
    await session.add_items([said("a secret")])
    await session.clear_session()
    assert await session.get_items() == []
    for blob in [store.get(info.key) for info in store.scan("")]:
        assert blob is None or b"secret" not in blob.data
    await session.add_items([said("b")])
    assert await session.get_items() == [said("b")]


async def test_it_is_listed_with_user_title_and_count(store: StateStore) -> None:
    session = StatekeepSession("s", store, user_id="ada")
    text = [{"type": "input_text", "text": "What is\nthe weather " + "like " * 30}]
    await session.add_items([{"role": "user", "content": text}, said("b")])  # type: ignore[list-item, misc]
    [summary] = Journals(store, COLLECTION).list()
    assert (summary.user_id, summary.length) == ("ada", 2)
    assert summary.title is not None
    assert summary.title.startswith("What is the weather like")
    assert len(summary.title) <= 80


async def test_the_session_of_another_user_is_refused(store: StateStore) -> None:
    await StatekeepSession("s", store, user_id="ada").add_items([said("a")])
    session = StatekeepSession("s", store, user_id="bob")
    for call in (
        session.get_items,
        session.pop_item,
        session.clear_session,
        lambda: session.add_items([said("b")]),
        lambda: session.replace_items([]),
    ):
        with pytest.raises(OwnershipError, match="'bob'"):
            await call()
    assert await StatekeepSession("s", store, user_id="ada").get_items() == [said("a")]


async def test_it_goes_on_after_its_journal_was_deleted(store: StateStore) -> None:
    session = StatekeepSession("s", store)
    await session.add_items([said("a")])
    Journals(store, COLLECTION).open("s").delete()
    await session.add_items([said("b")])
    assert await session.get_items() == [said("b")]


async def test_all_items_are_replaced_in_one_write(store: StateStore) -> None:
    session = StatekeepSession("s", store)
    await session.add_items([said(text) for text in "abcd"])
    await session.replace_items([said("summary")])
    assert await session.get_items() == [said("summary")]


async def test_a_compaction_replaces_the_end_if_it_is_still_the_same(store: StateStore) -> None:
    session = StatekeepSession("s", store)
    await session.add_items([said(text) for text in "abcd"])
    snapshot = await session._get_compaction_snapshot(3)
    assert snapshot is not None
    assert (texts(snapshot.items), snapshot.complete) == ("bcd", False)
    assert await snapshot.replace_suffix(1, [said("summary")])
    assert texts(await session.get_items()) == "absummary"
    assert not await snapshot.replace_suffix(1, [said("other")])
    assert len(await session.get_items()) == 3


async def test_what_was_opened_by_its_url_is_closed(url: str) -> None:
    async with StatekeepSession("s", url) as session:
        await session.add_items([said("a")])
    with pytest.raises(ClosedError, match="StatekeepSession"):
        await session.get_items()
    await session.aclose()


async def test_a_store_that_was_given_stays_open(store: StateStore) -> None:
    async with StatekeepSession("s", store) as session:
        await session.add_items([said("a")])
    assert await StatekeepSession("s", store).get_items() == [said("a")]


async def test_a_cancelled_call_has_its_outcome_before_the_caller_goes_on(
    store: StateStore,
) -> None:
    session = StatekeepSession("s", store)
    for number in range(20):
        task = asyncio.create_task(session.add_items([said(str(number))]))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        before = await session.get_items()
        await asyncio.sleep(0.001)
        assert await session.get_items() == before


steps = st.one_of(
    st.tuples(st.just("add"), st.lists(st.text(max_size=3), max_size=3)),
    st.tuples(st.just("pop")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("get"), st.none() | st.integers(1, 5)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=30))
async def test_it_does_what_the_sessions_of_the_sdk_do(history: list[Any]) -> None:
    theirs = SQLiteSession("s")
    with open_store("memory:") as store:
        ours = StatekeepSession("s", store)
        for name, *arguments in history:
            if name == "add":
                items = [said(text) for text in arguments[0]]
                await theirs.add_items(items)
                await ours.add_items(items)
            elif name == "pop":
                assert await ours.pop_item() == await theirs.pop_item()
            elif name == "clear":
                await theirs.clear_session()
                await ours.clear_session()
            else:
                assert await ours.get_items(*arguments) == await theirs.get_items(*arguments)
        assert await ours.get_items() == await theirs.get_items()
    theirs.close()


@pytest.mark.rest
async def test_what_processes_add_at_once_is_all_there(url: str) -> None:
    if url == "memory:":
        await asyncio.gather(*[adding_often(f"{url}all", worker, 25) for worker in range(4)])
        url = f"{url}all"
    else:
        at_once(add_often, [(url, worker, 25) for worker in range(4)], "adapters.speakers")
    async with StatekeepSession("s", url) as session:
        found = contents(await session.get_items())
    for worker in range(4):
        assert [text for text in found if text.startswith(f"{worker}-")] == [
            f"{worker}-{number}" for number in range(25)
        ]
    # Each batch is in one piece.
    for before, text in zip(found[::2], found[1::2], strict=True):
        assert text.startswith(f"{before}-")


@pytest.mark.parametrize("seed", range(20))
async def test_lost_answers_neither_lose_nor_repeat_what_was_added(seed: int) -> None:
    store = FaultyStore(
        MemoryStore(), seed=seed, before=0.05, after=0.2, operations=["put", "append"]
    )
    session = StatekeepSession("s", store)
    expected: list[str] = []
    unknown: set[str] = set()
    for number in range(30):
        try:
            await session.add_items([said(str(number))])
        except StateStoreError as error:
            if error.landed == "no":
                continue
            unknown.add(str(number))
        expected.append(str(number))
    found = contents(await session.get_items())
    assert [text for text in found if text not in unknown] == [
        text for text in expected if text not in unknown
    ]
    assert len({*found}) == len(found)
    assert store.faults


async def test_any_text_is_an_id(store: StateStore) -> None:
    names = [
        "",
        "../../x",
        "a/b",
        "a\\b",
        ".",
        "..",
        "\0",
        "ä",
        "x" * 800,
        "x" * 801,
        "A",
        "a",
        "%2e",
    ]
    names += ["con", " "]
    for name in names:
        await StatekeepSession(name, store).add_items([said(name)])
    for name in names:
        assert await StatekeepSession(name, store).get_items() == [said(name)]


async def test_half_characters_and_great_numbers_are_kept(store: StateStore) -> None:
    session = StatekeepSession("s", store)
    odd: list[Any] = [said("cut \ud83d"), {"type": "reasoning", "n": 2**70}, said("whole")]
    await session.add_items(odd)
    assert await session.get_items() == odd
    snapshot = await session._get_compaction_snapshot(3)
    assert snapshot is not None
    assert await snapshot.replace_suffix(1, odd[:2])
    assert await session.get_items() == [odd[0], *odd[:2]]
    assert await session.pop_item() == odd[1]
    with pytest.raises(InvalidDocumentError):
        await session.add_items([said("a"), said(object())])
    assert len(await session.get_items()) == 2
