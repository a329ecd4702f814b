"""Finds plugins through entry points and loads those that are asked for.

Our own backends and strategies use the same entry points as everyone else's. Nothing is imported
before it is named, so a broken plugin breaks only programs that ask for it.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import threading
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pluggy
from pydantic import BaseModel, PydanticUserError

from statekeep._version import __version__
from statekeep.errors import (
    ConfigError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
    StateStoreError,
)
from statekeep.plugins.allow_list import normal_name
from statekeep.plugins.builtin import missing_from
from statekeep.plugins.hooks import (
    PROJECT,
    BackendSpec,
    CommandSpec,
    HookSpecs,
    ImporterSpec,
    PrunerSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from statekeep.observe.events import Observer

__all__ = ["PluginInfo", "Plugins"]

_logger = logging.getLogger(__name__)

Group = Literal["backends", "pruners", "importers", "observers", "commands"]
Status = Literal["ok", "incomplete", "broken", "conflict", "shadowed", "blocked"]
S = TypeVar("S", BackendSpec, PrunerSpec, ImporterSpec, CommandSpec)

_GROUPS: tuple[Group, ...] = ("backends", "pruners", "importers", "observers", "commands")
_HOOKS: dict[Group, str] = {
    "backends": "statekeep_backends",
    "pruners": "statekeep_pruners",
    "importers": "statekeep_importers",
    "observers": "statekeep_event",
    "commands": "statekeep_commands",
}


_END = object()


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """An installed plugin, whether it works or not.

    Attributes:
        group: ``backends``, ``pruners``, ``importers``, ``observers`` or ``commands``.
        name: The name to choose it by.
        distribution: The distribution that provides it.
        version: The distribution's version.
        status: ``ok``; ``incomplete`` (it needs an extra); ``broken``; ``conflict``
            (another distribution offers the same name); ``shadowed`` (a built-in has the name);
            ``blocked`` (not on the allow-list).
        summary: Its own description; empty if it was not loaded.
        error: Why it is not ok, or how to choose it nevertheless; empty if it is ok.
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
        allowed: Names of the distributions that can be loaded besides statekeep itself; None for
            all.
    """

    def __init__(self, allowed: Iterable[str] | None = None) -> None:
        self._allowed = None if allowed is None else {normal_name(name) for name in allowed}
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self._registering = threading.Lock()
        installed = entry_points()  # only once: it reads the metadata of every distribution
        self._found: dict[Group, list[EntryPoint]] = {}
        for group in _GROUPS:
            found = [*installed.select(group=f"{PROJECT}.{group}")]
            ours = {entry.name for entry in found if _is_ours(entry)}
            found += missing_from(f"{PROJECT}.{group}", ours)
            self._found[group] = sorted(found, key=_place)

    def backend(self, name: str, distribution: str | None = None) -> BackendSpec:
        """Load the backend for a URL scheme.

        Args:
            name: The scheme.
            distribution: The distribution that must provide it; needed if several do.

        Raises:
            PluginNotFoundError: No distribution provides it.
            PluginConflictError: Several distributions provide it.
            PluginLoadError: It is broken.
        """
        return self._spec(self._choose("backends", name, distribution), "backends", BackendSpec)

    def pruner(self, name: str) -> PrunerSpec:
        """Load the pruning strategy with this name, which can be ``dist:name``.

        Raises:
            PluginNotFoundError: No distribution provides it.
            PluginConflictError: Several distributions provide it.
            PluginLoadError: It is broken.
        """
        return self._spec(self._choose("pruners", *_split(name)), "pruners", PrunerSpec)

    def importer(self, name: str) -> ImporterSpec:
        """Return the importer called ``name`` or ``dist:name``.

        Raises:
            PluginNotFoundError: No distribution provides it.
            PluginConflictError: Several distributions provide it.
            PluginLoadError: It is broken.
        """
        return self._spec(self._choose("importers", *_split(name)), "importers", ImporterSpec)

    def observer(self, name: str) -> Observer:
        """Load the observer with this name, which can be ``dist:name``.

        Raises:
            ConfigError: It needs packages that are not installed.
            PluginNotFoundError: No distribution provides it.
            PluginConflictError: Several distributions provide it.
            PluginLoadError: It is broken.
        """
        return self._implementation(self._choose("observers", *_split(name)), "observers")

    def command(self, name: str) -> CommandSpec:
        """Return the command called ``name`` or ``dist:name``.

        Raises:
            PluginNotFoundError: No distribution provides it.
            PluginConflictError: Several distributions provide it.
            PluginLoadError: It is broken.
        """
        return self._spec(self._choose("commands", *_split(name)), "commands", CommandSpec)

    def names(self, group: Group) -> list[str]:
        """Return the sorted names of the allowed plugins in a group; loads nothing."""
        return sorted({entry.name for entry in self._found[group] if self._may_load(entry)})

    def list(self) -> list[PluginInfo]:
        """List what is installed; loads everything that is allowed.

        A broken plugin is listed as broken, and a warning is logged.
        """
        return [self._info(group, entry) for group in _GROUPS for entry in self._found[group]]

    def _info(self, group: Group, entry: EntryPoint) -> PluginInfo:
        status: Status = "ok"
        summary, error, schema = "", "", {}
        rivals = [
            each
            for each in self._found[group]
            if each.name.lower() == entry.name.lower() and self._may_load(each)
        ]
        try:
            if not self._may_load(entry):
                status, error = "blocked", "not on the allow-list STATEKEEP_PLUGINS"
            elif group == "observers":
                summary = (inspect.getdoc(self._implementation(entry, group)) or "").split("\n")[0]
            else:
                spec: BackendSpec | PrunerSpec | ImporterSpec | CommandSpec
                if group == "backends":
                    spec = self._spec(entry, group, BackendSpec)
                elif group == "pruners":
                    spec = self._spec(entry, group, PrunerSpec)
                elif group == "importers":
                    spec = self._spec(entry, group, ImporterSpec)
                else:
                    spec = self._spec(entry, group, CommandSpec)
                summary, schema = spec.summary, _schema_of(spec)
        except ConfigError as problem:
            status, error = "incomplete", str(problem)
        except PluginError as problem:
            status, error = "broken", str(problem)
            _logger.warning("%s", problem)
        if status == "ok" and len(rivals) > 1 and not _is_ours(entry):
            ours = any(map(_is_ours, rivals))
            status = "shadowed" if ours else "conflict"
            error = f"choose it with {_full_name(group, entry)}"
        return PluginInfo(
            group, entry.name, _name_of(entry), _version_of(entry), status, summary, error, schema
        )

    def _may_load(self, entry: EntryPoint) -> bool:
        return (
            self._allowed is None
            or _is_ours(entry)
            or normal_name(_name_of(entry)) in self._allowed
        )

    def _choose(self, group: Group, name: str, distribution: str | None) -> EntryPoint:
        named = [
            entry
            for entry in self._found[group]
            if entry.name.lower() == name.lower()
            and (distribution is None or normal_name(_name_of(entry)) == normal_name(distribution))
        ]
        allowed = [entry for entry in named if self._may_load(entry)]
        if not allowed:
            raise self._not_found(group, name, distribution, named)
        ours = [entry for entry in allowed if _is_ours(entry)]
        if ours:
            for entry in allowed:
                if entry not in ours:
                    _logger.warning(
                        "%s offers %r too, but a built-in is never replaced; choose it with %s",
                        _name_of(entry),
                        name,
                        _full_name(group, entry),
                    )
            return ours[0]
        if len(allowed) > 1:
            names = " and ".join(_name_of(entry) for entry in allowed)
            raise PluginConflictError(
                f"{names} offer {name!r}; choose one by its distribution, as "
                f"{_full_name(group, allowed[0])}, or uninstall the others"
            )
        return allowed[0]

    def _not_found(
        self, group: Group, name: str, distribution: str | None, blocked: Iterable[EntryPoint]
    ) -> PluginNotFoundError:
        if names := ", ".join(_name_of(entry) for entry in blocked):
            return PluginNotFoundError(
                f"{names} offers {name!r}, but is not on the allow-list STATEKEEP_PLUGINS"
            )
        usable = [entry for entry in self._found[group] if self._may_load(entry)]
        if distribution:
            whose = {_name_of(entry) for entry in usable if entry.name.lower() == name.lower()}
            return PluginNotFoundError(
                f"{distribution} offers no {group[:-1]} {name!r}; "
                f"it is offered by: {', '.join(sorted(whose)) or 'nobody'}"
            )
        known = sorted({entry.name for entry in usable})
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        if group == "backends":
            hint += (
                f"write ./{name}:… if you mean a folder; "
                "'statekeep[fsspec]' brings what fsspec reaches; "
            )
        return PluginNotFoundError(
            f"no {group[:-1]} {name!r} is installed; {hint}there are: {', '.join(known) or 'none'}"
        )

    def _spec(self, entry: EntryPoint, group: Group, kind: type[S]) -> S:
        implementation = self._implementation(entry, group)
        try:
            specs = list(implementation())
        except (Exception, SystemExit) as error:
            raise self._broken(entry, f"its {_HOOKS[group]}() failed: {error!r}") from error
        named: dict[str, S] = {}
        for spec in specs:
            if not isinstance(spec, kind):
                raise self._broken(
                    entry,
                    f"its {_HOOKS[group]}() gave {spec!r}, which is not of type {kind.__name__}",
                )
            named[spec.name] = spec
        if spec := named.get(entry.name):
            if isinstance(spec, ImporterSpec):
                return self._guarded_importer(entry, spec)
            if isinstance(spec, CommandSpec):
                self._check_command(entry, spec)
            else:
                self._check_config(entry, spec.config)
            return replace(spec, factory=self._guarded(entry, "factory", spec.factory))
        offered = ", ".join(map(repr, named)) or "nothing"
        raise self._broken(entry, f"its entry point is {entry.name!r}, but it offers {offered}")

    def _check_command(self, entry: EntryPoint, spec: CommandSpec) -> None:
        summary: object = spec.summary  # of any type, since nothing has checked it
        if not isinstance(summary, str) or not callable(spec.factory):
            raise self._broken(
                entry, f"{spec!r} needs a text as its summary and a function as its factory"
            )

    def _check_config(self, entry: EntryPoint, config: object) -> None:
        if not (isinstance(config, type) and issubclass(config, BaseModel)):
            raise self._broken(entry, f"its config {config!r} is not a pydantic model")
        if config.model_config.get("extra") != "forbid":
            raise self._broken(entry, "its config model accepts options that it does not know")

    def _implementation(self, entry: EntryPoint, group: Group) -> Callable[..., Any]:
        plugin = self._load(entry)
        # Two threads may be the first to ask for the same plugin.
        with self._registering:
            self._register(entry, plugin)
            implementations = getattr(self._manager.hook, _HOOKS[group]).get_hookimpls()
        for implementation in implementations:
            if implementation.plugin is plugin:
                if group == "observers" and implementation.argnames != ("event",):
                    raise self._broken(entry, f"its {_HOOKS[group]} must take the argument event")
                function: Callable[..., Any] = implementation.function
                return function
        raise self._broken(entry, f"it has no function {_HOOKS[group]} marked with hookimpl")

    def _load(self, entry: EntryPoint) -> object:
        try:
            return entry.load()
        except ConfigError:
            raise  # its message says what to install
        except (Exception, SystemExit) as error:
            raise self._broken(entry, f"importing it failed: {error!r}") from error

    def _register(self, entry: EntryPoint, plugin: object) -> None:
        if self._manager.is_registered(plugin):
            return
        try:
            self._manager.register(plugin, name=f"{_name_of(entry)}:{entry.value}")
            self._manager.check_pending()
        except (ValueError, pluggy.PluginValidationError) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise self._broken(entry, str(error)) from error
        self._warn_of_unmarked(entry, plugin)

    def _warn_of_unmarked(self, entry: EntryPoint, plugin: object) -> None:
        marked = [
            implementation.function
            for caller in self._manager.get_hookcallers(plugin) or ()
            for implementation in caller.get_hookimpls()
        ]
        for name in dir(plugin):
            function = getattr(plugin, name, None)
            if (
                name.startswith("statekeep_")
                and inspect.isroutine(function)
                and function not in marked
            ):
                _logger.warning(
                    "%s: the function %s of %s looks like a hook, but is not marked with hookimpl",
                    _name_of(entry),
                    name,
                    entry.value,
                )

    def _guarded(
        self, entry: EntryPoint, what: str, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        def call(*arguments: object, **options: object) -> object:
            try:
                return function(*arguments, **options)
            except StateStoreError:
                raise
            except (Exception, SystemExit) as error:
                raise self._broken(entry, f"its {what} failed: {error!r}") from error

        return call

    def _guarded_importer(self, entry: EntryPoint, spec: ImporterSpec) -> ImporterSpec:
        def stream(what: str, function: Callable[..., Iterable[Any]]) -> Callable[..., Any]:
            def give(path: Path) -> Iterator[Any]:
                # It may only fail during iteration.
                each = iter(self._guarded(entry, what, function)(path))
                step = self._guarded(entry, what, next)
                while (found := step(each, _END)) is not _END:
                    yield found

            return give

        return replace(
            spec,
            find=stream("find", spec.find),
            sources=stream("sources", spec.sources),
            load=self._guarded(entry, "load", spec.load),
        )

    def _broken(self, entry: EntryPoint, why: str) -> PluginLoadError:
        return PluginLoadError(
            f"the plugin {entry.name!r} ({entry.value}) of {_name_of(entry)} "
            f"{_version_of(entry)} is broken: {why}; repair or uninstall the distribution"
        )


def _split(name: str) -> tuple[str, str | None]:
    distribution, colon, bare = name.rpartition(":")
    return (bare, distribution) if colon else (name, None)


def _schema_of(spec: BackendSpec | PrunerSpec | ImporterSpec | CommandSpec) -> dict[str, Any]:
    if isinstance(spec, ImporterSpec | CommandSpec):
        return {}
    try:
        return spec.config.model_json_schema()
    except PydanticUserError:
        return {}  # an option that JSON schema cannot describe works nevertheless


def _full_name(group: Group, entry: EntryPoint) -> str:
    return f"{_name_of(entry)}{'+' if group == 'backends' else ':'}{entry.name}"


def _name_of(entry: EntryPoint) -> str:
    return _name_and_version(entry.dist)[0]


def _version_of(entry: EntryPoint) -> str:
    return _name_and_version(entry.dist)[1]


@cache  # a distribution parses all its metadata on every access
def _name_and_version(distribution: Distribution | None) -> tuple[str, str]:
    if distribution is None:
        return PROJECT, __version__  # a built-in that is missing from the metadata
    # What a failed uninstallation leaves behind has entry points, but neither name nor version.
    about = distribution.metadata.json
    return str(about.get("name", "an unknown distribution")), str(about.get("version", ""))


def _is_ours(entry: EntryPoint) -> bool:
    return normal_name(_name_of(entry)) == PROJECT


def _place(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, _name_of(entry)
