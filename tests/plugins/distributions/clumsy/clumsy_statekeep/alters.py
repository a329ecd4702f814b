"""An observer that wants others to hear something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.plugins import hookimpl

if TYPE_CHECKING:
    from statekeep.events import Event


@hookimpl
def statekeep_event(event: Event) -> None:
    """Lie."""
    event.store = "altered"  # type: ignore[misc]
