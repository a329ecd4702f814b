"""What a plugin implements.

A plugin is a module that an entry point names. It marks functions with the names below with
`hookimpl`; the guide "Write a plugin" describes each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pydantic import BaseModel

    from statekeep.observe.events import Event
    from statekeep.retention.types import PruningStrategy
    from statekeep.store.protocol import StateStore
    from statekeep.store.urls import StoreURL
    from statekeep.transport.conversations import ImportSource, Loader

__all__ = [
    "BackendSpec",
    "CommandSpec",
    "HookSpecs",
    "ImporterSpec",
    "PrunerSpec",
    "hookimpl",
]

PROJECT = "statekeep"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook with its name."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend that a plugin provides.

    Attributes:
        name: The URL scheme; equal to the entry point's name.
        summary: One line for people to read.
        config: A pydantic model of its options (``extra="forbid"``), which validates URL queries
            and keyword arguments.
        factory: Creates the store, without opening a connection or touching anything.
        nests: Whether appending ``/x`` to a location names a separate, empty location below it;
            then ``statekeep conformance`` can work in a scratch location below a URL.
    """

    name: str
    summary: str
    config: type[BaseModel]
    factory: Callable[[StoreURL, Any], StateStore]
    nests: bool = False


@dataclass(frozen=True, slots=True)
class PrunerSpec:
    """A pruning strategy that a plugin provides.

    Attributes:
        name: Its name; equal to the entry point's name.
        summary: One line for people to read.
        config: A pydantic model of its options (``extra="forbid"``).
        factory: Creates the strategy.
    """

    name: str
    summary: str
    config: type[BaseModel]
    factory: Callable[[Any], PruningStrategy]


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command that a plugin adds to ``statekeep``.

    Attributes:
        name: What follows ``statekeep``; equal to the entry point's name.
        summary: A one-sentence description, for the help of ``statekeep``.
        factory: Returns a function whose annotated parameters typer reads. Called only when the
            command is used, so import what the command needs here.
    """

    name: str
    summary: str
    factory: Callable[[], Callable[..., object]]


@dataclass(frozen=True, slots=True)
class ImporterSpec:
    """A conversation importer that a plugin provides.

    Attributes:
        name: Its name; equal to the entry point's name.
        summary: One line for people.
        find: Returns the files that may hold conversations at or below a path, which must exist. If
            it is a file, it is the only one.
        sources: Returns the conversations in a file, lazily if there may be many; raises
            CorruptDataError if it is not a file of this kind.
        load: Imports a conversation; if a part of it is already stored, only the rest.
    """

    name: str
    summary: str
    find: Callable[[Path], Iterable[Path]]
    sources: Callable[[Path], Iterable[ImportSource]]
    load: Loader


class HookSpecs:
    """The hooks, with their signatures."""

    @hookspec
    def statekeep_backends(self) -> Iterable[BackendSpec]:  # type: ignore[empty-body]
        """Provide backends; entry-point group ``statekeep.backends``."""

    @hookspec
    def statekeep_pruners(self) -> Iterable[PrunerSpec]:  # type: ignore[empty-body]
        """Provide pruning strategies; entry-point group ``statekeep.pruners``."""

    @hookspec
    def statekeep_commands(self) -> Iterable[CommandSpec]:  # type: ignore[empty-body]
        """Add commands to the command line; entry-point group ``statekeep.commands``."""

    @hookspec
    def statekeep_importers(self) -> Iterable[ImporterSpec]:  # type: ignore[empty-body]
        """Provide conversation importers; entry-point group ``statekeep.importers``."""

    @hookspec
    def statekeep_event(self, event: Event) -> None:
        """Receive an event; entry-point group ``statekeep.observers``."""
