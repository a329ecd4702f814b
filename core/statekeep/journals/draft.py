"""Drafts: the journal as seen by a change in several steps, which one write then commits."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from statekeep._arguments import checked, refuse_type
from statekeep.errors import StateStoreError
from statekeep.format.journal import Change, hashed_key
from statekeep.format.values import plain_value
from statekeep.journals.attachments import Attachments
from statekeep.journals.items import copied, encoded, hashed_keys, plain_item
from statekeep.journals.segments import Segments
from statekeep.journals.writing import new_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from statekeep.format.journal import SegmentName
    from statekeep.journals.committing import Seen
    from statekeep.store.transfer import Transfer

__all__ = ["Draft"]


class Draft:
    """Passed by `Journal.change` to its function, which can read and change it.

    Attributes:
        exists: Whether the journal exists; otherwise the change creates it.
        metadata: Its metadata; change it in place.
        forget: Set this to delete removed items at once, also from the trash, instead of some days
            later. Anyone who is reading an older version then reads again.
    """

    def __init__(self, seen: Seen | None, transfer: Transfer) -> None:
        self.exists = seen is not None
        self._transfer = transfer
        self._uid = seen.uid if seen else new_uid()
        self._is_attached = seen is not None and seen.lines.header.attached
        self.forget = False
        self._metadata = seen.contents.metadata if seen else {}
        self.metadata: dict[str, Any] = deepcopy(seen.contents.metadata) if seen else {}
        self._last_read: tuple[str, list[Any]] = "", []
        self._known = {*seen.contents.keys} if seen else set[str]()
        self._named = seen.lines.header.segments if seen else ()
        self._older: list[SegmentName | list[Any]] = [*self._named]
        self._tail: list[Any] = copied(seen.contents.tail) if seen else []
        self._in_lines = self._untouched = len(self._tail)
        self._keys: list[str] = []
        self._is_rewritten = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length} items)"

    @property
    def length(self) -> int:
        """The number of items."""
        return self._before + len(self._tail)

    @property
    def _before(self) -> int:
        return sum(len(part) if isinstance(part, list) else part.items for part in self._older)

    @checked
    def items(self, start: int = 0, stop: int | None = None) -> list[Any]:
        """Read items by position; returns copies."""
        start, stop, _ = slice(start, stop).indices(self.length)
        found: list[Any] = []
        position = 0
        for part in [*self._older, self._tail]:
            size = len(part) if isinstance(part, list) else part.items
            if start < position + size and position < stop:
                items = part if isinstance(part, list) else self._read(part)
                found += items[max(0, start - position) : max(0, stop - position)]
            position += size
        return copied(found)

    @checked
    def last(self, n: int) -> list[Any]:
        """Read the last items.

        Args:
            n: The maximum number of items.

        Raises:
            ValueError: `n` is negative.
        """
        if n < 0:
            raise ValueError(f"n must be at least 0, not {n}")
        return self.items(max(0, self.length - n))

    @checked
    def has(self, key: str) -> bool:
        """Return whether an item or a change was appended under that key."""
        return hashed_key(key) in self._known

    @checked
    def append(self, items: Iterable[Any], keys: Sequence[str | None] | None = None) -> list[bool]:
        """Append items.

        Args:
            items: Any values that JSON can hold.
            keys: An idempotency key for each item, or None; items whose key is already known are
                left out.

        Returns:
            For each item, whether it is new.

        Raises:
            InvalidDocumentError: An item cannot be stored.
            ValueError: The number of keys differs from the number of items, or one change has more
                keys than a journal remembers, 1,024.
        """
        new = []
        items = [plain_item(item) for item in items]
        hashes = hashed_keys(keys, len(items), len(self._keys))
        for item, hashed in zip(items, hashes, strict=True):
            new.append(hashed is None or hashed not in self._known)
            if new[-1]:
                self._tail.append(item)
                if hashed is not None:
                    self._known.add(hashed)
                    self._keys.append(hashed)
        return new

    def pop(self) -> Any:  # noqa: ANN401
        """Remove and return the last item.

        Raises:
            IndexError: There are no items.
        """
        if self._tail:
            item = self._tail.pop()
            self._untouched = min(self._untouched, len(self._tail))
            return item
        while self._older:
            part = self._older.pop()
            items = part if isinstance(part, list) else self._read(part)
            self._is_rewritten = True
            if items:
                item = items[-1]
                if len(items) > 1:
                    # The file stays, with one more line than counts.
                    rest = items[:-1]
                    self._older.append(
                        rest if isinstance(part, list) else part._replace(items=len(rest))
                    )
                return item
        raise IndexError("the journal has no items")

    @checked
    def replace(self, position: int, item: Any) -> None:  # noqa: ANN401
        """Replace an item.

        Args:
            position: Its position; a negative one counts from the end.
            item: The new item: any value that JSON can hold.

        Raises:
            IndexError: There is no item at that position.
            InvalidDocumentError: The item cannot be stored.
        """
        if not -self.length <= position < self.length:
            raise IndexError(f"the journal has no item {position}")
        position %= self.length
        item = plain_item(item)
        self._is_rewritten = True
        start = 0
        for place, part in enumerate(self._older):
            size = len(part) if isinstance(part, list) else part.items
            if position < start + size:
                items = part if isinstance(part, list) else self._read(part)
                items[position - start] = item
                self._older[place] = items
                return
            start += size
        self._tail[position - start] = item

    @checked
    def truncate(self, n: int) -> None:
        """Keep at most the first `n` items."""
        if n >= self.length:
            return
        if n < 0:
            raise ValueError(f"n must be at least 0, not {n}")
        self._is_rewritten = True
        before = self._before
        del self._tail[max(0, n - before) :]
        while self._older and before > n:
            part = self._older.pop()
            before -= len(part) if isinstance(part, list) else part.items
            if before < n:
                items = part if isinstance(part, list) else self._read(part)
                self._older.append(items[: n - before])
                break

    def clear(self) -> None:
        """Remove all items; the metadata stays."""
        self.truncate(0)

    @checked
    def attach(self, data: bytes, file_name: str) -> str:
        """Store a file for an item to refer to, like `Journal.attach`, as part of this change.

        The file is written at once, with one request, and none for the head. If the change is not
        written, the file stays until the journal is gone.

        Args:
            data: The file's content.
            file_name: Its name, of which only a short suffix (``.png``) is kept.

        Returns:
            The file's ref, for `Journal.attachments`.

        Raises:
            UnavailableError: The store did not answer.
        """
        self._is_attached = True
        try:
            return Attachments(self._transfer.store, self._uid).put(data, file_name)
        except StateStoreError as error:
            error.landed = "no"  # the change was not written
            raise

    def _finish(
        self,
        n: int,
        id: str,  # noqa: A002 - the field's name
        at: str,
    ) -> tuple[Change, list[SegmentName | list[Any]] | None]:
        """Return the draft as a change.

        Returns:
            The line and, if the head must be rewritten, what comes before it; otherwise None.
        """
        if not isinstance(self.metadata, dict):
            refuse_type("draft.metadata", "a dict", self.metadata)
        metadata = plain_value(self.metadata)
        if self.forget:
            self._is_rewritten = True
            for place, part in enumerate(self._older):
                # Items were popped from it, by this change or an earlier one.
                if not isinstance(part, list) and self._source.has_more(part):
                    self._older[place] = self._read(part)
        keys = tuple(self._keys)
        if self._is_rewritten:  # the new header holds no metadata
            items = tuple(self._tail)
            return Change(n=n, id=id, at=at, items=items, keys=keys, set=metadata), self._older
        line = Change(
            n=n,
            id=id,
            at=at,
            drop=self._in_lines - self._untouched,
            items=tuple(self._tail[self._untouched :]),
            keys=keys,
            unset=tuple([name for name in self._metadata if name not in metadata]),
            set={
                name: value
                for name, value in metadata.items()
                # Python equates 1, True and 1.0.
                if name not in self._metadata or encoded(self._metadata[name]) != encoded(value)
            },
        )
        return line, None

    def _read(self, part: SegmentName) -> list[Any]:
        name, items = self._last_read
        if name != part.name:
            items = [*self._source.read([part])]
            self._last_read = part.name, items
        return copied(items[: part.items])

    @property
    def _source(self) -> Segments:
        return Segments(self._transfer, self._uid)
