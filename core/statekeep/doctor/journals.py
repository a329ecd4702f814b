"""Finds what is wrong with journals: their heads, the files that these refer to, and orphans."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from statekeep.doctor.findings import Finding, FindingKind
from statekeep.doctor.places import is_misspelt
from statekeep.errors import CorruptDataError, InvalidKeyError, StateStoreError
from statekeep.format.contents import about_at, fold
from statekeep.format.journal import decode_head
from statekeep.format.record import record_of_head
from statekeep.format.summary import EXPIRES, PIN, expires_at
from statekeep.format.turns import session_of
from statekeep.journals.segments import is_segment
from statekeep.retention.sweeping import Unnamed, heads_below
from statekeep.store.keys import (
    ATTACHMENTS,
    QUARANTINE,
    SEGMENTS,
    is_journal_key,
    is_session_key,
    journal_key,
    journal_prefix,
    segment_key,
    session_key,
)
from statekeep.store.powers import get_many
from statekeep.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from statekeep.format.contents import Contents
    from statekeep.format.journal import SegmentName
    from statekeep.store.protocol import Blob, StateStore, Version

__all__ = [
    "SoundHead",
    "examine_journal",
    "examine_marks",
    "examine_segments",
    "find_orphans",
    "is_place_of_journal",
]


class SoundHead(NamedTuple):
    """A sound head, although files that it refers to may be missing or damaged."""

    key: str
    version: Version
    uid: str
    segments: tuple[SegmentName, ...]


def is_place_of_journal(key: str) -> bool:
    """Return whether this can be a journal's key, whose collection must be legal."""
    try:
        return is_journal_key(key) and bool(journal_prefix(key.split("/")[1]))
    except InvalidKeyError:
        return False


def examine_journal(key: str, blob: Blob) -> tuple[list[Finding], SoundHead | None]:
    """Examine the head of a journal.

    Returns:
        What was found, and the head if it is sound.
    """
    try:
        lines = decode_head(blob.data)
        contents = fold(lines.header, lines.changes)
    except CorruptDataError as error:
        reason = error.message + _sound_beginning(blob.data)
        return [Finding(_corrupt(key), key, reason, "move", version=blob.version)], None
    try:
        about_at(key, contents)
    except CorruptDataError as error:
        return [_misplaced(key, blob, contents, error.message)], None
    if is_session_key(key):
        try:
            record_of_head(key, blob.version, lines, contents)
            session_of(contents, contents.tail)
        except CorruptDataError as error:
            return [Finding(_corrupt(key), key, error.message, "move", version=blob.version)], None
    found = [*examine_marks(key, contents.metadata, blob.version)]
    if cut := len(blob.data) - lines.sound:
        reason = (
            f"the last {cut} bytes are not a whole change: an interrupted write, or a line "
            "that was added by hand; readers ignore them"
        )
        found.append(Finding("torn end", key, reason, harmless=True, version=blob.version))
    return found, SoundHead(key, blob.version, lines.header.uid, lines.header.segments)


def _corrupt(key: str) -> FindingKind:
    return "corrupt session" if is_session_key(key) else "corrupt journal"


def _sound_beginning(data: bytes) -> str:
    """Return what a person can save from a damaged head, as the end of a sentence."""
    lines = data.splitlines(keepends=True)

    def is_damaged(count: int) -> bool:
        try:
            head = decode_head(b"".join(lines[:count]))
            fold(head.header, head.changes)
        except CorruptDataError:
            return True
        return False

    count = bisect_left(range(1, len(lines) + 1), True, key=is_damaged)
    if not count:
        return ""
    sound = decode_head(b"".join(lines[:count]))
    return f"; what is before change {sound.n + 1} is sound"


def _misplaced(key: str, blob: Blob, contents: Contents, reason: str) -> Finding:
    try:
        if is_session_key(key):
            meant = session_key(contents.about.get("id", ""))
        else:
            meant = journal_key(key.split("/")[1], contents.about.get("name", []))
        about_at(meant, contents)
    except (CorruptDataError, InvalidKeyError, TypeError):
        return Finding(_corrupt(key), key, reason, "move", version=blob.version)
    kind: FindingKind = "misplaced session" if is_session_key(key) else "misplaced journal"
    if is_misspelt(key, meant):
        # Perhaps the volume itself respells names; then moving it would lose a sound journal.
        reason += "; only its spelling differs, so rename it yourself"
        return Finding(kind, key, reason, version=blob.version)
    return Finding(kind, key, reason, "move", version=blob.version)


def examine_marks(key: str, metadata: Mapping[str, object], version: Version) -> Iterator[Finding]:
    """Check the pin and the expiry time in the metadata of a session or journal."""
    pin, end = metadata.get(PIN), metadata.get(EXPIRES)
    if pin is not None and not isinstance(pin, bool) and not _is_time(pin):
        reason = f"its pin is not a time, so it is never pruned: {pin!r:.60}"
        yield Finding("pin", key, reason, harmless=True, version=version)
    if end is not None and expires_at(metadata) is None:
        reason = f"its expiry is not a time, so it has none: {end!r:.60}"
        yield Finding("expiry", key, reason, harmless=True, version=version)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(parse_timestamp(value))
    except ValueError:
        return False


def examine_segments(
    store: StateStore, heads: Iterable[SoundHead], read: Callable[[], object]
) -> Iterator[Finding]:
    """Read the segments that heads refer to.

    Args:
        store: The store that holds them.
        heads: The heads.
        read: Called after each segment.
    """
    named: dict[str, tuple[SoundHead, SegmentName]] = {
        segment_key(head.uid, segment.name): (head, segment)
        for head in heads
        for segment in head.segments
    }
    gone: dict[SoundHead, list[str]] = {}
    for key, blob in get_many(store, named):
        head, segment = named[key]
        if blob is None:
            gone.setdefault(head, []).append(segment.name)
        elif isinstance(blob, StateStoreError):
            yield Finding("unreadable", key, blob.message)
        elif not is_segment(blob.data, segment):
            reason = (
                f"it is not what {head.key!r} wrote there; the rest of that journal is readable"
            )
            yield Finding("corrupt segment", key, reason, version=blob.version)
        read()
    for head, names in gone.items():
        now = store.get(head.key)
        if now is not None and now.version == head.version:  # otherwise it may name others now
            of = len(head.segments)
            reason = f"{len(names)} of its {of} segments are missing, for example {names[0]!r}"
            yield Finding("missing segment", head.key, reason, "move", version=head.version)


def find_orphans(
    store: StateStore, unnamed: Unnamed, sizes: Mapping[str, int]
) -> Iterator[Finding]:
    """Report segments and attachments that nothing refers to.

    Args:
        store: The store, to look into its quarantine.
        unnamed: Those that no head refers to, whether live or in the trash.
        sizes: The size of each document.
    """
    if unnamed:
        for key, blob in get_many(store, [entry.key for entry in heads_below(store, QUARANTINE)]):
            if blob is not None:
                unnamed.spare(key, blob)
    for place in (SEGMENTS, ATTACHMENTS):
        keys = [key for key in unnamed if key.startswith(place)]
        if keys:
            size = sum(map(sizes.__getitem__, keys))
            reason = f"{len(keys)} that no journal refers to, {size} bytes"
            if unnamed.held_by:
                reason += f"; they stay while {unnamed.held_by[0]!r} cannot be read"
            yield Finding("orphan", place, reason, harmless=True)
