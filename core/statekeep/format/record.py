"""What is known of a session without its messages: one record of an index or a listing."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from statekeep.errors import CorruptDataError, InvalidKeyError
from statekeep.format.session import Session, remember_version
from statekeep.format.summary import SessionSummary, read_summary
from statekeep.store.keys import session_key
from statekeep.timestamps import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from statekeep.store.protocol import Blob, Version

__all__ = [
    "HeadRecord",
    "IndexSnapshot",
    "Problem",
    "decode_session",
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


class HeadRecord(NamedTuple):
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
class IndexSnapshot:
    """All sessions of a store, and what could not be read.

    Attributes:
        records: Newest `updated_at` first, ties by id.
        problems: By key.
        modified: When the store says that each document was last written, by key; nanoseconds
            since 1970. Empty unless asked for.
    """

    records: Iterable[HeadRecord]
    problems: tuple[Problem, ...]
    modified: Mapping[str, int | None]


def decode_session(key: str, blob: Blob) -> Session:
    """Read the session that lies at a key.

    Raises:
        CorruptDataError: It is no session, or one whose id belongs in another place.
    """
    session = Session.from_json(blob.data)
    _check_place(key, session.id)
    remember_version(session, blob.version)
    return session


def read_record(key: str, blob: Blob) -> HeadRecord:
    """Read of the session that lies at a key what a listing needs.

    Raises:
        CorruptDataError: As `decode_session`.
    """
    summary = read_summary(blob.data)
    if summary is None:
        summary = Session.from_json(blob.data).summary(size=len(blob.data))
    _check_place(key, summary.id)
    pin = summary.pinned_until
    return HeadRecord(
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


def sort_newest_first(records: list[HeadRecord]) -> None:
    """Sort by `updated_at`, ties by id."""
    records.sort(key=attrgetter("id"))
    records.sort(key=attrgetter("updated_at"), reverse=True)
