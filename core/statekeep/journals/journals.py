"""Journals of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep._arguments import checked
from statekeep.errors import UnsupportedError
from statekeep.journals.journal import Journal
from statekeep.store.keys import journal_key, journal_prefix
from statekeep.store.transfer import ConflictPolicy, Transfer

if TYPE_CHECKING:
    from statekeep.store.protocol import StateStore

__all__ = ["Journals"]


class Journals:
    """The journals of a collection.

    Safe under threads. It does not close the store.

    Args:
        store: Where they lie.
        collection: Which: ``a`` to ``z``, ``0`` to ``9``, dots, hyphens and underscores.
        conflicts: As for `Sessions`.

    Raises:
        UnsupportedError: The store cannot compare and swap.
        InvalidKeyError: The collection is not legal.
    """

    @checked
    def __init__(
        self, store: StateStore, collection: str, *, conflicts: ConflictPolicy = "detect"
    ) -> None:
        journal_prefix(collection)
        claimed = store.capabilities
        if conflicts == "detect" and not (claimed.conditional_put and claimed.conditional_delete):
            raise UnsupportedError(
                "this store cannot compare and swap, so what others append meanwhile would be "
                "lost; choose another store, or accept that with conflicts='last-writer-wins'",
                store=store,
            )
        self._store = store
        self._collection = collection
        self._transfer = Transfer(store, conflicts)

    @property
    def store(self) -> StateStore:
        """The store below."""
        return self._store

    def open(self, *name: str) -> Journal:
        """Give the journal of a name, which need not be there. No request.

        Args:
            name: One to six texts.

        Raises:
            InvalidKeyError: The name is not legal.
        """
        return Journal(self._transfer, name, journal_key(self._collection, name))
