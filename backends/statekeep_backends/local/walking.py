"""One way through the folders of a store, for what lists, sweeps and inspects them."""

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
"""Below which documents have folders of their own, which are left when they go."""


class Contents(NamedTuple):
    """What a walk met in one folder, to be used before it goes on.

    Attributes:
        path: The folder, relative to the base; empty for the base itself.
        folder: Its descriptor.
        files: Its regular files.
        folders: Its subfolders; the walk enters them next, but not that of the locks.
        others: Links, FIFOs and the like. A link is never followed.
        closed: Why it could not be read; it then seems to hold nothing.
    """

    path: str
    folder: int
    files: list[Found]
    folders: list[Found]
    others: list[Found]
    closed: OSError | None = None

    def path_of(self, name: str) -> str:
        """The path of what lies in it, relative to the base."""
        return f"{self.path}/{name}" if self.path else name


def walk(folders: Folders, prefix: str = "") -> Iterator[Contents]:
    """Go through a store's folder, or through what lies below a prefix.

    What vanishes meanwhile is passed over. A closed folder must not hide the rest, so it is met
    like any other and says so.

    Args:
        folders: Those of the store.
        prefix: Where to begin.

    Raises:
        NotAFolderError: Something else is in the place of the first folder.
        OSError: It cannot be read, or the store is no folder any more.
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
                # It must not pass for an empty store.
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
