"""Bringing a transcript into a journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from statekeep import Journals
from statekeep.errors import (
    AccessDeniedError,
    NotFoundError,
    StateStoreError,
    UnavailableError,
)
from statekeep.transport import ImportSource
from statekeep_plugins.marks import Importing
from statekeep_plugins.transcripts.formats import FORMATS
from statekeep_plugins.transcripts.work import Work

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from statekeep import StateStore
    from statekeep.transport import ImportReport
    from statekeep_plugins.transcripts.formats import TranscriptKind

__all__ = ["import_transcript"]


def import_transcript(
    store: StateStore,
    path: str | os.PathLike[str],
    kind: TranscriptKind,
    *,
    user_id: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ImportReport:
    """Bring a transcript into a journal; if a part of it is there by now, only the rest.

    Of Claude Code the journal is that which the adapter for its SDK would write: of the collection
    ``claude``, named by project and session, its items the entries. Of Codex it is of the
    collection ``codex``, named by the session, its items the lines.

    Entries are added a thousand lines at a time, each time with a mark in the metadata that says
    how far it came. So an import that was killed goes on by being called again, nothing is there
    twice, and what the program has appended to the file since is added.

    Args:
        store: Where the journal lies.
        path: The file, at its own place: its name, and that of its folder, name the journal.
        kind: Whose transcript it is.
        user_id: Whom the journal belongs to.
        dry_run: Write nothing, and say what would be added.
        progress: Called with how many lines are done.

    Returns:
        What was added, and which lines are damaged.

    Raises:
        ConflictError: There is a journal of this name that was not imported from this file, or one
            that was continued since; nothing was changed.
        OwnershipError: The journal is another user's.
        NotFoundError, AccessDeniedError, UnavailableError: The file cannot be read, or the store
            did not answer.

    Examples:
        >>> import tempfile
        >>> from statekeep import open_store
        >>> with tempfile.TemporaryDirectory() as folder, open_store("memory:") as store:
        ...     path = Path(folder, "rollout-1.jsonl")
        ...     size = path.write_text('{"type": "session_meta"}' + chr(10))
        ...     import_transcript(store, path, "codex").added
        1
    """
    path, form = Path(path), FORMATS[kind]
    name = form.name(path.absolute())
    journal = Journals(store, form.collection).open(*name, user_id=user_id)
    try:
        with path.open("rb") as file:
            importing = Importing(journal, dry_run=dry_run)
            Work(file, form, importing, int(path.stat().st_mtime * 1000), progress).run()
    except FileNotFoundError as error:
        raise NotFoundError("there is no such transcript", store=path) from error
    except OSError as error:
        if isinstance(error, StateStoreError):  # some are the system's, too
            raise
        kinds = AccessDeniedError if isinstance(error, PermissionError) else UnavailableError
        raise kinds(f"the transcript cannot be read: {error.strerror}", store=path) from error
    return importing.report(ImportSource(path, form.collection, name))
