"""Memory of LangGraph, kept by statekeep: as LangGraph's own store keeps it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from statekeep import (
    InvalidDocumentError,
    Journals,
    OwnershipError,
    UnsupportedError,
    load_pruner,
    open_store,
)
from statekeep.errors import ClosedError
from statekeep.testing.faults import FaultyStore
from statekeep.timestamps import utc_now
from statekeep_adapters.langgraph import StatekeepStore, store

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep import StateStore

pytestmark = pytest.mark.anyio

DOCS = ("docs", "ada")
HOSTILE = ["", "../..", "a/b\\c", "x" * 800, "ä☃\U0001f600", "%2F", ".", "a\nb"]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets minutes go by."""
    passed = 0.0

    def wait(minutes: float) -> None:
        nonlocal passed
        passed += minutes

    monkeypatch.setattr(store, "utc_now", lambda: utc_now() + timedelta(minutes=passed))
    return wait


def keys(found: list[Any]) -> set[str]:
    return {item.key for item in found}


class TestItems:
    def test_are_read_as_they_were_put(self, store: StateStore) -> None:
        memory = StatekeepStore(store, user_id="ada")
        assert memory.get(DOCS, "a") is None
        memory.put(DOCS, "a", {"n": 1, "deep": {"list": [1, None]}})
        first = memory.get(DOCS, "a")
        assert first
        assert (first.namespace, first.key) == (DOCS, "a")
        memory.put(DOCS, "a", {"n": 2})
        again = StatekeepStore(store).get(DOCS, "a")
        assert again
        assert again.value == {"n": 2}
        assert again.created_at == first.created_at < again.updated_at
        memory.delete(DOCS, "a")
        memory.delete(DOCS, "a")
        assert memory.get(DOCS, "a") is None

    def test_nothing_stays_of_an_older_value(self, store: StateStore) -> None:
        memory = StatekeepStore(store)
        memory.put(DOCS, "a", {"said": "secret"})
        memory.put(DOCS, "a", {"said": "nothing"})
        for entry in store.scan(""):
            blob = store.get(entry.key)
            assert blob is None or b"secret" not in blob.data

    def test_a_batch_reads_first_and_the_last_write_counts(self, store: StateStore) -> None:
        memory = StatekeepStore(store)
        results = memory.batch(
            [
                PutOp(DOCS, "a", {"n": 1}),
                GetOp(DOCS, "a"),
                PutOp(DOCS, "a", {"n": 2}),
                SearchOp(()),
                ListNamespacesOp(),
            ]
        )
        assert results == [None, None, None, [], []]
        found = memory.get(DOCS, "a")
        assert found
        assert found.value == {"n": 2}

    async def test_are_awaited_in_a_loop(self, store: StateStore) -> None:
        async with StatekeepStore(store) as memory:
            await asyncio.gather(*[memory.aput(DOCS, str(n), {"n": n}) for n in range(20)])
            assert len(await memory.asearch(("docs",), limit=50)) == 20
            assert await memory.alist_namespaces() == [DOCS]
            found = await memory.aget(DOCS, "7")
            assert found
            assert found.value == {"n": 7}
            await memory.adelete(DOCS, "7")
            assert await memory.aget(DOCS, "7") is None

    @pytest.mark.parametrize("key", HOSTILE)
    def test_have_any_key_and_namespaces_of_any_depth(self, store: StateStore, key: str) -> None:
        memory = StatekeepStore(store)
        deep = ("a/b", "%", "ä☃", *"cdefghij")
        memory.put(deep, key, {"key": key})
        [found] = memory.search(("a/b", "%"))
        assert (found.namespace, found.key, found.value) == (deep, key, {"key": key})
        assert memory.search(("a",)) == []
        assert memory.list_namespaces(max_depth=2) == [("a/b", "%")]

    def test_that_json_does_not_hold_are_refused(self, store: StateStore) -> None:
        memory = StatekeepStore(store)
        for value in ({"n": {1}}, {"text": "x" * 2**20}):
            with pytest.raises(InvalidDocumentError):
                memory.put(DOCS, "a", value)
        with pytest.raises(InvalidNamespaceError):
            memory.batch([PutOp(("a.b",), "a", {})])
        with pytest.raises(TypeError, match="each is an operation"):
            memory.batch(["get"])  # type: ignore[list-item]

    def test_of_another_user_are_refused_and_not_found(self, store: StateStore) -> None:
        StatekeepStore(store, user_id="ada").put(DOCS, "a", {"n": 1})
        bob = StatekeepStore(store, user_id="bob")
        calls: list[Callable[[], object]] = [
            lambda: bob.get(DOCS, "a"),
            lambda: bob.put(DOCS, "a", {}),
            lambda: bob.delete(DOCS, "a"),
        ]
        for call in calls:
            with pytest.raises(OwnershipError, match="'bob'"):
                call()
        assert bob.search(()) == bob.search((), filter={"n": 1}) == []
        assert bob.list_namespaces() == []

    def test_one_of_a_lost_answer_is_there_once(self, store: StateStore) -> None:
        faulty = FaultyStore(store, seed=5, after=0.4, operations=["put", "append"])
        memory = StatekeepStore(faulty)
        for n in range(30):
            StatekeepStore(store).put(DOCS, str(n), {"n": -1})
            memory.put(DOCS, str(n), {"n": n})
        assert faulty.faults
        found = memory.search((), limit=100)
        assert sorted(item.value["n"] for item in found) == [*range(30)]

    async def test_are_closed_with_what_was_opened_by_its_url(self, url: str) -> None:
        async with StatekeepStore(url) as memory:
            memory.put(DOCS, "a", {"n": 1})
        with pytest.raises(ClosedError, match="StatekeepStore"):
            await memory.aget(DOCS, "a")
        with pytest.raises(ClosedError):
            memory.get(DOCS, "a")

    def test_cost_one_request_once_they_are_known(self) -> None:
        with open_store("memory:") as inside:
            counting = FaultyStore(inside, slow=1, delay=0)
            memory = StatekeepStore(counting)
            for expected in (["get", "put"], ["put"]):
                counting.faults.clear()
                memory.put(DOCS, "a", {"n": 1})
                assert [fault.operation for fault in counting.faults] == expected
            counting.faults.clear()
            memory.get(DOCS, "a")
            assert [fault.operation for fault in counting.faults] == ["get"]


class TestSearching:
    def test_by_meaning_is_refused(self, store: StateStore) -> None:
        with pytest.raises(UnsupportedError, match="without a query"):
            StatekeepStore(store).search((), query="what is like this")

    def test_gives_what_changed_last_first(self, store: StateStore) -> None:
        memory = StatekeepStore(store)
        for key in "abcb":
            memory.put(DOCS, key, {"key": key})
        assert [item.key for item in memory.search(("docs",))] == ["b", "c", "a"]
        assert [item.key for item in memory.search((), limit=1, offset=1)] == ["c"]
        assert [item.key for item in memory.search((), limit=1, filter={"key": "a"})] == ["a"]

    def test_by_a_comparison_leaves_out_what_cannot_be_compared(self, store: StateStore) -> None:
        memory = StatekeepStore(store)
        for key, value in {"a": 1, "b": "text", "c": None, "d": 3}.items():
            memory.put(DOCS, key, {"n": value})
        assert keys(memory.search((), filter={"n": {"$gt": 1}})) == {"d"}
        assert keys(memory.search((), filter={"n": {"$gte": 1, "$lt": 3}})) == {"a"}
        with pytest.raises(ValueError, match=r"not '\$in'"):
            memory.search((), filter={"n": {"$in": [1]}})


class TestTimeToLive:
    def test_ends_unless_it_is_read(
        self, store: StateStore, later: Callable[[float], None]
    ) -> None:
        memory = StatekeepStore(store, ttl={"default_ttl": 10})
        for key in "abcd":
            memory.put(DOCS, key, {"key": key})
        memory.put(DOCS, "e", {"key": "e"}, ttl=None)
        later(6)
        assert memory.get(DOCS, "a")
        assert memory.get(DOCS, "b", refresh_ttl=False)
        assert keys(memory.search((), filter={"key": "c"})) == {"c"}
        later(6)
        assert memory.get(DOCS, "b") is None
        assert keys(memory.search((), refresh_ttl=False)) == {"a", "c", "e"}
        assert keys(memory.search((), filter={"key": {"$ne": "a"}})) == {"c", "e"}
        later(30)
        assert keys(memory.search(())) == {"e"}

    def test_what_has_ended_is_in_no_listing_and_goes_with_a_prune(
        self, store: StateStore, later: Callable[[float], None]
    ) -> None:
        memory = StatekeepStore(store)
        memory.put(DOCS, "a", {"n": 1}, ttl=5)
        assert memory.list_namespaces() == [DOCS]
        later(6)
        assert memory.list_namespaces() == []
        journals = Journals(store, "langgraph.store")
        strategy = load_pruner("expired")
        plan = journals.plan_prune(strategy, now=utc_now() + timedelta(minutes=6))
        assert len(plan.victims) == 1

    def test_what_is_put_after_its_end_is_new(
        self, store: StateStore, later: Callable[[float], None]
    ) -> None:
        memory = StatekeepStore(store)
        memory.put(DOCS, "a", {"n": 1}, ttl=5)
        first = memory.get(DOCS, "a")
        later(6)
        memory.put(DOCS, "a", {"n": 2})
        second = memory.get(DOCS, "a")
        assert first
        assert second
        assert second.created_at > first.created_at
        later(60)
        assert memory.get(DOCS, "a")

    def test_may_be_without_end(self, store: StateStore) -> None:
        memory = StatekeepStore(store)
        memory.put(DOCS, "a", {"n": 1}, ttl=1e12)
        memory.put(DOCS, "b", {"n": 1}, ttl=0)
        assert keys(memory.search(())) == {"a"}

    def test_reading_at_once_again_writes_nothing(self) -> None:
        with open_store("memory:") as inside:
            counting = FaultyStore(inside, slow=1, delay=0)
            memory = StatekeepStore(counting, ttl={"default_ttl": 60, "refresh_on_read": True})
            memory.put(DOCS, "a", {"n": 1})
            counting.faults.clear()
            memory.get(DOCS, "a")
            assert [fault.operation for fault in counting.faults] == ["get"]


labels = st.sampled_from(["a", "b", "a/b", "ä"])
namespaces = st.lists(labels, min_size=1, max_size=8).map(tuple)
values = st.fixed_dictionaries(
    {"n": st.integers(-3, 3)},
    optional={
        "s": st.sampled_from(["x", "y"]),
        "deep": st.fixed_dictionaries({"n": st.booleans()}),
    },
)
filters = st.one_of(
    st.none(),
    st.fixed_dictionaries({"n": st.integers(-3, 3)}),
    st.fixed_dictionaries({"s": st.sampled_from(["x", "z"])}),
    st.fixed_dictionaries({"deep": st.fixed_dictionaries({"n": st.booleans()})}),
    st.fixed_dictionaries(
        {
            "n": st.dictionaries(
                st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
                st.integers(-2, 2),
                min_size=1,
            )
        }
    ),
)
paths = st.lists(labels | st.just("*"), min_size=1, max_size=3).map(tuple)
conditions = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), paths)
operations = st.one_of(
    st.tuples(namespaces, st.sampled_from("kl"), values).map(lambda given: PutOp(*given)),
    st.tuples(namespaces, st.sampled_from("kl"), values).map(lambda given: PutOp(*given)),
    st.tuples(namespaces, st.sampled_from("kl")).map(lambda given: PutOp(*given, None)),
    st.tuples(namespaces, st.sampled_from("kl")).map(lambda given: GetOp(*given)),
    st.tuples(st.lists(labels, max_size=2).map(tuple), filters).map(
        lambda given: SearchOp(*given, limit=1000)
    ),
    st.builds(
        ListNamespacesOp,
        st.lists(conditions, max_size=2).map(tuple),
        st.integers(1, 3) | st.none(),
        st.integers(0, 3) | st.just(100),
        st.integers(0, 2),
    ),
)


def plain(result: Any) -> Any:
    if isinstance(result, Item):
        return result.namespace, result.key, str(result.value)
    if isinstance(result, list):
        return [plain(each) for each in result]
    return result


def test_it_does_what_the_store_of_langgraph_does(rounds: Callable[[int], int]) -> None:
    @settings(max_examples=rounds(10_000), deadline=None)
    @given(st.lists(st.lists(operations, max_size=4), max_size=12))
    def run(batches: list[list[Any]]) -> None:
        theirs = InMemoryStore()
        with open_store("memory:") as kept:
            ours = StatekeepStore(kept)
            for batch in batches:
                # Theirs lists namespaces also when all of their items are gone, or were only
                # looked for.
                for namespace in [each for each, items in theirs._data.items() if not items]:
                    del theirs._data[namespace]
                reads = [each for each in batch if not isinstance(each, GetOp)]
                for op, our, their in zip(
                    reads, ours.batch(reads), theirs.batch(reads), strict=True
                ):
                    if isinstance(op, SearchOp):  # theirs by when they were put first
                        assert sorted(plain(our)) == sorted(plain(their))
                    else:
                        assert plain(our) == plain(their)
                for op in batch:
                    if isinstance(op, GetOp):
                        assert plain(ours.batch([op])) == plain(theirs.batch([op]))

    run()
