"""Items of LangGraph's threads: checkpoints and the writes of tasks.

Their values are MessagePack that names Python classes. Only the data is read: nothing that they
name is imported or called.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["is_of_langgraph", "values_of"]

_NESTED: Final = 32
"""How deeply objects may be nested."""


def is_of_langgraph(item: Mapping[str, Any]) -> bool:
    """Return whether an item is a checkpoint or the writes of a task."""
    return "ns" in item and ("checkpoint" in item or "writes" in item)


def values_of(item: Mapping[str, Any]) -> list[tuple[str | None, Any]]:
    """Return the values that a task wrote, each with its channel, or a checkpoint's contents."""
    if "writes" not in item:
        about = {name: item.get(name) for name in ("checkpoint", "parent", "ns")}
        channels = item.get("values")
        named = channels.items() if isinstance(channels, Mapping) else ()
        values = {name: _unpacked(value) for name, value in named}
        return [("checkpoint", {**about, "values": values})]
    written = item.get("of")
    found: list[tuple[str | None, Any]] = []
    for each in written if isinstance(written, list) else ():
        if isinstance(each, list) and len(each) == 3:
            channel, value = each[1], _unpacked(each[2])
            name = channel if isinstance(channel, str) else None
            several = value if isinstance(value, list) else [value]
            found += [(name, one) for one in several if one is not None]
    return found


def _unpacked(packed: Any, depth: int = 0) -> Any:  # noqa: ANN401
    """Decode a value that the saver stored: its type, and base64 or the key of an attachment."""
    if not (isinstance(packed, list) and len(packed) == 2):
        return packed
    kind, data = packed
    if kind == "null":
        return None
    if kind != "msgpack" or not isinstance(data, str):
        return {"type": kind, "data": data}
    try:
        return _decoded(b64decode(data), depth)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return {"type": kind, "data": data}


def _decoded(data: bytes, depth: int) -> Any:  # noqa: ANN401
    def extension(_: int, inside: memoryview) -> Any:  # noqa: ANN401
        if depth >= _NESTED:
            return None
        value = _decoded(bytes(inside), depth + 1)
        # A module, a name, the arguments, and the method to call.
        made_of = value[2] if isinstance(value, list) and len(value) > 2 else value
        return made_of if made_of is not None else value

    return _plain(msgspec.msgpack.decode(data, ext_hook=extension))


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Convert a value to JSON types."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)
