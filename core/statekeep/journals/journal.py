"""One journal: items in order, read and changed by conditional writes of its head."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from statekeep._arguments import checked
from statekeep.errors import (
    ConflictError,
    NotFoundError,
    OwnershipError,
    StateStoreError,
)
from statekeep.format.journal import Change, hashed_key
from statekeep.format.summary import EXPIRES, PIN
from statekeep.format.values import plain_value
from statekeep.journals.attachments import Attachments
from statekeep.journals.committing import HeadFile
from statekeep.journals.draft import Draft
from statekeep.journals.forgetting import delete_unnamed, segments_of
from statekeep.journals.heads import Head, Loaded, head_of
from statekeep.journals.items import hashed_keys, plain_item
from statekeep.journals.segments import MissingSegmentError, items_between
from statekeep.journals.writing import HeadWriter
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

    from statekeep.journals.committing import Seen
    from statekeep.observe.emitter import Emitter
    from statekeep.store.protocol import Expect, ExpectSeen, Version
    from statekeep.store.transfer import Transfer

__all__ = ["SKIP", "Journal", "Shared"]

T = TypeVar("T")

_TIMEOUT: Final = timedelta(seconds=30)

_changing: ContextVar[frozenset[tuple[int, str]]] = ContextVar(
    "statekeep_changing", default=frozenset()
)
"""The journals that a function passed to `Journal.change` is changing: by store and key."""


class _Skip:
    def __repr__(self) -> str:
        return "SKIP"


SKIP: Final = _Skip()
"""Return this from the function passed to `Journal.change` to write nothing."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the journals of a collection share.

    Attributes:
        collection: The collection's name.
        transfer: Performs conditional writes and deletes.
        emitter: Tells observers.
        saved: Called after each change with the journal's id, for retention.
    """

    collection: str
    transfer: Transfer
    emitter: Emitter
    saved: Callable[[str], object]


class Journal:
    """A journal of a collection; `Journals.open` returns one without reading the store.

    It remembers the head that it saw last, so an append is one request. It only changes the journal
    that it last read or wrote: if that was deleted or recreated since, it raises `ConflictError`
    until it has read what is there now. Not safe to share between threads: open one per thread.

    Raises:
        OwnershipError: Raised by every method of a handle that was opened for a user, if the
            journal belongs to another one.
    """

    def __init__(self, shared: Shared, name: tuple[str, ...], user_id: str | None = None) -> None:
        self._shared = shared
        self._user_id = user_id
        self._transfer = shared.transfer
        self._emitter = shared.emitter
        self._name = name
        self._file = HeadFile(shared.transfer, journal_key(shared.collection, name))
        self._writer = HeadWriter(shared.transfer, self._file.key, name)
        self._uid: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._subject})"

    @property
    def name(self) -> tuple[str, ...]:
        """The journal's name in the collection."""
        return self._name

    def head(self) -> Head | None:
        """Read the head, or None if there is no such journal. One request."""
        with self._emitter.operation("head", self._subject):
            seen = self._file.read()
            self._uid = None if seen is None else seen.uid
            self._refuse_foreign(seen)
            return None if seen is None else head_of(seen)

    @checked
    def create(
        self,
        items: Iterable[Any] = (),
        *,
        user_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Head:
        """Create the journal.

        Args:
            items: Its first items: any values that JSON can hold.
            user_id: The user who owns it; by default the handle's.
            metadata: Its metadata.

        Raises:
            ConflictError: It already exists.
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
        """Append items and change the metadata in one write; creates the journal if necessary.

        Args:
            items: Any values that JSON can hold.
            set: Metadata keys to set, with their new values.
            unset: Metadata keys to remove.
            key: Idempotency key: what was done under a key is not done again.
            keys: An idempotency key for each item, or None: an item whose key is already known is
                left out.
            expect: `ANY`, `ABSENT` (the journal must be new) or the version it must have.
            user_id: The user who owns it; a journal without an owner is given to this user. By
                default the handle's.

        Returns:
            The new head.

        Raises:
            ConflictError: The journal is not as expected; nothing was written.
            OwnershipError: It belongs to another user.
            CorruptDataError: It is damaged; nothing was written.
            InvalidDocumentError: Something cannot be stored; nothing was written.
            ValueError: The number of keys differs from the number of items, or exceeds what a
                journal remembers, 1,024.
            UnavailableError: The store did not answer; `landed` says whether it may have written.
        """
        user_id = self._user_id if user_id is None else user_id
        added = [plain_item(item) for item in items]
        named = hashed_keys(keys, len(added))
        new, gone = plain_value(dict(set or {})), tuple(unset)
        guard = None if key is None else hashed_key(key)

        def follow(seen: Seen | None, change: str) -> bytes | None:
            self._compare(seen, ANY)
            about = self._belonging(seen, user_id)
            known = {*seen.contents.keys} if seen and (guard or keys) else {*()}
            if guard is not None and guard in known:
                return None
            self._compare(seen, expect)
            fresh = []
            used = [] if guard is None else [guard]
            for item, name in zip(added, named, strict=True):
                if name is None or name not in known:
                    fresh.append(item)
                    if name is not None:
                        used.append(name)
                        known.add(name)
            if seen is not None and added and not (fresh or new or gone or about):
                return None  # everything is already known
            return self._writer.followed(
                seen,
                Change(
                    n=seen.contents.n + 1 if seen else 1,
                    id=change,
                    at=format_timestamp(utc_now()),
                    items=tuple(fresh),
                    keys=tuple(used),
                    unset=gone,
                    set=new,
                    about=about,
                ),
            )

        timeout = _TIMEOUT if expect is ANY else timedelta(0)
        return self._head("append", follow, timeout)

    @checked
    def load(
        self,
        *,
        last: int | None = None,
        start: int | Callable[[Head], int] = 0,
        stop: int | None = None,
        refs: Callable[[Loaded], Iterable[str]] | None = None,
    ) -> Loaded | None:
        """Read items, and the head that they belong to; None if there is no such journal.

        One request if the head holds them; otherwise one more for each segment that holds them,
        and one for each attachment.

        Args:
            last: How many items to read from the end.
            start: The first position; a negative one counts from the end. Or a function that
                returns it for a head, in case the metadata says where to start.
            stop: The position to stop before.
            refs: Returns the refs of the attachments to read as well, for what was loaded. Like
                a function passed as `start`, it may be called several times.

        Raises:
            CorruptDataError: The journal is damaged, or an attachment is missing.
            InvalidKeyError: `refs` returned something that is not a ref.
            ValueError: `last` is combined with `start` or `stop`, or is negative.
        """
        if last is not None and (start or stop is not None):
            raise ValueError("give last, or start and stop")
        if last is not None and last < 0:
            raise ValueError(f"last must be at least 0, not {last}")

        def read(seen: Seen) -> Loaded:
            self._refuse_foreign(seen)
            head, begin = head_of(seen), start
            if last is not None:
                begin = max(0, seen.length - last)
            elif callable(begin):
                begin = begin(head)
            first, end, _ = slice(begin, stop).indices(seen.length)
            loaded = Loaded(head, first, items_between(self._transfer, seen, first, end))
            if refs is None:
                return loaded
            files = Attachments(self._transfer.store, seen.uid).need(refs(loaded))
            return replace(loaded, attachments=files)

        with self._emitter.operation("load", self._subject):
            loaded = self._read(read)
            self._uid = None if loaded is None else loaded.head.uid
            return loaded

    @checked
    def read(
        self, *, last: int | None = None, start: int = 0, stop: int | None = None
    ) -> list[Any] | None:
        """Read items, like `load` but without the head."""
        with self._emitter.operation("read", self._subject):
            loaded = self.load(last=last, start=start, stop=stop)
            return None if loaded is None else loaded.items

    @checked
    def change(
        self, fn: Callable[[Draft], T], *, create: bool = True, timeout: timedelta = _TIMEOUT
    ) -> T:
        """Change the journal in several steps, all in one write.

        Args:
            fn: Changes the draft that is passed to it; it may be called several times. If it
                returns `SKIP`, nothing is written.
            create: Create the journal if it does not exist.
            timeout: How long to keep retrying after conflicts.

        Returns:
            What the function returned.

        Raises:
            NotFoundError: The journal does not exist, and `create` is false.
            ConflictError: Others kept writing until the timeout; nothing was written.
            CorruptDataError: The journal is damaged.
            InvalidDocumentError: Something cannot be stored; nothing was written.
            UnavailableError: As in `append`; or the change was written, but not everything that
                it forgets was deleted.
            RuntimeError: The function changes this same journal other than through the draft.
        """
        result: list[T] = []
        left: frozenset[str] | None = None

        def follow(seen: Seen | None, change: str) -> bytes | None:
            nonlocal left
            self._compare(seen, ANY)
            if seen is None and not create:
                raise self._not_found()
            draft = Draft(seen, self._transfer)
            token = _changing.set(_changing.get() | {self._identity})
            try:
                result[:] = [apply(fn, draft)]
            finally:
                _changing.reset(token)
            left = None
            if result[0] is SKIP:
                return None
            if seen is not None and draft.forget:
                left = segments_of(self._transfer.store, seen.uid)
            about = self._belonging(seen, self._user_id)
            return self._writer.drafted(seen, draft, change, about)

        with self._emitter.operation("change", self._subject):
            seen = self._commit("change", follow, timeout)
            if seen is not None and left is not None:
                self._forget(seen, left)
        return result[0]

    @checked
    def fork(self, *name: str, upto: int | None = None) -> Journal:
        """Create a new journal as a copy of this one, sharing nothing with it.

        The copy has the user, metadata, items and attachments of this one; its times are now.
        Idempotency keys are not copied, and neither are a pin and an expiry time (`expire`).
        Items are copied a segment at a time, files one by one.

        Args:
            name: The new journal's name in the collection.
            upto: How many items to copy, from the start; by default all.

        Returns:
            The new journal.

        Raises:
            ConflictError: A journal with that name exists; nothing was changed.
            NotFoundError: There is no journal to copy.
            CorruptDataError: This journal is damaged.
            InvalidKeyError: The name is not legal.
            ValueError: `upto` is negative.
            UnavailableError: As in `append`; or copying took more than an hour.

        Examples:
            >>> from statekeep import Journals, open_store
            >>> with open_store("memory:") as store:
            ...     journal = Journals(store, "support").open("ada", "thread-17")
            ...     head = journal.append(["Hello", "Good morning"])
            ...     journal.fork("ada", "thread-18", upto=1).read()
            ['Hello']
        """
        from statekeep.journals.forking import forked  # noqa: PLC0415 - not always needed

        if upto is not None and upto < 0:
            raise ValueError(f"upto must be at least 0, not {upto}")
        made = Journal(self._shared, name, self._user_id)

        def follow(there: Seen | None, change: str) -> bytes:
            made._compare(there, ABSENT)

            def copy(seen: Seen) -> bytes:
                self._compare(seen, ANY)
                return forked(self._transfer, seen, made._file.key, name, change, upto)

            data = self._read(copy)
            if data is None:
                raise self._not_found()
            return data

        with self._emitter.operation("fork", self._subject):
            made._commit("fork", follow, timedelta(0))
        return made

    @checked
    def attach(self, data: bytes, file_name: str) -> str:
        """Store a file with the journal.

        A sweep deletes it after the journal is gone, and a fork copies it. Attaching the same file
        twice stores it once.

        Args:
            data: The file's content.
            file_name: Its name, of which only a short suffix (``.png``) is kept.

        Returns:
            The file's ref, for `attachments`: text that an item can hold. A fork has the file
            under the same ref.

        Raises:
            NotFoundError: There is no such journal.
            ConflictError: It was deleted or recreated since this handle saw it.
            UnavailableError: The store did not answer; attaching the file again does no harm.
        """

        def follow(seen: Seen | None, change: str) -> bytes | None:
            seen = self._there(seen)
            if seen.lines.header.attached:
                return None
            # Recorded before the file is stored, so that no fork misses it.
            header = replace(seen.lines.header, attached=True)
            line = Change(n=seen.contents.n + 1, id=change)
            return self._writer.anew(header, (*seen.lines.changes, line))

        with self._emitter.operation("attach", self._subject):
            seen = self._there(self._commit("attach", follow, _TIMEOUT))
            return Attachments(self._transfer.store, seen.uid).put(data, file_name)

    @checked
    def attachments(self, refs: Iterable[str]) -> dict[str, bytes | None]:
        """Read attached files, all into memory.

        Args:
            refs: What `attach` returned.

        Returns:
            Each file by its ref; None if it is missing.

        Raises:
            NotFoundError: There is no such journal.
            CorruptDataError: A file is not what was attached.
            InvalidKeyError: Something in `refs` is not a ref.
        """
        with self._emitter.operation("attachments", self._subject):
            seen = self._file.read()
            if seen is None:
                raise self._not_found()
            self._refuse_foreign(seen)
            return Attachments(self._transfer.store, seen.uid).get(refs)

    @checked
    def detach(self, refs: Iterable[str]) -> None:
        """Delete attached files at once; items that refer to them stay.

        Args:
            refs: What `attach` returned; missing files are not an error.

        Raises:
            NotFoundError: There is no such journal.
            ConflictError: It was deleted or recreated since this handle saw it.
            InvalidKeyError: Something in `refs` is not a ref.
        """
        self._refuse_nested()
        with self._emitter.operation("detach", self._subject), self._telling_of_conflicts():
            seen = self._there(self._file.read())
            Attachments(self._transfer.store, seen.uid).delete(refs)

    @checked
    def pin(self, until: datetime | None = None) -> Head:
        """Protect the journal from pruning, without changing `updated_at`.

        Args:
            until: When the protection ends, time-zone aware; None for never.

        Raises:
            NotFoundError: There is no such journal.
        """
        return self._mark("pin", PIN, True if until is None else format_timestamp(until))

    def unpin(self) -> Head:
        """End the protection of `pin`, without changing `updated_at`.

        Raises:
            NotFoundError: There is no such journal.
        """
        return self._mark("unpin", PIN, None)

    @checked
    def expire(self, at: datetime | None) -> Head:
        """Set when the strategy ``expired`` may delete it, without changing `updated_at`.

        Args:
            at: The time, time-zone aware; None for never.

        Raises:
            NotFoundError: There is no such journal.
        """
        return self._mark("expire", EXPIRES, None if at is None else format_timestamp(at))

    @checked
    def delete(self, *, expect: ExpectSeen = ANY) -> bool:
        """Delete the journal; its segments remain until a sweep.

        Args:
            expect: `ANY`, or the version that may be deleted.

        Returns:
            Whether it existed.

        Raises:
            ConflictError: The journal is not as expected; nothing was deleted.
        """
        self._refuse_nested()
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

    def _refuse_nested(self) -> None:
        """Refuse to be used inside a function that `change` of this same journal is running.

        Raises:
            RuntimeError: Such a function is running here.
        """
        if self._identity in _changing.get():
            raise RuntimeError(
                f"change() is running on the journal {self._subject!r}; use the draft it passes"
            )

    @property
    def _identity(self) -> tuple[int, str]:
        return id(self._transfer.store), self._file.key

    def _forget(self, seen: Seen, left: frozenset[str]) -> None:
        """Delete what a change left behind, after it was written."""
        try:
            delete_unnamed(self._transfer.store, self._file.key, seen, left)
        except StateStoreError as error:
            raise type(error)(
                "the change was written, but not everything that it forgets was deleted; forget "
                f"again: {error.message}",
                key=error.key,
                store=self._transfer.store,
                landed="unknown",
            ) from error

    @property
    def _subject(self) -> str:
        return "/".join([self._shared.collection, *self._name])

    def _commit(
        self, name: str, follow: Callable[[Seen | None, str], bytes | None], timeout: timedelta
    ) -> Seen | None:
        """Write the next head, as the operation of this name."""
        self._refuse_nested()
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
        assert seen is not None  # noqa: S101 - only an existing head can be left unwritten
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
            seen = self._there(seen)
            n = seen.contents.n + 1
            if value is None:
                return self._writer.followed(seen, Change(n=n, id=change, unset=(name,)))
            return self._writer.followed(seen, Change(n=n, id=change, set={name: value}))

        return self._head(operation, follow, _TIMEOUT)

    def _refuse_foreign(self, seen: Seen | None) -> None:
        self._belonging(seen, self._user_id)

    def _compare(self, seen: Seen | None, expect: Expect) -> None:
        self._refuse_foreign(seen)
        if self._uid is not None and (seen is None or seen.uid != self._uid):
            raise self._conflict("it was deleted or recreated since this handle saw it")
        if expect is ABSENT and seen is not None:
            raise self._conflict("a journal of this name already exists")
        if isinstance(expect, str) and (seen is None or seen.version != expect):
            raise self._conflict("it is not the version that was expected")

    def _there(self, seen: Seen | None) -> Seen:
        """Return the head, once it is known to be this handle's."""
        self._compare(seen, ANY)
        if seen is None:
            raise self._not_found()
        return seen

    def _conflict(self, what: str) -> ConflictError:
        return ConflictError(what, key=self._file.key, store=self._transfer.store, landed="no")

    def _belonging(self, seen: Seen | None, user_id: str | None) -> dict[str, Any]:
        """Return what a change sets about the user."""
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

    def _read(self, read: Callable[[Seen], T]) -> T | None:
        """Read what a head refers to, again if a newer head refers to something else.

        Returns None if there is no head.

        Raises:
            CorruptDataError: The head refers to a segment that is missing.
        """
        missed: Version | None = None
        while (seen := self._file.read()) is not None:
            try:
                return read(seen)
            except MissingSegmentError as error:
                if missed == seen.version:
                    raise error.damage() from None
                missed = seen.version
        return None
