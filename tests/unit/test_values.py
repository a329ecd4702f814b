"""The one rule for values, at every door through which they come."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, UserDict, defaultdict
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from support import json_values

from statekeep import CorruptDataError, Documents, InvalidDocumentError, Session, Sessions
from statekeep.format.json import encode_json
from statekeep.format.values import plain_value
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable


class Colour(StrEnum):
    RED = "red"


class Mixed(str, Enum):  # noqa: UP042 - the old way, which shows its name and not its value
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Markup(str):
    """Text that says other things of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "escaped"


class Float64(float):
    """As numpy has it."""

    def __repr__(self) -> str:
        return f"Float64({float(self)})"


class Shouting(dict[str, Any]):
    """A dict that shows other things than it holds."""

    def items(self) -> Any:
        return [("loud", "!")]


def _by_metadata(value: object) -> object:
    sessions = Sessions(MemoryStore())
    session = Session.new("ada", "s")
    session.metadata["k"] = value
    sessions.save(session)
    return sessions.load("s", required=True).metadata["k"]


def _by_set_metadata(value: object) -> object:
    sessions = Sessions(MemoryStore())
    session = Session.new("ada", "s")
    session.set_metadata("k", value)
    kept = session.metadata["k"]
    sessions.save(session)
    assert sessions.load("s", required=True).metadata["k"] == kept
    return kept


def _by_extra(value: object) -> object:
    sessions = Sessions(MemoryStore())
    session = Session.new("ada", "s")
    session.add_user_message("Hi", k=value)
    sessions.save(session)
    return sessions.load("s", required=True).user_messages[0].k  # type: ignore[attr-defined]


def _by_update(value: object) -> object:
    sessions = Sessions(MemoryStore())
    sessions.get_or_create("ada", "s")
    sessions.update("s", lambda session: session.metadata.update(k=value))
    return sessions.load("s", required=True).metadata["k"]


def _by_save_json(value: object) -> object:
    documents = Documents(MemoryStore())
    documents.save_json("c", "n", {"k": value})
    document = documents.load_json("c", "n")
    assert document
    return document.value["k"]


def _by_change(value: object) -> object:
    documents = Documents(MemoryStore())
    documents.update("c", "n", lambda _: {"k": value})
    document = documents.load_json("c", "n")
    assert document
    return document.value["k"]


DOORS = [_by_metadata, _by_set_metadata, _by_extra, _by_update, _by_save_json, _by_change]


@pytest.mark.parametrize("door", DOORS)
class TestEveryDoor:
    @pytest.mark.parametrize(
        ("value", "stored"),
        [
            (Float64(1.5), 1.5),
            (Markup("<b>"), "<b>"),
            (Colour.RED, "red"),
            (Mixed.RED, "red"),
            (Level.HIGH, 3),
            (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
            (Counter("aab"), {"a": 2, "b": 1}),
            (defaultdict(list, a=[Level.HIGH]), {"a": [3]}),
            ({Colour.RED: {Mixed.RED: Markup("<i>")}}, {"red": {"red": "<i>"}}),
            (Shouting(quiet="."), {"quiet": "."}),
            ([True, None, -(2**63), 2**64 - 1, 0.5, "", {}, []],) * 2,
        ],
    )
    def test_takes_subclasses_of_what_json_has_for_what_they_hold(
        self, door: Callable[[object], object], value: object, stored: object
    ) -> None:
        kept = door(value)
        assert kept == stored
        assert json.dumps(kept) == json.dumps(stored)

    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (datetime.now(UTC), r"a value of the type datetime \(at (\w+\.)*k\)"),
            ({"x": [0, {1}]}, r"a value of the type set \(at (\w+\.)*k\.x\.1\)"),
            ((1, 2), "a value of the type tuple"),
            (b"x", "a value of the type bytes"),
            (UserDict(), "a value of the type UserDict"),
            (MappingProxyType({}), "a value of the type mappingproxy"),
            (range(3), "a value of the type range"),
            ([float("inf")], r"the number inf \(at (\w+\.)*k\.0\)"),
            (Float64("nan"), "the number nan"),
            (2**64, "an integer beyond 64 bits"),
            ({1: 2}, r"the key 1, which is not text \(at (\w+\.)*k\)"),
            ({"a": "\ud83d"}, r"half a character .* \(at (\w+\.)*k\.a\)"),
            ({"\ud83d": 1}, "half a character"),
            ({"a\nb": {1}}, r"a value of the type set \(at (\w+\.)*k\.'a\\nb'\)"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_names_what_it_refuses_by_type_and_place(
        self, door: Callable[[object], object], value: object, what: str
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=f"JSON cannot hold {what}"):
            door(value)

    @pytest.mark.parametrize("depth", [120, 130, 5_000])
    def test_says_of_what_is_too_deep_only_that_it_is_too_deep(
        self, door: Callable[[object], object], depth: int
    ) -> None:
        value: object = 0
        for _ in range(depth):
            value = [value]
        if depth < 127:
            assert door(value) == value
        else:
            with pytest.raises(InvalidDocumentError, match="more than 127 nested lists and dicts"):
                door(value)

    def test_takes_time_linear_in_what_is_shared(self, door: Callable[[object], object]) -> None:
        itself: list[Any] = []
        itself.extend([itself, itself])
        with pytest.raises(InvalidDocumentError, match="a list that contains itself"):
            door({"a": itself})
        shared: list[Any] = [0]
        for _ in range(200):
            shared = [shared, shared]
        with pytest.raises(InvalidDocumentError, match="more than 127 nested"):
            door(shared)
        wide: list[Any] = [0]
        for _ in range(60):
            wide = [wide, wide]
        with pytest.raises(InvalidDocumentError, match="more than 268435456 bytes"):
            door(wide)
        with pytest.raises(InvalidDocumentError, match="more than 268435456 bytes"):
            door(["x" * 1_000_000] * 300)
        twice = {"a": 1}
        assert door([twice, [twice]]) == [twice, [twice]]


@given(json_values)
def test_a_plain_value_is_given_back_itself(value: object) -> None:
    assert plain_value(value) is value


@given(json_values)
def test_what_is_taken_reads_back_the_same(value: object) -> None:
    assert json.loads(encode_json(plain_value(value))) == value


class TestReading:
    """What lies in a store can cost no more than its size."""

    @pytest.mark.parametrize("field", ["user_messages", "agent_responses"])
    def test_a_million_wrong_messages_are_one_problem(self, field: str) -> None:
        store = MemoryStore()
        messages = b",".join([b"{}"] * 300_000)
        head = b'{"id":"s","user_id":"ada","created_at":"2026-01-01T00:00:00Z",'
        head += b'"updated_at":"2026-01-01T00:00:00Z","%s":[' % field.encode()
        store.put("sessions/s.json", head + messages + b"]}")
        listing = Sessions(store).list()
        with pytest.raises(CorruptDataError, match=rf"{field}\.0\.content"):
            Sessions(store).load("s")
        assert [problem.key for problem in listing.problems] == ["sessions/s.json"]
        # Collecting them all took 1.8 GB and a minute.
        assert "more" not in listing.problems[0].reason
