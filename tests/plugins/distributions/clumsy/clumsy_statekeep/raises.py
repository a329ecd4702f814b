"""An observer that always fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.plugins import hookimpl

if TYPE_CHECKING:
    from statekeep.events import Event


@hookimpl
def statekeep_event(event: Event) -> None:
    """Fail."""
    raise RuntimeError(f"cannot cope with {type(event).__name__}")
