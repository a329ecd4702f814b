"""A journal in the trash: how a copy of its head is read, and what is put back."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from statekeep.errors import CorruptDataError
from statekeep.format.journal import Change
from statekeep.format.summary import RESTORED
from statekeep.journals.committing import decode_seen
from statekeep.retention.trash import State
from statekeep.store.keys import segment_key, segment_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.journals.committing import Seen
    from statekeep.retention.copies import Copy
    from statekeep.store.protocol import Blob, StateStore

__all__ = ["JournalCopies"]


class JournalCopies:
    """A journal as `Restorable`.

    Args:
        store: Where its segments lie.
        key: Where its head belongs.
        follow: Gives the head that follows one by a change of the metadata.
    """

    kind = "journal"

    def __init__(
        self, store: StateStore, key: str, follow: Callable[[Seen, Change], bytes]
    ) -> None:
        self.key = key
        self._store = store
        self._follow = follow

    def owns(self, copy: Copy) -> bool:
        """As `Restorable.owns`."""
        return copy.source == self.key

    def read(self, copy: Copy, blob: Blob) -> State[Seen]:  # noqa: ARG002
        """As `Restorable.read`."""
        seen = decode_seen(self.key, blob.data, blob.version)
        return State(seen, seen.about.updated_at, seen.uid, seen.contents.n)

    def revive(self, value: Seen, nonce: str) -> bytes:
        """As `Restorable.revive`."""
        if segments := value.lines.header.segments:
            there = {entry.key for entry in self._store.scan(segment_prefix(value.uid))}
            gone = [each for each in segments if segment_key(value.uid, each.name) not in there]
            if gone:
                # An older copy may have all: whether to go back to it is for the caller to say.
                raise CorruptDataError(
                    f"{len(gone)} of its {len(segments)} segments are gone, as if it had been "
                    "deleted for good; choose another copy, if there is one"
                )
        # No time: it is not updated by coming back.
        change = Change(n=value.contents.n + 1, id=secrets.token_hex(12), set={RESTORED: nonce})
        return self._follow(value, change)
