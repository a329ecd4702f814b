"""The one walk through the folders of a store, for listing, sweeping and inspecting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from statekeep.store.keys import ATTACHMENTS, BLOBS, JOURNALS, QUARANTINE, SEGMENTS, TRASH
from statekeep_backends.local.files import LOCKS
from statekeep_backends.local.folders import NotAFolderError, Trail
from statekeep_backends.local.listing import list_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep_backends.local.folders import Folders
    from statekeep_backends.local.listing import Found

__all__ = ["EMPTIED", "Contents", "walk"]

EMPTIED: Final = tuple(
    [f"{each}/" for each in (JOURNALS, BLOBS, TRASH, QUARANTINE, SEGMENTS, ATTACHMENTS)]
)
"""Where documents have folders of their own, which stay behind when the documents go."""


class Contents(NamedTuple):
    """What a walk found in one folder; use it before the walk goes on.

    Attributes:
        path: The folder's path, relative to the base; empty for the base itself.
        folder: Its descriptor.
        files: Its regular files.
        folders: Its subfolders; the walk enters them next, except that of the locks.
        others: Links, FIFOs and the like. Links are never followed.
        closed: Why it could not be read, in which case it seems to be empty.
    """

    path: str
    folder: int
    files: list[Found]
    folders: list[Found]
    others: list[Found]
    closed: OSError | None = None

    def path_of(self, name: str) -> str:
        """Return the path of an entry, relative to the base."""
        return f"{self.path}/{name}" if self.path else name


def walk(folders: Folders, prefix: str = "") -> Iterator[Contents]:
    """Walk through a store's folder, or through what is below a prefix.

    What disappears during the walk is skipped. A folder that cannot be read must not hide the
    others, so it is yielded like them, with the reason.

    Args:
        folders: The store's folders.
        prefix: Where to start.

    Raises:
        NotAFolderError: Something that is not a folder is in the place of the first one.
        OSError: It cannot be read, or the store is not a folder anymore.
    """
    trail = Trail(folders)
    # A stack, because folders can be nested deeper than Python recurses.
    waiting = [prefix]
    try:
        while waiting:
            path = waiting.pop()
            try:
                folder = trail.enter(path)
                found = list_folder(folder)
            except FileNotFoundError:
                continue
            except NotAFolderError:
                if path == prefix:
                    raise
                continue
            except OSError as error:
                # An unreadable store must not seem empty.
                if path == prefix or isinstance(error, NotADirectoryError):
                    raise
                yield Contents(path, -1, [], [], [], error)
                continue
            contents = Contents(path, folder, [], [], [])
            for entry in found:
                if entry.is_file(follow_symlinks=False):
                    contents.files.append(entry)
                elif entry.is_dir(follow_symlinks=False):
                    contents.folders.append(entry)
                else:
                    contents.others.append(entry)
            yield contents
            inner = [contents.path_of(entry.name) for entry in contents.folders]
            waiting += [each for each in inner if each != LOCKS]
    finally:
        trail.close()
