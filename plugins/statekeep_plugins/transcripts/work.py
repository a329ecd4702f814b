"""Reading a transcript, and adding it to a journal a thousand lines at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from blake3 import blake3

from statekeep.errors import ConflictError, InvalidDocumentError
from statekeep.journals.items import storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep import Journal
    from statekeep.journals import Draft
    from statekeep_plugins.transcripts.formats import Format

__all__ = ["MARK", "DamagedLine", "Work"]

MARK: Final = "statekeep.import"
"""Of the metadata of a journal: how much of which file is in it."""

_LINES: Final = 1000
"""Lines of a change: no more than the journal remembers keys."""
_BYTES: Final = 2**20
_LONGEST: Final = 32 * 2**20
"""Bytes of the longest line that is looked at."""
_REPORTED: Final = 1000
_TORN: Final = "it is cut off"


class DamagedLine(NamedTuple):
    """A line that holds no entry.

    Attributes:
        line: Its number, from 1 on.
        reason: What is wrong with it.
        ref: What `Journal.attachments` takes to give its bytes; None if it was too long to keep.
    """

    line: int
    reason: str
    ref: str | None


@dataclass(slots=True)
class _Batch:
    """What one change adds."""

    items: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    aside: list[tuple[int, str, bytes]] = field(default_factory=list)
    title: str | None = None
    latest: str = ""
    torn: str | None = None
    is_last: bool = False


class Work:
    """One call."""

    def __init__(
        self,
        file: IO[bytes],
        form: Format,
        journal: Journal,
        mtime: int,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._file = file
        self._form = form
        self._journal = journal
        self._mtime = mtime
        self._progress = progress
        self._hash = blake3()
        self._done = 0
        self._is_open = False
        """Whether the last line that was done had no end yet."""
        self.lines = self.added = self.damaged = 0
        self.remarks: list[DamagedLine] = []

    def run(self) -> None:
        """Add what is new.

        Raises:
            ConflictError: The journal holds something else than the beginning of the file.
        """
        mark = self._find_mark()
        while True:
            batch = self._read_batch(mark["torn"] if mark else None)
            if batch.items or batch.aside:
                mark = self._write(batch, mark)
            elif batch.torn:  # as it was the last time
                self._remark(DamagedLine(self.lines + 1, _TORN, None))
            if self._progress:
                self._progress(self.lines)
            if batch.is_last:
                return

    def _find_mark(self) -> dict[str, Any] | None:
        """Go on in the file to where the last import came."""
        head = self._journal.head()
        if head is None:
            return None
        mark = head.metadata.get(MARK)
        if not isinstance(mark, dict) or mark.get("length") != head.length:
            raise self._conflict("it has entries that were not imported from this file")
        left = mark["bytes"]
        while left and (part := self._file.read(min(left, _BYTES))):
            self._hash.update(part)
            left -= len(part)
            self._is_open = part[-1:] != b"\n"
        if left or self._hash.hexdigest() != mark["blake3"]:
            raise self._conflict("the file does not begin as the one that was imported")
        self.lines, self._done = mark["lines"], mark["bytes"]
        return mark

    def _conflict(self, why: str) -> ConflictError:
        name = "/".join(self._journal.name)
        return ConflictError(f"the journal {name!r}: {why}; nothing was changed", landed="no")

    def _read_batch(self, torn_before: str | None) -> _Batch:
        batch, size = _Batch(), 0
        for _ in range(_LINES):
            line = self._file.readline(_LONGEST)
            if not line:
                batch.is_last = True
                break
            if len(line) == _LONGEST and not line.endswith(b"\n"):
                self._pass_over(line)
                continue
            entry, reason = _read(line)
            if reason and not line.endswith(b"\n"):
                # It may be written just now, so the next import looks at it again.
                batch.torn = blake3(line).hexdigest()
                if batch.torn != torn_before:
                    batch.aside.append((self.lines + 1, _TORN, line))
                batch.is_last = True
                break
            self._count(line)
            if reason:
                batch.aside.append((self.lines, reason, line))
            if entry is not None:
                self._take(batch, entry)
            size += len(line)
            if size >= _BYTES:
                break
        return batch

    def _count(self, line: bytes) -> None:
        self._hash.update(line)
        self._done += len(line)
        self.lines += not (self._is_open and line == b"\n")
        self._is_open = not line.endswith(b"\n")

    def _pass_over(self, line: bytes) -> None:
        """Leave a line out that is too long to be looked at."""
        self._count(line)
        while (rest := self._file.readline(_BYTES)) and not rest.endswith(b"\n"):
            self._hash.update(rest)
            self._done += len(rest)
        self._hash.update(rest)
        self._done += len(rest)
        self._remark(DamagedLine(self.lines, f"it has more than {_LONGEST} bytes", None))

    def _take(self, batch: _Batch, entry: dict[str, Any]) -> None:
        try:
            batch.items.append(storable(entry))
        except InvalidDocumentError as error:
            line = json.dumps(entry).encode()
            batch.aside.append((self.lines, error.message, line))
            return
        batch.keys.append(self._form.key(entry))
        batch.title = batch.title or self._form.title(entry)
        at = entry.get("timestamp")
        batch.latest = max(batch.latest, at if isinstance(at, str) and at.isascii() else "")

    def _write(self, batch: _Batch, mark: dict[str, Any] | None) -> dict[str, Any]:
        """Add a batch in one change, with how far the file is read."""
        noted: list[DamagedLine] = []
        mark_after: dict[str, Any] = {}
        added = 0

        def add(draft: Draft) -> None:
            nonlocal added
            metadata = draft.metadata
            length = mark["length"] if mark else 0
            if metadata.get(MARK) != mark or draft.length != length:
                raise self._conflict("somebody else writes to the journal")
            added = sum(draft.append(batch.items, batch.keys))
            noted[:] = [
                DamagedLine(line, reason, draft.attach(data, f"line-{line}.txt"))
                for line, reason, data in batch.aside
            ]
            metadata[MARK] = mark_after | {
                "lines": self.lines,
                "bytes": self._done,
                "blake3": self._hash.hexdigest(),
                "length": draft.length,
                "torn": batch.torn,
            }
            metadata["mtime"] = max(self._mtime, metadata.get("mtime", 0))
            metadata["latest"] = max(batch.latest, metadata.get("latest", ""))
            if batch.title:
                metadata.setdefault("title", batch.title)
            mark_after.update(metadata[MARK])

        self._journal.change(add)
        self.added += added
        for each in noted:
            self._remark(each)
        return mark_after

    def _remark(self, line: DamagedLine) -> None:
        self.damaged += 1
        if len(self.remarks) < _REPORTED:
            self.remarks.append(line)


def _read(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """Read an entry, or say why there is none; an empty line is nothing at all."""
    text = line.strip(b"\0 \t\r\n")
    has_nul = b"\0" in line
    if not text:
        return None, f"it is all NUL, {line.count(0)} bytes" if has_nul else ""
    try:
        # Not orjson, which makes large integers inexact.
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None, "it has NUL in it, and is no JSON" if has_nul else "it is no JSON"
    if not isinstance(entry, dict):
        return None, "it is no JSON object"
    return entry, "there was NUL around it, which is left out" if has_nul else ""
