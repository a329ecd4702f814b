"""statekeep keeps the state of AI agents: their sessions and the documents they work on.

```python
from statekeep import Sessions, open_store

with open_store("./state") as store:
    sessions = Sessions(store)
    session = sessions.get_or_create("ada")
    session.add_user_message("Hello")
    sessions.save(session)
```

Everything that programs need is here. What plugins need besides is in `statekeep.hooks`,
`statekeep.protocol`, `statekeep.keys` and `statekeep.urls`; the settings are in
`statekeep.settings`.
"""

from statekeep._version import __version__
from statekeep.config import load_pruner, load_settings, open_sessions, open_store
from statekeep.documents import Document, DocumentInfo, Documents
from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    NotFoundError,
    OwnershipError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.events import (
    ConflictDetected,
    DocumentDeleted,
    DocumentSaved,
    Event,
    Observer,
    ProblemFound,
    PruneFailed,
    PruneFinished,
    SessionDeleted,
    SessionRestored,
    SessionSaved,
)
from statekeep.keys import Kind
from statekeep.listing import Listing, Problem
from statekeep.models import FOREVER, AgentResponse, Session, SessionSummary, UserMessage
from statekeep.protocol import (
    ABSENT,
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    StateStore,
    SupportsDeleteMany,
    SupportsGetMany,
    SupportsSweep,
    Version,
)
from statekeep.retention import (
    PlannedVictim,
    PrunePlan,
    PruneReport,
    PruneThrottle,
    PruningStrategy,
    Retention,
    Undeleted,
    Victim,
    Withheld,
)
from statekeep.sessions import Conflicts, Sessions
from statekeep.trash import Trashed

__all__ = [
    "ABSENT",
    "ANY",
    "FOREVER",
    "AccessDeniedError",
    "AgentResponse",
    "Blob",
    "Capabilities",
    "ConfigError",
    "ConflictDetected",
    "ConflictError",
    "Conflicts",
    "CorruptDataError",
    "Document",
    "DocumentDeleted",
    "DocumentInfo",
    "DocumentSaved",
    "Documents",
    "Entry",
    "Event",
    "Expect",
    "ExpectSeen",
    "InvalidDocumentError",
    "InvalidKeyError",
    "Kind",
    "Listing",
    "NotFoundError",
    "Observer",
    "OwnershipError",
    "PlannedVictim",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "Problem",
    "ProblemFound",
    "PruneFailed",
    "PruneFinished",
    "PrunePlan",
    "PruneReport",
    "PruneThrottle",
    "PruningStrategy",
    "Retention",
    "Session",
    "SessionDeleted",
    "SessionRestored",
    "SessionSaved",
    "SessionSummary",
    "Sessions",
    "StateStore",
    "StateStoreError",
    "SupportsDeleteMany",
    "SupportsGetMany",
    "SupportsSweep",
    "Trashed",
    "UnavailableError",
    "Undeleted",
    "UnsupportedError",
    "UserMessage",
    "Version",
    "Victim",
    "Withheld",
    "__version__",
    "load_pruner",
    "load_settings",
    "open_sessions",
    "open_store",
]
