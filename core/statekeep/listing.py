"""What is known of the sessions of a store, and pages of it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import orjson

from statekeep.errors import CorruptDataError, InvalidKeyError
from statekeep.keys import session_key
from statekeep.models import Session
from statekeep.summaries import SessionSummary, read_summary
from statekeep.timestamps import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from statekeep.protocol import Blob, Version

__all__ = [
    "Catalogue",
    "Listing",
    "Problem",
    "Record",
    "decode_session",
    "page",
    "read_record",
    "sort_newest_first",
]


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


class Record(NamedTuple):
    """One session as a listing needs it: flat, so that thousands are loaded and sorted at once.

    Times are microseconds since 1970. Only the first three are not of `SessionSummary`.

    Attributes:
        key: Where it lies.
        fingerprint: The `Blob.fingerprint` of what was read.
        version: The version of what was read.
    """

    key: str
    fingerprint: str | None
    version: Version
    id: str
    user_id: str
    message_count: int
    active_seed_id: str | None
    project_id: str | None
    created_at: int
    updated_at: int
    size: int
    pinned_until: int | None
    last_phase: str | None
    last_evaluation: bool | None

    def summary(self) -> SessionSummary:
        """The summary that it holds."""
        pin = self.pinned_until
        return SessionSummary(
            self.id,
            self.user_id,
            self.message_count,
            self.active_seed_id,
            self.project_id,
            from_microseconds(self.created_at),
            from_microseconds(self.updated_at),
            self.size,
            None if pin is None else from_microseconds(pin),
            self.last_phase,
            self.last_evaluation,
        )


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All sessions of a store, and what could not be read.

    Attributes:
        records: Newest `updated_at` first, ties by id.
        problems: By key.
        modified: When the store says that each document was last written, by key; nanoseconds
            since 1970. Empty unless asked for.
    """

    records: Iterable[Record]
    problems: tuple[Problem, ...]
    modified: Mapping[str, int | None]


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
    _check_place(key, session.id)
    session.expect_version(blob.version)
    return session


def read_record(key: str, blob: Blob) -> Record:
    """Read of the session that lies at a key what a listing needs.

    Raises:
        CorruptDataError: As `decode_session`.
    """
    summary = read_summary(blob.data)
    if summary is None:
        summary = Session.from_json(blob.data).summary(size=len(blob.data))
    _check_place(key, summary.id)
    pin = summary.pinned_until
    return Record(
        key,
        blob.fingerprint,
        blob.version,
        summary.id,
        summary.user_id,
        summary.message_count,
        summary.active_seed_id,
        summary.project_id,
        to_microseconds(summary.created_at),
        to_microseconds(summary.updated_at),
        summary.size,
        None if pin is None else to_microseconds(pin),
        summary.last_phase,
        summary.last_evaluation,
    )


def _check_place(key: str, session_id: str) -> None:
    try:
        sound = session_key(session_id) == key
    except InvalidKeyError:
        sound = False
    if not sound:
        raise CorruptDataError(f"the id inside, {session_id[:80]!r}, does not belong here")


def sort_newest_first(records: list[Record]) -> None:
    """Sort by `updated_at`, ties by id."""
    records.sort(key=attrgetter("id"))
    records.sort(key=attrgetter("updated_at"), reverse=True)


def page(
    catalogue: Catalogue,
    keep: Callable[[Record], bool],
    *,
    limit: int | None,
    cursor: str | None,
) -> Listing:
    """Filter a catalogue and cut one page out of it."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    start = _decode_cursor(cursor) if cursor is not None else None
    found: list[Record] = []
    more = False
    for record in catalogue.records:
        if keep(record) and (start is None or _comes_after(record, *start)):
            if len(found) == limit:
                more = True
                break
            found.append(record)
    return Listing(
        tuple([record.summary() for record in found]),
        catalogue.problems,
        _encode_cursor(found[-1]) if more else None,
    )


def _comes_after(record: Record, updated_at: int, session_id: str) -> bool:
    if record.updated_at == updated_at:
        return record.id > session_id
    return record.updated_at < updated_at


def _encode_cursor(last: Record) -> str:
    text = orjson.dumps([last.updated_at, last.id])
    return base64.urlsafe_b64encode(text).decode()


def _decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        updated_at, session_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        if isinstance(updated_at, int) and isinstance(session_id, str):
            return updated_at, session_id
    except (binascii.Error, ValueError, TypeError):
        pass
    raise InvalidKeyError(f"not a cursor of a listing: {cursor[:40]!r}")
