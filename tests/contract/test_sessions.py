"""What `Sessions` promises over every store."""

from __future__ import annotations

import base64
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import in_processes
from workers import create_one, update_often

from statekeep import (
    ANY,
    Blob,
    Capabilities,
    ConflictDetected,
    ConflictError,
    CorruptDataError,
    Entry,
    Event,
    Expect,
    InvalidDocumentError,
    InvalidKeyError,
    NotFoundError,
    OwnershipError,
    ProblemFound,
    Session,
    SessionDeleted,
    Sessions,
    SessionSaved,
    SessionSummary,
    StateStore,
    UnsupportedError,
    Version,
    open_store,
)
from statekeep.keys import session_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.protocol import ExpectSeen

HOSTILE = [
    "../specs/secret",
    "../../outside",
    "/etc/passwd",
    "slack:C1/17.5",
    "a\\b",
    "..",
    "nul\0byte",
    "line\nfeed",
    "😀",
    "x" * 512,
    "%..",
    "trailing.",
    ".json",
]


@pytest.fixture
def sessions(store: StateStore) -> Sessions:
    return Sessions(store)


@pytest.fixture
def others(location: str) -> Iterator[Sessions]:
    """Another worker's view of the same store."""
    with open_store(location) as store:
        yield Sessions(store)


def put_session(
    store: StateStore, session_id: str, updated_at: datetime, *, user_id: str = "ada"
) -> Session:
    session = Session(id=session_id, user_id=user_id, created_at=updated_at, updated_at=updated_at)
    store.put(session_key(session_id), session.to_json())
    return session


class TestSavingAndLoading:
    def test_what_was_saved_is_loaded(self, sessions: Sessions, others: Sessions) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("hello")
        sessions.save(session)
        assert others.load("s") == session

    def test_what_is_not_there_is_none(self, sessions: Sessions) -> None:
        assert sessions.load("s") is None

    @pytest.mark.parametrize("session_id", HOSTILE)
    def test_any_id_is_a_name_and_never_a_path(
        self, sessions: Sessions, store: StateStore, session_id: str
    ) -> None:
        sessions.save(Session.new("ada", session_id))
        loaded = sessions.load(session_id)
        assert loaded is not None
        assert loaded.id == session_id
        assert [summary.id for summary in sessions.list()] == [session_id]
        (entry,) = store.scan()
        assert entry.key == session_key(session_id)
        assert sessions.delete(session_id)
        assert list(store.scan()) == []

    @pytest.mark.parametrize("session_id", ["", "x" * 513, "\ud83d"])
    def test_what_is_no_id_is_refused_everywhere(self, sessions: Sessions, session_id: str) -> None:
        session = Session(
            id=session_id,
            user_id="ada",
            created_at=datetime.now(UTC),
            updated_at=datetime.now(UTC),
        )
        for operation in (
            lambda: sessions.load(session_id),
            lambda: sessions.delete(session_id),
            lambda: sessions.save(session),
            lambda: sessions.update(session_id, lambda _: None),
            lambda: sessions.get_or_create("ada", session_id),
        ):
            with pytest.raises(InvalidKeyError):
                operation()

    def test_a_new_session_does_not_replace_one(self, sessions: Sessions) -> None:
        sessions.save(Session.new("ada", "s"))
        with pytest.raises(ConflictError, match="exists already"):
            sessions.save(Session.new("eve", "s"))
        kept = sessions.load("s")
        assert kept is not None
        assert kept.user_id == "ada"

    def test_the_second_of_two_savers_is_told(self, sessions: Sessions, others: Sessions) -> None:
        sessions.save(Session.new("ada", "s"))
        mine, theirs = sessions.load("s"), others.load("s")
        assert mine
        assert theirs
        theirs.add_user_message("theirs")
        others.save(theirs)
        mine.add_user_message("mine")
        with pytest.raises(ConflictError, match="since it was loaded"):
            sessions.save(mine)
        assert sessions.load("s") == theirs

    def test_a_deleted_session_is_not_brought_back(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        others.delete("s")
        with pytest.raises(ConflictError):
            sessions.save(session)
        assert sessions.load("s") is None

    def test_a_session_may_be_saved_again_and_again(self, sessions: Sessions) -> None:
        session = Session.new("ada", "s")
        versions = []
        for n in range(3):
            session.add_user_message(str(n))
            versions.append(sessions.save(session))
        assert len(set(versions)) == 3
        assert session.version == versions[-1]

    def test_overwriting_replaces_what_is_there(
        self, sessions: Sessions, others: Sessions, store: StateStore
    ) -> None:
        sessions.save(Session.new("eve", "s"))
        session = Session.new("ada", "s")
        sessions.save(session, overwrite=True)
        assert others.load("s") == session
        store.put(session_key("s"), b"garbage")
        sessions.save(session, overwrite=True)
        assert others.load("s") == session

    def test_overwriting_never_replaces_another_session(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        store.put(session_key("s"), Session.new("ada", "other").to_json())
        with pytest.raises(CorruptDataError, match="other"):
            sessions.save(Session.new("ada", "s"), overwrite=True)

    def test_what_cannot_be_stored_changes_nothing(self, sessions: Sessions) -> None:
        session = sessions.get_or_create("ada", "s")
        session.metadata["bad"] = float("nan")
        with pytest.raises(InvalidDocumentError):
            sessions.save(session)
        kept = sessions.load("s")
        assert kept is not None
        assert kept.metadata == {}

    def test_a_session_may_travel_with_its_version(self, sessions: Sessions) -> None:
        stored = sessions.get_or_create("ada", "s")
        text, version = stored.to_json(), stored.version
        sessions.update("s", lambda session: session.add_user_message("meanwhile"))
        back = Session.from_json(text)
        back.expect_version(version)
        with pytest.raises(ConflictError):
            sessions.save(back)


class TestOwners:
    def test_a_session_is_loaded_for_its_owner_only(self, sessions: Sessions) -> None:
        sessions.save(Session.new("alice", "s"))
        assert sessions.load("s", user_id="alice")
        with pytest.raises(OwnershipError):
            sessions.load("s", user_id="mallory")
        with pytest.raises(OwnershipError):
            sessions.update("s", lambda _: None, user_id="mallory")
        with pytest.raises(OwnershipError):
            sessions.delete("s", user_id="mallory")
        assert sessions.load("s")

    def test_mallory_does_not_get_alices_session(self, sessions: Sessions) -> None:
        sessions.get_or_create("alice", "s")
        with pytest.raises(OwnershipError):
            sessions.get_or_create("mallory", "s")


class TestGetOrCreate:
    def test_gives_the_one_that_is_there(self, sessions: Sessions) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("hello")
        sessions.save(session)
        assert sessions.get_or_create("ada", "s") == session

    def test_makes_and_stores_a_new_one(self, sessions: Sessions) -> None:
        session = sessions.get_or_create("ada", "s")
        assert (session.id, session.user_id) == ("s", "ada")
        assert sessions.load("s") == session

    def test_makes_a_random_id_if_none_is_given(self, sessions: Sessions) -> None:
        one, two = sessions.get_or_create("ada"), sessions.get_or_create("ada")
        assert one.id != two.id
        assert len(sessions.list()) == 2

    def test_fifty_that_race_get_one_session(self, location: str) -> None:
        gate = threading.Barrier(50)
        with ExitStack() as stack:
            workers = [Sessions(stack.enter_context(open_store(location))) for _ in range(5)]

            def race(n: int) -> Session:
                gate.wait()
                return workers[n % 5].get_or_create("ada", "s")

            with ThreadPoolExecutor(50) as pool:
                got = list(pool.map(race, range(50)))
        assert all(session == got[0] for session in got)


class TestUpdating:
    def test_changes_what_is_stored(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        updated = sessions.update("s", lambda session: session.add_user_message("hello"))
        assert sessions.load("s") == updated
        assert len(updated.user_messages) == 1

    def test_needs_a_session(self, sessions: Sessions) -> None:
        with pytest.raises(NotFoundError):
            sessions.update("s", lambda _: None)

    def test_sees_what_others_saved_meanwhile(self, sessions: Sessions, others: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        seen: list[int] = []

        def change(session: Session) -> None:
            if not seen:
                others.update("s", lambda theirs: theirs.add_user_message("theirs"))
            seen.append(len(session.user_messages))
            session.add_user_message("mine")

        updated = sessions.update("s", change)
        assert seen == [0, 1]
        assert [message.content for message in updated.user_messages] == ["theirs", "mine"]

    def test_gives_up_after_its_timeout(self, sessions: Sessions, others: Sessions) -> None:
        sessions.get_or_create("ada", "s")

        def interfere(_: Session) -> None:
            others.update("s", lambda theirs: theirs.add_user_message("theirs"))

        with pytest.raises(ConflictError):
            sessions.update("s", interfere, timeout=timedelta(0))

    def test_what_the_change_raises_changes_nothing(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")

        def fail(session: Session) -> None:
            session.add_user_message("half")
            raise RuntimeError

        with pytest.raises(RuntimeError):
            sessions.update("s", fail)
        kept = sessions.load("s")
        assert kept is not None
        assert kept.is_empty

    def test_fifty_at_once_all_survive(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")

        def add(n: int) -> None:
            sessions.update("s", lambda session: session.add_user_message(str(n)))

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(add, range(50)))
        session = sessions.load("s")
        assert session is not None
        assert sorted(int(message.content) for message in session.user_messages) == list(range(50))


class TestDeleting:
    def test_says_whether_there_was_one(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        assert sessions.delete("s") is True
        assert sessions.delete("s") is False
        assert sessions.load("s") is None

    def test_leaves_documents_alone(self, sessions: Sessions, store: StateStore) -> None:
        for key in ("specs/secret.json", "outside.json", "sessions/s.md"):
            store.put(key, b"{}")
        for session_id in ("../specs/secret", "../outside", "s", "specs/secret"):
            assert sessions.delete(session_id) is False
        assert len(list(store.scan())) == 3

    def test_deletes_what_was_saved_meanwhile_too(
        self, sessions: Sessions, store: StateStore, others: Sessions
    ) -> None:
        sessions.get_or_create("ada", "s")
        busy = _BusyStore(store, lambda: others.update("s", lambda s: s.add_user_message("x")))
        assert Sessions(busy).delete("s") is True
        assert sessions.load("s") is None


class TestUnsoundFiles:
    def test_a_file_with_anothers_id_is_a_problem_and_is_left_alone(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        store.put("specs/victim.json", b'"precious"')
        planted = Session.new("eve", "../specs/victim").to_json()
        store.put("sessions/planted.json", planted)
        listing = sessions.list()
        assert len(listing) == 0
        assert [problem.key for problem in listing.problems] == ["sessions/planted.json"]
        with pytest.raises(CorruptDataError, match="does not belong here"):
            sessions.load("planted")
        with pytest.raises(CorruptDataError):
            sessions.delete("planted")
        assert sessions.load("../specs/victim") is None
        assert store.get("specs/victim.json")
        assert store.get("sessions/planted.json")

    def test_of_two_files_with_one_id_the_sound_one_counts(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        store.put("sessions/copy of s.json", session.to_json())
        listing = sessions.list()
        assert [summary.id for summary in listing] == ["s"]
        assert [problem.key for problem in listing.problems] == ["sessions/copy of s.json"]
        assert sessions.delete("s")
        assert store.get("sessions/copy of s.json")

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"null", b"[]", b"\xff\xfe", b"{}", b'{"id": "s"}', b"[" * 2000]
    )
    def test_a_corrupt_file_is_reported_and_left_alone(
        self, sessions: Sessions, store: StateStore, data: bytes
    ) -> None:
        store.put("sessions/s.json", data)
        (problem,) = sessions.list().problems
        assert (problem.key, bool(problem.reason)) == ("sessions/s.json", True)
        for operation in (
            lambda: sessions.load("s"),
            lambda: sessions.delete("s"),
            lambda: sessions.get_or_create("ada", "s"),
            lambda: sessions.update("s", lambda _: None),
        ):
            with pytest.raises(CorruptDataError) as caught:
                operation()
            assert caught.value.key == "sessions/s.json"
            assert caught.value.store == str(store)
        with pytest.raises(ConflictError):
            sessions.save(Session.new("ada", "s"))
        blob = store.get("sessions/s.json")
        assert blob is not None
        assert blob.data == data

    def test_a_corrupt_file_is_logged_once(
        self, sessions: Sessions, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put("sessions/s.json", b"{")
        with caplog.at_level(logging.WARNING, "statekeep"):
            sessions.list()
            sessions.list()
        assert len(caplog.records) == 1
        assert "sessions/s.json" in caplog.text

    def test_a_nameless_file_is_reported(self, sessions: Sessions, store: StateStore) -> None:
        store.put("sessions/.json", Session.new("ada", "").to_json())
        assert [problem.key for problem in sessions.list().problems] == ["sessions/.json"]

    def test_what_is_beside_sessions_is_none(self, sessions: Sessions, store: StateStore) -> None:
        session = sessions.get_or_create("ada", "s")
        store.put("sessions/s.md", b"# about s")
        store.put("sessions/sub/s.json", session.to_json())
        store.put("sessions/s.txt", b"")
        listing = sessions.list()
        assert [summary.id for summary in listing] == ["s"]
        assert listing.problems == ()


class TestACaseFoldingVolume:
    def test_raises_rather_than_mix_two_sessions(self) -> None:
        sessions = Sessions(_FoldingStore())
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


class TestListing:
    def test_is_newest_first_with_ties_by_id(self, sessions: Sessions, store: StateStore) -> None:
        start = datetime(2024, 1, 1, tzinfo=UTC)
        for session_id, hours in (("old", 0), ("b", 1), ("a", 1), ("new", 2)):
            put_session(store, session_id, start + timedelta(hours=hours))
        assert [summary.id for summary in sessions.list()] == ["new", "a", "b", "old"]

    def test_of_nothing_is_empty(self, sessions: Sessions) -> None:
        listing = sessions.list()
        assert (listing.summaries, listing.problems, listing.cursor) == ((), (), None)

    def test_filters(self, sessions: Sessions, store: StateStore) -> None:
        start = datetime(2024, 1, 1, tzinfo=UTC)
        for n in range(6):
            session = Session(
                id=str(n),
                user_id="ada" if n % 2 else "bob",
                created_at=start,
                updated_at=start + timedelta(hours=n),
                active_seed_id="seed" if n < 3 else None,
                metadata={"project_ids": "p"} if n > 3 else {},
            )
            store.put(session_key(session.id), session.to_json())

        def ids(**filters: object) -> str:
            return "".join(summary.id for summary in sessions.list(**filters))  # type: ignore[arg-type]

        assert ids() == "543210"
        assert ids(user_id="ada") == "531"
        assert ids(project_id="p") == "54"
        assert ids(active_seed_id="seed") == "210"
        assert ids(updated_before=start + timedelta(hours=2)) == "10"
        assert ids(updated_after=start + timedelta(hours=3)) == "54"
        assert ids(user_id="bob", project_id="p") == "4"
        assert ids(user_id="nobody") == ""
        assert ids(user_id="ada", limit=2) == "53"

    @given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 7))
    def test_pages_together_are_the_whole(self, hours: list[int], limit: int) -> None:
        with open_store("memory:") as store:
            sessions = Sessions(store)
            start = datetime(2024, 1, 1, tzinfo=UTC)
            for n, hour in enumerate(hours):
                put_session(store, f"s{n}", start + timedelta(hours=hour))
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

    def test_a_page_goes_on_where_the_last_ended_whatever_was_deleted(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        start = datetime(2024, 1, 1, tzinfo=UTC)
        for n in range(6):
            put_session(store, str(n), start + timedelta(hours=n))
        first = sessions.list(limit=3)
        sessions.delete(first.summaries[-1].id)
        second = sessions.list(limit=3, cursor=first.cursor)
        assert [summary.id for summary in second] == ["2", "1", "0"]

    @pytest.mark.parametrize(
        "cursor",
        [
            "",
            "nonsense",
            "é",
            base64.b64encode(b"{}").decode(),
            base64.b64encode(b"[1,2]").decode(),
        ],
    )
    def test_a_false_cursor_is_refused(self, sessions: Sessions, cursor: str) -> None:
        with pytest.raises(InvalidKeyError, match="cursor"):
            sessions.list(cursor=cursor)

    def test_a_page_of_nothing_is_refused(self, sessions: Sessions) -> None:
        with pytest.raises(ValueError, match="limit"):
            sessions.list(limit=0)


class TestAStoreWithoutConditions:
    def test_needs_the_word(self) -> None:
        with pytest.raises(UnsupportedError, match="last-writer-wins"):
            Sessions(_UnconditionalStore())

    def test_works_as_last_writer_wins(self) -> None:
        store = _UnconditionalStore()
        sessions = Sessions(store, conflicts="last-writer-wins")
        mine = sessions.get_or_create("ada", "s")
        theirs = sessions.load("s")
        assert theirs
        mine.add_user_message("mine")
        sessions.save(mine)
        sessions.save(theirs)
        last = sessions.load("s")
        assert last is not None
        assert last.is_empty
        sessions.update("s", lambda session: session.add_user_message("more"))
        assert sessions.delete("s")
        assert not sessions.delete("s")


class TestEvents:
    def test_tell_what_happened(self, store: StateStore, others: Sessions) -> None:
        events: list[Event] = []
        sessions = Sessions(store, observers=[events.append])
        session = sessions.get_or_create("ada", "s")
        session.add_user_message("hello")
        version = sessions.save(session)
        others.update("s", lambda theirs: theirs.add_user_message("theirs"))
        with pytest.raises(ConflictError):
            sessions.save(session)
        sessions.delete("s")
        where = str(store)
        created = events[0]
        assert isinstance(created, SessionSaved)
        assert created.created
        assert events[1:] == [
            SessionSaved(where, "s", "ada", version, created=False),
            ConflictDetected(where, "sessions/s.json"),
            SessionDeleted(where, "s", pruned=False, trashed=False),
        ]

    def test_tell_of_problems_once(self, store: StateStore) -> None:
        events: list[Event] = []
        sessions = Sessions(store, observers=[events.append])
        store.put("sessions/bad.json", b"")
        sessions.list()
        sessions.list()
        (event,) = events
        assert isinstance(event, ProblemFound)
        assert event.key == "sessions/bad.json"

    def test_an_observer_that_raises_stops_nobody(
        self, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        events: list[Event] = []

        def fail(event: Event) -> None:
            raise RuntimeError(event)

        Sessions(store, observers=[fail, events.append]).get_or_create("ada", "s")
        assert len(events) == 1
        assert "RuntimeError" in caplog.text


@pytest.mark.slow
def test_of_eight_processes_with_fifty_updates_each_none_is_lost(location: str) -> None:
    with open_store(location) as store:
        if not store.capabilities.shared:
            return
        Sessions(store).get_or_create("ada", "s")
    in_processes(update_often, [(location, worker, 50) for worker in range(8)])
    with open_store(location) as store:
        session = Sessions(store).load("s")
    assert session is not None
    said = sorted(message.content for message in session.user_messages)
    assert said == sorted(f"{worker}-{n}" for worker in range(8) for n in range(50))


@pytest.mark.slow
def test_of_processes_that_race_to_create_all_get_one_session(location: str) -> None:
    if location.startswith("memory:"):
        return
    created = in_processes(create_one, [(location, "b/c")] * 8)
    assert len(set(created)) == 1


class _Wrapper(StateStore):
    """Passes everything on."""

    def __init__(self, inner: StateStore) -> None:
        self._inner = inner

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def get(self, key: str) -> Blob | None:
        return self._inner.get(key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return self._inner.put(key, data, expect=expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        self._inner.delete(key, expect=expect)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        return self._inner.scan(prefix)

    def close(self) -> None:
        self._inner.close()


class _BusyStore(_Wrapper):
    """Something happens right after the first read."""

    def __init__(self, inner: StateStore, happens: object) -> None:
        super().__init__(inner)
        self._happens = [happens]

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        while self._happens:
            self._happens.pop()()  # type: ignore[operator]
        return blob


class _FoldingStore(_Wrapper):
    """A volume that takes `A` and `a` for one name."""

    def __init__(self) -> None:
        super().__init__(open_store("memory:"))

    def get(self, key: str) -> Blob | None:
        return super().get(key.casefold())

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return super().put(key.casefold(), data, expect=expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        super().delete(key.casefold(), expect=expect)


class _UnconditionalStore(_Wrapper):
    """Like a plain filesystem behind fsspec."""

    def __init__(self) -> None:
        super().__init__(open_store("memory:"))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=False, conditional_delete=False, shared=False)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if expect is not ANY:
            raise UnsupportedError("no conditions here", key=key, store=self)
        return super().put(key, data)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        if expect is not ANY:
            raise UnsupportedError("no conditions here", key=key, store=self)
        super().delete(key)


class TestHalfwayStores:
    def test_a_store_that_cannot_delete_on_a_condition_is_refused(self) -> None:
        class PutOnly(_UnconditionalStore):
            @property
            def capabilities(self) -> Capabilities:
                return Capabilities(conditional_put=True, conditional_delete=False, shared=False)

        with pytest.raises(UnsupportedError, match="delete on a condition"):
            Sessions(PutOnly())

    def test_last_writer_wins_still_does_not_create_over_another(self, store: StateStore) -> None:
        sessions = Sessions(store, conflicts="last-writer-wins")
        sessions.save(Session.new("ada", "s"))
        with pytest.raises(ConflictError):
            sessions.save(Session.new("bob", "s"))
        with pytest.raises(OwnershipError):
            sessions.get_or_create("bob", "s")


class TestMistakes:
    def test_an_update_that_gives_another_session_is_refused(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        with pytest.raises(TypeError, match="in place"):
            sessions.update("s", lambda session: session.model_copy(update={"user_id": "eve"}))

    def test_what_cannot_be_stored_is_named_with_its_key_and_store(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        session.metadata["n"] = 2**70
        with pytest.raises(InvalidDocumentError, match=r"64 bits \(at metadata\.n\)") as caught:
            sessions.save(session)
        assert (caught.value.key, caught.value.store) == ("sessions/s.json", str(store))


def test_a_session_that_became_anothers_is_not_deleted(
    sessions: Sessions, store: StateStore, others: Sessions
) -> None:
    sessions.get_or_create("ada", "s")

    def replace() -> None:
        others.delete("s")
        others.get_or_create("eve", "s")

    with pytest.raises(OwnershipError):
        Sessions(_BusyStore(store, replace)).delete("s", user_id="ada")
    assert others.load("s", user_id="eve")


def test_an_overwritten_session_was_not_created(store: StateStore) -> None:
    events: list[Event] = []
    sessions = Sessions(store, observers=[events.append])
    sessions.save(Session.new("ada", "s"), overwrite=True)
    sessions.save(Session.new("ada", "s"), overwrite=True)
    assert [e.created for e in events if isinstance(e, SessionSaved)] == [True, False]


def test_a_file_that_is_corrupted_anew_is_reported_again(
    sessions: Sessions, store: StateStore, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (b"{", b"[", b"["):
        store.put("sessions/s.json", data)
        sessions.list()
    assert len(caplog.records) == 2


def test_problems_are_sorted_by_key(sessions: Sessions, store: StateStore) -> None:
    for name in "cab":
        store.put(f"sessions/{name}.json", b"")
    assert [each.key[9] for each in sessions.list().problems] == ["a", "b", "c"]
