"""What the stores hold that the page is tried on: sessions and journals of every kind."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from statekeep import Blobs, Journals, Session, Sessions
from statekeep.store.keys import session_key
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from statekeep import StateStore

PARSER = "plan-the-parser"
"""A session with all that Markdown has; on the first page of the list."""

SUPPORT = ("acme", "support", "4711")
"""A journal of `TOOLS` with tool calls, thoughts and a picture."""

TOOLS = "openai-agents"
LONG = ("long",)
"""A journal of `TOOLS` with several pages of items."""

LONG_LENGTH = 250
MANY = 60
"""Sessions of `many`, so that the list has several pages."""

NEEDLE = "heliotrope"
"""A word that stands in one message: the last but one of the parser's."""

DAMAGED = "sessions/damaged.json"

_ANSWER = """Three steps: **read**, *split*, check.

| step | cost | needs |
| --- | ---: | --- |
| read | 2 ms | the file |
| split | 7 ms | a regular expression |
| check | 1 ms | the limits below |

```python
def parse(line: str) -> dict[str, str]:
    \"\"\"Split a line of the log at its first blank.\"\"\"
    level, _, text = line.partition(" ")
    return {"level": level.strip("[]"), "text": text}
```

1. Lines that are longer than `max_line_bytes` are refused.
2. What cannot be parsed is kept aside, as [the manual](https://example.com/manual) says.

> A parser that loses lines is worse than none.
"""

_TITLES = (
    "Refund for order 4711", "Weekly report", "Rename the columns", "Why is the build red?",
    "Translate the menu", "Trip to Lisbon", "Summary of the meeting", "Fix the flaky test",
    "Plan the migration", "Compare two contracts", "Draft an answer to Mr. Ito", "Tax forms 2026",
)  # fmt: skip
_USERS = ("ada", "grace", "alan", "mary.jackson", "margaret", "edsger")
_PHASES = ("plan", "draft", "review", "done")


def fill(store: StateStore) -> None:
    """Put some of everything into an empty store."""
    many(store)
    _sessions(store)
    _journals(store)
    _trash(store)
    store.put(DAMAGED, b'{"format": 1, "session": {"id": "damaged"')


def many(store: StateStore, count: int = MANY) -> None:
    """Sessions of several users that were updated at several times."""
    now = utc_now()
    for number in range(count):
        # Most of them lately, as people work.
        moment = now - timedelta(hours=1 + number * (number % 7 + 3) / 2)
        session = Session.new(_USERS[number * number % len(_USERS)], session_id=f"s{number:03}")
        title = f"{_TITLES[number % len(_TITLES)]}, part {number // len(_TITLES) + 1}"
        session.metadata["title"] = title
        session.add_user_message(f"{title}: where do we stand?", timestamp=moment)
        for turn in range(number * 5 % 11):
            session.add_agent_response(
                f"Step {turn} of it is done. " * (3 + turn),
                phase_reached=_PHASES[(number + turn) % 4],
                evaluation_passed=None if turn % 3 else turn % 2 == 0,
                timestamp=moment + timedelta(seconds=turn),
            )
        _put(store, session, moment)


def picture(red: int, green: int, blue: int) -> bytes:
    """A PNG of 32 by 32 points in one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    rows = (b"\0" + bytes((red, green, blue)) * 32) * 32
    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def _put(store: StateStore, session: Session, moment: datetime) -> None:
    """Store it as it was then; the library stores when it was saved."""
    session.created_at = session.updated_at = moment
    store.put(session_key(session.id), session.to_json())


def _sessions(store: StateStore) -> None:
    now = utc_now()
    session = Session.new("ada", session_id=PARSER)
    session.metadata.update(title="Plan the parser", project_id="logs", ticket=4711)
    session.add_user_message("Plan a parser for our log files.", timestamp=now)
    session.add_agent_response(_ANSWER, phase_reached="plan", evaluation_passed=True, timestamp=now)
    session.add_user_message(f"Call it {NEEDLE}, and write it.", timestamp=now)
    session.add_agent_response("It is written.", phase_reached="done", timestamp=now)
    Sessions(store).save(session)
    kept = Sessions(store, form="journal")
    kept.add_turn("kept-as-journal", user=["Hello"], agent=["Hi, *Grace*."], user_id="grace")
    kept.pin("kept-as-journal")


def _journals(store: StateStore) -> None:
    tools = Journals(store, TOOLS)
    support = tools.open(*SUPPORT, user_id="grace")
    support.append(_support(), set={"title": "Where is my parcel?", "channel": "mail"})
    Blobs(store, "charts").put(picture(47, 111, 159), "parcels.png")
    tools.open(*LONG, user_id="alan").append(
        [
            {"role": "user" if number % 2 == 0 else "assistant", "content": f"Item {number}."}
            for number in range(LONG_LENGTH)
        ]
    )
    Journals(store, "pydantic-ai").open("weather", user_id="mary.jackson").append(_weather())
    Journals(store, "claude").open("notes", user_id="ada").append(
        [{"type": "user", "message": {"role": "user", "content": "Read the notes."}}, {"odd": 1}]
    )


def _support() -> list[Any]:
    data = b64encode(picture(180, 60, 60)).decode()
    return [
        {"role": "user", "content": "Where is my parcel? It was to come on Monday."},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look it up first."}]},
        {
            "type": "function_call", "call_id": "c1", "name": "find_parcel",
            "arguments": '{"order": 4711, "fields": ["place", "due"]}',
        },
        {
            "type": "function_call_output", "call_id": "c1", "name": "find_parcel",
            "output": '{"place": "Hamburg", "due": "2026-12-01"}',
        },
        {
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "It is in **Hamburg**, and is due on Tuesday."},
                {"type": "image", "source": {"media_type": "image/png", "data": data}},
                {"type": "output_text", "text": "![parcels](blobs/charts/parcels.png)"},
            ],
        },
    ]  # fmt: skip


def _weather() -> list[Any]:
    return [
        {
            "kind": "request",
            "parts": [
                {"part_kind": "system-prompt", "content": "Answer in one sentence."},
                {"part_kind": "user-prompt", "content": "How is the weather in Lisbon?"},
            ],
        },
        {
            "kind": "response",
            "parts": [
                {
                    "part_kind": "tool-call", "tool_name": "weather", "tool_call_id": "w1",
                    "args": {"city": "Lisbon"},
                }
            ],
        },
        {
            "kind": "request",
            "parts": [
                {
                    "part_kind": "tool-return", "tool_name": "weather", "tool_call_id": "w1",
                    "content": {"sky": "clear", "celsius": 19},
                }
            ],
        },
        {"kind": "response", "parts": [{"part_kind": "text", "content": "Clear, at 19 °C."}]},
    ]  # fmt: skip


def _trash(store: StateStore) -> None:
    sessions = Sessions(store)
    for number, user in enumerate(("ada", "grace", "ada")):
        gone = f"gone-{number}"
        sessions.add_turn(gone, user=[f"Throw {gone} away."], agent=["Done."], user_id=user)
        sessions.delete(gone, trash=True)
