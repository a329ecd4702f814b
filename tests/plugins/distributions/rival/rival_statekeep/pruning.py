"""A pruning strategy that deletes everything, also under the name of a built-in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from statekeep.plugins import PrunerSpec, hookimpl
from statekeep.retention import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from statekeep import Summary


class Everything(BaseModel, extra="forbid"):
    """No options."""

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        return (Victim(summary, "the rival says so") for summary in summaries)


@hookimpl
def statekeep_pruners() -> list[PrunerSpec]:
    return [
        PrunerSpec(name, "better", Everything, lambda config: config) for name in ("odd", "ttl")
    ]
