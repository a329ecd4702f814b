"""Recognises items of any framework by their shape.

No framework is imported. An item with no known shape is shown as data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from statekeep.conversations.blocks import arguments_of, is_call, is_result, parts_of, text_of
from statekeep.conversations.checkpoints import is_of_langgraph, values_of
from statekeep.conversations.types import Entry, Part
from statekeep.timestamps import from_microseconds, parse_timestamp

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["entry_of"]

_ROLES: Final = {
    "ai": "agent",
    "assistant": "agent",
    "developer": "system",
    "function": "tool",
    "human": "user",
    "model": "agent",
    "request": "user",
    "response": "agent",
    "toolresult": "tool",
}
"""Roles under the names that frameworks give them."""

_KNOWN: Final = {"user", "agent", "system", "tool"}
_TIMES: Final = ("timestamp", "created_at", "time", "ts")

_WRAPPED: Final = ("message", "payload", "content")
"""Fields in which an item wraps a message."""

_SAID: Final = ("content", "text")
"""Fields that hold the text of an item of no known framework."""

_SECONDS: Final = range(10**8, 10**11)
"""Numbers that are taken for seconds since 1970; times 1000, for milliseconds."""


def entry_of(index: int, item: Any) -> Entry:  # noqa: ANN401 - JSON is any value
    """Turn an item of a journal, or a message of a session, into an entry for people to read.

    Args:
        index: Its place in the conversation.
        item: The item, as the journal stores it.

    Examples:
        >>> entry = entry_of(0, {"role": "assistant", "content": "Hello"})
        >>> entry.role, entry.parts[0].text
        ('agent', 'Hello')
    """
    try:
        return _entry(index, item)
    except RecursionError:  # deeper than any framework's items, and than a journal can store
        return Entry(index, None, None, _of_something(item), None, item)


def _entry(index: int, item: Any) -> Entry:  # noqa: ANN401
    value = _opened(item)
    if not isinstance(value, Mapping):
        # Text that happens to be JSON of a number or a list is still text.
        said = value if isinstance(value, str) else item
        return Entry(index, None, None, _of_something(said), None, item)
    if is_of_langgraph(value):
        return _of_langgraph(index, value, item)
    message, around = _unwrapped(value)
    role = _role(message) or _role(around)
    parts = _of_message(message) if role is not None else _of_unknown(value)
    parts = parts or _of_something(value)
    kinds = {part.kind for part in parts}
    if role == "user" and "tool_result" in kinds <= {"tool_result", "image"}:
        role = "tool"
    phase = message.get("phase_reached")
    return Entry(
        index,
        role,
        _time(message) or _time(around),
        parts,
        phase if isinstance(phase, str) else None,
        item,
    )


def _of_langgraph(index: int, item: Mapping[str, Any], raw: Any) -> Entry:  # noqa: ANN401
    role: str | None = None
    parts: list[Part] = []
    for name, value in values_of(item):
        speaker = _role(value) if isinstance(value, Mapping) else None
        found = _of_message(value) if speaker else []
        if found:
            role = role or speaker
        parts += found or [Part("data", text_of(value), name)]
    return Entry(index, role, None, parts or _of_something(item), None, raw)


def _opened(item: Any) -> Any:  # noqa: ANN401
    """Decode an item that is stored as JSON text, as `storable` does."""
    if isinstance(item, str):
        try:
            return json.loads(item)
        except (ValueError, RecursionError):
            pass
    return item


def _unwrapped(item: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the message in an item, and the item around it."""
    if len(item) == 1:  # a session's
        ((role, message),) = item.items()
        if role in {"user", "agent"} and isinstance(message, Mapping):
            return {"role": role, **message}, item
    if isinstance(item.get("role"), str) and not {"content", "parts"}.isdisjoint(item):
        return item, item
    for name in _WRAPPED:
        message = _opened(item.get(name))
        if isinstance(message, Mapping) and (
            name != "content" or not {"role", "parts"}.isdisjoint(message)
        ):
            return message, item
    return item, item


def _role(item: Mapping[str, Any]) -> str | None:
    for name in ("role", "kind", "type"):
        value = item.get(name)
        if not isinstance(value, str) or not value:
            continue
        low = value.lower()
        role = _ROLES.get(low, low)
        if name == "role" or role in _KNOWN:
            return role
        if name == "type" and is_result(low):
            return "tool"
        if name == "type" and (is_call(low) or low == "reasoning"):
            return "agent"
    return None


def _time(item: Mapping[str, Any]) -> datetime | None:
    for name in _TIMES:
        if (moment := _moment(item.get(name))) is not None:
            return moment
    parts = item.get("parts")
    if isinstance(parts, Sequence) and parts and isinstance(parts[0], Mapping):
        return _time({name: parts[0].get(name) for name in _TIMES})
    return None


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            return parse_timestamp(value)
        except ValueError:
            return None
    if isinstance(value, int | float):
        for unit in (1, 1000):
            if _SECONDS.start * unit <= value < _SECONDS.stop * unit:
                return from_microseconds(int(value * (1_000_000 // unit)))
    return None


def _of_message(message: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a message; none if it does not look like one."""
    kind = message.get("type")
    if isinstance(message.get("content"), str):
        kind = None
    if isinstance(kind, str) and (is_call(kind) or is_result(kind) or kind == "reasoning"):
        return parts_of([message])
    content = next(
        (message[name] for name in ("content", "parts") if message.get(name) is not None), None
    )
    parts = [] if content is None else parts_of(content)
    if isinstance(call := message.get("tool_call_id"), str):  # the whole message is a result
        result = "\n".join([part.text for part in parts if part.text])
        return [
            Part("tool_result", result, _text(message.get("name")), call),
            *(part for part in parts if part.kind == "image"),
        ]
    if isinstance(thought := message.get("reasoning_content"), str) and thought:
        parts.insert(0, Part("thinking", thought))
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        parts.append(Part("text", refusal))
    calls = message.get("tool_calls")
    return parts + [_call(each) for each in (calls if isinstance(calls, list) else ())]


def _call(call: Any) -> Part:  # noqa: ANN401
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return Part("data", text_of(call))
    said = function.get("arguments", function.get("args"))
    return Part("tool_call", arguments_of(said), _text(function.get("name")), _text(call.get("id")))


def _of_unknown(item: Mapping[str, Any]) -> list[Part]:
    """Return the text of an item that has no role, and the rest of it as data."""
    for name in _SAID:
        if isinstance(said := item.get(name), str) and said:
            rest = {other: value for other, value in item.items() if other != name}
            others = [
                other
                for other, value in rest.items()
                if value is not None and not (other in _TIMES and _moment(value))
            ]
            return [Part("text", said), *([Part("data", text_of(rest))] if others else [])]
    return []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _of_something(value: Any) -> list[Part]:  # noqa: ANN401
    return [Part("text" if isinstance(value, str) else "data", text_of(value))]
