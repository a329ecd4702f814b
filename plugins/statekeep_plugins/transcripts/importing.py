"""Imports a transcript into a journal."""

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
    """Import a transcript into a journal; if part of it was imported before, only the rest.

    The journal of Claude Code is the one that the adapter for its SDK would write: in the
    collection ``claude``, named by project and session, with entries as items. The journal of
    Codex is in the collection ``codex``, named by the session, with lines as items.

    A thousand lines are added at a time, with a mark in the metadata of how far the import is. So
    an interrupted import can be run again: nothing is added twice, and what the program has
    appended to the file since is added, too.

    Args:
        store: The store for the journal.
        path: The file, in its original place: its name and its folder's name the journal.
        kind: The program that wrote the transcript.
        user_id: The user the journal belongs to.
        dry_run: Write nothing; report what would be added.
        progress: Called with the number of lines done.

    Returns:
        What was added, and which lines are damaged.

    Raises:
        ConflictError: The journal was not imported from this file, was continued since, or is
            being changed; the message says what was added.
        OwnershipError: The journal belongs to another user.
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
        if isinstance(error, StateStoreError):  # some are OSErrors, too
            raise
        kinds = AccessDeniedError if isinstance(error, PermissionError) else UnavailableError
        raise kinds(f"the transcript cannot be read: {error.strerror}", store=path) from error
    return importing.report(ImportSource(path, form.collection, name))
