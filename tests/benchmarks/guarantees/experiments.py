"""The seven experiments; each gives facts about one candidate, and judges nothing."""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.guarantees.work import Process, RemoteError, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.guarantees.candidates import Candidate

__all__ = ["EXPERIMENTS", "IDS", "Scale"]

IDS = {
    "../../escape": "../../escape",
    "a/b": "a/b",
    "empty": "",
    "300 characters": "x" * 300,
    "😀": "😀",
}


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        changes: Of each of two processes.
        pause: How long each thinks between reading and storing, in seconds.
        kills: How many writers are killed.
        base: Turns of a kilobyte that the session has in which they are killed.
        crowd: Conversations in a listing.
        turns: Of a long conversation.
        more: Turns that are added to it.
        seed: Of the moments at which writers are killed.
    """

    changes: int = 50
    pause: float = 0.005
    kills: int = 100
    base: int = 200
    crowd: int = 10_000
    turns: int = 1_000
    more: int = 21
    seed: int = 1


def race(make: type[Candidate], folder: Path, scale: Scale) -> dict[str, Any]:
    """Two processes add turns to one conversation, at once."""
    place = folder / "race"
    Process.call(make, place, "prepare", "shared", 0)
    names = ("a", "b")
    arguments = [(make, place, "race", "shared", n, scale.changes, scale.pause) for n in names]
    with Process(*arguments[0]) as one, Process(*arguments[1]) as other:
        for each in (one, other):
            each.answer()
        for each in (one, other):
            each.connection.send("go")
        answers = [each.answer() for each in (one, other)]
    kept = Process.call(make, place, "read", "shared")
    acknowledged = [said for answer in answers for said in answer["acknowledged"]]
    errors: dict[str, int] = {}
    for answer in answers:
        for kind, count in answer["errors"].items():
            errors[kind] = errors.get(kind, 0) + count
    found = {
        "acknowledged": len(acknowledged),
        "kept": len({*acknowledged} & {*kept}),
        "twice": len(kept) - len({*kept}),
        "errors": errors,
    }
    with contextlib.suppress(RemoteError):
        history = Process.call(make, place, "history", "shared")
        found["in history"] = len({*acknowledged} & {*history})
    return found


def kills(make: type[Candidate], folder: Path, scale: Scale) -> dict[str, Any]:
    """Writers of a large session are killed, and what is there is read after each."""
    dice = random.Random(scale.seed)
    found = dict.fromkeys(("kills", "acknowledged", "lost", "torn", "unreadable"), 0)
    place, saved, lost, following = folder, set[int](), set[int](), 0
    for kill in range(scale.kills):
        if not following or kill % 10 == 0:  # else it grows, the more the faster a store is
            place, saved, lost = folder / f"kills-{kill}", {*range(scale.base)}, set()
            Process.call(make, place, "prepare", "large", scale.base)
            following = scale.base
        found["kills"] += 1
        try:
            acknowledged = _kill_a_writer(make, place, following, dice)
            saved.update(acknowledged)
            found["acknowledged"] += len(acknowledged)
            there = Process.call(make, place, "read", "large")
        except RemoteError:
            found["unreadable"] += 1
            following = 0
            continue
        numbers = [int(said.split(" ")[0]) for said in there]
        whole = there == [text(number) for number in numbers]
        found["torn"] += not (whole and numbers == sorted(set(numbers)))
        found["lost"] += len(saved - {*numbers} - lost)
        lost |= saved - {*numbers}
        following = max(*saved, *numbers) + 1
    return found


def _kill_a_writer(
    make: type[Candidate], place: Path, begin: int, dice: random.Random
) -> list[int]:
    """Kill it at any moment of a save that is not its first; what it had acknowledged."""
    with Process(make, place, "write", "large", begin) as writer:
        writer.answer()
        start = time.monotonic()
        saved = [writer.answer() for _ in range(dice.randint(1, 3))]
        took = (time.monotonic() - start) / len(saved)
        time.sleep(dice.uniform(0, took))
        return saved + writer.kill()


def ids(make: type[Candidate], folder: Path, scale: Scale) -> dict[str, Any]:  # noqa: ARG001
    """Conversations under odd ids."""
    found = {}
    for number, (label, session) in enumerate(IDS.items()):
        box = folder / f"ids-{number}"
        place = box / "one" / "two" / "three"
        place.parent.mkdir(parents=True)
        try:
            Process.call(make, place, "keep", session, label)
            read = Process.call(make, place, "read", session)
            verdict = "kept" if read == [label] else "lost"
        except RemoteError as error:
            verdict = f"refused ({error.kind})"
        inside = {place, *place.parents}
        if any(each not in inside and place not in each.parents for each in box.rglob("*")):
            verdict = "written outside"
        found[label] = verdict
    return found


def listing(make: type[Candidate], folder: Path, scale: Scale) -> dict[str, Any]:
    """The newest 20 of many."""
    try:
        Process.call(make, folder / "few", "populate", 1)
        Process.call(make, folder / "few", "listing", 1)
    except RemoteError as error:
        if error.kind == "NotImplementedError":
            return {}
        raise
    place = folder / "crowd"
    Process.call(make, place, "populate", scale.crowd)
    time.sleep(2.5)  # clocks of files are coarse: what was just written is read again
    first, *again = (Process.call(make, place, "listing", 20) for _ in range(4))
    middle = sorted(again, key=lambda each: each["seconds"])[1]
    return {"first": first, "again": middle}


def turn(make: type[Candidate], folder: Path, scale: Scale) -> dict[str, Any]:
    """One more turn of a kilobyte in a long conversation."""
    place = folder / "turns"
    Process.call(make, place, "prepare", "long", scale.turns)
    found = Process.call(make, place, "turns", "long", scale.turns, scale.more)
    return {
        "bytes": statistics.median(written for written, _ in found),
        "seconds": statistics.median(seconds for _, seconds in found),
    }


def deletion(make: type[Candidate], folder: Path, scale: Scale) -> dict[str, Any]:  # noqa: ARG001
    """What is deleted is saved between the look and the deletion."""
    place = folder / "deletion"
    Process.call(make, place, "keep", "old", "hello")
    Process.call(make, place, "keep", "new", "hello")
    told = ""
    with Process(make, place, "delete_later", "old") as deleting:
        deleting.answer()
        Process.call(make, place, "keep_on", "old", "I am back")
        deleting.connection.send("go")
        try:
            deleting.answer()
        except RemoteError as error:
            if error.kind == "NotImplementedError":
                return {}
            told = error.kind
    with contextlib.suppress(RemoteError):
        if "I am back" in Process.call(make, place, "read", "old"):
            return {"deleted": False, "told": told}
    return {"deleted": True, "told": told}


def users(make: type[Candidate], folder: Path, scale: Scale) -> dict[str, Any]:  # noqa: ARG001
    """Another user opens the conversation by its id."""
    place = folder / "users"
    Process.call(make, place, "keep", "private", "hello")
    try:
        return {"result": Process.call(make, place, "open_as", "private", "eve")}
    except RemoteError as error:
        return {} if error.kind == "NotImplementedError" else {"result": error.kind}


EXPERIMENTS: dict[str, Callable[[type[Candidate], Path, Scale], dict[str, Any]]] = {
    each.__name__: each for each in (race, kills, ids, listing, turn, deletion, users)
}
"""By name, in the order of the page."""
