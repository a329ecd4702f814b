"""One journal: items in order, read and changed by conditional writes of its head."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from statekeep._arguments import checked
from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    NotFoundError,
    OwnershipError,
)
from statekeep.format.contents import BOUNDS, fit, fold
from statekeep.format.journal import (
    MAX_IDS,
    MAX_KEYS,
    Change,
    Header,
    encode_head,
    encode_line,
    hashed_key,
)
from statekeep.format.summary import EXPIRES, PIN
from statekeep.format.values import plain_value
from statekeep.journals.committing import HeadFile
from statekeep.journals.draft import Draft, copied, plain_item, size_of
from statekeep.journals.heads import Head, Loaded, head_of
from statekeep.journals.segments import MissingSegmentError, Segments
from statekeep.observe.events import (
    ConflictDetected,
    ConflictRetried,
    JournalDeleted,
    JournalSaved,
)
from statekeep.store.keys import journal_id, journal_key
from statekeep.store.protocol import ABSENT, ANY
from statekeep.store.retrying import apply
from statekeep.timestamps import format_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from statekeep.format.journal import SegmentName
    from statekeep.journals.committing import Seen
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import Expect, ExpectSeen, Version
    from statekeep.store.transfer import Transfer

__all__ = ["SKIP", "Journal", "Shared"]

T = TypeVar("T")

MAX_METADATA: Final = 2**20
"""Bytes of the metadata as JSON."""

_TIMEOUT: Final = timedelta(seconds=30)


class _Skip:
    def __repr__(self) -> str:
        return "SKIP"


SKIP: Final = _Skip()
"""What the function of `Journal.change` returns so that nothing is written."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the journals of a collection have in common.

    Attributes:
        collection: Its name.
        transfer: Writes and deletes on conditions.
        emitter: Tells observers.
        saved: Told of each change by the id of the journal, for retention.
    """

    collection: str
    transfer: Transfer
    emitter: Emitter
    saved: Callable[[str], object]


class Journal:
    """A journal of a collection; `Journals.open` gives one, without looking at the store.

    It remembers the head that it saw, so that an append is one request. Not safe under threads:
    open one for each.
    """

    def __init__(self, shared: Shared, name: tuple[str, ...]) -> None:
        self._shared = shared
        self._transfer = shared.transfer
        self._emitter = shared.emitter
        self._name = name
        self._file = HeadFile(shared.transfer, journal_key(shared.collection, name))
        self._uid: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._subject})"

    @property
    def name(self) -> tuple[str, ...]:
        """Its name in the collection."""
        return self._name

    def head(self) -> Head | None:
        """Read what is said of it; None if there is none. One request."""
        with self._emitter.operation("head", self._subject):
            seen = self._file.read()
            return None if seen is None else head_of(seen)

    @checked
    def create(
        self,
        items: Iterable[Any] = (),
        *,
        user_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Head:
        """Make the journal.

        Raises:
            ConflictError: There is one.
            InvalidDocumentError: Something cannot be stored.
        """
        with self._emitter.operation("create", self._subject):
            return self.append(items, set=metadata, user_id=user_id, expect=ABSENT)

    @checked
    def append(
        self,
        items: Iterable[Any],
        *,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - what it does
        unset: Iterable[str] = (),
        key: str | None = None,
        keys: Sequence[str | None] | None = None,
        expect: Expect = ANY,
        user_id: str | None = None,
    ) -> Head:
        """Append items and change the metadata in one write; makes the journal if need be.

        Args:
            items: Any values that JSON holds.
            set: Keys of the metadata with their new values.
            unset: Keys that leave the metadata.
            key: What was done under this key is not done again.
            keys: One for each item, or None: an item whose key is known is left out.
            expect: `ANY`, `ABSENT` (the journal must be new) or the version that it must have.
            user_id: The user it belongs to; one without a user is given to this one.

        Returns:
            What is then said of it.

        Raises:
            ConflictError: It is not as expected; nothing was written.
            OwnershipError: It belongs to another user.
            InvalidDocumentError: Something cannot be stored; nothing was written.
            UnavailableError: The store did not answer; `landed` says what may have happened.
        """
        added = [plain_item(item) for item in items]
        named = (
            [None] * len(added) if keys is None else [each and hashed_key(each) for each in keys]
        )
        if len(named) != len(added):
            raise ValueError(f"keys: one for each of {len(added)} items, not {len(named)}")
        new, gone = plain_value(dict(set or {})), tuple(unset)
        guard = None if key is None else hashed_key(key)

        def follow(seen: Seen | None, change: str) -> bytes | None:
            self._compare(seen, expect)
            known = {*seen.contents.keys} if seen else {*()}
            if guard is not None and guard in known:
                return None
            fresh = []
            used = [] if guard is None else [guard]
            for item, name in zip(added, named, strict=True):
                if name is None or name not in known:
                    fresh.append(item)
                    if name is not None:
                        used.append(name)
                        known.add(name)
            return self._followed(
                seen,
                Change(
                    n=seen.contents.n + 1 if seen else 1,
                    id=change,
                    at=format_timestamp(utc_now()),
                    items=tuple(fresh),
                    keys=tuple(used),
                    unset=gone,
                    set=new,
                    about=self._belonging(seen, user_id),
                ),
            )

        timeout = _TIMEOUT if expect is ANY else timedelta(0)
        return self._head("append", follow, timeout)

    @checked
    def load(
        self, *, last: int | None = None, start: int = 0, stop: int | None = None
    ) -> Loaded | None:
        """Read items, and the head that they belong to; None if there is no journal.

        One request if the head holds them; else those of the segments that hold them as well.

        Args:
            last: So many from the end.
            start: From this position on; a negative one counts from the end.
            stop: Up to this position.

        Raises:
            CorruptDataError: The journal is damaged.
            ValueError: `last` comes with `start` or `stop`, or is negative.
        """
        if last is not None and (start or stop is not None):
            raise ValueError("give last, or start and stop")
        if last is not None and last < 0:
            raise ValueError(f"last must not be negative, and it is {last}")
        with self._emitter.operation("load", self._subject):
            return self._load(last, start, stop)

    def _load(self, last: int | None, start: int, stop: int | None) -> Loaded | None:
        missed: Version | None = None
        while (seen := self._file.read()) is not None:
            begin = start if last is None else max(0, seen.length - last)
            first, end, _ = slice(begin, stop).indices(seen.length)
            try:
                return Loaded(head_of(seen), first, self._items(seen, first, end))
            except MissingSegmentError as error:
                # A newer head names others. One that still names it is damaged.
                if missed == seen.version:
                    raise CorruptDataError(
                        error.message, key=error.key, store=error.store
                    ) from None
                missed = seen.version
        return None

    @checked
    def read(
        self, *, last: int | None = None, start: int = 0, stop: int | None = None
    ) -> list[Any] | None:
        """Read items; as `load`, without the head."""
        with self._emitter.operation("read", self._subject):
            loaded = self.load(last=last, start=start, stop=stop)
            return None if loaded is None else loaded.items

    @checked
    def change(
        self, fn: Callable[[Draft], T], *, create: bool = True, timeout: timedelta = _TIMEOUT
    ) -> T:
        """Change the journal in several steps, all in one write.

        Args:
            fn: Changes the draft that it is given; it may be called several times. If it returns
                `SKIP`, nothing is written.
            create: Make the journal if there is none.
            timeout: How long to go on after conflicts.

        Returns:
            What the function returned.

        Raises:
            NotFoundError: There is none, and it shall not be made.
            ConflictError: Others came between until the timeout; nothing was written.
        """
        result: list[T] = []

        def follow(seen: Seen | None, change: str) -> bytes | None:
            self._compare(seen, ANY)
            if seen is None and not create:
                raise self._not_found()
            draft = Draft(seen, self._segments(seen) if seen else None)
            result[:] = [apply(fn, draft)]
            return None if result[0] is SKIP else self._drafted(seen, draft, change)

        self._commit("change", follow, timeout)
        return result[0]

    @checked
    def pin(self, until: datetime | None = None) -> Head:
        """Protect it from pruning; `updated_at` stays.

        Args:
            until: When the protection ends, aware; None for never.

        Raises:
            NotFoundError: There is no such journal.
        """
        return self._mark("pin", PIN, True if until is None else format_timestamp(until))

    def unpin(self) -> Head:
        """End the protection of `pin`; `updated_at` stays.

        Raises:
            NotFoundError: There is no such journal.
        """
        return self._mark("unpin", PIN, None)

    @checked
    def expire(self, at: datetime | None) -> Head:
        """Say when it may go, for the strategy ``expired``; `updated_at` stays.

        Args:
            at: When, aware; None for never.

        Raises:
            NotFoundError: There is no such journal.
        """
        return self._mark("expire", EXPIRES, None if at is None else format_timestamp(at))

    @checked
    def delete(self, *, expect: ExpectSeen = ANY) -> bool:
        """Delete the journal; what lies in segments waits for the sweep.

        Args:
            expect: `ANY`, or the version that may be deleted.

        Returns:
            Whether there was one.

        Raises:
            ConflictError: It is not as expected; nothing was deleted.
        """
        with self._emitter.operation("delete", self._subject), self._telling_of_conflicts():
            timeout = _TIMEOUT if expect is ANY else timedelta(0)
            deleted = self._file.delete(
                lambda seen: self._compare(seen, expect), timeout, self._retry
            )
            if not deleted and expect is not ANY:
                raise self._conflict("it is not the version that was expected")
            self._uid = None
            if deleted:
                self._emitter.emit(
                    JournalDeleted, self._shared.collection, self._name, pruned=False, trashed=False
                )
            return deleted

    @property
    def _subject(self) -> str:
        return "/".join([self._shared.collection, *self._name])

    def _commit(
        self, name: str, follow: Callable[[Seen | None, str], bytes | None], timeout: timedelta
    ) -> Seen | None:
        """Write the head that follows, as the operation of this name."""
        is_new = wrote = False

        def noting(seen: Seen | None, change: str) -> bytes | None:
            nonlocal is_new, wrote
            data = follow(seen, change)
            is_new, wrote = seen is None, data is not None
            return data

        with self._emitter.operation(name, self._subject), self._telling_of_conflicts():
            seen = self._file.swap(noting, timeout, self._retry)
            if seen is not None:
                self._uid = seen.uid
            if seen is not None and wrote:
                self._emitter.emit(
                    JournalSaved,
                    self._shared.collection,
                    self._name,
                    seen.about.user_id,
                    seen.version,
                    created=is_new,
                )
                self._shared.saved(journal_id(self._file.key))
            return seen

    def _head(
        self, name: str, follow: Callable[[Seen | None, str], bytes | None], timeout: timedelta
    ) -> Head:
        seen = self._commit(name, follow, timeout)
        assert seen is not None  # noqa: S101 - nothing was left unwritten where there was none
        return head_of(seen)

    @contextmanager
    def _telling_of_conflicts(self) -> Iterator[None]:
        try:
            yield
        except ConflictError as error:
            self._emitter.emit(ConflictDetected, error.key)
            raise

    def _retry(self, error: ConflictError, retry: int) -> None:
        self._emitter.emit(ConflictRetried, error.key, retry)

    def _not_found(self) -> NotFoundError:
        return NotFoundError("no such journal", key=self._file.key, store=self._transfer.store)

    def _mark(self, operation: str, name: str, value: object) -> Head:
        def follow(seen: Seen | None, change: str) -> bytes | None:
            self._compare(seen, ANY)
            if seen is None:
                raise self._not_found()
            n = seen.contents.n + 1
            if value is None:
                return self._followed(seen, Change(n=n, id=change, unset=(name,)))
            return self._followed(seen, Change(n=n, id=change, set={name: value}))

        return self._head(operation, follow, _TIMEOUT)

    def _compare(self, seen: Seen | None, expect: Expect) -> None:
        if self._uid is not None and (seen is None or seen.uid != self._uid):
            raise self._conflict("it was deleted, or made anew, since this handle saw it")
        if expect is ABSENT and seen is not None:
            raise self._conflict("there is a journal of this name")
        if isinstance(expect, str) and (seen is None or seen.version != expect):
            raise self._conflict("it is not the version that was expected")

    def _conflict(self, what: str) -> ConflictError:
        return ConflictError(what, key=self._file.key, store=self._transfer.store, landed="no")

    def _belonging(self, seen: Seen | None, user_id: str | None) -> dict[str, Any]:
        """What a change says of the user."""
        owner = seen.about.user_id if seen else None
        if user_id is None or owner == user_id:
            return {}
        if owner is not None:
            raise OwnershipError(
                f"the journal does not belong to {user_id!r}",
                key=self._file.key,
                store=self._transfer.store,
                landed="no",
            )
        return {"user_id": user_id}

    def _segments(self, seen: Seen) -> Segments:
        return Segments(self._transfer, seen.uid)

    def _items(self, seen: Seen, start: int, stop: int) -> list[Any]:
        """Read items by their positions; only the segments that hold them."""
        wanted = [
            segment
            for segment in seen.lines.header.segments
            if start < segment.first + segment.items and segment.first < stop
        ]
        items: list[Any] = []
        if wanted:
            begin = wanted[0].first
            items = [*self._segments(seen).read(wanted)][start - begin : stop - begin]
        before = seen.before
        if stop > before:
            items += copied(seen.contents.tail[max(0, start - before) : stop - before])
        return items

    def _followed(self, seen: Seen | None, change: Change) -> bytes:
        """The head with one more line."""
        self._check_metadata(seen, change)
        if seen is None:
            return self._written(self._new_header(change), (change,))
        line, _ = encode_line(change.fields(), seen.lines.seal)
        if sum(seen.lines.sizes) + len(line) <= BOUNDS.lines:
            return seen.data + line
        return self._written(seen.lines.header, (*seen.lines.changes, change))

    def _check_metadata(self, seen: Seen | None, change: Change) -> None:
        metadata = _patched(seen.contents.metadata if seen else {}, change)
        if size_of(metadata) > MAX_METADATA:
            raise InvalidDocumentError(
                f"the metadata has more than {MAX_METADATA} bytes", key=self._file.key, landed="no"
            )

    def _new_header(self, change: Change) -> Header:
        about = {
            "name": [*self._name],
            "user_id": None,
            "created_at": change.at,
            "updated_at": change.at,
        }
        return Header(uid=secrets.token_hex(16), n=0, about=about)

    def _written(self, header: Header, changes: Sequence[Change]) -> bytes:
        """A head written anew, once what leaves it lies in a segment."""
        fitted = fit(header, changes)
        header = fitted.header
        if fitted.leaving:
            segments = Segments(self._transfer, header.uid)
            first = sum(segment.items for segment in header.segments)
            header = _with_segments(header, segments.add(header.segments, fitted.leaving, first))
        return encode_head(header, fitted.changes)

    def _drafted(self, seen: Seen | None, draft: Draft, change: str) -> bytes:
        line = draft.line(
            n=seen.contents.n + 1 if seen else 1, id=change, at=format_timestamp(utc_now())
        )
        if seen is None or not draft.is_rewritten:
            return self._followed(seen, line)
        self._check_metadata(seen, line)
        contents = fold(seen.lines.header, seen.lines.changes)
        segments, first = [], 0
        for part in draft.older:
            segment = self._segments(seen).write(part, first) if isinstance(part, list) else part
            segments.append(segment._replace(first=first))
            first += segment.items
        header = replace(
            seen.lines.header,
            n=contents.n,
            about=contents.about,
            metadata=contents.metadata,
            keys=tuple(contents.keys[-MAX_KEYS:]),
            ids=tuple([*contents.ids.items()][-MAX_IDS:]),
        )
        return self._written(_with_segments(header, segments), (line,))


def _patched(metadata: Mapping[str, Any], change: Change) -> dict[str, Any]:
    return {k: v for k, v in metadata.items() if k not in change.unset} | dict(change.set)


def _with_segments(header: Header, segments: Sequence[SegmentName]) -> Header:
    before = {
        **header.before,
        "items": sum(segment.items for segment in segments),
        "bytes": sum(segment.size for segment in segments),
    }
    return replace(header, segments=tuple(segments), before=before)
