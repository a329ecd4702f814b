"""What became of the documents that were copied or imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from statekeep.errors import StateStoreError

__all__ = ["CopyRemark", "CopyReport", "Outcome", "Tally"]

Outcome = Literal["differs", "newer", "failed"]
"""Why a document was not copied: the target has another one there, which was not to be overwritten
or was changed meanwhile; the target's is newer; or it could not be."""

_MOST: Final = 1000
"""Remarks that a report keeps, so that it fits into memory whatever is copied."""


@dataclass(frozen=True, slots=True)
class CopyRemark:
    """A document that was not copied, and why.

    Attributes:
        key: Its key.
        outcome: What became of it.
        reason: Why, for a person.
        error: The error, of one that failed.
        line: The line of the file that it was to be imported from.
    """

    key: str
    outcome: Outcome
    reason: str
    error: StateStoreError | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What became of the documents that were copied or imported; of a dry run, what would.

    Attributes:
        source: Where they came from.
        target: Where they went.
        dry_run: Whether nothing was written.
        copied: How many were written, segments and attachments of journals included.
        overwritten: How many of these replaced another document.
        equal: How many were in the target already.
        differing: How many were left, because the target has another document there.
        newer: How many were left, because the target's document is newer.
        failed: How many could not be copied.
        deleted: How many were deleted in the target, because the source has them not.
        deletion_skipped: Whether none were deleted, though that was asked for, because some failed.
        bytes: How many bytes were written.
        remarks: Of those that differ, are newer or failed, the first thousand.
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
        """Whether nothing failed, so that the target has what was asked for."""
        return not self.failed


@dataclass(slots=True)
class Tally:
    """Counts what becomes of documents; threads may share it."""

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
    """The lines that documents come from; only of those that are in memory."""
    _lock: Lock = field(default_factory=Lock)

    def wrote(self, size: int, *, over: bool) -> None:
        """Count a document that was written, perhaps over another."""
        with self._lock:
            self.copied += 1
            self.overwritten += over
            self.bytes += size

    def met_equal(self) -> None:
        """Count a document that the target has already."""
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
        """Say what has become of all."""
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
