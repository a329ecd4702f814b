"""``statekeep plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from statekeep.cli import output
from statekeep.cli.options import AsJson
from statekeep.config.opening import installed_plugins
from statekeep.views import views

if TYPE_CHECKING:
    from statekeep.plugins.loader import PluginInfo

__all__ = ["plugins"]


def plugins(as_json: AsJson = False) -> None:
    """List backends, strategies, importers, observers and commands with their options.

    For example: statekeep plugins --json
    """
    found = installed_plugins().list()
    if as_json:
        output.print_json(views.plugins(found))
        return
    output.print_table(
        ["GROUP", "NAME", "DISTRIBUTION", "STATUS", "OPTIONS", "WHAT"],
        (
            [
                each.group,
                each.name,
                f"{each.distribution} {each.version}",
                each.status,
                _options(each),
                each.error or each.summary,
            ]
            for each in found
        ),
    )


def _options(plugin: PluginInfo) -> str:
    properties: dict[str, Any] = plugin.schema.get("properties", {})
    return ", ".join(
        f"{name}={details['default']}" if "default" in details else name
        for name, details in properties.items()
    )
