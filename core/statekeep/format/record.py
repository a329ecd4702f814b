"""What an index records of a session or journal, so that it need not be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from statekeep.errors import CorruptDataError, InvalidKeyError
from statekeep.format.session import Session, read_session, remember_version
from statekeep.format.summary import (
    FOREVER,
    PROJECT,
    JournalSummary,
    SessionSummary,
    expires_at,
    pinned_until,
    read_summary,
    title_of,
)
from statekeep.format.version import is_head
from statekeep.store.keys import session_key
from statekeep.timestamps import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from statekeep.format.contents import Contents
    from statekeep.format.journal import Lines
    from statekeep.store.protocol import Blob, Version
    from statekeep.store.query import Record, Row

__all__ = [
    "RECORD_VERSION",
    "TYPES",
    "HeadRecord",
    "IndexSnapshot",
    "Problem",
    "decode_record",
    "decode_session",
    "encode_record",
    "read_record",
    "record_of",
    "record_of_head",
    "sort_newest_first",
]

RECORD_VERSION: Final = 1
"""The field ``v`` of the records that this version of statekeep writes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A document that exists but cannot be read.

    Attributes:
        key: Its key.
        version: Its version; None if this process is not allowed to read it.
        reason: Why it cannot be read.
    """

    key: str
    version: Version | None
    reason: str


class HeadRecord(NamedTuple):
    """One head as a listing needs it, flat so that thousands can be loaded and sorted at once.

    Times are in microseconds since 1970. Attributes not listed here are fields of the summary.

    Attributes:
        key: The key of the head.
        fingerprint: The `Blob.fingerprint` of what was read.
        version: The version of what was read.
        length: The number of a session's user messages, or of a journal's items.
        name: A journal's name as a JSON array; None for a session.
    """

    key: str
    fingerprint: str | None
    version: Version
    id: str
    user_id: str | None
    length: int
    active_seed_id: str | None
    project_id: str | None
    created_at: int
    updated_at: int
    size: int
    pinned_until: int | None
    expires_at: int | None
    title: str | None
    last_phase: str | None
    last_evaluation: bool | None
    name: str | None = None

    def summary(self) -> SessionSummary | JournalSummary:
        """Return the summary."""
        pin, end = self.pinned_until, self.expires_at
        created_at = from_microseconds(self.created_at)
        updated_at = from_microseconds(self.updated_at)
        pinned_until = None if pin is None else from_microseconds(pin)
        expires_at = None if end is None else from_microseconds(end)
        if self.name is not None:
            return JournalSummary(
                id=self.id,
                user_id=self.user_id,
                created_at=created_at,
                updated_at=updated_at,
                size=self.size,
                pinned_until=pinned_until,
                expires_at=expires_at,
                title=self.title,
                collection=self.key.split("/")[1],
                name=tuple(orjson.loads(self.name)),
                length=self.length,
            )
        assert self.user_id is not None  # noqa: S101 - a session has a user
        return SessionSummary(
            id=self.id,
            user_id=self.user_id,
            created_at=created_at,
            updated_at=updated_at,
            size=self.size,
            pinned_until=pinned_until,
            expires_at=expires_at,
            title=self.title,
            message_count=self.length,
            active_seed_id=self.active_seed_id,
            project_id=self.project_id,
            last_phase=self.last_phase,
            last_evaluation=self.last_evaluation,
        )


_TEXT, _NUMBER, _NOTHING = {str}, {int}, {type(None)}
TYPES: Final[dict[str, set[Any]]] = {
    "key": _TEXT,
    "fingerprint": _TEXT,
    "version": _TEXT,
    "id": _TEXT,
    "user_id": _TEXT | _NOTHING,
    "length": _NUMBER,
    "active_seed_id": _TEXT | _NOTHING,
    "project_id": _TEXT | _NOTHING,
    "created_at": _NUMBER,
    "updated_at": _NUMBER,
    "size": _NUMBER,
    "pinned_until": _NUMBER | _NOTHING,
    "expires_at": _NUMBER | _NOTHING,
    "title": _TEXT | _NOTHING,
    "last_phase": _TEXT | _NOTHING,
    "last_evaluation": {bool} | _NOTHING,
    "name": _TEXT | _NOTHING,
}
"""For each field of a `HeadRecord`, the types its value can have."""

_OF_THE_STORE: Final = ("key", "fingerprint", "version")
_FIELDS: Final = HeadRecord._fields[len(_OF_THE_STORE) :]
_values = itemgetter(*_FIELDS)
_FIRST: Final = to_microseconds(datetime.min.replace(tzinfo=UTC))
_LAST: Final = to_microseconds(FOREVER)


@dataclass(frozen=True, slots=True)
class IndexSnapshot:
    """All heads of a collection, and what could not be read.

    Attributes:
        records: Newest `updated_at` first, ties by id.
        problems: Sorted by key.
        modified: When the store says each document was last written, by key, in nanoseconds since
            1970. Empty unless requested.
    """

    records: Iterable[HeadRecord]
    problems: tuple[Problem, ...]
    modified: Mapping[str, int | None]


def decode_session(key: str, blob: Blob) -> Session:
    """Decode the session at a key.

    Raises:
        CorruptDataError: It is not a session, or one whose id belongs elsewhere.
    """
    session = read_session(blob.data)
    _check_place(key, session.id)
    remember_version(session, blob.version)
    return session


def read_record(key: str, blob: Blob) -> HeadRecord:
    """Read what a listing needs of the session at a key.

    Raises:
        CorruptDataError: As in `decode_session`.
    """
    if is_head(blob.data):
        return _read_head(key, blob)
    summary = read_summary(blob.data)
    if summary is None:
        summary = Session.from_json(blob.data).summary(size=len(blob.data))
    _check_place(key, summary.id)
    return record_of(key, blob.version, summary, fingerprint=blob.fingerprint)


def record_of(
    key: str, version: Version, summary: SessionSummary, *, fingerprint: str | None = None
) -> HeadRecord:
    """Return what a listing needs of a session, from its summary."""
    pin, end = summary.pinned_until, summary.expires_at
    return HeadRecord(
        key,
        fingerprint,
        version,
        summary.id,
        summary.user_id,
        summary.message_count,
        summary.active_seed_id,
        summary.project_id,
        to_microseconds(summary.created_at),
        to_microseconds(summary.updated_at),
        summary.size,
        None if pin is None else to_microseconds(pin),
        None if end is None else to_microseconds(end),
        summary.title,
        summary.last_phase,
        summary.last_evaluation,
    )


def _read_head(key: str, blob: Blob) -> HeadRecord:
    """Read what a listing needs of a session stored as a journal, from its head alone."""
    from statekeep.format.contents import fold  # noqa: PLC0415 - not always needed
    from statekeep.format.journal import decode_head  # noqa: PLC0415

    lines = decode_head(blob.data)
    contents = fold(lines.header, lines.changes)
    return record_of_head(key, blob.version, lines, contents, fingerprint=blob.fingerprint)


def record_of_head(
    key: str, version: Version, lines: Lines, contents: Contents, *, fingerprint: str | None = None
) -> HeadRecord:
    """Return what a listing needs of a session whose head was read.

    Raises:
        CorruptDataError: It is not the head of a session, or that of another session.
    """
    from statekeep.format.contents import about_at  # noqa: PLC0415 - not always needed
    from statekeep.format.turns import tally  # noqa: PLC0415

    about, metadata = about_at(key, contents), contents.metadata
    if about.user_id is None:
        raise CorruptDataError("a session must belong to a user, and this one does not")
    counts = tally(lines.header.before, contents.tail)
    seed, project = contents.about.get("active_seed_id"), metadata.get(PROJECT)
    pin, end = pinned_until(metadata), expires_at(metadata)
    return HeadRecord(
        key,
        fingerprint,
        version,
        about.id or "",
        about.user_id,
        counts["user"],
        seed if isinstance(seed, str) else None,
        project if isinstance(project, str) else None,
        to_microseconds(about.created_at),
        to_microseconds(about.updated_at),
        lines.sound + sum(segment.size for segment in lines.header.segments),
        None if pin is None else to_microseconds(pin),
        None if end is None else to_microseconds(end),
        title_of(metadata),
        counts["last_phase"],
        counts["last_evaluation"],
    )


def _check_place(key: str, session_id: str) -> None:
    try:
        sound = session_key(session_id) == key
    except InvalidKeyError:
        sound = False
    if not sound:
        raise CorruptDataError(f"the id inside, {session_id[:80]!r}, does not belong here")


def encode_record(record: HeadRecord) -> Record:
    """Return the record to keep beside a head, for stores that keep records."""
    fields = record._asdict()
    for name in _OF_THE_STORE:
        del fields[name]
    return {"v": RECORD_VERSION, **fields}


def decode_record(row: Row) -> HeadRecord | None:
    """Decode what `encode_record` returned; None if it is something else.

    It also decodes records with more fields, as newer versions of statekeep write them.
    """
    # Called for every line of a page, so the usual case comes first.
    try:
        values = _values(row.record)
    except KeyError:
        values = (*map(row.record.get, _FIELDS),)
    if not _fit((*map(type, values),)):
        return None
    record = HeadRecord._make((row.key, None, row.version, *values))
    if not (_FIRST <= record.created_at <= _LAST and _FIRST <= record.updated_at <= _LAST):
        return None
    for time in (record.pinned_until, record.expires_at):
        if time is not None and not _FIRST <= time <= _LAST:
            return None
    if record.name is None:
        return None if record.user_id is None else record  # a session belongs to a user
    return record if _is_name(record.name) else None


@cache
def _fit(types: tuple[type, ...]) -> bool:
    """Whether values of these types can be the fields; most records have the same types."""
    return all(kind in TYPES[field] for field, kind in zip(_FIELDS, types, strict=True))


def _is_name(text: str) -> bool:
    try:
        parts = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(parts, list) and all(isinstance(part, str) for part in parts)


def sort_newest_first(records: list[HeadRecord]) -> None:
    """Sort by `updated_at`, ties by id."""
    records.sort(key=attrgetter("id"))
    records.sort(key=attrgetter("updated_at"), reverse=True)
