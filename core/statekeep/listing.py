"""What is in a store, read: the catalogue of its sessions, and pages of it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from statekeep.errors import CorruptDataError, InvalidKeyError, StateStoreError
from statekeep.keys import SESSIONS, parse_session_key, session_stem
from statekeep.models import Session, SessionSummary
from statekeep.protocol import get_many
from statekeep.timestamps import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from statekeep.protocol import Blob, StateStore, Version

__all__ = ["Catalogue", "Listing", "Problem", "Record", "decode_session", "page", "read_catalogue"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A document that is there but cannot be read.

    Attributes:
        key: Where it lies.
        version: What lies there; None if this process may not read it.
        reason: Why it cannot be read.
    """

    key: str
    version: Version | None
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A readable session as a scan found it.

    Attributes:
        summary: What it says of itself.
        key: Where it lies.
        version: What exactly was read.
        modified: When the store says it was last written.
    """

    summary: SessionSummary
    key: str
    version: Version
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All sessions of a store, newest first, and what could not be read."""

    records: tuple[Record, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of sessions, newest first; iterating yields its summaries.

    Attributes:
        summaries: Newest `updated_at` first, ties by id.
        problems: Every document of the store that should be a session and cannot be read,
            whatever the filters and the page.
        cursor: What to hand to the next call for the next page; None if this was the last.
    """

    summaries: tuple[SessionSummary, ...]
    problems: tuple[Problem, ...]
    cursor: str | None

    def __iter__(self) -> Iterator[SessionSummary]:
        return iter(self.summaries)

    def __len__(self) -> int:
        return len(self.summaries)


def decode_session(key: str, blob: Blob) -> Session:
    """Read the session that lies at a key.

    Raises:
        CorruptDataError: It is no session, or one whose id belongs in another place.
    """
    session = Session.from_json(blob.data)
    try:
        sound = session_stem(session.id) == parse_session_key(key)
    except InvalidKeyError:
        sound = False
    if not sound:
        raise CorruptDataError(f"the id inside, {session.id[:80]!r}, does not belong here")
    session.expect_version(blob.version)
    return session


def read_catalogue(store: StateStore) -> Catalogue:
    """Read every session of a store."""
    # A dict, because a folder that is written while it is scanned may name a file twice.
    keys = dict.fromkeys(
        entry.key for entry in store.scan(SESSIONS) if parse_session_key(entry.key) is not None
    )
    records: list[Record] = []
    problems: list[Problem] = []
    for key, blob in get_many(store, keys):
        if blob is None:
            continue  # deleted since the scan
        if isinstance(blob, StateStoreError):
            problems.append(Problem(key, None, blob.message))
            continue
        try:
            summary = decode_session(key, blob).summary(size=len(blob.data))
        except CorruptDataError as error:
            problems.append(Problem(key, blob.version, error.message))
        else:
            records.append(Record(summary, key, blob.version, blob.modified))
    records.sort(key=lambda record: record.summary.id)
    records.sort(key=lambda record: record.summary.updated_at, reverse=True)
    return Catalogue(tuple(records), tuple(sorted(problems, key=lambda problem: problem.key)))


def page(
    catalogue: Catalogue,
    keep: Callable[[SessionSummary], bool],
    *,
    limit: int | None,
    cursor: str | None,
) -> Listing:
    """Filter a catalogue and cut one page out of it."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    start = _decode_cursor(cursor) if cursor is not None else None
    found: list[SessionSummary] = []
    for record in catalogue.records:
        if keep(record.summary) and (start is None or _comes_after(record.summary, *start)):
            if limit is not None and len(found) == limit:
                return Listing(tuple(found), catalogue.problems, _encode_cursor(found[-1]))
            found.append(record.summary)
    return Listing(tuple(found), catalogue.problems, None)


def _comes_after(summary: SessionSummary, updated_at: datetime, session_id: str) -> bool:
    if summary.updated_at == updated_at:
        return summary.id > session_id
    return summary.updated_at < updated_at


def _encode_cursor(last: SessionSummary) -> str:
    text = orjson.dumps([format_timestamp(last.updated_at), last.id])
    return base64.urlsafe_b64encode(text).decode()


def _decode_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        updated_at, session_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        if isinstance(updated_at, str) and isinstance(session_id, str):
            return parse_timestamp(updated_at), session_id
    except (binascii.Error, ValueError, TypeError):
        pass
    raise InvalidKeyError(f"not a cursor of a listing: {cursor[:40]!r}")
