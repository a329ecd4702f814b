"""Reading a conversation in its order, forking it, and text that cannot be stored."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from statekeep import (
    AgentResponse,
    ConflictError,
    CorruptDataError,
    Documents,
    InvalidDocumentError,
    Session,
    Sessions,
    UserMessage,
    repair_text,
)
from statekeep.doctor import diagnose, repair
from statekeep.format.order import ORDER
from statekeep.retention import FOREVER
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def say(session: Session, who: str, text: str, second: int) -> None:
    moment = NOON + timedelta(seconds=second)
    if who == "u":
        session.add_user_message(text, timestamp=moment)
    else:
        session.add_agent_response(text, timestamp=moment)


def contents(session: Session) -> list[str]:
    return [message.content for message in session.messages]


def stored(session: Session) -> Session:
    return Session.from_json(session.to_json())


class TestMessages:
    def test_come_in_one_order_each_with_its_role(self) -> None:
        session = Session.new("ada")
        session.add_user_message("What is due?")
        session.add_user_message("And where?")
        session.add_agent_response("The plan, here.", phase_reached="answered")
        last = session.messages[-1]
        assert isinstance(last, AgentResponse)
        assert (last.role, last.phase_reached) == ("agent", "answered")
        assert [each.role for each in session.messages] == ["user", "user", "agent"]
        assert contents(session) == ["What is due?", "And where?", "The plan, here."]

    def test_are_those_that_are_stored_in_a_list_of_its_own(self) -> None:
        session = Session.new("ada")
        message = session.add_user_message("Hi")
        assert session.messages[0] is message
        session.messages.clear()
        assert contents(session) == ["Hi"]

    def test_keep_more_fields_and_a_given_time(self) -> None:
        session = Session.new("ada")
        session.add_user_message("Hi", timestamp=NOON, tokens=3, role="assistant")
        message = stored(session).messages[0]
        assert (message.timestamp, message.role) == (NOON, "user")
        assert message.model_extra == {"tokens": 3, "role": "assistant"}

    @given(st.lists(st.tuples(st.sampled_from("ua"), st.integers(0, 4)), max_size=12))
    def test_stay_in_the_order_in_which_they_were_added(
        self, said: Sequence[tuple[str, int]]
    ) -> None:
        session = Session.new("ada")
        for number, (who, second) in enumerate(said):
            say(session, who, str(number), second)
            assert contents(session) == [str(each) for each in range(number + 1)]
            if number % 3 == 1:
                session = stored(session)
        assert contents(stored(session)) == [str(each) for each in range(len(said))]

    @given(st.lists(st.tuples(st.sampled_from("ua"), st.integers(0, 9)), max_size=12))
    def test_of_which_the_times_tell_the_order_leave_the_metadata_alone(
        self, said: list[tuple[str, int]]
    ) -> None:
        session = Session.new("ada")
        for number, (who, second) in enumerate(sorted(said, key=lambda each: each[1])):
            say(session, who, str(number), second * 20 + number)
        assert session.metadata == {}

    @given(
        st.lists(st.tuples(st.sampled_from("ua"), st.integers(0, 4)), max_size=8),
        st.lists(st.tuples(st.sampled_from("ua"), st.integers(0, 4)), max_size=8),
    )
    def test_that_another_program_added_follow_by_time(
        self, ours: Sequence[tuple[str, int]], theirs: Sequence[tuple[str, int]]
    ) -> None:
        session = Session.new("ada")
        for number, (who, second) in enumerate(ours):
            say(session, who, str(number), second)
        before = contents(session)
        for second, who in sorted((second, who) for who, second in theirs):
            moment = NOON + timedelta(seconds=10 + second)
            if who == "u":
                session.user_messages.append(UserMessage(content="x", timestamp=moment))
            else:
                session.agent_responses.append(AgentResponse(content="x", timestamp=moment))
        assert contents(session) == before + ["x"] * len(theirs)
        say(session, "u", "last", 0)
        assert contents(stored(session)) == [*before, *["x"] * len(theirs), "last"]

    @pytest.mark.parametrize("order", ["uuuu", "aau", "ux", 5, ["u"], None])
    def test_ignore_an_order_of_another_state(self, order: object) -> None:
        session = Session.new("ada")
        say(session, "u", "1", 1)
        say(session, "a", "2", 2)
        session.metadata[ORDER] = order
        assert contents(session) == ["1", "2"]
        say(session, "u", "3", 3)
        assert contents(session) == ["1", "2", "3"]
        assert ORDER not in stored(session).metadata

    def test_whose_lists_were_emptied_begin_anew(self) -> None:
        session = Session.new("ada")
        for who, second in (("u", 9), ("a", 1), ("a", 2), ("u", 1)):
            say(session, who, "old", second)
        assert session.metadata[ORDER] == "uaau"
        session.user_messages.clear()
        session.agent_responses.clear()
        for number, who in enumerate("auua"):
            say(session, who, str(number), number)
        assert contents(session) == ["0", "1", "2", "3"]

    @given(
        st.lists(st.tuples(st.sampled_from("ua"), st.integers(0, 4)), max_size=10),
        st.sets(st.integers(0, 9), max_size=6),
        st.booleans(),
    )
    def test_stay_in_their_order_when_some_are_taken_out(
        self,
        said: Sequence[tuple[str, int]],
        out: set[int],
        loaded: bool,
    ) -> None:
        session = Session.new("ada")
        for number, (who, second) in enumerate(said):
            say(session, who, str(number), second)
        if loaded:
            session = stored(session)
        for asked in [*session.user_messages]:
            if int(asked.content) in out:
                session.user_messages.remove(asked)
        for answered in [*session.agent_responses]:
            if int(answered.content) in out:
                session.agent_responses.remove(answered)
        left = [str(number) for number in range(len(said)) if number not in out]
        if ORDER in session.metadata or not loaded:
            assert contents(session) == left
            assert contents(session.model_copy(deep=True)) == left
            assert contents(stored(session)) == left
            say(session, "u", "last", 0)
            assert contents(stored(session)) == [*left, "last"]

    def test_keep_their_order_when_the_metadata_is_replaced(self) -> None:
        session = Session.new("ada")
        for second, who in enumerate("auau"):
            say(session, who, str(second), -second)
        session = stored(session)
        session.metadata = {"title": "Hi"}
        assert contents(stored(session)) == ["0", "1", "2", "3"]
        assert stored(session).metadata["title"] == "Hi"

    def test_are_equal_however_they_were_made(self) -> None:
        session = Session.new("ada")
        say(session, "u", "1", 1)
        assert stored(session) == session
        assert copy.deepcopy(session) == session
        assert pickle.loads(pickle.dumps(session)) == session


class TestAFork:
    def test_shares_nothing_and_expects_nothing(self) -> None:
        sessions = Sessions(MemoryStore())
        session = sessions.get_or_create("ada", "plan")
        session.add_user_message("Hi")
        session.set_metadata("deep", {"list": [1]})
        sessions.save(session)
        before = stored(session)
        fork = session.fork("plan-b")
        assert (fork.id, fork.user_id, fork.version) == ("plan-b", "ada", None)
        assert fork.created_at == fork.updated_at > session.created_at
        fork.messages[0].content = "Bye"
        fork.metadata["deep"]["list"].append(2)
        fork.add_agent_response("Hello")
        sessions.save(fork)
        assert stored(session) == before
        sessions.save(session)
        assert len(sessions.list()) == 2

    def test_of_an_id_that_is_there_is_a_conflict(self) -> None:
        sessions = Sessions(MemoryStore())
        session = sessions.get_or_create("ada", "plan")
        sessions.get_or_create("ada", "plan-b")
        with pytest.raises(ConflictError, match="exists already"):
            sessions.save(session.fork("plan-b"))

    @given(
        st.lists(st.tuples(st.sampled_from("ua"), st.integers(0, 4)), max_size=8),
        st.integers(0, 9),
    )
    def test_may_go_up_to_a_message(self, said: Sequence[tuple[str, int]], upto: int) -> None:
        session = Session.new("ada")
        for number, (who, second) in enumerate(said):
            say(session, who, str(number), second)
        assert contents(session.fork("f", upto=upto)) == contents(session)[:upto]
        assert contents(session.fork("f")) == contents(session)

    def test_takes_no_pin_along(self) -> None:
        sessions = Sessions(MemoryStore())
        sessions.get_or_create("ada", "s")
        fork = sessions.pin("s").fork("f")
        assert fork.summary().pinned_until is None
        assert sessions.load("s", required=True).summary().pinned_until == FOREVER

    def test_takes_no_end_along(self) -> None:
        sessions = Sessions(MemoryStore())
        sessions.get_or_create("ada", "s")
        end = datetime(2030, 1, 1, tzinfo=UTC)
        fork = sessions.expire("s", end).fork("f")
        assert fork.summary().expires_at is None
        assert sessions.load("s", required=True).summary().expires_at == end

    def test_is_not_what_a_copy_is(self) -> None:
        session = Session.new("ada", "s")
        with pytest.raises(ValueError, match=r"fork\(new_id\)"):
            session.model_copy(update={"id": "t"})
        assert session.model_copy(update={"id": "s", "user_id": "bob"}).user_id == "bob"


class TestHalfACharacter:
    """A lone surrogate, which UTF-8 cannot hold: a stream cut in two parts of an emoji, say."""

    def test_is_refused_where_it_enters(self) -> None:
        session = Session.new("ada", "s")
        with pytest.raises(InvalidDocumentError, match=r"content .* at 3; .*repair_text"):
            session.add_user_message("Hi \ud83d")
        message = session.add_user_message("Hi")
        with pytest.raises(ValidationError):
            message.content = "\ud83d"
        with pytest.raises(ValidationError):
            session.user_id = "\ud83d"
        with pytest.raises(ValidationError):
            Session(id="\ud83d", user_id="ada", created_at=NOON, updated_at=NOON)
        with pytest.raises(InvalidDocumentError, match="half a character"):
            session.add_user_message("Hi", note="\ud83d")
        assert contents(stored(session)) == ["Hi"]

    @pytest.mark.parametrize(
        ("text", "repaired"),
        [
            ("Hi \ud83d", "Hi \ufffd"),
            ("\ude00!", "\ufffd!"),
            ("\ud83d\ude00", "\N{GRINNING FACE}"),
            ("\ude00\ud83d", "\ufffd\ufffd"),
            ("plain \N{GRINNING FACE}", "plain \N{GRINNING FACE}"),
        ],
    )
    def test_is_made_storable_by_one_call(self, text: str, repaired: str) -> None:
        assert repair_text(text) == repaired
        session = Session.new("ada")
        session.add_user_message(repair_text(text))
        assert contents(stored(session)) == [repaired]

    @given(st.text(st.characters()))
    def test_is_all_that_a_repair_replaces(self, text: str) -> None:
        repaired = repair_text(text)
        repaired.encode()
        if not any("\ud800" <= letter <= "\udfff" for letter in text):
            assert repaired == text

    @pytest.mark.parametrize(
        "escaped",
        [
            rb"\ud83d",
            rb"\uDE00",
            rb"\\\ud83d",
            rb"\ud83d\n",
            "\ud83d".encode("utf-8", "surrogatepass"),
        ],
    )
    def test_that_another_program_wrote_is_read_when_asked_and_never_moved(
        self, escaped: bytes
    ) -> None:
        store = MemoryStore()
        sessions, documents = Sessions(store), Documents(store)
        session = Session.new("ada", "s")
        session.add_user_message("TEXT")
        data = session.to_json().replace(b"TEXT", escaped)
        store.put("sessions/s.json", data)
        store.put("c/n.json", b'["%s"]' % escaped)
        assert "repair_text='replace'" in sessions.list().problems[0].reason
        with pytest.raises(CorruptDataError, match="repair_text='replace'"):
            sessions.load("s")
        with pytest.raises(CorruptDataError, match="repair_text='replace'"):
            documents.load_json("c", "n")
        repair(store, diagnose(store, documents=True))
        blob = store.get("sessions/s.json")
        assert blob
        assert blob.data == data
        assert store.get("c/n.json")
        document = documents.load_json("c", "n", repair_text="replace", type=list[str])
        assert document
        assert "\ufffd" in document.value[0]
        loaded = sessions.load("s", required=True, repair_text="replace")
        assert "\ufffd" in loaded.messages[0].content
        sessions.save(loaded)
        assert sessions.load("s") == loaded

    def test_is_not_seen_in_what_is_escaped_itself(self) -> None:
        store = MemoryStore()
        store.put("c/n.json", rb'["\\ud83d \ud83d\ude00"')
        with pytest.raises(CorruptDataError, match="not JSON"):
            Documents(store).load_json("c", "n", repair_text="replace")
        store.put("c/n.json", rb'["\\ud83d \ud83d\ude00 \ud83d"]')
        document = Documents(store).load_json("c", "n", repair_text="replace")
        assert document
        assert document.value == ["\\ud83d \N{GRINNING FACE} \ufffd"]

    def test_of_markdown_is_read_when_asked(self) -> None:
        store = MemoryStore()
        store.put("c/n.md", b"caf\xe9")
        with pytest.raises(CorruptDataError, match="repair_text='replace'"):
            Documents(store).load_markdown("c", "n")
        document = Documents(store).load_markdown("c", "n", repair_text="replace")
        assert document
        assert document.value == "caf\ufffd"


def test_what_was_stored_without_a_user_loads_and_saves_again() -> None:
    store = MemoryStore()
    store.put(
        "sessions/s.json", Session(id="s", user_id="", created_at=NOON, updated_at=NOON).to_json()
    )
    session = Sessions(store).load("s", required=True)
    session.add_user_message("Hi")
    Sessions(store).save(session)
    assert Sessions(store).load("s") == session
