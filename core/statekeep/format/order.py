"""The order of a conversation, whose questions and answers are stored in two lists.

The times show it, unless a clock went backwards or gave two messages the same time. Then the order
is stored in the metadata: a ``u`` or an ``a`` for each of the first messages. Later ones are sorted
by time.
"""

from __future__ import annotations

from heapq import merge
from itertools import pairwise
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = ["ORDER", "Conversation", "in_order", "order_of", "rearranged"]

ORDER: Final = "statekeep.order"
"""The metadata key of the order."""


class _Message(Protocol):
    @property
    def timestamp(self) -> datetime: ...
    @property
    def role(self) -> str: ...


U = TypeVar("U", bound=_Message)
A = TypeVar("A", bound=_Message)


def in_order(asked: Sequence[U], answered: Sequence[A], metadata: Mapping[str, Any]) -> list[U | A]:
    """Return all messages of a session in the order in which they were added.

    An order in the metadata that covers more messages than exist is outdated, and ignored.
    """
    order = _kept(metadata, len(asked), len(answered))
    users: Iterator[U | A] = iter(asked)
    agents: Iterator[U | A] = iter(answered)
    messages = [next(users if who == "u" else agents) for who in order]
    messages.extend(merge(users, agents, key=attrgetter("timestamp")))
    return messages


def order_of(messages: Iterable[_Message]) -> str:
    """Return the order of messages in the form in which the metadata stores it."""
    return "".join([message.role[0] for message in messages])


def rearranged(
    before: Sequence[_Message], asked: Sequence[U], answered: Sequence[A]
) -> list[U | A]:
    """Return all messages in order after someone changed the two lists.

    A message that stayed keeps its place, one that replaced another in its list takes that one's
    place, and one inserted before others in its list comes before them. The rest is sorted by time.

    Args:
        before: The messages as they were.
        asked: The user's messages now.
        answered: The agent's messages now.
    """
    places = {id(message): place for place, message in enumerate(before)}
    there = {*map(id, asked), *map(id, answered)}

    def placed(now: Sequence[U | A], role: str) -> list[tuple[float, U | A]]:
        old = [message for message in before if message.role == role]
        found: list[tuple[float, U | A]] = []
        first = inf
        for n in reversed(range(len(now))):
            place = places.get(id(now[n]))
            if place is None and n < len(old) and id(old[n]) not in there:
                place = places[id(old[n])]
            first = first if place is None else min(first, place)
            found.append((first, now[n]))
        return found[::-1]

    both = merge(
        placed(asked, "user"),
        placed(answered, "agent"),
        key=lambda each: (each[0], each[1].timestamp),
    )
    return [message for _, message in both]


class Conversation:
    """The messages of a session in order, while the session is in memory.

    Args:
        messages: The messages, in order.
        is_disordered: Whether their times have ever failed to show it.
    """

    __slots__ = ("_covered", "is_disordered", "messages")

    def __init__(self, messages: list[Any], *, is_disordered: bool) -> None:
        self.messages = messages
        self.is_disordered = is_disordered
        self._covered = 0

    @classmethod
    def of(cls, messages: list[Any]) -> Conversation:
        """Create the conversation that consists of messages in order."""
        return cls(messages, is_disordered=not _is_told(messages))

    def settle(self, metadata: dict[str, Any]) -> None:
        """Store the order in the metadata if, and only if, the times do not show it."""
        self.is_disordered = not _is_told(self.messages)
        self._covered = 0
        metadata.pop(ORDER, None)
        if self.is_disordered:
            self._keep(metadata)

    def add(self, message: _Message, metadata: dict[str, Any]) -> None:
        """Append a message; all before it are settled."""
        self.messages.append(message)
        if self._covered < len(self.messages) - 1 and not _is_told(self.messages[-2:]):
            self.is_disordered = True
            self._keep(metadata)

    def _keep(self, metadata: dict[str, Any]) -> None:
        kept = metadata.get(ORDER, "")
        if not isinstance(kept, str) or len(kept) != self._covered:
            kept = ""
        metadata[ORDER] = kept + order_of(self.messages[len(kept) :])
        self._covered = len(self.messages)


def _is_told(messages: Sequence[_Message]) -> bool:
    """Whether the times of consecutive messages determine their order."""
    # Of two messages with the same time, the user's comes first.
    return all(
        before.timestamp < after.timestamp
        or (before.timestamp == after.timestamp and before.role in {after.role, "user"})
        for before, after in pairwise(messages)
    )


def _kept(metadata: Mapping[str, Any], users: int, agents: int) -> str:
    order = metadata.get(ORDER)
    if isinstance(order, str) and not order.strip("ua"):
        asked = order.count("u")
        if asked <= users and len(order) - asked <= agents:
            return order
    return ""
