"""What observers are told, after the fact."""

from statekeep.observe.events import (
    ConflictDetected,
    ConflictRetried,
    DocumentDeleted,
    DocumentSaved,
    Event,
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
    "Observer",
    "OperationFinished",
    "ProblemFound",
    "PruneFailed",
    "PruneFinished",
    "SessionDeleted",
    "SessionRestored",
    "SessionSaved",
]
