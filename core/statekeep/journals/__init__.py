"""Journals: ordered items with one small document about them, changed by one write at a time.

`format.journal` and `format.contents` define how a journal is laid out in a store. Journals are
listed, pruned and moved by their heads, like sessions.
"""

from statekeep.journals.draft import Draft
from statekeep.journals.heads import Head, Loaded
from statekeep.journals.journal import SKIP, Journal
from statekeep.journals.journals import Journals

__all__ = ["SKIP", "Draft", "Head", "Journal", "Journals", "Loaded"]
