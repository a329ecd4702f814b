"""The formats of transcripts: where they are, and what their entries mean."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from statekeep.errors import AccessDeniedError, NotFoundError
from statekeep_plugins.files import files_below

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

__all__ = ["FORMATS", "Format", "TranscriptKind", "transcripts_in"]

TranscriptKind = Literal["claude-code", "codex"]
"""The program that writes a transcript."""

_TITLE: Final = 80
_find_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$").search


def _name_of_claude(path: Path) -> tuple[str, ...]:
    """Name a transcript as the Claude Agent SDK does; a subagent's includes its subpath."""
    stem = path.with_suffix("")
    for at, part in enumerate(stem.parts):
        if part == "subagents" and at > 1:
            return stem.parts[at - 2], stem.parts[at - 1], "/".join(stem.parts[at:])
    return stem.parent.name, stem.name


def _name_of_codex(path: Path) -> tuple[str, ...]:
    found = _find_id(path.stem)
    return (found[0] if found else path.stem,)


def _key_of_claude(entry: dict[str, Any]) -> str | None:
    # As the adapter makes keys, so that entries that it sends again are recognised.
    uuid = entry.get("uuid")
    return json.dumps(uuid) if uuid and isinstance(uuid, str) else None


def _title_of_claude(entry: dict[str, Any]) -> str | None:
    if entry.get("type") != "user" or entry.get("isMeta") or entry.get("isSidechain"):
        return None
    message = entry.get("message")
    return _said(message.get("content")) if isinstance(message, dict) else None


def _title_of_codex(entry: dict[str, Any]) -> str | None:
    payload = entry.get("payload", entry)
    if not isinstance(payload, dict) or payload.get("role") != "user":
        return None
    return _said(payload.get("content"))


def _said(content: object) -> str | None:
    """Return what a person said; text that begins with ``<`` was added by the program."""
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part["text"] for part in parts if isinstance(part, dict) and part.get("text")]
    said = next((text for text in texts if isinstance(text, str) and text[:1] != "<"), "")
    words = " ".join(said.encode(errors="replace").decode().split())
    return (words if len(words) <= _TITLE else f"{words[: _TITLE - 1].rstrip()}…") or None


@dataclass(frozen=True, slots=True)
class Format:
    """The transcripts of a program.

    Attributes:
        collection: The collection of their journals.
        files: A pattern for the names of their files.
        name: Returns the name of the journal for a file.
        key: Returns a unique key for an entry; None if it has none.
        title: Returns what a person said in an entry; None if it is not a person's.
    """

    collection: str
    files: str
    name: Callable[[Path], tuple[str, ...]]
    key: Callable[[dict[str, Any]], str | None]
    title: Callable[[dict[str, Any]], str | None]


FORMATS: Final[dict[TranscriptKind, Format]] = {
    "claude-code": Format("claude", "*.jsonl", _name_of_claude, _key_of_claude, _title_of_claude),
    "codex": Format("codex", "rollout-*.jsonl", _name_of_codex, lambda _: None, _title_of_codex),
}


def transcripts_in(folder: str | os.PathLike[str], kind: TranscriptKind) -> Iterator[Path]:
    """Find the transcripts below a folder, such as ``~/.claude/projects`` or ``~/.codex/sessions``.

    Args:
        folder: The folder to search, or a single file.
        kind: The program that wrote them.

    Raises:
        NotFoundError: There is no such folder.
        AccessDeniedError: It cannot be reached.
    """
    path = Path(folder).expanduser()
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except PermissionError as error:
        raise AccessDeniedError(f"it cannot be reached: {error.strerror}", store=path) from error
    except OSError as error:
        raise NotFoundError("there is no such folder", store=path) from error
    yield from [path] if is_file else files_below(path, FORMATS[kind].files)
