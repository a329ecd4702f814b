"""The sweep: deletes unreferenced segments and attachments in two phases, a day apart.

They are written before the head that refers to them, and remain when it no longer does. So a run
only records what it finds unreferenced as candidates, and a later run, at least a day later by the
store's clock, deletes those that still are. Nothing refers to such a file for the first time more
than an hour after it was written. Heads are read where they live, in the trash, and where they live
once more, so that none is missed while it is moved; also in quarantine, because what a person
repairs there needs its segments. A head that cannot be read protects whatever it may refer to.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from statekeep.errors import ConflictError, CorruptDataError, StateStoreError, UnsupportedError
from statekeep.format.journal import decode_head
from statekeep.format.json import decode_json, encode_json
from statekeep.retention.stamp import Stamp
from statekeep.store.keys import (
    ATTACHMENTS,
    JOURNALS,
    QUARANTINE,
    SEGMENTS,
    SESSIONS,
    TRASH,
    is_journal_key,
    is_session_key,
    segment_key,
)
from statekeep.store.powers import delete_many, get_many
from statekeep.timestamps import format_timestamp, parse_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.store.protocol import Blob, Entry, StateStore
    from statekeep.store.transfer import Transfer

__all__ = [
    "CANDIDATES",
    "SweepReport",
    "Unnamed",
    "decode_candidates",
    "heads_below",
    "is_swept",
    "may_hold_head",
    "sweep_unnamed",
]

CANDIDATES: Final = f"{SEGMENTS}/candidates.json"
"""The key of the candidates: what the last run found, and the next one may delete."""

_DAY: Final = timedelta(days=1)
_MOST: Final = 100_000
"""Maximum number of candidates of a run; the rest wait for the next one."""

_LIVE: Final = (JOURNALS, SESSIONS)
_ORDER: Final = (*_LIVE, TRASH, QUARANTINE, *_LIVE)
"""Where heads are read, in order."""

_UID: Final = r"[0-9a-f]{32}"
_is_file = re.compile(
    rf"{re.escape(SEGMENTS)}/{_UID}/[0-9]{{12,}}-[0-9a-f]{{16}}\.jsonl|{re.escape(ATTACHMENTS)}/{_UID}/[^/]+"
).fullmatch
_find_uid = re.compile(rf'"uid":"({_UID})"'.encode()).search
_MARK: Final = b'{"statekeep":'
_SEAL: Final = b'"~":"'


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did with segments and attachments.

    Attributes:
        candidates: How many a run at least a day later will delete if still nothing refers to
            them.
        deleted: How many were deleted.
        kept: How many a journal refers to, including those in the trash and in quarantine; 0 if
            the last run was less than a day ago, since nothing is examined then.
        held_by: The keys of heads that cannot be read and do not tell which journal they belong
            to: because of them, nothing was deleted.
    """

    candidates: int = 0
    deleted: int = 0
    kept: int = 0
    held_by: tuple[str, ...] = ()


def sweep_unnamed(
    transfer: Transfer,
    *,
    present: datetime | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SweepReport:
    """Find what no head refers to, and delete what a run at least a day ago already found.

    It reads one small document, and lists segments and attachments if the last run was at least a
    day ago; if there are any, it reads all heads, each once.

    Args:
        transfer: Writes the candidates, and the stamp if `present` is not given.
        present: The current time by the store's clock.
        stop: Called between heads; if true, everything is left alone.

    Raises:
        UnavailableError, AccessDeniedError: The store did not answer, or refused access.
    """
    store = transfer.store
    blob = store.get(CANDIDATES)
    before: frozenset[str] = frozenset()
    if blob is not None and (last := _read_candidates(blob)):
        age = (present or Stamp(transfer).write()) - last.written_at
        if abs(age) < _DAY:
            return SweepReport(candidates=len(last.keys))
        if age > timedelta(0):  # otherwise its date is from another clock, and the day starts over
            before = last.keys
    files = [*_files(store)]
    if not files:
        return SweepReport()
    unnamed = Unnamed(files)
    if not _spare_named(store, unnamed, stop):
        return SweepReport()
    found = [] if unnamed.held_by else sorted(unnamed)
    doomed = [key for key in found if key in before]
    waiting = [key for key in found if key not in before][:_MOST]
    try:
        # Written even if there are none, so that heads are read at most once a day.
        if blob is None:
            transfer.put_new(CANDIDATES, _encode(waiting))
        else:
            transfer.put_seen(CANDIDATES, _encode(waiting), blob.version)
    except ConflictError:
        return SweepReport()  # another sweep was faster
    if doomed:
        delete_many(store, doomed)
    held_by = tuple(unnamed.held_by)
    return SweepReport(len(waiting), len(doomed), len(files) - len(found), held_by)


class Unnamed:
    """Segments and attachments that no head has referred to so far; iterating yields their keys.

    Args:
        keys: The keys of all segments and attachments.

    Attributes:
        held_by: The keys of heads that may refer to any of them.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self.held_by: list[str] = []
        self._left: dict[str, set[str]] = {}
        for key in keys:
            self._left.setdefault(key.split("/")[2], set()).add(key)
        self._uids = frozenset(self._left)

    def __iter__(self) -> Iterator[str]:
        for keys in self._left.values():
            yield from keys

    def __bool__(self) -> bool:
        return any(self._left.values())

    def spare(self, key: str, found: Blob | StateStoreError) -> None:
        """Remove what a document refers to, if it is a head or may have been one.

        Args:
            key: The document's key.
            found: The document, or the error if it cannot be read.
        """
        if isinstance(found, StateStoreError):
            self.held_by.append(key)
        elif _may_be_head(key, found.data):
            try:
                header = decode_head(found.data).header
            except UnsupportedError:
                self.held_by.append(key)  # what it refers to, and how, is unknown
            except CorruptDataError:
                self._spare_damaged(key, found.data)
            else:
                named = {segment_key(header.uid, each.name) for each in header.segments}
                self._left[header.uid] = {
                    each
                    for each in self._left.get(header.uid, ())
                    if each not in named and each.startswith(SEGMENTS)
                }

    def _spare_damaged(self, key: str, data: bytes) -> None:
        """Remove everything that belongs to the journal of a damaged head."""
        header, _, _ = data.partition(b"\n")
        try:
            uid = decode_head(header + b"\n").header.uid
        except CorruptDataError:
            match = _find_uid(data)
            uid = match[1].decode() if match else ""
            if uid not in self._uids:  # the uid itself may be damaged
                self.held_by.append(key)
        self._left.pop(uid, None)


def heads_below(store: StateStore, prefix: str) -> Iterator[Entry]:
    """Yield what may be the head of a journal, or a copy of one.

    Args:
        store: The store to scan.
        prefix: `JOURNALS`, `SESSIONS`, `TRASH` or `QUARANTINE`.
    """
    for entry in store.scan(prefix):
        key = entry.key
        if prefix == QUARANTINE:
            key = "/".join(key.split("/")[3:])
        if may_hold_head(key):
            yield entry


def may_hold_head(key: str) -> bool:
    """Return whether this can be the key of a journal's head, or of a copy of one."""
    return is_journal_key(key) or is_session_key(key) or key.startswith(f"{TRASH}/")


def is_swept(key: str) -> bool:
    """Return whether this is the key of a segment or an attachment."""
    return _is_file(key) is not None


def decode_candidates(data: bytes) -> Candidates:
    """Decode the candidates that a run recorded.

    Raises:
        CorruptDataError: It is something else.
    """
    fields = decode_json(data)
    try:
        keys = frozenset(fields["keys"])
        written_at = parse_timestamp(fields["written_at"])
    except (KeyError, TypeError, ValueError):
        raise CorruptDataError("it does not list candidates of a sweep") from None
    return Candidates(written_at, keys)


class Candidates(NamedTuple):
    """What a run found, and when."""

    written_at: datetime
    keys: frozenset[str]


def _encode(keys: list[str]) -> bytes:
    # With a nonce, because equal bytes can have equal versions, and two runs could write them.
    return encode_json(
        {
            "written_at": format_timestamp(utc_now()),
            "nonce": secrets.token_hex(16),
            "keys": keys,
        }
    )


def _read_candidates(blob: Blob) -> Candidates | None:
    try:
        last = decode_candidates(blob.data)
    except CorruptDataError:
        return None  # the day starts over
    return last._replace(written_at=blob.modified or last.written_at)


def _files(store: StateStore) -> Iterator[str]:
    for prefix in (SEGMENTS, ATTACHMENTS):
        # By key, because scanning a folder while it is written to can list a file twice.
        yield from {entry.key: None for entry in store.scan(prefix) if is_swept(entry.key)}


def _spare_named(store: StateStore, unnamed: Unnamed, stop: Callable[[], bool]) -> bool:
    """Remove what any head refers to; return false if it was stopped."""
    seen: dict[str, str | None] = {}
    for prefix in _ORDER:
        # What has not changed since it was read still refers to the same files.
        keys = [
            entry.key
            for entry in heads_below(store, prefix)
            if entry.fingerprint is None or seen.get(entry.key) != entry.fingerprint
        ]
        for key, blob in get_many(store, keys):
            if stop():
                return False
            if blob is not None:  # otherwise moved or deleted since the scan
                unnamed.spare(key, blob)
                if not isinstance(blob, StateStoreError):
                    seen[key] = blob.fingerprint
        if not unnamed or unnamed.held_by:
            break
    return True


def _may_be_head(key: str, data: bytes) -> bool:
    if data.startswith(_MARK) or _SEAL in data:
        return True
    # What is not JSON anymore may have been a head; a session was most likely a document.
    return key.endswith(".jsonl") and data[:1] not in {b"{", b"["}
