"""An observer that tells everyone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from statekeep.plugins import hookimpl

if TYPE_CHECKING:
    from statekeep.events import Event


@hookimpl
def statekeep_event(event: Event) -> None:
    """Shout."""
    sys.stderr.write(f"the rival heard of {type(event).__name__}\n")
