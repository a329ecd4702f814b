"""The head of one journal: read whole, and replaced by the next one exactly once.

A change keeps its id over all attempts to write it. After a lost answer, the head is searched for
that id, so nothing is ever written twice.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from operator import sub
from typing import TYPE_CHECKING, Final

from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.format.contents import About, Contents, about_at, fold
from statekeep.format.journal import Lines, decode_head
from statekeep.format.record import encode_record, record_of_head
from statekeep.format.summary import RESTORED
from statekeep.format.version import has_format
from statekeep.heads.journals import record_of_journal
from statekeep.journals.segments import MissingSegmentError
from statekeep.store.keys import is_journal_key
from statekeep.store.protocol import Version
from statekeep.store.retrying import retry_on_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from statekeep.store.query import Record
    from statekeep.store.transfer import Transfer

__all__ = ["HeadFile", "Seen", "decode_seen", "in_time", "refuse_late"]

_SENT_AGAIN: Final = 3
"""How often a head is re-sent if it is still unwritten after a lost answer."""

_SOON: Final = 3600.0
"""Seconds within which a head must be written after the segments it is the first to refer to."""


class _RefusedError(Exception):
    """Wraps an error of the code that makes the next head, so that no conflict is retried."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Seen:
    """A head as it was read or written.

    version: The version of the document, including a torn end.
    data: Its sound bytes.
    lines: The lines in those bytes.
    contents: The contents that the lines amount to.
    about: The contents' facts about the journal as a whole.
    is_torn: Whether there are more bytes than the sound ones.
    """

    version: Version
    data: bytes
    lines: Lines
    contents: Contents
    about: About
    is_torn: bool

    @property
    def uid(self) -> str:
        """The journal's uid."""
        return self.lines.header.uid

    @property
    def before(self) -> int:
        """How many items are in segments."""
        return sum(segment.items for segment in self.lines.header.segments)

    @property
    def length(self) -> int:
        """How many items there are."""
        return self.before + len(self.contents.tail)

    @property
    def size(self) -> int:
        """The size of head and segments in bytes."""
        return len(self.data) + sum(segment.size for segment in self.lines.header.segments)


class HeadFile:
    """Reads and replaces the head at a key.

    Args:
        transfer: Performs the writes.
        key: The head's key.
        documents: Whether the key can hold a whole document instead, which is not a head.
    """

    def __init__(self, transfer: Transfer, key: str, *, documents: bool = False) -> None:
        self._documents = documents
        self._transfer = transfer
        self._store = transfer.store
        self.key = key
        self.seen: Seen | None = None
        """What was last read or written; None if there was nothing, or nothing was read yet."""

    def read(self) -> Seen | None:
        """Read the head; None if it does not exist.

        Raises:
            CorruptDataError: It is damaged.
            UnsupportedError: A newer version of statekeep wrote it.
        """
        known = self.seen
        self.seen = None
        for is_second in (False, True):
            blob = self._store.get(self.key)
            if blob is None or (self._documents and not has_format(blob.data)):
                return None
            if known is not None and known.version == blob.version:
                self.seen = known
                return known
            try:
                self.seen = decode_seen(self.key, blob.data, blob.version, known)
            except (CorruptDataError, UnsupportedError) as error:
                # Read once, it may be a proxy's error page, or a file that is being copied.
                if is_second or isinstance(error, UnsupportedError):
                    raise type(error)(error.message, key=self.key, store=self._store) from None
            else:
                return self.seen
        raise AssertionError  # pragma: no cover - the second round is the last

    def swap(
        self,
        follow: Callable[[Seen | None, str], bytes | None],
        timeout: timedelta,
        again: Callable[[ConflictError, int], object],
    ) -> Seen | None:
        """Write the next head, retrying as long as others write in between.

        Args:
            follow: Returns the next head, given the current head and the id of the change; None
                to write nothing. If it returns None or raises for a head that was not read in
                this call, the head is read and `follow` is called again.
            timeout: How long to keep retrying after conflicts.
            again: Called with each conflict before the next attempt.

        Returns:
            The resulting head; None if there is none.

        Raises:
            ConflictError: Others kept writing until the timeout; nothing was written.
            StateStoreError: `landed` says whether it certainly was not written, or may have been.
        """
        change = secrets.token_hex(12)
        was_read = False

        def attempt() -> Seen | None:
            nonlocal was_read
            if self.seen is None:
                self.read()
                was_read = True
            base = self.seen
            while True:
                try:
                    data, begun = in_time(partial(follow, base, change), base)
                    if data is not None or was_read:
                        break
                except MissingSegmentError as error:
                    # A newer head names other segments. One that still names this one is damaged.
                    missed = base and base.version
                    base, was_read = self.read(), True
                    if base is not None and base.version == missed:
                        raise _RefusedError(error.damage()) from None
                    continue
                except Exception as error:  # noqa: BLE001 - the caller's function may raise anything
                    if was_read:
                        raise _RefusedError(error) from None
                # Never report, or leave undone, anything because of an outdated head.
                base, was_read = self.read(), True
            if data is None:
                return base
            was_read = True  # even if an error handler continues
            return self._send(base, data, begun, change)

        with _telling_the_caller():
            return retry_on_conflict(attempt, timeout, again)

    def _send(
        self, base: Seen | None, data: bytes, begun: tuple[float, float], change: str
    ) -> Seen:
        """Write a head, re-sending it after a lost answer while it is still unwritten.

        Raises:
            ConflictError: Another head is there by now, and was read.
            StateStoreError: `landed` says whether it certainly was not written, or may have been.
        """
        in_doubt = False
        for sent_again in count():
            try:
                return self._put(base, data, begun)
            except StateStoreError as error:
                if error.landed == "no" and not in_doubt:
                    if isinstance(error, ConflictError):
                        self.read()
                    raise
                in_doubt = True
                if landed := self._look_for(change, base, error):
                    return landed
                if sent_again >= _SENT_AGAIN:
                    raise self._unknown(error) from error
        raise AssertionError  # pragma: no cover - count() does not end

    def delete(
        self,
        check: Callable[[Seen], object],
        timeout: timedelta,
        again: Callable[[ConflictError, int], object],
    ) -> bool:
        """Delete the head, retrying as long as others write in between.

        Args:
            check: Raises if the current head must not be deleted.
            timeout: How long to keep retrying after conflicts.
            again: Called with each conflict before the next attempt.

        Returns:
            Whether it existed.

        Raises:
            ConflictError: Others kept writing until the timeout; nothing was deleted.
            StateStoreError: `landed` says whether it certainly was not deleted, or may have been.
        """

        def attempt() -> bool:
            seen = self.read()
            if seen is None:
                return False
            try:
                check(seen)
            except Exception as error:  # noqa: BLE001 - its conflicts must not be retried
                raise _RefusedError(error) from None
            try:
                self._transfer.delete_seen(self.key, seen.version)
            except ConflictError as error:
                if error.landed == "no":
                    raise
                raise self._unknown(error) from error
            return True

        with _telling_the_caller():
            deleted = retry_on_conflict(attempt, timeout, again)
        self.seen = None
        return deleted

    def _look_for(self, change: str, base: Seen | None, error: StateStoreError) -> Seen | None:
        """Check whether a change has landed after all; None if it must be sent again.

        Raises:
            ConflictError: Another change was made instead.
            UnavailableError: It cannot be determined.
        """
        try:
            now = self.read()
        except StateStoreError:
            raise self._unknown(error) from error
        if now is not None and change in now.contents.ids:
            return now
        if base is not None and now is not None and _went_on_without(base, now):
            raise ConflictError(
                "someone else changed the journal",
                key=self.key,
                store=self._store,
                landed="no",
            ) from error
        # Creation is sent only once: a second request could bring back what was deleted.
        if base is None or now is None or base.version != now.version:
            raise self._unknown(error) from error
        return None

    def _unknown(self, error: StateStoreError) -> UnavailableError:
        """Return the error for a write that may or may not have landed."""
        return UnavailableError(
            f"the write or delete may have landed: {error.message}",
            key=self.key,
            store=self._store,
            landed="unknown",
        )

    def _put(self, base: Seen | None, data: bytes, begun: tuple[float, float]) -> Seen:
        refuse_late(begun, base, data, key=self.key, store=self._store)
        seen = decode_seen(self.key, data, Version(""), base)
        describe = partial(_describe, self.key, seen)
        if base is None:
            version = self._transfer.put_new(self.key, data, describe)
        else:
            known = len(base.data)
            if not base.is_torn and data.startswith(base.data):
                version = self._transfer.extend_seen(self.key, data, known, base.version, describe)
            else:
                version = self._transfer.put_seen(self.key, data, base.version, describe)
        self.seen = replace(seen, version=version)
        return self.seen


def _describe(key: str, seen: Seen) -> Record:
    """Return the record to keep beside a head."""
    if is_journal_key(key):
        record = record_of_journal(key, seen.version, seen.lines, seen.contents, seen.about)
    else:
        record = record_of_head(key, seen.version, seen.lines, seen.contents)
    return encode_record(record)


def decode_seen(key: str, data: bytes, version: Version, known: Seen | None = None) -> Seen:
    """Decode a head.

    Args:
        key: The head's key.
        data: Its bytes, perhaps with a torn end.
        version: The version of those bytes.
        known: What was seen there before, to build on.

    Raises:
        CorruptDataError: It is damaged, or belongs elsewhere.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    lines = decode_head(data, known=(known.lines, known.data) if known else None)
    is_torn = lines.sound < len(data)
    if known is not None and lines.header is known.lines.header:
        contents = known.contents.after(lines.changes[len(known.lines.changes) :])
    else:
        contents = fold(lines.header, lines.changes)
    about = about_at(key, contents)
    return Seen(version, data[: lines.sound], lines, contents, about, is_torn)


def _clocks() -> tuple[float, float]:
    # Sleep stops one of the clocks, and setting the time moves the other.
    return time.monotonic(), time.time()


def in_time(
    make: Callable[[], bytes | None], base: Seen | None
) -> tuple[bytes | None, tuple[float, float]]:
    """Make a head whose segments are young enough to be referred to.

    Args:
        make: Writes the segments and returns the head; None to write nothing.
        base: The head that it follows.

    Returns:
        The head, and the clocks when it was begun, for `refuse_late`.
    """
    for _ in range(2):  # write the slow segments once more, under other names
        begun = _clocks()
        data = make()
        if data is None or not _is_late(begun, base, data):
            break
    return data, begun


def refuse_late(
    begun: tuple[float, float], base: Seen | None, data: bytes, *, key: str, store: object
) -> None:
    """Refuse to write a head that refers to what a sweep may take for garbage.

    Raises:
        UnavailableError: It was begun more than an hour ago.
    """
    if _is_late(begun, base, data):
        raise UnavailableError(
            "writing the segments or attachments of the journal took more than an hour",
            key=key,
            store=store,
            landed="no",
        )


def _is_late(begun: tuple[float, float], base: Seen | None, data: bytes) -> bool:
    """Whether a head may be the first to refer to what a sweep takes for garbage.

    A sweep deletes what nothing referred to for a day.

    Args:
        begun: What `_clocks` returned before the first of that was written.
        base: The previous head.
        data: The new head.
    """
    if max(map(sub, _clocks(), begun)) <= _SOON:
        return False
    named = {segment.name for segment in base.lines.header.segments} if base else set[str]()
    header = decode_head(data).header
    return (header.attached and base is None) or any(
        segment.name not in named for segment in header.segments
    )


@contextmanager
def _telling_the_caller() -> Iterator[None]:
    """Raise the error that refused a write, and mark other failures as having written nothing."""
    try:
        yield
    except _RefusedError as refused:
        error = refused.error
        if isinstance(error, StateStoreError):
            error.landed = error.landed or "no"
        raise error from error.__cause__
    except StateStoreError as error:
        error.landed = error.landed or "no"
        raise


def _went_on_without(base: Seen, now: Seen) -> bool:
    """Whether someone else's change followed a head, instead of ours."""
    return (
        base.uid == now.uid
        and base.contents.metadata.get(RESTORED) == now.contents.metadata.get(RESTORED)
        and base.contents.n + 1 in now.contents.ids.values()
    )
