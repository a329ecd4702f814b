"""Imports transcripts of Claude Code and Codex.

A transcript is a file of JSON Lines to which its program appends. After a crash it may end in half
a line, or have lines full of NUL bytes. Such lines are reported by number and kept aside as
attachments of the journal; all others are imported.
"""

from statekeep_plugins.transcripts.formats import TranscriptKind, transcripts_in
from statekeep_plugins.transcripts.importing import import_transcript

__all__ = [
    "TranscriptKind",
    "import_transcript",
    "transcripts_in",
]
