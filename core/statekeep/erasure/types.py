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
"""The kinds of victims of an erasure."""

Thoroughness = Literal["heads", "everything"]
"""What an erasure reads to find the user's id. ``"heads"``: sessions, heads of journals, the trash,
quarantine and indexes. ``"everything"``: documents, blobs, segments and attachments, too."""


@dataclass(frozen=True, slots=True)
class ErasureVictim:
    """A document that an erasure deletes.

    Attributes:
        key: Its key.
        kind: What it is.
        size: Its size in bytes.
        reason: Why it counts as the user's, in words.
        version: The version that was read. None for segments and attachments, which never change,
            and for indexes; these are deleted whatever their version.
        fingerprint: The `Blob.fingerprint` that came with it.
        uid: The uid of the journal that it is or belongs to, if any.
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
    """A document that contains the user's id, but is not known to belong to the user.

    An erasure leaves it alone; look at it yourself.

    Attributes:
        key: Its key.
        reason: Where in it the id is.
    """

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure would delete; `erase` carries it out.

    Attributes:
        store: The store it was made for.
        user_id: The user.
        documents: The patterns of documents and blobs that were passed.
        victims: What would be deleted.
        problems: Documents that cannot be read, so their owner is unknown; never deleted.
        mentions: Documents that contain the id but are not known to be the user's; left alone, too.
        remains: What the store says no erasure can reach.
        unnamed: As in `ErasureReport`.
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
    """Something that an erasure failed to do.

    Attributes:
        victim: What was to be deleted; None for a step that concerns the whole store.
        error: The error, because of which it may still be there.
    """

    victim: ErasureVictim | None
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure did, and what a scan found afterwards.

    Attributes:
        erased: What this erasure deleted.
        skipped: What changed or disappeared after it was planned, and was not deleted; whatever is
            still there is also in `left`.
        failed: What could not be done, because the store refused or did not answer.
        left: What the user still has: saved meanwhile, moved, or not deleted. Erase again to
            delete it.
        problems: Documents that cannot be read, so their owner is unknown; look at them yourself.
        mentions: Documents that contain the id but are not known to be the user's.
        remains: What the store says no erasure can reach.
        unnamed: How many segments and attachments belong to no journal: it was deleted, or is not
            written yet. Their owner is unknown. If they still belong to none, a sweep deletes them,
            in two runs a day apart.
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
        """Whether nothing of the user is left, as far as the store can be read."""
        return not (self.left or self.failed or self.problems)
