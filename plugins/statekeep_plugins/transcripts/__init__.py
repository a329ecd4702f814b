"""Transcripts of Claude Code and Codex, brought into journals.

A transcript is a file of JSON Lines to which its program appends. Where it was written as its
machine went down, it ends in half a line, or has lines full of NUL: these are reported by their
numbers and kept aside, as attachments of the journal, and keep no other line out.
"""

from statekeep_plugins.transcripts.formats import TranscriptKind, transcripts_in
from statekeep_plugins.transcripts.importing import import_transcript

__all__ = [
    "TranscriptKind",
    "import_transcript",
    "transcripts_in",
]
