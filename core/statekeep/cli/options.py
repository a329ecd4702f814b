"""What every command has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from statekeep.config.opening import load_settings

if TYPE_CHECKING:
    from statekeep.config.settings import Settings

__all__ = ["AsJson", "StoreUrl", "settings_for"]

StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="A folder or a store's URL; by default what is configured, else ./statekeep-data.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def settings_for(url: str | None) -> Settings:
    """The configuration, with another store if one was named."""
    # The configured options are those of the configured backend.
    settings = load_settings() if url is None else load_settings(url=url, options={})
    if settings.retention is not None:
        # A command does what it says, and does not prune besides.
        settings.retention.every = None
    return settings
