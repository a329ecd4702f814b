"""What is known of a history from outside: who did what, what landed, what was acknowledged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.journals import JOURNAL, JournalState, read_journal, said_of
from simulation.states import holds_facts, is_copy, is_copy_of, is_session, read_state
from statekeep.doctor import RepairReport
from statekeep.retention import PruneReport

if TYPE_CHECKING:
    from simulation.operations import Operation
    from simulation.store import Effect, SimulatedStore

__all__ = ["Finding", "Model"]


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
        journal: What the journal was, each time with the number of the effect since which.
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
        self.journal: list[tuple[int, JournalState | None]] = [(0, None)]
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
        if effect.key == JOURNAL:
            after = effect.after
            state = None if after is None else read_journal(after.data, self.store.documents)
            self.journal.append((effect.number, state))
        if not holds_facts(effect.key):
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
        operation.landed = said_of(result)
        if isinstance(result, PruneReport | RepairReport):
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
        elif by.empties(effect):
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
