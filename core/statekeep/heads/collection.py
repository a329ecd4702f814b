"""Collections: where the heads of one listing are stored, and how to read one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from statekeep.format.record import read_record
from statekeep.store.keys import CACHE, SESSIONS, is_session_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.format.record import HeadRecord
    from statekeep.store.protocol import Blob

__all__ = ["SESSION_HEADS", "Collection"]


@dataclass(frozen=True, slots=True)
class Collection:
    """Heads that are listed together.

    Attributes:
        prefix: The prefix of their keys.
        index: The key of their persisted index. The number in it is the format's, so that older
            and newer versions of statekeep can share a store.
        holds: Returns whether a key is that of a head.
        read: Reads what a listing needs from the document at a key. Raises `CorruptDataError` if
            it is not a head, `UnsupportedError` if it has a newer format.
    """

    prefix: str
    index: str
    holds: Callable[[str], bool]
    read: Callable[[str, Blob], HeadRecord]

    @property
    def changes(self) -> str:
        """The key of the changes since the index was persisted."""
        return f"{self.index.removesuffix('.jsonl')}-changes.jsonl"


SESSION_HEADS: Final = Collection(
    SESSIONS, f"{CACHE}/summaries-5.jsonl", is_session_key, read_record
)
"""The sessions of a store."""
