"""Copy documents from one store to another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from statekeep._arguments import checked
from statekeep.errors import NotFoundError, StateStoreError
from statekeep.store.powers import Seen
from statekeep.store.transfer import Transfer, refuse_unconditional
from statekeep.transport.arriving import Arrivals
from statekeep.transport.reading import attachments_of, batches, check_scope, entries, read_all
from statekeep.transport.reports import Tally
from statekeep.transport.working import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from statekeep.store.protocol import Blob, StateStore
    from statekeep.store.transfer import ConflictPolicy
    from statekeep.transport.reports import CopyReport

__all__ = ["copy"]


@checked
def copy(
    source: StateStore,
    target: StateStore,
    *,
    prefix: str = "",
    include: Iterable[str] = (),
    overwrite: bool = False,
    delete: bool = False,
    dry_run: bool = False,
    verify: bool = True,
    conflicts: ConflictPolicy = "detect",
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> CopyReport:
    """Copy the documents of one store into another, of any kind.

    Documents are copied byte by byte. Documents that the target already has are left alone, so to
    resume an interrupted copy, call this again. A session or journal is written after its segments
    and attachments, so no reader of the target ever sees half of one. Others may write to both
    stores meanwhile: each document is copied as it is when its turn comes.

    Args:
        source: The store to copy from; it is only read.
        target: The store to copy to.
        prefix: Copy only what is below it, such as ``"sessions"`` or ``"journals/support"``.
        include: ``"trash"``, ``"quarantine"`` or both, to copy these as well; not with a prefix.
        overwrite: Replace documents in the target that differ, except newer ones. Sessions and
            journals are compared by when they were updated, others by when they were written.
        delete: Delete documents in the target that the source does not have, unless a copy failed.
            This keeps 100 bytes for each key of the source in memory.
        dry_run: Write nothing; report what would be done.
        verify: Read back everything written, and compare it.
        conflicts: What to do if the target has no conditional writes.
        workers: How many threads; by default 16 if a store is remote, else one.
        progress: Called with the number of documents done and the total, for which the source is
            scanned once more.

    Returns:
        The result. A document that cannot be copied does not stop the others.

    Raises:
        InvalidKeyError: The prefix is not legal.
        NotFoundError: `delete` is set and there is nothing to copy.
        UnsupportedError: The target has no conditional writes, and `conflicts` requires them.
        UnavailableError, AccessDeniedError: A store did not answer, has no room, or refused.

    Examples:
        >>> from statekeep import open_store
        >>> with open_store("memory:") as source, open_store("memory:") as target:
        ...     version = source.put("specs/plan.md", b"# Plan")
        ...     copy(source, target).copied, copy(source, target).equal
        (1, 1)
    """
    included = tuple(include)
    check_scope(prefix, included)
    if not dry_run:
        refuse_unconditional(target, conflicts)
    tally, transfer = Tally(), Transfer(target, conflicts)
    scan = partial(entries, prefix=prefix, include=included)
    total = sum(1 for _ in scan(source)) if progress else 0
    seen: set[int] = set()
    done = 0
    with running(workers, source, target) as run:
        arrivals = Arrivals(transfer, _StoreSource(source), tally, overwrite, dry_run, verify, run)
        for batch in batches(scan(source)):
            keys = [entry.key for entry in batch]
            if delete:
                seen.update(map(_digest, keys))
            _copy_batch(source, arrivals, tally, keys)
            done += len(keys)
            if progress:
                progress(done, max(done, total))
    if delete and not seen:
        raise NotFoundError("there is nothing to copy, so nothing was deleted", store=source)
    # A document that failed may exist only in the target, under a key the source no longer has.
    tally.deletion_skipped = delete and tally.left["failed"] > 0
    if delete and not tally.deletion_skipped:
        for batch in batches(scan(target, heads_first=True)):
            keys = [entry.key for entry in batch if _digest(entry.key) not in seen]
            _delete(source, transfer, tally, keys, dry_run=dry_run)
    return tally.report(source=str(source), target=str(target), dry_run=dry_run)


class _StoreSource(NamedTuple):
    """See `arriving.Source`."""

    store: StateStore
    parts_came_before: bool = False

    def get(self, key: str) -> Blob | None:
        return self.store.get(key)

    def attachments(self, uid: str) -> Iterable[str]:
        return attachments_of(self.store, uid)

    def hold(self, _key: str, _blob: Blob) -> bool:
        return False

    def release(self, _key: str) -> None:
        pass


def _digest(key: str) -> int:
    return int.from_bytes(blake3(key.encode()).digest(length=8))


def _copy_batch(source: StateStore, arrivals: Arrivals, tally: Tally, keys: list[str]) -> None:
    documents: dict[str, Blob] = {}
    for key, blob in read_all(source, keys).items():
        if isinstance(blob, StateStoreError):
            tally.fail(key, blob)
        elif blob is not None:  # else deleted since the scan
            documents[key] = blob
    arrivals.settle(documents)


def _delete(
    source: StateStore, transfer: Transfer, tally: Tally, keys: list[str], *, dry_run: bool
) -> None:
    """Delete documents, each only if it does not change and the source still does not have it."""
    missing = [key for key, blob in read_all(source, keys).items() if blob is None]
    doomed: list[Seen] = []
    for key, blob in read_all(transfer.store, missing).items():
        if isinstance(blob, StateStoreError):
            tally.fail(key, blob)
        elif blob is not None:
            doomed.append(Seen(key, blob.version, blob.fingerprint))
    if dry_run:
        for _ in doomed:
            tally.removed()
        return
    for done in transfer.delete_all_seen(doomed):
        for key, error in done.items():
            if error is None:
                tally.removed()
            else:
                tally.fail(key, error)
