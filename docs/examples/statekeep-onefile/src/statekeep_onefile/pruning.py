"""A pruning strategy that thins out old days, as is common with backups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from statekeep.plugins import PrunerSpec, hookimpl
from statekeep.retention import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from statekeep import Summary


class LastOfDay(BaseModel):
    """Of past days, keep only each user's last session.

    Args:
        full_days: How many days all sessions are kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    full_days: NonNegativeInt = 30

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        kept = set()
        for summary in summaries:  # newest first
            if (now - summary.updated_at).days < self.full_days:
                continue
            day = summary.updated_at.date()
            if (summary.user_id, day) in kept:
                yield Victim(summary, f"not the user's last of {day}")
            kept.add((summary.user_id, day))


@hookimpl
def statekeep_pruners() -> list[PrunerSpec]:
    """Offer ``last-of-day``."""
    summary = "of past days, keep only each user's last session"
    # The strategy has nothing but options, so it is its own config.
    return [PrunerSpec("last-of-day", summary, LastOfDay, lambda config: config)]
