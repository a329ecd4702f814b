"""What a backend implements, and what can be built on it.

This package holds the protocol, the optional powers, keys and URLs, wrappers, and the fallbacks for
stores without conditions. What a document means (a session, a listing, the trash) is not its
concern.

The names below are public; modules that are not imported here are internal.
"""

from statekeep.store.keys import check_key, check_prefix, is_key
from statekeep.store.limits import MAX_DOCUMENT_BYTES
from statekeep.store.powers import (
    Anomaly,
    RepairAction,
    Seen,
    SupportsAppend,
    SupportsDeleteMany,
    SupportsDeleteSeen,
    SupportsGetMany,
    SupportsInitialize,
    SupportsInspect,
    SupportsRemains,
    SupportsSurvey,
    SupportsSweep,
    SupportsVacuum,
    Survey,
    delete_many,
    get_many,
    initialize,
    inspect,
    power,
    remains,
    sweep,
    vacuum,
)
from statekeep.store.protocol import (
    ABSENT,
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    StateStore,
    Version,
    check_expectation,
    compare,
    content_version,
)
from statekeep.store.query import (
    Condition,
    Filter,
    Found,
    Order,
    Position,
    Record,
    Row,
    SupportsQuery,
)
from statekeep.store.transfer import ConflictPolicy
from statekeep.store.urls import StoreURL
from statekeep.store.wrapper import StoreWrapper, TransformingStore

__all__ = [
    "ABSENT",
    "ANY",
    "MAX_DOCUMENT_BYTES",
    "Anomaly",
    "Blob",
    "Capabilities",
    "Condition",
    "ConflictPolicy",
    "Entry",
    "Expect",
    "ExpectSeen",
    "Filter",
    "Found",
    "Order",
    "Position",
    "Record",
    "RepairAction",
    "Row",
    "Seen",
    "StateStore",
    "StoreURL",
    "StoreWrapper",
    "SupportsAppend",
    "SupportsDeleteMany",
    "SupportsDeleteSeen",
    "SupportsGetMany",
    "SupportsInitialize",
    "SupportsInspect",
    "SupportsQuery",
    "SupportsRemains",
    "SupportsSurvey",
    "SupportsSweep",
    "SupportsVacuum",
    "Survey",
    "TransformingStore",
    "Version",
    "check_expectation",
    "check_key",
    "check_prefix",
    "compare",
    "content_version",
    "delete_many",
    "get_many",
    "initialize",
    "inspect",
    "is_key",
    "power",
    "remains",
    "sweep",
    "vacuum",
]
