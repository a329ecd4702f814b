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
        SupportsMarks,
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

# Each is imported when first asked for, because that takes its time: who needs an error or the
# protocol alone does not wait for the models. Who forks should have asked before, as with any
# import: a child that is forked while another thread imports waits for ever.
_NAMES = {
    "statekeep.aio": ["AsyncDocuments", "AsyncSessions"],
    "statekeep.config": ["load_pruner", "load_settings", "open_sessions", "open_store"],
    "statekeep.doctor": [
        "Diagnosis",
        "Finding",
        "FindingKind",
        "Mended",
        "RepairReport",
        "Unmended",
        "diagnose",
        "repair",
    ],
    "statekeep.documents": ["Document", "DocumentInfo", "Documents"],
    "statekeep.errors": [
        "AccessDeniedError",
        "ConfigError",
        "ConflictError",
        "CorruptDataError",
        "InvalidDocumentError",
        "InvalidKeyError",
        "NotFoundError",
        "OwnershipError",
        "PluginConflictError",
        "PluginError",
        "PluginLoadError",
        "PluginNotFoundError",
        "StateStoreError",
        "UnavailableError",
        "UnsupportedError",
    ],
    "statekeep.events": [
        "ConflictDetected",
        "ConflictRetried",
        "DocumentDeleted",
        "DocumentSaved",
        "Event",
        "Observer",
        "OperationFinished",
        "ProblemFound",
        "PruneFailed",
        "PruneFinished",
        "SessionDeleted",
        "SessionRestored",
        "SessionSaved",
    ],
    "statekeep.keys": ["Kind"],
    "statekeep.listing": ["Listing", "Problem"],
    "statekeep.models": ["AgentResponse", "Session", "UserMessage"],
    "statekeep.protocol": [
        "ABSENT",
        "ANY",
        "Blob",
        "Capabilities",
        "Entry",
        "Expect",
        "ExpectSeen",
        "Oddity",
        "Remedy",
        "StateStore",
        "SupportsDeleteMany",
        "SupportsGetMany",
        "SupportsInspect",
        "SupportsMarks",
        "SupportsSweep",
        "Version",
    ],
    "statekeep.retention": [
        "PlannedVictim",
        "PrunePlan",
        "PruneReport",
        "PruneThrottle",
        "PruningStrategy",
        "Retention",
        "Undeleted",
        "Victim",
        "Withheld",
    ],
    "statekeep.sessions": ["Conflicts", "Sessions"],
    "statekeep.summaries": ["FOREVER", "SessionSummary"],
    "statekeep.trash": ["Trashed"],
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = {*_NAMES, "statekeep.hooks", "statekeep.settings", "statekeep.urls"}

if not TYPE_CHECKING:  # a checker shall find misspelt names

    def __getattr__(name: str) -> Any:  # noqa: ANN401
        if (module := f"{__name__}.{name}") in _MODULES:
            return import_module(module)
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


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
    "SupportsMarks",
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
