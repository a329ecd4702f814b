"""The journals of a collection: opened, listed, pruned and deleted together."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Self

from statekeep._arguments import checked
from statekeep.errors import (
    CorruptDataError,
    OwnershipError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.format.summary import JournalSummary
from statekeep.heads.journals import journal_heads, journal_indexes
from statekeep.heads.pages import Listing, page
from statekeep.heads.queries import heads_of
from statekeep.journals.committing import HeadFile, decode_seen
from statekeep.journals.heads import Head, head_of
from statekeep.journals.journal import Journal, Shared
from statekeep.journals.restoring import JournalCopies
from statekeep.journals.writing import HeadWriter
from statekeep.observe.emitter import Emitter
from statekeep.observe.events import JournalDeleted, JournalRestored
from statekeep.retention.background import BackgroundPruner
from statekeep.retention.pruner import Pruner, purging
from statekeep.retention.sweeping import sweep_unnamed
from statekeep.retention.trash import list_trash, restore
from statekeep.retention.types import PrunePlan, PruneRequest
from statekeep.store.keys import is_journal_key, journal_key, journal_name, journal_prefix
from statekeep.store.powers import delete_many, get_many
from statekeep.store.query import Filter, Order
from statekeep.store.transfer import ConflictPolicy, Transfer, refuse_unconditional
from statekeep.timestamps import to_utc, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from statekeep.observe.events import Observer
    from statekeep.retention.copies import Copy
    from statekeep.retention.sweeping import SweepReport
    from statekeep.retention.trash import Trashed
    from statekeep.retention.types import PruneReport, PruningStrategy, Retention
    from statekeep.store.protocol import StateStore

__all__ = ["Journals"]

_logger = logging.getLogger(__name__)

_TIMEOUT = timedelta(seconds=30)


class Journals:
    """The journals of a collection.

    A journal is an ordered list of JSON values, its items, with one small document about it, its
    metadata. However long it is, an append writes only what is appended on stores that can append
    (a local disk, memory, databases), and elsewhere the head: at most 64 KiB of lines, plus the
    header and the metadata.

    Safe to use from several threads; a `Journal` is not. Closing it leaves the store open.

    Args:
        store: The store that holds the journals.
        collection: The collection's name: ``a`` to ``z``, ``0`` to ``9``, dots, hyphens and
            underscores.
        conflicts: As in `Sessions`.
        observers: As in `Sessions`.
        retention: As in `Sessions`; every change can trigger pruning.
        journal_retention: As in `Sessions`; changes trigger the one of this collection.

    Raises:
        UnsupportedError: Conflicts are to be detected, and the store cannot detect them.
        InvalidKeyError: The collection's name is not legal.
        ClosedError: Raised by every method after `close`.

    Examples:
        >>> from statekeep import Journals, open_store
        >>> with open_store("memory:") as store:
        ...     journal = Journals(store, "support").open("ada", "thread-17")
        ...     head = journal.append([{"role": "user", "content": "Hello"}])
        ...     journal.read(last=1)
        [{'role': 'user', 'content': 'Hello'}]
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        collection: str,
        *,
        conflicts: ConflictPolicy = "detect",
        observers: Iterable[Observer] = (),
        retention: Retention | None = None,
        journal_retention: Mapping[str, Retention | None] | None = None,
    ) -> None:
        heads = journal_heads(collection)
        apart = {**(journal_retention or {})}
        own = apart.get(collection)
        if retention is not None and (own is not None or retention.collections & apart.keys()):
            raise ValueError(f"retention and journal_retention both prune {collection!r}")
        refuse_unconditional(store, conflicts)
        self._store = store
        self._collection = collection
        self._emitter = Emitter(store, observers, "Journals")
        self._transfer = Transfer(store, conflicts)
        self._heads = heads_of(store, heads, self._emitter)
        purges = purging(collection, apart)
        self._pruner = Pruner([self._heads], self._transfer, self._emitter, purges)
        self._background: BackgroundPruner | None = None
        if (chosen := retention or own) is not None:
            others = chosen.collections - {collection}
            indexes = [self._heads, *journal_indexes(store, others, self._emitter)]
            pruner = Pruner(indexes, self._transfer, self._emitter, purges)
            self._background = BackgroundPruner(
                chosen, self._transfer, pruner, self._emitter, collection if own else None
            )
        self._shared = Shared(collection, self._transfer, self._emitter, self._saved)

    @checked
    def close(self, timeout: timedelta = _TIMEOUT) -> None:
        """Stop background pruning. Closing twice is fine.

        Args:
            timeout: How long to wait for a running prune; after that, it stops once it has
                finished the current journal.
        """
        if self._background and not self._background.close(timeout):
            _logger.warning("a prune of %s was cut short after %s", self._store, timeout)
        self._emitter.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store}, {self._collection!r})"

    def __enter__(self) -> Self:
        self._emitter.refuse_closed("__enter__")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def store(self) -> StateStore:
        """The underlying store."""
        return self._store

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._collection

    @checked
    def open(self, *name: str, user_id: str | None = None) -> Journal:
        """Return a handle to the journal of that name, which need not exist. Sends no request.

        Args:
            name: One to six texts of any length. Listings can select by the first ones.
            user_id: The user to open it for. What the handle creates belongs to this user; so does
                a journal without an owner once the handle changes it; and the handle refuses
                journals of other users.

        Raises:
            InvalidKeyError: The name is not legal.
        """
        return Journal(self._shared, name, user_id)

    @checked
    def list(
        self,
        *prefix: str,
        user_id: str | None = None,
        title: str | None = None,
        updated_before: datetime | None = None,
        updated_after: datetime | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        order: Order = "updated",
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Listing[JournalSummary]:
        """List journals, by default newest `updated_at` first.

        A journal that changes between two pages moves to the front, and the second page may miss
        it. Journals that cannot be read are in `Listing.problems`, and logged once.

        Args:
            prefix: Only journals whose names start with these parts, or equal them.
            user_id: Only journals of this user.
            title: Only journals with this title, the metadata value ``title``.
            updated_before: Only journals updated before this time; time-zone aware.
            updated_after: Only journals updated after this time; time-zone aware.
            created_before: Only journals created before this time; time-zone aware.
            created_after: Only journals created after this time; time-zone aware.
            order: ``"created"`` for newest `created_at` first, ``"size"`` for largest first.
            limit: Maximum number of journals; None for all.
            cursor: The `Listing.cursor` of the previous page.

        Raises:
            InvalidKeyError: The cursor does not come from a listing in this order, or the prefix
                is not legal.
            ValueError: A time is naive, or the limit is not positive.
        """
        wanted = Filter(
            user_id=user_id,
            title=title,
            updated_before=updated_before,
            updated_after=updated_after,
            created_before=created_before,
            created_after=created_after,
        )
        below = journal_prefix(self._collection, prefix) if prefix else None
        with self._emitter.operation("list"):
            return page(
                [self._heads],
                wanted,
                JournalSummary,
                order=order,
                limit=limit,
                cursor=cursor,
                below=below,
            )

    @checked
    def count(
        self,
        *prefix: str,
        user_id: str | None = None,
        title: str | None = None,
        updated_before: datetime | None = None,
        updated_after: datetime | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
    ) -> int:
        """Count the journals that `list` would return with these filters.

        Raises:
            InvalidKeyError: The prefix is not legal.
            ValueError: A time is naive.
        """
        wanted = Filter(
            user_id=user_id,
            title=title,
            updated_before=updated_before,
            updated_after=updated_after,
            created_before=created_before,
            created_after=created_after,
        )
        below = journal_prefix(self._collection, prefix) if prefix else None
        with self._emitter.operation("count"):
            return self._heads.count(wanted, below)

    @checked
    def heads(self, *prefix: str, parts: int | None = None) -> Iterator[Head]:
        """Read the heads of journals, with their metadata, in any order.

        It reads all heads before it returns. Unlike `list`, it raises if one is damaged.

        Args:
            prefix: As in `list`.
            parts: Only journals whose names have this many parts; other heads are not read.

        Raises:
            CorruptDataError: A head is damaged, also on a second read.
            UnsupportedError: A newer version of statekeep wrote a head.
            InvalidKeyError: The prefix is not legal.
        """
        with self._emitter.operation("heads"):
            return iter([*self._read_heads(prefix, parts)])

    @checked
    def delete_below(self, *prefix: str, user_id: str | None = None) -> int:
        """Delete journals, whatever they hold by then; their segments remain until a `sweep`.

        Those with the longest names go first, so if it is interrupted, no journal is gone while
        another one remains below it.

        Args:
            prefix: Only journals whose names start with these parts, or equal them; without it,
                all journals of the collection.
            user_id: The user to delete them for; this reads their heads first.

        Returns:
            How many were deleted.

        Raises:
            OwnershipError: One of them belongs to another user; nothing was deleted.
            CorruptDataError: A head that must be read is damaged; nothing was deleted.
            InvalidKeyError: The prefix is not legal.
        """
        with self._emitter.operation("delete_below"):
            if user_id is not None:
                self._refuse_foreign(prefix, user_id)
            keys = sorted(self._keys(prefix), key=_depth, reverse=True)
            for _, together in groupby(keys, _depth):
                delete_many(self._store, together)
            for key in keys:
                self._emitter.emit(
                    JournalDeleted,
                    self._collection,
                    journal_name(key),
                    pruned=False,
                    trashed=False,
                )
            return len(keys)

    @checked
    def plan_prune(
        self,
        strategy: PruningStrategy,
        *,
        now: datetime | None = None,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
    ) -> PrunePlan:
        """Return what a prune would delete, and why, as `Sessions.plan_prune` does.

        Args:
            strategy: Chooses the journals; see `statekeep.load_pruner`.
            now: The current time for the strategy, time-zone aware; by default this machine's.
            protect: `Summary.id` of journals to hide from the strategy, besides pinned ones.
            min_idle: Also hide journals that changed less than this long ago.
        """
        present = utc_now() if now is None else to_utc(now)
        request = PruneRequest(strategy, frozenset(protect), min_idle)
        with self._emitter.operation("plan_prune"):
            return self._pruner.plan(request, now=present)

    @checked
    def prune(
        self,
        plan: PrunePlan | PruningStrategy,
        *,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
        trash: timedelta | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> PruneReport:
        """Delete the journals that a plan names, each only if it is still the one that was seen.

        The store's clock decides, as in `Sessions.prune`.

        Args:
            plan: A plan, or a strategy to make one with.
            protect: As in `plan_prune`; only with a strategy.
            min_idle: As in `plan_prune`; only with a strategy.
            trash: Move the victims to the trash, and permanently delete what has been there for
                this long plus a day; None to delete the victims at once and leave the trash alone.
            progress: Called after each victim with the number done so far.

        Returns:
            What became of each victim; a victim that could not be deleted does not raise.

        Raises:
            PluginError: The strategy failed, or chose something it was not shown.
            ValueError: The plan was made for another store, or `trash` is negative.
        """
        ours = not isinstance(plan, PrunePlan)
        with self._emitter.operation("prune"):
            if not isinstance(plan, PrunePlan):
                plan = self.plan_prune(plan, protect=protect, min_idle=min_idle)
            elif protect or min_idle:
                raise TypeError("protect and min_idle belong to plan_prune when a plan is given")
            return self._pruner.prune(
                plan, ours=ours, trust_clock=False, trash=trash, progress=progress
            )

    @checked
    def restore(self, *name: str, copy: str | None = None) -> Head:
        """Restore the newest state of a journal from the trash.

        The newest state is the copy with the greatest `updated_at`; among several copies of the
        very same journal, the one with the most changes. `updated_at` stays as it was, and the
        metadata key ``statekeep.restored`` records that the journal was restored. The copy is
        removed if it has been in the trash for an hour; otherwise it stays until the trash is
        emptied.

        Args:
            name: The journal's name.
            copy: The `Trashed.key` of the copy to restore instead.

        Returns:
            The head of the restored journal.

        Raises:
            NotFoundError: There is no copy in the trash.
            ConflictError: A journal with this name exists; nothing was changed.
            CorruptDataError: The copy is damaged, or refers to items that were permanently
                deleted; it stays in the trash.
            InvalidKeyError: The name is not legal.
        """
        key = journal_key(self._collection, name)
        with self._emitter.operation("restore", "/".join([self._collection, *name])):
            follow = HeadWriter(self._transfer, key, name).appended
            wanted = JournalCopies(self._store, key, follow)
            before, data, version = restore(self._transfer, wanted, copy)
            seen = decode_seen(key, data, version, before)
            self._emitter.emit(JournalRestored, self._collection, name, seen.about.user_id, version)
            return head_of(seen)

    @checked
    def list_trash(self, *, user_id: str | None = None) -> Sequence[Trashed]:
        """List the journals of the collection in the trash, newest first; reads every copy.

        Args:
            user_id: Only journals of this user; copies that cannot be read belong to no user.
        """
        with self._emitter.operation("list_trash"):
            return list_trash(self._store, self._owns, user_id)

    @checked
    def empty_trash(
        self, *, older_than: timedelta = timedelta(0), user_id: str | None = None
    ) -> int:
        """Delete the journals of the collection in the trash permanently.

        Their segments remain until a `sweep`.

        Args:
            older_than: Only copies that have been there at least this long, by the store's clock.
            user_id: Only journals of this user, for which every copy must be read.

        Returns:
            How many copies were deleted.
        """
        with self._emitter.operation("empty_trash"):
            return self._pruner.empty_trash(older_than, self._owns, user_id)

    def sweep(self) -> SweepReport:
        """Delete segments and attachments that no journal of the store refers to.

        It covers all collections. Deleted journals leave such files behind, as do merging,
        truncating and interrupted writes. The first run lists what it finds; a run at least a day
        later, by the store's clock, deletes what is still unreferenced, so that a file about to be
        referenced is safe. Every prune sweeps, and so does ``statekeep doctor --repair``; nothing
        else does so automatically.

        Returns:
            What this run found and deleted.
        """
        with self._emitter.operation("sweep"):
            return sweep_unnamed(self._transfer)

    def _owns(self, copy: Copy) -> bool:
        return copy.collection == self._collection

    def _keys(self, prefix: tuple[str, ...], parts: int | None = None) -> Iterator[str]:
        """Yield the keys of the journals whose names start with these parts, or equal them."""
        below = journal_prefix(self._collection, prefix)
        if (
            prefix
            and parts in {None, len(prefix)}
            and self._store.get(f"{below}.jsonl") is not None
        ):
            yield f"{below}.jsonl"
        # By key, because scanning a folder while it is written to can list a file twice.
        keys = {e.key: None for e in self._store.scan(below) if is_journal_key(e.key)}
        yield from [key for key in keys if parts in {None, _depth(key)}]

    def _read_heads(self, prefix: tuple[str, ...], parts: int | None = None) -> Iterator[Head]:
        for key, blob in get_many(self._store, self._keys(prefix, parts)):
            if isinstance(blob, StateStoreError):
                raise blob
            if blob is None:
                continue  # deleted since the scan
            try:
                yield head_of(decode_seen(key, blob.data, blob.version))
            except (CorruptDataError, UnsupportedError):
                # It may have been read while being copied; what still cannot be read raises.
                seen = HeadFile(self._transfer, key).read()
                if seen is not None:
                    yield head_of(seen)

    def _refuse_foreign(self, prefix: tuple[str, ...], user_id: str) -> None:
        for head in self._read_heads(prefix):
            if head.user_id not in {None, user_id}:
                raise OwnershipError(
                    f"the journal does not belong to {user_id!r}",
                    key=journal_key(self._collection, head.name),
                    store=self._store,
                    landed="no",
                )

    def _saved(self, journal_id: str) -> None:
        if self._background:
            self._background.saved(journal_id)


def _depth(key: str) -> int:
    """Return how many parts the name of a journal has."""
    return key.count("/") - 1
