"""The store that the page shows, its settings, and whether it may be changed."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from statekeep.config.opening import open_configured, open_store
from statekeep.journals import Journals
from statekeep.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from statekeep.config.settings import Settings
    from statekeep.observe.events import Observer
    from statekeep.store import StateStore
    from statekeep.store.transfer import ConflictPolicy

__all__ = ["Site", "open_site"]


@dataclass(slots=True)
class Site:
    """The store that the page shows, and how.

    Attributes:
        store: The store.
        owned: Whether the store was opened here and must be closed here.
        allow_changes: Whether the page may pin, restore and move to the trash.
        settings: The configuration; None if a program passed the store.
        conflicts: What changes do about concurrent writes.
        observers: Observers to notify of changes.
    """

    store: StateStore
    owned: bool
    allow_changes: bool
    settings: Settings | None = None
    conflicts: ConflictPolicy = "detect"
    observers: Sequence[Observer] = ()
    _closing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sessions(self, *, changing: bool = False) -> Sessions:
        """The sessions of the store.

        Args:
            changing: Whether they will be changed, not only read.

        Raises:
            UnsupportedError: Changes must detect conflicts, and the store cannot.
        """
        return Sessions(self.store, conflicts=self._policy(changing), observers=self.observers)

    def journals(self, collection: str, *, changing: bool = False) -> Journals:
        """The journals of a collection; arguments and errors as for `sessions`."""
        policy = self._policy(changing)
        return Journals(self.store, collection, conflicts=policy, observers=self.observers)

    def close(self) -> None:
        """Close the store if it was opened here. May be called more than once."""
        with self._closing:
            if self.owned:
                self.owned = False
                self.store.close()

    def _policy(self, changing: bool) -> ConflictPolicy:
        return self.conflicts if changing else "last-writer-wins"


def open_site(
    store: StateStore | Settings | str | os.PathLike[str],
    *,
    allow_changes: bool,
    conflicts: ConflictPolicy,
) -> Site:
    """Open the store to show.

    Args:
        store: A store, which stays open; or a folder, a URL or settings, to open one.
        allow_changes: Whether it may be changed.
        conflicts: What changes do about concurrent writes; ignored if `store` is settings.
    """
    if isinstance(store, str | os.PathLike):
        return Site(open_store(store), True, allow_changes, conflicts=conflicts)
    from statekeep.config.settings import Settings  # noqa: PLC0415 - costly

    if not isinstance(store, Settings):
        return Site(store, False, allow_changes, conflicts=conflicts)
    opened, chosen = open_configured(store)
    return Site(
        opened,
        owned=True,
        allow_changes=allow_changes,
        settings=store,
        conflicts=chosen["conflicts"],
        observers=chosen["observers"],
    )
