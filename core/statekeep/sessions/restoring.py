"""Sessions in the trash: reading a copy, whatever its form, and putting it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.errors import CorruptDataError, NotFoundError
from statekeep.format.session import Session
from statekeep.format.summary import RESTORED
from statekeep.format.version import is_head
from statekeep.journals.restoring import JournalCopies
from statekeep.journals.writing import HeadWriter
from statekeep.retention.copies import list_copies, stems_of
from statekeep.retention.trash import State, id_inside, is_of_session, read_session, restore
from statekeep.store.keys import session_key

if TYPE_CHECKING:
    from statekeep.journals.committing import Seen
    from statekeep.retention.copies import Copy
    from statekeep.store.protocol import Blob, Version
    from statekeep.store.transfer import Transfer

__all__ = ["restore_session"]


def restore_session(
    transfer: Transfer, name: str, chosen: str | None = None
) -> tuple[str, Session | None, bytes, Version]:
    """Restore a session, as `restore` does.

    Args:
        transfer: Writes the session.
        name: The session's id, or `Trashed.stem`.
        chosen: The key of the copy to restore instead of the newest state.

    Returns:
        Its id, the session if it is stored whole, the bytes that were written, and its version.
    """
    wanted = _SessionCopies(transfer, name)
    try:
        value, data, version = restore(transfer, wanted, chosen)
    except (NotFoundError, CorruptDataError):
        inner = _id_by_stem(transfer, name, chosen)
        if inner in {None, name}:
            raise
        return restore_session(transfer, inner, chosen)
    return name, value if isinstance(value, Session) else None, data, version


def _id_by_stem(transfer: Transfer, stem: str, chosen: str | None) -> str | None:
    """Return the id of a trashed session whose file had this stem."""
    store = transfer.store
    for copy in list_copies(store):
        is_meant = copy.stem == stem and is_of_session(copy) and chosen in {None, copy.key}
        if is_meant and (blob := store.get(copy.key)):
            return id_inside(store, copy, blob)
    return None


class _SessionCopies:
    """A session as `Restorable`."""

    kind = "session"

    def __init__(self, transfer: Transfer, session_id: str) -> None:
        self.key = session_key(session_id)
        self._stems = stems_of(session_id)
        follow = HeadWriter(transfer, self.key, ()).appended
        self._copies = JournalCopies(transfer.store, self.key, follow)

    def owns(self, copy: Copy) -> bool:
        return is_of_session(copy) and copy.stem in self._stems

    def read(self, copy: Copy, blob: Blob) -> State[Session | Seen]:
        if not is_head(blob.data):
            session = read_session(copy, blob.data)
            if session_key(session.id) != self.key:  # the copy has the name this session's would
                raise CorruptDataError(f"it is a copy of {session.id[:80]!r}")
            return State(session, session.updated_at)
        state = self._copies.read(copy, blob)
        return State(state.value, state.updated_at, state.uid, state.n)

    def revive(self, value: Session | Seen, nonce: str) -> bytes:
        if isinstance(value, Session):
            value.metadata[RESTORED] = nonce
            return value.to_json()
        return self._copies.revive(value, nonce)
