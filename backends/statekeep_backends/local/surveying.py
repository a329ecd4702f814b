"""Surveys: list one folder without reading its names, as long as its own times do not change.

Creating, removing or replacing a file changes the times of its folder; writing to a file in place
does not. So names stay known as long as these times do not change, while every file is checked
nevertheless.
"""

from __future__ import annotations

import os
import sys
from array import array
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from statekeep.store import Survey
from statekeep_backends.local.files import (
    fingerprint,
    fingerprint_if_settled,
    is_document,
    look_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.store import Entry

__all__ = ["look_again", "mark_of", "of_entries"]

_AT_ONCE = 4096
"""How many files to check before formatting the marks, so that few numbers are in memory."""

_look_at = attrgetter("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")  # as in a fingerprint
_NUMBERS = 4
_IS_LITTLE = sys.byteorder == "little"


class _Seen(NamedTuple):
    fingerprints: str
    modified_ns: array[int]


def mark_of(folder: int, now_ns: int) -> str | None:
    """Return a mark that changes when an open folder gains or loses files; None if too recent.

    Args:
        folder: The folder, which has been read.
        now_ns: The time before that, in nanoseconds since 1970.
    """
    return fingerprint_if_settled(os.fstat(folder), now_ns)


def of_entries(entries: Iterable[Entry], names: str | None) -> Survey:
    """Make a survey from the entries of a scan."""
    found = [*entries]
    return Survey(
        [entry.key for entry in found],
        "\n".join([entry.fingerprint or "" for entry in found]),
        [entry.modified_ns for entry in found],
        names,
    )


def look_again(folder: int, prefix: str, known: Survey) -> Survey | None:
    """Check the files of a known survey; None if the folder's files are not the same anymore.

    Args:
        folder: The open folder.
        prefix: Its path.
        known: An earlier survey of it.
    """
    if known.names != fingerprint(os.fstat(folder)):
        return None
    outer = f"{prefix}/" if prefix else ""
    modified, parts = array("Q"), list[str]()
    at, same = 0, True
    for start in range(0, len(known.keys), _AT_ONCE):
        names = [key.removeprefix(outer) for key in known.keys[start : start + _AT_ONCE]]
        if (seen := _look(folder, names)) is None:
            return None
        modified += seen.modified_ns
        end = at + len(seen.fingerprints)
        # The known text is reused if nothing has changed, which is the usual case.
        before = known.fingerprints[at:end]
        if before != seen.fingerprints:
            if not _are_documents(folder, names, before, seen.fingerprints):
                return None
            if same:
                parts = [known.fingerprints[: at - 1]] if start else []
            same = False
        if not same:
            parts.append(seen.fingerprints)
        at = end + 1
    fingerprints = known.fingerprints if same else "\n".join(parts)
    return Survey(known.keys, fingerprints, modified, known.names)


def _look(folder: int, names: list[str]) -> _Seen | None:
    try:
        found = map(partial(os.lstat, dir_fd=folder), names)
        marks = array("Q", chain.from_iterable(map(_look_at, found)))
    except (FileNotFoundError, OverflowError):
        return None  # gone since, or from before 1970
    modified = marks[2::_NUMBERS]
    if _IS_LITTLE:
        marks.byteswap()
    return _Seen(marks.tobytes().hex("\n", 8 * _NUMBERS), modified)


def _are_documents(folder: int, names: list[str], before: str, now: str) -> bool:
    """Return whether all files that changed are still files; the others are what they were."""
    marks = zip(names, before.split("\n"), now.split("\n"), strict=False)
    return all(is_document(look_at(folder, name)) for name, old, new in marks if old != new)
