"""``statekeep init``."""

from __future__ import annotations

from statekeep.cli import output
from statekeep.cli.options import StoreUrl, settings_for
from statekeep.config.opening import open_store
from statekeep.store.powers import initialize

__all__ = ["init"]


def init(store: StoreUrl = None) -> None:
    """Make what a database needs before it is written: its tables, or the file of SQLite.

    The first write does so as well, if it has the right to. What is there stays as it is.

    For example: statekeep init --store postgresql://localhost/agents
    """
    with open_store(settings_for(store)) as opened:
        if initialize(opened):
            output.print_text(f"{opened} is ready")
        else:
            output.print_text(f"{opened} needs nothing: the first write makes what it takes")
