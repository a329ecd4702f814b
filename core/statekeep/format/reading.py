"""Reads ordinary sessions through typed structs, because a model's checks take half of a load.

Everything that the model checks is checked here too. Anything not in the form that both programs
write is left to the model, which accepts more, keeps unknown fields, and says what is wrong.
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
    """The fields of a `UserMessage`."""

    content: str
    timestamp: str


class Answered(Struct, forbid_unknown_fields=True, gc=False):
    """The fields of an `AgentResponse`."""

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
    # Either absent or text: null is unusual.
    active_seed_id: str = None  # type: ignore[assignment]
    active_persona_id: str = None  # type: ignore[assignment]


class Unread(NamedTuple):
    """A session's messages, before any of them was accessed.

    Attributes:
        asked: The user's messages, oldest first.
        answered: The agent's messages, oldest first.
        times: The times of `asked`, then those of `answered`.
        made: Where the first of several threads puts the messages it created.
    """

    asked: list[Asked]
    answered: list[Answered]
    times: list[datetime]
    made: dict[str, dict[str, Any]]


_decode: Final = msgspec.json.Decoder(_Stored).decode


def read_ordinary(data: bytes) -> tuple[dict[str, Any], Unread] | None:
    """Decode a stored session.

    Returns:
        Its fields except the messages, with None for an absent one, and its messages; None if the
        model must decode it.
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
    """Convert plain values to messages; None if the model must do it."""
    try:
        users = msgspec.convert(asked, list[Asked])
        agents = msgspec.convert(answered, list[Answered])
        stamps = [each.timestamp for each in users] + [each.timestamp for each in agents]
        return Unread(users, agents, parse_timestamps(stamps), {})
    except ValueError:
        return None
