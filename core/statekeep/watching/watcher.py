"""Finds what was created, changed or deleted in a store since the last look."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import orjson

from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.everything import journal_collections
from statekeep.heads.journals import journal_heads
from statekeep.heads.queries import heads_of
from statekeep.observe.emitter import Emitter
from statekeep.store.keys import JOURNALS
from statekeep.store.powers import power
from statekeep.store.query import Filter, SupportsQuery
from statekeep.timestamps import from_microseconds, to_microseconds, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from statekeep.format.record import HeadRecord, Problem
    from statekeep.heads.pages import Heads
    from statekeep.store.protocol import StateStore, Version

__all__ = ["Change", "ChangeKind", "Watcher", "watch"]

ChangeKind = Literal["created", "changed", "deleted"]
"""What happened to a session or journal."""

_OVERLAP: Final = timedelta(minutes=5)
"""How far the clocks of writers may differ."""

_WHOLE: Final = timedelta(minutes=1)
"""How often everything is compared in a store that can be queried for updates."""

_SECONDS: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a session or journal between two looks.

    Attributes:
        kind: What happened.
        at: When it was created or last updated, by its own record; or when it was found to be
            deleted.
        collection: The journal's collection; None for a session.
        id: The session's id, or a journal's id, which is unique in its collection.
        name: The journal's name; empty for a session.
        user_id: The user it belongs to, if any.
        length: The number of items in a journal, or of user messages in a session; the last known
            one if it was deleted.
        added: How much `length` grew, or shrank if negative.
    """

    kind: ChangeKind
    at: datetime
    collection: str | None
    id: str
    name: tuple[str, ...]
    user_id: str | None
    length: int
    added: int


class _Known(NamedTuple):
    """What a watcher remembers of a session or journal."""

    version: Version
    created_at: int
    length: int
    user_id: str | None
    id: str
    name: str | None


class Watcher:
    """Compares a store with its state at the last look.

    A look costs as much as a listing: a scan, and reads of what changed. A store with records is
    queried for recent updates and for the number of sessions and journals; for all of them only
    if the numbers do not add up, and once a minute. There, a change that is no update (such as a
    pin), and equal numbers that are created and deleted with old times, are noticed within a
    minute. A watcher needs a few hundred bytes of memory for each session and journal.

    Args:
        store: The store to watch.
        sessions: Whether to watch sessions.
        collections: The collections whose journals to watch; None for all, ``()`` for none.
        user_id: Only watch what belongs to this user.

    Raises:
        InvalidKeyError: A collection's name is not legal; raised by `scan`.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     watcher = Watcher(store)
        ...     _ = watcher.scan()
        ...     _ = Sessions(store).add_turn("s", user=["Hello"], user_id="ada")
        ...     [(each.kind, each.id, each.added) for each in watcher.scan()]
        [('created', 's', 1)]
    """

    def __init__(
        self,
        store: StateStore,
        *,
        sessions: bool = True,
        collections: Iterable[str] | None = None,
        user_id: str | None = None,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._collections = None if collections is None else sorted({*collections})
        self._wanted = Filter(user_id=user_id)
        self._emitter = Emitter(store, (), "Watcher")
        self._heads: dict[str, Heads] = {}
        self._known: dict[str, _Known] = {}
        self._newest = 0
        self._compared_at: float | None = None
        self.problems: tuple[Problem, ...] = ()
        """What could not be read at the last look; it does not count as deleted."""

    def scan(self) -> list[Change]:
        """Look at the store and return what changed since the last look; at first, nothing.

        Several changes in between count as one; deleting and creating anew counts as two.

        Raises:
            UnavailableError, AccessDeniedError: The store did not answer, or denied access; the
                next look finds what this one missed.
        """
        with self._emitter.operation("scan"):
            now = time.monotonic()
            is_first = self._compared_at is None
            if self._compared_at is not None and power(self._store, SupportsQuery) is not None:
                lately = now - self._compared_at < _WHOLE.total_seconds()
                if lately and (changes := self._updated()) is not None:
                    return changes
            changes = self._compare()
            self._compared_at = now
            return [] if is_first else changes

    def _updated(self) -> list[Change] | None:
        """Query the store for updates; None if the numbers do not add up."""
        since = from_microseconds(min(self._newest, to_microseconds(utc_now()))) - _OVERLAP
        wanted = replace(self._wanted, updated_after=since)
        records: list[HeadRecord] = []
        problems: list[Problem] = []
        count = 0
        for heads in self._all_heads():
            found = heads.select(wanted, "updated", None, None, None)
            records += found.records
            problems += found.problems
            count += heads.count(self._wanted, None)
        unreadable = sum(problem.key in self._known for problem in problems)
        new = sum(record.key not in self._known for record in records)
        if count != len(self._known) - unreadable + new:
            return None
        self.problems = tuple(problems)
        return [change for record in records for change in self._seen(record)]

    def _compare(self) -> list[Change]:
        """Find changes by comparing everything."""
        left = {*self._known}
        changes: list[Change] = []
        problems: list[Problem] = []
        for heads in self._all_heads():
            found = heads.select(self._wanted, "updated", None, None, None)
            for record in found.records:
                left.discard(record.key)
                changes += self._seen(record)
            problems += found.problems
        self.problems = tuple(problems)
        left -= {problem.key for problem in problems}
        return [*map(self._gone, sorted(left)), *changes]

    def _all_heads(self) -> list[Heads]:
        names = self._collections
        chosen = [SESSION_HEADS] if self._sessions else []
        if names is None and power(self._store, SupportsQuery) is not None:
            # One query finds the journals of all collections.
            chosen.append(replace(journal_heads("all"), prefix=JOURNALS))
        else:
            found = journal_collections(self._store) if names is None else names
            chosen += map(journal_heads, found)
        # Reused, because they cache what they have read.
        self._heads = {
            each.prefix: self._heads.get(each.prefix) or heads_of(self._store, each, self._emitter)
            for each in chosen
        }
        return [*self._heads.values()]

    def _seen(self, record: HeadRecord) -> Iterator[Change]:
        """Remember a record, and yield the changes since it was last seen."""
        known = self._known.get(record.key)
        if known is not None and known.version == record.version:
            return
        if known is not None and known.created_at != record.created_at:
            yield self._gone(record.key)
            known = None
        self._known[record.key] = now = _Known(
            record.version,
            record.created_at,
            record.length,
            record.user_id,
            record.id,
            record.name,
        )
        self._newest = max(self._newest, record.updated_at)
        kind: ChangeKind = "created" if known is None else "changed"
        at = from_microseconds(record.updated_at if known else record.created_at)
        yield _change(kind, record.key, now, at, now.length - (known.length if known else 0))

    def _gone(self, key: str) -> Change:
        known = self._known.pop(key)
        return _change("deleted", key, known, utc_now(), -known.length)


def watch(
    store: StateStore,
    *,
    every: timedelta = _SECONDS,
    sessions: bool = True,
    collections: Iterable[str] | None = None,
    user_id: str | None = None,
) -> Iterator[Change]:
    """Yield what is created, changed and deleted in a store, polling it without end.

    Args:
        store: The store to watch.
        every: How long to wait between two looks.
        sessions: Whether to watch sessions.
        collections: The collections whose journals to watch; None for all, ``()`` for none.
        user_id: Only watch what belongs to this user.

    Raises:
        InvalidKeyError, UnavailableError, AccessDeniedError: As in `Watcher.scan`, and the
            iteration ends; use a `Watcher` to go on after an error.
    """
    watcher = Watcher(store, sessions=sessions, collections=collections, user_id=user_id)
    while True:
        yield from watcher.scan()
        time.sleep(every.total_seconds())


def _change(kind: ChangeKind, key: str, known: _Known, at: datetime, added: int) -> Change:
    return Change(
        kind,
        at,
        None if known.name is None else key.split("/", 2)[1],
        known.id,
        () if known.name is None else tuple(orjson.loads(known.name)),
        known.user_id,
        known.length,
        added,
    )
