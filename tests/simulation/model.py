"""What is known of a history from outside: who does what, what landed, what was acknowledged."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from statekeep.format.summary import PIN
from statekeep.retention import PruneReport
from statekeep.store.keys import QUARANTINE, SESSIONS, TRASH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from simulation.store import Effect, SimulatedStore, Stored

__all__ = [
    "NOTE",
    "Act",
    "Finding",
    "Model",
    "Operation",
    "Policy",
    "Read",
    "State",
    "is_copy",
    "is_copy_of",
    "is_session",
    "read_state",
]

NOTE = "notes/log.json"
"""The one document that is no session: a list of texts."""

Act = Literal[
    "background",
    "create",
    "delete",
    "discard",
    "empty",
    "list",
    "load",
    "note",
    "pin",
    "plan",
    "plant",
    "prune",
    "repair",
    "restore",
    "save",
    "unpin",
    "update",
]
"""What a worker does; to discard is to delete into the trash."""


class State(NamedTuple):
    """What a document says.

    Attributes:
        facts: What must not be lost: each message, and for a session that it was created.
        updated_at: When a session says that it was updated; None for what is no session.
        pinned: Whether a session is pinned for ever.
    """

    facts: frozenset[str]
    updated_at: datetime | None
    pinned: bool


@lru_cache(maxsize=4096)
def read_state(data: bytes) -> State:
    """Read a document without the library. What cannot be read is a fact as it is."""
    try:
        fields = json.loads(data)
    except ValueError:
        return State(frozenset({data.decode()}), None, pinned=False)
    if isinstance(fields, list):
        return State(frozenset(fields), None, pinned=False)
    return State(
        frozenset(
            {
                f"{fields['id']} created at {fields['created_at']}",
                *(message["content"] for message in fields["user_messages"]),
            }
        ),
        datetime.fromisoformat(fields["updated_at"]),
        pinned=fields["metadata"].get(PIN) is True,
    )


def is_session(key: str) -> bool:
    """Whether a live session lies there."""
    return key.startswith(f"{SESSIONS}/")


def is_copy(key: str) -> bool:
    """Whether a copy lies there, in the trash or in quarantine."""
    return key.startswith((f"{TRASH}/", f"{QUARANTINE}/"))


def is_copy_of(copy: str, key: str) -> bool:
    """Whether a copy of what lies, or lay, at a key lies at another, by its name."""
    return is_copy(copy) and copy.endswith((f"-{key.partition('/')[2]}", f"/{key}"))


def _counts(key: str) -> bool:
    return is_session(key) or is_copy(key) or key == NOTE


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
        report: What a prune reported.
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
    report: PruneReport | None = None
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

    def empties(self, copy: str) -> bool:
        """Whether it is because of its age that it deletes a copy.

        It then has listed it, which nobody does who takes back a copy of his own.
        """
        return self.policy.trash is not None and copy in self.reads

    def deleted(self, key: str) -> bool:
        """Whether it deleted what lay at a key."""
        return any(effect.key == key and effect.after is None for effect in self.effects)

    def made(self, key: str) -> bool:
        """Whether what lies at a key was put there by it, and by nobody else."""
        return any(effect.key == key and effect.before is None for effect in self.effects)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule.

    Attributes:
        rule: Its name.
        text: What was seen.
    """

    rule: str
    text: str


class Model:
    """What a history has come to.

    Attributes:
        store: The store.
        right_clocks: Whether the workers' clocks are right.
        operations: All that was begun.
        known: Each fact that ever landed.
        given_up: Facts that someone was entitled to delete for good, and did.
        emptied: Copies that someone was entitled to delete for good, and did.
        deleted: The keys and facts of sessions of which a worker was told that they are deleted
            for good.
        sources: By the key of a copy, when the store says that its source was written.
    """

    def __init__(self, store: SimulatedStore, *, right_clocks: bool) -> None:
        self.store = store
        self.right_clocks = right_clocks
        self.operations: list[Operation] = []
        self.known: set[str] = set()
        self.given_up: set[str] = set()
        self.emptied: set[str] = set()
        self.deleted: list[tuple[str, frozenset[str]]] = []
        self.sources: dict[str, int] = {}
        self._places: Counter[str] = Counter()

    @property
    def tells_time(self) -> bool:
        """Whether the store has a right clock and shows it."""
        return self.store.kind.dated and not self.store.kind.steps

    def begin(self, operation: Operation) -> None:
        """An operation begins."""
        operation.began = self.store.effects
        operation.copies_then = {
            key: document for key, document in self.store.documents.items() if is_copy(key)
        }
        self.operations.append(operation)

    def take(self, effect: Effect) -> frozenset[str]:
        """Take note of an effect.

        Returns:
            The facts that are nowhere any more, and that nobody was entitled to delete.
        """
        effect.by.effects.append(effect)
        if not _counts(effect.key):
            return frozenset()
        gone = read_state(effect.before.data).facts if effect.before else frozenset()
        come = read_state(effect.after.data).facts if effect.after else frozenset()
        self._places.update(come)
        self._places.subtract(gone)
        self.known |= come
        if effect.after is not None and is_copy(effect.key):
            for key, (source, _) in effect.by.reads.items():
                if source and source.data == effect.after.data and is_copy_of(effect.key, key):
                    self.sources[effect.key] = source.moment
        if is_session(effect.key):
            self.given_up -= come
        if gone and effect.after is None:
            self._give_up(effect, gone)
        return frozenset(fact for fact in gone if not self._places[fact]) - self.given_up

    def hear(self, operation: Operation, result: object) -> None:
        """Take note of what an operation gave back."""
        if isinstance(result, PruneReport):
            operation.report = result
        if operation.act == "delete" and result is True:
            for effect in operation.effects:
                if effect.before is not None and effect.after is None:
                    self.deleted.append((effect.key, read_state(effect.before.data).facts))

    def _give_up(self, effect: Effect, gone: frozenset[str]) -> None:
        by = effect.by
        if is_session(effect.key):
            if by.act == "delete" or (by.prunes and by.policy.trash is None):
                self.given_up |= gone
            elif any(by.made(key) and is_copy_of(key, effect.key) for key in self.emptied):
                # Someone emptied the trash of the copy meanwhile, as if the move had come first.
                self.given_up |= gone
        elif by.empties(effect.key):
            self.emptied.add(effect.key)
            self.given_up |= gone - self.live_facts()

    def live_facts(self) -> frozenset[str]:
        """The facts in live sessions."""
        documents = self.store.documents.items()
        return frozenset().union(
            *(read_state(document.data).facts for key, document in documents if is_session(key))
        )

    def facts(self) -> frozenset[str]:
        """The facts that are anywhere."""
        return frozenset(+self._places)
