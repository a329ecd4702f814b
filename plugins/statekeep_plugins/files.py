"""Finds files to import."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["files_below"]


def files_below(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Find files below a folder, in the same order each time.

    Files and folders that cannot be read are included, so that opening them reports the error.
    Pipes and other special files are not, because opening one may block for ever.

    Args:
        folder: The folder to search.
        pattern: A pattern for the names of files.
    """
    refused: list[Path] = []

    def note(error: OSError) -> None:
        if not isinstance(error, NotADirectoryError):
            refused.append(Path(error.filename))

    for at, folders, files in os.walk(folder, onerror=note):
        folders.sort()
        yield from refused
        refused.clear()
        for name in sorted(files):
            if fnmatchcase(name, pattern) and _may_be_file(path := Path(at, name)):
                yield path
    yield from refused


def _may_be_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True
