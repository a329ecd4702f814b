"""Documents: JSON and Markdown by category and name.

Sessions, and whatever else has a format of its own, live elsewhere.
"""

from statekeep.documents.documents import Document, DocumentInfo, Documents
from statekeep.store.keys import Kind

__all__ = ["Document", "DocumentInfo", "Documents", "Kind"]
