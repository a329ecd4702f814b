"""The pruning strategies that come with statekeep."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

from statekeep.hooks import PrunerSpec, hookimpl
from statekeep.retention import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from statekeep.models import SessionSummary

__all__ = ["MaxPerUser", "MaxSessions", "TimeToLive", "TimeToLiveAndCount"]

_HOUR = timedelta(hours=1)


class _Strategy(BaseModel):
    """Its own configuration: a strategy is nothing but its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TimeToLive(_Strategy):
    """Delete sessions that were not updated for some time.

    Args:
        ttl_hours: For how long a session lives after its last update; 0 switches it off.
    """

    ttl_hours: NonNegativeFloat = 168.0

    def select(self, summaries: Sequence[SessionSummary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        if not self.ttl_hours:
            return
        for summary in summaries:
            # Divided rather than multiplied: no number of hours can overflow.
            if (now - summary.updated_at) / _HOUR > self.ttl_hours:
                yield Victim(summary, f"not updated for {self.ttl_hours:g} hours")


class MaxSessions(_Strategy):
    """Keep the newest sessions only.

    Args:
        max_sessions: How many; 0 switches it off.
    """

    max_sessions: NonNegativeInt = 100

    def select(self, summaries: Sequence[SessionSummary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        """See `statekeep.PruningStrategy`."""
        if self.max_sessions:
            for summary in _newest_first(summaries)[self.max_sessions :]:
                yield Victim(summary, f"older than the newest {self.max_sessions}")


class MaxPerUser(_Strategy):
    """Keep each user's newest sessions only.

    Args:
        max_sessions: How many of each user; 0 switches it off.
    """

    max_sessions: NonNegativeInt = 100

    def select(self, summaries: Sequence[SessionSummary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        """See `statekeep.PruningStrategy`."""
        if not self.max_sessions:
            return
        seen: Counter[str] = Counter()
        for summary in _newest_first(summaries):
            seen[summary.user_id] += 1
            if seen[summary.user_id] > self.max_sessions:
                yield Victim(summary, f"older than the user's newest {self.max_sessions}")


class TimeToLiveAndCount(_Strategy):
    """What the original does: first the time to live, then of the rest the newest only.

    Args:
        max_sessions: How many to keep at most; 0 switches it off.
        ttl_hours: For how long a session lives after its last update; 0 switches it off.
    """

    max_sessions: NonNegativeInt = 100
    ttl_hours: NonNegativeFloat = 168.0

    def select(self, summaries: Sequence[SessionSummary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        expired = list(TimeToLive(ttl_hours=self.ttl_hours).select(summaries, now))
        yield from expired
        gone = {victim.summary.id for victim in expired}
        rest = [summary for summary in summaries if summary.id not in gone]
        yield from MaxSessions(max_sessions=self.max_sessions).select(rest, now)


def _newest_first(summaries: Sequence[SessionSummary]) -> list[SessionSummary]:
    by_id = sorted(summaries, key=lambda summary: summary.id)
    # Stable and, on what is sorted already, linear.
    return sorted(by_id, key=lambda summary: summary.updated_at, reverse=True)


@hookimpl
def statekeep_pruners() -> list[PrunerSpec]:
    """Offer the built-in strategies."""
    offered: dict[str, type[_Strategy]] = {
        "ttl": TimeToLive,
        "max-sessions": MaxSessions,
        "max-per-user": MaxPerUser,
        "ttl+count": TimeToLiveAndCount,
    }
    return [
        # A strategy is its own config, so making one from its config is handing it on.
        PrunerSpec(name, (strategy.__doc__ or "").split("\n")[0], strategy, lambda config: config)
        for name, strategy in offered.items()
    ]
