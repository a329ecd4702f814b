"""The trash: where pruned or deleted sessions and journals are kept for a while.

They are moved there by the rule of `Transfer.move`, and restored before the copy is deleted, so a
process that dies in between leaves each of them in one place or in both, never in neither.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    NotFoundError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.format.contents import about_at, fold
from statekeep.format.journal import decode_head
from statekeep.format.session import Session
from statekeep.format.version import is_head
from statekeep.retention.copies import Copy, copy_key, copy_of, digest_of, list_copies, stems_of
from statekeep.store.keys import journal_name, session_key
from statekeep.store.powers import delete_many, get_many
from statekeep.store.protocol import Blob
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.store.protocol import StateStore, Version
    from statekeep.store.transfer import Transfer

__all__ = [
    "Restorable",
    "State",
    "Trashed",
    "empty_trash",
    "id_inside",
    "is_of_session",
    "list_trash",
    "move_to_trash",
    "read_session",
    "read_trashed",
    "restore",
    "young_copies",
]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Trashed:
    """A session or journal in the trash.

    Attributes:
        key: The key of the copy; `Sessions.restore` and `Journals.restore` accept it as `copy`.
        stem: The name of the session's file, which is the id if that is a harmless file name. Of a
            journal, its `Summary.id`.
        trashed_at: When it was put there, by the store's clock if it has one, otherwise by the
            clock of whoever put it there.
        size: Its size in bytes.
        id: The session's or journal's id; None if the copy cannot be read, like the next two.
        user_id: The user who owns it, if any.
        updated_at: When it was last updated (UTC).
        collection: The journal's collection; None for a session.
        name: The journal's name there, as far as its key tells if the copy cannot be read; empty
            for a session.
    """

    key: str
    stem: str
    trashed_at: datetime
    size: int
    id: str | None
    user_id: str | None
    updated_at: datetime | None
    collection: str | None = None
    name: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State(Generic[T]):
    """What matters about a copy when restoring.

    Attributes:
        value: The session or journal.
        updated_at: When it was last updated.
        uid: The journal's uid; None for a session.
        n: The number of the journal's last change.
    """

    value: T
    updated_at: datetime
    uid: str | None = None
    n: int = 0


class Restorable(Protocol[T]):
    """A session or journal to restore.

    Attributes:
        kind: What it is, in a word.
        key: The key it belongs at.
    """

    kind: str
    key: str

    def owns(self, copy: Copy) -> bool:
        """Return whether a copy's name says that it is a copy of this."""
        ...

    def read(self, copy: Copy, blob: Blob) -> State[T]:
        """Read a copy.

        Raises:
            CorruptDataError: It cannot be read, or is a copy of something else.
            UnsupportedError: A newer version of statekeep wrote it.
        """
        ...

    def revive(self, value: T, nonce: str) -> bytes:
        """Return the bytes to write at `key`: a copy's state, with a nonce under `RESTORED`.

        Raises:
            CorruptDataError: Part of it is gone.
        """
        ...


def is_of_session(copy: Copy) -> bool:
    """Return whether this is a copy of a session."""
    return copy.source is None


def young_copies(store: StateStore, now: datetime) -> frozenset[str]:
    """Return the digests of copies that are less than a day old; for `move_to_trash`."""
    return frozenset(
        copy.digest
        for copy in list_copies(store)
        if copy.digest is not None and now - copy.trashed_at < _DAY
    )


def move_to_trash(
    transfer: Transfer,
    key: str,
    blob: Blob,
    *,
    now: datetime,
    young: frozenset[str] = frozenset(),
) -> None:
    """Move a session or journal to the trash.

    Args:
        transfer: Performs the move.
        key: The key to move from.
        blob: The document as it was read.
        now: The current time.
        young: What `young_copies` returned. While there is a young copy of the same bytes, an
            earlier attempt may still be under way, and every new one would add a copy.

    Raises:
        ConflictError: It has changed or is gone.
        UnavailableError: The store did not answer, or there is a young copy of it.
    """
    if digest_of(blob.data) in young:
        raise UnavailableError(
            "a copy of it was put into the trash less than a day ago; retry after a day",
            key=key,
            store=transfer.store,
            landed="unknown",
        )
    transfer.move(key, blob, copy_key(key, blob, now))


def list_trash(
    store: StateStore, wanted: Callable[[Copy], bool], user_id: str | None = None
) -> list[Trashed]:
    """List what is in the trash, newest first; reads every copy.

    Args:
        store: The store.
        wanted: Tells which copies to list.
        user_id: Only copies of what belongs to this user, which excludes those that cannot be read.
    """
    copies = {copy.key: copy for copy in list_copies(store) if wanted(copy)}
    found: list[Trashed] = []
    for key, blob in get_many(store, copies):
        if blob is not None:  # otherwise emptied since the scan
            trashed = _trashed(store, copies[key], blob)
            if user_id is None or trashed.user_id == user_id:
                found.append(trashed)
    found.sort(key=lambda each: (each.trashed_at, each.key), reverse=True)
    return found


def _trashed(store: StateStore, copy: Copy, blob: Blob | StateStoreError) -> Trashed:
    trashed = Trashed(
        key=copy.key,
        stem=copy.stem,
        trashed_at=copy.trashed_at,
        size=copy.size,
        id=None,
        user_id=None,
        updated_at=None,
        collection=copy.collection,
        name=() if copy.source is None else journal_name(copy.source),
    )
    if isinstance(blob, Blob):
        try:
            inner, user_id, updated_at, name = _told(copy, blob.data)
            return replace(trashed, id=inner, user_id=user_id, updated_at=updated_at, name=name)
        except (CorruptDataError, UnsupportedError) as error:
            _logger.debug("%r on %s: %s", copy.key, store, error)
    return trashed


def id_inside(store: StateStore, copy: Copy, blob: Blob) -> str:
    """Return the id of the session, or the `Summary.id` of the journal, that a copy is of.

    Raises:
        CorruptDataError: It cannot be read.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    try:
        return _told(copy, blob.data)[0]
    except (CorruptDataError, UnsupportedError) as error:
        raise _staying(error, store, copy) from None


def _told(copy: Copy, data: bytes) -> tuple[str, str | None, datetime, tuple[str, ...]]:
    """Return id, user, time of the last update and name of what a copy holds."""
    if copy.source is None and not is_head(data):
        session = read_session(copy, data)
        return session.id, session.user_id, session.updated_at, ()
    lines = decode_head(data)
    contents = fold(lines.header, lines.changes)
    if copy.source is not None:
        about = about_at(copy.source, contents)
        return copy.stem, about.user_id, about.updated_at, about.name
    inner = str(contents.about.get("id", ""))
    _check_stem(copy, inner)
    about = about_at(session_key(inner), contents)
    return inner, about.user_id, about.updated_at, ()


def read_session(copy: Copy, data: bytes) -> Session:
    """Read a copy of a session that is stored whole.

    Raises:
        CorruptDataError: It is not a session, or not the one that its name says.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    session = Session.from_json(data)
    _check_stem(copy, session.id)
    return session


def _check_stem(copy: Copy, session_id: str) -> None:
    try:
        sound = copy.stem in stems_of(session_id)
    except InvalidKeyError:
        sound = False
    if not sound:
        raise CorruptDataError(f"it is not named as a copy of {session_id[:80]!r}", key=copy.key)


def restore(
    transfer: Transfer, wanted: Restorable[T], chosen: str | None = None
) -> tuple[T, bytes, Version]:
    """Restore the newest state of something, if nothing is in its place.

    Args:
        transfer: Performs the write.
        wanted: What to restore.
        chosen: The key of the copy to restore instead of the newest state.

    Returns:
        The chosen state, the bytes that were written, and their version.

    Raises:
        NotFoundError: There is no copy.
        ConflictError: Something is there already; nothing was changed.
        CorruptDataError: No copy can be read, or part of the newest is gone; the copies stay.
        UnsupportedError: A newer version of statekeep wrote it; it stays where it is.
    """
    store, key = transfer.store, wanted.key
    # Checked before the copies are listed, so that they include what is pruned in between.
    if store.get(key) is not None:
        raise _live(store, wanted)
    copies = [
        copy for copy in list_copies(store) if chosen in {None, copy.key} and wanted.owns(copy)
    ]
    copy, value = _newest(store, wanted, copies)
    try:
        data = wanted.revive(value, secrets.token_hex(16))
    except CorruptDataError as error:
        raise _staying(error, store, copy) from None
    try:
        version = transfer.put_new(key, data)
    except ConflictError as error:
        raise _live(store, wanted, error) from error
    _remove_if_old(store, key, copy)
    return value, data, version


def _live(
    store: StateStore, wanted: Restorable[T], error: ConflictError | None = None
) -> ConflictError:
    return ConflictError(
        f"the {wanted.kind} already exists; delete it first, or leave the copy in the trash",
        key=wanted.key,
        store=store,
        landed="no" if error is None else error.landed,
    )


def _newest(store: StateStore, wanted: Restorable[T], copies: list[Copy]) -> tuple[Copy, T]:
    """Return the newest state, whichever copy was put into the trash last."""
    by_key = {copy.key: copy for copy in copies}
    # Copies of one journal compare by the number of the last change, all others only by time.
    newest: dict[str, tuple[Copy, State[T]]] = {}
    flaw: StateStoreError | None = None
    for place, blob in get_many(store, by_key):
        if blob is None:
            continue
        copy = by_key[place]
        try:
            if not isinstance(blob, Blob):
                raise blob
            state = _read(store, wanted, copy, blob)
        except StateStoreError as error:
            flaw = error
            continue
        one = state.uid or copy.key
        newest[one] = max(newest.get(one, (copy, state)), (copy, state), key=_last_change)
    if newest:
        copy, state = max(newest.values(), key=_age)
        return copy, state.value
    raise flaw or NotFoundError(f"no such {wanted.kind} in the trash", key=wanted.key, store=store)


def _last_change(each: tuple[Copy, State[T]]) -> tuple[object, ...]:
    return each[1].n, *_age(each)


def _age(each: tuple[Copy, State[T]]) -> tuple[object, ...]:
    copy, state = each
    return state.updated_at, copy.modified or _NEVER, copy.trashed_at, copy.key


def _read(store: StateStore, wanted: Restorable[T], copy: Copy, blob: Blob) -> State[T]:
    try:
        return wanted.read(copy, blob)
    except (CorruptDataError, UnsupportedError) as error:
        raise _staying(error, store, copy) from None


def _staying(
    error: CorruptDataError | UnsupportedError, store: StateStore, copy: Copy
) -> StateStoreError:
    return type(error)(f"{error.message}; it stays in the trash", key=copy.key, store=store)


def _remove_if_old(store: StateStore, key: str, copy: Copy) -> None:
    # A young copy may be the only one left if a delete is still on its way: it is deleted when
    # the trash is emptied. So is a copy that cannot be deleted now.
    try:
        live = store.get(key)
        if live is not None and (live.modified or utc_now()) - copy.trashed_at >= _HOUR:
            store.delete(copy.key)
    except StateStoreError as error:
        _logger.warning("the copy %r stays in the trash: %s", copy.key, error)


def read_trashed(key: str, data: bytes) -> None:
    """Check that a copy in the trash can be read.

    Raises:
        CorruptDataError: It is not a session or journal, or not the one that its name says.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    try:
        copy = copy_of(key, None, len(data))
    except ValueError:
        copy = None
    if copy is None:
        raise CorruptDataError("it is not named as a copy of anything", key=key)
    _told(copy, data)


def empty_trash(
    store: StateStore,
    *,
    older_than: timedelta,
    now: datetime,
    wanted: Callable[[Copy], bool] = lambda _: True,
    user_id: str | None = None,
) -> int:
    """Permanently delete old copies in the trash; return how many.

    Args:
        store: The store.
        older_than: Only copies that have been there at least this long.
        now: The current time, by the store's clock if it has one.
        wanted: Tells which copies to delete.
        user_id: As in `list_trash`; these copies are read.
    """

    def goes(copy: Copy) -> bool:
        return now - copy.trashed_at >= older_than and wanted(copy)

    if user_id is None:
        old = [copy.key for copy in list_copies(store) if goes(copy)]
    else:
        old = [trashed.key for trashed in list_trash(store, goes, user_id)]
    if old:
        delete_many(store, old)
    return len(old)
