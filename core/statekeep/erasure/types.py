"""What an erasure plans and reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from statekeep.errors import StateStoreError
    from statekeep.format.record import Problem
    from statekeep.store.protocol import Version

__all__ = [
    "ErasureFailure",
    "ErasurePlan",
    "ErasureReport",
    "ErasureVictim",
    "Mention",
    "Thoroughness",
    "VictimKind",
]

VictimKind = Literal[
    "attachment",
    "blob",
    "document",
    "index",
    "journal",
    "quarantined",
    "segment",
    "session",
    "trashed",
]
"""What a victim of an erasure is."""

Thoroughness = Literal["heads", "everything"]
"""What an erasure reads to find the user's id: all sessions, heads of journals, copies in the
trash, what is in quarantine and the indexes; or documents, blobs, segments and attachments, too."""


@dataclass(frozen=True, slots=True)
class ErasureVictim:
    """What an erasure deletes.

    Attributes:
        key: Where it lies.
        kind: What it is.
        size: Bytes.
        reason: Why it is the user's, for a person.
        version: What was seen; None of what nobody changes (a segment, an attachment) and of an
            index, which go whatever they are.
        fingerprint: The `Blob.fingerprint` that came with it.
        uid: The journal's that it is, or that it belongs to.
    """

    key: str
    kind: VictimKind
    size: int
    reason: str
    version: Version | None = field(default=None, repr=False)
    fingerprint: str | None = field(default=None, repr=False, compare=False)
    uid: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Mention:
    """What is not the user's, or not known to be, and has the user's id in it.

    An erasure leaves it alone: a person must look at it.

    Attributes:
        key: Where it lies.
        reason: Where the id is.
    """

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure would delete. It reads and changes nothing; `erase` carries it out.

    Attributes:
        store: The store it was made for.
        user_id: The user.
        documents: The patterns of documents and blobs that were asked for.
        victims: What would be deleted.
        problems: What cannot be read, so that nobody can say whose it is; it is never deleted.
        mentions: What is not the user's and has the id in it; it is left alone, too.
        remains: What the store says that no erasure reaches.
        unnamed: As of an `ErasureReport`.
    """

    store: str
    user_id: str
    documents: tuple[str, ...]
    victims: tuple[ErasureVictim, ...]
    problems: tuple[Problem, ...]
    mentions: tuple[Mention, ...]
    remains: tuple[str, ...]
    unnamed: int = 0


@dataclass(frozen=True, slots=True)
class ErasureFailure:
    """What could not be done, and the error that was met.

    Attributes:
        victim: What was to be deleted; None for what is done to the whole store at the end.
        error: Why it may still be there.
    """

    victim: ErasureVictim | None
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure did, and what a scan found after it.

    Attributes:
        erased: Deleted by this erasure.
        skipped: Changed or gone since the plan, and so not deleted; what is still there is in
            `left`, too.
        failed: The store refused or did not answer.
        left: What of the user's is there now: saved meanwhile, moved, or not deleted. Another
            erasure takes it.
        problems: What cannot be read now, so that nobody can say whose it is: look yourself.
        mentions: What is not the user's and has the id in it now.
        remains: What the store says that no erasure reaches.
        unnamed: How many segments and attachments belong to no journal, whose journal was deleted
            or is yet to be made. Whose they are nobody can say; if that is still so, a sweep
            deletes them, in two runs a day apart.
    """

    erased: tuple[ErasureVictim, ...]
    skipped: tuple[ErasureVictim, ...]
    failed: tuple[ErasureFailure, ...]
    left: tuple[ErasureVictim, ...]
    problems: tuple[Problem, ...]
    mentions: tuple[Mention, ...]
    remains: tuple[str, ...]
    unnamed: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing of the user's is left, as far as the store can be read."""
        return not (self.left or self.failed or self.problems)
