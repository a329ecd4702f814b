"""Reads a transcript, and adds it to a journal a thousand lines at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

from blake3 import blake3

from statekeep.errors import InvalidDocumentError
from statekeep.journals.items import storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.journals import Draft
    from statekeep_plugins.marks import Aside, Importing
    from statekeep_plugins.transcripts.formats import Format

__all__ = ["Work"]

_LINES: Final = 1000
"""Lines in one change: no more than the keys that a journal remembers."""
_BYTES: Final = 2**20
_LONGEST: Final = 32 * 2**20
"""Size of the longest line that is read, in bytes."""
_TORN: Final = "it is cut off"


@dataclass(slots=True)
class _Batch:
    """What is added in one change."""

    items: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)
    title: str | None = None
    latest: str = ""
    torn: str | None = None
    is_last: bool = False


class Work:
    """The import of one transcript."""

    def __init__(
        self,
        file: IO[bytes],
        form: Format,
        importing: Importing,
        mtime: int,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._file = file
        self._form = form
        self._importing = importing
        self._mtime = mtime
        self._progress = progress
        self._hash = blake3()
        self._done = 0
        self._is_open = False
        """Whether the last line that was read has no line end yet."""
        self._lines = 0

    def run(self) -> None:
        """Add what is new.

        Raises:
            ConflictError: The journal holds something other than the beginning of the file.
        """
        self._find_mark()
        while True:
            mark = self._importing.mark
            batch = self._read_batch(mark["torn"] if mark else None)
            if batch.items or batch.aside:
                self._write(batch)
            elif batch.torn:  # unchanged since the last import, which kept it aside
                self._importing.remark(f"line {self._lines + 1}", _TORN)
            if self._progress:
                self._progress(self._lines)
            if batch.is_last:
                return

    def _find_mark(self) -> None:
        """Go to where the last import ended."""
        self._importing.refuse_others()
        mark = self._importing.mark
        if mark is None:
            return
        left = mark["bytes"]
        while left and (part := self._file.read(min(left, _BYTES))):
            self._hash.update(part)
            left -= len(part)
            self._is_open = part[-1:] != b"\n"
        if left or self._hash.hexdigest() != mark["blake3"]:
            raise self._importing.conflict("the file does not begin like the one that was imported")
        self._lines, self._done = mark["lines"], mark["bytes"]

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
                # The program may still be writing it, so the next import reads it again.
                batch.torn = blake3(line).hexdigest()
                if batch.torn != torn_before:
                    batch.aside.append(_aside(self._lines + 1, _TORN, line))
                batch.is_last = True
                break
            self._count(line)
            if reason:
                batch.aside.append(_aside(self._lines, reason, line))
            if entry is not None:
                self._take(batch, entry)
            size += len(line)
            if size >= _BYTES:
                break
        return batch

    def _count(self, line: bytes) -> None:
        self._hash.update(line)
        self._done += len(line)
        self._lines += not (self._is_open and line == b"\n")
        self._is_open = not line.endswith(b"\n")

    def _pass_over(self, line: bytes) -> None:
        """Skip a line that is too long."""
        self._count(line)
        while (rest := self._file.readline(_BYTES)) and not rest.endswith(b"\n"):
            self._hash.update(rest)
            self._done += len(rest)
        self._hash.update(rest)
        self._done += len(rest)
        self._importing.remark(f"line {self._lines}", f"it has more than {_LONGEST} bytes")

    def _take(self, batch: _Batch, entry: dict[str, Any]) -> None:
        try:
            batch.items.append(storable(entry))
        except InvalidDocumentError as error:
            line = json.dumps(entry).encode()
            batch.aside.append(_aside(self._lines, error.message, line))
            return
        batch.keys.append(self._form.key(entry))
        batch.title = batch.title or self._form.title(entry)
        at = entry.get("timestamp")
        batch.latest = max(batch.latest, at if isinstance(at, str) and at.isascii() else "")

    def _write(self, batch: _Batch) -> None:
        """Add a batch, together with the new mark, in one change."""

        def add(draft: Draft) -> int:
            metadata = draft.metadata
            metadata["mtime"] = max(self._mtime, metadata.get("mtime", 0))
            metadata["latest"] = max(batch.latest, metadata.get("latest", ""))
            if batch.title:
                metadata.setdefault("title", batch.title)
            return sum(draft.append(batch.items, batch.keys))

        def mark() -> dict[str, Any]:
            return {
                "lines": self._lines,
                "bytes": self._done,
                "blake3": self._hash.hexdigest(),
                "torn": batch.torn,
            }

        self._importing.write(add, len(batch.items), batch.aside, mark)


def _aside(line: int, reason: str, data: bytes) -> Aside:
    return f"line {line}", reason, data, f"line-{line}.txt"


def _read(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return an entry and what is wrong with its line; neither if the line is empty."""
    text = line.strip(b"\0 \t\r\n")
    has_nul = b"\0" in line
    if not text:
        return None, f"it is all NUL, {line.count(0)} bytes" if has_nul else ""
    try:
        # Not orjson, which makes large integers inexact.
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None, "it has NUL bytes and is not JSON" if has_nul else "it is not JSON"
    if not isinstance(entry, dict):
        return None, "it is not a JSON object"
    return entry, "NUL bytes around it were left out" if has_nul else ""
