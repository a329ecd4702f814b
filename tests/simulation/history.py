"""Histories: drawn from a seed, run, judged, replayed, made smaller, and printed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final

from simulation import rules
from simulation.clocks import DAY, HOUR, MINUTE, SECOND, simulated
from simulation.model import Finding, Model
from simulation.scheduler import Scheduler
from simulation.store import CALM, Kind, SimulatedStore, Trouble
from simulation.workers import ACTS, JOURNAL_ACTS, Step, Worker, draw_policy
from statekeep.errors import StateStoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simulation.operations import Act, Operation, Policy
    from simulation.store import Effect

__all__ = ["History", "Plan", "draw", "replay", "run", "shrink"]

_YEAR = 365 * DAY
_IDS = ("s1", "s2")

# What a history is about, besides what is drawn; nothing can be done without sessions.
_THEMES: Final[tuple[tuple[Act, ...], ...]] = (
    ("update",),
    ("update", "discard", "prune", "restore"),
    ("update", "create", "prune", "restore"),
    ("update", "delete", "discard", "prune"),
    ("create", "update", "plant", "repair"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a history depends on.

    Attributes:
        seed: From which it was drawn.
        kind: What sort of store it is on.
        trouble: What goes wrong with calls.
        clocks: By how many microseconds the clock of each worker is ahead: it is set from one to
            another.
        retentions: What each worker goes by when it prunes in the background, if it does.
        ids: The sessions that there may be.
        steps: What is done.
    """

    seed: int
    kind: Kind
    trouble: Trouble
    clocks: tuple[tuple[int, ...], ...]
    retentions: tuple[Policy | None, ...]
    ids: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What became of a plan.

    Attributes:
        plan: The plan.
        findings: The rules that it broke, each once, in the order in which it broke them.
        trace: What happened, for a person.
        calls: How many calls of the store there were.
    """

    plan: Plan
    findings: tuple[Finding, ...]
    trace: tuple[str, ...]
    calls: int

    def breaks(self, rule: str) -> bool:
        """Whether it breaks a rule."""
        return any(finding.rule == rule for finding in self.findings)

    def __str__(self) -> str:
        plan = self.plan
        lines = [f"seed {plan.seed}: {plan.kind}, {plan.trouble}", *self.trace]
        lines += [f"broken: {finding.rule}: {finding.text}" for finding in self.findings]
        return "\n".join(lines)


def draw(seed: int) -> Plan:
    """Draw a history: who does what when, on which store, and what goes wrong."""
    chance = Random(seed)
    workers = chance.choice([2, 3, 3, 4])
    return Plan(
        seed,
        Kind(
            counted=chance.random() < 0.3,
            dated=chance.random() < 0.9,
            marked=chance.random() < 0.8,
            steps=chance.choice([0] * 8 + [MINUTE, 2 * HOUR]),
        ),
        _draw_trouble(chance),
        _draw_clocks(chance, workers),
        tuple([draw_policy(chance) if chance.random() < 0.2 else None for _ in range(workers)]),
        _IDS[: chance.choice([1, 1, 2])],
        tuple(_draw_steps(chance, workers)),
    )


def _draw_trouble(chance: Random) -> Trouble:
    """A third of the histories is calm; in the others few things go wrong, seldom or often.

    Half of those have a client that sends again: what that leads to is the least foreseen.
    """
    much = chance.choice([0.0, 0.1, 0.4])
    if not much:
        return CALM
    names = {*chance.sample([*Trouble.__dataclass_fields__], chance.randint(1, 2))}
    if chance.random() < 0.5:
        names.add("resent")
    return Trouble(**dict.fromkeys(sorted(names), much / len(names)))


def _draw_clocks(chance: Random, workers: int) -> tuple[tuple[int, ...], ...]:
    clocks: list[tuple[int, ...]] = [(0,)] * workers
    match chance.choice(["right", "right", "one is wrong", "all are a little wrong"]):
        case "one is wrong":
            clocks[0] = chance.choice([(_YEAR,), (-_YEAR,), (0, _YEAR), (0, -_YEAR)])
        case "all are a little wrong":
            far = chance.choice([SECOND, MINUTE, 2 * HOUR])
            clocks = [(chance.randint(-far, far), chance.randint(-far, far)) for _ in clocks]
    return tuple(clocks)


def _draw_steps(chance: Random, workers: int) -> Iterator[Step]:
    """Draw what is done: in shifts, in each of which all are busy, with days or minutes between."""
    # Few kinds of acts in each history, so that they meet.
    acts = {*chance.choice(_THEMES), *chance.sample(ACTS, chance.randint(1, 4))}
    if chance.random() < 0.35:
        of_journals = {"append", *chance.sample(JOURNAL_ACTS, chance.randint(1, 3))}
        acts = of_journals | (acts if chance.random() < 0.3 else set())
    kinds = [act for act in (*ACTS, *JOURNAL_ACTS) if act in acts]
    weights = [chance.randint(1, 4) for _ in kinds]
    number = at = 0
    for _ in range(chance.choice([1, 2, 2, 3])):
        for worker in range(workers):
            begins = at + int(chance.random() * chance.choice([0, SECOND // 10, MINUTE]))
            for act in chance.choices(kinds, weights, k=chance.randint(1, 6)):
                number += 1
                yield Step(number, worker, act, begins, chance.getrandbits(32))
        at += chance.choice([MINUTE, 20 * MINUTE, 3 * HOUR, 30 * HOUR, 10 * DAY])


def run(plan: Plan) -> History:
    """Let a history happen, and judge it. The same plan gives the same history."""
    scheduler: Scheduler[Operation] = Scheduler()
    trace: list[str] = []
    remarks: list[str] = []
    broken: dict[str, Finding] = {}

    def say(text: str, indent: str = "    ") -> None:
        operation = scheduler.current.operation
        who = f"{operation.who}{'*' if operation.act == 'background' else ''}"
        trace.append(f"{scheduler.now / SECOND:>14.6f} s  {who:<3}{indent}{text}")
        trace.extend(remarks)
        remarks.clear()

    def find(findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.rule not in broken:
                broken[finding.rule] = finding
                # The line about what broke it comes first.
                remarks.append(f"{'!':>16}  {finding.rule}: {finding.text}")

    def begin(operation: Operation) -> None:
        model.begin(operation)
        about: object = operation.policy if operation.goes_by_policy else operation.subject
        offset = scheduler.current.process.offset
        clock = f", its clock {offset / SECOND:+g} s" if offset else ""
        trace.append(
            f"{scheduler.now / SECOND:>14.6f} s  {operation.who:<3}{operation.act} {about}{clock}"
        )

    def hear(operation: Operation, result: object) -> None:
        find(rules.after_operation(model, operation, result))
        say(f"-> {_brief(result)}", "  ")

    def on_effect(effect: Effect) -> None:
        find(rules.after_effect(model, effect))

    store = SimulatedStore(scheduler, plan.kind, plan.trouble, on_effect, say)
    model = Model(store, right_clocks=not any(map(any, plan.clocks)))
    with simulated(scheduler):
        for number, clocks in enumerate(plan.clocks):
            worker = Worker(
                f"w{number + 1}",
                [step for step in plan.steps if step.worker == number],
                clocks=clocks,
                retention=plan.retentions[number],
                ids=plan.ids,
                scheduler=scheduler,
                store=store,
                begin=begin,
                hear=hear,
            )
            worker.start()
        scheduler.run()
    find(Finding("workers_end_well", repr(error)) for error in scheduler.broken)
    find(rules.at_the_end(model))
    return History(plan, tuple(broken.values()), (*trace, *remarks), store.calls)


def replay(seed: int) -> History:
    """Let the history of a seed happen again."""
    return run(draw(seed))


def shrink(history: History, rule: str) -> History:
    """Leave out steps, and trouble, as long as the rule is still broken."""
    smallest = history
    for change in (_leave_out, _calm):
        again = True
        while again:
            again = False
            for step in reversed(smallest.plan.steps):
                plan = change(smallest.plan, step)
                if plan == smallest.plan:
                    continue
                smaller = run(plan)
                if smaller.breaks(rule):
                    smallest, again = smaller, True
    return smallest


def _leave_out(plan: Plan, step: Step) -> Plan:
    return replace(plan, steps=tuple(each for each in plan.steps if each.number != step.number))


def _calm(plan: Plan, step: Step) -> Plan:
    steps = (replace(e, calm=True) if e.number == step.number else e for e in plan.steps)
    return replace(plan, steps=tuple(steps))


def _brief(result: object) -> str:
    if isinstance(result, StateStoreError):
        return f"{type(result).__name__}: {result.message} (landed: {result.landed})"
    return f"{type(result).__name__}" if not isinstance(result, bool | int | None) else f"{result}"
