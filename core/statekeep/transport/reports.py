"""Reports on documents that were copied, exported or imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from statekeep.errors import StateStoreError

__all__ = ["CopyRemark", "CopyReport", "Outcome", "Tally"]

Outcome = Literal["differs", "newer", "failed"]
"""Why a document was not copied: the target has a different one, not to be overwritten or changed
meanwhile; the target's is newer; or copying it failed."""

_MOST: Final = 1000
"""The most remarks that a report keeps, so that it fits into memory."""


@dataclass(frozen=True, slots=True)
class CopyRemark:
    """A document that was not copied, and why.

    Attributes:
        key: Its key.
        outcome: The kind of reason.
        reason: The reason in words.
        error: The error, if it failed.
        line: Its line in the file, for an import.
    """

    key: str
    outcome: Outcome
    reason: str
    error: StateStoreError | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The result of a copy, export or import; for a dry run, what it would be.

    Attributes:
        source: Where the documents came from.
        target: Where they went.
        dry_run: Whether nothing was written.
        copied: How many were written, segments and attachments of journals included.
        overwritten: How many of these replaced another document.
        equal: How many the target already had.
        differing: How many were left out because the target has a different document.
        newer: How many were left out because the target's document is newer.
        failed: How many could not be copied.
        deleted: How many were deleted in the target because the source does not have them.
        deletion_skipped: Whether a requested deletion was skipped because some documents failed.
        bytes: How many bytes were written.
        remarks: The first thousand of those that differ, are newer or failed.
    """

    source: str
    target: str
    dry_run: bool
    copied: int
    overwritten: int
    equal: int
    differing: int
    newer: int
    failed: int
    deleted: int
    deletion_skipped: bool
    bytes: int
    remarks: tuple[CopyRemark, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failed


@dataclass(slots=True)
class Tally:
    """Counts what becomes of documents; thread-safe."""

    copied: int = 0
    overwritten: int = 0
    equal: int = 0
    deleted: int = 0
    deletion_skipped: bool = False
    bytes: int = 0
    remarks: list[CopyRemark] = field(default_factory=list)
    left: dict[Outcome, int] = field(
        default_factory=lambda: {"differs": 0, "newer": 0, "failed": 0}
    )
    lines: dict[str, int] = field(default_factory=dict)
    """The lines of the documents in memory, by key."""
    _lock: Lock = field(default_factory=Lock)

    def wrote(self, size: int, *, over: bool) -> None:
        """Count a document that was written; `over` if it replaced another."""
        with self._lock:
            self.copied += 1
            self.overwritten += over
            self.bytes += size

    def met_equal(self) -> None:
        """Count a document that the target already has."""
        with self._lock:
            self.equal += 1

    def removed(self) -> None:
        """Count a document that was deleted."""
        with self._lock:
            self.deleted += 1

    def leave(
        self,
        key: str,
        outcome: Outcome,
        reason: str,
        error: StateStoreError | None = None,
        line: int | None = None,
    ) -> None:
        """Count a document that was not copied."""
        with self._lock:
            self.left[outcome] += 1
            if len(self.remarks) < _MOST:
                line = line or self.lines.get(key)
                self.remarks.append(CopyRemark(key, outcome, reason, error, line))

    def fail(self, key: str, error: StateStoreError) -> None:
        """Count a document that could not be copied."""
        self.leave(key, "failed", error.message, error)

    def report(self, *, source: str, target: str, dry_run: bool) -> CopyReport:
        """Make the report."""
        return CopyReport(
            source=source,
            target=target,
            dry_run=dry_run,
            copied=self.copied,
            overwritten=self.overwritten,
            equal=self.equal,
            differing=self.left["differs"],
            newer=self.left["newer"],
            failed=self.left["failed"],
            deleted=self.deleted,
            deletion_skipped=self.deletion_skipped,
            bytes=self.bytes,
            remarks=tuple(self.remarks),
        )
