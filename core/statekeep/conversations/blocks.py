"""Blocks of a message: texts, thoughts, tool calls and their results, images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from statekeep.conversations.types import Part

__all__ = ["arguments_of", "is_call", "is_result", "parts_of", "text_of", "texts_in"]

_TEXTS: Final = {
    "text", "input_text", "output_text", "refusal", "summary_text", "user-prompt", "system-prompt",
    "instructions",
}  # fmt: skip
_THOUGHTS: Final = {"thinking", "reasoning", "redacted_thinking", "reasoning_text"}
_CALLS: Final = {"tool_use", "server_tool_use", "mcp_tool_use", "tool-call", "builtin-tool-call"}
_RESULTS: Final = {"tool-return", "builtin-tool-return", "retry-prompt"}
_IMAGES: Final = {"image", "image_url", "image-url", "input_image", "binary"}

_NAMES: Final = ("name", "tool_name", "toolName")
_IDS: Final = ("call_id", "tool_call_id", "tool_use_id", "toolUseId", "id")
_ARGUMENTS: Final = ("arguments", "args", "input", "action")
_OF_CALLS: Final = {"type", "part_kind", "kind", *_NAMES, *_IDS, "output", "result", "error"}
_OUTPUTS: Final = ("content", "output", "result", "response", "error")
_SAID: Final = ("text", "thinking", "content", "refusal", "summary", "data")
_ASIDE: Final = {"thought", "thoughtSignature", "thought_signature"}
"""Fields of Google's parts that are not content."""

# Possessive, because backtracking would take for ever on a long text that is not base64.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-\s]*+={0,2}\s*+")


def text_of(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """Return a value as text: a string as it is, anything else as indented JSON.

    What JSON cannot hold, or is too deep, becomes the strings in it, one per line.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (RecursionError, TypeError, ValueError):  # too deep, odd keys, a huge integer
        return "\n".join(texts_in(value))


def texts_in(value: Any, *, but: Container[str] = ()) -> Iterator[str]:  # noqa: ANN401
    """Yield all strings in a value, in order; without recursion, because it may be deep.

    Args:
        value: A JSON value.
        but: Names of fields to leave out at any depth.
    """
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            left += reversed([value for name, value in each.items() if name not in but])
        elif isinstance(each, list):
            left += reversed(each)


def is_call(kind: str) -> bool:
    """Return whether a block of this kind calls a tool."""
    return kind in _CALLS or kind.endswith("_call")


def is_result(kind: str) -> bool:
    """Return whether a block of this kind is the result of a tool."""
    return kind in _RESULTS or kind.endswith(("_output", "tool_result"))


def parts_of(content: Any) -> list[Part]:  # noqa: ANN401
    """Return the parts of a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return [Part("text", content)] if content else []
    if not isinstance(content, list):
        return _of_block(content)
    return [part for block in content for part in _of_block(block)]


def _of_block(block: Any) -> list[Part]:  # noqa: ANN401
    if isinstance(block, str):
        return [Part("text", block)]
    if not isinstance(block, Mapping):
        return [Part("data", text_of(block))]
    kind = next(
        (block[name] for name in ("type", "part_kind", "kind") if isinstance(block.get(name), str)),
        "",
    )
    if is_result(kind):
        return _result(block)
    if is_call(kind):
        return _call_and_result(block, kind)
    if kind in _IMAGES:
        return [_image(block)]
    if kind in _THOUGHTS:
        return [Part("thinking", _joined(_first(block, *_SAID)))]
    if kind in _TEXTS:
        said = _first(block, *_SAID)
        return (parts_of(said) if said is not None else []) or [Part("text")]
    said = {name: each for name, each in block.items() if each is not None and name not in _ASIDE}
    if len(said) == 1:
        ((name, value),) = said.items()
        if name == "text" and block.get("thought") is True:
            return [Part("thinking", _joined(value))]
        if name in _NESTED:
            return _NESTED[name](value)
    return [Part("data", text_of(block))]


def _call_and_result(block: Mapping[str, Any], kind: str) -> list[Part]:
    """Return a call, and its result if that is in the same block, as for a provider's own tools."""
    call = _call(block)
    if call.name is None:
        call = replace(call, name=kind)
    if not call.text and _first(block, *_ARGUMENTS) is None:
        rest = {name: value for name, value in block.items() if name not in _OF_CALLS}
        call = replace(call, text=text_of(rest) if rest else "")
    given = {name: block[name] for name in ("output", "result", "error") if block.get(name)}
    return [call, *(part for each in given.values() for part in _given(block, each))]


def _call(block: Mapping[str, Any]) -> Part:
    said = _first(block, *_ARGUMENTS)
    return Part("tool_call", arguments_of(said), _text(block, *_NAMES), _text(block, *_IDS))


def _result(block: Mapping[str, Any]) -> list[Part]:
    return _given(block, _first(block, *_OUTPUTS))


def _given(block: Mapping[str, Any], value: Any) -> list[Part]:  # noqa: ANN401
    # An object is the result itself, not a block, whatever its fields are called.
    parts = parts_of(value) if isinstance(value, str | list) else [Part("data", text_of(value))]
    text = "\n".join([part.text for part in parts if part.text])
    return [
        Part("tool_result", text, _text(block, *_NAMES), _text(block, *_IDS)),
        *(part for part in parts if part.kind == "image"),
    ]


def _image(block: Mapping[str, Any]) -> Part:
    source = _first(block, "source", "image_url", "url", "data", "base64")
    media = _text(block, "media_type", "mime_type", "mimeType")
    if isinstance(source, Mapping):
        media = _text(source, "media_type", "mimeType") or media
        source = _first(source, "url", "data", "bytes")
    if not isinstance(source, str) or not (media or "image/").startswith("image/"):
        return Part("data", text_of(block))
    return _image_at(source, media)


def _image_at(source: str, media: str | None) -> Part:
    if _BASE64.fullmatch(source):
        media = media or "image/png"
        source = f"data:{media};base64,{source}"
    return Part("image", media_type=media, source=source)


def _of_bytes(value: Any) -> list[Part]:  # noqa: ANN401
    """Return the parts of an image as Bedrock and Google store it."""
    if isinstance(value, Mapping):
        source = _first(value, "source", "data", "bytes")
        data = _first(source, "bytes", "data") if isinstance(source, Mapping) else source
        form = _text(value, "format")
        media = _text(value, "mimeType", "mime_type") or (f"image/{form}" if form else None)
        if isinstance(data, Mapping):  # Strands wraps bytes in an object
            data = data.get("data")
        if isinstance(data, str) and (media or "").startswith("image/"):
            return [_image_at(data, media)]
    return [Part("data", text_of(value))]


def _of_thought(value: Any) -> list[Part]:  # noqa: ANN401
    return [Part("thinking", _joined(value))]


def _joined(value: Any) -> str:  # noqa: ANN401
    """Return the text of a thought, wherever it is stored."""
    if isinstance(value, list):
        return "\n".join(map(_joined, value))
    if isinstance(value, Mapping):
        said = _first(value, "text", "reasoningText", "summary", "thinking")
        return text_of(value) if said is None else _joined(said)
    return text_of(value)


def arguments_of(said: Any) -> str:  # noqa: ANN401
    """Return the arguments of a call, indented if they are JSON."""
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return str(said)
    return text_of(said)


def _first(block: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401
    return next((block[name] for name in names if block.get(name) is not None), None)


def _text(block: Mapping[str, Any], *names: str) -> str | None:
    value = _first(block, *names)
    return value if isinstance(value, str) else None


def _of_call(value: Any) -> list[Part]:  # noqa: ANN401
    return [_call(value)] if isinstance(value, Mapping) else [Part("data", text_of(value))]


def _of_result(value: Any) -> list[Part]:  # noqa: ANN401
    return _result(value) if isinstance(value, Mapping) else [Part("data", text_of(value))]


# For frameworks that name a block's kind by its only field.
_NESTED: Final[Mapping[str, Callable[[Any], list[Part]]]] = {
    "toolUse": _of_call,
    "functionCall": _of_call,
    "function_call": _of_call,
    "toolResult": _of_result,
    "functionResponse": _of_result,
    "function_response": _of_result,
    "reasoningContent": _of_thought,
    "image": _of_bytes,
    "inlineData": _of_bytes,
    "inline_data": _of_bytes,
    "text": parts_of,
    "json": lambda value: [Part("data", text_of(value))],
}
