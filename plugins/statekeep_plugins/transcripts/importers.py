"""The importers for transcripts."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from statekeep.errors import AccessDeniedError, CorruptDataError, UnavailableError
from statekeep.plugins import ImporterSpec, hookimpl
from statekeep.transport import ImportSource
from statekeep_plugins.transcripts.formats import FORMATS, transcripts_in
from statekeep_plugins.transcripts.importing import import_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep import StateStore
    from statekeep.transport import ImportReport
    from statekeep_plugins.transcripts.formats import TranscriptKind

__all__ = ["statekeep_importers"]

_LOOKED_AT: Final = 64
"""How many lines to search for a valid one, which tells what the file is."""
_LONGEST: Final = 2**20


def _sources(kind: TranscriptKind, path: Path) -> Iterator[ImportSource]:
    try:
        with path.open("rb") as file:
            beginning = [file.readline(_LONGEST) for _ in range(_LOOKED_AT)]
    except OSError as error:
        kinds = AccessDeniedError if isinstance(error, PermissionError) else UnavailableError
        raise kinds(f"the transcript cannot be read: {error.strerror}", store=path) from error
    if found := _other(kind, beginning):
        raise CorruptDataError(f"this is {found}, not a transcript of {kind}", store=path)
    form = FORMATS[kind]
    yield ImportSource(path, form.collection, form.name(path.absolute()))


def _other(kind: TranscriptKind, beginning: list[bytes]) -> str:
    """Return what else the file is, if that is certain; a damaged transcript still is one."""
    if beginning[0].startswith(b"SQLite format 3\0"):
        return "a SQLite database"
    if beginning[0].startswith(b"\x28\xb5\x2f\xfd"):
        return "compressed with zstd (import an export of statekeep without --from)"
    for line in beginning:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict):
            continue
        if "statekeep" in entry:
            return "an export or a journal of statekeep (import an export without --from)"
        for other, says in _SAYS.items():
            if other != kind and says(entry) and not _SAYS[kind](entry):
                return f"a transcript of {other}"
        return ""
    # A crash leaves NUL bytes and lines that are cut off, not whole lines of text.
    if any(line.strip() and line.endswith(b"\n") and b"\0" not in line for line in beginning):
        return "a file without any JSON object at its beginning"
    return ""


_SAYS: Final[dict[TranscriptKind, Callable[[dict[str, Any]], bool]]] = {
    "claude-code": lambda entry: "uuid" in entry or "sessionId" in entry or "leafUuid" in entry,
    "codex": lambda entry: "payload" in entry or entry.get("type") == "session_meta",
}
"""Tests whether an entry looks like one of the program."""


def _load(
    kind: TranscriptKind,
    store: StateStore,
    source: ImportSource,
    *,
    user_id: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ImportReport:
    return import_transcript(
        store, source.path, kind, user_id=user_id, dry_run=dry_run, progress=progress
    )


@hookimpl
def statekeep_importers() -> list[ImporterSpec]:
    """Provide the importers for Claude Code and Codex."""
    said: dict[TranscriptKind, str] = {
        "claude-code": "Transcripts of Claude Code, from ~/.claude/projects.",
        "codex": "Transcripts of Codex, from ~/.codex/sessions.",
    }
    return [
        ImporterSpec(
            kind,
            summary,
            partial(transcripts_in, kind=kind),
            partial(_sources, kind),
            partial(_load, kind),
        )
        for kind, summary in said.items()
    ]
