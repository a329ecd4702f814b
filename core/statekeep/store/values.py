"""What goes in and out of a store: documents, versions, expectations and capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NewType

from blake3 import blake3

from statekeep._arguments import refuse_type
from statekeep.errors import ConflictError
from statekeep.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "ABSENT",
    "ANY",
    "Blob",
    "Capabilities",
    "Entry",
    "Expect",
    "ExpectSeen",
    "Expectation",
    "Version",
    "check_expectation",
    "compare",
    "content_version",
]

Version = NewType("Version", str)
"""Identifies the bytes of a document: two versions of one key are equal only if the bytes are.

A version is opaque: compare it for equality or pass it back as `expect`, nothing else. Whether
equal bytes have equal versions depends on the backend. Where they do (on disk, in memory, mostly on
S3), a document that goes from A to B and back to A has its first version again.
"""


class Expectation(Enum):
    """What a write can expect besides a `Version`."""

    ANY = "any"
    ABSENT = "absent"


ANY: Final = Expectation.ANY
"""Write, whatever is there."""

ABSENT: Final = Expectation.ABSENT
"""Write only if nothing is there."""

Expect = Version | Literal[Expectation.ANY, Expectation.ABSENT]
"""What a `put` can expect."""

ExpectSeen = Version | Literal[Expectation.ANY]
"""What a `delete` can expect."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One document, from one atomic read.

    Attributes:
        data: Its bytes.
        version: The version of exactly these bytes.
        modified: When the store says it was last written (UTC), or None if it cannot say.
        fingerprint: The mark of exactly these bytes: as long as a scan gives the same fingerprint
            for this key, the bytes are the same. None if the store cannot guarantee that; every
            listing then reads the document again.
    """

    data: bytes
    version: Version
    modified: datetime | None
    fingerprint: str | None = None


@dataclass(slots=True)
class Entry:
    """One document as a scan sees it, without reading it.

    It is not frozen and holds the time as a plain number, because scans create very many.

    Attributes:
        key: Its key.
        size: Its size in bytes.
        modified_ns: When the store says it was last written, in nanoseconds since 1970, or None
            if it cannot say.
        fingerprint: A cheap change mark, to compare with that of a `Blob`: if it differs, the
            bytes may differ. None if the store has no such mark.
    """

    key: str
    size: int
    modified_ns: int | None
    fingerprint: str | None

    @property
    def modified(self) -> datetime | None:
        """When the store says it was last written (UTC), or None if it cannot say."""
        return from_nanoseconds(self.modified_ns)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store promises. It refuses what it does not promise with `UnsupportedError`.

    Attributes:
        conditional_put: `put` honors `ABSENT` and a `Version` atomically.
        conditional_delete: `delete` honors a `Version` atomically.
        shared: Other processes can open the same location and see the same documents.
        remote: Each call is a network round trip, so threads are worth using for many documents.
    """

    conditional_put: bool
    conditional_delete: bool
    shared: bool
    remote: bool = False


def compare(current: Version | None, expect: Expect, *, key: str, store: object) -> None:
    """Refuse a write whose expectation is not met; every backend follows this rule.

    Args:
        current: The current version; None if there is no document.
        expect: What was expected.
        key: The key being written.
        store: The store being written to.

    Raises:
        ConflictError: The expectation is not met.
        TypeError: `expect` is not an expectation; to expect no document, pass `ABSENT`.
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
    """Refuse a value that is not an expectation.

    Raises:
        TypeError: It is not one; to expect no document, pass `ABSENT`.
    """
    if not isinstance(expect, Expectation | str):
        refuse_type("expect", "ANY, ABSENT or a version", expect)


def content_version(data: bytes) -> Version:
    """Hash bytes with BLAKE3: the version used by stores that have none of their own."""
    try:
        return Version(blake3(data).hexdigest())
    except TypeError:
        refuse_type("data", "bytes", data)
