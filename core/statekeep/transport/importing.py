"""Import an export into a store."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from statekeep._arguments import checked
from statekeep.errors import CorruptDataError
from statekeep.store.transfer import Transfer, refuse_unconditional
from statekeep.transport.arriving import PART_DIFFERS, Arrivals
from statekeep.transport.files import name_of, reading
from statekeep.transport.lines import Document, End, Header, decode_line
from statekeep.transport.reports import Tally
from statekeep.transport.working import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.store.protocol import Blob, StateStore
    from statekeep.store.transfer import ConflictPolicy
    from statekeep.transport.files import File
    from statekeep.transport.reports import CopyReport

__all__ = ["import_documents"]

_MOST: Final = 64
_BYTES: Final = 8 * 2**20
"""The most documents, and about the most bytes, in memory at a time."""

_HELD: Final = 64 * 2**20
"""The most bytes of segments that wait for the head that names them. They stand just before it; if
they are more, and all are damaged in the target, the next import repairs the rest."""

_CUT: Final = "the end of the export is missing; the file was cut off"


@checked
def import_documents(
    file: File,
    store: StateStore,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    verify: bool = True,
    conflicts: ConflictPolicy = "detect",
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> CopyReport:
    """Import into a store what `export_documents` wrote to a file.

    Documents that the store already has are left alone, so to resume an interrupted import, call
    this again. A damaged line is reported with its number, and does not stop the others; a file
    that was cut off is reported, too.

    Args:
        file: A path, or an open binary file; plain or compressed with zstd.
        store: The store to import into.
        overwrite: As for `copy`. Also replaces segments and attachments that are damaged in the
            store; intact ones are never replaced.
        dry_run: As for `copy`. Does not notice if a journal lacks a part.
        verify: As for `copy`.
        conflicts: As for `copy`.
        workers: As for `copy`.
        progress: Called with the number of documents done so far.

    Returns:
        The result. The remark on a document that failed gives its line.

    Raises:
        CorruptDataError: The file is not an export.
        UnsupportedError: A newer version of statekeep wrote it; or as for `copy`.
        ConfigError: The file is compressed, and zstd is not installed.
        NotFoundError, UnavailableError, AccessDeniedError: The file cannot be read, or the store
            did not answer, has no room, or refused.

    Examples:
        >>> from io import BytesIO
        >>> from statekeep import open_store
        >>> from statekeep.transport import export_documents
        >>> file = BytesIO()
        >>> with open_store("memory:") as store, open_store("memory:") as other:
        ...     version = store.put("specs/plan.md", b"# Plan")
        ...     report = export_documents(store, file)
        ...     position = file.seek(0)
        ...     import_documents(file, other).copied
        1
    """
    if not dry_run:
        refuse_unconditional(store, conflicts)
    tally = Tally()
    done = 0
    with running(workers, store) as run, reading(file) as lines:
        held = _Held(tally)
        arrivals = Arrivals(
            Transfer(store, conflicts), held, tally, overwrite, dry_run, verify, run
        )
        for batch in _batches(_documents(lines, tally), tally):
            arrivals.settle(batch)
            done += len(batch)
            for key in batch:
                tally.lines.pop(key, None)
            if progress:
                progress(done)
        held.finish()
    return tally.report(source=name_of(file), target=str(store), dry_run=dry_run)


class _Held:
    """The `arriving.Source` of an import.

    In the file, the parts of a journal come before its head, so when the head comes, only parts
    held here are available: those that may replace a damaged one.

    Args:
        tally: Counts the parts that replace nothing.
    """

    parts_came_before = True

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._held: dict[str, tuple[Blob, int | None]] = {}
        self._size = 0
        self._lock = Lock()

    def get(self, key: str) -> Blob | None:
        held = self._held.get(key)
        return held and held[0]

    def attachments(self, _uid: str) -> Iterable[str]:
        return ()

    def hold(self, key: str, blob: Blob) -> bool:
        with self._lock:
            if key in self._held:
                return False
            self._held[key] = blob, self._tally.lines.get(key)
            self._size += len(blob.data)
            while self._size > _HELD and len(self._held) > 1:
                self._drop(next(iter(self._held)))
            return True

    def release(self, key: str) -> None:
        with self._lock:
            if held := self._held.pop(key, None):
                self._size -= len(held[0].data)

    def finish(self) -> None:
        """Report the parts that no head has asked for."""
        for key in [*self._held]:
            self._drop(key)

    def _drop(self, key: str) -> None:
        blob, line = self._held.pop(key)
        self._size -= len(blob.data)
        self._tally.leave(key, "differs", PART_DIFFERS, line=line)


def _documents(
    lines: Iterable[bytes | CorruptDataError], tally: Tally
) -> Iterator[tuple[int, Document]]:
    """Yield the documents of a file with their line numbers, and report damaged lines.

    Raises:
        CorruptDataError: The file is not an export.
        UnsupportedError: A newer version of statekeep wrote it.
    """
    number = seen = failed = 0
    total = blake3()
    ended = True
    for number, line in enumerate(lines, start=1):
        try:
            if isinstance(line, CorruptDataError):
                raise line
            read = decode_line(line)
            if number == 1 and not isinstance(read, Header):
                raise CorruptDataError("it does not begin like an export")
        except CorruptDataError as error:
            if number == 1:
                message = f"this is not a statekeep export, or its first line is damaged: {error}"
                raise CorruptDataError(message) from None
            failed += 1
            tally.leave("", "failed", error.message, error, number)
            total.update(line if isinstance(line, bytes) else b"")
            continue
        if isinstance(read, Header):  # of the next export, if files were concatenated
            if not ended:
                _fail(tally, number, f"before this line, {_CUT}")
            total, seen, failed, ended = blake3(), 0, 0, False
        elif isinstance(read, End):
            ended = True
            if not failed and (read.documents, read.blake3) != (seen, total.hexdigest()):
                _fail(
                    tally, number, f"the lines differ from the {read.documents} documents exported"
                )
        else:
            seen += 1
            ended = False  # also after an end, which does not cover it
            yield number, read
        total.update(line)
    if not number:
        raise CorruptDataError("the file is empty, so it is not a statekeep export")
    if not ended:
        _fail(tally, number + 1, _CUT)


def _fail(tally: Tally, number: int, reason: str) -> None:
    tally.leave("", "failed", reason, CorruptDataError(reason), number)


def _batches(documents: Iterable[tuple[int, Document]], tally: Tally) -> Iterator[dict[str, Blob]]:
    """Divide documents into batches that fit into memory, and note the line of each document."""
    batch: dict[str, Blob] = {}
    size = 0
    for number, document in documents:
        key, blob = document.key, document.blob
        if batch and (len(batch) >= _MOST or size + len(blob.data) > _BYTES or key in batch):
            yield batch
            batch, size = {}, 0
        batch[key] = blob
        tally.lines[key] = number  # not before, because an earlier one may have the same key
        size += len(blob.data)
    if batch:
        yield batch
