"""Blobs: files of any kind over any store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from statekeep._arguments import checked
from statekeep.errors import ConflictError
from statekeep.observe.emitter import Emitter
from statekeep.observe.events import (
    BlobDeleted,
    BlobSaved,
    ConflictDetected,
    ConflictRetried,
    Observer,
)
from statekeep.store.keys import blob_key, blob_name, blob_prefix
from statekeep.store.powers import delete_many
from statekeep.store.protocol import ANY, Expect, ExpectSeen, StateStore, Version
from statekeep.store.retrying import retry_on_conflict
from statekeep.store.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from mimetypes import MimeTypes

__all__ = ["BlobInfo", "Blobs", "LoadedBlob"]

_TIMEOUT = timedelta(seconds=30)
_UNKNOWN: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class LoadedBlob:
    """A blob, from one atomic read.

    Attributes:
        data: Its bytes.
        media_type: Its media type, guessed from the file name: ``image/png``.
        version: Pass this as `expect` when replacing it.
        modified: When the store says it was last written (UTC), or None if it cannot say.
    """

    data: bytes
    media_type: str
    version: Version
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob as a listing sees it, without reading it.

    Attributes:
        name: Its name in the collection. A part too long for a store is shown as stored.
        media_type: Its media type, guessed from the file name: ``image/png``.
        size: Its size in bytes.
        modified: When the store says it was last written (UTC), or None if it cannot say.
    """

    name: tuple[str, ...]
    media_type: str
    size: int
    modified: datetime | None


class Blobs:
    """The blobs of a collection: pictures, recordings, archives.

    A name consists of one to six texts, the last of which is a file name: ``("ada", "2026",
    "plot.png")``. As with documents, putting a blob without an expectation replaces what is there.
    Safe to use from several threads. It does not close the store.

    Files that belong to one journal, and should be deleted with it, are better stored with
    `Journal.attach`.

    Args:
        store: The store that holds them.
        collection: The collection's name: ``a`` to ``z``, ``0`` to ``9``, dots, hyphens and
            underscores.
        observers: Functions called with each event, after the fact.

    Raises:
        InvalidKeyError: The collection's name is not legal.

    Examples:
        >>> from statekeep import Blobs, open_store
        >>> with open_store("memory:") as store:
        ...     blobs = Blobs(store, "plots")
        ...     version = blobs.put(b"GIF89a", "ada", "2026.gif")
        ...     blobs.get("ada", "2026.gif").media_type
        'image/gif'
    """

    @checked
    def __init__(
        self, store: StateStore, collection: str, *, observers: Iterable[Observer] = ()
    ) -> None:
        blob_prefix(collection)
        self._store = store
        self._collection = collection
        self._emitter = Emitter(store, observers, "Blobs")
        self._transfer = Transfer(store, "last-writer-wins")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store}, {self._collection!r})"

    @property
    def store(self) -> StateStore:
        """The underlying store."""
        return self._store

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._collection

    @checked
    def put(self, data: bytes, *name: str, expect: Expect = ANY) -> Version:
        """Store a blob.

        Args:
            data: Its bytes.
            name: Its name, ending with a file name of at most 200 bytes.
            expect: `ANY`, `ABSENT` (create only) or the version to replace.

        Returns:
            The new version.

        Raises:
            ConflictError: The blob is not as expected; nothing was changed.
            InvalidKeyError: The name is not legal.
        """
        with self._emitter.operation("put", self._subject(name)):
            key = blob_key(self._collection, name)
            try:
                version = self._store.put(key, data, expect=expect)
            except ConflictError:
                self._emitter.emit(ConflictDetected, key)
                raise
            self._emitter.emit(BlobSaved, self._collection, name, version)
            return version

    @checked
    def get(self, *name: str) -> LoadedBlob | None:
        """Read a blob; None if it does not exist.

        Args:
            name: Its name.

        Raises:
            InvalidKeyError: The name is not legal.
        """
        with self._emitter.operation("get", self._subject(name)):
            blob = self._store.get(blob_key(self._collection, name))
            if blob is None:
                return None
            return LoadedBlob(blob.data, _media_type(name[-1]), blob.version, blob.modified)

    @checked
    def list(self, *prefix: str) -> tuple[BlobInfo, ...]:
        """List blobs without reading them.

        Args:
            prefix: Only blobs whose names start with these parts.

        Returns:
            The blobs, sorted by name.

        Raises:
            InvalidKeyError: The prefix is not legal.
        """
        with self._emitter.operation("list", self._subject(prefix) if prefix else None):
            found = {}
            for entry in self._store.scan(blob_prefix(self._collection, prefix)):
                if name := blob_name(entry.key):
                    media_type = _media_type(name[-1])
                    found[name] = BlobInfo(name, media_type, entry.size, entry.modified)
            return tuple(found[name] for name in sorted(found))

    @checked
    def delete(self, *name: str, expect: ExpectSeen = ANY) -> bool:
        """Delete a blob.

        Args:
            name: Its name.
            expect: `ANY` or the version that may be deleted.

        Returns:
            Whether it existed, and this call deleted it.

        Raises:
            ConflictError: The blob is not as expected; nothing was changed.
            InvalidKeyError: The name is not legal.
        """
        key = blob_key(self._collection, name)

        def attempt() -> bool:
            try:
                if expect is not ANY:
                    self._store.delete(key, expect=expect)
                elif (blob := self._store.get(key)) is not None:
                    self._transfer.delete_seen(key, blob.version)
                else:
                    return False
            except ConflictError as error:
                self._emitter.emit(ConflictDetected, error.key or key)
                raise
            return True

        with self._emitter.operation("delete", self._subject(name)):
            timeout = _TIMEOUT if expect is ANY else timedelta(0)
            deleted = retry_on_conflict(attempt, timeout, self._retry)
            if deleted:
                self._emitter.emit(BlobDeleted, self._collection, name)
            return deleted

    @checked
    def delete_below(self, *prefix: str) -> int:
        """Delete blobs, whatever their content by then.

        Args:
            prefix: Only blobs whose names start with these parts; without it, the whole collection.

        Returns:
            How many were deleted.

        Raises:
            InvalidKeyError: The prefix is not legal.
        """
        with self._emitter.operation("delete_below", self._subject(prefix) if prefix else None):
            below = blob_prefix(self._collection, prefix)
            scanned = self._store.scan(below)
            found = {entry.key: name for entry in scanned if (name := blob_name(entry.key))}
            delete_many(self._store, found)
            for name in found.values():
                self._emitter.emit(BlobDeleted, self._collection, name)
            return len(found)

    def _subject(self, name: tuple[str, ...]) -> str:
        return "/".join([self._collection, *name])

    def _retry(self, error: ConflictError, retry: int) -> None:
        self._emitter.emit(ConflictRetried, error.key, retry)


def _media_type(file_name: str) -> str:
    media_type, encoding = _media_types().guess_type(f"./{file_name.lower()}", strict=False)
    if encoding is not None:  # the guessed type is that of the compressed content
        media_type = "application/gzip" if encoding == "gzip" else None
    return media_type or _UNKNOWN


@cache
def _media_types() -> MimeTypes:
    """Return Python's built-in media types, which are the same on every machine."""
    import mimetypes  # noqa: PLC0415 - not always needed

    known = mimetypes.MimeTypes()
    known.add_type("text/markdown", ".md")  # Python itself knows it since 3.13
    return known
