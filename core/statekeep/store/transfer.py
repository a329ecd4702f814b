"""Writing and deleting on a condition, moving, and what is done where a store keeps none.

Sessions, the trash, the doctor and background retention all write through here, so what happens on
a store without conditions is decided once.
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
"""Whether a write that meets another's is refused, or replaces it."""

_SOON = 60.0
"""Seconds after which a copy is too old to begin the delete of its source. A backend may send that
again for up to nine minutes, and the copy is relied on for ten."""


def refuse_unconditional(store: StateStore, policy: ConflictPolicy) -> None:
    """Refuse a store on which conflicts are to be detected, and cannot be.

    Raises:
        UnsupportedError: It cannot compare and swap, or not delete on a condition.
    """
    claimed = store.capabilities
    if policy == "detect" and not (claimed.conditional_put and claimed.conditional_delete):
        raise UnsupportedError(
            "this store cannot compare and swap, or not delete on a condition, so what others "
            "write meanwhile would be lost; choose another store, or accept that with "
            "conflicts='last-writer-wins'",
            store=store,
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """Conditional writes to a store, under one policy for where it keeps no conditions.

    With ``"detect"`` a condition that the store does not keep is an `UnsupportedError`. With
    ``"last-writer-wins"`` the store is looked at before, and what happens between that look and
    the write is lost.

    Attributes:
        store: Where everything lies.
        policy: What to do where the store keeps no conditions.
    """

    store: StateStore
    policy: ConflictPolicy = "detect"

    def put_new(
        self, key: str, data: bytes, describe: Callable[[], Record] | None = None
    ) -> Version:
        """Write a document where there is none.

        Args:
            key: Where.
            data: The document.
            describe: Gives what to keep beside it, where the store does.

        Raises:
            ConflictError: There is one; nothing was changed.
            UnsupportedError: The store cannot create only, and the policy wants it to.
        """
        if self.policy == "detect" or self.store.capabilities.conditional_put:
            try:
                return self._put(key, data, ABSENT, describe)
            except UnsupportedError as error:
                # Some find out at the first condition that they keep none.
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
        """Write a document over the one that was seen; the last writer's wins over any.

        Args:
            key: Where.
            data: The document.
            version: Of the one that was seen.
            describe: Gives what to keep beside it, where the store does.

        Raises:
            ConflictError: Something else is there; nothing was changed.
            UnsupportedError: The store cannot compare and swap, and the policy wants it to.
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
        """Write a document that begins with the one that was seen; for less where a store appends.

        Args:
            key: Where it lies.
            data: The document.
            beginning: How many bytes of it are there already; no others are.
            version: Of these.
            describe: Gives what to keep beside it, where the store does.

        Raises:
            ConflictError, UnsupportedError: As `put_seen`.
        """
        if self.policy == "detect" and (able := power(self.store, SupportsAppend)):
            added = data[beginning:]
            if describe is not None and power(self.store, SupportsQuery) is not None:
                return able.append(key, added, expect=version, record=describe())
            return able.append(key, added, expect=version)
        return self.put_seen(key, data, version, describe)

    def put_any(self, key: str, data: bytes, describe: Callable[[], Record]) -> Version:
        """Write a document, whatever is there.

        Args:
            key: Where.
            data: The document.
            describe: Gives what to keep beside it, where the store does.
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
        """Delete a document if it is the one that was seen.

        Raises:
            ConflictError: It has changed, or is gone; nothing was changed.
            UnsupportedError: The store cannot delete on a condition, and the policy wants it to.
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
        """Delete documents, each if it is the one that was seen; several at once where that helps.

        Args:
            seen: Which.

        Yields:
            What was done in one go: some of the keys, each with the error of `delete_seen`, or
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
        """Put a copy of a document elsewhere, then delete it where it was.

        Whoever dies in between leaves it in both places; it is never in none. The copy is taken
        back only if the delete certainly did not land: after a lost answer it may be all there is.

        Args:
            key: Where the document lies.
            blob: What it is; only that is deleted.
            to: A key that belongs to this attempt alone.

        Raises:
            ConflictError: It has changed, or is gone.
            UnavailableError: The store did not answer; it may be in both places.
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
