"""Ordinary sessions, read through typed structs: half of a load would else be the model's checks.

Everything that the model would look at is looked at. Whatever is not as both programs write it is
left to the model, which reads more, keeps what it does not know, and says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import orjson
from msgspec import Struct

from statekeep.timestamps import parse_timestamps

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Answered", "Asked", "Unread", "read_ordinary", "unread_of"]


class Asked(Struct, forbid_unknown_fields=True, gc=False):
    """What a `UserMessage` holds."""

    content: str
    timestamp: str


class Answered(Struct, forbid_unknown_fields=True, gc=False):
    """What an `AgentResponse` holds."""

    content: str
    session_id: str | None
    seed_id: str | None
    phase_reached: str | None
    evaluation_passed: bool | None
    timestamp: str


class _Stored(Struct, forbid_unknown_fields=True, gc=False):
    id: str
    user_id: str
    user_messages: list[Asked]
    agent_responses: list[Answered]
    created_at: str
    updated_at: str
    metadata: msgspec.Raw
    # Absent, or text: null is odd.
    active_seed_id: str = None  # type: ignore[assignment]
    active_persona_id: str = None  # type: ignore[assignment]


class Unread(NamedTuple):
    """A session's messages of which nobody has looked at any yet.

    Attributes:
        asked: Oldest first.
        answered: Oldest first.
        times: Of those that were asked, then of those that were answered.
        made: Where the first of several threads puts what it has made of them.
    """

    asked: list[Asked]
    answered: list[Answered]
    times: list[datetime]
    made: dict[str, dict[str, Any]]


_decode: Final = msgspec.json.Decoder(_Stored).decode


def read_ordinary(data: bytes) -> tuple[dict[str, Any], Unread] | None:
    """Read a stored session.

    Returns:
        Its fields but for the messages, with None for one that it does not have, and its
        messages; None if the model has to look.
    """
    try:
        stored = _decode(data)
        metadata = orjson.loads(memoryview(stored.metadata))
        stamps = [each.timestamp for each in stored.user_messages]
        stamps += [each.timestamp for each in stored.agent_responses]
        *times, created_at, updated_at = parse_timestamps(
            [*stamps, stored.created_at, stored.updated_at]
        )
    except (ValueError, RecursionError):
        return None
    if type(metadata) is not dict:
        return None
    fields = {
        "id": stored.id,
        "user_id": stored.user_id,
        "active_seed_id": stored.active_seed_id,
        "active_persona_id": stored.active_persona_id,
        "created_at": created_at,
        "updated_at": updated_at,
        "metadata": metadata,
    }
    return fields, Unread(stored.user_messages, stored.agent_responses, times, {})


def unread_of(asked: list[Any], answered: list[Any]) -> Unread | None:
    """Take plain values for messages; None if the model has to look."""
    try:
        users = msgspec.convert(asked, list[Asked])
        agents = msgspec.convert(answered, list[Answered])
        stamps = [each.timestamp for each in users] + [each.timestamp for each in agents]
        return Unread(users, agents, parse_timestamps(stamps), {})
    except ValueError:
        return None
