"""Moves: a document is in one place or in both, whatever answer is lost."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    ANY,
    ConflictError,
    StateStore,
    UnavailableError,
    UnsupportedError,
    Version,
    open_store,
)
from statekeep.store import Capabilities, Expect, ExpectSeen, StoreWrapper
from statekeep.store.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, COPY = "sessions/s.json", ".statekeep/trash/copy.json"


@pytest.fixture
def store() -> Iterator[StateStore]:
    with open_store("memory:") as store:
        yield store


class Unconditional(StoreWrapper):
    """A server that keeps no conditions; with `honest` False it says so at the first one only."""

    def __init__(self, inner: StateStore, *, honest: bool) -> None:
        super().__init__(inner)
        self._claims = not honest

    @property
    def capabilities(self) -> Capabilities:
        claims = self._claims
        return Capabilities(conditional_put=claims, conditional_delete=claims, shared=False)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        self._refuse(expect)
        return super().put(key, data)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        self._refuse(expect)
        super().delete(key)

    def _refuse(self, expect: Expect) -> None:
        if expect is not ANY:
            self._claims = False
            raise UnsupportedError("no conditions here", store=self)


class Answering(StoreWrapper):
    """A store whose deletes of one key end as a test says."""

    def __init__(self, inner: StateStore, key: str, answer: Callable[[StateStore], object]) -> None:
        super().__init__(inner)
        self._key = key
        self._answer = answer

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        if key == self._key:
            self._answer(self.inner)
        else:
            super().delete(key, expect=expect)


def _put(store: StateStore, data: bytes = b"x") -> object:
    store.put(KEY, data)
    blob = store.get(KEY)
    assert blob is not None
    return blob


def _keys(store: StateStore) -> list[str]:
    return sorted(entry.key for entry in store.scan())


@pytest.mark.parametrize("honest", [True, False])
class TestWithoutConditions:
    def test_the_last_writer_works_at_the_first_call(self, store: StateStore, honest: bool) -> None:
        for _ in range(2):
            for key in _keys(store):
                store.delete(key)
            fresh = Unconditional(store, honest=honest)
            transfer = Transfer(fresh, "last-writer-wins")
            version = transfer.put_new(KEY, b"1")
            with pytest.raises(ConflictError) as caught:
                transfer.put_new(KEY, b"2")
            assert caught.value.landed == "no"
            version = transfer.put_seen(KEY, b"2", version)
            with pytest.raises(ConflictError):
                Transfer(Unconditional(store, honest=honest), "last-writer-wins").delete_seen(
                    KEY, Version("another")
                )
            blob = fresh.get(KEY)
            assert blob is not None
            assert blob.data == b"2"
            Transfer(Unconditional(store, honest=honest), "last-writer-wins").move(KEY, blob, COPY)
            assert _keys(store) == [COPY]

    def test_who_detects_is_refused(self, store: StateStore, honest: bool) -> None:
        version = store.put(KEY, b"1")
        transfer = Transfer(Unconditional(store, honest=honest))
        with pytest.raises(UnsupportedError):
            transfer.put_new("new.md", b"")
        with pytest.raises(UnsupportedError):
            transfer.put_seen(KEY, b"2", version)
        with pytest.raises(UnsupportedError):
            transfer.delete_seen(KEY, version)
        assert _keys(store) == [KEY]


class TestMoving:
    def test_moves(self, store: StateStore) -> None:
        Transfer(store).move(KEY, _put(store), COPY)  # type: ignore[arg-type]
        assert _keys(store) == [COPY]

    def test_takes_its_copy_back_if_the_document_was_saved_meanwhile(
        self, store: StateStore
    ) -> None:
        seen = _put(store)
        store.put(KEY, b"newer")
        with pytest.raises(ConflictError):
            Transfer(store).move(KEY, seen, COPY)  # type: ignore[arg-type]
        assert _keys(store) == [KEY]

    @pytest.mark.parametrize("error", [ConflictError, UnavailableError])
    @pytest.mark.parametrize("landed", [True, False])
    def test_leaves_both_if_the_answer_was_lost(
        self, store: StateStore, error: type[Exception], landed: bool
    ) -> None:
        def answer(inner: StateStore) -> None:
            if landed:
                inner.delete(KEY)
            raise error("no answer, or one to a second request")

        with pytest.raises(error):
            Transfer(Answering(store, KEY, answer)).move(KEY, _put(store), COPY)  # type: ignore[arg-type]
        assert _keys(store) == ([COPY] if landed else [COPY, KEY])

    def test_is_in_a_place_if_the_id_was_made_anew_before_the_delete_was_sent_again(
        self, store: StateStore
    ) -> None:
        """The delete lands, its answer is lost, somebody creates the id, the re-send conflicts."""

        def answer(inner: StateStore) -> None:
            inner.delete(KEY)
            inner.put(KEY, b"another session")
            raise ConflictError("it has changed", landed="unknown")

        with pytest.raises(ConflictError):
            Transfer(Answering(store, KEY, answer)).move(KEY, _put(store), COPY)  # type: ignore[arg-type]
        copy = store.get(COPY)
        assert copy is not None
        assert copy.data == b"x"

    def test_deletes_nothing_once_its_copy_is_old(
        self, store: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = itertools.count(step=60)
        monkeypatch.setattr("statekeep.store.transfer.time.monotonic", lambda: next(clock))
        with pytest.raises(UnavailableError) as caught:
            Transfer(store).move(KEY, _put(store), COPY)  # type: ignore[arg-type]
        assert caught.value.landed == "no"
        assert _keys(store) == [KEY]

    def test_touches_no_copy_of_anybody_else(self, store: StateStore) -> None:
        store.put(COPY, b"theirs")
        with pytest.raises(ConflictError):
            Transfer(store).move(KEY, _put(store), COPY)  # type: ignore[arg-type]
        assert _keys(store) == [COPY, KEY]
        copy = store.get(COPY)
        assert copy is not None
        assert copy.data == b"theirs"
