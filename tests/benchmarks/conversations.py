"""What is stored: the same conversations for all subjects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from statekeep import AgentResponse, Session, UserMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HUGE", "LARGE", "SMALL", "Size", "as_dict", "as_json", "ids", "session", "text"]

_WORDS = (
    "the parser reads one line, splits it at every comma and checks each field against the plan; "
    'what it cannot read it reports as "line 7: no such field", and goes on with the next. '
)
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_TEMPLATE_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Size:
    """How long a session is.

    Attributes:
        name: For tables.
        exchanges: Questions, each with its answer.
        characters: Of each question and of each answer.
    """

    name: str
    exchanges: int
    characters: int


SMALL = Size("10 x 200", 10, 200)
LARGE = Size("200 x 500", 200, 500)
HUGE = Size("1000 x 500", 1000, 500)


def text(characters: int, number: int) -> str:
    """Text of that length; each number has its own."""
    return (f"{number}: " + _WORDS * (characters // len(_WORDS) + 1))[:characters]


def ids(count: int) -> list[str]:
    """The ids of that many sessions, oldest first."""
    return [f"{number:08d}{_TEMPLATE_ID[8:]}" for number in range(count)]


def session(size: Size, session_id: str = _TEMPLATE_ID) -> Session:
    """A session of that size, as it would be after the last answer."""
    moments = (_BEGINNING + timedelta(seconds=n, microseconds=123456) for n in range(10**6))
    made = Session(id=session_id, user_id="ada", created_at=next(moments), updated_at=_BEGINNING)
    for number in range(size.exchanges):
        question, answer = text(size.characters, 2 * number), text(size.characters, 2 * number + 1)
        made.user_messages.append(UserMessage(content=question, timestamp=next(moments)))
        made.agent_responses.append(AgentResponse(content=answer, timestamp=next(moments)))
    made.updated_at = next(moments)
    return made


def as_json(size: Size, session_ids: list[str]) -> Iterator[tuple[str, bytes]]:
    """Sessions of one size as they are stored, each `updated_at` a second after the last."""
    template = session(size)
    stored = template.to_json()
    old = json.loads(stored)["updated_at"].encode()
    for number, each in enumerate(session_ids):
        moment = template.updated_at + timedelta(seconds=number)
        new = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
        yield each, stored.replace(_TEMPLATE_ID.encode(), each.encode()).replace(old, new)


def as_dict(size: Size, session_id: str) -> dict[str, Any]:
    """A session as plain data, for those who store any JSON."""
    data: dict[str, Any] = json.loads(session(size, session_id).to_json())
    return data
