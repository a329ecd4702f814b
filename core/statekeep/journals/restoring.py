"""Journals in the trash: reading a copy of a head, and putting it back."""

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
        store: The store that holds its segments.
        key: The key that its head belongs at.
        follow: Returns the next head after a change to the metadata.
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
                # An older copy may have all of them: going back to it is the caller's decision.
                raise CorruptDataError(
                    f"{len(gone)} of its {len(segments)} segments are gone, as if it had been "
                    "permanently deleted; choose another copy, if there is one"
                )
        # It sets no time, because a restore is not an update.
        change = Change(n=value.contents.n + 1, id=secrets.token_hex(12), set={RESTORED: nonce})
        return self._follow(value, change)
