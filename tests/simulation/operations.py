"""One thing that a worker does, and what is seen of it from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from simulation.journals import Asked
    from simulation.store import Effect, Stored
    from statekeep.doctor import RepairReport
    from statekeep.retention import PruneReport

__all__ = ["Act", "Operation", "Policy", "Read"]

Act = Literal[
    "append",
    "background",
    "change",
    "create",
    "delete",
    "discard",
    "empty",
    "erase",
    "list",
    "load",
    "note",
    "pin",
    "plan",
    "plant",
    "prune",
    "read",
    "repair",
    "restore",
    "save",
    "unpin",
    "update",
]
"""What a worker does; to discard is to delete into the trash. To append, change, read and erase are
of the journal."""


class Read(NamedTuple):
    """What an operation read at a key, and after which effect."""

    document: Stored | None
    number: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What a prune, or whoever empties the trash, goes by.

    Attributes:
        ttl: What was updated within this time is not chosen; None if that does not matter.
        keep: How many of the newest that remain are not chosen either.
        min_idle: What was written within this time is not chosen.
        trash: How long copies stay in the trash; None if there is none.
    """

    ttl: timedelta | None = None
    keep: int = 0
    min_idle: timedelta = timedelta(0)
    trash: timedelta | None = None

    def __str__(self) -> str:
        """All of it in a few words."""
        return f"ttl {self.ttl}, keep {self.keep}, min_idle {self.min_idle}, trash {self.trash}"


@dataclass(slots=True)
class Operation:
    """One thing that a worker does.

    Attributes:
        who: The worker.
        act: What.
        chance: Draws all that is left to chance in it.
        calm: Whether nothing goes wrong with its calls.
        began: The number of the last effect before it.
        subject: The key that it is about, if it is about one.
        copies_then: The copies that there were when it began.
        policy: What it goes by.
        reads: What it read last, by key.
        planned: What its plan was made from, by key.
        has_plan: Whether it was given its plan.
        effects: What it did.
        troubled: The keys of calls that something went wrong with.
        report: What a prune or a repair reported.
        asked: What it asks of the journal, if anything.
        uid: Of the journal that its handle knows.
        landed: What it was told of that.
        background: Makes the operation of a thread that the library starts in it.
    """

    who: str
    act: Act
    chance: Random
    calm: bool = True
    began: int = 0
    subject: str = ""
    copies_then: Mapping[str, Stored] = field(default_factory=dict)
    policy: Policy = Policy()
    reads: dict[str, Read] = field(default_factory=dict)
    planned: dict[str, Read] = field(default_factory=dict)
    has_plan: bool = False
    effects: list[Effect] = field(default_factory=list)
    troubled: set[str] = field(default_factory=set)
    report: PruneReport | RepairReport | None = None
    asked: Asked | None = None
    uid: str | None = None
    landed: str | None = None
    background: Callable[[], Operation] | None = None

    def read(self, key: str, document: Stored | None, number: int) -> None:
        """Take note of what it read."""
        self.reads[key] = Read(document, number)

    def plan(self) -> None:
        """Take note that a plan is made from what was read until now."""
        if not self.has_plan:
            self.planned = dict(self.reads)

    def seen(self, key: str) -> Read | None:
        """What it goes by when it deletes what lies at a key."""
        return (self.planned if self.prunes else self.reads).get(key)

    @property
    def prunes(self) -> bool:
        """Whether it prunes."""
        return self.act in {"background", "prune"}

    @property
    def goes_by_policy(self) -> bool:
        """Whether it goes by a policy."""
        return self.prunes or self.act in {"empty", "plan"}

    @property
    def moves(self) -> bool:
        """Whether it moves sessions into the trash."""
        return self.act == "discard" or (self.prunes and self.policy.trash is not None)

    def empties(self, effect: Effect) -> bool:
        """Whether it is because of its age that it deletes a copy.

        It then has listed it before, which nobody has who takes back a copy of his own.
        """
        return self.policy.trash is not None and effect.was_read

    def deleted(self, key: str) -> bool:
        """Whether it deleted what lay at a key."""
        return any(effect.key == key and effect.after is None for effect in self.effects)

    def made(self, key: str) -> bool:
        """Whether what lies at a key was put there by it, and by nobody else."""
        return any(effect.key == key and effect.before is None for effect in self.effects)
