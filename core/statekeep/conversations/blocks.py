"""Blocks of a message: texts, thoughts, tool calls and their results, images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from statekeep.conversations.types import Part

__all__ = ["parts_of", "text_of"]

_TEXTS: Final = {
    "text", "input_text", "output_text", "refusal", "summary_text", "user-prompt", "system-prompt",
    "instructions",
}  # fmt: skip
_THOUGHTS: Final = {"thinking", "reasoning", "redacted_thinking", "reasoning_text"}
_CALLS: Final = {
    "tool_use", "server_tool_use", "tool-call", "builtin-tool-call", "function_call",
    "custom_tool_call", "local_shell_call", "computer_call", "tool_call",
}  # fmt: skip
_RESULTS: Final = {
    "tool_result", "tool-return", "builtin-tool-return", "retry-prompt", "function_call_output",
    "custom_tool_call_output", "local_shell_call_output", "computer_call_output",
}  # fmt: skip
_IMAGES: Final = {"image", "image_url", "image-url", "input_image", "binary"}

_NAMES: Final = ("name", "tool_name", "toolName")
_IDS: Final = ("call_id", "tool_call_id", "tool_use_id", "toolUseId", "id")
_ARGUMENTS: Final = ("arguments", "args", "input", "action")
_OUTPUTS: Final = ("content", "output", "result", "response")
_SAID: Final = ("text", "thinking", "content", "refusal", "summary", "data")


def text_of(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """A text as it is, anything else as indented JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2) if value is not None else ""


def parts_of(content: Any) -> list[Part]:  # noqa: ANN401
    """The parts of what a message says: a text, or blocks of it."""
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
    if kind in _CALLS:
        return [_call(block)]
    if kind in _RESULTS:
        return _result(block)
    if kind in _IMAGES:
        return [_image(block)]
    if kind in _THOUGHTS:
        return [Part("thinking", _joined(_first(block, *_SAID)))]
    if kind in _TEXTS:
        return parts_of(_first(block, *_SAID)) or [Part("text")]
    for name, read in _NESTED.items():
        if name in block:
            return read(block[name])
    return [Part("data", text_of(block))]


def _call(block: Mapping[str, Any]) -> Part:
    said = _first(block, *_ARGUMENTS)
    return Part("tool_call", _indented(said), _text(block, *_NAMES), _text(block, *_IDS))


def _result(block: Mapping[str, Any]) -> list[Part]:
    parts = parts_of(_first(block, *_OUTPUTS))
    text = "\n".join([part.text for part in parts if part.text])
    return [
        Part("tool_result", text, _text(block, *_NAMES), _text(block, *_IDS)),
        *(part for part in parts if part.kind == "image"),
    ]


def _image(block: Mapping[str, Any]) -> Part:
    source = _first(block, "source", "image_url", "url", "data")
    media = _text(block, "media_type", "mime_type", "mimeType")
    if isinstance(source, Mapping):
        media = _text(source, "media_type", "mimeType") or media
        source = _first(source, "url", "data", "bytes")
    if not isinstance(source, str):
        return Part("data", text_of(block))
    return _image_at(source, media)


def _image_at(source: str, media: str | None) -> Part:
    if ":" not in source[:16] and not source.startswith("blobs/"):  # base64
        media = media or "image/png"
        source = f"data:{media};base64,{source}"
    return Part("image", media_type=media, source=source)


def _of_bytes(value: Any) -> list[Part]:  # noqa: ANN401
    """As Bedrock and Google have images."""
    if isinstance(value, Mapping):
        source = _first(value, "source", "data", "bytes")
        data = _first(source, "bytes", "data") if isinstance(source, Mapping) else source
        form = _text(value, "format")
        media = _text(value, "mimeType", "mime_type") or (f"image/{form}" if form else None)
        if isinstance(data, Mapping):  # Strands marks what was bytes
            data = data.get("data")
        if isinstance(data, str) and (media or "").startswith("image/"):
            return [_image_at(data, media)]
    return [Part("data", text_of(value))]


def _of_thought(value: Any) -> list[Part]:  # noqa: ANN401
    return [Part("thinking", _joined(value))]


def _joined(value: Any) -> str:  # noqa: ANN401
    """The texts of a thought, wherever they are in it."""
    if isinstance(value, list):
        return "\n".join(map(_joined, value))
    if isinstance(value, Mapping):
        return _joined(_first(value, "text", "reasoningText", "summary", "thinking"))
    return text_of(value)


def _indented(said: Any) -> str:  # noqa: ANN401
    """Arguments, indented if they are JSON."""
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return said if isinstance(said, str) else ""
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


# Of those who tell a block's kind by the name of its only field.
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
