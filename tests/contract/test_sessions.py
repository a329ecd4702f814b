"""What `Sessions` promises over every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from support import RACED_IN_FULL, facts

from statekeep import (
    ANY,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    Session,
    Sessions,
    SessionSummary,
    StateStore,
    UnavailableError,
    UnsupportedError,
    Version,
    open_store,
)
from statekeep.doctor import diagnose
from statekeep.journals import committing
from statekeep.store import Blob, Capabilities, Expect, ExpectSeen, StoreWrapper
from statekeep.store.keys import session_key
from statekeep.testing import SessionsContract

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.events import Event


@pytest.mark.parametrize(
    "backend",
    [
        "memory",
        "local",
        "local, renaming",
        "sqlite",
        "sqlite, full",
        "postgres",
        "valkey",
        "redis",
        "fsspec's memory",
        "fsspec's files",
        "moto+s3fs",
        "seaweedfs+obstore",
    ],
)
class TestSessions(SessionsContract):
    @pytest.fixture
    def location(self, new_location: Callable[[], str]) -> str:
        return new_location()

    @pytest.fixture
    def race(self, backend: str) -> tuple[int, int]:
        return (8, 50) if backend in RACED_IN_FULL else (3, 10)


TURN = {"user": {"content": "x", "timestamp": "2026-01-31T12:00:00Z"}}
ODD: list[dict[str, Any]] = [
    {"uid": "../x"},
    {"uid": ""},
    {"segments": [["../x", 1, 1, "0" * 32, 0]]},
    {"segments": [["000000000000-0123456789abcdef", -1, 1, "0" * 32, 0]]},
    {"about": {"id": "s", "user_id": None, "created_at": "2026-01-31T12:00:00Z"}},
    {"about": {"id": "s", "user_id": 5, "created_at": "x", "updated_at": []}},
    {"items": [{"tool": {}}]},
    {"items": ["text"]},
    {"items": [TURN | {"agent": {}}]},
    {"items": [{"agent": {"phase_reached": ["x"]}}]},
]


@pytest.mark.parametrize("write", ["create", "convert", "overwrite"])
def test_a_journal_that_takes_hours_to_write_names_nothing_that_may_be_swept(
    write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session.new("ada", "s")
    for _ in range(100):
        session.add_user_message("x" * 1000)
    with open_store("memory:") as store:
        if write == "convert":
            Sessions(store).save(session)
        sessions = Sessions(store, form="journal")
        calls: dict[str, Callable[[], object]] = {
            "create": lambda: sessions.save(session),
            "convert": lambda: sessions.convert("s", "journal"),
            "overwrite": lambda: sessions.save(session, overwrite=True),
        }
        before = store.get(session_key("s"))
        hours = count()
        with monkeypatch.context() as patch:
            patch.setattr(committing, "_clocks", lambda: (4000.0 * next(hours),) * 2)
            with pytest.raises(UnavailableError, match="more than an hour") as caught:
                calls[write]()
        assert caught.value.landed == "no"
        assert store.get(session_key("s")) == before
        calls[write]()
        assert len(sessions.load("s", required=True).messages) == 100


@pytest.mark.parametrize("what", ["metadata", "message"])
def test_what_is_too_large_for_a_journal_is_refused_by_every_way_into_one(what: str) -> None:
    session = Session.new("ada", "s")
    large = "x" * (17 * 2**20 if what == "message" else 2**20)
    if what == "message":
        session.add_user_message(large)
    else:
        session.metadata["large"] = large
    with open_store("memory:") as store:
        Sessions(store).save(session)
        sessions = Sessions(store, form="journal")
        sessions.get_or_create("ada", "small")

        def grow(small: Session) -> None:
            small.metadata.update(session.metadata)
            for message in session.user_messages:
                small.add_user_message(message.content)

        ways: list[Callable[[], object]] = [
            lambda: sessions.convert("s", "journal"),
            lambda: sessions.save(session.fork("new")),
            lambda: sessions.save(session.fork("small"), overwrite=True),
            lambda: sessions.update("small", grow),
        ]
        if what == "message":
            ways.append(lambda: sessions.add_turn("small", user=[large]))
        for way in ways:
            with pytest.raises(InvalidDocumentError, match=r"bytes, more than") as caught:
                way()
            assert caught.value.landed == "no"
            assert caught.value.key
        assert sessions.load("small", required=True).is_empty
        assert sessions.load("new") is None


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_odd_head_is_damage_to_all_and_changed_by_nobody(odd: dict[str, Any]) -> None:
    time = "2026-01-31T12:00:00Z"
    about = {"id": "s", "user_id": "ada", "created_at": time, "updated_at": time}
    header = {"statekeep": 2, "uid": "0" * 32, "n": 0, "about": about, "metadata": {},
              "segments": [], "before": {}, "keys": [], "ids": []}  # fmt: skip
    change = {"n": 1, "id": "0" * 24, "items": odd.pop("items", [TURN])}
    data = seal(header | odd, change)
    with open_store("memory:") as store:
        sessions = Sessions(store, form="journal")
        sessions.get_or_create("ada", "sound")
        store.put(session_key("s"), data)
        for operation in (
            lambda: sessions.load("s"),
            lambda: sessions.update("s", lambda session: session.add_user_message("x")),
            lambda: sessions.add_turn("s", user=["x"]),
            lambda: sessions.convert("s", "document"),
        ):
            with pytest.raises(CorruptDataError) as caught:
                operation()
            assert caught.value.key == session_key("s")
        listing = sessions.list()
        assert [each.id for each in listing] == ["sound"]
        assert [each.key for each in listing.problems] == [session_key("s")]
        assert [each.place for each in diagnose(store).problems] == [session_key("s")]
        blob = store.get(session_key("s"))
        assert blob
        assert blob.data == data


def seal(*lines: dict[str, Any]) -> bytes:
    """Lines as format 2 has them."""
    before, data = b"", b""
    for line in lines:
        body = orjson.dumps(line)
        before = blake3(before + body).hexdigest(length=16).encode()
        data += body[:-1] + b',"~":"' + before + b'"}\n'
    return data


class TestACaseFoldingVolume:
    def test_raises_rather_than_mix_two_sessions(self) -> None:
        sessions = Sessions(_FoldingStore(open_store("memory:")))
        sessions.save(Session.new("ada", "abc"))
        with pytest.raises(ConflictError):
            sessions.save(Session.new("eve", "ABC"))
        for operation in (
            lambda: sessions.load("ABC"),
            lambda: sessions.delete("ABC"),
            lambda: sessions.get_or_create("eve", "ABC"),
            lambda: sessions.update("ABC", lambda _: None),
            lambda: sessions.save(Session.new("eve", "ABC"), overwrite=True),
        ):
            with pytest.raises(CorruptDataError, match="abc"):
                operation()
        kept = sessions.load("abc")
        assert kept is not None
        assert kept.user_id == "ada"


class TestHalfwayStores:
    @pytest.mark.parametrize("put", [True, False])
    def test_a_store_that_keeps_one_of_the_conditions_is_refused(self, put: bool) -> None:
        store = _HalfwayStore(open_store("memory:"), put=put)
        with pytest.raises(UnsupportedError, match="delete on a condition"):
            Sessions(store)

    def test_one_that_can_create_does_so_once_even_if_the_last_writer_wins(self) -> None:
        sessions = Sessions(
            _HalfwayStore(open_store("memory:"), put=True), conflicts="last-writer-wins"
        )
        session = sessions.get_or_create("ada", "s")
        sessions.save(session)
        with pytest.raises(ConflictError):
            sessions.save(Session.new("ada", "s"))
        assert sessions.delete("s")


def test_a_listing_is_a_sequence() -> None:
    with open_store("memory:") as store:
        sessions = Sessions(store)
        for session_id in ("a", "b", "c"):
            sessions.get_or_create("ada", session_id)
        listing = sessions.list()
    assert [listing[0], *listing[1:]] == list(listing) == list(listing.summaries)
    with pytest.raises(IndexError):
        listing[3]


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 7))
def test_pages_together_are_the_whole(hours: list[int], limit: int) -> None:
    with open_store("memory:") as store:
        sessions = Sessions(store)
        start = datetime(2024, 1, 1, tzinfo=UTC)
        for n, hour in enumerate(hours):
            moment = start + timedelta(hours=hour)
            session = Session(id=f"s{n}", user_id="ada", created_at=moment, updated_at=moment)
            store.put(session_key(session.id), session.to_json())
        whole = sessions.list().summaries
        paged: list[SessionSummary] = []
        cursor = None
        while True:
            listing = sessions.list(limit=limit, cursor=cursor)
            assert len(listing) <= limit
            paged += listing.summaries
            cursor = listing.cursor
            if cursor is None:
                break
            assert len(listing) == limit
        assert tuple(paged) == whole


def test_an_observer_that_raises_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []

    def fail(event: Event) -> None:
        raise RuntimeError(event)

    with open_store("memory:") as store:
        Sessions(store, observers=[fail, events.append]).get_or_create("ada", "s")
    assert len(facts(events)) == 1
    assert "RuntimeError" in caplog.text


class _FoldingStore(StoreWrapper):
    """A volume that takes `A` and `a` for one name."""

    def get(self, key: str) -> Blob | None:
        return super().get(key.casefold())

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return super().put(key.casefold(), data, expect=expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        super().delete(key.casefold(), expect=expect)


class _HalfwayStore(StoreWrapper):
    """Keeps the conditions of one of the two, puts or deletes."""

    def __init__(self, inner: StateStore, *, put: bool) -> None:
        super().__init__(inner)
        self._claims = Capabilities(conditional_put=put, conditional_delete=not put, shared=False)

    @property
    def capabilities(self) -> Capabilities:
        return self._claims

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if expect is not ANY and not self._claims.conditional_put:
            raise UnsupportedError("no conditions here", key=key, store=self)
        return super().put(key, data, expect=expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        if expect is not ANY and not self._claims.conditional_delete:
            raise UnsupportedError("no conditions here", key=key, store=self)
        super().delete(key, expect=expect)
