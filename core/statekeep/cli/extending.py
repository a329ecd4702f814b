"""Commands from plugins: found by name, and loaded only when called or listed."""

from __future__ import annotations

from typing import Any

import typer

from statekeep._text import printable
from statekeep.cli.options import Command, Group
from statekeep.config.opening import installed_plugins
from statekeep.errors import ConfigError, PluginConflictError, PluginLoadError, StateStoreError

__all__ = ["Extensible"]


class Extensible(Group):
    """A group with its own commands, then those of plugins, which cannot replace its own.

    A broken plugin breaks only its own command, and the help says so in its place.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - click's, or a copy
        """Return the names of its own commands, then of those of plugins."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in installed_plugins().names("commands") if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Return a command by its name, or None if there is none.

        Raises:
            PluginError: The plugin that has it is broken, or several plugins have it.
        """
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        plugins = installed_plugins()
        if cmd_name.rpartition(":")[2] not in plugins.names("commands"):
            return None
        maker = typer.Typer(add_completion=False, rich_markup_mode=None)
        make = plugins.command(cmd_name).factory
        try:
            maker.command(cmd_name, cls=Command)(make())
            return typer.main.get_command(maker)
        except StateStoreError:
            raise
        except Exception as error:
            raise PluginLoadError(
                f"the command {cmd_name!r} is broken: {error!r}; 'statekeep plugins' shows which "
                "package it comes from"
            ) from error

    def described(self, ctx: Any) -> list[tuple[str, str]]:  # noqa: ANN401
        """Return the commands, each with a sentence; those of plugins are not built for that."""
        own = [(name, super(Extensible, self).get_command(ctx, name)) for name in self.commands]
        found = [(name, each.get_short_help_str(10_000)) for name, each in own if each]
        plugins = installed_plugins()
        for name in plugins.names("commands"):
            if name in self.commands:
                continue
            try:
                found.append((name, printable(plugins.command(name).summary)))
            except (ConfigError, PluginConflictError) as error:
                found.append((name, str(error)))
            except StateStoreError:
                found.append((name, "Does not work; 'statekeep plugins' says why."))
        return found
