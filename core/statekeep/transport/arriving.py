"""Write documents into a store, losing nothing there, and heads only after their parts.

Copies and imports both use this. To resume a run that was killed, start it again: documents already
written are found to be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from statekeep.errors import (
    AccessDeniedError,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.format.record import encode_record
from statekeep.format.version import is_head
from statekeep.journals.attachments import is_attachment
from statekeep.journals.segments import is_segment
from statekeep.retention.sweeping import is_swept
from statekeep.store.keys import ATTACHMENTS, QUARANTINE, SEGMENTS, TRASH
from statekeep.store.powers import power
from statekeep.store.query import SupportsQuery
from statekeep.transport.newer import protects, record_at
from statekeep.transport.reading import collection_at, named_by, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from statekeep.store.protocol import Blob, Version
    from statekeep.store.transfer import Transfer
    from statekeep.transport.reading import Named
    from statekeep.transport.reports import Tally

__all__ = ["PART_DIFFERS", "Arrivals", "Source"]

PART_DIFFERS: Final = "the target has different content there, and parts of journals never change"

_AGAIN: Final = 5
"""How often a head that is rewritten while it is copied is read again."""

_OF_ONE: Final = (
    AccessDeniedError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
)
"""Errors that concern one document; others concern the store, and end the copy."""

_COPIES: Final = (f"{TRASH}/", f"{QUARANTINE}/")


class Source(Protocol):
    """The source of the parts of journals."""

    @property
    def parts_came_before(self) -> bool:
        """Whether parts are written before their head, and then no longer available here."""
        ...

    def get(self, key: str) -> Blob | None:
        """Read one document; None if it does not exist."""
        ...

    def attachments(self, uid: str) -> Iterable[str]:
        """The keys of the attachments of a journal that are still to be copied."""
        ...

    def hold(self, key: str, blob: Blob) -> bool:
        """Keep a segment that differs from the target's, until its head says which is right.

        Returns:
            Whether it is kept; if not, the target's segment stays.
        """
        ...

    def release(self, key: str) -> None:
        """Forget a kept segment, because it has been written."""
        ...


class _GoneError(CorruptDataError):
    """A part that a head names is missing from the source or damaged; the head may be outdated."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Writes documents into a store.

    Attributes:
        transfer: Writes them.
        source: The source of the parts of journals.
        tally: Counts what becomes of the documents.
        overwrite: Replace documents in the target that differ and are not newer.
        dry_run: Write nothing.
        verify: Read back what was written.
        run: Runs work for each of several keys, perhaps in threads.
    """

    transfer: Transfer
    source: Source
    tally: Tally
    overwrite: bool
    dry_run: bool
    verify: bool
    run: Callable[[Callable[[str], None], Iterable[str]], None]

    def settle(self, documents: Mapping[str, Blob]) -> None:
        """Write documents, the heads of journals last.

        Args:
            documents: A batch of documents by key.

        Raises:
            UnavailableError, ClosedError: A store did not answer, or has no room. What was written
                stays.
            UnsupportedError: The target turned out to have no conditional writes.
        """
        there = read_all(self.transfer.store, [*documents])
        heads: list[str] = []
        others: list[str] = []
        for key, blob in documents.items():
            (heads if _may_name(key, blob.data) else others).append(key)

        def settle_one(key: str) -> None:
            found = there.pop(key)
            try:
                if isinstance(found, StateStoreError):
                    raise found
                self._settle(key, documents[key], found)
            except ConflictError:
                self.tally.leave(key, "differs", "it was changed in the target meanwhile")
            except UnsupportedError as error:
                if error.store is not None:
                    raise  # no conditional writes after all, so all other documents would fail too
                self.tally.fail(key, error)  # a newer format
            except _OF_ONE as error:
                self.tally.fail(key, error)

        self.run(settle_one, others)
        self.run(settle_one, heads)

    def _settle(self, key: str, blob: Blob, found: Blob | None) -> None:
        if found is not None and found.data != blob.data:
            if not self.overwrite:
                self.tally.leave(key, "differs", "the target has a different document there")
                return
            if is_swept(key):  # the journal in the target relies on what is there
                self._settle_part(key, blob, found)
                return
            if reason := protects(key, blob, found):
                self._mend(key, found)
                self.tally.leave(key, "newer", reason)
                return
        if key.startswith(f"{ATTACHMENTS}/") and not _is_attached(key, blob.data):
            raise CorruptDataError("it is not what was attached", key=key)
        blob, relied = self._bring_parts(key, blob)
        if found is not None and found.data == blob.data:
            self.tally.met_equal()
            return
        self._put(key, blob, found)
        if relied and not self.dry_run:
            self._bring_back(relied)
        self.tally.wrote(len(blob.data), over=found is not None)

    def _settle_part(self, key: str, blob: Blob, found: Blob) -> None:
        """Replace a part in the target if it is damaged; parts of journals never change."""
        if not key.startswith(f"{ATTACHMENTS}/"):
            if self.source.hold(key, blob):  # the head that names it says which is right
                return
        elif not _is_attached(key, found.data) and _is_attached(key, blob.data):
            self._put(key, blob, found)
            self.tally.wrote(len(blob.data), over=True)
            return
        self.tally.leave(key, "differs", PART_DIFFERS)

    def _mend(self, key: str, found: Blob) -> None:
        """Replace damaged segments of a head that stays in the target."""
        try:
            named = named_by(key, found.data)
        except (CorruptDataError, UnsupportedError):
            return
        if named is not None and self.source.parts_came_before:
            self._bring_named(named, whole=False, only_held=True)

    def _bring_parts(self, key: str, blob: Blob) -> tuple[Blob, list[str]]:
        """Write the parts that a head names.

        Returns:
            The head, or a newer one if it was rewritten meanwhile and its parts are gone; and the
            parts that the target already had.

        Raises:
            CorruptDataError: A part cannot be found.
        """
        for _ in range(_AGAIN):
            named = named_by(key, blob.data)
            if named is None:
                return blob, []
            try:
                # Copies in the trash and in quarantine may lack parts.
                return blob, self._bring_named(
                    named,
                    whole=not key.startswith(_COPIES),
                    # Without the dry run, the others would have been written by now.
                    only_held=self.dry_run and self.source.parts_came_before,
                )
            except _GoneError as error:
                gone = error
                now = self.source.get(key)
                if now is None or now.data == blob.data:
                    break
                blob = now
        raise CorruptDataError(gone.message, key=key)

    def _bring_named(self, named: Named, *, whole: bool, only_held: bool) -> list[str]:
        relied: list[str] = []
        gone: _GoneError | None = None
        for at, segment in named.keys().items():
            if only_held and self.source.get(at) is None:
                continue
            try:
                if not self._bring_part(at, partial(is_segment, segment=segment)):
                    relied.append(at)
            except _GoneError as error:
                if whole and not self.source.parts_came_before:
                    raise
                gone = error  # the others may still be repaired
        if gone is not None and whole:
            raise gone
        if named.attached:
            for at in self.source.attachments(named.uid):
                is_sound = partial(_is_attached, at)
                try:
                    self._bring_part(at, is_sound, may_be_gone=True)
                    relied.append(at)
                except _GoneError:
                    if whole:
                        raise
        return relied

    def _bring_part(
        self, key: str, is_sound: Callable[[bytes], bool], *, may_be_gone: bool = False
    ) -> bool:
        """Write a segment or attachment unless it is there; return whether it was written."""
        there = self.transfer.store.get(key)
        if there is not None and is_sound(there.data):
            if not self.source.parts_came_before:  # otherwise it was counted before
                self.tally.met_equal()
            return False
        blob = self.source.get(key)
        if blob is None and may_be_gone:  # detached since it was listed
            return False
        if blob is None or not is_sound(blob.data):
            if blob is None:
                what = "is missing" if there is None else "is damaged in the target"
            else:
                what = "is damaged"
            raise _GoneError(f"a part that it names {what}: {key!r}")
        if there is not None and not self.overwrite:
            raise CorruptDataError(
                f"the target has different content where one of its parts belongs, at {key!r}; "
                "overwrite it, or let the doctor examine the target",
            )
        self._put(key, blob, there)
        self.source.release(key)
        self.tally.wrote(len(blob.data), over=there is not None)
        return True

    def _bring_back(self, relied: list[str]) -> None:
        """Check again for parts that were there before the head that names them.

        If a killed copy left them, no head named them until now, so a sweep that noticed them a day
        ago may have deleted them just before the head was written.

        Raises:
            CorruptDataError: A part is gone, and the source does not have it.
        """
        store = self.transfer.store
        folders = {at.rpartition("/")[0] for at in relied}
        present = {entry.key for folder in folders for entry in store.scan(folder)}
        for at in relied:
            if at in present:
                continue
            if (blob := self.source.get(at)) is not None:
                self._put(at, blob, None)
            elif at.startswith(f"{SEGMENTS}/"):  # an attachment was detached meanwhile
                raise CorruptDataError(
                    f"a part that it names was deleted before it was written: {at!r}; start again"
                )

    def _put(self, key: str, blob: Blob, found: Blob | None) -> None:
        """Write a document over what was found, and verify it.

        Raises:
            ConflictError: The target was changed meanwhile; nothing was written.
            CorruptDataError: The target returned something other than what was written.
        """
        if not self.dry_run:
            store, data = self.transfer.store, blob.data
            in_doubt = False
            try:
                self._write(key, blob, found.version if found else None)
            except StateStoreError as error:
                if error.landed == "no" and not isinstance(error, ConflictError):
                    raise
                now = store.get(key)
                if now is None or now.data != data:
                    raise
                in_doubt = True
            if self.verify and not in_doubt:
                now = store.get(key)
                if now is None or now.data != data:
                    raise CorruptDataError(
                        "the target did not return what was written: it was changed or deleted "
                        "right away, or the target is damaged",
                        key=key,
                        store=store,
                    )

    def _write(self, key: str, blob: Blob, version: Version | None) -> None:
        describe = None
        queried = power(self.transfer.store, SupportsQuery) is not None
        if queried and (record := record_at(key, blob)) is not None:
            # So that the first listing does not have to read them all.
            describe = partial(encode_record, record)
        if version is None:
            self.transfer.put_new(key, blob.data, describe)
        else:
            self.transfer.put_seen(key, blob.data, version, describe)


def _is_attached(key: str, data: bytes) -> bool:
    return is_attachment(data, key.rpartition("/")[2])


def _may_name(key: str, data: bytes) -> bool:
    return collection_at(key) is not None or (key.startswith(_COPIES) and is_head(data))
