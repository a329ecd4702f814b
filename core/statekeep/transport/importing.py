"""Importing what was exported."""

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
"""Documents that are in memory at a time; a larger one is there with few others."""

_HELD: Final = 64 * 2**20
"""Bytes of segments that wait for the head that names them. What a head names stands just before
it; if that is more, and all of it is damaged in the target, the next import mends the rest."""

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
    """Put into a store what `export_documents` wrote to a file.

    What the store has already is left as it is: an import that was interrupted goes on by being
    called again. A line that is damaged is reported by its number, and does not keep others out;
    so is a file that ends too soon.

    Args:
        file: A path, or a binary file that is open; plain or in zstd.
        store: Where the documents go.
        overwrite: As for `copy`. A segment or an attachment that is damaged in the store is
            replaced, too; one that is whole never is.
        dry_run: As for `copy`. That a journal lacks a part is then not seen.
        verify: As for `copy`.
        conflicts: As for `copy`.
        workers: As for `copy`.
        progress: Called with how many documents are done.

    Returns:
        What became of the documents. Of one that failed, the remark says the line.

    Raises:
        CorruptDataError: The file is no export.
        UnsupportedError: A newer version of statekeep wrote it; or as for `copy`.
        ConfigError: It is in zstd, which is not installed.
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
    """See `arriving.Source`: what journals name stands in the file before them.

    So of that only what may replace something damaged is still to be had when the head comes.

    Args:
        tally: Is told of what replaces nothing.
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
        """Report what no head has asked for."""
        for key in [*self._held]:
            self._drop(key)

    def _drop(self, key: str) -> None:
        blob, line = self._held.pop(key)
        self._size -= len(blob.data)
        self._tally.leave(key, "differs", PART_DIFFERS, line=line)


def _documents(
    lines: Iterable[bytes | CorruptDataError], tally: Tally
) -> Iterator[tuple[int, Document]]:
    """Read the documents of a file, each with its line, and report the lines that hold none.

    Raises:
        CorruptDataError, UnsupportedError: It is no export, or a newer one.
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
                raise CorruptDataError("it does not begin as an export does")
        except CorruptDataError as error:
            if number == 1:
                message = f"this is no export of statekeep, or its first line is damaged: {error}"
                raise CorruptDataError(message) from None
            failed += 1
            tally.leave("", "failed", error.message, error, number)
            total.update(line if isinstance(line, bytes) else b"")
            continue
        if isinstance(read, Header):  # of the next, if files were put together
            if not ended:
                _fail(tally, number, f"before this line, {_CUT}")
            total, seen, failed, ended = blake3(), 0, 0, False
        elif isinstance(read, End):
            ended = True
            if not failed and (read.documents, read.blake3) != (seen, total.hexdigest()):
                _fail(tally, number, f"{read.documents} documents were written, as other lines")
        else:
            seen += 1
            ended = False  # also after an end, which did not vouch for it
            yield number, read
        total.update(line)
    if not number:
        raise CorruptDataError("the file is empty, and so no export of statekeep")
    if not ended:
        _fail(tally, number + 1, _CUT)


def _fail(tally: Tally, number: int, reason: str) -> None:
    tally.leave("", "failed", reason, CorruptDataError(reason), number)


def _batches(documents: Iterable[tuple[int, Document]], tally: Tally) -> Iterator[dict[str, Blob]]:
    """Divide documents into what may be in memory at a time, and note the lines of these."""
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
