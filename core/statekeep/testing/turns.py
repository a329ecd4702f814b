"""Tests of turns and of the forms of sessions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    ANY,
    AgentResponse,
    ConflictError,
    NotFoundError,
    OwnershipError,
    Session,
    Sessions,
    StateStore,
    UnavailableError,
    UnsupportedError,
    UserMessage,
    Version,
)
from statekeep.format.version import is_head
from statekeep.store import StoreWrapper
from statekeep.store.keys import session_key
from statekeep.testing.fixtures import SessionFixtures
from statekeep.testing.processes import add_turns_at, in_processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from statekeep.sessions.repository import Form
    from statekeep.store import ConflictPolicy, Expect

__all__ = ["TurnsContract"]


class TurnsContract(SessionFixtures):
    """The part of `SessionsContract` about turns and forms."""

    # appending

    def test_an_append_stores_new_messages_and_changed_fields(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        session = _talk(sessions, "a", "b")
        session.set_metadata("kept", [1])
        session.set_metadata("gone", True)
        session.set_active_seed("seed")
        sessions.append(session)
        assert others.load("s") == session
        session.add_agent_response("c", phase_reached="plan", evaluation_passed=True)
        del session.metadata["gone"]
        session.metadata["kept"].append(2)
        session.clear_active_seed()
        version = sessions.append(session)
        assert session.version == version
        found = others.load("s", required=True)
        assert found == session
        assert _said(found.messages) == ["a", "b", "c"]
        assert (found.metadata, found.active_seed_id) == ({"kept": [1, 2]}, None)
        (summary,) = others.list()
        assert (summary.message_count, summary.last_phase) == (2, "plan")

    def test_a_save_distinguishes_values_that_python_considers_equal(
        self, sessions: Sessions
    ) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("a", mark=1)
        session.metadata["mark"] = [1]
        sessions.save(session)
        for mark in (True, 1.0, 1):
            session.metadata["mark"] = [mark]
            session.user_messages[0].mark = mark
            sessions.save(session)
            found = sessions.load("s", required=True)
            marks = [found.metadata["mark"][0], (found.user_messages[0].model_extra or {})["mark"]]
            assert [repr(each) for each in marks] == [repr(mark)] * 2, f"{mark} became {marks}"

    def test_saving_an_unchanged_session_changes_nothing(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        session = _talk(sessions, "a")
        sessions.save(session)
        sessions.save(session.model_copy(deep=True))
        for _ in range(2):
            pinned = sessions.pin("s")
        assert others.load("s") == pinned
        assert others.update("s", lambda _: None).messages == session.messages

    def test_a_save_stores_replaced_and_moved_messages(self, sessions: Sessions) -> None:
        session = _talk(sessions, "a", "b", "c")
        session.user_messages[1] = session.user_messages[1].model_copy(update={"content": "B"})
        sessions.save(session)
        assert _said_in(sessions) == ["a", "B", "c"]
        session.user_messages.reverse()
        with pytest.raises(ValueError, match="was changed or removed"):
            sessions.append(session)
        sessions.save(session)
        found = sessions.load("s", required=True)
        assert _said(found.user_messages) == ["c", "B", "a"]
        session.user_messages.append(session.user_messages[0])
        sessions.save(session)
        found = sessions.load("s", required=True)
        assert _said(found.user_messages) == ["c", "B", "a", "c"]

    @pytest.mark.usefixtures("_detects")
    def test_a_turn_whose_response_is_lost_is_added_once(
        self, store: StateStore, form: Form, sessions: Sessions
    ) -> None:
        _talk(sessions, "a")
        for add in (_add_b, _say_c):
            deaf = Sessions(_DeafStore(store), form=form)
            if form == "journal":
                add(deaf)
                continue
            with pytest.raises(UnavailableError) as caught:
                add(deaf)
            assert caught.value.landed == "unknown", (
                "the error denies that the turn may have landed"
            )
        assert _said_in(sessions) == ["a", "b", "c"]

    def test_an_append_creates_a_session_and_never_replaces_one(self, sessions: Sessions) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("a")
        sessions.append(session)
        assert _said_in(sessions) == ["a"]
        if sessions.store.capabilities.conditional_put:
            with pytest.raises(ConflictError, match="exists already"):
                sessions.append(Session.new("ada", "s"))

    def test_an_append_never_changes_stored_messages(self, sessions: Sessions) -> None:
        _talk(sessions, "a", "b", "c")

        def edit(session: Session) -> None:
            session.user_messages[1].content = "B"

        def take_out(session: Session) -> None:
            session.user_messages.pop()

        for change in (edit, take_out):
            session = sessions.load("s", required=True)
            change(session)
            session.add_user_message("d")
            with pytest.raises(ValueError, match="was changed or removed"):
                sessions.append(session)
            assert _said_in(sessions) == ["a", "b", "c"], "a refused append changed the session"
        sessions.save(session)
        assert _said_in(sessions) == ["a", "b", "d"]

    @pytest.mark.usefixtures("_detects")
    def test_an_append_conflicts_like_a_save(self, sessions: Sessions, others: Sessions) -> None:
        session = _talk(sessions, "a")
        others.add_turn("s", user=["theirs"])
        session.add_user_message("mine")
        with pytest.raises(ConflictError, match="since it was loaded"):
            sessions.append(session)
        assert _said_in(sessions) == ["a", "theirs"]
        others.delete("s")
        with pytest.raises(ConflictError):
            sessions.append(session)
        assert sessions.load("s") is None

    def test_a_session_rebuilt_from_json_can_be_appended_to(self, sessions: Sessions) -> None:
        stored = _talk(sessions, "a", "b")
        back = Session.from_json(stored.to_json())
        back.version = stored.version
        back.add_user_message("c")
        sessions.append(back)
        assert _said_in(sessions) == ["a", "b", "c"]
        again = Session.from_json(back.to_json())
        again.version = back.version
        again.user_messages[0].content = "A"
        with pytest.raises(ValueError, match="was changed or removed"):
            sessions.append(again)
        assert _said_in(sessions) == ["a", "b", "c"]

    # turns

    def test_a_turn_is_added_to_the_stored_messages(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        first = sessions.add_turn("s", user=["a"], user_id="ada")
        assert (first.id, first.user_id, first.message_count) == ("s", "ada", 1)
        answer = AgentResponse(
            content="c", phase_reached="plan", evaluation_passed=False, timestamp=first.updated_at
        )
        asked = UserMessage.model_validate(
            {"content": "b", "timestamp": first.updated_at, "mood": "glad"}
        )
        second = others.add_turn("s", user=[asked], agent=[answer, "d"])
        assert (second.message_count, second.last_phase) == (2, "plan")
        assert second.updated_at >= first.updated_at
        session = sessions.load("s", required=True)
        assert [(each.role, each.content) for each in session.messages] == [
            ("user", "a"),
            ("user", "b"),
            ("agent", "c"),
            ("agent", "d"),
        ]
        assert session.user_messages[1].model_extra == {"mood": "glad"}
        (listed,) = sessions.list()
        assert listed == second, "a turn and a listing returned different summaries"

    def test_a_turn_needs_a_session_or_a_user_id(self, sessions: Sessions) -> None:
        with pytest.raises(NotFoundError):
            sessions.add_turn("s", user=["a"])
        assert sessions.load("s") is None
        sessions.add_turn("s", user=["a"], user_id="ada")
        with pytest.raises(OwnershipError):
            sessions.add_turn("s", user=["b"], user_id="eve")
        with pytest.raises(TypeError):
            sessions.add_turn("s", user=[5])  # type: ignore[list-item]
        assert _said_in(sessions) == ["a"]

    @pytest.mark.usefixtures("_creates")
    def test_a_turn_with_a_key_is_added_once_or_refused(
        self, sessions: Sessions, others: Sessions, form: Form
    ) -> None:
        sessions.add_turn("s", user=["a"], user_id="ada")
        if form == "document":
            with pytest.raises(UnsupportedError, match="remembers no keys"):
                sessions.add_turn("s", user=["b"], key="request-1")
            return
        for each in (sessions, others, sessions):
            summary = each.add_turn("s", user=["b"], key="request-1")
            assert summary.message_count == 2
        assert _said_in(sessions) == ["a", "b"]

    @pytest.mark.usefixtures("_detects")
    def test_racing_turns_are_all_kept(self, sessions: Sessions) -> None:
        def add(number: int) -> None:
            sessions.add_turn("s", user=[str(number)], user_id="ada")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(40)))
        assert sorted(_said_in(sessions), key=int) == [str(number) for number in range(40)]

    @pytest.mark.usefixtures("_detects", "_shared")
    def test_processes_adding_turns_lose_none_while_others_read(
        self, sessions: Sessions, location: str, form: Form, race: tuple[int, int]
    ) -> None:
        workers, times = race[0], max(2, race[1] // 5)
        done = threading.Event()

        def read() -> list[int]:
            lengths = [0]
            while not done.is_set():
                session = sessions.load("s")
                lengths.append(len(session.messages) if session else 0)
            return lengths

        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(read)
            try:
                in_processes(
                    add_turns_at, [(self.open, location, form, n, times) for n in range(workers)]
                )
            finally:
                done.set()
            lengths = reader.result()
        assert lengths == sorted(lengths), "a reader saw a session become shorter"
        session = sessions.load("s", required=True)
        asked = [each.content for each in session.user_messages]
        answered = [each.content.partition(" ")[0] for each in session.agent_responses]
        assert asked == answered, "a user message and its response were separated"
        assert sorted(asked) == sorted(f"{w}-{n}" for w in range(workers) for n in range(times))
        assert [each.role for each in session.messages] == ["user", "agent"] * len(asked)

    # tail and rewind

    def test_the_tail_is_the_last_messages(self, sessions: Sessions) -> None:
        assert sessions.tail("s") is None
        _talk(sessions, *"abcde")
        for last, expected in ((2, "de"), (5, "abcde"), (9, "abcde"), (0, "")):
            tail = sessions.tail("s", last=last)
            assert tail is not None
            assert "".join(_said(tail)) == expected
        with pytest.raises(ValueError, match="last"):
            sessions.tail("s", last=-1)
        with pytest.raises(OwnershipError):
            sessions.tail("s", user_id="eve")

    def test_a_rewind_keeps_the_first_messages(self, sessions: Sessions, others: Sessions) -> None:
        _talk(sessions, *"abcde")
        assert _said(sessions.rewind("s", messages=9).messages) == [*"abcde"]
        assert _said(sessions.rewind("s", messages=3).messages) == [*"abc"]
        assert _said_in(others) == [*"abc"]
        others.add_turn("s", user=["f"])
        assert _said_in(sessions) == [*"abcf"]
        sessions.rewind("s", messages=0)
        assert _said_in(others) == []
        with pytest.raises(ValueError, match="at least 0"):
            sessions.rewind("s", messages=-1)
        with pytest.raises(OwnershipError):
            sessions.rewind("s", messages=0, user_id="eve")
        with pytest.raises(NotFoundError):
            sessions.rewind("another", messages=0)

    # forms

    def test_a_session_keeps_its_form_whoever_saves_it(
        self, store: StateStore, form: Form, conflicts: ConflictPolicy
    ) -> None:
        sessions = Sessions(store, form=form, conflicts=conflicts)
        other: Form = "journal" if form == "document" else "document"
        others = Sessions(store, form=other, conflicts=conflicts)
        _talk(sessions, "a")
        others.update("s", lambda session: session.add_user_message("b"))
        others.add_turn("s", user=["c"])
        session = others.load("s", required=True)
        session.add_user_message("d")
        others.append(session)
        carried = Session.from_json(session.to_json())
        carried.version = session.version
        carried.add_user_message("e")
        others.save(carried)
        others.pin("s")
        others.save(others.load("s", required=True), overwrite=True)
        assert _said_in(sessions) == [*"abcde"]
        assert _form_of(store) == form, "saving changed the session's form"
        assert others.delete("s", trash=True)
        others.restore("s")
        assert _form_of(store) == form, "restoring changed the session's form"

    def test_a_session_can_be_converted_back_and_forth(
        self, sessions: Sessions, others: Sessions, form: Form
    ) -> None:
        before = _talk(sessions, *(f"{n} {'x' * 1000}" for n in range(100)))
        other: Form = "journal" if form == "document" else "document"
        assert sessions.convert("s", form) is False
        for there in (other, form):
            assert others.convert("s", there) is True
            assert _form_of(sessions.store) == there
            found = sessions.load("s", required=True)
            assert found.to_json() == before.to_json()
            (summary,) = sessions.list()
            assert (summary.message_count, summary.updated_at) == (100, before.updated_at)
        with pytest.raises(NotFoundError):
            sessions.convert("another", "journal")

    @pytest.mark.usefixtures("_detects")
    def test_a_session_loaded_before_a_conversion_cannot_be_saved(
        self, sessions: Sessions, others: Sessions, form: Form
    ) -> None:
        session = _talk(sessions, "a")
        others.convert("s", "journal" if form == "document" else "document")
        session.add_user_message("b")
        with pytest.raises(ConflictError):
            sessions.save(session)
        assert _said_in(sessions) == ["a"]

    @pytest.mark.usefixtures("_detects")
    def test_turns_racing_with_conversions_are_all_kept(self, sessions: Sessions) -> None:
        _talk(sessions)

        def add(number: int) -> None:
            sessions.add_turn("s", user=[str(number)])

        def convert(number: int) -> None:
            sessions.convert("s", "journal" if number % 2 else "document")

        with ThreadPoolExecutor(4) as pool:
            for number in range(20):
                pool.submit(convert, number)
                pool.submit(add, number)
        assert sorted(_said_in(sessions), key=int) == [str(number) for number in range(20)]

    @pytest.mark.usefixtures("_detects")
    def test_racing_creators_of_both_forms_get_one_session(
        self, store: StateStore, sessions: Sessions, form: Form
    ) -> None:
        other: Form = "journal" if form == "document" else "document"
        workers = [sessions, Sessions(store, form=other)] * 4
        gate = threading.Barrier(len(workers))

        def create(each: Sessions) -> Session:
            gate.wait()
            session = each.get_or_create("ada", "s")
            each.add_turn("s", user=["a"])
            return session

        with ThreadPoolExecutor(len(workers)) as pool:
            created = {session.created_at for session in pool.map(create, workers)}
        assert len(created) == 1, f"{len(created)} sessions were created with one id"
        assert _said_in(sessions) == ["a"] * len(workers)


def _add_b(sessions: Sessions) -> None:
    sessions.add_turn("s", user=["b"])


def _say_c(sessions: Sessions) -> None:
    sessions.update("s", lambda session: session.add_user_message("c"))


class _DeafStore(StoreWrapper):
    """A store that loses the response to its first write."""

    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._is_heard = False

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        version = super().put(key, data, expect=expect)
        if not self._is_heard:
            self._is_heard = True
            raise UnavailableError("the response was lost", key=key, store=self, landed="unknown")
        return version


def _talk(sessions: Sessions, *said: str) -> Session:
    """Store the session ``s`` with user messages, saving after each."""
    session = Session.new("ada", "s")
    sessions.save(session)
    for each in said:
        session.add_user_message(each)
        sessions.save(session)
    return session


def _said(messages: Sequence[UserMessage | AgentResponse]) -> list[str]:
    return [each.content for each in messages]


def _said_in(sessions: Sessions) -> list[str]:
    return _said(sessions.load("s", required=True).messages)


def _form_of(store: StateStore) -> Form:
    blob = store.get(session_key("s"))
    assert blob is not None, "the session is gone"
    return "journal" if is_head(blob.data) else "document"
