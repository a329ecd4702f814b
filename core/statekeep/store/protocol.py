"""The protocol that every backend fulfils: versioned bytes under keys.

All cleverness (sessions, documents, retention) is written once, above it. A backend author
subclasses `StateStore`, writes six members and has a complete store.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Final, Literal, NewType, ParamSpec, Protocol, Self, TypeVar

from blake3 import blake3

from statekeep.errors import (
    ConfigError,
    ConflictError,
    InvalidDocumentError,
    InvalidKeyError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
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
    "StateStore",
    "Version",
    "check_expectation",
    "compare",
    "content_version",
]

P = ParamSpec("P")
T = TypeVar("T")

Version = NewType("Version", str)
"""Names the bytes of a document: two versions of one key are equal only if the bytes are.

Opaque: compare it for equality, hand it back as `expect`, and nothing else. Whether equal bytes
have equal versions is the backend's affair. Where they do (on disk, in memory, mostly on S3), a
document that went from A to B and back to A has its first version again.
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
        remote: Each call takes a round trip over a network, so working on many documents at once
            is worth threads.
    """

    conditional_put: bool
    conditional_delete: bool
    shared: bool
    remote: bool = False


class StateStore(Protocol):
    """Versioned bytes under keys.

    Subclass it to write a backend: implement `capabilities`, `get`, `put`, `delete`, `scan` and
    `close`, and the context manager comes along. Every method may be called from several threads
    at once and, on a store opened before, in a forked child.

    Keys are checked with `statekeep.store.check_key` before they are used. `repr` names the store
    for error messages and never shows a secret. Only `StateStoreError` may escape.

    An error of `put`, `delete` or `delete_many` says in `StateStoreError.landed` what may have
    landed. Give ``landed="no"`` where it certainly has not; otherwise it becomes ``"unknown"``.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("put", "delete", "delete_many"):
            if (method := cls.__dict__.get(name)) is not None:
                setattr(cls, name, _says_what_landed(method))

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


# Said of what was asked for, before anything was sent.
_REFUSALS = (ConfigError, InvalidDocumentError, InvalidKeyError, UnsupportedError)


def _says_what_landed(method: Callable[P, T]) -> Callable[P, T]:
    @wraps(method)
    def write(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except StateStoreError as error:
            if error.landed is None:
                error.landed = "no" if isinstance(error, _REFUSALS) else "unknown"
            raise

    return write


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
        if expect is ANY or current is None:
            return
        found = "it exists already; load it instead"
    elif current is None:
        found = "it is no longer there; reload and retry"
    elif current != expect:
        found = "it has changed; reload and retry"
    else:
        return
    raise ConflictError(found, key=key, store=store, landed="no")


def check_expectation(expect: Expect) -> None:
    """Refuse what is no expectation.

    Raises:
        TypeError: It is none; for nothing there, say `ABSENT`.
    """
    if not isinstance(expect, Expectation | str):
        raise TypeError(f"expect is ANY, ABSENT or a version, not {expect!r}")


def content_version(data: bytes) -> Version:
    """Name bytes by their BLAKE3 hash: the version of stores that have none of their own."""
    return Version(blake3(data).hexdigest())
