"""An observer that appends each event to the file named by ACME_RECORD."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from statekeep.plugins import hookimpl

if TYPE_CHECKING:
    from statekeep.events import Event


@hookimpl
def statekeep_event(event: Event) -> None:
    """Write down what happens.

    One line an event.
    """
    with Path(os.environ["ACME_RECORD"]).open("a", encoding="utf-8") as record:
        record.write(f"{event!r}\n")
