"""Journals: ordered items with one small document about them, changed by one write at a time.

How a journal lies in a store is `format.journal`'s and `format.contents`'; what is listed, pruned
and moved is a head, as with sessions.
"""

from statekeep.journals.draft import Draft
from statekeep.journals.heads import Head, Loaded
from statekeep.journals.journal import SKIP, Journal
from statekeep.journals.journals import Journals

__all__ = ["SKIP", "Draft", "Head", "Journal", "Journals", "Loaded"]
