"""The next head: the current one with one more line, or written anew.

Items that leave a head are stored in a segment before the head that refers to it is returned.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from statekeep.errors import InvalidDocumentError
from statekeep.format.contents import BOUNDS, fit
from statekeep.format.journal import (
    MAX_IDS,
    MAX_KEYS,
    Change,
    Header,
    encode_head,
    encode_line,
)
from statekeep.journals.items import size_of
from statekeep.journals.segments import Segments
from statekeep.timestamps import format_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from statekeep.format.journal import SegmentName
    from statekeep.journals.committing import Seen
    from statekeep.journals.draft import Draft
    from statekeep.store.transfer import Transfer

__all__ = ["HeadWriter", "new_uid", "with_segments"]

MAX_METADATA: Final = 2**20
"""Maximum size of the metadata as JSON, in bytes."""


class HeadWriter:
    """Makes the heads of one journal.

    Args:
        transfer: Writes the segments.
        key: The head's key.
        name: The journal's name.
    """

    def __init__(self, transfer: Transfer, key: str, name: tuple[str, ...]) -> None:
        self._transfer = transfer
        self._key = key
        self._name = name

    def followed(self, seen: Seen | None, change: Change) -> bytes:
        """Return the head with one more line, if its metadata is not too large.

        Raises:
            InvalidDocumentError: The metadata would be too large.
        """
        self._check_set(seen, change)
        return self.appended(seen, change)

    def appended(self, seen: Seen | None, change: Change) -> bytes:
        """Return the head with one more line, however large the metadata."""
        if seen is None:
            return self.anew(self._new_header(change, new_uid()), (change,))
        line, _ = encode_line(change.fields(), seen.lines.seal)
        if sum(seen.lines.sizes) + len(line) <= BOUNDS.lines:
            return seen.data + line
        return self.anew(seen.lines.header, (*seen.lines.changes, change))

    def anew(self, header: Header, changes: Sequence[Change]) -> bytes:
        """Return a head written anew, after storing the items that leave it in a segment."""
        fitted = fit(header, changes)
        header = fitted.header
        if fitted.leaving:
            segments = Segments(self._transfer, header.uid)
            first = sum(segment.items for segment in header.segments)
            header = with_segments(header, segments.add(header.segments, fitted.leaving, first))
            if "id" in header.about:
                from statekeep.format.turns import tally  # noqa: PLC0415 - for sessions only

                header = replace(header, before=tally(header.before, fitted.leaving))
        return encode_head(header, fitted.changes)

    def drafted(
        self, seen: Seen | None, draft: Draft, change: str, about: Mapping[str, Any]
    ) -> bytes:
        """Return the head that a draft describes.

        Args:
            seen: The head that the draft started from.
            draft: The draft, as changed.
            change: The id of the change.
            about: What it changes about the journal.
        """
        line, older = draft._finish(  # noqa: SLF001 - made for this call alone
            n=seen.contents.n + 1 if seen else 1, id=change, at=format_timestamp(utc_now())
        )
        line = replace(line, about=about)
        if seen is None or older is None:
            return self._followed(seen, line, draft)
        self.check_metadata(seen, line.set)
        contents = seen.contents
        writer = Segments(self._transfer, seen.uid)
        segments, first = [], 0
        for part in older:
            segment = writer.write(part, first) if isinstance(part, list) else part
            segments.append(segment._replace(first=first))
            first += segment.items
        header = replace(
            seen.lines.header,
            n=contents.n,
            about=contents.about,
            metadata={},
            keys=tuple(contents.keys[-MAX_KEYS:]),
            ids=tuple([*contents.ids.items()][-MAX_IDS:]),
            attached=draft._is_attached,  # noqa: SLF001
        )
        return self.anew(with_segments(header, segments), (line,))

    def _followed(self, seen: Seen | None, change: Change, draft: Draft) -> bytes:
        """Return the head with one more line; the header records the first attachment."""
        attached = draft._is_attached  # noqa: SLF001 - made for this call alone
        if not attached or (seen is not None and seen.lines.header.attached):
            return self.followed(seen, change)
        self._check_set(seen, change)
        header = seen.lines.header if seen else self._new_header(change, draft._uid)  # noqa: SLF001
        before = seen.lines.changes if seen else ()
        return self.anew(replace(header, attached=True), (*before, change))

    def _check_set(self, seen: Seen | None, change: Change) -> None:
        if change.set:
            old = seen.contents.metadata if seen else {}
            kept = {name: value for name, value in old.items() if name not in change.unset}
            self.check_metadata(seen, kept | dict(change.set))

    def check_metadata(self, seen: Seen | None, metadata: Mapping[str, Any]) -> None:
        """Check that metadata may replace that of a head.

        Raises:
            InvalidDocumentError: It is too large.
        """
        # Making it smaller is never refused: a restored journal may exceed the limit.
        size = size_of(metadata)
        if size > MAX_METADATA and (seen is None or size > size_of(seen.contents.metadata)):
            raise InvalidDocumentError(
                f"the metadata has {size} bytes, more than {MAX_METADATA}",
                key=self._key,
                landed="no",
            )

    def _new_header(self, change: Change, uid: str) -> Header:
        about = {
            "name": [*self._name],
            "user_id": None,
            "created_at": change.at,
            "updated_at": change.at,
        }
        return Header(uid=uid, n=0, about=about)


def new_uid() -> str:
    """Return a random uid, which no other journal has."""
    return secrets.token_hex(16)


def with_segments(header: Header, segments: Sequence[SegmentName]) -> Header:
    """Return the header with other segments, and the totals of what they hold."""
    before = {
        **header.before,
        "items": sum(segment.items for segment in segments),
        "bytes": sum(segment.size for segment in segments),
    }
    return replace(header, segments=tuple(segments), before=before)
