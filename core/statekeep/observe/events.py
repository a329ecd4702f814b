"""The events that observers receive, after the fact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from statekeep.store.keys import Kind
    from statekeep.store.protocol import Version

__all__ = [
    "BlobDeleted",
    "BlobSaved",
    "ConflictDetected",
    "ConflictRetried",
    "DocumentDeleted",
    "DocumentSaved",
    "Event",
    "JournalDeleted",
    "JournalRestored",
    "JournalSaved",
    "Observer",
    "OperationFinished",
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
    """Something that happened in a store.

    Attributes:
        store: The store, as it names itself.
    """

    store: str


@dataclass(frozen=True, slots=True)
class SessionSaved(Event):
    """A session was stored; `created` says whether it is new."""

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
    """A session was restored from the trash."""

    session_id: str
    user_id: str
    version: Version


@dataclass(frozen=True, slots=True)
class JournalSaved(Event):
    """A journal was changed; `created` says whether it is new."""

    collection: str
    name: tuple[str, ...]
    user_id: str | None
    version: Version
    created: bool


@dataclass(frozen=True, slots=True)
class JournalDeleted(Event):
    """A journal was deleted by a call or, if `pruned`, by retention.

    If `trashed`, a copy is in the trash.
    """

    collection: str
    name: tuple[str, ...]
    pruned: bool
    trashed: bool


@dataclass(frozen=True, slots=True)
class JournalRestored(Event):
    """A journal was restored from the trash."""

    collection: str
    name: tuple[str, ...]
    user_id: str | None
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
class BlobSaved(Event):
    """A blob was stored."""

    collection: str
    name: tuple[str, ...]
    version: Version


@dataclass(frozen=True, slots=True)
class BlobDeleted(Event):
    """A blob was deleted."""

    collection: str
    name: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConflictDetected(Event):
    """A write found something other than it expected."""

    key: str | None


@dataclass(frozen=True, slots=True)
class ConflictRetried(Event):
    """An operation that met a conflict starts again; `retry` counts from 1."""

    key: str | None
    retry: int


@dataclass(frozen=True, slots=True)
class ProblemFound(Event):
    """A listing came upon a document that cannot be read."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class PruneFinished(Event):
    """A prune finished; the numbers are those of `PruneReport`."""

    pruned: int
    skipped: int
    unknown: int
    failed: int
    swept: int
    purged: int


@dataclass(frozen=True, slots=True)
class PruneFailed(Event):
    """A background prune failed; the next one tries again."""

    error: Exception


@dataclass(frozen=True, slots=True)
class OperationFinished(Event):
    """A method of `Sessions`, `Journals`, `Documents` or `Blobs` on the store has ended.

    Other methods of the same object that it calls are part of it and not reported separately.

    Attributes:
        store: The store, as it names itself.
        operation: Class and method: ``"Sessions.save"``; ``"Sessions.prune_in_background"``.
        subject: The session's id, the journal's or blob's collection and name
            (``"openai-agents/ada/thread-17"``), or the document's category and name
            (``"specs/v1/parser"``); None if it was about everything, or about a new session.
        outcome: ``"ok"``, or the name of the error's class.
        started_at: When it began (UTC).
        duration: How long it took.
        requests: How many requests the store sent for it, including retries; 0 if the store
            sends none, or does not count them.
    """

    operation: str
    subject: str | None
    outcome: str
    started_at: datetime
    duration: timedelta
    requests: int


Observer = Callable[[Event], None]
"""Receives events. Its exceptions are logged and stop neither the caller nor other observers."""


def notify(observers: Iterable[Observer], event: Event) -> None:
    """Call each observer separately."""
    for observer in observers:
        try:
            observer(event)
        except Exception:
            _logger.exception("observer %r failed on %r", observer, event)
