"""Sessions in format 2: messages are items, and everything else is in the head.

An item is ``{"user": {…}}`` or ``{"agent": {…}}``, in the order in which they were said, so the
order need not be stored separately.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from pydantic import ValidationError

from statekeep.errors import CorruptDataError, InvalidDocumentError
from statekeep.format.json import encode_json, explain
from statekeep.format.order import ORDER
from statekeep.format.session import (
    Session,
    make_session,
    plain_messages,
    plain_parts,
    remember_order,
)
from statekeep.format.summary import OPTIONAL_BOOLEAN, OPTIONAL_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from statekeep.format.contents import Contents
    from statekeep.format.session import AgentResponse, UserMessage

__all__ = ["Parts", "parts_of", "session_of", "tally", "turns_of"]

_OPTIONAL: Final = ("active_seed_id", "active_persona_id")
_LAST: Final = (("last_phase", "phase_reached"), ("last_evaluation", "evaluation_passed"))
_ABOUT: Final = ("id", "user_id", "created_at", "updated_at")


class Parts(NamedTuple):
    """A session in the parts that format 2 stores.

    Attributes:
        about: What the head says about the session as a whole.
        metadata: The caller's metadata.
        turns: The items.
    """

    about: dict[str, Any]
    metadata: dict[str, Any]
    turns: list[dict[str, Any]]


def parts_of(session: Session, start: int = 0) -> Parts:
    """Split a session into plain values, with its messages from some position on.

    Raises:
        InvalidDocumentError: Something in it cannot be stored.
    """
    try:
        messages = session.messages[start:]
        fields, said = (orjson.loads(encode_json(each)) for each in plain_parts(session, messages))
    except InvalidDocumentError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        # A subclass, or an error that this call reports.
        fields = orjson.loads(session.to_json())
        messages = session.messages[start:]
        lists = {"user": fields.pop("user_messages"), "agent": fields.pop("agent_responses")}
        each_of = {role: iter(each) for role, each in lists.items()}
        said = [next(each_of[message.role]) for message in session.messages][start:]
    metadata = fields.pop("metadata")
    metadata.pop(ORDER, None)
    about = {name: fields.pop(name) for name in _ABOUT}
    for name in _OPTIONAL:
        if (value := fields.pop(name, None)) is not None:
            about[name] = value
    if fields:
        about["fields"] = fields
    turns = [{str(each.role): one} for each, one in zip(messages, said, strict=True)]
    return Parts(about, metadata, turns)


def turns_of(messages: Iterable[UserMessage | AgentResponse]) -> list[dict[str, Any]]:
    """Convert messages to items, as plain values.

    Raises:
        InvalidDocumentError: A message cannot be stored.
    """
    said = [*messages]
    try:
        plain = orjson.loads(encode_json(plain_messages(said)))
    except InvalidDocumentError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"a message has a wrong field: {error}") from None
    return [{str(each.role): one} for each, one in zip(said, plain, strict=True)]


def session_of(contents: Contents, items: Iterable[Any]) -> Session:
    """Create the session that a head and its items describe.

    Raises:
        CorruptDataError: They do not describe a session.
    """
    said: dict[str, list[Any]] = {"user": [], "agent": []}
    order: list[str] = []
    for item in items:
        if not (isinstance(item, dict) and len(item) == 1):
            raise CorruptDataError(f"item {len(order)} is not a message")
        ((role, message),) = item.items()
        if role not in said:
            raise CorruptDataError(
                f"item {len(order)} has the role {role[:40]!r}, which no session has"
            )
        said[role].append(message)
        order.append(role)
    try:
        about = deepcopy(contents.about)
        fields = about.pop("fields", {})
        fields = {
            **(fields if isinstance(fields, dict) else {}),
            **about,
            "metadata": deepcopy(contents.metadata),
        }
        session = make_session(fields, said["user"], said["agent"])
    except RecursionError:
        raise CorruptDataError("nested too deep") from None
    except ValidationError as error:
        raise CorruptDataError(f"not a session: {explain(error)}") from None
    of_role: dict[str, Iterator[UserMessage | AgentResponse]] = {
        "user": iter(session.user_messages),
        "agent": iter(session.agent_responses),
    }
    remember_order(session, [next(of_role[role]) for role in order])
    return session


def tally(before: Mapping[str, Any], items: Iterable[Any]) -> dict[str, Any]:
    """Summarize turns, and add that to the summary of the turns before them.

    Raises:
        CorruptDataError: They are not messages, or `before` is not a summary.
    """
    found = {"user": 0, "agent": 0, "last_phase": None, "last_evaluation": None, **before}
    try:
        for item in items:
            ((role, message),) = item.items()
            found[role] += 1
            if role == "agent":
                for name, field in _LAST:
                    if message.get(field) is not None:
                        found[name] = message[field]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CorruptDataError("an item of the session is not a message") from None
    is_sound = all(type(found[role]) is int and found[role] >= 0 for role in ("user", "agent"))
    if not (
        is_sound
        and isinstance(found["last_phase"], OPTIONAL_TEXT)
        and isinstance(found["last_evaluation"], OPTIONAL_BOOLEAN)
    ):
        raise CorruptDataError("what the head says about older messages is not a summary")
    return found
