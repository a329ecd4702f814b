"""No text from outside steers a terminal or forges a line of a log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from statekeep import Session, Sessions, StateStore, UnavailableError, open_store
from statekeep._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

STEERING = [
    "\0", "\n", "\r", "\x1b[2J", "\x7f", "\x85", "\x9b", "\u061c", "\u180e", "\u200e", "\u200f",
    "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff", "\ufffb", "\ud800",
    "\U000e0041",
]  # fmt: skip
HARMLESS = [
    "plain",
    "ünï 会话",
    "👨\u200d👩\u200d👧",
    "\u0645\u06cc\u200c\u062e",
    "a\u00a0b",
    "\u3000",
    "<&>\\",
]


@pytest.fixture
def store() -> Iterator[StateStore]:
    with open_store("memory:") as store:
        yield store


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_what_steers_is_shown_and_not_obeyed(text: str) -> None:
    assert printable(text)[0] == "\\"
    assert printable(f"a{text}b").isascii()
    assert printable(text, keep=text[0]) == text


@pytest.mark.parametrize("text", HARMLESS, ids=ascii)
def test_what_is_harmless_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_an_error_is_one_line_whatever_it_names(text: str) -> None:
    error = UnavailableError(f"the server said {text}", key=f"a{text}.md", store=f"x{text}")
    assert str(error).isascii()
    assert str(error).isprintable()
    assert error.key == f"a{text}.md"


@pytest.mark.parametrize(
    "text", [each for each in STEERING if each not in {"\0", "\ud800"}], ids=ascii
)
def test_a_name_forges_no_line_of_a_log(
    store: StateStore, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(f"sessions/x{text}CRITICAL forged.json", b"{")
    store.put("sessions/y.json", Session.new("ada", f"{text}ERROR forged").to_json())
    with caplog.at_level(logging.DEBUG, "statekeep"):
        assert len(Sessions(store).list().problems) == 2
    for record in caplog.records:
        assert record.getMessage().isprintable()
