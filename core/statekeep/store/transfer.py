"""Conditional writes, deletes and moves, with a fallback for stores that have no conditions.

Sessions, the trash, the doctor and background retention all write through here, so what happens on
a store without conditions is decided in one place.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from statekeep.errors import StateStoreError, UnavailableError, UnsupportedError
from statekeep.store.powers import SupportsAppend, SupportsDeleteSeen, power
from statekeep.store.protocol import ABSENT, ANY, compare
from statekeep.store.query import SupportsQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from statekeep.store.powers import Seen
    from statekeep.store.protocol import Blob, Expect, StateStore, Version
    from statekeep.store.query import Record

__all__ = ["ConflictPolicy", "Transfer", "refuse_unconditional"]

_logger = logging.getLogger(__name__)

ConflictPolicy = Literal["detect", "last-writer-wins"]
"""Whether a write that conflicts with another is refused or replaces it."""

_SOON = 60.0
"""Seconds after which a copy is too old to start deleting its source. A backend may re-send that
delete for up to nine minutes, and the copy is relied on for ten."""


def refuse_unconditional(store: StateStore, policy: ConflictPolicy) -> None:
    """Refuse a store that cannot detect conflicts, if the policy is to detect them.

    Raises:
        UnsupportedError: It cannot compare and swap, or cannot delete on a condition.
    """
    claimed = store.capabilities
    if policy == "detect" and not (claimed.conditional_put and claimed.conditional_delete):
        raise UnsupportedError(
            "this store cannot compare and swap, or cannot delete on a condition, so what others "
            "write at the same time would be lost; choose another store, or accept that with "
            "conflicts='last-writer-wins', as an argument or a setting "
            "(STATEKEEP_CONFLICTS=last-writer-wins)",
            store=store,
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """Conditional writes to a store, under one policy for stores without conditions.

    With ``"detect"``, a condition that the store cannot keep raises `UnsupportedError`. With
    ``"last-writer-wins"``, the store is read first, and what others write between that read and
    the write is lost.

    Attributes:
        store: The store to write to.
        policy: What to do if the store has no conditions.
    """

    store: StateStore
    policy: ConflictPolicy = "detect"

    def put_new(
        self, key: str, data: bytes, describe: Callable[[], Record] | None = None
    ) -> Version:
        """Write a document that must not exist yet.

        Args:
            key: The key to write to.
            data: The document.
            describe: Returns the record to keep beside it, if the store keeps records.

        Raises:
            ConflictError: It already exists; nothing was changed.
            UnsupportedError: The store has no create-only write, and the policy requires one.
        """
        if self.policy == "detect" or self.store.capabilities.conditional_put:
            try:
                return self._put(key, data, ABSENT, describe)
            except UnsupportedError as error:
                # Some stores only learn from their first conditional write that they support none.
                if not self._falls_back(error, claimed=self.store.capabilities.conditional_put):
                    raise
        there = self.store.get(key)
        compare(there.version if there else None, ABSENT, key=key, store=self.store)
        return self._put(key, data, ANY, describe)

    def put_seen(
        self,
        key: str,
        data: bytes,
        version: Version,
        describe: Callable[[], Record] | None = None,
    ) -> Version:
        """Replace the document that was seen; under last-writer-wins, replace whatever is there.

        Args:
            key: The key to write to.
            data: The document.
            version: The version that was seen.
            describe: Returns the record to keep beside it, if the store keeps records.

        Raises:
            ConflictError: Something else is there; nothing was changed.
            UnsupportedError: The store cannot compare and swap, and the policy requires it.
        """
        return self._put(key, data, version if self.policy == "detect" else ANY, describe)

    def extend_seen(
        self,
        key: str,
        data: bytes,
        beginning: int,
        version: Version,
        describe: Callable[[], Record] | None = None,
    ) -> Version:
        """Extend the document that was seen, which is cheaper where the store can append.

        Args:
            key: The key of the document.
            data: The whole document.
            beginning: How many of its bytes are already stored, with nothing after them.
            version: The version of those bytes.
            describe: Returns the record to keep beside it, if the store keeps records.

        Raises:
            ConflictError, UnsupportedError: As in `put_seen`.
        """
        if self.policy == "detect" and (able := power(self.store, SupportsAppend)):
            added = data[beginning:]
            if describe is not None and power(self.store, SupportsQuery) is not None:
                return able.append(key, added, expect=version, record=describe())
            return able.append(key, added, expect=version)
        return self.put_seen(key, data, version, describe)

    def put_any(self, key: str, data: bytes, describe: Callable[[], Record]) -> Version:
        """Write a document, whatever is there now.

        Args:
            key: The key to write to.
            data: The document.
            describe: Returns the record to keep beside it, if the store keeps records.
        """
        return self._put(key, data, ANY, describe)

    def _put(
        self, key: str, data: bytes, expect: Expect, describe: Callable[[], Record] | None
    ) -> Version:
        if describe is not None:
            able = power(self.store, SupportsQuery)
            if able is not None:
                return able.put_record(key, data, describe(), expect=expect)
        return self.store.put(key, data, expect=expect)

    def delete_seen(self, key: str, version: Version) -> None:
        """Delete a document if it is still the one that was seen.

        Raises:
            ConflictError: It has changed or is gone; nothing was changed.
            UnsupportedError: The store cannot delete on a condition, and the policy requires it.
        """
        if self.policy == "detect" or self.store.capabilities.conditional_delete:
            try:
                self.store.delete(key, expect=version)
            except UnsupportedError as error:
                if not self._falls_back(error, claimed=self.store.capabilities.conditional_delete):
                    raise
            else:
                return
        there = self.store.get(key)
        compare(there.version if there else None, version, key=key, store=self.store)
        self.store.delete(key)

    def delete_all_seen(self, seen: Iterable[Seen]) -> Generator[dict[str, StateStoreError | None]]:
        """Delete documents, each only if it is still the one that was seen; in bulk where possible.

        Args:
            seen: The documents to delete.

        Yields:
            The result of one step: some of the keys, each with the error of `delete_seen`, or
            None.
        """
        if self.policy == "detect" and (able := power(self.store, SupportsDeleteSeen)):
            yield from able.delete_seen(seen)
            return
        for each in seen:
            error = None
            try:
                self.delete_seen(each.key, each.version)
            except StateStoreError as met:
                error = met
            yield {each.key: error}

    def move(self, key: str, blob: Blob, to: str) -> None:
        """Put a copy of a document elsewhere, then delete the original.

        A process that dies in between leaves it in both places, never in neither. The copy is
        removed again only if the delete certainly did not land: after a lost answer, the copy may
        be all there is.

        Args:
            key: The key of the document.
            blob: The document as it was read; nothing else is deleted.
            to: A key that belongs to this attempt alone.

        Raises:
            ConflictError: It has changed or is gone.
            UnavailableError: The store did not answer; the document may be in both places.
        """
        begun = time.monotonic()
        copy = self.put_new(to, blob.data)
        try:
            if time.monotonic() - begun >= _SOON:
                raise UnavailableError(
                    "copying it took too long; retry", key=key, store=self.store, landed="no"
                )
            self.delete_seen(key, blob.version)
        except StateStoreError as error:
            if error.landed == "no":
                self._take_back(to, copy)
            raise

    def _take_back(self, key: str, version: Version) -> None:
        try:
            self.delete_seen(key, version)
        except StateStoreError as error:
            _logger.warning("the copy %r is left behind: %s", key, error)

    def _falls_back(self, error: UnsupportedError, *, claimed: bool) -> bool:
        return self.policy != "detect" and not claimed and error.landed == "no"
