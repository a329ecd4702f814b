"""What must hold. Each rule is a promise of the documentation, and says when it is broken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from simulation.clocks import DAY, as_datetime
from simulation.journals import (
    a_change_does_what_was_asked,
    a_handle_stays_with_its_journal,
    a_named_segment_is_there,
    a_read_is_a_state_that_was,
    an_append_is_one,
    what_a_journal_acknowledges_is_there,
    what_is_said_not_to_land_does_not,
)
from simulation.model import Finding
from simulation.states import NOTE, is_copy, is_copy_of, is_session, read_state
from statekeep import Listing, Session, StateStoreError
from statekeep.doctor import RepairReport
from statekeep.documents import Document
from statekeep.retention import PruneReport
from statekeep.store.keys import STAMP, session_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from simulation.model import Model
    from simulation.operations import Operation
    from simulation.store import Effect, Stored

__all__ = ["NAMES", "PERIOD", "after_effect", "after_operation", "at_the_end"]

PERIOD: Final = timedelta(minutes=5)
"""The least time between two background prunes in all simulated fleets."""

_CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""By so much the present of a prune may differ from the store's."""


@dataclass(frozen=True, slots=True)
class Change:
    """An effect, and what it leads to.

    Attributes:
        model: What is known; it has taken note of the effect.
        effect: The effect.
        gone: What is nowhere any more, and nobody was entitled to delete.
    """

    model: Model
    effect: Effect
    gone: frozenset[str]

    @property
    def by(self) -> Operation:
        return self.effect.by

    @property
    def key(self) -> str:
        return self.effect.key

    @property
    def before(self) -> Stored | None:
        return self.effect.before

    @property
    def after(self) -> Stored | None:
        return self.effect.after

    @property
    def deleted(self) -> Stored | None:
        """The live session that it deletes, if it does."""
        return self.before if self.after is None and is_session(self.key) else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation gave back, or the error that it raised."""

    model: Model
    operation: Operation
    result: object


# After an effect.


def nothing_vanishes(change: Change) -> str | None:
    """What was stored is live, in the trash or in quarantine until someone may delete it for good.

    Those may: an explicit delete, a prune without a trash, whoever empties the trash.
    """
    if not change.gone or a_restored_session_stays(change):
        return None
    by = change.by
    return f"{by.act} of {by.who} deleted {change.key}, the last place of {_all(change.gone)}"


def no_update_is_overwritten(change: Change) -> str | None:
    """Who saves a session loses nothing that another saved meanwhile."""
    if change.before is None or change.after is None or not _matters(change.key):
        return None
    lost = read_state(change.before.data).facts - read_state(change.after.data).facts
    if not lost:
        return None
    return f"{change.by.act} of {change.by.who} overwrote {change.key} and with it {_all(lost)}"


def a_restored_session_stays(change: Change) -> str | None:
    """No delete that was on its way hits a session that was restored since."""
    before = change.deleted
    if before is None or before.by.act != "restore":
        return None
    seen = change.by.seen(change.key)
    if seen is not None and seen.number >= before.written:
        return None
    if seen is not None and seen.document is not None and seen.document.by is before.by:
        return None  # a client that sent it again restored it twice
    return (
        f"{change.by.act} of {change.by.who} deleted {change.key}, "
        f"which {before.by.who} restored after that was planned"
    )


def a_pinned_session_is_not_pruned(change: Change) -> str | None:
    """Pinned sessions are never pruned."""
    before = change.deleted
    if before is None or not change.by.prunes or not read_state(before.data).pinned:
        return None
    return f"{change.by.who} pruned {change.key}, which is pinned"


def a_prune_spares_what_was_saved(change: Change) -> str | None:
    """A prune deletes only what its plan saw; so do a delete and a repair.

    That the same bytes are there again does not count, because versions may be hashes.
    """
    before = change.deleted
    if before is None:
        return None
    seen = change.by.seen(change.key)
    if seen and seen.document and seen.document.data == before.data:
        return None
    return f"{change.by.act} of {change.by.who} deleted {change.key}, which it had not seen so"


def a_repair_spares_what_is_sound(change: Change) -> str | None:
    """The doctor moves away only what cannot be read."""
    before = change.deleted
    if before is None or change.by.act != "repair":
        return None
    if read_state(before.data).updated_at is None:
        return None
    return f"{change.by.who} moved {change.key} to quarantine, which is sound"


def a_wrong_clock_deletes_nothing_young(change: Change) -> str | None:
    """On a store with a clock of its own, pruning and emptying the trash go by that clock."""
    by, before, policy, store = change.by, change.before, change.by.policy, change.model.store
    if before is None or change.after is not None or not change.model.tells_time:
        return None
    age = timedelta(microseconds=store.now - before.moment)
    if change.deleted and by.prunes:
        updated_at = read_state(before.data).updated_at
        if policy.ttl is not None and updated_at is not None:
            idle = as_datetime(store.now) - updated_at
            if idle + _CLOCKS_DIFFER < policy.ttl:
                return f"{by.who} pruned {change.key}, which was updated {idle} ago"
        seen = by.seen(change.key)
        if seen and seen.document and seen.document.data == before.data:
            # The same bytes written again meanwhile do not count, because versions may be hashes.
            age = timedelta(microseconds=store.now - seen.document.moment)
        if age + _CLOCKS_DIFFER < policy.min_idle:
            return f"{by.who} pruned {change.key}, which was written {age} ago"
    if is_copy(change.key) and by.empties(change.effect) and policy.trash is not None:
        early = age + _CLOCKS_DIFFER < policy.trash
        return f"{by.who} emptied the trash of {change.key}, {age} old" if early else None
    return None


def the_trash_does_not_pile_up(change: Change) -> str | None:
    """No prune and no repair adds to a copy of the same bytes that is less than a day old."""
    by, after, store = change.by, change.after, change.model.store
    if after is None or not is_copy(change.key) or not change.model.tells_time:
        return None
    if not (by.prunes or by.act == "repair"):
        return None
    key = next((key for key in by.reads if is_copy_of(change.key, key)), None)
    for copy, document in by.copies_then.items():
        if (
            document.data == after.data
            and store.documents.get(copy) is document
            and store.now - document.moment < DAY
            and (key is None or is_copy_of(copy, key))
        ):
            return f"{by.act} of {by.who} put {change.key} beside the equal {copy}"
    return None


def restore_brings_back_the_newest(change: Change) -> str | None:
    """Restoring takes the copy with the greatest `updated_at`, and the last written of equals.

    Copies count that were there from before it began until its end.
    """
    by, after = change.by, change.after
    if after is None or not is_session(change.key) or by.act != "restore":
        return None
    state = read_state(after.data)
    taken = [
        _age(change.model, key, read.document)
        for key, read in by.reads.items()
        if read.document and is_copy_of(key, change.key) and read_state(read.document.data) == state
    ]
    for key, document in by.copies_then.items():
        if change.model.store.documents.get(key) is document and is_copy_of(key, change.key):
            age = _age(change.model, key, document)
            if taken and all(_is_newer(age, than) for than in taken):
                return f"{by.who} restored the state of {state.updated_at} and not that of {key}"
    return None


def one_background_prune_a_period(change: Change) -> str | None:
    """In a fleet of right clocks, background prunes begin no more often than they are asked to."""
    if change.key != STAMP or change.by.act != "background" or not change.model.right_clocks:
        return None
    before, after = change.before, change.after
    if (
        before is None
        or after is None
        or before.by.act != "background"
        or not change.model.tells_time
    ):
        return None
    pause = timedelta(microseconds=after.moment - before.moment)
    return f"{change.by.who} claimed a prune {pause} after the last" if pause < PERIOD else None


# After an operation.


def what_was_acknowledged_is_stored(answer: Answer) -> str | None:
    """A session that was given back as stored was stored; what certainly did not land did not."""
    if isinstance(answer.result, Session | Document):
        facts = (
            answer.result.value if isinstance(answer.result, Document) else _facts(answer.result)
        )
        lost = frozenset(facts) - answer.model.known
        return f"{_all(lost)} was acknowledged and never stored" if lost else None
    if (
        answer.operation.act == "save"
        and isinstance(answer.result, StateStoreError)
        and answer.result.landed == "no"
    ):
        landed = any(effect.key == answer.operation.subject for effect in answer.operation.effects)
        return f"{answer.operation.subject} was stored, and said not to be" if landed else None
    return None


def a_delete_is_true(answer: Answer) -> str | None:
    """Who is told that a session was deleted has deleted it."""
    if answer.result is True and not answer.operation.deleted(answer.operation.subject):
        return f"{answer.operation.subject} was said to be deleted"
    return None


def a_listing_is_complete(answer: Answer) -> str | None:
    """What was live from the beginning of a listing to its end is in it."""
    if not isinstance(answer.result, Listing):
        return None
    listed = {session_key(summary.id) for summary in answer.result}
    listed |= {problem.key for problem in answer.result.problems}
    missing = [
        key
        for key, document in answer.model.store.documents.items()
        if is_session(key) and document.since <= answer.operation.began and key not in listed
    ]
    return f"a listing lacks {_all(missing)}" if missing else None


def only_what_is_documented_is_raised(answer: Answer) -> str | None:
    """Nothing is raised but errors of statekeep."""
    if isinstance(answer.result, Exception) and not isinstance(answer.result, StateStoreError):
        return f"{answer.operation.act} raised {answer.result!r}"
    return None


# At the end, when all workers are done and nothing is on its way any more.


def a_report_is_true(model: Model) -> Iterator[str]:
    """What a prune says that it deleted it did delete, and the rest it names `unknown`."""
    for operation in model.operations:
        if isinstance(report := operation.report, PruneReport):
            pruned = {victim.key for victim in report.pruned}
            unknown = {failure.victim.key for failure in report.unknown}
            yield from _differences(operation, pruned, unknown)


def a_repair_report_is_true(model: Model) -> Iterator[str]:
    """What a repair says that it moved it did move, and the rest it names `failed`."""
    for operation in model.operations:
        if isinstance(report := operation.report, RepairReport):
            moved = {each.finding.place for each in report.repaired}
            failed = {each.finding.place for each in report.failed}
            yield from _differences(operation, moved, failed)


def _differences(operation: Operation, told: set[str], unclear: set[str]) -> Iterator[str]:
    effects = operation.effects
    deleted = {effect.key for effect in effects if is_session(effect.key) and not effect.after}
    told = {key for key in told if is_session(key)}
    if not told <= deleted:
        yield f"{operation.act} of {operation.who} did not delete {_all(told - deleted)}"
    if not deleted <= told | unclear:
        yield f"{operation.act} of {operation.who} is silent on {_all(deleted - told - unclear)}"


def what_was_deleted_stays_deleted(model: Model) -> Iterator[str]:
    """What was deleted for good does not come back through a move that ran at the same time.

    Unless there was trouble with a call of that move, a client sent twice what created it, or it
    was restored at some time.
    """
    there = model.facts()
    for key, facts in model.deleted:
        back = facts & there
        if back and not any(_may_bring_back(operation, key) for operation in model.operations):
            yield f"{_all(back)} of {key} was deleted for good and is back"


def _may_bring_back(operation: Operation, key: str) -> bool:
    created = sum(effect.key == key and effect.before is None for effect in operation.effects)
    if operation.act == "restore":
        return created > 0
    return created > 1 or (
        operation.moves and any(each == key or is_copy_of(each, key) for each in operation.troubled)
    )


_AFTER_EFFECT: Final = (
    nothing_vanishes,
    no_update_is_overwritten,
    a_restored_session_stays,
    a_pinned_session_is_not_pruned,
    a_prune_spares_what_was_saved,
    a_repair_spares_what_is_sound,
    a_wrong_clock_deletes_nothing_young,
    the_trash_does_not_pile_up,
    restore_brings_back_the_newest,
    one_background_prune_a_period,
    a_change_does_what_was_asked,
    an_append_is_one,
    a_handle_stays_with_its_journal,
    a_named_segment_is_there,
)
_AFTER_OPERATION: Final = (
    what_was_acknowledged_is_stored,
    a_delete_is_true,
    a_listing_is_complete,
    only_what_is_documented_is_raised,
    what_a_journal_acknowledges_is_there,
    a_read_is_a_state_that_was,
)
_AT_THE_END: Final = (
    a_report_is_true,
    a_repair_report_is_true,
    what_was_deleted_stays_deleted,
    what_is_said_not_to_land_does_not,
)

NAMES: Final = frozenset(
    rule.__name__ for rule in (*_AFTER_EFFECT, *_AFTER_OPERATION, *_AT_THE_END)
)
"""The names of all rules."""


def after_effect(model: Model, effect: Effect) -> Iterator[Finding]:
    """What an effect breaks; the model takes note of it first."""
    change = Change(model, effect, model.take(effect))
    for rule in _AFTER_EFFECT:
        if text := rule(change):
            if rule is a_restored_session_stays and effect.before is not None:
                # What follows from it is no finding of its own.
                model.given_up |= read_state(effect.before.data).facts
            yield Finding(rule.__name__, text)


def after_operation(model: Model, operation: Operation, result: object) -> Iterator[Finding]:
    """What the result of an operation breaks: what it gave back, or the error that it raised."""
    model.hear(operation, result)
    answer = Answer(model, operation, result)
    for rule in _AFTER_OPERATION:
        if text := rule(answer):
            yield Finding(rule.__name__, text)


def at_the_end(model: Model) -> Iterator[Finding]:
    """What a history breaks as a whole."""
    for rule in _AT_THE_END:
        for text in rule(model):
            yield Finding(rule.__name__, text)


def _all(facts: Iterator[str] | frozenset[str] | set[str] | list[str]) -> str:
    return ", ".join(map(repr, sorted(facts)))


def _facts(session: Session) -> frozenset[str]:
    return read_state(session.to_json()).facts


def _matters(key: str) -> bool:
    return is_session(key) or key == NOTE


class _Age(NamedTuple):
    """By what the copies of a session are ordered."""

    updated_at: datetime | None
    source: int | None


def _age(model: Model, key: str, copy: Stored) -> _Age:
    source = model.sources.get(key) if model.store.kind.dated else None
    return _Age(read_state(copy.data).updated_at, source)


def _is_newer(one: _Age, other: _Age) -> bool:
    if one.updated_at is None or other.updated_at is None:
        return False
    if one.updated_at == other.updated_at and one.source is not None and other.source is not None:
        return one.source > other.source
    return one.updated_at > other.updated_at
