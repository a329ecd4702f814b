"""Installed backends and plugins, and the settings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from statekeep import __version__
from statekeep.config.opening import installed_plugins

if TYPE_CHECKING:
    from starlette.responses import Response

    from statekeep_web.visits import Visit

__all__ = ["show_plugins", "show_settings"]

_CAPABILITIES: Final = ("conditional_put", "conditional_delete", "shared", "remote")


def show_plugins(visit: Visit) -> Response:
    """Show installed backends and plugins, with the errors of those that do not work."""
    plugins = [
        (each, _options(each.schema.get("properties", {}))) for each in installed_plugins().list()
    ]
    return visit.render("plugins.html", plugins=plugins)


def show_settings(visit: Visit) -> Response:
    """Show the store and its settings; of options only the names, since values may be secret."""
    site = visit.site
    capabilities = [(name, getattr(site.store.capabilities, name)) for name in _CAPABILITIES]
    return visit.render(
        "settings.html",
        store=str(site.store),
        capabilities=capabilities,
        settings=_settings(visit),
        version=__version__,
        python=sys.version.split()[0],
    )


def _options(properties: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={details['default']}" if "default" in details else name
        for name, details in properties.items()
    )


def _settings(visit: Visit) -> list[tuple[str, str]] | None:
    settings = visit.site.settings
    if settings is None:
        return None
    rows = [
        ("options", ", ".join(settings.options)),
        ("form", settings.form),
        ("conflicts", settings.conflicts),
        ("observers", ", ".join(settings.observers)),
        ("async_workers", str(settings.async_workers)),
    ]
    if (retention := settings.retention) is not None:
        rows += [
            ("retention.strategy", retention.strategy),
            ("retention.options", ", ".join(retention.options)),
            ("retention.trash", str(retention.trash or "")),
            ("retention.min_idle", str(retention.min_idle or "")),
        ]
    rows += [
        (f"journal_retention.{name}.strategy", table.strategy)
        for name, table in settings.journal_retention.items()
    ]
    return rows
