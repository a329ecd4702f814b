"""Times as people write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from statekeep.config.times import parse_duration, parse_moment

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nine hours ahead of UTC: a zone in which a mistake shows."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", timedelta(0)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1.5h", timedelta(hours=1.5)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("1 day 12 hours", timedelta(days=1, hours=12)),
        (" 90 Min ", timedelta(minutes=90)),
        ("PT5M", timedelta(minutes=5)),
        ("p7d", timedelta(days=7)),
    ],
)
def test_a_duration(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    ["", "7", "1.5", "7x", "7 days ago", "-7d", "P1X", "1e3d", "9" * 40 + "d", "\u0667d"],
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="30s, 5m, 2h, 7d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("7d", NOW - timedelta(days=7)),
        ("2h ago", NOW - timedelta(hours=2)),
        ("in 2h", NOW + timedelta(hours=2)),
        ("PT2H", NOW - timedelta(hours=2)),
        # Days begin at midnight in Tokyo.
        ("today", datetime(2026, 3, 9, 15, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 3, 8, 15, tzinfo=UTC)),
        ("tomorrow", datetime(2026, 3, 10, 15, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 30, 15, tzinfo=UTC)),
        ("2026-01-31 14:30", datetime(2026, 1, 31, 5, 30, tzinfo=UTC)),
        ("2026-01-31T14:30:00", datetime(2026, 1, 31, 5, 30, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, moment: datetime) -> None:
    found = parse_moment(text, now=NOW)
    assert found == moment
    assert found.tzinfo is UTC


def test_a_duration_can_lead_into_the_future() -> None:
    assert parse_moment("7d", now=NOW, durations="future") == NOW + timedelta(days=7)
    assert parse_moment("7d ago", now=NOW, durations="future") == NOW - timedelta(days=7)


@pytest.mark.parametrize(
    "text",
    ["", "lately", "7", "2026-13-01", "in", "ago", "0001-01-01", "9" * 9 + "d", "2026-01-31T25:00"],
)
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="7d, 2h, yesterday, 2026-01-31"):
        parse_moment(text, now=NOW)
