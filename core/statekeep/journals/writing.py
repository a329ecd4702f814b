"""The head that follows another: one line more, or all of it written anew.

What leaves a head lies in a segment before the head that names it is given.
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
"""Bytes of the metadata as JSON."""


class HeadWriter:
    """Makes the heads of one journal.

    Args:
        transfer: Writes segments.
        key: Where the head lies.
        name: The journal's.
    """

    def __init__(self, transfer: Transfer, key: str, name: tuple[str, ...]) -> None:
        self._transfer = transfer
        self._key = key
        self._name = name

    def followed(self, seen: Seen | None, change: Change) -> bytes:
        """The head with one more line, if the metadata may be so large.

        Raises:
            InvalidDocumentError: The metadata would be too large.
        """
        self._check_set(seen, change)
        return self.appended(seen, change)

    def appended(self, seen: Seen | None, change: Change) -> bytes:
        """The head with one more line, however large the metadata."""
        if seen is None:
            return self.anew(self._new_header(change, new_uid()), (change,))
        line, _ = encode_line(change.fields(), seen.lines.seal)
        if sum(seen.lines.sizes) + len(line) <= BOUNDS.lines:
            return seen.data + line
        return self.anew(seen.lines.header, (*seen.lines.changes, change))

    def anew(self, header: Header, changes: Sequence[Change]) -> bytes:
        """A head written anew, once what leaves it lies in a segment."""
        fitted = fit(header, changes)
        header = fitted.header
        if fitted.leaving:
            segments = Segments(self._transfer, header.uid)
            first = sum(segment.items for segment in header.segments)
            header = with_segments(header, segments.add(header.segments, fitted.leaving, first))
            if "id" in header.about:
                from statekeep.format.turns import tally  # noqa: PLC0415 - of sessions only

                header = replace(header, before=tally(header.before, fitted.leaving))
        return encode_head(header, fitted.changes)

    def drafted(
        self, seen: Seen | None, draft: Draft, change: str, about: Mapping[str, Any]
    ) -> bytes:
        """The head as a draft has it.

        Args:
            seen: What the draft was made of.
            draft: What became of it.
            change: The id of the change.
            about: What it changes about the journal.
        """
        line, older = draft._finish(  # noqa: SLF001 - for this alone
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
        """The head with one more line; what is attached first is said in the header."""
        attached = draft._is_attached  # noqa: SLF001 - for this alone
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
        """Look whether metadata may follow that of a head.

        Raises:
            InvalidDocumentError: It is too large.
        """
        # What makes it smaller is never refused: a restored journal may be beyond the bound.
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
    """What no other journal has."""
    return secrets.token_hex(16)


def with_segments(header: Header, segments: Sequence[SegmentName]) -> Header:
    """The header with other segments, and the sum of what they hold."""
    before = {
        **header.before,
        "items": sum(segment.items for segment in segments),
        "bytes": sum(segment.size for segment in segments),
    }
    return replace(header, segments=tuple(segments), before=before)
