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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from statekeep._version import __version__

if TYPE_CHECKING:
    from statekeep.aio import AsyncDocuments, AsyncSessions
    from statekeep.config import load_pruner, load_settings, open_sessions, open_store
    from statekeep.doctor import (
        Diagnosis,
        Finding,
        FindingKind,
        Mended,
        RepairReport,
        Unmended,
        diagnose,
        repair,
    )
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
        ConflictRetried,
        DocumentDeleted,
        DocumentSaved,
        Event,
        Observer,
        OperationFinished,
        ProblemFound,
        PruneFailed,
        PruneFinished,
        SessionDeleted,
        SessionRestored,
        SessionSaved,
    )
    from statekeep.keys import Kind
    from statekeep.listing import Listing, Problem
    from statekeep.models import AgentResponse, Session, UserMessage
    from statekeep.protocol import (
        ABSENT,
        ANY,
        Blob,
        Capabilities,
        Entry,
        Expect,
        ExpectSeen,
        Oddity,
        Remedy,
        StateStore,
        SupportsDeleteMany,
        SupportsGetMany,
        SupportsInspect,
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
    from statekeep.summaries import FOREVER, SessionSummary
    from statekeep.trash import Trashed

# What is below comes first. A name's module is imported when the name is first asked for: who needs
# an error or the protocol alone does not wait for the models.
_LAYERS = (
    "errors",
    "keys",
    "protocol",
    "events",
    "summaries",
    "models",
    "listing",
    "retention",
    "trash",
    "sessions",
    "documents",
    "config",
    "aio",
    "doctor",
)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _LAYERS:
        return import_module(f"{__name__}.{name}")
    for layer in _LAYERS if name in __all__ else ():
        module = import_module(f"{__name__}.{layer}")
        if name in module.__all__:
            found = globals()[name] = getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "ABSENT",
    "ANY",
    "FOREVER",
    "AccessDeniedError",
    "AgentResponse",
    "AsyncDocuments",
    "AsyncSessions",
    "Blob",
    "Capabilities",
    "ConfigError",
    "ConflictDetected",
    "ConflictError",
    "ConflictRetried",
    "Conflicts",
    "CorruptDataError",
    "Diagnosis",
    "Document",
    "DocumentDeleted",
    "DocumentInfo",
    "DocumentSaved",
    "Documents",
    "Entry",
    "Event",
    "Expect",
    "ExpectSeen",
    "Finding",
    "FindingKind",
    "InvalidDocumentError",
    "InvalidKeyError",
    "Kind",
    "Listing",
    "Mended",
    "NotFoundError",
    "Observer",
    "Oddity",
    "OperationFinished",
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
    "Remedy",
    "RepairReport",
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
    "SupportsInspect",
    "SupportsSweep",
    "Trashed",
    "UnavailableError",
    "Undeleted",
    "Unmended",
    "UnsupportedError",
    "UserMessage",
    "Version",
    "Victim",
    "Withheld",
    "__version__",
    "diagnose",
    "load_pruner",
    "load_settings",
    "open_sessions",
    "open_store",
    "repair",
]
