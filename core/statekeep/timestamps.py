"""Times: RFC 3339 in text, aware UTC datetimes in Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta

from statekeep._arguments import refuse_type

__all__ = [
    "UnholdableTimeError",
    "format_timestamp",
    "from_microseconds",
    "from_nanoseconds",
    "parse_timestamp",
    "parse_timestamps",
    "to_microseconds",
    "to_nanoseconds",
    "to_utc",
    "utc_now",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# What both programs write. Python's own parser is fast, but accepts more than this.
_PLAIN = r"\d\d\d\d-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d(?:\.\d++)?+Z"
_is_plain = re.compile(_PLAIN, re.ASCII).fullmatch
_are_plain = re.compile(rf"(?:{_PLAIN}\n)*+", re.ASCII).fullmatch
# What the original accepts, blanks and signs included.
_PATTERN = re.compile(
    r"""\s*(?P<year>[0-9]{1,4}|[+-][0-9]+)\s*-\s*(?P<month>[0-9]{1,2})\s*-\s*(?P<day>[0-9]{1,2})
    (?:T|\s)\s*(?P<hour>[0-9]{1,2})\s*:\s*(?P<minute>[0-9]{1,2})\s*:\s*(?P<second>[0-9]{1,2})
    (?:\.(?P<fraction>[0-9]+))?
    \s*(?:[Zz]|UTC|(?P<sign>[+-])(?P<off_hour>[0-9]{2})\s*:?\s*(?P<off_minute>[0-9]{2}))\s*""",
    re.VERBOSE,
)


class UnholdableTimeError(ValueError):
    """A time that the original can represent and a datetime cannot."""


def utc_now() -> datetime:
    """Return the current time, aware, to the microsecond."""
    return datetime.now(UTC)


def to_utc(moment: datetime) -> datetime:
    """Convert an aware datetime to UTC.

    Raises:
        ValueError: It is naive, or its year in UTC is not between 1 and 9999.
    """
    if type(moment) is datetime and moment.tzinfo is UTC:
        return moment
    if not isinstance(moment, datetime):
        refuse_type("moment", "an aware datetime", moment)
    if moment.utcoffset() is None:
        raise ValueError("a time needs an offset; naive datetimes are refused")
    try:
        # Rebuilt, because an instance of a subclass would stay one, unknown to an encoder.
        return datetime.combine(moment.date(), moment.timetz()).astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this time is outside the years 1 to 9999") from None


def parse_timestamp(text: str) -> datetime:
    """Parse an RFC 3339 time as the original does; digits beyond microseconds are cut off.

    Raises:
        UnholdableTimeError: No datetime can represent it (leap seconds, years outside 1 to 9999).
        ValueError: It is not an RFC 3339 time.
    """
    try:
        if _is_plain(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass  # the general rule below reports what is wrong
    except TypeError:
        refuse_type("text", "text", text)
    if not (match := _PATTERN.fullmatch(text)):
        raise ValueError("not an RFC 3339 time with seconds and an offset")
    if match["second"] == "60":
        raise UnholdableTimeError("a leap second cannot be held")
    year = int(match["year"][:9])
    if not MINYEAR <= year <= MAXYEAR:
        raise UnholdableTimeError("the year is outside 1 to 9999")
    moment = datetime(
        year,
        int(match["month"]),
        int(match["day"]),
        int(match["hour"]),
        int(match["minute"]),
        int(match["second"]),
        int((match["fraction"] or "0")[:6].ljust(6, "0")),
        UTC,
    )
    if not match["sign"]:
        return moment
    hours, minutes = int(match["off_hour"]), int(match["off_minute"])
    if hours > 23 or minutes > 59:
        raise ValueError("the offset is out of range")
    offset = timedelta(hours=hours, minutes=minutes)
    try:
        return moment - offset if match["sign"] == "+" else moment + offset
    except OverflowError:
        raise UnholdableTimeError("in UTC this time is outside the years 1 to 9999") from None


def parse_timestamps(texts: Sequence[str]) -> list[datetime]:
    """Parse several times as `parse_timestamp` does, in half the time.

    Raises:
        UnholdableTimeError, ValueError: As in `parse_timestamp`.
        TypeError: One of them is not text, or `texts` is not a collection.
    """
    try:
        if _are_plain("\n".join([*texts, ""])):
            return [*map(datetime.fromisoformat, texts)]
    except ValueError:
        pass  # the general rule reports what is wrong
    except TypeError:
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            refuse_type("texts", "a collection of texts", texts)
    return [*map(parse_timestamp, texts)]


def format_timestamp(moment: datetime) -> str:
    """Format a time as the file format does: UTC with ``Z`` and 0 or 6 digits of fraction.

    >>> format_timestamp(datetime(2024, 1, 1, tzinfo=UTC))
    '2024-01-01T00:00:00Z'
    """
    return to_utc(moment).replace(tzinfo=None).isoformat() + "Z"


def to_microseconds(moment: datetime) -> int:
    """Convert an aware datetime to microseconds since 1970."""
    try:
        return (moment - _EPOCH) // _MICROSECOND
    except TypeError:
        refuse_type("moment", "an aware datetime", moment)


def from_microseconds(number: int) -> datetime:
    """Convert microseconds since 1970 to an aware UTC datetime.

    Raises:
        OverflowError: The year is not between 1 and 9999.
    """
    try:
        return _EPOCH + number * _MICROSECOND
    except TypeError:
        refuse_type("number", "an integer", number)


def to_nanoseconds(moment: datetime | None) -> int | None:
    """Convert an aware datetime to nanoseconds since 1970; None stays None."""
    return None if moment is None else to_microseconds(moment) * 1000


def from_nanoseconds(number: int | None) -> datetime | None:
    """Convert nanoseconds since 1970 to an aware UTC datetime; None if out of range."""
    try:
        return None if number is None else from_microseconds(number // 1000)
    except TypeError:
        refuse_type("number", "an integer or None", number)
    except OverflowError:
        return None
