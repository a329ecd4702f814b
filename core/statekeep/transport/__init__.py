"""Copy documents between stores, export them to a file, and import them again.

Importers, which plugins provide, bring in conversations of other programs.

This uses only the store protocol and its powers, so it works between any two stores.
`statekeep.store.transfer` does the conditional writes.
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
