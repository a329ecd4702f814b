"""What is stored: the same bytes for all subjects, of two kinds.

*plain* is English in ASCII, without metadata. *mixed* is as the original's own tests have it:
several languages and escapes, metadata of all types, times of zero to nine decimals.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LARGE", "MIXED_LARGE", "MIXED_SMALL", "SMALL", "Size", "documents", "ids", "turn"]

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_PLAIN = (
    "the parser reads one line, splits it at every comma and checks each field against the plan; "
    'what it cannot read it reports as "line 7: no such field", and goes on with the next. '
)
_MIXED = (  # one for each message in turn; half of them ASCII
    _PLAIN,
    "def f(x):\n\treturn {'a': [1, 2, 3], \"b\": x / 2}  # so?\n",
    "Žluťoučký kůň, œuvre française, größere Straße, İstanbul'da ğ, señor Ñandú. ",
    "$ grep -rn 'TODO' src/ | wc -l; echo \"$?\" > /tmp/out.txt && cat <<EOF\n",
    "会话状态存储在文件里。日本語のメッセージ、ひらがなとカタカナ。한국어 문장도 있다. ",
    _PLAIN,
    "👩‍👩‍👧 🏳️‍🌈 done 🎉🚀 👍🏽 ",
    '{"tool": "search", "arguments": {"q": "a \\\\ b"}, "ok": true}\r\n',
    "שלום עולם، مرحبا بالعالم, हिन्दी पाठ, ภาษาไทย ",
    '\u0000\u0001\u001b[31m\u007f\u0085\u2028\u2029\ufeff\ufffd \\ " / \b\f ',
)


@dataclass(frozen=True)
class Size:
    """How long a session is, and what it consists of.

    Attributes:
        name: For tables.
        exchanges: Questions, each with its answer.
        characters: Of each question and of each answer.
        kind: Of text, metadata and times.
    """

    name: str
    exchanges: int
    characters: int
    kind: Literal["plain", "mixed"] = "plain"


SMALL = Size("10 x 200, plain", 10, 200)
LARGE = Size("200 x 500, plain", 200, 500)
MIXED_SMALL = Size("10 x 200, mixed", 10, 200, "mixed")
MIXED_LARGE = Size("200 x 500, mixed", 200, 500, "mixed")


def ids(count: int, first: int = 0) -> list[str]:
    """The ids of that many sessions, oldest first; in no order of their names."""
    found = []
    for number in range(first, first + count):
        digits = f"{random.Random(number).getrandbits(128):032x}"
        head, middle, tail = digits[:8], digits[8:12], digits[20:]
        found.append(f"{head}-{middle}-4{digits[13:16]}-a{digits[17:20]}-{tail}")
    return found


def documents(size: Size, count: int, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """Sessions as they are stored, oldest first, no two with the same text.

    Args:
        size: Of each.
        count: How many.
        first: The number of the first; each number is always the same session.
    """
    for number, each in enumerate(ids(count, first), first):
        yield each, orjson.dumps(_session(size, number, each), option=orjson.OPT_INDENT_2)


def turn(size: Size, number: int, turns: int) -> tuple[str, str]:
    """A question and its answer, as long as the others of the session."""
    rng = random.Random(f"{number}, {turns}")
    return _text(size, rng, turns), _text(size, rng, turns + 1)


def _session(size: Size, number: int, session_id: str) -> dict[str, Any]:
    rng = random.Random(number)
    mixed = size.kind == "mixed"
    begun = 60 * number
    phases = ("interview", "seed", "execute", None)
    data: dict[str, Any] = {
        "id": session_id,
        "user_id": f"user-{number % 50}",
        "user_messages": [
            {"content": _text(size, rng, n), "timestamp": _time(size, begun + 2 * n)}
            for n in range(size.exchanges)
        ],
        "agent_responses": [
            {
                "content": _text(size, rng, n + 1),
                "session_id": session_id if mixed and n % 2 else None,
                "seed_id": f"seed-{n % 11}" if mixed and n % 3 else None,
                "phase_reached": phases[n % 4] if mixed else None,
                "evaluation_passed": (None, True, False)[n % 3] if mixed else None,
                "timestamp": _time(size, begun + 2 * n + 1),
            }
            for n in range(size.exchanges)
        ],
    }
    if mixed and number % 2:
        data["active_seed_id"] = f"seed-{number % 13}"
    if mixed and number % 3:
        data["active_persona_id"] = f"persona-{number % 5}"
    data["created_at"] = _time(size, begun)
    data["updated_at"] = _time(size, begun + 2 * size.exchanges)
    data["metadata"] = _metadata(number) if mixed else {}
    return data


def _text(size: Size, rng: random.Random, number: int) -> str:
    words = _PLAIN if size.kind == "plain" else _MIXED[number % len(_MIXED)]
    begin = rng.randrange(len(words))
    many = words * (size.characters // len(words) + 2)
    head = f"{rng.getrandbits(32)}: "
    return head + many[begin : begin + size.characters - len(head)]


def _time(size: Size, seconds: int) -> str:
    base = (_BEGINNING + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if size.kind == "plain":
        return f"{base}.123456Z"
    return base + ("Z", ".120Z", ".123450Z", ".123456789Z")[seconds % 4]


def _metadata(number: int) -> dict[str, Any]:
    if number % 4 == 0:
        return {}
    if number % 4 == 1:
        return {"project_ids": f"project-{number % 7}"}
    if number % 4 == 2:
        return {"project_ids": ["not", "a", "string"], "float": 1e300, 'clé "q"': "café\u2028"}
    return {
        "project_ids": f"project-{number % 7},project-{number % 5}",
        "count": number,
        "ratio": number / 3,
        "nothing": None,
        "flag": number % 8 == 3,
        "nested": {"zeta": {"b": [1, 2.5, "x", None, {"deep": True}], "a": {}}, "é": "😀"},
    }
