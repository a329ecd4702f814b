"""Finding plugins through entry points and loading those that are asked for.

Our own backends and strategies come in by the same entry points as anyone's. Nothing is imported
before it is named, so a broken plugin breaks only those who ask for it.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pluggy

from statekeep.errors import (
    PluginConflictError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
)
from statekeep.hooks import PROJECT, BackendSpec, HookSpecs, PrunerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from statekeep.events import Observer

__all__ = ["PluginInfo", "Plugins"]

_logger = logging.getLogger(__name__)

Group = Literal["backends", "pruners", "observers"]
Status = Literal["ok", "broken", "conflict", "shadowed", "blocked"]
S = TypeVar("S", BackendSpec, PrunerSpec)

_GROUPS: tuple[Group, ...] = ("backends", "pruners", "observers")
_HOOKS: dict[Group, str] = {
    "backends": "statekeep_backends",
    "pruners": "statekeep_pruners",
    "observers": "statekeep_event",
}


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plugin that is installed, whether it works or not.

    Attributes:
        group: ``backends``, ``pruners`` or ``observers``.
        name: What it is chosen by.
        distribution: What was installed.
        version: Of the distribution.
        status: ``ok``; ``broken``; ``conflict`` (another distribution offers the name: choose
            with ``dist:name``); ``shadowed`` (the name is a built-in's: choose with
            ``dist:name``); ``blocked`` (not on the allow-list).
        summary: What it says of itself; empty if it was not loaded.
        error: Why it is not ok; empty if it is.
        schema: The JSON schema of its options; empty if it was not loaded or has none.
    """

    group: Group
    name: str
    distribution: str
    version: str
    status: Status
    summary: str
    error: str
    schema: dict[str, Any]


class Plugins:
    """The plugins of this environment.

    Args:
        allowed: Names of the distributions that may be loaded besides statekeep itself; None for
            all.
    """

    def __init__(self, allowed: Iterable[str] | None = None) -> None:
        self._allowed = None if allowed is None else {_normal(name) for name in allowed}
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self._found: dict[Group, list[EntryPoint]] = {
            group: sorted(entry_points(group=f"{PROJECT}.{group}"), key=_place) for group in _GROUPS
        }

    def backend(self, name: str, distribution: str | None = None) -> BackendSpec:
        """The backend of that URL scheme.

        Args:
            name: The scheme.
            distribution: Who must offer it; needed where several do.

        Raises:
            PluginNotFoundError: Nobody offers it.
            PluginConflictError: Several do.
            PluginLoadError: It is broken.
        """
        return self._spec(self._choose("backends", name, distribution), "backends", BackendSpec)

    def pruner(self, name: str) -> PrunerSpec:
        """The pruning strategy of that name, or of ``dist:name``.

        Raises:
            PluginNotFoundError: Nobody offers it.
            PluginConflictError: Several do.
            PluginLoadError: It is broken.
        """
        return self._spec(self._choose("pruners", *_split(name)), "pruners", PrunerSpec)

    def observer(self, name: str) -> Observer:
        """The observer of that name, or of ``dist:name``.

        Raises:
            PluginNotFoundError: Nobody offers it.
            PluginConflictError: Several do.
            PluginLoadError: It is broken.
        """
        return self._implementation(self._choose("observers", *_split(name)), "observers")

    def list(self) -> list[PluginInfo]:
        """Say what is installed; loads everything that may be loaded.

        A broken plugin is listed as such, and a warning is logged.
        """
        return [self._info(group, entry) for group in _GROUPS for entry in self._found[group]]

    def _info(self, group: Group, entry: EntryPoint) -> PluginInfo:
        status: Status = "ok"
        summary, error, schema = "", "", {}
        rivals = [
            each for each in self._found[group] if each.name == entry.name and self._may_load(each)
        ]
        try:
            if not self._may_load(entry):
                status, error = "blocked", "not on the allow-list STATEKEEP_PLUGINS"
            elif group == "observers":
                summary = (inspect.getdoc(self._implementation(entry, group)) or "").split("\n")[0]
            else:
                spec: BackendSpec | PrunerSpec
                if group == "backends":
                    spec = self._spec(entry, group, BackendSpec)
                else:
                    spec = self._spec(entry, group, PrunerSpec)
                summary, schema = spec.summary, spec.config.model_json_schema()
        except PluginError as problem:
            status, error = "broken", str(problem)
            _logger.warning("%s", problem)
        if status == "ok" and len(rivals) > 1 and not _is_ours(entry):
            ours = any(map(_is_ours, rivals))
            status = "shadowed" if ours else "conflict"
            error = f"choose it with {_name_of(entry)}:{entry.name}"
        return PluginInfo(
            group, entry.name, _name_of(entry), _version_of(entry), status, summary, error, schema
        )

    def _may_load(self, entry: EntryPoint) -> bool:
        return self._allowed is None or _is_ours(entry) or _normal(_name_of(entry)) in self._allowed

    def _choose(self, group: Group, name: str, distribution: str | None) -> EntryPoint:
        named = [
            entry
            for entry in self._found[group]
            if entry.name == name
            and (distribution is None or _normal(_name_of(entry)) == _normal(distribution))
        ]
        allowed = [entry for entry in named if self._may_load(entry)]
        if not allowed:
            raise self._not_found(group, name, distribution, named)
        ours = [entry for entry in allowed if _is_ours(entry)]
        if ours:
            for entry in allowed:
                if entry not in ours:
                    _logger.warning(
                        "%s offers %r too, but a built-in name is never replaced; choose it with "
                        "%s:%s",
                        _name_of(entry),
                        name,
                        _name_of(entry),
                        name,
                    )
            return ours[0]
        if len(allowed) > 1:
            names = " and ".join(_name_of(entry) for entry in allowed)
            example = _name_of(allowed[0])
            separator = "+" if group == "backends" else ":"
            raise PluginConflictError(
                f"{names} both offer {name!r}; choose one by its distribution, as "
                f"{example}{separator}{name}, or uninstall the other"
            )
        return allowed[0]

    def _not_found(
        self, group: Group, name: str, distribution: str | None, blocked: Iterable[EntryPoint]
    ) -> PluginNotFoundError:
        if names := ", ".join(_name_of(entry) for entry in blocked):
            return PluginNotFoundError(
                f"{names} offers {name!r}, but is not on the allow-list STATEKEEP_PLUGINS"
            )
        known = sorted({entry.name for entry in self._found[group]})
        close = difflib.get_close_matches(name, known, n=1)
        whom = f" by {distribution}" if distribution else ""
        hint = f"did you mean {close[0]!r}? " if close else ""
        if group == "backends":
            hint += f"write ./{name}:… if you mean a folder; "
        return PluginNotFoundError(
            f"no {group[:-1]} {name!r} is installed{whom}; {hint}"
            f"there are: {', '.join(known) or 'none'}"
        )

    def _spec(self, entry: EntryPoint, group: Group, kind: type[S]) -> S:
        implementation = self._implementation(entry, group)
        try:
            specs = list(implementation())
        except Exception as error:
            raise self._broken(entry, f"its {_HOOKS[group]}() failed: {error!r}") from error
        named: dict[str, S] = {}
        for spec in specs:
            if not isinstance(spec, kind):
                raise self._broken(
                    entry, f"its {_HOOKS[group]}() gave {spec!r}, which is no {kind.__name__}"
                )
            named[spec.name] = spec
        if entry.name in named:
            return named[entry.name]
        offered = ", ".join(map(repr, named)) or "nothing"
        raise self._broken(entry, f"its entry point is {entry.name!r}, but it offers {offered}")

    def _implementation(self, entry: EntryPoint, group: Group) -> Callable[..., Any]:
        plugin = self._register(entry)
        hook = getattr(self._manager.hook, _HOOKS[group])
        for implementation in hook.get_hookimpls():
            if implementation.plugin is plugin:
                function: Callable[..., Any] = implementation.function
                return function
        raise self._broken(entry, f"it has no function {_HOOKS[group]} marked with hookimpl")

    def _register(self, entry: EntryPoint) -> object:
        try:
            plugin = entry.load()
        except (Exception, SystemExit) as error:
            raise self._broken(entry, f"importing it failed: {error!r}") from error
        if self._manager.is_registered(plugin):
            return plugin
        try:
            self._manager.register(plugin, name=f"{_name_of(entry)}:{entry.value}")
            self._manager.check_pending()
        except (ValueError, pluggy.PluginValidationError) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise self._broken(entry, str(error)) from error
        self._warn_of_unmarked(entry, plugin)
        return plugin

    def _warn_of_unmarked(self, entry: EntryPoint, plugin: object) -> None:
        marked = {caller.name for caller in self._manager.get_hookcallers(plugin) or ()}
        for name in dir(plugin):
            if (
                name.startswith("statekeep_")
                and name not in marked
                and inspect.isroutine(getattr(plugin, name, None))
            ):
                _logger.warning(
                    "%s: the function %s of %s looks like a hook, but is not marked with hookimpl",
                    _name_of(entry),
                    name,
                    entry.value,
                )

    def _broken(self, entry: EntryPoint, why: str) -> PluginLoadError:
        return PluginLoadError(
            f"the plugin {entry.name!r} ({entry.value}) of {_name_of(entry)} "
            f"{_version_of(entry)} is broken: {why}; mend or uninstall the distribution"
        )


def _split(name: str) -> tuple[str, str | None]:
    distribution, colon, bare = name.rpartition(":")
    return (bare, distribution) if colon else (name, None)


def _name_of(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"


def _version_of(entry: EntryPoint) -> str:
    return entry.dist.version if entry.dist else ""


def _is_ours(entry: EntryPoint) -> bool:
    return _normal(_name_of(entry)) == PROJECT


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _place(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, _name_of(entry)
