"""Items of any framework, recognised by their shape.

No framework is imported: an item is what its journal holds, and one that fits nothing here is
shown as the data that it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from statekeep.conversations.blocks import parts_of, text_of
from statekeep.conversations.checkpoints import is_of_langgraph, values_of
from statekeep.conversations.types import Entry, Part
from statekeep.timestamps import parse_timestamp

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
"""What frameworks call those who speak."""

_KNOWN: Final = {"user", "agent", "system", "tool"}
_TIMES: Final = ("timestamp", "created_at", "time", "ts")

_WRAPPED: Final = ("message", "payload", "content")
"""Where an item has the message, if it says more about it."""

_CALLS: Final = ("function_call", "custom_tool_call", "local_shell_call", "computer_call")
_OUTPUT: Final = "_output"


def entry_of(index: int, item: Any) -> Entry:  # noqa: ANN401 - JSON is any value
    """Read an item of a journal, or a message of a session, as people would.

    Args:
        index: Its place.
        item: What JSON holds, as the journal has it.

    Examples:
        >>> entry = entry_of(0, {"role": "assistant", "content": "Hello"})
        >>> entry.role, entry.parts[0].text
        ('agent', 'Hello')
    """
    value = _opened(item)
    if not isinstance(value, Mapping):
        return Entry(index, None, None, _of_something(value), None, item)
    if is_of_langgraph(value):
        return _of_langgraph(index, value, item)
    message, around = _unwrapped(value)
    role = _role(message) or _role(around)
    parts = _of_message(message) or _of_something(value)
    if role == "user" and all(part.kind in {"tool_result", "image"} for part in parts):
        role = "tool" if parts[0].kind == "tool_result" else role
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
    role, parts = None, []
    for name, value in values_of(item):
        found = _of_message(value) if isinstance(value, Mapping) else []
        if found:
            role = role or _role(value)
        parts += found or [Part("data", text_of(value), name)]
    return Entry(index, role, None, parts or _of_something(item), None, raw)


def _opened(item: Any) -> Any:  # noqa: ANN401
    """What is stored as JSON text, as `storable` does."""
    if isinstance(item, str):
        try:
            return json.loads(item)
        except (ValueError, RecursionError):
            pass
    return item


def _unwrapped(item: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The message of an item, and the item around it."""
    if len(item) == 1:  # a session's
        ((role, message),) = item.items()
        if role in {"user", "agent"} and isinstance(message, Mapping):
            return {"role": role, **message}, item
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
        if not isinstance(value, str):
            continue
        low = value.lower()
        role = _ROLES.get(low, low)
        if name == "role" or role in _KNOWN:
            return role
        if low in _CALLS or low == "reasoning":
            return "agent"
        if low.endswith(_OUTPUT):
            return "tool"
    return None


def _time(item: Mapping[str, Any]) -> datetime | None:
    for name in _TIMES:
        value = item.get(name)
        if isinstance(value, str):
            try:
                return parse_timestamp(value)
            except ValueError:
                pass
    parts = item.get("parts")
    if isinstance(parts, Sequence) and parts and isinstance(parts[0], Mapping):
        return _time({name: parts[0].get(name) for name in _TIMES})
    return None


def _of_message(message: Mapping[str, Any]) -> list[Part]:
    """The parts of a message; none if it has no shape of one."""
    kind = message.get("type")
    if isinstance(kind, str) and (kind in _CALLS or kind.endswith(_OUTPUT) or kind == "reasoning"):
        return parts_of([message])
    content = next(
        (message[name] for name in ("content", "parts") if message.get(name) is not None), None
    )
    parts = [] if content is None else parts_of(content)
    if isinstance(call := message.get("tool_call_id"), str):  # all of it is a tool's
        name = message.get("name")
        result = "\n".join([part.text for part in parts if part.text])
        return [
            Part("tool_result", result, name if isinstance(name, str) else None, call),
            *(part for part in parts if part.kind == "image"),
        ]
    calls = message.get("tool_calls")
    for each in calls if isinstance(calls, list) else ():
        function = each.get("function", each) if isinstance(each, Mapping) else None
        if isinstance(function, Mapping):
            said = function.get("arguments", function.get("args"))
            name, call = function.get("name"), each.get("id")
            parts.append(Part("tool_call", text_of(said), _text(name), _text(call)))
    return parts


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _of_something(value: Any) -> list[Part]:  # noqa: ANN401
    return [Part("text" if isinstance(value, str) else "data", text_of(value))]
