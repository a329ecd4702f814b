"""Export the documents of a store to one file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from blake3 import blake3

from statekeep._arguments import checked
from statekeep.errors import CorruptDataError, StateStoreError, UnsupportedError
from statekeep.journals.attachments import is_attachment
from statekeep.journals.segments import is_segment
from statekeep.store.keys import QUARANTINE, TRASH
from statekeep.transport.files import MAX_LINE, name_of, writing
from statekeep.transport.lines import encode_document, encode_end, header
from statekeep.transport.reading import (
    attachments_of,
    batches,
    check_scope,
    entries,
    named_by,
    read_all,
)
from statekeep.transport.reports import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

    from statekeep.store.protocol import Blob, StateStore
    from statekeep.transport.files import File
    from statekeep.transport.reading import Named
    from statekeep.transport.reports import CopyReport

__all__ = ["export_documents"]

_AGAIN = 5


@checked
def export_documents(
    store: StateStore,
    file: File,
    *,
    prefix: str = "",
    include: Iterable[str] = (),
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> CopyReport:
    """Write the documents of a store to one file, which `import_documents` reads into any store.

    The file is in JSON Lines, for zstd and jq: one line per document, segments and attachments
    before the journal that names them, and a last line with a count and a hash of them all. Until
    it is complete, the file has a name ending in ``.part``.

    Args:
        store: The store; it is only read.
        file: A path, compressed with zstd if its name ends with ``.zst``; or an open binary file,
            which is not compressed.
        prefix: As for `copy`.
        include: As for `copy`.
        overwrite: Replace an existing file.
        progress: As for `copy`.

    Returns:
        The result: ``copied`` counts the documents written. Those that cannot be read, or are too
        large, are left out and named in the remarks.

    Raises:
        ConflictError: The file exists.
        ConfigError: zstd is not installed, or the path has no file name.
        InvalidKeyError: The prefix is not legal.
        UnavailableError, AccessDeniedError, NotFoundError: The store did not answer, or the file
            cannot be written.

    Examples:
        >>> from io import BytesIO
        >>> from statekeep import open_store
        >>> with open_store("memory:") as store:
        ...     version = store.put("specs/plan.md", b"# Plan")
        ...     export_documents(store, BytesIO()).copied
        1
    """
    included = tuple(include)
    check_scope(prefix, included)
    scan = partial(entries, store, prefix, included)
    total = sum(1 for _ in scan()) if progress else 0
    tally = Tally()
    with writing(file, overwrite=overwrite) as stream:
        lines = _Lines(stream)
        lines.write(header(prefix, included))
        done = 0
        for batch in batches(scan()):
            keys = [entry.key for entry in batch]
            for key, blob in read_all(store, keys).items():
                _export(store, lines, tally, key, blob)
            done += len(keys)
            if progress:
                progress(done, max(done, total))
        lines.write(encode_end(tally.copied, lines.digest()))
    return tally.report(source=str(store), target=name_of(file), dry_run=False)


class _Lines:
    """Writes lines, and hashes them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = blake3()

    def write(self, line: bytes) -> None:
        self._stream.write(line)
        self._hash.update(line)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _export(
    store: StateStore, lines: _Lines, tally: Tally, key: str, blob: Blob | StateStoreError | None
) -> None:
    if blob is None:  # deleted since the scan
        return
    try:
        if isinstance(blob, StateStoreError):
            raise blob
        for at, each in _whole(store, key, blob):
            line = encode_document(at, each)
            if len(line) > MAX_LINE:
                raise UnsupportedError(
                    f"{at!r} needs a line of {len(line)} bytes, but an import reads at most "
                    f"{MAX_LINE}; use statekeep copy for it"
                )
            lines.write(line)
            tally.wrote(len(each.data), over=False)
    except StateStoreError as error:
        if not isinstance(error, CorruptDataError | UnsupportedError) and error is not blob:
            raise
        tally.fail(key, error)


def _whole(store: StateStore, key: str, blob: Blob) -> Iterator[tuple[str, Blob]]:
    """Yield the parts that a document names, then the document, or a newer one if parts are gone.

    Raises:
        CorruptDataError: A part that it names is missing or damaged.
    """
    is_copy = key.startswith((f"{TRASH}/", f"{QUARANTINE}/"))
    for _ in range(_AGAIN):
        named = named_by(key, blob.data)
        gone = ""
        for at, part in _parts(store, named):
            if part is not None:
                yield at, part
            elif not is_copy:
                gone = at
                break
        if not gone:
            yield key, blob
            return
        now = store.get(key)
        if now is None or now.data == blob.data:
            break
        blob = now
    raise CorruptDataError(f"a part that it names is missing or damaged: {gone!r}")


def _parts(store: StateStore, named: Named | None) -> Iterator[tuple[str, Blob | None]]:
    """Yield the parts that a head names, with None for one that is missing or damaged."""
    if named is None:
        return
    for at, segment in named.keys().items():
        blob = store.get(at)
        yield at, blob if blob is not None and is_segment(blob.data, segment) else None
    if named.attached:
        for at in attachments_of(store, named.uid):
            if (blob := store.get(at)) is not None:
                yield at, blob if is_attachment(blob.data, at.rpartition("/")[2]) else None
