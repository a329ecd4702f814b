"""What must hold. Each rule is a promise of the documentation, and says when it is broken."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from simulation.clocks import DAY, as_datetime
from simulation.model import NOTE, Finding, is_copy, is_copy_of, is_session, read_state
from statekeep import Listing, Session, StateStoreError
from statekeep.documents import Document
from statekeep.store.keys import STAMP, session_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from simulation.model import Model, Operation
    from simulation.store import Effect, Stored

__all__ = ["EXPECTED_FAILURES", "after_effect", "after_operation", "at_the_end"]

PERIOD: Final = timedelta(minutes=5)
"""The least time between two background prunes in all simulated fleets."""

_CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""By so much the present of a prune may differ from the store's."""


# After an effect. `gone` is what is nowhere any more.


def nothing_vanishes(model: Model, effect: Effect, gone: frozenset[str]) -> str | None:
    """What was stored is live, in the trash or in quarantine until someone may delete it for good.

    Those may: an explicit delete, a prune without a trash, whoever empties the trash.
    """
    if not gone or a_restored_session_stays(model, effect, gone):
        return None
    return f"{effect.by.act} of {effect.by.who} deleted {effect.key}, the last place of {_all(gone)}"


def no_update_is_overwritten(model: Model, effect: Effect, gone: frozenset[str]) -> str | None:
    """Who saves a session loses nothing that another saved meanwhile."""
    if effect.before is None or effect.after is None or not _matters(effect.key):
        return None
    lost = read_state(effect.before.data).facts - read_state(effect.after.data).facts
    if not lost:
        return None
    return f"{effect.by.act} of {effect.by.who} overwrote {effect.key} and with it {_all(lost)}"


def a_restored_session_stays(model: Model, effect: Effect, gone: frozenset[str]) -> str | None:
    """No delete that was on its way hits a session that was restored since."""
    before = _deleted_session(effect)
    if before is None or before.by.act != "restore":
        return None
    seen = effect.by.seen(effect.key)
    if seen is not None and seen.number >= before.written:
        return None
    return (
        f"{effect.by.act} of {effect.by.who} deleted {effect.key}, "
        f"which {before.by.who} restored after that was planned"
    )


def a_pinned_session_is_not_pruned(
    model: Model, effect: Effect, gone: frozenset[str]
) -> str | None:
    """Pinned sessions are never pruned."""
    before = _deleted_session(effect)
    if before is None or not effect.by.prunes or not read_state(before.data).pinned:
        return None
    return f"{effect.by.who} pruned {effect.key}, which is pinned"


def a_prune_spares_what_was_saved(
    model: Model, effect: Effect, gone: frozenset[str]
) -> str | None:
    """A prune deletes only what its plan saw; so do a delete and a repair.

    That the same bytes are there again does not count, because versions may be hashes.
    """
    before = _deleted_session(effect)
    if before is None:
        return None
    seen = effect.by.seen(effect.key)
    if seen and seen.document and seen.document.data == before.data:
        return None
    return f"{effect.by.act} of {effect.by.who} deleted {effect.key}, which it had not seen so"


def a_repair_spares_what_is_sound(
    model: Model, effect: Effect, gone: frozenset[str]
) -> str | None:
    """The doctor moves away only what cannot be read."""
    before = _deleted_session(effect)
    if before is None or effect.by.act != "repair":
        return None
    if read_state(before.data).updated_at is None:
        return None
    return f"{effect.by.who} moved {effect.key} to quarantine, which is sound"


def a_wrong_clock_deletes_nothing_young(
    model: Model, effect: Effect, gone: frozenset[str]
) -> str | None:
    """On a store with a clock of its own, pruning and emptying the trash go by that clock."""
    by, before, store = effect.by, effect.before, model.store
    if before is None or effect.after is not None or not _tells_time(model):
        return None
    age = timedelta(microseconds=store.now - before.moment)
    if is_session(effect.key) and by.prunes:
        updated_at = read_state(before.data).updated_at
        if by.policy.ttl is not None and updated_at is not None:
            idle = as_datetime(store.now) - updated_at
            if idle + _CLOCKS_DIFFER < by.policy.ttl:
                return f"{by.who} pruned {effect.key}, which was updated {idle} ago"
        if age + _CLOCKS_DIFFER < by.policy.min_idle:
            return f"{by.who} pruned {effect.key}, which was written {age} ago"
    elif is_copy(effect.key) and by.policy.trash is not None and by.empties(effect):
        if age + _CLOCKS_DIFFER < by.policy.trash:
            return f"{by.act} of {by.who} emptied the trash of {effect.key}, {age} old"
    return None


def the_trash_does_not_pile_up(model: Model, effect: Effect, gone: frozenset[str]) -> str | None:
    """No prune and no repair adds to a copy of the same bytes that is less than a day old."""
    by, after, store = effect.by, effect.after, model.store
    if after is None or not is_copy(effect.key) or not _tells_time(model):
        return None
    if not (by.prunes or by.act == "repair"):
        return None
    key = next((key for key in by.reads if is_copy_of(effect.key, key)), None)
    for copy, document in by.copies_then.items():
        if (
            document.data == after.data
            and store.documents.get(copy) is document
            and store.now - document.moment < DAY
            and (key is None or is_copy_of(copy, key))
        ):
            return f"{by.act} of {by.who} put {effect.key} beside the equal {copy}"
    return None


def restore_brings_back_the_newest(
    model: Model, effect: Effect, gone: frozenset[str]
) -> str | None:
    """Restoring takes the copy with the greatest `updated_at`, and the last written of equals.

    Copies count that were there from before it began until its end.
    """
    by, after = effect.by, effect.after
    if after is None or not is_session(effect.key) or by.act != "restore":
        return None
    state = read_state(after.data)
    taken = [
        _age(model, key, read.document)
        for key, read in by.reads.items()
        if read.document and is_copy_of(key, effect.key) and read_state(read.document.data) == state
    ]
    for key, document in by.copies_then.items():
        if model.store.documents.get(key) is document and is_copy_of(key, effect.key):
            age = _age(model, key, document)
            if taken and all(_is_newer(age, than) for than in taken):
                return f"{by.who} restored the state of {state.updated_at} and not that of {key}"
    return None


def one_background_prune_a_period(
    model: Model, effect: Effect, gone: frozenset[str]
) -> str | None:
    """In a fleet of right clocks, background prunes begin no more often than they are asked to."""
    if effect.key != STAMP or effect.by.act != "background" or not model.right_clocks:
        return None
    before, after = effect.before, effect.after
    if before is None or after is None or before.by.act != "background" or not _tells_time(model):
        return None
    pause = timedelta(microseconds=after.moment - before.moment)
    return f"{effect.by.who} claimed a prune {pause} after the last" if pause < PERIOD else None


# After an operation.


def what_was_acknowledged_is_stored(
    model: Model, operation: Operation, result: object
) -> str | None:
    """A session that was given back as stored was stored; what certainly did not land did not."""
    if isinstance(result, Session | Document):
        facts = result.value if isinstance(result, Document) else _facts(result)
        lost = frozenset(facts) - model.known
        return f"{_all(lost)} was acknowledged and never stored" if lost else None
    if operation.act == "save" and isinstance(result, StateStoreError) and result.landed == "no":
        landed = any(effect.key == operation.subject for effect in operation.effects)
        return f"{operation.subject} was stored, and said not to be" if landed else None
    return None


def a_delete_is_true(model: Model, operation: Operation, result: object) -> str | None:
    """Who is told that a session was deleted has deleted it."""
    if result is True and not operation.deleted(operation.subject):
        return f"{operation.subject} was said to be deleted"
    return None


def a_listing_is_complete(model: Model, operation: Operation, result: object) -> str | None:
    """What was live from the beginning of a listing to its end is in it."""
    if not isinstance(result, Listing):
        return None
    listed = {session_key(summary.id) for summary in result}
    listed |= {problem.key for problem in result.problems}
    missing = [
        key
        for key, document in model.store.documents.items()
        if is_session(key) and document.since <= operation.began and key not in listed
    ]
    return f"a listing lacks {_all(missing)}" if missing else None


def only_what_is_documented_is_raised(
    model: Model, operation: Operation, result: object
) -> str | None:
    """Nothing is raised but errors of statekeep."""
    if isinstance(result, Exception) and not isinstance(result, StateStoreError):
        return f"{operation.act} raised {result!r}"
    return None


# At the end, when all workers are done and nothing is on its way any more.


def a_report_is_true(model: Model) -> Iterator[str]:
    """What a prune says that it deleted it did delete, and the rest it names `unknown`."""
    for operation in model.operations:
        report = operation.report
        if report is None:
            continue
        deleted = {effect.key for effect in operation.effects if _deleted_session(effect)}
        pruned = {victim.key for victim in report.pruned}
        unknown = {failure.victim.key for failure in report.unknown}
        if not pruned <= deleted:
            yield f"{operation.who} reported {_all(pruned - deleted)} as pruned"
        if not deleted <= pruned | unknown:
            yield f"{operation.who} did not report {_all(deleted - pruned - unknown)} as pruned"


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
        operation.moves
        and any(each == key or is_copy_of(each, key) for each in operation.troubled)
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
)
_AFTER_OPERATION: Final = (
    what_was_acknowledged_is_stored,
    a_delete_is_true,
    a_listing_is_complete,
    only_what_is_documented_is_raised,
)
_AT_THE_END: Final = (a_report_is_true, what_was_deleted_stays_deleted)

EXPECTED_FAILURES: Final[frozenset[str]] = frozenset(
    rule.__name__
    for rule in (
        a_restored_session_stays,
        a_wrong_clock_deletes_nothing_young,
        restore_brings_back_the_newest,
        the_trash_does_not_pile_up,
    )
)
"""Rules that the library is known to break. A rule that it no longer breaks has to go from here."""


def after_effect(model: Model, effect: Effect) -> Iterator[Finding]:
    """What an effect breaks; the model takes note of it first."""
    gone = model.take(effect)
    for rule in _AFTER_EFFECT:
        if text := rule(model, effect, gone):
            if rule is a_restored_session_stays and effect.before is not None:
                # What follows from it is no finding of its own.
                model.given_up |= read_state(effect.before.data).facts
            yield Finding(rule.__name__, text)


def after_operation(model: Model, operation: Operation, result: object) -> Iterator[Finding]:
    """What the result of an operation breaks: what it gave back, or the error that it raised."""
    model.hear(operation, result)
    for rule in _AFTER_OPERATION:
        if text := rule(model, operation, result):
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


def _deleted_session(effect: Effect) -> Stored | None:
    return effect.before if effect.after is None and is_session(effect.key) else None


def _tells_time(model: Model) -> bool:
    """Whether the store has a right clock and shows it."""
    return model.store.kind.dated and not model.store.kind.steps


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
