"""``statekeep init``."""

from __future__ import annotations

from statekeep.cli import output
from statekeep.cli.options import StoreUrl, settings_for
from statekeep.config.opening import open_store
from statekeep.store.powers import initialize

__all__ = ["init"]


def init(store: StoreUrl = None) -> None:
    """Create the tables of a database, or the SQLite file.

    The first write does so too, if it has the right to. Existing tables and data are kept.

    For example: statekeep init --store postgresql://localhost/agents
    """
    with open_store(settings_for(store)) as opened:
        if initialize(opened):
            output.print_text(f"{opened} is ready")
        else:
            output.print_text(f"{opened} needs no setup: the first write creates what it needs")
