"""A pruning strategy that wants what it was not shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from statekeep.plugins import PrunerSpec, hookimpl
from statekeep.retention import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from statekeep import Summary


class Greedy(BaseModel, extra="forbid"):
    """No options."""

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        for summary in summaries:
            yield Victim(summary, "seen")
            yield Victim(replace(summary, id="pinned"), "guessed")


@hookimpl
def statekeep_pruners() -> list[PrunerSpec]:
    return [PrunerSpec("greedy", "wants it all", Greedy, lambda config: config)]
