"""Forks: new journals that begin as a copy of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from statekeep.format.journal import Change, Header
from statekeep.format.summary import EXPIRES, PIN, RESTORED
from statekeep.journals.attachments import Attachments
from statekeep.journals.segments import Segments
from statekeep.journals.writing import HeadWriter, new_uid, with_segments
from statekeep.timestamps import format_timestamp, utc_now

if TYPE_CHECKING:
    from statekeep.journals.committing import Seen
    from statekeep.store.transfer import Transfer

__all__ = ["forked"]

_NOT_COPIED: Final = frozenset({PIN, EXPIRES, RESTORED})
"""Metadata keys that concern only the one journal."""


def forked(
    transfer: Transfer, source: Seen, key: str, name: tuple[str, ...], change: str, upto: int | None
) -> bytes:
    """Copy what a journal refers to, one segment or file at a time; return the copy's head.

    Args:
        transfer: Performs the writes.
        source: The journal to copy.
        key: The key of the copy's head.
        name: The copy's name.
        change: The id of the change that creates it.
        upto: How many items to copy, from the start; None for all.

    Raises:
        MissingSegmentError: A segment is missing.
    """
    header, contents, uid = source.lines.header, source.contents, new_uid()
    stop = source.length if upto is None else min(upto, source.length)
    ours, theirs = Segments(transfer, uid), Segments(transfer, source.uid)
    segments = [
        ours.write([*theirs.read([segment])][: stop - segment.first], segment.first)
        for segment in header.segments
        if segment.first < stop
    ]
    if header.attached:
        Attachments(transfer.store, source.uid).copy(uid)
    now = format_timestamp(utc_now())
    made = Header(
        uid=uid,
        n=0,
        about={**contents.about, "name": [*name], "created_at": now, "updated_at": now},
        metadata={k: v for k, v in contents.metadata.items() if k not in _NOT_COPIED},
        attached=header.attached,
        more=header.more,
    )
    tail = contents.tail[: max(0, stop - source.before)]
    first = Change(n=1, id=change, at=now, items=tuple(tail))
    return HeadWriter(transfer, key, name).anew(with_segments(made, segments), (first,))
