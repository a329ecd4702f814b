"""The protocol that every backend fulfils: versioned bytes under keys.

All cleverness (sessions, documents, retention) is written once, above it. A backend author
subclasses `StateStore`, writes six members and has a complete store.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NewType, Protocol, Self, runtime_checkable

from blake3 import blake3

from statekeep.errors import AccessDeniedError, ConflictError
from statekeep.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta
    from types import TracebackType

__all__ = [
    "ABSENT",
    "ANY",
    "Blob",
    "Capabilities",
    "Entry",
    "Expect",
    "ExpectSeen",
    "Expectation",
    "Oddity",
    "Remedy",
    "StateStore",
    "SupportsDeleteMany",
    "SupportsGetMany",
    "SupportsInspect",
    "SupportsMarks",
    "SupportsSweep",
    "Version",
    "check_expectation",
    "compare",
    "content_version",
    "delete_many",
    "get_many",
    "scan_marks",
]

Version = NewType("Version", str)
"""Names the bytes of a document: two versions of one store are equal only if the bytes are.

Opaque: compare it for equality, hand it back as `expect`, and nothing else. It is equality of
value, so a document that went from A to B and back to A has its first version again.
"""


class Expectation(Enum):
    """What a write may expect besides a `Version`."""

    ANY = "any"
    ABSENT = "absent"


ANY: Final = Expectation.ANY
"""Write whatever is there."""

ABSENT: Final = Expectation.ABSENT
"""Write only if nothing is there."""

Expect = Version | Literal[Expectation.ANY, Expectation.ABSENT]
"""What a put may expect."""

ExpectSeen = Version | Literal[Expectation.ANY]
"""What a delete may expect."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One document as one atomic read found it.

    Attributes:
        data: Its bytes.
        version: The version of exactly these bytes.
        modified: When the store says it was last written (UTC), or None where it cannot say.
        fingerprint: The mark of exactly these bytes: as long as a scan gives the same one for
            this key, these are the bytes. None where the store cannot vouch for that; then
            every listing reads the document again.
    """

    data: bytes
    version: Version
    modified: datetime | None
    fingerprint: str | None = None


@dataclass(slots=True)
class Entry:
    """One document as a scan sees it, without reading it.

    Not frozen, and with a plain number for the time, because scans make very many.

    Attributes:
        key: Its key.
        size: Its length in bytes.
        modified_ns: When the store says it was last written, in nanoseconds since 1970, or None
            where it cannot say.
        fingerprint: A cheap change mark, to be compared with that of a `Blob`: if it differs,
            the bytes may differ. None where the store has nothing of the kind.
    """

    key: str
    size: int
    modified_ns: int | None
    fingerprint: str | None

    @property
    def modified(self) -> datetime | None:
        """When the store says it was last written (UTC), or None where it cannot say."""
        return from_nanoseconds(self.modified_ns)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store promises. What it does not promise it refuses with `UnsupportedError`.

    Attributes:
        conditional_put: `put` keeps `ABSENT` and a `Version` atomically.
        conditional_delete: `delete` keeps a `Version` atomically.
        shared: Other processes can open the same location and see the same documents.
    """

    conditional_put: bool
    conditional_delete: bool
    shared: bool


class StateStore(Protocol):
    """Versioned bytes under keys.

    Subclass it to write a backend: implement `capabilities`, `get`, `put`, `delete`, `scan` and
    `close`, and the context manager comes along. Every method may be called from several threads
    at once and, on a store opened before, in a forked child.

    Keys are checked with `statekeep.keys.check_key` before they are used. `repr` names the store
    for error messages and never shows a secret. Only `StateStoreError` may escape.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this store promises."""
        ...

    def get(self, key: str) -> Blob | None:
        """Read one document: data, version and time from one atomic read.

        Returns:
            The document, or None if there is none.

        Raises:
            InvalidKeyError: The key is not legal.
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused.
        """
        ...

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """Write one document whole; a reader sees the old bytes or the new ones.

        Args:
            key: Where.
            data: The bytes; they are not referred to after the call.
            expect: `ANY`, `ABSENT` (create only) or the `Version` to replace.

        Returns:
            The version of what was written.

        Raises:
            ConflictError: Something else is there than expected; nothing was changed.
            UnsupportedError: This store cannot keep that expectation.
            InvalidKeyError: The key is not legal.
            CorruptDataError: Something that is no document is in the way.
            UnavailableError: No room or no answer.
            AccessDeniedError: The store refused.
        """
        ...

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """Delete one document; where there is none and `ANY` is expected, do nothing.

        Args:
            key: Which.
            expect: `ANY`, or the `Version` that may be deleted. A document that is no longer
                there is not of that version.

        Raises:
            ConflictError: Something else is there than expected; nothing was changed.
            UnsupportedError: This store cannot keep that expectation.
            InvalidKeyError: The key is not legal.
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused.
        """
        ...

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """List the documents below a prefix, in any order, never from a cache.

        Args:
            prefix: Whole segments without a slash at the end; ``a`` means all keys that begin
                with ``a/``. Empty means all keys.

        Raises:
            InvalidKeyError: The prefix is not legal.
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused.
        """
        ...

    def close(self) -> None:
        """Give back what this store opened, and only that. Closing twice is fine."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@runtime_checkable
class SupportsGetMany(Protocol):
    """A store that reads many documents faster than one after the other."""

    def get_many(
        self, keys: Iterable[str]
    ) -> Iterator[tuple[str, Blob | AccessDeniedError | None]]:
        """See the function `get_many`."""
        ...


@runtime_checkable
class SupportsMarks(Protocol):
    """A store that gives the marks of many documents faster than all that an `Entry` holds.

    Listings of sessions then ask for these, so whoever changes `scan` must change both.
    """

    def scan_marks(self, prefix: str = "") -> Iterator[tuple[str, str | None]]:
        """See the function `scan_marks`."""
        ...


@runtime_checkable
class SupportsDeleteMany(Protocol):
    """A store that deletes many documents faster than one after the other."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """See the function `delete_many`."""
        ...


@runtime_checkable
class SupportsSweep(Protocol):
    """A store in which a killed writer can leave something behind."""

    def sweep(self, *, older_than: timedelta) -> int:
        """Remove leftovers of unfinished writes.

        Args:
            older_than: Only what was last written longer ago; younger ones may be in work.

        Returns:
            How many were removed. What this process may not see or remove stays.
        """
        ...


Remedy = Literal["move", "remove"]
"""What a repair does with what it finds: it moves it aside, or removes what holds nothing."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something in a store that is no document, as the backend found it.

    Attributes:
        kind: What it is, in a word.
        place: Where, relative to the store, as printable text.
        reason: What is wrong with it, for a person.
        remedy: What `SupportsInspect.mend` would do; None if nothing would be safe.
        harmless: Whether it is only worth knowing.
        mark: How the backend knows it again; nobody else's business.
    """

    kind: Literal["closed folder", "leftover", "lock", "no document", "no key"]
    place: str
    reason: str
    remedy: Remedy | None
    harmless: bool = False
    mark: object = None


@runtime_checkable
class SupportsInspect(Protocol):
    """A store in which there can be what no scan shows, because it is no document."""

    def inspect(self, *, older_than: timedelta) -> Iterator[Oddity]:
        """Look for what is no document. Changes nothing, and needs no right to write.

        Args:
            older_than: Leftovers of unfinished writes count only if they were last written longer
                ago; younger ones may be in work.

        Raises:
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused.
        """
        ...

    def mend(self, oddity: Oddity, aside: str) -> str | None:
        """Do what the remedy of an oddity says, if it is still what was seen.

        Args:
            oddity: What `inspect` of this store found; it has a remedy.
            aside: A prefix under which there is nothing yet. What is moved goes below it.

        Returns:
            Where it went, or None if it was removed.

        Raises:
            ConflictError: It has changed, or is gone.
            CorruptDataError: Something that is no document is in the way.
            UnavailableError: No room or no answer.
            AccessDeniedError: The store refused.
        """
        ...


def get_many(
    store: StateStore, keys: Iterable[str]
) -> Iterator[tuple[str, Blob | AccessDeniedError | None]]:
    """Read many documents, in the way that suits the store best.

    Args:
        store: Where they lie.
        keys: Which.

    Yields:
        Each key with its document, None where there is none, or the error where this one may not
        be read; in any order.

    Raises:
        InvalidKeyError, UnavailableError: As `StateStore.get`.
    """
    if isinstance(store, SupportsGetMany):
        yield from store.get_many(keys)
        return
    for key in keys:
        try:
            yield key, store.get(key)
        except AccessDeniedError as error:
            yield key, error


def scan_marks(store: StateStore, prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """List the documents below a prefix by key and mark, in the way that suits the store best.

    Args:
        store: Where they lie.
        prefix: As `StateStore.scan`.

    Yields:
        `Entry.key` and `Entry.fingerprint` of each document that a scan finds.

    Raises:
        InvalidKeyError, UnavailableError, AccessDeniedError: As `StateStore.scan`.
    """
    if isinstance(store, SupportsMarks):
        return store.scan_marks(prefix)
    return ((entry.key, entry.fingerprint) for entry in store.scan(prefix))


def compare(current: Version | None, expect: Expect, *, key: str, store: object) -> None:
    """Refuse a write that finds something else than it expects: the rule of every backend.

    Args:
        current: The version of what is there; None for nothing.
        expect: What was expected.
        key: Where.
        store: On which store.

    Raises:
        ConflictError: Something else is there.
        TypeError: The expectation is none; for nothing there, say `ABSENT`.
    """
    check_expectation(expect)
    if isinstance(expect, Expectation):
        if expect is ABSENT and current is not None:
            raise ConflictError("it exists already; load it instead", key=key, store=store)
    elif current is None:
        raise ConflictError("it is no longer there; reload and retry", key=key, store=store)
    elif current != expect:
        raise ConflictError("it has changed; reload and retry", key=key, store=store)


def check_expectation(expect: Expect) -> None:
    """Refuse what is no expectation.

    Raises:
        TypeError: It is none; for nothing there, say `ABSENT`.
    """
    if not isinstance(expect, Expectation | str):
        raise TypeError(f"expect is ANY, ABSENT or a version, not {expect!r}")


def delete_many(store: StateStore, keys: Iterable[str]) -> None:
    """Delete many documents, whatever they are by now, in the way that suits the store best.

    Args:
        store: Where they lie.
        keys: Which.

    Raises:
        InvalidKeyError, UnavailableError, AccessDeniedError: As `StateStore.delete`; some may be
            deleted already.
    """
    if isinstance(store, SupportsDeleteMany):
        store.delete_many(keys)
        return
    for key in keys:
        store.delete(key)


def content_version(data: bytes) -> Version:
    """Name bytes by their BLAKE3 hash: the version of stores that have none of their own."""
    return Version(blake3(data).hexdigest())
