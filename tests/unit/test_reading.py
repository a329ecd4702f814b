"""Sessions whose messages are made at first touch are those that pydantic's validator makes."""

from __future__ import annotations

import copy
import json
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from benchmarks.conversations import MIXED_SMALL, SMALL, documents
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from support import GOLDEN

from statekeep import Session
from statekeep.errors import CorruptDataError, StateStoreError
from statekeep.format.json import decode_json, explain
from statekeep.format.reading import read_ordinary

if TYPE_CHECKING:
    from collections.abc import Callable

STORED = [data for size in (SMALL, MIXED_SMALL) for _, data in documents(size, 3)]


def validated(data: bytes) -> Session:
    """The session as the model reads it."""
    try:
        return Session.model_validate(decode_json(data))
    except ValidationError as error:
        raise CorruptDataError(f"not a session: {explain(error)}") from None


def everything(model: BaseModel) -> dict[str, Any]:
    """All that there is of a model, also what no comparison looks at."""
    return {
        "fields": list(model.__dict__.items()),
        "set": model.__pydantic_fields_set__,
        "extra": model.__pydantic_extra__,
        "private": model.__pydantic_private__,
        "types": [type(each) for each in model.__dict__.values()],
        "inner": [
            everything(each)
            for value in model.__dict__.values()
            if isinstance(value, list)
            for each in value
        ],
    }


def outcome(read: Callable[[bytes], Session], data: bytes) -> object:
    try:
        return everything(read(data))
    except StateStoreError as error:
        return type(error), error.message


@pytest.mark.parametrize("data", STORED)
def test_what_is_stored_is_read_the_quick_way(data: bytes) -> None:
    assert read_ordinary(data) is not None


def test_the_golden_sessions_are_read_as_the_model_reads_them() -> None:
    stored = [*(GOLDEN / "rust-store" / "sessions").glob("*.json")]
    assert stored
    for path in stored:
        data = path.read_bytes()
        assert outcome(Session.from_json, data) == outcome(validated, data), path.name


@pytest.mark.parametrize("data", STORED)
@pytest.mark.parametrize(
    "use",
    [
        lambda session: session,
        copy.copy,
        copy.deepcopy,
        lambda session: pickle.loads(pickle.dumps(session)),
        lambda session: session.model_copy(),
        lambda session: session.model_copy(deep=True),
        Session.model_validate,
        lambda session: Session.model_validate(session.model_dump()),
    ],
    ids=["itself", "copy", "deepcopy", "pickle", "model_copy", "deep", "validated", "dumped"],
)
def test_nobody_can_tell_it_from_a_validated_one(
    data: bytes, use: Callable[[Session], Session]
) -> None:
    assert everything(use(Session.from_json(data))) == everything(use(validated(data)))


@pytest.mark.parametrize("data", STORED)
@pytest.mark.parametrize(
    "look",
    [
        repr,
        vars,
        dict,
        lambda session: session.model_dump(),
        lambda session: session.model_dump_json(),
        lambda session: session.model_dump(exclude_unset=True),
        lambda session: TypeAdapter(Session).dump_python(session),
        lambda session: session.to_json(),
        lambda session: session.messages,
        lambda session: session.summary(),
        lambda session: session.exchange_count,
        lambda session: session.is_empty,
        lambda session: session.user_messages,
        lambda session: session.agent_responses,
        lambda session: hasattr(session, "user_messages"),
    ],
)
def test_whatever_looks_first_sees_its_messages(
    data: bytes, look: Callable[[Session], object]
) -> None:
    assert look(Session.from_json(data)) == look(validated(data))


@pytest.mark.parametrize("data", STORED)
def test_it_equals_a_validated_one_on_either_side(data: bytes) -> None:
    assert Session.from_json(data) == validated(data)
    assert validated(data) == Session.from_json(data)
    assert Session.from_json(data) == Session.from_json(data)
    other = validated(data)
    other.user_messages[0].content += "."
    assert Session.from_json(data) != other


def test_its_lists_can_be_replaced_or_removed_before_anybody_has_looked() -> None:
    session = Session.from_json(STORED[0])
    session.user_messages = []
    assert (session.user_messages, len(session.agent_responses)) == ([], 10)
    with pytest.raises(ValidationError):
        session.agent_responses = [1]  # type: ignore[list-item]
    session = Session.from_json(STORED[0])
    del session.user_messages
    assert not hasattr(session, "user_messages")
    assert len(session.agent_responses) == 10
    with pytest.raises(AttributeError, match="user_message'"):
        session.user_message  # type: ignore[attr-defined]  # noqa: B018


def test_a_message_made_so_is_checked_like_any_other_when_it_is_changed() -> None:
    message = Session.from_json(STORED[0]).user_messages[0]
    with pytest.raises(ValidationError):
        message.content = 1  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="has no attribute 'contents'"):
        message.contents = ""
    message.content = "changed"
    assert message.model_dump()["content"] == "changed"


def test_threads_that_look_first_at_once_see_the_same_lists() -> None:
    with ThreadPoolExecutor(4) as pool:
        for data in STORED * 5:
            session, together = Session.from_json(data), Barrier(4)

            def look(session: Session = session, together: Barrier = together) -> int:
                together.wait(60)
                return id(session.user_messages)

            assert len({*pool.map(lambda look: look(), [look] * 4)}) == 1


def test_a_subclass_reads_by_its_own_rules() -> None:
    class Short(Session):
        title: str = "none"

    short = Short.from_json(STORED[0])
    assert (type(short), short.title) == (Short, "none")


ODD_TIMES = [
    "2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00+01:00", "2024-01-01 00:00:00Z",
    "2024-01-01t00:00:00z", "2024-01-01T24:00:00Z", "2024-01-01T23:59:60Z", "2024-13-01T00:00:00Z",
    "2024-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z", "2024-01-01T00:00:00.9999995Z", "2024-01-01T00:00:00.1234Z",
    "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00.1234567891Z", "2024-01-01T00:00Z", "20240101",
    "2024-01-01T00:00:00", "2024-W01-1T00:00:00Z", "\u0662024-01-01T00:00:00Z", "",
    "2024-01-01T00:00:00Z\n2024-01-01T00:00:00Z", "2024-01-01T00:00:00,5Z",
]  # fmt: skip
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
    st.sampled_from([[], {}, 2**63, 2**64, -(2**70), [{}], {"a": [2**65]}, "\x00", *ODD_TIMES]),
)  # fmt: skip


@st.composite
def odd_sessions(draw: st.DrawFn) -> bytes:
    """A stored session of which something is odd, or nothing."""
    fields = orjson.loads(draw(st.sampled_from(STORED)))
    for name in ("user_messages", "agent_responses"):
        del fields[name][draw(st.integers(0, 3)) :]
    for _ in range(draw(st.integers(0, 2))):
        inner = [*fields.get("user_messages", []), *fields.get("agent_responses", [])]
        place = draw(st.sampled_from([fields, fields.get("metadata"), *inner]))
        if not isinstance(place, dict):
            break
        name = draw(st.sampled_from([*place, "statekeep.order", "extra", "content", "timestamp"]))
        if draw(st.booleans()):
            place.pop(name, None)
        elif place is not fields or name not in {"metadata", "user_messages", "agent_responses"}:
            place[name] = draw(ODD)
    # Not by orjson, which does not write what is odd.
    data = json.dumps(fields, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.just(2)))
    return data.encode(errors="surrogatepass")


@given(data=odd_sessions())
def test_what_is_odd_is_read_or_refused_as_the_model_does(data: bytes) -> None:
    assert outcome(Session.from_json, data) == outcome(validated, data)


@pytest.mark.parametrize("stamp", ODD_TIMES)
def test_times_are_read_as_the_model_reads_them(stamp: str) -> None:
    for name in ("created_at", "user_messages"):
        fields = orjson.loads(STORED[0])
        if name == "created_at":
            fields[name] = stamp
        else:
            fields[name][3]["timestamp"] = stamp
        data = orjson.dumps(fields)
        assert outcome(Session.from_json, data) == outcome(validated, data)


@given(seed=st.integers(0, 2**32), data=st.sampled_from(STORED))
def test_damage_is_found_at_once(seed: int, data: bytes) -> None:
    rng = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 5])):
        damaged[rng.randrange(len(damaged))] = rng.choice([*b'\0"{}[],:\\n0', rng.randrange(256)])
    cut = bytes(damaged[: rng.choice([None, rng.randrange(len(data))])])
    assert outcome(Session.from_json, cut) == outcome(validated, cut)
