"""Names of copies in the trash: they say when, of what, and which is the newer state.

``{time}-{modified}-{digest}-{nonce}``: when the copy was put there, when what it is a copy of was
last written by the store's clock, 16 digits of the hash of its bytes, and 16 that belong to one
attempt alone. Of a session ``-{stem}.json`` follows, the name of its file; a stem that would be too
long is cut and ends with a hash. Of a journal ``/{key}`` follows. Before 0.2 names of sessions were
``{time}-{16 digits}-{stem}.json``.
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
    """A copy in the trash, as its name and a scan tell of it.

    Attributes:
        key: Where it lies.
        stem: The name of the session's file, cut where it was too long; a journal's id.
        trashed_at: When it was put there: the store's time, else that of whoever put it there.
        modified: When its original was last written, as the store said; None if it did not.
        digest: What `digest_of` gives of its bytes; None in names from before 0.2.
        size: Bytes.
        source: Where the head of the journal lay; None for a session.
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
        """The journal's; None for a session."""
        return self.source and self.source.split("/")[1]


def copy_key(key: str, blob: Blob, now: datetime) -> str:
    """Where one attempt puts its copy of a session or journal.

    Args:
        key: Its key.
        blob: What it is.
        now: When.
    """
    modified = "unknown" if blob.modified is None else blob.modified.strftime(_TIME)
    parts = [now.strftime(_TIME), modified, digest_of(blob.data), secrets.token_hex(8)]
    attempt = f"{TRASH}/{'-'.join(parts)}"
    if not is_session_key(key):
        return f"{attempt}/{key}"
    return f"{attempt}-{_cut(key.rpartition('/')[2].removesuffix('.json'), _ROOM_BESIDE_MORE)}.json"


def digest_of(data: bytes) -> str:
    """What the name of a copy says of its bytes."""
    return content_version(data)[:16]


def stems_of(session_id: str) -> set[str]:
    """What the copies of a session are called, whichever version put them there.

    Raises:
        InvalidKeyError: The id is not legal.
    """
    stem = session_stem(session_id)
    return {_cut(stem, _ROOM), _cut(stem, _ROOM_BESIDE_MORE)}


def list_copies(store: StateStore) -> Iterator[Copy]:
    """The copies in the trash, in any order; reads names only."""
    for entry in store.scan(TRASH):
        with suppress(ValueError):  # a time that is none, so no name of ours
            if copy := copy_of(entry.key, entry.modified, entry.size):
                yield copy


def copy_of(key: str, written: datetime | None, size: int) -> Copy | None:
    """What the name of a copy tells; None if it is none.

    Args:
        key: Where it lies.
        written: When it was put there, if the store can tell.
        size: Bytes.

    Raises:
        ValueError: A time in it is none.
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
