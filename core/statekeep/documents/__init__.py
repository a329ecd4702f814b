"""Documents: JSON and Markdown by category and name, and files by collection and name.

Sessions, and everything else that has its own format, are elsewhere.
"""

from statekeep.documents.blobs import BlobInfo, Blobs, LoadedBlob
from statekeep.documents.documents import Document, DocumentInfo, Documents
from statekeep.store.keys import Kind

__all__ = [
    "BlobInfo",
    "Blobs",
    "Document",
    "DocumentInfo",
    "Documents",
    "Kind",
    "LoadedBlob",
]
