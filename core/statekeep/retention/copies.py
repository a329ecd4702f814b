"""Names of copies in the trash: they tell when and of what each was made, and which is newer.

``{time}-{modified}-{digest}-{nonce}``: when the copy was put there, when its original was last
written by the store's clock, 16 digits of the hash of its bytes, and 16 digits that belong to one
attempt alone. For a session, ``-{stem}.json`` follows, the name of its file; a stem that would be
too long is cut and ends with a hash. For a journal, ``/{key}`` follows. Before 0.2, the names of
sessions were ``{time}-{16 digits}-{stem}.json``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from statekeep.store.keys import TRASH, is_journal_key, is_session_key, journal_id, session_stem
from statekeep.store.protocol import content_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.store.protocol import Blob, StateStore

__all__ = ["Copy", "copy_key", "copy_of", "digest_of", "list_copies", "stems_of"]

_TIME = "%Y%m%dT%H%M%S.%fZ"
_TIME_PATTERN = r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z"
_NAME = re.compile(
    re.escape(TRASH)
    + rf"/(?P<time>{_TIME_PATTERN})"
    + rf"(?:-(?P<modified>{_TIME_PATTERN}|unknown)-(?P<digest>[0-9a-f]{{16}}))?"
    + r"-[0-9a-f]{16}(?:-(?P<stem>[^/]+)\.json|/(?P<source>.+))",
    re.DOTALL,
)
_ROOM = 255 - len("20240131T120000.000000Z-0123456789abcdef-.json")
_ROOM_BESIDE_MORE = _ROOM - len("20240131T120000.000000Z-0123456789abcdef-")


class Copy(NamedTuple):
    """A copy in the trash, as far as its name and a scan tell.

    Attributes:
        key: Its key.
        stem: The name of the session's file, cut if it was too long; of a journal, its id.
        trashed_at: When it was put there, by the store's clock if it has one, otherwise by the
            clock of whoever put it there.
        modified: When its original was last written, by the store's clock; None if unknown.
        digest: The `digest_of` its bytes; None in names from before 0.2.
        size: Its size in bytes.
        source: The key of the journal's head; None for a session.
    """

    key: str
    stem: str
    trashed_at: datetime
    modified: datetime | None
    digest: str | None
    size: int
    source: str | None = None

    @property
    def collection(self) -> str | None:
        """The journal's collection; None for a session."""
        return self.source and self.source.split("/")[1]


def copy_key(key: str, blob: Blob, now: datetime) -> str:
    """Return the key for one attempt's copy of a session or journal.

    Args:
        key: The key of the original.
        blob: The original.
        now: The current time.
    """
    modified = "unknown" if blob.modified is None else blob.modified.strftime(_TIME)
    parts = [now.strftime(_TIME), modified, digest_of(blob.data), secrets.token_hex(8)]
    attempt = f"{TRASH}/{'-'.join(parts)}"
    if not is_session_key(key):
        return f"{attempt}/{key}"
    return f"{attempt}-{_cut(key.rpartition('/')[2].removesuffix('.json'), _ROOM_BESIDE_MORE)}.json"


def digest_of(data: bytes) -> str:
    """Return the digest of a copy's bytes that its name contains."""
    return content_version(data)[:16]


def stems_of(session_id: str) -> set[str]:
    """Return the stems of all copies of a session, whichever version put them there.

    Raises:
        InvalidKeyError: The id is not legal.
    """
    stem = session_stem(session_id)
    return {_cut(stem, _ROOM), _cut(stem, _ROOM_BESIDE_MORE)}


def list_copies(store: StateStore) -> Iterator[Copy]:
    """Yield the copies in the trash, in any order; reads only names."""
    for entry in store.scan(TRASH):
        with suppress(ValueError):  # an invalid time, so not one of our names
            if copy := copy_of(entry.key, entry.modified, entry.size):
                yield copy


def copy_of(key: str, written: datetime | None, size: int) -> Copy | None:
    """Parse the name of a copy; return None if it is not one.

    Args:
        key: The key of the copy.
        written: When it was put there, if the store can tell.
        size: Its size in bytes.

    Raises:
        ValueError: A time in the name is not valid.
    """
    match = _NAME.fullmatch(key)
    if match is None or not (match["stem"] or is_journal_key(match["source"])):
        return None
    named, modified = _time(match["time"]), match["modified"]
    return Copy(
        key,
        match["stem"] or journal_id(match["source"]),
        written or named,
        None if modified in {None, "unknown"} else _time(modified),
        match["digest"],
        size,
        match["source"],
    )


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _cut(stem: str, room: int) -> str:
    if len(stem.encode()) <= room:
        return stem
    digest = hashlib.sha256(stem.encode()).hexdigest()
    cut = stem.encode()[: room - len(digest) - 1].decode(errors="ignore")
    return f"{cut}~{digest}"
