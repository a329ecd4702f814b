"""What the strategy ``last-of-day`` chooses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from statekeep import SessionSummary, load_pruner

NOW = datetime(2024, 6, 30, 12, tzinfo=UTC)


def victims(*sessions: tuple[str, str, timedelta], full_days: int) -> list[str]:
    """Which of the sessions it chooses; each is an id, a user and an age, the newest first."""
    summaries = [summary(*session) for session in sessions]
    chosen = load_pruner("last-of-day", full_days=full_days).select(summaries, NOW)
    return [victim.summary.id for victim in chosen]


def summary(session_id: str, user_id: str, age: timedelta) -> SessionSummary:
    moment = NOW - age
    return SessionSummary(
        id=session_id,
        user_id=user_id,
        message_count=1,
        active_seed_id=None,
        project_id=None,
        created_at=moment,
        updated_at=moment,
        size=1000,
        pinned_until=None,
        last_phase=None,
        last_evaluation=None,
    )


def test_of_each_day_and_user_the_last_is_kept() -> None:
    hours = [("evening", 16), ("noon", 24), ("morning", 30), ("yesterday", 40)]
    sessions = [
        (f"{user} {name}", user, timedelta(days=50, hours=age))
        for name, age in hours
        for user in ("ada", "bob")
    ]
    chosen = victims(*sessions, full_days=30)
    assert chosen == ["ada noon", "bob noon", "ada morning", "bob morning"]


def test_days_that_are_full_are_not_touched() -> None:
    sessions = [(f"{hours}", "ada", timedelta(hours=hours)) for hours in (1, 2, 3, 48, 49, 50)]
    assert victims(*sessions, full_days=2) == ["49", "50"]
    assert victims(*sessions, full_days=3) == []
    assert victims(*sessions, full_days=0) == ["2", "3", "49", "50"]
    assert victims(*sessions, full_days=10**30) == []
