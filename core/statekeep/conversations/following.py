"""Following a conversation as it grows."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson
from blake3 import blake3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from statekeep.conversations.reading import Excerpt
    from statekeep.conversations.types import Entry
    from statekeep.store.protocol import Version

__all__ = ["Follower"]

_REMEMBERED: Final = 1000
"""How many of the last entries are checked for changes."""


class Follower:
    """Yields new entries, and tells which earlier ones were changed or removed.

    It remembers a hash of each of the last entries. After a change it first checks the very last
    one, which is read along with the new ones, and reads the others only if that one differs.

    Args:
        parts: Reads entries, like `Conversation.parts`.
        is_still: Tells whether the conversation still has a version.
        every: How long to wait between two looks.
    """

    def __init__(
        self,
        parts: Callable[..., Iterator[Excerpt]],
        is_still: Callable[[Version], bool],
        every: timedelta,
    ) -> None:
        self._parts = parts
        self._is_still = is_still
        self._pause = every.total_seconds()
        self._given: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._seen: Excerpt | None = None
        self._next = self._first = 0

    def follow(self, start: int) -> Iterator[Excerpt]:
        """Yield excerpts until the conversation is deleted; see `Conversation.follow`."""
        for found in self._parts(start=start):
            if self._seen is None:
                # The conversation may be shorter than the start.
                self._first = self._next = min(found.start, found.length)
            yield from self._given_on(found)
        while self._seen is not None:
            time.sleep(self._pause)
            if self._is_still(self._seen.version):
                continue
            before = self._seen
            self._seen = None
            yield from self._changed(before)

    def _changed(self, before: Excerpt) -> Iterator[Excerpt]:
        """Yield what is new; `_seen` stays None if the conversation is gone."""
        # The last known entry is read as well, to be compared.
        start = max(self._first, self._next - 1)
        for number, found in enumerate(self._parts(start=start)):
            if number == 0:
                self._seen = found
                place = self._place_of_difference(before, found)
                if place != self._next:
                    yield replace(found, start=place, entries=())
                    self._forget(place)
                    break
                yield from self._given_on(_from(found, place))
            else:
                yield from self._given_on(found)
        else:
            return
        for found in self._parts(start=self._next):
            yield from self._given_on(found)

    def _place_of_difference(self, before: Excerpt, found: Excerpt) -> int:
        """Return the place of the first known entry that is no longer the same."""
        if found.identity != before.identity:
            self._first = 0
            return 0
        oldest = self._next - len(self._given)
        if found.length >= self._next:
            if not self._given:
                return self._next
            if found.entries and _hash(found.entries[0]) == self._given[-1]:
                return self._next
        place = oldest
        for part in self._parts(start=oldest, stop=self._next):
            for entry in part.entries:
                if entry.index != place or _hash(entry) != self._given[place - oldest]:
                    return place if place > oldest else self._first
                place += 1
        return place if place > oldest else min(self._first, found.length)

    def _given_on(self, found: Excerpt) -> Iterator[Excerpt]:
        says_more = self._seen is None or found.start < self._next or bool(found.entries)
        self._seen = found
        if found.start < self._next:
            self._forget(found.start)
        if says_more:
            yield found
        self._given.extend(map(_hash, found.entries))
        self._next = found.start + len(found.entries)

    def _forget(self, place: int) -> None:
        """Forget the known entries from a place on."""
        for _ in range(min(len(self._given), self._next - place)):
            self._given.pop()
        self._next = place
        self._first = min(self._first, place)


def _from(found: Excerpt, place: int) -> Excerpt:
    skipped = place - found.start
    return replace(found, start=place, entries=found.entries[skipped:]) if skipped else found


def _hash(entry: Entry) -> bytes:
    return blake3(orjson.dumps(entry.raw)).digest(length=16)
