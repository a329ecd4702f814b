"""What the doctor finds, and what a repair does about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from statekeep.errors import StateStoreError
    from statekeep.store.powers import Anomaly, RepairAction
    from statekeep.store.protocol import Version

__all__ = [
    "Diagnosis",
    "Finding",
    "FindingKind",
    "RepairFailure",
    "RepairReport",
    "Repaired",
]

FindingKind = Literal[
    "closed folder",
    "collision",
    "corrupt document",
    "corrupt journal",
    "corrupt segment",
    "corrupt session",
    "damage",
    "expiry",
    "leftover",
    "lock",
    "misplaced journal",
    "misplaced session",
    "missing segment",
    "newer format",
    "no document",
    "no key",
    "orphan",
    "pin",
    "retention stamp",
    "summary index",
    "sweep candidates",
    "torn end",
    "trash",
    "unreadable",
]
"""The kinds of findings; the guide "The doctor" describes each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong in a store, or worth knowing.

    Attributes:
        kind: What it is about.
        place: Its key; for something that is not a document, where it is.
        reason: What is wrong, for a person to read.
        action: What `repair` would do: ``"move"`` it to quarantine, or ``"remove"`` it because it
            holds nothing; None if only a person can decide.
        harmless: Whether it is only a remark, and nothing is wrong.
        version: The version that was seen; None if it is not a document or cannot be read.
        anomaly: What the backend said, for something that is not a document.
    """

    kind: FindingKind
    place: str
    reason: str
    action: RepairAction | None = None
    harmless: bool = False
    version: Version | None = None
    anomaly: Anomaly | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found in a store.

    Attributes:
        store: The store's own name for itself.
        is_store: Whether it holds anything of statekeep's. If not, it is not repaired.
        examined: How many sessions, journals and documents were read.
        quarantined: How many documents are in quarantine from earlier repairs.
        findings: Everything that was found, by place.
    """

    store: str
    is_store: bool
    examined: int
    quarantined: int
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are wrong."""
        return tuple(each for each in self.findings if not each.harmless)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """The findings that are only remarks."""
        return tuple(each for each in self.findings if each.harmless)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Repaired:
    """A finding that was dealt with, and where it went; None if it was removed."""

    finding: Finding
    to: str | None


@dataclass(frozen=True, slots=True)
class RepairFailure:
    """A finding that could not be dealt with, and the error."""

    finding: Finding
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Attributes:
        repaired: Moved to quarantine or removed.
        skipped: Changed by someone else since it was seen, so left alone.
        failed: The store refused or did not answer; what was to be moved may be in both places.
        left: Findings without an action.
        swept: How many segments and attachments that no journal refers to were deleted: those that
            a sweep had already found a day ago.
    """

    repaired: tuple[Repaired, ...]
    skipped: tuple[Finding, ...]
    failed: tuple[RepairFailure, ...]
    left: tuple[Finding, ...]
    swept: int = 0

    @property
    def healthy(self) -> bool:
        """Whether nothing wrong is left."""
        return not (self.skipped or self.failed or any(not each.harmless for each in self.left))
