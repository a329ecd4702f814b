"""What workers do: each step of each is drawn from the seed before anybody begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final, get_args

from simulation.journals import COLLECTION, JOURNAL, NAME, Asked
from simulation.operations import Act, Operation, Policy
from simulation.rules import PERIOD
from simulation.scheduler import Crash, Process
from simulation.states import NOTE
from statekeep import SKIP, Documents, Journals, NotFoundError, Session, Sessions
from statekeep.doctor import diagnose, repair
from statekeep.retention import Retention, Victim
from statekeep.store.keys import session_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from simulation.scheduler import Scheduler
    from simulation.store import SimulatedStore
    from statekeep import Summary
    from statekeep.journals import Draft
    from statekeep.retention import PrunePlan

__all__ = ["ACTS", "JOURNAL_ACTS", "Step", "Worker", "draw_policy"]

_USER = "ada"
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MONTH = timedelta(days=30)

JOURNAL_ACTS: Final[tuple[Act, ...]] = ("append", "change", "erase", "read")
"""What a worker does to the journal."""

ACTS: Final = tuple(act for act in get_args(Act) if act != "background" and act not in JOURNAL_ACTS)
"""What else a worker does when it is told to."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that one worker is to do.

    Attributes:
        number: Which of the history.
        worker: Which worker.
        act: What.
        at: When, at the earliest, in microseconds since the beginning.
        seed: From which all else of it is drawn.
        calm: Whether nothing goes wrong with its calls.
    """

    number: int
    worker: int
    act: Act
    at: int
    seed: int
    calm: bool = False


class Worker:
    """A process that does its steps one after the other; if it dies, another goes on.

    Args:
        name: Its name.
        steps: What it does.
        clocks: By how many microseconds its clock is ahead; it is set from one to another.
        retention: What it goes by when it prunes in the background; None if it does not.
        ids: Of which sessions it takes one.
        scheduler: Runs it.
        store: Where it works.
        begin: Told of each operation.
        hear: Told what each operation gave back or raised.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[Step],
        *,
        clocks: Sequence[int],
        retention: Policy | None,
        ids: Sequence[str],
        scheduler: Scheduler[Operation],
        store: SimulatedStore,
        begin: Callable[[Operation], object],
        hear: Callable[[Operation, object], object],
    ) -> None:
        self._name = name
        self._steps = steps
        self._clocks = clocks
        self._retention = retention
        self._ids = ids
        self._scheduler = scheduler
        self._store = store
        self._begin = begin
        self._hear = hear
        self._open()

    def start(self) -> None:
        """Let it begin, when the scheduler runs."""
        self._scheduler.start(self._process, Operation(self._name, "load", Random(0)), self._work)

    def _open(self) -> None:
        self._process = Process(self._clocks[0])
        retention = None
        if (policy := self._retention) is not None:
            retention = Retention(
                _Strategy(policy, self._scheduler),
                every=PERIOD,
                trash=policy.trash,
                min_idle=policy.min_idle,
            )
        self._sessions = Sessions(self._store, retention=retention)
        self._documents = Documents(self._store)
        self._journals = Journals(self._store, COLLECTION)
        self._journal = self._journals.open(NAME)
        self._held: dict[str, Session] = {}
        self._planned: tuple[PrunePlan, Operation] | None = None

    def _work(self) -> None:
        task = self._scheduler.current
        for step in self._steps:
            task.operation = operation = Operation(
                self._name, step.act, Random(step.seed), step.calm, background=self._background
            )
            try:
                self._scheduler.sleep(max(0, step.at - self._scheduler.now))
                self._do(operation, f"{self._name}.{step.number}")
            except Crash:
                self._open()
                task.process = self._process
        self._sessions.close()

    def _background(self) -> Operation:
        assert self._retention is not None
        saving = self._scheduler.current.operation
        chance = Random(saving.chance.random())
        operation = Operation(self._name, "background", chance, saving.calm, policy=self._retention)
        self._begin(operation)
        return operation

    def _do(self, operation: Operation, message: str) -> None:
        """Do one thing.

        Args:
            operation: What.
            message: What nobody else writes.
        """
        if operation.chance.random() < 0.2:
            self._process.offset = operation.chance.choice(self._clocks)
        self._operation, self._message = operation, message
        self._id = operation.chance.choice(self._ids)
        operation.subject = NOTE if operation.act == "note" else session_key(self._id)
        if operation.act in JOURNAL_ACTS:
            self._draw_journal(operation)
        self._draw_policy(operation)
        self._begin(operation)
        try:
            result = getattr(self, f"_{operation.act}")()
        except Exception as error:  # noqa: BLE001 - the rules judge it
            result = error
        self._hear(operation, result)

    def _draw_policy(self, operation: Operation) -> None:
        chance = operation.chance
        match operation.act:
            case "plan":
                operation.policy = draw_policy(chance)
            case "prune":
                operation.policy = draw_policy(chance)
                # By a plan that was made before, if there is one.
                if self._planned is not None and chance.random() < 0.5:
                    planning = self._planned[1]
                    operation.policy = replace(planning.policy, trash=operation.policy.trash)
                    operation.planned = planning.planned
                    operation.has_plan = True
            case "empty":
                operation.policy = Policy(trash=chance.choice([timedelta(0), _HOUR, _DAY, _MONTH]))

    def _draw_journal(self, operation: Operation) -> None:
        chance = operation.chance
        operation.subject = JOURNAL
        if chance.random() < 0.3:
            self._journal = self._journals.open(NAME)
        operation.uid = self._journal._uid
        item = self._message + chance.choice(["", "", "x" * 100, "x" * 800])
        match operation.act:
            case "append":
                key = chance.choice([None, None, "k1", "k2"])
                operation.asked = Asked("append", (item,), key)
            case "change":
                how = chance.choice(["append", "pop", "pop", "truncate", "clear"])
                items = (item,) if how == "append" else ()
                operation.asked = Asked(how, items, keep=chance.randrange(4))  # type: ignore[arg-type]
            case "erase":
                operation.asked = Asked("erase")
            case "read":
                operation.asked = Asked("read")

    def _append(self) -> object:
        asked = self._operation.asked
        assert asked is not None
        return self._journal.append(asked.items, key=asked.key)

    def _change(self) -> object:
        asked = self._operation.asked
        assert asked is not None

        def change(draft: Draft) -> object:
            match asked.how:
                case "append":
                    draft.append(asked.items)
                case "pop":
                    return draft.pop() if draft.length else SKIP
                case "truncate":
                    draft.truncate(asked.keep)
                case "clear":
                    draft.clear()
            return None

        return self._journal.change(change)

    def _erase(self) -> object:
        return self._journal.delete()

    def _read(self) -> object:
        return self._journal.read()

    def _create(self) -> object:
        session = self._held[self._id] = self._sessions.get_or_create(_USER, self._id)
        return session

    def _load(self) -> object:
        session = self._sessions.load(self._id)
        if session is not None:
            self._held[self._id] = session
        return session

    def _save(self) -> object:
        """Save what was loaded, perhaps long ago."""
        session = self._held.get(self._id) or self._sessions.load(self._id)
        if session is None:
            return None
        self._held[self._id] = session
        session.add_user_message(self._message)
        self._sessions.save(session)
        return session

    def _update(self) -> object:
        """Add a self._message, and come back if the session is gone."""

        def change(session: Session) -> None:
            session.add_user_message(self._message)

        try:
            session = self._sessions.update(self._id, change)
        except NotFoundError:
            self._sessions.get_or_create(_USER, self._id)
            session = self._sessions.update(self._id, change)
        self._held[self._id] = session
        return session

    def _pin(self) -> object:
        return self._sessions.pin(self._id)

    def _unpin(self) -> object:
        return self._sessions.unpin(self._id)

    def _delete(self) -> object:
        return self._sessions.delete(self._id)

    def _discard(self) -> object:
        return self._sessions.delete(self._id, trash=True)

    def _restore(self) -> object:
        return self._sessions.restore(self._id)

    def _list(self) -> object:
        return self._sessions.list()

    def _plan(self) -> object:
        policy = self._operation.policy
        plan = self._sessions.plan_prune(
            _Strategy(policy, self._scheduler), min_idle=policy.min_idle
        )
        self._planned = plan, self._operation
        return plan

    def _prune(self) -> object:
        policy = self._operation.policy
        if self._operation.has_plan and self._planned is not None:
            return self._sessions.prune(self._planned[0], trash=policy.trash)
        return self._sessions.prune(
            _Strategy(policy, self._scheduler), min_idle=policy.min_idle, trash=policy.trash
        )

    def _empty(self) -> object:
        assert self._operation.policy.trash is not None
        return self._sessions.empty_trash(older_than=self._operation.policy.trash)

    def _note(self) -> object:
        """Add to a document."""
        category, _, name = NOTE.removesuffix(".json").partition("/")
        return self._documents.update(category, name, lambda value: [*(value or []), self._message])

    def _plant(self) -> object:
        """Leave something that is no session where one might be."""
        self._store.plant(session_key(self._id), f"{{damaged by {self._message}".encode())
        return None

    def _repair(self) -> object:
        return repair(self._store, diagnose(self._store))


def draw_policy(chance: Random) -> Policy:
    """Draw what a prune goes by: mostly it takes all that there is."""
    trash = chance.choice([None, timedelta(0), _DAY, _DAY, _MONTH])
    if chance.random() < 0.6:
        return Policy(trash=trash)
    return Policy(
        ttl=chance.choice([None, _HOUR, 2 * _DAY]),
        keep=chance.choice([0, 1]),
        min_idle=chance.choice([timedelta(0), _HOUR]),
        trash=trash,
    )


@dataclass(frozen=True, slots=True)
class _Strategy:
    """Chooses by a policy, and tells the operation that runs that it plans."""

    policy: Policy
    scheduler: Scheduler[Operation]

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:
        self.scheduler.current.operation.plan()
        ttl = self.policy.ttl
        for summary in summaries[self.policy.keep :]:
            if ttl is None or now - summary.updated_at > ttl:
                yield Victim(summary, "chosen")
