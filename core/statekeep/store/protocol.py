"""The protocol that every backend fulfils: versioned bytes under keys.

All cleverness (sessions, documents, retention) is written once, above it. A backend author
subclasses `StateStore`, writes six members and has a complete store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from statekeep.store.calls import guard, guarded_in, refuse_closed
from statekeep.store.values import (
    ABSENT,
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    Expectation,
    ExpectSeen,
    Version,
    check_expectation,
    compare,
    content_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
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


class StateStore(Protocol):
    """Versioned bytes under keys.

    Subclass it to write a backend: implement `capabilities`, `get`, `put`, `delete`, `scan` and
    `close`, and the context manager comes along. Every method may be called from several threads
    at once and, on a store opened before, in a forked child.

    Keys are checked with `statekeep.store.check_key` before they are used. `repr` names the store
    for error messages and never shows a secret. Only `StateStoreError` may escape.

    An error of `put`, `delete` or `delete_many` says in `StateStoreError.landed` what may have
    landed. Give ``landed="no"`` where it certainly has not; otherwise it becomes ``"unknown"``.

    A subclass need not look after the rest, which its members are held to here. An argument of a
    wrong type is a `TypeError` that names it, so `key` is a plain `str`. `data` is plain `bytes`
    that are nobody else's: a subclass of it, a `bytearray` or a `memoryview` is copied before.
    Once `close` has returned, every call but another `close` raises `ClosedError`, and so does
    what a scan or a get of many has not given yet.
    """

    if not TYPE_CHECKING:  # no part of the protocol
        _statekeep_closed = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name in guarded_in(cls):
            # Not only what the class says itself: a member may come with another base.
            method = getattr(cls, name, None)
            if method is not None and method is not getattr(StateStore, name, None):
                setattr(cls, name, guard(name, method))

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
        """Give back what this store opened, and only that. Closing twice is fine.

        Every other call after it raises `ClosedError`; `capabilities` can still be asked.
        """
        ...

    def __enter__(self) -> Self:
        if getattr(self, "_statekeep_closed", False):
            refuse_closed(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
