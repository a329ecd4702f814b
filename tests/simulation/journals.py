"""The one journal of a history: what is asked of it, what it holds, and what must hold of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from blake3 import blake3

from statekeep import SKIP, StateStoreError
from statekeep.store.keys import SEGMENTS, journal_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulation.model import Model
    from simulation.operations import Operation
    from simulation.rules import Answer, Change
    from simulation.store import Stored

__all__ = [
    "COLLECTION",
    "JOURNAL",
    "NAME",
    "Asked",
    "JournalState",
    "a_change_does_what_was_asked",
    "a_handle_stays_with_its_journal",
    "a_named_segment_is_there",
    "a_read_is_a_state_that_was",
    "an_append_is_one",
    "read_journal",
    "said_of",
    "what_a_journal_acknowledges_is_there",
    "what_is_said_not_to_land_does_not",
]

COLLECTION: Final = "simulated"
NAME: Final = "j"
JOURNAL: Final = journal_key(COLLECTION, [NAME])


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operation asks of the journal.

    Attributes:
        how: What.
        items: What it appends.
        key: Under which key, if under one.
        keep: To how many items it truncates.
    """

    how: Literal["append", "pop", "truncate", "clear", "erase", "read"]
    items: tuple[str, ...] = ()
    key: str | None = None
    keep: int = 0

    def applied(self, items: tuple[str, ...]) -> tuple[str, ...]:
        """What is there once it is done."""
        match self.how:
            case "pop":
                return items[:-1]
            case "truncate":
                return items[: self.keep]
            case "clear":
                return ()
        return items + self.items


class JournalState(NamedTuple):
    """What a head says, read without the library.

    Attributes:
        uid: The journal's.
        n: The number of its last change.
        items: All of them.
        keys: As they are stored.
        missing: The segments that it names and that are not there.
    """

    uid: str
    n: int
    items: tuple[str, ...]
    keys: frozenset[str]
    missing: tuple[str, ...]


def read_journal(data: bytes, documents: Mapping[str, Stored]) -> JournalState:
    """Read a head and its segments."""
    header, *lines = map(json.loads, data.splitlines())
    items: list[str] = []
    keys, missing = {*header["keys"]}, []
    for name, count, *_ in header["segments"]:
        segment = documents.get(f"{SEGMENTS}/{header['uid']}/{name}.jsonl")
        if segment is None:
            missing.append(name)
        else:
            items += map(json.loads, segment.data.splitlines()[:count])
    for line in lines:
        del items[len(items) - line.get("drop", 0) :]
        items += line.get("items", [])
        keys |= {*line.get("keys", [])}
    n = lines[-1]["n"] if lines else header["n"]
    return JournalState(header["uid"], n, tuple(items), frozenset(keys), tuple(missing))


def _hashed(key: str) -> str:
    return blake3(key.encode()).hexdigest()[:24]


# After an effect.


def a_change_does_what_was_asked(change: Change) -> str | None:
    """A change is applied to what was there, whole and in order; a known key does nothing again."""
    asked = change.by.asked
    if change.key != JOURNAL:
        return None
    (_, before), (_, after) = change.model.journal[-2:]
    if asked is None or (after is None) != (asked.how == "erase"):
        return f"{change.by.act} of {change.by.who} left the journal as {after}"
    if after is None:
        return None
    expected = asked.applied(before.items if before else ())
    if after.items != expected:
        return f"{asked} on {before and before.items} left {after.items}"
    if before and (after.uid, after.n) != (before.uid, before.n + 1):
        return f"change {before.n} of {before.uid} is followed by {after.n} of {after.uid}"
    if before and asked.key and _is_known(change.model, before.uid, asked.key):
        return f"{asked.key!r} was known, and {asked.items} was appended"
    return None


def _is_back(model: Model) -> bool:
    """Whether the journal that there is was deleted before."""
    state = model.journal[-1][1]
    uids = [each and each.uid for _, each in model.journal]
    return state is not None and None in uids[uids.index(state.uid) :]


def _is_known(model: Model, uid: str, key: str) -> bool:
    """Whether something was appended under a key before the last change."""
    states = [state for _, state in model.journal[:-1] if state]
    return any(state.uid == uid and _hashed(key) in state.keys for state in states)


def an_append_is_one(change: Change) -> str | None:
    """What is asked for is done at most once, whatever was sent how often.

    A client of a store may by itself send again what makes the journal, and so bring it back if it
    was deleted meanwhile: that is no finding, nor what follows from it.
    """
    if change.key != JOURNAL or change.after is None:
        return None
    done = [each for each in change.by.effects if each.key == JOURNAL and each.after]
    if len(done) < 2 or _is_back(change.model):
        return None
    return f"{change.by.asked} of {change.by.who} was done {len(done)} times"


def a_handle_stays_with_its_journal(change: Change) -> str | None:
    """A handle changes the journal that it knows, and none that was made anew."""
    if change.key != JOURNAL or change.by.uid is None:
        return None
    _, before = change.model.journal[-2]
    if before is not None and before.uid == change.by.uid:
        return None
    now = before.uid if before else "there is none"
    return f"{change.by.who} knew the journal {change.by.uid}, and changed another ({now})"


def a_named_segment_is_there(change: Change) -> str | None:
    """What a live head names is there before it, and is never deleted."""
    head = change.model.store.documents.get(JOURNAL)
    if head is None or not (change.key == JOURNAL or change.key.startswith(f"{SEGMENTS}/")):
        return None
    missing = read_journal(head.data, change.model.store.documents).missing
    return f"{change.by.act} of {change.by.who}: without {missing}" if missing else None


# After an operation.


def what_a_journal_acknowledges_is_there(answer: Answer) -> str | None:
    """What was acknowledged was done, or needed not be."""
    by, asked = answer.operation, answer.operation.asked
    if asked is None or asked.how == "read" or isinstance(answer.result, Exception):
        return None
    if any(effect.key == JOURNAL for effect in by.effects):
        return None
    states = _during(answer.model, by)
    if asked.how == "erase":
        needless = answer.result is False and None in states
    elif asked.how == "pop":
        needless = answer.result is SKIP and any(not state or not state.items for state in states)
    else:
        needless = asked.key is not None and any(
            state and _hashed(asked.key) in state.keys for state in states
        )
    return None if needless else f"{asked} of {by.who} was acknowledged, and not done"


def a_read_is_a_state_that_was(answer: Answer) -> str | None:
    """What is read of a journal is what it held at some moment of the read."""
    asked, result = answer.operation.asked, answer.result
    if asked is None or asked.how != "read" or isinstance(result, Exception):
        return None
    found: Any = result if result is None else tuple(result)  # type: ignore[arg-type]
    states = [state and state.items for state in _during(answer.model, answer.operation)]
    return None if found in states else f"{answer.operation.who} read {found}, not of {states}"


# At the end.


def what_is_said_not_to_land_does_not(model: Model) -> Iterator[str]:
    """What was said not to have landed has not, nor does it later."""
    for operation in model.operations:
        if operation.landed == "no" and any(each.key == JOURNAL for each in operation.effects):
            yield f"{operation.asked} of {operation.who} was done, and said not to be"


def said_of(result: object) -> str | None:
    """What an operation was told of what landed."""
    return result.landed if isinstance(result, StateStoreError) else None


def _during(model: Model, operation: Operation) -> list[JournalState | None]:
    """The states of the journal from the beginning of an operation until now."""
    states = model.journal
    first = max(place for place, (number, _) in enumerate(states) if number <= operation.began)
    return [state for _, state in states[first:]]
