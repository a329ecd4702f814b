"""A writer that does everything, and notes what was acknowledged, until it is killed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from statekeep import (
    ABSENT,
    ConflictError,
    Documents,
    Journals,
    NotFoundError,
    Sessions,
    UnavailableError,
    open_store,
)
from statekeep.retention import Victim

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from multiprocessing.synchronize import Event

    from statekeep import Session, StateStore, Summary, Version

SHARED = "shared"
_LONG = timedelta(minutes=5)


class Finished:
    """Prunes what has reached its last phase."""

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        assert now.tzinfo
        return [Victim(each, "done") for each in summaries if each.last_phase == "done"]


def sealed(n: int, padding: str) -> dict[str, Any]:
    """A document that shows whether it is whole."""
    return {"n": n, "padding": padding, "seal": _seal(n, padding)}


def is_whole(document: dict[str, Any]) -> bool:
    return bool(document["seal"] == _seal(document["n"], document["padding"]))


def _seal(n: int, padding: str) -> str:
    return hashlib.sha256(f"{n}{padding}".encode()).hexdigest()


def work_until_killed(location: str, worker: int, seed: int, notes: str) -> None:
    """Do what a writer may do, in any order, until killed.

    Args:
        location: The store's URL.
        worker: Which one; nobody else writes the session of that name.
        seed: What it does.
        notes: A file to which it appends a line before each deletion and after each success.
    """
    with open_store(location) as store:
        writer = _Writer(store, worker, random.Random(seed), notes)
        while True:
            writer.work()


def append_until_killed(location: str, worker: int, seed: int, notes: str) -> None:
    """Append to the journal that all append to, and note what was acknowledged, until killed.

    Args:
        location: The store's URL.
        worker: Which one.
        seed: What it does.
        notes: A file to which it appends a line after each success.
    """
    rng = random.Random(seed)
    me = f"{worker}-{uuid.uuid4()}"
    descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND)
    with open_store(location) as store:
        journal = Journals(store, "crash").open(SHARED)
        for number in itertools.count():
            item = [me, number, "x" * rng.randrange(6000)]
            for _ in range(rng.choice([1, 1, 2])):  # as who retries does, under the same key
                journal.append([item], key=f"{me} {number}", set={me[:1]: number})
            os.write(descriptor, f"{json.dumps(['appended', [me, number]])}\n".encode())


def talk_until_killed(location: str, worker: int, seed: int, notes: str) -> None:
    """Add turns to the session that all talk in, stored as a journal, until killed.

    As `append_until_killed`.
    """
    rng = random.Random(seed)
    me = f"{worker}-{uuid.uuid4()}"
    descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND)
    with open_store(location) as store:
        sessions = Sessions(store, form="journal")
        for number in itertools.count():
            said, answer = f"{me} {number}", f"{me} {number} {'x' * rng.randrange(6000)}"
            for _ in range(rng.choice([1, 1, 2])):
                sessions.add_turn(SHARED, user=[said], agent=[answer], user_id="ada", key=said)
            os.write(descriptor, f"{json.dumps(['appended', [me, number]])}\n".encode())


def put_until_killed(path: str, notes: str, worker: int) -> None:
    """Put documents into a SQLite file and note what was acknowledged, until killed.

    Args:
        path: The file.
        notes: A file to which it appends a line after each success.
        worker: Which one; its documents are its own.
    """
    descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND)
    with open_store(f"sqlite:{path}?durability=normal&busy_timeout=60") as store:
        for n in itertools.count(1):
            store.put(f"{worker}/{n % 50}.md", b"%d " % n * random.randrange(1, 4000))
            os.write(descriptor, f"{json.dumps([worker, n])}\n".encode())


def update_one_by_one(location: str, worker: int, times: int) -> None:
    """Add a message to the session that all write, so many times."""
    with open_store(location) as store:
        sessions = Sessions(store)
        for n in range(times):
            text = f"{worker} {n}"
            sessions.update(SHARED, lambda session: session.add_user_message(text), timeout=_LONG)  # noqa: B023


def append_one_by_one(location: str, worker: int, times: int) -> None:
    """Append to the journal that all append to, so many times."""
    with open_store(location) as store:
        journal = Journals(store, SHARED).open("all")
        for n in range(times):
            journal.append([f"{worker} {n}"])


def write_through_failures(location: str, worker: int, seed: int, notes: str, done: Event) -> None:
    """Write, and go on whenever the store does not answer; each write is another one.

    Args:
        location: The store's URL.
        worker: Which one.
        seed: What it does.
        notes: A file to which it appends a line after each write: what it was, what became of
            it ("yes", "no" or "unknown"), and its name.
        done: When to end.
    """
    with open_store(location) as store:
        writer = _Undaunted(store, worker, random.Random(seed), notes)
        while not done.is_set():
            writer.work()


class _Undaunted:
    def __init__(self, store: StateStore, worker: int, rng: random.Random, notes: str) -> None:
        self._store = store
        self._sessions = Sessions(store)
        self._turns = Sessions(store, form="journal")
        self._journal = Journals(store, "crash").open(SHARED)
        self._rng = rng
        self._me = f"{worker}-{uuid.uuid4()}"
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND)
        self._numbers = itertools.count()
        self._made: list[tuple[str, Version]] = []

    def work(self) -> None:
        name, outcome = f"{self._me}-{next(self._numbers)}", "yes"
        what = self._rng.choice(["said", "appended", "talked", "created", "deleted"])
        try:
            if what == "deleted" and self._made:
                name, version = self._made.pop()
                self._store.delete(f"made/{name}.md", expect=version)
            elif what in {"created", "deleted"}:
                what = "created"
                version = self._store.put(f"made/{name}.md", b"", expect=ABSENT)
                self._made.append((name, version))
            else:
                getattr(self, f"_{what}")(name)
        except (ConflictError, UnavailableError) as error:
            outcome = error.landed or "no"  # it could not even read
        os.write(self._notes, f"{json.dumps([what, [outcome, name]])}\n".encode())
        if outcome != "yes":
            time.sleep(self._rng.uniform(0, 0.05))

    def _said(self, name: str) -> None:
        self._sessions.update(SHARED, lambda session: session.add_user_message(name))

    def _appended(self, name: str) -> None:
        self._journal.append([[name, "x" * self._rng.randrange(6000)]])

    def _talked(self, name: str) -> None:
        self._turns.add_turn("talk", user=[name], agent=[name], user_id="ada")


class _Writer:
    def __init__(self, store: StateStore, worker: int, rng: random.Random, notes: str) -> None:
        self._sessions = Sessions(store)
        self._documents = Documents(store)
        self._worker = worker
        self._rng = rng
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND)
        self._own = self._sessions.get_or_create("ada", f"own-{worker}")
        self._made: list[str] = []

    def work(self) -> None:
        work = [self.say, self.save, self.seal, self.create, self.prune]
        if self._made:
            work += [self.finish, self.reopen, self.delete]
        self._rng.choice(work)()

    def say(self) -> None:
        text = f"{self._worker}-{uuid.uuid4()}"
        self._sessions.update(SHARED, lambda session: session.add_user_message(text))
        self._note("said", text)

    def save(self) -> None:
        self._own.add_user_message("x" * self._rng.randrange(5000))
        self._sessions.save(self._own)
        self._note("saved", [self._own.id, len(self._own.user_messages)])

    def seal(self) -> None:
        padding = "x" * self._rng.randrange(20_000)
        document = self._documents.update(
            "notes", "sealed", lambda old: sealed(old["n"] + 1 if old else 0, padding)
        )
        self._note("sealed", document.value["n"])

    def create(self) -> None:
        session = self._sessions.get_or_create("ada", f"{self._worker}-{uuid.uuid4()}")
        self._note("created", session.id)
        self._made.append(session.id)

    def finish(self) -> None:
        session_id = self._made.pop()
        self._note("may vanish", session_id)
        self._sessions.update(session_id, _finish)

    def reopen(self) -> None:
        session_id = self._made[-1]
        self._note("may vanish", session_id)
        self._sessions.update(session_id, _finish)
        self._dawdle()
        try:
            self._sessions.update(session_id, _reopen)
        except NotFoundError:
            self._made.pop()
        else:
            self._note("reopened", session_id)

    def delete(self) -> None:
        session_id = self._made.pop()
        self._note("may vanish", session_id)
        self._note("is thrown away", session_id)
        self._sessions.delete(session_id)
        self._note("vanished", session_id)

    def prune(self) -> None:
        plan = self._sessions.plan_prune(Finished())
        self._dawdle()
        for victim in self._sessions.prune(plan, trash=timedelta(days=7)).pruned:
            self._note("vanished", victim.summary.id)

    def _dawdle(self) -> None:
        # So that others come between.
        time.sleep(self._rng.uniform(0, 0.01))

    def _note(self, what: str, value: object) -> None:
        os.write(self._notes, f"{json.dumps([what, value])}\n".encode())


def _finish(session: Session) -> None:
    session.add_agent_response("", phase_reached="done")


def _reopen(session: Session) -> None:
    session.add_agent_response("", phase_reached="go on")
