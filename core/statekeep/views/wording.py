"""Times, sizes and counts in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from statekeep.format.summary import FOREVER
from statekeep.timestamps import format_timestamp, utc_now

__all__ = ["ago", "counted", "size"]

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def ago(moment: datetime | None) -> str:
    """Word a time: how long ago it was, or the exact time after a day."""
    if moment is None:
        return ""
    if moment == FOREVER:
        return "for ever"
    age = utc_now() - moment
    if timedelta(0) <= age < _MINUTE:
        return "just now"
    if _MINUTE <= age < _HOUR:
        return f"{age // _MINUTE} min ago"
    if _HOUR <= age < _DAY:
        return f"{age // _HOUR} h ago"
    return format_timestamp(moment.replace(microsecond=0)).replace("T", " ")


def counted(count: int, what: str) -> str:
    """Word a count: ``1 item``, ``2 items``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Word a number of bytes, such as ``1.5 KB``."""
    if count < 1024:
        return f"{count} B"
    shown = float(count)
    for unit in ("KB", "MB", "GB"):
        shown /= 1024
        if shown < 1024:
            return f"{shown:.1f} {unit}"
    return f"{shown / 1024:.1f} TB"
