"""Sessions in memory and as JSON."""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError
from support import json_values, texts

from statekeep import AgentResponse, CorruptDataError, InvalidDocumentError, Session, UserMessage
from statekeep.format import session as session_module
from statekeep.format.summary import read_summary
from statekeep.retention import FOREVER
from statekeep.timestamps import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

moments = st.datetimes(timezones=st.just(UTC))
maybe_text = st.none() | texts
sessions = st.builds(
    Session,
    id=texts,
    user_id=texts,
    user_messages=st.lists(st.builds(UserMessage, content=texts, timestamp=moments), max_size=3),
    agent_responses=st.lists(
        st.builds(
            AgentResponse,
            content=texts,
            session_id=maybe_text,
            seed_id=maybe_text,
            phase_reached=maybe_text,
            evaluation_passed=st.none() | st.booleans(),
            timestamp=moments,
        ),
        max_size=3,
    ),
    active_seed_id=maybe_text,
    active_persona_id=maybe_text,
    created_at=moments,
    updated_at=moments,
    metadata=st.dictionaries(texts, json_values, max_size=3),
)


class TestANewSession:
    def test_has_a_random_id_and_one_time(self) -> None:
        session = Session.new("ada")
        assert str(uuid.UUID(session.id, version=4)) == session.id
        assert session.created_at == session.updated_at
        assert abs(datetime.now(UTC) - session.created_at) < timedelta(seconds=10)
        assert session.is_empty
        assert session.exchange_count == 0
        assert session.version is None

    def test_may_have_a_given_id_that_stays(self) -> None:
        session = Session.new("ada", "mine")
        assert session.id == "mine"
        with pytest.raises(ValidationError, match="frozen"):
            session.__setattr__("id", "yours")

    @pytest.mark.parametrize(
        "change",
        [
            lambda s: s.add_user_message("hello"),
            lambda s: s.add_agent_response("hi"),
            lambda s: s.set_active_seed("seed"),
            lambda s: s.clear_active_seed(),
            lambda s: s.set_active_persona("persona"),
            lambda s: s.clear_active_persona(),
            lambda s: s.set_metadata("key", [1]),
        ],
    )
    def test_moves_its_time_with_every_change(self, change: Callable[[Session], object]) -> None:
        session = Session.new("ada")
        time.sleep(0.001)
        change(session)
        assert session.updated_at > session.created_at

    def test_counts_exchanges_by_the_shorter_side(self) -> None:
        session = Session.new("ada")
        session.add_user_message("one")
        session.add_user_message("two")
        session.add_agent_response("answer")
        assert session.exchange_count == 1
        assert not session.is_empty

    def test_holds_what_it_was_told(self) -> None:
        session = Session.new("ada")
        response = session.add_agent_response(
            "answer", session_id="s", seed_id="d", phase_reached="plan", evaluation_passed=True
        )
        session.set_active_seed("seed")
        session.set_active_persona("persona")
        session.set_metadata("key", {"deep": [1, None]})
        assert session.agent_responses == [response]
        assert (session.active_seed_id, session.active_persona_id) == ("seed", "persona")
        assert session.get_metadata("key") == {"deep": [1, None]}
        assert session.get_metadata("other") is None
        session.clear_active_seed()
        session.clear_active_persona()
        assert (session.active_seed_id, session.active_persona_id) == (None, None)


class TestASummary:
    def test_says_what_a_listing_needs(self) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("one")
        session.add_agent_response("a", phase_reached="plan", evaluation_passed=False)
        session.add_agent_response("b", phase_reached="build")
        session.add_agent_response("c")
        session.set_metadata("project_ids", "p-1")
        summary = session.summary(size=7)
        assert (summary.message_count, summary.project_id, summary.size) == (1, "p-1", 7)
        assert (summary.last_phase, summary.last_evaluation) == ("build", False)
        assert summary.to_dict() == {
            "id": "s",
            "user_id": "ada",
            "message_count": 1,
            "project_id": "p-1",
            "created_at": format_timestamp(session.created_at),
            "updated_at": format_timestamp(session.updated_at),
        }

    @pytest.mark.parametrize(
        ("pin", "until"),
        [
            (None, None),
            (False, None),
            (True, FOREVER),
            ("2030-01-01T00:00:00Z", datetime(2030, 1, 1, tzinfo=UTC)),
            ("soon", FOREVER),
            (17, FOREVER),
        ],
    )
    def test_a_pin_that_cannot_be_read_protects(self, pin: Any, until: datetime | None) -> None:
        session = Session.new("ada")
        session.metadata["statekeep.pin"] = pin
        assert session.summary().pinned_until == until

    @given(sessions)
    def test_is_read_from_stored_bytes_without_making_the_session(self, session: Session) -> None:
        data = session.to_json()
        assert read_summary(data) == session.summary(size=len(data))

    @pytest.mark.parametrize("name", ["user_messages", "agent_responses", "metadata"])
    def test_needs_no_more_fields_than_the_model(self, name: str) -> None:
        fields = json.loads(Session.new("ada", "s").to_json())
        del fields[name]
        stored = json.dumps(fields).encode()
        expected = Session.from_json(stored).summary(size=len(stored))
        assert read_summary(stored) == expected

    @pytest.mark.parametrize(
        "value",
        [
            None, True, 7, 1.5, "x", "", [], ["x"], [{}], {}, {"a": 1},
            "2024-01-01 00:00:00+01:00", "2024-01-01T24:00:00Z", "2016-12-31T23:59:60Z", ...,
        ],
    )  # fmt: skip
    def test_that_reading_accepts_nothing_that_the_model_refuses(self, value: Any) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("one")
        session.add_agent_response("a", session_id="x", seed_id="y", phase_reached="z")
        session.set_active_seed("seed")
        session.set_active_persona("persona")
        places = [("session", name) for name in json.loads(session.to_json())]
        places += [("user_messages", name) for name in UserMessage.model_fields]
        places += [("agent_responses", name) for name in AgentResponse.model_fields]
        for where, name in places:
            fields = json.loads(session.to_json())
            whole = fields if where == "session" else fields[where][0]
            if value is ...:
                del whole[name]
            else:
                whole[name] = value
            stored = json.dumps(fields).encode()
            found = read_summary(stored)
            try:
                expected = Session.from_json(stored).summary(size=len(stored))
            except CorruptDataError:
                assert found is None, (where, name)
            else:
                assert found in (None, expected), (where, name)


class TestJson:
    @given(sessions)
    def test_a_session_survives_saving_and_loading(self, session: Session) -> None:
        assert Session.from_json(session.to_json()) == session

    @given(sessions)
    def test_it_is_written_in_the_format(self, session: Session) -> None:
        data = session.to_json()
        fields = json.loads(data)
        order = ["id", "user_id", "user_messages", "agent_responses", "active_seed_id",
                 "active_persona_id", "created_at", "updated_at", "metadata"]  # fmt: skip
        assert list(fields) == [name for name in order if name in fields]
        assert data.decode() == data.decode().strip()
        assert data.startswith(b'{\n  "id": ')
        for optional in ("active_seed_id", "active_persona_id"):
            assert (optional in fields) == (getattr(session, optional) is not None)
        for response in fields["agent_responses"]:
            assert len(response) == 6

    def test_unknown_fields_survive_in_sessions_and_messages(self) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("hello")
        session.add_agent_response("hi")
        fields = json.loads(session.to_json())
        fields["version"] = 2
        fields["title"] = {"deep": [1, "é"]}
        fields["user_messages"][0]["model"] = "m"
        fields["agent_responses"][0]["tokens"] = [1, 2]
        loaded = Session.from_json(json.dumps(fields).encode())
        loaded.add_user_message("more")
        written = json.loads(loaded.to_json())
        assert written["version"] == 2
        assert written["title"] == {"deep": [1, "é"]}
        assert written["user_messages"][0]["model"] == "m"
        assert written["agent_responses"][0]["tokens"] == [1, 2]

    @pytest.mark.parametrize(
        "value",
        [
            float("nan"),
            float("inf"),
            2**64,
            -(2**63) - 1,
            {1, 2},
            (1, 2),
            b"bytes",
            "\ud800",
            {1: "number as key"},
            object(),
            datetime.now(UTC),
            uuid.uuid4(),
            [{"deep": [float("nan")]}],
        ],
    )
    def test_what_json_cannot_hold_is_refused(self, value: Any) -> None:
        session = Session.new("ada")
        session.metadata["key"] = value
        with pytest.raises(InvalidDocumentError):
            session.to_json()

    def test_the_refusal_names_the_place(self) -> None:
        session = Session.new("ada")
        session.metadata["limits"] = [1, {"rate": float("nan")}]
        with pytest.raises(
            InvalidDocumentError, match=r"the number nan \(at metadata\.limits\.1\.rate\)"
        ):
            session.to_json()

    def test_an_unknown_field_that_json_cannot_hold_is_refused(self) -> None:
        message = UserMessage(content="x", timestamp=datetime.now(UTC), cost=float("nan"))
        session = Session.new("ada")
        session.user_messages.append(message)
        with pytest.raises(InvalidDocumentError):
            session.to_json()

    def test_a_field_of_a_wrong_type_is_refused(self) -> None:
        session = Session.new("ada")
        session.user_messages.append("not a message")  # type: ignore[arg-type]
        with pytest.raises(InvalidDocumentError):
            session.to_json()

    @pytest.mark.parametrize("depth", [126, 127, 128, 200, 300])
    def test_what_the_original_could_not_read_again_is_refused(self, depth: int) -> None:
        value: list[Any] = []
        for _ in range(depth - 3):  # the session and its metadata are two containers
            value = [value]
        session = Session.new("ada")
        session.metadata["deep"] = value
        if depth <= 127:
            assert Session.from_json(session.to_json()) == session
        else:
            with pytest.raises(InvalidDocumentError):
                session.to_json()

    def test_text_that_looks_deep_is_not(self) -> None:
        session = Session.new("ada")
        session.metadata["text"] = "\n" + " " * 300 + "["
        assert Session.from_json(session.to_json()) == session


class TestALongSession:
    """Is encoded in parts, since the encoder lets no other thread go on meanwhile."""

    @given(session=sessions, room=st.integers(0, 30))
    def test_is_written_as_if_it_were_encoded_at_once(self, session: Session, room: int) -> None:
        whole = session.to_json()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session_module, "_PART", room)
            assert session.to_json() == whole

    def test_is_never_encoded_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = Session.new("ada")
        for n in range(100):
            session.add_user_message(f"{n} {'x' * 50_000}", note={"n": n})
            session.add_agent_response("y" * 10_000)
        written: list[int] = []
        encode = orjson.dumps

        def dumps(value: object, option: int) -> bytes:
            data = encode(value, option=option)
            written.append(len(data))
            return data

        monkeypatch.setattr(orjson, "dumps", dumps)
        data = session.to_json()
        monkeypatch.undo()
        assert len(data) > 6_000_000
        assert max(written) < 500_000
        assert Session.from_json(data) == session

    def test_is_refused_for_what_it_holds_in_its_place(self) -> None:
        session = Session.new("ada")
        for _ in range(20):
            session.add_user_message("x" * 50_000)
        session.user_messages[17].__dict__["content"] += "\ud800"
        with pytest.raises(InvalidDocumentError, match=r"half a character .*user_messages\.17"):
            session.to_json()


class TestTimes:
    def test_naive_times_are_refused(self) -> None:
        session = Session.new("ada")
        with pytest.raises(ValidationError, match="naive"):
            session.updated_at = datetime(2024, 1, 1)  # noqa: DTZ001

    def test_times_of_other_zones_become_utc(self) -> None:
        session = Session.new("ada")
        session.created_at = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
        assert b'"2024-01-01T00:00:00Z"' in session.to_json()

    @given(moments)
    def test_a_time_survives_being_written(self, moment: datetime) -> None:
        text = format_timestamp(moment)
        assert parse_timestamp(text) == moment
        assert len(text) in {20, 27}

    def test_finer_digits_are_cut_not_rounded(self) -> None:
        assert parse_timestamp("2024-01-01T00:00:00.123456999Z").microsecond == 123456
        assert parse_timestamp("2024-01-01T00:00:00.9999999Z").second == 0

    @pytest.mark.parametrize(
        "text",
        ["2024-W01-1T00:00:00Z", "2024-01-01T000000.1Z", "2024-01-01T00:00:00,123Z", "2024-01-01"],
    )
    def test_what_only_python_would_read_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="RFC 3339"):
            parse_timestamp(text)


def test_what_is_wrong_is_said_without_the_value() -> None:
    with pytest.raises(CorruptDataError, match=r"user_messages\.0\.timestamp") as caught:
        Session.from_json(
            b'{"id": "i", "user_id": "u", "created_at": "2024-01-01T00:00:00Z", "updated_at": '
            b'"2024-01-01T00:00:00Z", "user_messages": [{"content": "secret", "timestamp": 5}]}'
        )
    assert "secret" not in str(caught.value)


class TestWhatWouldNotLoadAgain:
    @pytest.mark.parametrize(
        "update",
        [
            {"updated_at": datetime(2024, 1, 1)},  # noqa: DTZ001
            {"updated_at": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
            {"updated_at": None},
            {"metadata": None},
            {"user_messages": None},
            {"user_messages": [{"content": "no model"}]},
            {"user_id": 5},
            {"user_id": None},
        ],
    )
    def test_is_refused_however_it_came_there(self, update: dict[str, Any]) -> None:
        session = Session.new("ada").model_copy(update=update)
        with pytest.raises(InvalidDocumentError, match="wrong fields"):
            session.to_json()

    @pytest.mark.parametrize(
        ("messages", "field"),
        [
            *(("user_messages", field) for field in UserMessage.model_fields),
            *(("agent_responses", field) for field in AgentResponse.model_fields),
        ],
    )
    @pytest.mark.parametrize("value", [5, b"x", datetime(2024, 1, 1), datetime.max])  # noqa: DTZ001, DTZ901
    def test_is_refused_in_a_message(self, messages: str, field: str, value: object) -> None:
        session = Session.new("ada")
        session.add_user_message("Hello")
        session.add_agent_response("Hello")
        session.to_json()
        getattr(session, messages)[0].__dict__[field] = value
        with pytest.raises(InvalidDocumentError, match=f"wrong fields: {messages}.0.{field}"):
            session.to_json()

    def test_is_refused_in_the_wrong_list(self) -> None:
        session = Session.new("ada")
        session.user_messages.append(session.add_agent_response("Hello"))  # type: ignore[arg-type]
        with pytest.raises(InvalidDocumentError, match="wrong fields"):
            session.to_json()

    @pytest.mark.parametrize("field", Session.model_fields)
    def test_is_refused_without_its_fields(self, field: str) -> None:
        session = Session.new("ada")
        del session.__dict__[field]
        with pytest.raises(InvalidDocumentError):
            session.to_json()

    def test_is_refused_without_its_values_in_the_message(self) -> None:
        session = Session.new("ada")
        session.user_messages.append("hunter2")  # type: ignore[arg-type]
        with pytest.raises(InvalidDocumentError) as caught:
            session.to_json()
        assert "hunter2" not in str(caught.value)


class TestOfSomebodyElse:
    def test_containers_are_written_as_plain_ones(self) -> None:
        session = Session.new("ada")
        session.metadata["counts"] = defaultdict(int, a=1)
        assert Session.from_json(session.to_json()).metadata == {"counts": {"a": 1}}

    def test_a_subclass_keeps_its_rules(self) -> None:
        class Tagged(Session):
            note: str = ""
            secret: str = Field(default="x", exclude=True)

        class Cited(UserMessage):
            source: str = ""

        session = Tagged.new("ada")
        session.note = "n"
        assert json.loads(session.to_json())["note"] == "n"
        assert b"secret" not in session.to_json()
        session.__dict__["note"] = 5
        with pytest.raises(InvalidDocumentError, match="wrong fields"):
            session.to_json()
        session.note = "n"
        session.user_messages.append(
            UserMessage(content="x", timestamp=datetime.now(UTC), cost=float("nan"))
        )
        with pytest.raises(InvalidDocumentError, match="nan"):
            session.to_json()
        other = Session.new("ada")
        other.user_messages.append(Cited(content="Hello", timestamp=datetime.now(UTC)))
        assert Session.from_json(other.to_json()).user_messages[0].content == "Hello"


class TestSetting:
    @pytest.mark.parametrize(
        ("key", "value"), [("n", 2**70), ("s", "\ud800"), ("k", {5: 1}), ("f", {1})]
    )
    def test_metadata_that_json_cannot_hold_is_refused_at_once(self, key: Any, value: Any) -> None:
        session = Session.new("ada")
        with pytest.raises(InvalidDocumentError, match="JSON cannot hold"):
            session.set_metadata(key, value)
        assert session.metadata == {}

    def test_a_misspelt_attribute_is_refused(self) -> None:
        session = Session.new("ada")
        with pytest.raises(AttributeError, match="user_idd"):
            session.user_idd = "eve"

    @pytest.mark.parametrize(
        ("name", "meant"), [("phase", "phase_reached"), ("time_stamp", "timestamp")]
    )
    def test_an_extra_field_that_looks_misspelt_is_stored_with_a_warning(
        self, name: str, meant: str
    ) -> None:
        session, extra = Session.new("ada"), {name: "plan"}
        with pytest.warns(UserWarning, match=f"{name}= .* did you mean {meant}=") as caught:
            session.add_agent_response("Hi", **extra)  # type: ignore[arg-type]
        assert caught[0].filename == __file__
        assert json.loads(session.to_json())["agent_responses"][0][name] == "plan"

    def test_an_unknown_field_that_was_loaded_can_be_changed(self) -> None:
        fields = json.loads(Session.new("ada").to_json()) | {"title": "old"}
        session = Session.from_json(json.dumps(fields).encode())
        session.title = "new"
        assert json.loads(session.to_json())["title"] == "new"

    def test_a_subclass_of_datetime_becomes_one(self) -> None:
        class Frozen(datetime):
            pass

        session = Session.new("ada")
        session.updated_at = Frozen(2024, 1, 1, tzinfo=UTC)
        assert Session.from_json(session.to_json()).updated_at == datetime(2024, 1, 1, tzinfo=UTC)


def test_the_deepest_container_may_hold_scalars() -> None:
    value: list[Any] = [1, "[", None]
    for _ in range(124):
        value = [value]
    session = Session.new("ada")
    session.metadata["deep"] = value
    assert Session.from_json(session.to_json()) == session


def test_a_key_cannot_forge_a_line_of_a_log() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        Session.new("ada").set_metadata("evil\nline", {1, 2})
    assert "\n" not in str(caught.value)
