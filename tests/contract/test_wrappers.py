"""A wrapped store keeps the whole contract, and has the powers that it should have."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from wrappers import CompressingStore, ReadCounter, open_compressed, open_counted

from statekeep import CorruptDataError, InvalidDocumentError, Sessions, StateStore, open_store
from statekeep.store import (
    Blob,
    StoreWrapper,
    SupportsDeleteMany,
    SupportsDeleteSeen,
    SupportsGetMany,
    SupportsInitialize,
    SupportsInspect,
    SupportsQuery,
    SupportsRemains,
    SupportsSurvey,
    SupportsSweep,
    SupportsVacuum,
    TransformingStore,
    get_many,
    power,
)
from statekeep.testing import (
    JournalsContract,
    SessionsContract,
    StateStoreContract,
    StateStoreMachine,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep import StateStoreError

POWERS = [
    SupportsGetMany,
    SupportsDeleteMany,
    SupportsDeleteSeen,
    SupportsSweep,
    SupportsInspect,
    SupportsQuery,
    SupportsRemains,
    SupportsSurvey,
    SupportsInitialize,
    SupportsVacuum,
]


def _compressed_size(_: object, key: str, data: bytes) -> int:  # noqa: ARG001
    return len(zlib.compress(data))


@pytest.fixture(params=["memory", "local", "sqlite", "postgres", "valkey", "seaweedfs+obstore"])
def backend(request: pytest.FixtureRequest) -> str:
    """One of each kind: a wrapper does the same over another server."""
    name: str = request.param
    return name


class _Wrapped:
    @pytest.fixture
    def location(self, new_location: Callable[[], str]) -> str:
        return new_location()


class _WithAllPowers(_Wrapped):
    @pytest.fixture(params=["sqlite"])
    def backend(self, request: pytest.FixtureRequest) -> str:
        """The one with most powers: what sessions and journals call is the same over any."""
        name: str = request.param
        return name


class _WithTransformedBytes(_Wrapped):
    @pytest.fixture(params=["local", "sqlite"])
    def backend(self, request: pytest.FixtureRequest) -> str:
        """One that appends in place and has no records, and one that has them."""
        name: str = request.param
        return name


class TestCountedStore(_Wrapped, StateStoreContract):
    open = staticmethod(open_counted)


class TestCountedSessions(_WithAllPowers, SessionsContract):
    open = staticmethod(open_counted)


class TestCountedJournals(_WithAllPowers, JournalsContract):
    open = staticmethod(open_counted)


class TestCompressedStore(_Wrapped, StateStoreContract):
    open = staticmethod(open_compressed)
    size_of = _compressed_size


class TestCompressedSessions(_WithTransformedBytes, SessionsContract):
    open = staticmethod(open_compressed)


class TestCompressedJournals(_WithTransformedBytes, JournalsContract):
    open = staticmethod(open_compressed)


@pytest.mark.parametrize("opener", [open_counted, open_compressed])
def test_a_wrapped_store_is_a_dict_whatever_is_done(
    backend: str, new_location: Callable[[], str], opener: Callable[[str], StateStore]
) -> None:
    class Machine(StateStoreMachine):
        def location(self) -> str:
            return new_location()

        def open(self, location: str) -> StateStore:
            return opener(location)

        def size_of(self, key: str, data: bytes) -> int:
            return _compressed_size(self, key, data) if opener is open_compressed else len(data)

    few = settings(max_examples=2 if "+" in backend else 15, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(Machine, settings=few)


def _has(store: StateStore) -> set[str]:
    return {each.__name__ for each in POWERS if power(store, each) is not None}


@pytest.mark.parametrize("wrapper", [StoreWrapper, CompressingStore])
def test_a_wrapper_has_the_powers_of_what_it_wraps(
    store: StateStore, wrapper: type[StoreWrapper]
) -> None:
    able = _has(store)
    if issubclass(wrapper, TransformingStore):
        able.discard(SupportsQuery.__name__)
    assert _has(wrapper(store)) == _has(wrapper(wrapper(store))) == able


def test_capabilities_are_those_of_what_is_wrapped(store: StateStore) -> None:
    assert StoreWrapper(store).capabilities == store.capabilities


class TestAnOverride:
    def test_of_both_ways_of_reading_keeps_the_power(self) -> None:
        with ReadCounter(open_store("memory:")) as store:
            for n in range(3):
                store.put(f"{n}.md", b"")
            assert len(dict(get_many(store, ["0.md", "1.md", "2.md"]))) == 3
            assert store.reads == 3
            assert power(store, SupportsGetMany) is store

    def test_is_never_bypassed(self, store: StateStore) -> None:
        class Upper(StoreWrapper):
            def get(self, key: str) -> Blob | None:
                seen.append(key)
                return super().get(key)

            def delete(self, key: str, **expect: object) -> None:
                raise AssertionError(key, expect)

        seen: list[str] = []
        wrapped = Upper(store)
        assert power(wrapped, SupportsGetMany) is None
        assert power(wrapped, SupportsDeleteMany) is None
        assert power(StoreWrapper(wrapped), SupportsGetMany) is None
        store.put("a.md", b"x")
        dict(get_many(wrapped, ["a.md"]))
        assert seen == ["a.md"]

    @pytest.mark.parametrize("backend", ["sqlite"])
    @pytest.mark.parametrize("overridden", ["put", "get", "scan"])
    @pytest.mark.parametrize("also", [(), ("put_record",), ("query", "count")])
    def test_keeps_a_store_from_being_asked_for_records(
        self, store: StateStore, overridden: str, also: tuple[str, ...]
    ) -> None:
        def forward(name: str) -> Callable[..., object]:
            return lambda self, *args, **kwargs: getattr(self.inner, name)(*args, **kwargs)

        members = {name: forward(name) for name in (overridden, *also)}
        wrapped = type("Wrapped", (StoreWrapper,), members)(store)
        is_paired = ("put_record",) if overridden == "put" else ("query", "count")
        assert (power(wrapped, SupportsQuery) is not None) == (also == is_paired)
        kind: type[StateStore] = type("Inherited", (type(store),), members)
        inherited = object.__new__(kind)
        assert (power(inherited, SupportsQuery) is not None) == (also == is_paired)

    def test_can_add_a_power(self) -> None:
        class Reader(StoreWrapper):
            def get_many(
                self, keys: Iterable[str]
            ) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
                return ((key, self.get(key)) for key in keys)

        with Reader(open_store("memory:")) as store:
            assert power(store, SupportsGetMany) is store
            assert not store.capabilities.remote


def test_a_wrapper_that_reads_many_on_a_disk_prunes_without_threads(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    import threading

    from statekeep import load_pruner

    class Reader(StoreWrapper):
        def get_many(
            self, keys: Iterable[str]
        ) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
            return ((key, self.get(key)) for key in keys)

        def delete(self, key: str, **expect: object) -> None:
            deleting.add(threading.current_thread())
            super().delete(key, **expect)  # type: ignore[arg-type]

    deleting: set[threading.Thread] = set()
    with Reader(open_store(tmp_path_factory.mktemp("disk"))) as store:
        sessions = Sessions(store)
        for n in range(4):
            sessions.get_or_create("ada", str(n))
        report = sessions.prune(load_pruner("max-sessions", max_sessions=1))
        assert len(report.pruned) == 3
    assert deleting == {threading.current_thread()}


class TestATransformingStore:
    def test_says_what_it_cannot_decode(self) -> None:
        with open_store("memory:") as inner:
            inner.put("a.md", b"never compressed")
            inner.put("b.md", zlib.compress(b"fine"))
            store = CompressingStore(inner)
            with pytest.raises(CorruptDataError, match="CompressingStore cannot decode it"):
                store.get("a.md")
            found = dict(get_many(store, ["a.md", "b.md"]))
            assert isinstance(found["a.md"], CorruptDataError)
            assert isinstance(found["b.md"], Blob)
            inner.put("sessions/s.json", b"never compressed")
            (problem,) = Sessions(store).list().problems
            assert problem.key == "sessions/s.json"

    def test_says_what_it_cannot_encode(self) -> None:
        class Refusing(CompressingStore):
            def encode(self, key: str, data: bytes) -> bytes:
                raise ValueError(key, data)

        with Refusing(open_store("memory:")) as store:
            with pytest.raises(InvalidDocumentError, match="Refusing cannot encode it") as caught:
                store.put("a.md", b"x")
            assert caught.value.landed == "no"
            assert list(store.scan()) == []

    def test_sweeps_what_is_left_behind_inside(self, store: StateStore) -> None:
        able = power(CompressingStore(store), SupportsSweep)
        if able is not None:
            assert able.sweep(older_than=timedelta(0)) == 0
