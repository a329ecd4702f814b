"""One way through the folders of a store, for what lists, sweeps and inspects them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from statekeep_backends.local.files import LOCKS, is_settled

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Folder", "list_folder", "walk"]


class Folder(NamedTuple):
    """What a walk met in one folder.

    Attributes:
        path: The folder.
        files: Its regular files.
        folders: Its subfolders; the walk enters them next, but not that of the locks.
        others: Links, FIFOs and the like. A link is never followed.
        closed: Why it could not be read; it then seems to hold nothing.
    """

    path: str
    files: list[os.DirEntry[str]]
    folders: list[os.DirEntry[str]]
    others: list[os.DirEntry[str]]
    closed: OSError | None = None


def walk(base: str, prefix: str = "") -> Iterator[Folder]:
    """Go through a store's folder, or through what lies below a prefix.

    What vanishes meanwhile is passed over. A closed folder must not hide the rest, so it is met
    like any other and says so.

    Args:
        base: The store's folder.
        prefix: Where to begin.

    Raises:
        OSError: The first folder cannot be read, or the store is no folder any more.
    """
    start = f"{base}/{prefix}" if prefix else base
    locks = f"{base}/{LOCKS}"
    # A stack, because folders can be nested deeper than Python recurses.
    waiting = [start]
    while waiting:
        path = waiting.pop()
        try:
            found = list_folder(path)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            if path == base:
                raise  # it must not pass for an empty store
            continue
        except OSError as error:
            if path == start:
                raise
            yield Folder(path, [], [], [], error)
            continue
        folder = Folder(path, [], [], [])
        for entry in found:
            if entry.is_file(follow_symlinks=False):
                folder.files.append(entry)
            elif entry.is_dir(follow_symlinks=False):
                folder.folders.append(entry)
            else:
                folder.others.append(entry)
        yield folder
        waiting += [entry.path for entry in folder.folders if entry.path != locks]


def list_folder(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder, and also what is replaced meanwhile.

    Who goes on replacing a file during the few milliseconds may hide it, on tmpfs only.
    """
    now = time.time_ns()
    with os.scandir(folder) as entries:
        found = list(entries)
    if not is_settled(os.stat(folder), now):  # noqa: PTH116
        # On tmpfs a file that is replaced changes its place among the others, perhaps to one that
        # was passed already.
        names = {entry.name for entry in found}
        with os.scandir(folder) as entries:
            found += [entry for entry in entries if entry.name not in names]
    return found
