"""The sweep: deletes segments and attachments that nobody names, in two phases, a day apart.

They are put before the head that names them, and stay when it names them no more. So what one run
finds unnamed it only writes down as candidates, and a later run, at least a day on by the store's
clock, deletes those that are still unnamed. Nobody names a segment for the first time more than an
hour after it was put. Heads are read where they live, in the trash and where they live again, so
that none is missed which is moved meanwhile; in quarantine, too, because what a person mends there
needs its segments. One that cannot be read protects what it may name.
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
"""The key of what the last run found, and the next one may delete."""

_DAY: Final = timedelta(days=1)
_MOST: Final = 100_000
"""Candidates of a run; what is beyond them waits for the next."""

_LIVE: Final = (JOURNALS, SESSIONS)
_ORDER: Final = (*_LIVE, TRASH, QUARANTINE, *_LIVE)
"""Where heads are read, in this order."""

_UID: Final = r"[0-9a-f]{32}"
_is_file = re.compile(
    rf"{re.escape(SEGMENTS)}/{_UID}/[0-9]{{12,}}-[0-9a-f]{{16}}\.jsonl|{re.escape(ATTACHMENTS)}/{_UID}/[^/]+"
).fullmatch
_find_uid = re.compile(rf'"uid":"({_UID})"'.encode()).search
_MARK: Final = b'{"statekeep":'
_SEAL: Final = b'"~":"'


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep found of what no journal names.

    Attributes:
        candidates: How many segments and attachments a run that comes a day later, or more, will
            delete if nobody names them then.
        deleted: How many were deleted.
        kept: How many are named by a journal, in the trash and in quarantine as well; 0 if the
            last run is less than a day ago, because then nothing is looked at.
        held_by: The keys of heads that cannot be read, and do not say whose they are: because of
            them nothing was deleted.
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
    """Find what no head names, and delete what a run of at least a day ago found.

    It reads one small document, and lists segments and attachments if the last run is a day ago;
    it reads heads, each once, if there are any.

    Args:
        transfer: Writes the candidates, and the stamp if `present` is not given.
        present: The present by the store's clock.
        stop: Asked between heads whether to leave all as it is.

    Raises:
        UnavailableError, AccessDeniedError: The store did not answer, or refused.
    """
    store = transfer.store
    blob = store.get(CANDIDATES)
    before: frozenset[str] = frozenset()
    if blob is not None and (last := _read_candidates(blob)):
        age = (present or Stamp(transfer).write()) - last.written_at
        if abs(age) < _DAY:
            return SweepReport(candidates=len(last.keys))
        if age > timedelta(0):  # else its date is of another clock, and the day begins anew
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
        # Written also if there are none: so heads are read once a day at most.
        if blob is None:
            transfer.put_new(CANDIDATES, _encode(waiting))
        else:
            transfer.put_seen(CANDIDATES, _encode(waiting), blob.version)
    except ConflictError:
        return SweepReport()  # another sweep has come first
    if doomed:
        delete_many(store, doomed)
    held_by = tuple(unnamed.held_by)
    return SweepReport(len(waiting), len(doomed), len(files) - len(found), held_by)


class Unnamed:
    """Segments and attachments that no head has named so far; iterating gives their keys.

    Args:
        keys: All that there are.

    Attributes:
        held_by: The keys of heads that may name any of them.
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
        """Take out what a document names, if it is a head, or may have been one.

        Args:
            key: Where it lies.
            found: The document, or why it cannot be read.
        """
        if isinstance(found, StateStoreError):
            self.held_by.append(key)
        elif _may_be_head(key, found.data):
            try:
                header = decode_head(found.data).header
            except UnsupportedError:
                self.held_by.append(key)  # who knows what it names, and how
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
        """Take out all that belongs to the journal of a damaged head."""
        header, _, _ = data.partition(b"\n")
        try:
            uid = decode_head(header + b"\n").header.uid
        except CorruptDataError:
            match = _find_uid(data)
            uid = match[1].decode() if match else ""
            if uid not in self._uids:  # so it may be what is damaged
                self.held_by.append(key)
        self._left.pop(uid, None)


def heads_below(store: StateStore, prefix: str) -> Iterator[Entry]:
    """What may be the head of a journal, or a copy of one.

    Args:
        store: Where.
        prefix: `JOURNALS`, `SESSIONS`, `TRASH` or `QUARANTINE`.
    """
    for entry in store.scan(prefix):
        key = entry.key
        if prefix == QUARANTINE:
            key = "/".join(key.split("/")[3:])
        if may_hold_head(key):
            yield entry


def may_hold_head(key: str) -> bool:
    """Whether the head of a journal, or a copy of one, may lie there."""
    return is_journal_key(key) or is_session_key(key) or key.startswith(f"{TRASH}/")


def is_swept(key: str) -> bool:
    """Whether it is the key of a segment or an attachment."""
    return _is_file(key) is not None


def decode_candidates(data: bytes) -> Candidates:
    """Read what a run has written down.

    Raises:
        CorruptDataError: It is something else.
    """
    fields = decode_json(data)
    try:
        keys = frozenset(fields["keys"])
        written_at = parse_timestamp(fields["written_at"])
    except (KeyError, TypeError, ValueError):
        raise CorruptDataError("it does not name candidates of a sweep") from None
    return Candidates(written_at, keys)


class Candidates(NamedTuple):
    """What a run has found, and when."""

    written_at: datetime
    keys: frozenset[str]


def _encode(keys: list[str]) -> bytes:
    # The nonce, because equal bytes could be an equal version, and two could write them.
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
        return None  # a new day begins
    return last._replace(written_at=blob.modified or last.written_at)


def _files(store: StateStore) -> Iterator[str]:
    for prefix in (SEGMENTS, ATTACHMENTS):
        # By key, because a folder that is written while it is scanned may name a file twice.
        yield from {entry.key: None for entry in store.scan(prefix) if is_swept(entry.key)}


def _spare_named(store: StateStore, unnamed: Unnamed, stop: Callable[[], bool]) -> bool:
    """Take out what any head names; say whether it was not stopped."""
    seen: dict[str, str | None] = {}
    for prefix in _ORDER:
        # What is still as it was read names what it named.
        keys = [
            entry.key
            for entry in heads_below(store, prefix)
            if entry.fingerprint is None or seen.get(entry.key) != entry.fingerprint
        ]
        for key, blob in get_many(store, keys):
            if stop():
                return False
            if blob is not None:  # else moved or deleted since the scan
                unnamed.spare(key, blob)
                if not isinstance(blob, StateStoreError):
                    seen[key] = blob.fingerprint
        if not unnamed or unnamed.held_by:
            break
    return True


def _may_be_head(key: str, data: bytes) -> bool:
    if data.startswith(_MARK) or _SEAL in data:
        return True
    # What is no JSON any more may have been one; a session was in all likelihood a document.
    return key.endswith(".jsonl") and data[:1] not in {b"{", b"["}
