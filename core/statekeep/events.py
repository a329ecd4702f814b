"""What observers are told, after the fact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statekeep.keys import Kind
    from statekeep.protocol import Version

__all__ = [
    "ConflictDetected",
    "DocumentDeleted",
    "DocumentSaved",
    "Event",
    "Observer",
    "ProblemFound",
    "PruneFailed",
    "PruneFinished",
    "SessionDeleted",
    "SessionRestored",
    "SessionSaved",
    "notify",
]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened in a store.

    Attributes:
        store: The store, as it names itself.
    """

    store: str


@dataclass(frozen=True, slots=True)
class SessionSaved(Event):
    """A session was stored; `created` says whether it was not there before."""

    session_id: str
    user_id: str
    version: Version
    created: bool


@dataclass(frozen=True, slots=True)
class SessionDeleted(Event):
    """A session was deleted by a call or, if `pruned`, by retention.

    If `trashed`, a copy is in the trash.
    """

    session_id: str
    pruned: bool
    trashed: bool


@dataclass(frozen=True, slots=True)
class SessionRestored(Event):
    """A session was put back from the trash."""

    session_id: str
    user_id: str
    version: Version


@dataclass(frozen=True, slots=True)
class DocumentSaved(Event):
    """A document was stored."""

    category: str
    name: str
    kind: Kind
    version: Version


@dataclass(frozen=True, slots=True)
class DocumentDeleted(Event):
    """A document was deleted."""

    category: str
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class ConflictDetected(Event):
    """A write found something else than it expected and changed nothing."""

    key: str


@dataclass(frozen=True, slots=True)
class ProblemFound(Event):
    """A listing met a document that cannot be read."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class PruneFinished(Event):
    """A prune came to its end."""

    pruned: int
    spared: int
    unknown: int
    failed: int


@dataclass(frozen=True, slots=True)
class PruneFailed(Event):
    """A background prune came to nothing; the next one tries again."""

    error: Exception


Observer = Callable[[Event], None]
"""Takes events. What it raises is logged and stops neither the caller nor other observers."""


def notify(observers: Iterable[Observer], event: Event) -> None:
    """Tell each observer by itself."""
    for observer in observers:
        try:
            observer(event)
        except Exception:
            _logger.exception("observer %r failed on %r", observer, event)
