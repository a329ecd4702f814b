"""Adds ``statekeep browse`` to the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.plugins import CommandSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["statekeep_commands"]


def _browse() -> Callable[..., object]:
    from statekeep_web.command import browse  # noqa: PLC0415 - needs the extra cli

    return browse


@hookimpl
def statekeep_commands() -> Iterable[CommandSpec]:
    """See `statekeep.plugins.HookSpecs`."""
    summary = "Show sessions and journals on a page in the browser; read-only, on this machine."
    return [CommandSpec("browse", summary, _browse)]
