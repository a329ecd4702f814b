"""The older items of a journal: immutable files that its head refers to."""

from __future__ import annotations

import secrets
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson
from blake3 import blake3

from statekeep.errors import ConflictError, CorruptDataError, StateStoreError
from statekeep.format.contents import BOUNDS
from statekeep.format.journal import SegmentName
from statekeep.journals.items import copied
from statekeep.store.keys import segment_key
from statekeep.store.powers import get_many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from statekeep.journals.committing import Seen
    from statekeep.store.protocol import Blob
    from statekeep.store.transfer import Transfer

__all__ = ["MissingSegmentError", "Segments", "is_segment"]

_MERGED_AT_ONCE: Final = 4


class MissingSegmentError(CorruptDataError):
    """A segment or attachment that a head refers to is missing: there may be a newer head."""

    def damage(self) -> CorruptDataError:
        """Return the error for the case that the head is the newest."""
        return CorruptDataError(self.message, key=self.key, store=self.store, landed=self.landed)


class Segments:
    """The segments of one journal.

    Args:
        transfer: Performs the writes.
        uid: The journal's uid.
    """

    def __init__(self, transfer: Transfer, uid: str) -> None:
        self._transfer = transfer
        self._store = transfer.store
        self._uid = uid

    def write(self, items: Sequence[Any], first: int) -> SegmentName:
        """Write a segment under a fresh name, and make sure it is there.

        Args:
            items: Its items, plain values.
            first: The position of the first item.
        """
        data = b"".join([orjson.dumps(item) + b"\n" for item in items])
        while True:
            name = f"{first:012d}-{secrets.token_hex(8)}"
            key = self._key(name)
            try:
                self._transfer.put_new(key, data)
            except StateStoreError as error:
                # Refer to it only if it is seen to be there.
                blob = self._store.get(key)
                if blob is None or blob.data != data:
                    if isinstance(error, ConflictError):
                        continue
                    error.landed = "no"  # only writing the head commits what was asked for
                    raise
            return SegmentName(name, len(items), len(data), _hash(data), first)

    def add(
        self, segments: Sequence[SegmentName], items: Sequence[Any], first: int
    ) -> tuple[SegmentName, ...]:
        """Write one more segment, merged with the last ones while those are small.

        This writes each byte a few times, and keeps the number of segments small.

        Args:
            segments: The journal's segments so far.
            items: The items that leave its head.
            first: The position of the first item.
        """
        kept, added = [*segments], [*items]
        size = sum(len(orjson.dumps(item)) + 1 for item in added)
        while len(kept) >= _MERGED_AT_ONCE - 1:
            oldest, *others = kept[1 - _MERGED_AT_ONCE :]
            rest = sum(segment.size for segment in others) + size
            if oldest.size + rest > BOUNDS.merged or oldest.size > rest:
                break
            joined = kept[1 - _MERGED_AT_ONCE :]
            try:
                added = [*self.read(joined), *added]
            except CorruptDataError:
                break  # an unreadable segment must not keep others from appending
            del kept[1 - _MERGED_AT_ONCE :]
            first, size = oldest.first, oldest.size + rest
        return (*kept, self.write(added, first))

    def read(self, segments: Sequence[SegmentName]) -> Iterator[Any]:
        """Yield the items of some segments, in order; holds a few segments in memory at a time.

        Raises:
            MissingSegmentError: A segment is missing.
            CorruptDataError: A segment is not as the head says.
        """
        left = iter(segments)
        while part := [*islice(left, _MERGED_AT_ONCE)]:
            wanted = {self._key(segment.name): segment for segment in part}
            found = dict(get_many(self._store, wanted))
            for key, segment in wanted.items():
                yield from self._items(key, found.pop(key), segment)

    def has_more(self, segment: SegmentName) -> bool:
        """Return whether a file has more lines than count.

        Raises:
            MissingSegmentError: It is missing.
        """
        key = self._key(segment.name)
        blob = self._store.get(key)
        if blob is None:
            raise MissingSegmentError(
                "the journal refers to this segment, which is missing",
                key=key,
                store=self._store,
            )
        return blob.data.count(b"\n") > segment.items

    def _items(
        self, key: str, blob: Blob | StateStoreError | None, segment: SegmentName
    ) -> list[Any]:
        if isinstance(blob, StateStoreError):
            raise blob
        if blob is None:
            raise MissingSegmentError(
                "the journal refers to this segment, which is missing",
                key=key,
                store=self._store,
            )
        if not is_segment(blob.data, segment):
            raise CorruptDataError("it is not what the journal wrote", key=key, store=self._store)
        return [orjson.loads(line) for line in blob.data.split(b"\n")[: segment.items]]

    def _key(self, name: str) -> str:
        return segment_key(self._uid, name)


def is_segment(data: bytes, segment: SegmentName) -> bool:
    """Whether some bytes match what a head says of a segment."""
    return _hash(data) == segment.hash and data.count(b"\n") >= segment.items


def items_between(transfer: Transfer, seen: Seen, start: int, stop: int) -> list[Any]:
    """Read items by position, and only the segments that hold them.

    Raises:
        MissingSegmentError, CorruptDataError: As in `Segments.read`.
    """
    wanted = [
        segment
        for segment in seen.lines.header.segments
        if start < segment.first + segment.items and segment.first < stop
    ]
    items: list[Any] = []
    if wanted:
        begin = wanted[0].first
        items = [*Segments(transfer, seen.uid).read(wanted)][start - begin : stop - begin]
    before = seen.before
    if stop > before:
        items += copied(seen.contents.tail[max(0, start - before) : stop - before])
    return items


def _hash(data: bytes) -> str:
    return blake3(data).hexdigest(length=16)
