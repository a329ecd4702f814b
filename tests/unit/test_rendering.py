"""What people are shown of a conversation: readable, and nothing that steers their terminal."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from statekeep.cli.rendering import render
from statekeep.conversations import entry_of

STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
OURS = re.compile(r"\x1b\[[0-9;]*m")
"""Colours, which is all that we write ourselves."""

HOSTILE = [
    "\x1b[2J", "\x1b]8;;http://evil/\x1b\\click\x1b]8;;\x1b\\", "\x1b]0;title\x07", "\x9b31m",
    "\u202egnp.exe", "\u2066x\u2069", "\r\roverwritten", "\x08\x08", "&#x202e;", "&#27;[2J",
    "&rlm;", "[link](http://evil/)", "<http://evil/>", "![image](http://evil/x.png)",
    "```\x1b[2J\n\u202e\n```", "```python\u202e\nx = '\x1b[2J'\n```", "`\x1b[2J`",
    "| a | b\u202e |\n| --- | --- |\n| \x1b[2J | &#x202e; |",
    "[link](http://x/ \"\u202e&#x202e;\")", "# \x1b[2J", "> \u202e", "- \x9b", "\ud83d half",
]  # fmt: skip


def shown(item: Any, *, full: bool = False, symbols: bool = True, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system="truecolor",
                      highlight=False, markup=False)  # fmt: skip
    console.print(render(entry_of(7, item), full=full, symbols=symbols))
    return file.getvalue()


def plain(item: Any, **given: Any) -> str:
    return OURS.sub("", shown(item, **given))


def items(text: str) -> list[Any]:
    """Items that have a text wherever one can be."""
    image = {"type": "image", "media_type": f"image/{text}"}
    return [
        text,
        {"role": text, "content": text},
        {"role": "user", "content": [{"type": "thinking", "thinking": text}]},
        {"role": "agent", "phase_reached": text, "content": f"a\n{text}\nb"},
        {"type": "function_call", "name": text, "arguments": f'{{"q": "{text}"}}'},
        {"type": "function_call", "name": "f", "arguments": {text: text}},
        {"type": "function_call_output", "call_id": "1", "output": text, "name": text},
        {"role": "user", "content": [{**image, "url": text}, {**image, "data": text}]},
        {text: [text]},
    ]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_steers_the_terminal(text: str, full: bool) -> None:
    for item in items(text):
        assert not STEERING.search(plain(item, full=full)), item


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=9), max_size=4).map("".join), st.data())
def test_nothing_that_is_put_together_does(text: str, data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(items(text)))
    width = data.draw(st.integers(10, 90))
    assert not STEERING.search(plain(item, full=data.draw(st.booleans()), width=width))


def test_a_message_is_rendered() -> None:
    said = plain({"role": "user", "timestamp": "2026-01-01T00:00:00Z", "content": "**Hi** `x`"})
    assert said.splitlines()[0] == "#7 user  2026-01-01T00:00:00Z"
    assert said.splitlines()[1].rstrip() == "Hi x"


def missing(text: str, width: int) -> Counter[str]:
    """The letters of a message that are not shown."""
    _, _, body = plain({"role": "user", "content": text}, full=True, width=width).partition("\n")
    return Counter(re.findall(r"[^\W\d_]", text)) - Counter(body)


@pytest.mark.parametrize("width", [20, 80])
@pytest.mark.parametrize(
    "text",
    [
        "<system-reminder>\nword\n</system-reminder>", "List<word>", "a <!-- word --> b",
        "[a]: http://x word\n\nb", "[a](http://x 'word')", "![a](http://x/word.png)",
        "> " * 30 + "word", "| a |\n| - |\n| b | word |", "```x y word\n```", "&word;",
        "|a" * 40 + "|\n" + "|-" * 40 + "|\n" + "|b" * 39 + "|word|",
        "|a|b|c|d|\n|-|-|-|-|\n|first|second|third|a b word|",
    ],
)  # fmt: skip
def test_markdown_hides_nothing(text: str, width: int) -> None:
    assert not missing(text, width)


PIECES = [
    "# ", "> ", "- ", "1. ", "\n", "\n\n", "    ", "`", "```\n", "**", "*", "_", "~~", "[a](b c)",
    "[x][y]", "[y]: z\n", "<b>", "<!-- h -->", "|a|b|\n|-|-|\n|c|", "|", "&amp;", "&#65;",
    "![i](u)", "<http://e.x/>", "\\", "word", "other ", "\t", "---\n", "http://h.i/ö", " 't'", "(",
    "]", ")",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.integers(12, 90))
def test_no_letter_is_left_out_whatever_is_put_together(text: str, width: int) -> None:
    assert not missing(text, width)


def test_lines_stay_lines() -> None:
    said = plain({"role": "user", "content": "one\ntwo\n\n- a\n  b"})
    assert [line.strip() for line in said.splitlines()[1:]] == ["one", "two", "", "• a", "b"]


def test_tools_and_thoughts_are_folded_unless_all_is_asked_for() -> None:
    call = {"type": "function_call", "name": "grep", "arguments": '{"q": "x"}'}
    result = {"type": "function_call_output", "call_id": "1", "output": "a\nb\nc"}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Why\nnot"}]}
    folded = [plain(each).splitlines()[1:] for each in (call, result, thought)]
    assert folded == [['▸ grep { "q": "x" }'], ["✓ 3 lines"], ["… thinking, 2 lines"]]
    full = [plain(each, full=True) for each in (call, result, thought)]
    assert '"q": "x"' in full[0]
    assert [line.strip() for line in full[1].splitlines()[2:]] == ["a", "b", "c"]
    assert "Why" in full[2]
    assert plain(call, symbols=False).splitlines()[1] == '> grep { "q": "x" }'


def test_a_folded_line_is_one_line() -> None:
    call = {"type": "function_call", "name": "f" * 300, "arguments": '{"q": "' + "x\\n" * 300}
    assert len(plain(call, width=40).splitlines()) == 2


def test_images_are_said() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert "[image image/png]" in plain({"role": "user", "content": [
        {"type": "image", "source": source}]})  # fmt: skip
    assert "[image https://x/y.png]" in plain({"role": "user", "content": [
        {"type": "image_url", "image_url": "https://x/y.png"}]})  # fmt: skip


@pytest.mark.parametrize("text", ["x" * 50_000, "line\n" * 50_000])
def test_what_is_very_long_is_cut_and_it_is_said_how_to_see_it(text: str) -> None:
    item = {"role": "user", "content": text}
    assert len(plain(item)) < 10_000
    assert "more characters: --full)" in plain(item)
    assert plain(item, full=True).count(text[0]) >= 50_000
