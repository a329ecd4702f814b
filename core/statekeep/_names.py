"""The names that `statekeep` exports: the only list of them."""

# ruff: noqa: PLC0414 - "as" tells type checkers that a name is exported

from statekeep._text import repair_text as repair_text
from statekeep.aio import AsyncBlobs as AsyncBlobs
from statekeep.aio import AsyncDocuments as AsyncDocuments
from statekeep.aio import AsyncJournals as AsyncJournals
from statekeep.aio import AsyncSessions as AsyncSessions
from statekeep.config.opening import load_pruner as load_pruner
from statekeep.config.opening import open_sessions as open_sessions
from statekeep.config.opening import open_store as open_store
from statekeep.documents import Blobs as Blobs
from statekeep.documents import Documents as Documents
from statekeep.errors import AccessDeniedError as AccessDeniedError
from statekeep.errors import ClosedError as ClosedError
from statekeep.errors import ConfigError as ConfigError
from statekeep.errors import ConflictError as ConflictError
from statekeep.errors import CorruptDataError as CorruptDataError
from statekeep.errors import InvalidDocumentError as InvalidDocumentError
from statekeep.errors import InvalidKeyError as InvalidKeyError
from statekeep.errors import NotFoundError as NotFoundError
from statekeep.errors import OwnershipError as OwnershipError
from statekeep.errors import PluginError as PluginError
from statekeep.errors import StateStoreError as StateStoreError
from statekeep.errors import UnavailableError as UnavailableError
from statekeep.errors import UnsupportedError as UnsupportedError
from statekeep.format.record import Problem as Problem
from statekeep.format.session import AgentResponse as AgentResponse
from statekeep.format.session import Session as Session
from statekeep.format.session import UserMessage as UserMessage
from statekeep.format.summary import JournalSummary as JournalSummary
from statekeep.format.summary import SessionSummary as SessionSummary
from statekeep.format.summary import Summary as Summary
from statekeep.heads.pages import Listing as Listing
from statekeep.journals import SKIP as SKIP
from statekeep.journals import Journal as Journal
from statekeep.journals import Journals as Journals
from statekeep.retention import Retention as Retention
from statekeep.sessions import Sessions as Sessions
from statekeep.store import ABSENT as ABSENT
from statekeep.store import ANY as ANY
from statekeep.store import StateStore as StateStore
from statekeep.store import Version as Version
