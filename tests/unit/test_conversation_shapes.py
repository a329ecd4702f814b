"""Items of any framework, as people would read them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import json_values, texts

from statekeep.conversations import entry_of
from statekeep.conversations.blocks import texts_in

NAMES = st.sampled_from(
    [
        "role", "type", "kind", "part_kind", "content", "parts", "text", "thinking", "message",
        "payload", "user", "agent", "tool_calls", "tool_call_id", "function", "arguments", "name",
        "id", "source", "data", "url", "media_type", "toolUse", "toolResult", "functionCall",
        "functionResponse", "reasoningContent", "image", "inlineData", "json", "bytes", "thought",
        "timestamp", "output", "summary", "ns", "writes", "checkpoint", "of", "values", "task",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "user", "assistant", "model", "tool", "tool_use", "tool_result", "function_call",
        "function_call_output", "reasoning", "text", "image", "image_url", "binary", "request",
        "user-prompt", "tool-return", "mcp_call", "2026-01-01T00:00:00Z", "msgpack", "null", "",
    ]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts | WORDS
shaped = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=30
)
"""What looks like the items of frameworks, and is none."""


def seen(item: Any) -> list[tuple[str, ...]]:
    return [
        (part.kind, *filter(None, (part.text, part.name, part.source)))
        for part in entry_of(0, item).parts
    ]


@given(shaped | json_values | shaped.map(json.dumps))
@example({"type": "image", "source": {"data": 5}})
@example({"timestamp": float("inf"), "text": 10**5000})
def test_whatever_it_is_it_can_be_read(item: Any) -> None:
    entry = entry_of(3, item)
    assert entry.index == 3
    assert entry.raw is item
    assert entry.parts
    for part in entry.parts:
        assert isinstance(part.text, str)
        assert part.name is None or isinstance(part.name, str)
        assert part.source is None or isinstance(part.source, str)


@pytest.mark.parametrize("depth", [100, 127, 500, 5000])
@pytest.mark.parametrize("around", [["{0}"], ['{{"content": {0}}}'], ['{{"a": {0}, "role": "x"}}']])
def test_however_deep_it_is_it_can_be_read(depth: int, around: list[str]) -> None:
    text = '{"content": [' * depth + '"deep"' + "]}" * depth
    assert "deep" in said(around[0].format(text))
    item: Any = "deep"
    for _ in range(depth):
        item = {"role": "user", "content": [item]}
    assert "deep" in said(item)


def said(item: Any) -> str:
    return "\n".join(" ".join(each[1:]) for each in seen(item))


@given(st.dictionaries(texts, json_values, min_size=1) | shaped)
def test_of_an_unknown_item_no_text_is_lost(item: Any) -> None:
    entry = entry_of(0, item)
    of_langgraph = isinstance(item, dict) and "ns" in item
    if entry.role is None and not of_langgraph and not isinstance(item, str):
        shown = said(item)
        for text in texts_in(item):
            if entry.timestamp and text == "2026-01-01T00:00:00Z":
                continue
            assert text in shown or json.dumps(text, ensure_ascii=False)[1:-1] in shown


@given(texts)
def test_a_text_is_what_it_says(text: str) -> None:
    assert said(json.dumps(text)) == text  # as adapters store a text
    if not isinstance(_read(text), str | dict):
        assert said(text) == text


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@given(st.binary(max_size=40))
def test_what_langgraph_packed_is_only_read(data: bytes) -> None:
    packed = ["msgpack", b64encode(data).decode()]
    assert entry_of(0, {"ns": "", "writes": "x", "task": "t", "of": [[0, "c", packed]]}).parts
    assert entry_of(0, {"ns": "", "checkpoint": "x", "values": {"c": packed}}).parts


def test_a_message_of_langgraph_is_read_out_of_its_object() -> None:
    made = ("langchain_core.messages.human", "HumanMessage", {"type": "human", "content": "Hi"})
    packed = msgspec.msgpack.encode(msgspec.msgpack.Ext(5, msgspec.msgpack.encode(made)))
    of = [[0, "messages", ["msgpack", b64encode(packed).decode()]]]
    entry = entry_of(0, {"ns": "", "writes": "1", "task": "t", "path": "", "of": of})
    assert (entry.role, entry.parts[0].text) == ("user", "Hi")


SAMPLES: list[tuple[str, Any, str | None, list[tuple[str, ...]]]] = [
    ("chat", {"role": "user", "content": "Hi"}, "user", [("text", "Hi")]),
    (
        "chat, calls",
        {
            "role": "assistant", "content": None, "refusal": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"q":1}'}}
            ],
        },
        "agent",
        [("tool_call", '{\n  "q": 1\n}', "f")],
    ),
    ("chat, result", {"role": "tool", "tool_call_id": "1", "content": "3"}, "tool",
     [("tool_result", "3")]),
    ("chat, image",
     {"role": "user", "content": [
         {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
     "user", [("image", "https://x/y.png")]),
    ("responses, call", {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
     "agent", [("tool_call", "{}", "f")]),
    ("responses, output", {"type": "function_call_output", "call_id": "1", "output": "ok"}, "tool",
     [("tool_result", "ok")]),
    ("responses, reasoning",
     {"type": "reasoning", "id": "r", "content": None,
      "summary": [{"type": "summary_text", "text": "Why"}]},
     "agent", [("thinking", "Why")]),
    ("responses, a search of the provider",
     {"type": "web_search_call", "id": "w", "action": {"query": "x"}, "status": "completed"},
     "agent", [("tool_call", '{\n  "query": "x"\n}', "web_search_call")]),
    ("responses, a server's tool",
     {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "output": "ok"},
     "agent", [("tool_call", "{}", "f"), ("tool_result", "ok", "f")]),
    ("claude",
     {"type": "assistant", "timestamp": "2026-01-01T00:00:00Z", "uuid": "u",
      "message": {"role": "assistant", "content": [
          {"type": "thinking", "thinking": "Hm", "signature": "s"},
          {"type": "text", "text": "Yes"},
          {"type": "tool_use", "id": "1", "name": "Grep", "input": {"q": "x"}}]}},
     "agent", [("thinking", "Hm"), ("text", "Yes"), ("tool_call", '{\n  "q": "x"\n}', "Grep")]),
    ("claude, result",
     {"type": "user", "message": {"role": "user", "content": [
         {"type": "tool_result", "tool_use_id": "1",
          "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}},
     "tool", [("tool_result", "a\nb")]),
    ("claude, image",
     {"type": "user", "message": {"role": "user", "content": [
         {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                      "data": "iVBO"}}]}},
     "user", [("image", "data:image/png;base64,iVBO")]),
    ("strands",
     {"message": {"role": "assistant", "content": [
         {"text": "Hi"}, {"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}]},
      "message_id": 0, "created_at": "2026-01-01T00:00:00+00:00"},
     "agent", [("text", "Hi"), ("tool_call", "{}", "f")]),
    ("strands, result",
     {"message": {"role": "user", "content": [
         {"toolResult": {"toolUseId": "1", "status": "success", "content": [{"text": "3"}]}}]}},
     "tool", [("tool_result", "3")]),
    ("pydantic-ai",
     {"id": "1", "message": {"kind": "request", "parts": [
         {"part_kind": "system-prompt", "content": "Be."},
         {"part_kind": "user-prompt", "content": "Hi", "timestamp": "2026-01-01T00:00:00Z"}]}},
     "user", [("text", "Be."), ("text", "Hi")]),
    ("pydantic-ai, what a tool gave is no block",
     {"kind": "request", "parts": [
         {"part_kind": "tool-return", "tool_name": "f", "tool_call_id": "1",
          "content": {"text": "a", "score": 5}}]},
     "tool", [("tool_result", '{\n  "text": "a",\n  "score": 5\n}', "f")]),
    ("adk",
     {"author": "weather", "timestamp": 1767225600.5,
      "content": {"role": "model", "parts": [
          {"text": "Hm", "thought": True, "functionCall": None},
          {"text": "Sunny", "thought": None, "functionCall": None, "inlineData": None}]}},
     "agent", [("thinking", "Hm"), ("text", "Sunny")]),
    ("adk, result",
     {"content": {"role": "user", "parts": [
         {"functionResponse": {"id": "1", "name": "f", "response": {"result": "ok"}}}]}},
     "tool", [("tool_result", '{\n  "result": "ok"\n}', "f")]),
    ("codex",
     {"timestamp": "2026-01-01T00:00:00.5Z", "type": "response_item",
      "payload": {"type": "message", "role": "assistant",
                  "content": [{"type": "output_text", "text": "Done"}]}},
     "agent", [("text", "Done")]),
    ("codex, call",
     {"type": "response_item",
      "payload": {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "1"}},
     "agent", [("tool_call", "{}", "shell")]),
    ("a session's", {"agent": {"content": "Hi", "timestamp": "2026-01-01T00:00:00Z"}}, "agent",
     [("text", "Hi")]),
    ("of nobody", {"text": "Hello"}, None, [("text", "Hello")]),
    ("of nobody, with more", {"text": "Hello", "n": 1}, None,
     [("text", "Hello"), ("data", '{\n  "n": 1\n}')]),
    ("a number", 4, None, [("data", "4")]),
    ("nothing", None, None, [("data",)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "role", "parts"),
    [sample[1:] for sample in SAMPLES],
    ids=[sample[0] for sample in SAMPLES],
)
def test_items_of_frameworks_are_recognised(
    item: Any, role: str | None, parts: list[tuple[str, ...]]
) -> None:
    assert entry_of(0, item).role == role
    assert seen(item) == parts
    assert seen(json.dumps(item)) == parts or not isinstance(item, dict)


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "timestamp": "2026-01-01T00:00:00Z", "content": "x"},
        {"role": "user", "created_at": 1767225600, "content": "x"},
        {"role": "user", "ts": 1767225600000, "content": "x"},
        {"timestamp": "2026-01-01T00:00:00Z", "message": {"role": "user", "content": "x"}},
    ],
)
def test_the_time_is_found(item: Any) -> None:
    moment = entry_of(0, item).timestamp
    assert moment is not None
    assert moment.isoformat() == "2026-01-01T00:00:00+00:00"


def test_a_long_text_where_an_image_has_its_bytes_is_soon_read() -> None:
    data = f"{'A' * 10_000}{' ' * 1_000_000}!"
    (part,) = entry_of(0, {"role": "user", "content": [{"type": "image", "data": data}]}).parts
    assert (part.kind, part.source) == ("image", data)
