"""Carrying documents from one store to another, or to a file and back.

Conversations that other programs keep come in by the importers that plugins offer.

Everything goes through the protocol and its powers, so it works between any two stores. How a
document is written on a condition is the business of `statekeep.store.transfer`, below.
"""

from statekeep.transport.conversations import (
    Importer,
    ImportFailure,
    ImportRemark,
    ImportReport,
    ImportSource,
    ImportsReport,
    Loader,
    import_conversations,
)
from statekeep.transport.copying import copy
from statekeep.transport.exporting import export_documents
from statekeep.transport.files import File
from statekeep.transport.importing import import_documents
from statekeep.transport.reports import CopyRemark, CopyReport

__all__ = [
    "CopyRemark",
    "CopyReport",
    "File",
    "ImportFailure",
    "ImportRemark",
    "ImportReport",
    "ImportSource",
    "Importer",
    "ImportsReport",
    "Loader",
    "copy",
    "export_documents",
    "import_conversations",
    "import_documents",
]
