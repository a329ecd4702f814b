"""What a key says about a document that an erasure finds, and the order of victims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from statekeep.store.keys import QUARANTINE, TRASH, is_journal_key, is_session_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.erasure.types import ErasureVictim, VictimKind

__all__ = ["former", "is_below", "is_read_as_head", "kind_of", "ordered"]

_RANK: Final[dict[VictimKind, int]] = {
    "session": 0,
    "journal": 0,
    "document": 1,
    "blob": 1,
    "trashed": 2,
    "quarantined": 2,
    "segment": 3,
    "attachment": 3,
    "index": 4,
}
"""The order in which victims are listed."""


def ordered(victims: Iterable[ErasureVictim]) -> tuple[ErasureVictim, ...]:
    """Sort victims by kind, then by key."""
    return tuple(sorted(victims, key=lambda each: (_RANK[each.kind], each.key)))


def is_read_as_head(key: str) -> bool:
    """Whether a session or journal, or a trashed or quarantined one, may be at this key."""
    return is_session_key(key) or is_journal_key(key) or is_below(key, TRASH, QUARANTINE)


def kind_of(key: str) -> VictimKind:
    """The kind of victim that a session or journal at this key is."""
    if is_below(key, TRASH):
        return "trashed"
    if is_below(key, QUARANTINE):
        return "quarantined"
    return "session" if is_session_key(key) else "journal"


def former(key: str) -> str:
    """The key that a quarantined document had before."""
    return key.split("/", QUARANTINE.count("/") + 2)[-1]


def is_below(key: str, *prefixes: str) -> bool:
    """Whether a key is below one of the prefixes."""
    return key.startswith(tuple([f"{prefix}/" for prefix in prefixes]))
