"""What a plugin implements.

A plugin is a module named by an entry point. It marks functions of the names below with
`hookimpl`; each is described in the guide "Write a plugin".
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
"""Marks a function of a plugin as the implementation of the hook of its name."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend that a plugin offers.

    Attributes:
        name: The URL scheme; equal to the entry point's name.
        summary: One line for people.
        config: A pydantic model of its options (``extra="forbid"``); URL queries and keyword
            arguments go through it.
        factory: Makes the store. It opens no connection and touches nothing.
        nests: Whether ``/x`` after a location names an empty place of its own below it; then
            ``statekeep conformance`` can work in a scratch place below a URL.
    """

    name: str
    summary: str
    config: type[BaseModel]
    factory: Callable[[StoreURL, Any], StateStore]
    nests: bool = False


@dataclass(frozen=True, slots=True)
class PrunerSpec:
    """A pruning strategy that a plugin offers.

    Attributes:
        name: Its name; equal to the entry point's name.
        summary: One line for people.
        config: A pydantic model of its options (``extra="forbid"``).
        factory: Makes the strategy.
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
        summary: One sentence for people; the help of ``statekeep`` shows it.
        factory: Gives a function whose annotated parameters typer reads. It is called when the
            command is named, so it is the place to import what the command needs.
    """

    name: str
    summary: str
    factory: Callable[[], Callable[..., object]]


@dataclass(frozen=True, slots=True)
class ImporterSpec:
    """An importer of conversations that a plugin offers.

    Attributes:
        name: Its name; equal to the entry point's name.
        summary: One line for people.
        find: Gives the files that may have conversations at or below a path, which is there. A
            path that is a file is the only one.
        sources: Gives the conversations in a file, from a stream if they may be many; raises
            CorruptDataError if it is no file of this kind.
        load: Imports one of them; if a part of it is there by now, only the rest.
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
        """Offer backends; entry-point group ``statekeep.backends``."""

    @hookspec
    def statekeep_pruners(self) -> Iterable[PrunerSpec]:  # type: ignore[empty-body]
        """Offer pruning strategies; entry-point group ``statekeep.pruners``."""

    @hookspec
    def statekeep_commands(self) -> Iterable[CommandSpec]:  # type: ignore[empty-body]
        """Add commands to the command line; entry-point group ``statekeep.commands``."""

    @hookspec
    def statekeep_importers(self) -> Iterable[ImporterSpec]:  # type: ignore[empty-body]
        """Offer importers of conversations; entry-point group ``statekeep.importers``."""

    @hookspec
    def statekeep_event(self, event: Event) -> None:
        """Be told what has happened; entry-point group ``statekeep.observers``."""
