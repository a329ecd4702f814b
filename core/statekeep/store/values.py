"""What goes in and out of a store: documents, versions, expectations, what it promises."""

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
        refuse_type("expect", "ANY, ABSENT or a version", expect)


def content_version(data: bytes) -> Version:
    """Name bytes by their BLAKE3 hash: the version of stores that have none of their own."""
    try:
        return Version(blake3(data).hexdigest())
    except TypeError:
        refuse_type("data", "bytes", data)
