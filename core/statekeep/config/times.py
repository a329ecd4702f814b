"""Times as people write them (``7d``, ``2h``, ``yesterday``, ``2026-01-31``) and as machines do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from pydantic import TypeAdapter, ValidationError

__all__ = ["parse_duration", "parse_moment"]

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART = re.compile(
    r"\s*(?P<count>\d+(?:\.\d+)?)\s*"
    r"(?:(?P<unit>[smhdw])|(?P<word>second|minute|min|hour|day|week)s?)(?![a-z])",
    re.ASCII | re.IGNORECASE,
)
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def parse_duration(text: str) -> timedelta:
    """Parse a duration: ``30s``, ``5m``, ``2h``, ``7d``, ``1d 12h``, ``2 weeks``, ``PT5M``, 0.

    Raises:
        ValueError: It is not a duration, has no unit, is negative or too long.

    >>> parse_duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    text = text.strip()
    try:
        if text == "0":
            return timedelta(0)
        if text.upper().startswith("P"):
            found = TypeAdapter(timedelta).validate_python(text.upper())
        else:
            found = _sum_of_parts(text)
    except (OverflowError, ValidationError):
        raise ValueError(_not_a_duration()) from None
    return found


def _sum_of_parts(text: str) -> timedelta:
    total, position = timedelta(0), 0
    while part := _PART.match(text, position):
        unit = (part["unit"] or part["word"][0]).lower()
        total += float(part["count"]) * _UNITS[unit]
        position = part.end()
    if not position or text[position:].strip():
        raise ValueError(_not_a_duration())
    return total


def _not_a_duration() -> str:
    return "a time with its unit is needed, such as 30s, 5m, 2h, 7d, 2w or PT5M"


def parse_moment(
    text: str, *, now: datetime | None = None, durations: Literal["past", "future"] = "past"
) -> datetime:
    """Parse a point in time.

    A day (``2026-01-31``, ``today``, ``yesterday``, ``tomorrow``) means its first moment. Days, and
    times without an offset, are in this machine's time zone. A duration counts from now: ``7d``,
    ``7d ago``, ``in 7d``.

    Args:
        text: What someone wrote.
        now: The current time, aware; by default this machine's.
        durations: Whether a bare duration lies in the past or in the future.

    Returns:
        An aware datetime in UTC.

    Raises:
        ValueError: It is not a time, or its year in UTC is not between 1 and 9999.
    """
    present = (now or datetime.now(UTC)).astimezone()
    words = text.strip().lower()
    try:
        if words == "now":
            return present.astimezone(UTC)
        if words in _DAYS:
            day = present.date() + timedelta(days=_DAYS[words])
            return datetime.combine(day, time()).astimezone().astimezone(UTC)
        if words.endswith(" ago"):
            return (present - parse_duration(words.removesuffix(" ago"))).astimezone(UTC)
        if words.startswith("in "):
            return (present + parse_duration(words.removeprefix("in "))).astimezone(UTC)
        if _PART.match(words) or words.startswith("p"):
            length = parse_duration(words)
            return (present + (length if durations == "future" else -length)).astimezone(UTC)
        # A naive time is in this machine's zone.
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError(
            "a time is needed, such as 7d, 2h, yesterday, 2026-01-31, 2026-01-31 14:30 or "
            "2026-01-31T12:00:00Z"
        ) from None
