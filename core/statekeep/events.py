"""What observers are told, after the fact; and how a backend makes its requests known to them."""

from statekeep.observe.emitter import count_request
from statekeep.observe.events import (
    ConflictDetected,
    ConflictRetried,
    DocumentDeleted,
    DocumentSaved,
    Event,
    JournalDeleted,
    JournalRestored,
    JournalSaved,
    Observer,
    OperationFinished,
    ProblemFound,
    PruneFailed,
    PruneFinished,
    SessionDeleted,
    SessionRestored,
    SessionSaved,
)

__all__ = [
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
    "count_request",
]
