"""The order of a conversation, whose questions and answers are stored in two lists.

The times tell it, unless a clock stepped back or gave two messages the same. Then it is kept in the
metadata: a ``u`` or an ``a`` for each of the first messages. Those that follow are told by time.
"""

from __future__ import annotations

from heapq import merge
from itertools import chain, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = ["ORDER", "in_order", "keep_order", "order_of"]

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
    """All messages of a session in the order in which they were added.

    An order in the metadata that names more than there are is one of another state, and ignored.
    """
    order = _kept(metadata, len(asked), len(answered))
    users: Iterator[U | A] = iter(asked)
    agents: Iterator[U | A] = iter(answered)
    messages = [next(users if who == "u" else agents) for who in order]
    messages.extend(merge(users, agents, key=attrgetter("timestamp")))
    return messages


def order_of(messages: Iterable[_Message]) -> str:
    """The order of some messages as the metadata has it."""
    return "".join([message.role[0] for message in messages])


def keep_order(
    said: _Message,
    asked: Sequence[_Message],
    answered: Sequence[_Message],
    metadata: dict[str, Any],
    *,
    ascending: bool,
) -> None:
    """Note the order in the metadata if the time of a message that is to be added does not tell it.

    Args:
        said: The message.
        asked: What the user said before.
        answered: What the agent said before.
        metadata: That of the session.
        ascending: Whether those of the earlier messages that the metadata does not cover are known
            to be told by their times; else that is looked at.
    """
    order = _kept(metadata, len(asked), len(answered))
    if not order:
        metadata.pop(ORDER, None)  # of another state
    users = order.count("u")
    rest = [(asked, users), (answered, len(order) - users)]
    tells = ascending or all(
        before.timestamp <= after.timestamp
        for messages, start in rest
        for before, after in pairwise(messages[start:])
    )
    latest = [messages[-1] for messages, start in rest if len(messages) > start]
    if not (tells and all(_is_told(before, said) for before in latest)):
        metadata[ORDER] = order_of(chain(in_order(asked, answered, metadata), [said]))


def _is_told(before: _Message, after: _Message) -> bool:
    # Of two of the same time the user's comes first.
    if before.timestamp == after.timestamp:
        return before.role in {after.role, "user"}
    return before.timestamp < after.timestamp


def _kept(metadata: Mapping[str, Any], users: int, agents: int) -> str:
    order = metadata.get(ORDER)
    if isinstance(order, str) and not order.strip("ua"):
        asked = order.count("u")
        if asked <= users and len(order) - asked <= agents:
            return order
    return ""
