"""The protocol that every backend implements: versioned bytes under keys.

Everything clever (sessions, documents, retention) is written once, on top of it. A backend author
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
    `close`, and the context manager comes for free. Every method can be called from several
    threads at once and, on a store that was opened before the fork, in a forked child.

    Check keys with `statekeep.store.check_key` before using them. `repr` names the store in error
    messages and never shows a secret. Only a `StateStoreError` may escape.

    Errors of `put`, `delete` and `delete_many` say in `StateStoreError.landed` whether the write
    may have landed. Pass ``landed="no"`` if it certainly did not; otherwise it is ``"unknown"``,
    and a `ConflictError` is not retried. `compare` raises one that says so.

    The base class enforces the rest, so a subclass need not. An argument of the wrong type raises
    a `TypeError` that names it, so `key` is a plain `str`. `data` is plain `bytes` that nobody else
    holds: a subclass of `bytes`, a `bytearray` or a `memoryview` is copied first. Once `close` has
    returned, every call except another `close` raises `ClosedError`, and so do iterators that an
    earlier `scan` or `get_many` returned.
    """

    if not TYPE_CHECKING:  # not part of the protocol
        _statekeep_closed = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name in guarded_in(cls):
            # Look beyond the class itself: a member can come from another base.
            method = getattr(cls, name, None)
            if method is not None and method is not getattr(StateStore, name, None):
                setattr(cls, name, guard(name, method))

    @property
    def capabilities(self) -> Capabilities:
        """What this store promises."""
        ...

    def get(self, key: str) -> Blob | None:
        """Read one document: data, version and time, from one atomic read.

        Returns:
            The document, or None if it does not exist.

        Raises:
            InvalidKeyError: The key is not legal.
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused access.
        """
        ...

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """Write a whole document; readers see either the old bytes or the new ones.

        Args:
            key: The key to write to.
            data: The content; the store keeps no reference to it after the call.
            expect: `ANY`, `ABSENT` (create only) or the `Version` to replace.

        Returns:
            The version of the bytes that were written.

        Raises:
            ConflictError: The document is not as expected; nothing was changed.
            UnsupportedError: This store cannot honor that expectation.
            InvalidKeyError: The key is not legal.
            CorruptDataError: Something that is not a document is in the way.
            UnavailableError: The store is full or did not answer.
            AccessDeniedError: The store refused access.
        """
        ...

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """Delete a document; do nothing if it does not exist and `expect` is `ANY`.

        Args:
            key: The key to delete.
            expect: `ANY`, or the `Version` that may be deleted. A document that no longer
                exists does not match any version.

        Raises:
            ConflictError: The document is not as expected; nothing was changed.
            UnsupportedError: This store cannot honor that expectation.
            InvalidKeyError: The key is not legal.
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused access.
        """
        ...

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """List the documents below a prefix, in any order, never from a cache.

        Args:
            prefix: Whole segments, without a trailing slash; ``a`` matches all keys that start
                with ``a/``. Empty matches all keys.

        Raises:
            InvalidKeyError: The prefix is not legal.
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused access.
        """
        ...

    def close(self) -> None:
        """Release what this store opened, and only that. Closing twice is fine.

        Afterwards, every other call raises `ClosedError`; `capabilities` still works.
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
