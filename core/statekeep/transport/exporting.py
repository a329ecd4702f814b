"""Exporting what is in a store to one file."""

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
    """Write what is in a store to one file, from which `import_documents` puts it into any store.

    The file has JSON Lines, which zstd and jq read: one for each document, those of segments and
    attachments before the journal that names them, and a last one that vouches for all. A file
    that is not whole has another name, which ends with ``.part``.

    Args:
        store: Which; it is only read.
        file: A path, whose file is in zstd if the name ends with ``.zst``, else plain; or a binary
            file that is open, which gets plain lines.
        prefix: As for `copy`.
        include: As for `copy`.
        overwrite: Replace a file that is there.
        progress: As for `copy`.

    Returns:
        How many documents there are, as ``copied``; those that cannot be read, or are too large,
        are left out, and in its remarks.

    Raises:
        ConflictError: There is such a file.
        ConfigError: zstd is not installed, or the path names no file.
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
                    f"{at!r} takes a line of {len(line)} bytes, and an import reads no more than "
                    f"{MAX_LINE}; statekeep copy brings it"
                )
            lines.write(line)
            tally.wrote(len(each.data), over=False)
    except StateStoreError as error:
        if not isinstance(error, CorruptDataError | UnsupportedError) and error is not blob:
            raise
        tally.fail(key, error)


def _whole(store: StateStore, key: str, blob: Blob) -> Iterator[tuple[str, Blob]]:
    """Give what a document names, and then the document: a newer one if that is gone meanwhile.

    Raises:
        CorruptDataError: What it names is not all there.
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
    raise CorruptDataError(f"a part that it names is not there, or not what it wrote: {gone!r}")


def _parts(store: StateStore, named: Named | None) -> Iterator[tuple[str, Blob | None]]:
    """What a head names, and None for a part that is not there as it was written."""
    if named is None:
        return
    for at, segment in named.keys().items():
        blob = store.get(at)
        yield at, blob if blob is not None and is_segment(blob.data, segment) else None
    if named.attached:
        for at in attachments_of(store, named.uid):
            if (blob := store.get(at)) is not None:
                yield at, blob if is_attachment(blob.data, at.rpartition("/")[2]) else None
