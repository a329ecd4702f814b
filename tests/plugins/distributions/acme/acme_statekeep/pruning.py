"""A pruning strategy that dislikes unfinished pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, PositiveInt

from statekeep import SessionSummary
from statekeep.plugins import PrunerSpec, hookimpl
from statekeep.retention import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from statekeep import Summary


class Odd(BaseModel):
    """Delete sessions with an odd number of user messages."""

    model_config = ConfigDict(extra="forbid")

    at_least: PositiveInt = 1
    """How many messages a victim has."""

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        for summary in summaries:
            if not isinstance(summary, SessionSummary):
                continue  # a journal has no messages
            if summary.message_count % 2 and summary.message_count >= self.at_least:
                yield Victim(summary, f"{summary.message_count} is odd")


@hookimpl
def statekeep_pruners() -> list[PrunerSpec]:
    return [PrunerSpec("odd", "delete what is odd", Odd, lambda config: config)]
