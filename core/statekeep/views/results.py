"""What the JSON of each command looks like: the one source of the schemas in docs/schemas.

Within a major version, fields are added, and none is renamed, removed or given another type.
``make schemas`` writes the schemas anew.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

__all__ = ["OPEN", "RESULTS"]


class Problem(TypedDict):
    """A document that cannot be read."""

    key: str
    version: str | None
    reason: str


class Failed(TypedDict):
    """What could not be done with a session or journal."""

    id: str
    error: str


class Counted(TypedDict):
    """How many sessions and journals, messages and items, and bytes."""

    count: int
    items: int
    bytes: int


class DamagedPart(TypedDict):
    """A part of an imported conversation that is damaged."""

    place: str
    reason: str
    ref: str | None


class ImportedConversation(TypedDict):
    """A conversation that was imported."""

    path: str
    collection: str
    name: list[str]
    added: int
    unchanged: int
    damaged: int
    remarks: list[DamagedPart]


class ImportFailure(TypedDict):
    """A file or a conversation that could not be imported."""

    path: str
    name: list[str]
    error: str


class ImportsReport(TypedDict):
    """What became of the conversations that were imported."""

    source: str
    target: str
    dry_run: bool
    imported: int
    unchanged: int
    failed: int
    added: int
    damaged: int
    complete: bool
    conversations: list[ImportedConversation]
    failures: list[ImportFailure]


class SessionSummary(TypedDict):
    """A session in a listing."""

    id: str
    user_id: str | None
    message_count: NotRequired[int]
    active_seed_id: NotRequired[str]
    project_id: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]
    title: str | None
    size: int
    pinned_until: str | None
    expires_at: str | None
    last_phase: str | None
    last_evaluation: bool | None


class JournalSummary(TypedDict):
    """A journal in a listing."""

    collection: str
    name: list[str]
    user_id: str | None
    length: int
    created_at: str | None
    updated_at: str | None
    title: str | None
    size: int
    pinned_until: str | None
    expires_at: str | None


class SessionListing(TypedDict):
    """A page of sessions, and of journals if they were asked for."""

    sessions: list[SessionSummary | JournalSummary]
    problems: list[Problem]
    cursor: str | None


class JournalListing(TypedDict):
    """A page of journals."""

    journals: list[JournalSummary]
    problems: list[Problem]
    cursor: str | None


class UserMessage(TypedDict):
    """What a user said; ``role`` is there with ``--last``."""

    role: NotRequired[str]
    content: str
    timestamp: str


class AgentResponse(TypedDict):
    """What an agent answered; ``role`` is there with ``--last``."""

    role: NotRequired[str]
    content: str
    session_id: str | None
    seed_id: str | None
    phase_reached: str | None
    evaluation_passed: bool | None
    timestamp: str


class Session(TypedDict):
    """A session, as its file has it."""

    id: str
    user_id: str
    user_messages: list[UserMessage]
    agent_responses: list[AgentResponse]
    active_seed_id: NotRequired[str]
    active_persona_id: NotRequired[str]
    project_id: NotRequired[str]
    created_at: str
    updated_at: str
    metadata: dict[str, Any]


class DeletedSessions(TypedDict):
    """The ids that were deleted, and those that were not."""

    deleted: list[str]
    failed: list[Failed]


class PlannedVictim(TypedDict):
    """What a strategy chose, and why."""

    id: str
    user_id: str | None
    size: int
    reason: str


class Protected(TypedDict):
    """What a prune leaves alone, and why."""

    id: str
    reason: str


class PrunePlan(TypedDict):
    """What a prune would do."""

    would_prune: list[PlannedVictim]
    kept: int
    protected: list[Protected]
    problems: list[Problem]


class PruneReport(TypedDict):
    """What a prune did."""

    pruned: list[PlannedVictim]
    skipped: list[PlannedVictim]
    unknown: list[Failed]
    failed: list[Failed]
    kept: int
    swept: int
    purged: int
    protected: list[Protected]
    problems: list[Problem]


class PlanOfCollection(PrunePlan):
    """What a prune would do with a collection; null is the sessions."""

    collection: str | None


class ReportOfCollection(PruneReport):
    """What a prune did with a collection; null is the sessions."""

    collection: str | None


class PrunedCollections(TypedDict):
    """What became of all that is configured, or would."""

    collections: list[PlanOfCollection | ReportOfCollection]


class Head(TypedDict):
    """What is said of a journal besides its items."""

    name: list[str]
    uid: str
    user_id: str | None
    created_at: str | None
    updated_at: str | None
    expires_at: str | None
    metadata: dict[str, Any]
    length: int
    size: int
    version: str


class Items(TypedDict):
    """Items of a journal; ``start`` is the position of the first."""

    head: Head
    start: int
    items: list[Any]


class JournalName(TypedDict):
    """Which journal."""

    collection: str
    name: list[str]


class DeletedJournal(TypedDict):
    """The journal that was deleted."""

    deleted: JournalName


class DocumentInfo(TypedDict):
    """A document in a listing."""

    category: str
    name: str
    kind: str
    size: int
    modified: str | None


class Document(TypedDict):
    """A document: text if its kind is ``md``, else any JSON."""

    kind: str
    version: str
    value: Any


class Trashed(TypedDict):
    """A copy in the trash; of a session the collection is null."""

    key: str
    stem: str
    trashed_at: str | None
    size: int
    id: str | None
    user_id: str | None
    updated_at: str | None
    collection: str | None
    name: list[str]


class Purged(TypedDict):
    """How many copies were deleted for good."""

    purged: int


class ErasureVictim(TypedDict):
    """What belongs to the user, and why that is known."""

    kind: str
    key: str
    size: int
    reason: str


class ErasureFailure(TypedDict):
    """What could not be erased."""

    key: str | None
    error: str


class Mention(TypedDict):
    """What has the user's id in it and is left alone."""

    key: str
    reason: str


class ErasurePlan(TypedDict):
    """What an erasure would do."""

    would_erase: list[ErasureVictim]
    problems: list[Problem]
    mentions: list[Mention]
    remains: list[str]
    unnamed: int


class ErasureReport(TypedDict):
    """What an erasure did."""

    erased: list[ErasureVictim]
    skipped: list[ErasureVictim]
    failed: list[ErasureFailure]
    left: list[ErasureVictim]
    problems: list[Problem]
    mentions: list[Mention]
    remains: list[str]
    unnamed: int
    complete: bool


class Finding(TypedDict):
    """What the doctor found."""

    kind: str
    place: str
    reason: str
    action: str | None


class Repaired(Finding):
    """What was repaired, and where it is now; null if it was removed."""

    to: str | None


class RepairFailure(Finding):
    """What could not be repaired."""

    error: str


class Diagnosis(TypedDict):
    """What is wrong in a store; with ``--repair`` also what became of it."""

    store: str
    is_store: bool
    examined: int
    quarantined: int
    problems: list[Finding]
    remarks: list[Finding]
    healthy: bool
    repaired: NotRequired[list[Repaired]]
    skipped: NotRequired[list[Finding]]
    failed: NotRequired[list[RepairFailure]]
    left: NotRequired[list[Finding]]
    swept: NotRequired[int]


class CopyRemark(TypedDict):
    """A document that was not copied; of an import with its line."""

    key: str
    outcome: str
    reason: str
    line: NotRequired[int]


class CopyReport(TypedDict):
    """What became of documents that were copied, exported or imported."""

    source: str
    target: str
    dry_run: bool
    copied: int
    overwritten: int
    equal: int
    differing: int
    newer: int
    failed: int
    deleted: int
    deletion_skipped: bool
    bytes: int
    complete: bool
    remarks: list[CopyRemark]


class Said(TypedDict):
    """A message, or a text of an item."""

    index: int
    role: str | None
    timestamp: str | None
    text: str


class MatchInSession(Said):
    """A message of a session that a search found; spans are where."""

    id: str
    user_id: str | None
    spans: list[list[int]]
    before: list[Said]
    after: list[Said]


class MatchInJournal(Said):
    """A text in a journal that a search found; spans are where."""

    collection: str
    name: list[str]
    user_id: str | None
    spans: list[list[int]]
    before: list[Said]
    after: list[Said]


class _Change(TypedDict):
    """What became of something; added may be negative."""

    change: Literal["created", "changed", "deleted"]
    at: str
    user_id: str | None
    length: int
    added: int


class ChangeOfSession(_Change):
    """What became of a session; length and added are its user messages."""

    id: str


class ChangeOfJournal(_Change):
    """What became of a journal; length and added are its items."""

    collection: str
    name: list[str]


class OfCollection(Counted):
    """What a collection has; null is the sessions."""

    collection: str | None


class OfUser(Counted):
    """What a user has; null is nobody."""

    user_id: str | None


class OfPhase(Counted):
    """What ended in a phase."""

    phase: str | None


class OfDay(Counted):
    """What was updated on a day, in UTC."""

    day: str


class OfPlace(Counted):
    """What lies in a part of the store."""

    place: str


class Statistics(TypedDict):
    """How much is kept."""

    total: Counted
    collections: list[OfCollection]
    users: list[OfUser]
    phases: list[OfPhase]
    days: list[OfDay]
    biggest: list[SessionSummary | JournalSummary]
    places: list[OfPlace]
    problems: list[Problem]


class Plugin(TypedDict):
    """A plugin that is installed; ``schema`` is the JSON Schema of its options."""

    group: str
    name: str
    distribution: str
    version: str
    status: str
    summary: str
    error: str
    schema: dict[str, Any]


class Capabilities(TypedDict):
    """What a store promises."""

    conditional_put: bool
    conditional_delete: bool
    shared: bool
    remote: bool


class Outcome(TypedDict):
    """What came of one promise."""

    promise: str
    verdict: str
    reason: str


class Conformance(TypedDict):
    """What came of all promises of a store."""

    store: str
    claims: Capabilities
    outcomes: list[Outcome]


OPEN: Final = frozenset({"AgentResponse", "Session", "UserMessage"})
"""What may have more fields: those that other programs wrote into a session are kept."""

RESULTS: Final[dict[str, Any]] = {
    "conformance": Conformance,
    "copy": CopyReport,
    "doctor": Diagnosis,
    "documents list": list[DocumentInfo],
    "documents show": Document,
    "erase": ErasurePlan | ErasureReport,
    "export": CopyReport,
    "import": CopyReport | ImportsReport,
    "journals append": Head,
    "journals delete": DeletedJournal,
    "journals list": JournalListing,
    "journals show": Items,
    "journals tail": Items,
    "plugins": list[Plugin],
    "prune": PrunedCollections,
    "search": MatchInSession | MatchInJournal,
    "sessions delete": DeletedSessions,
    "sessions list": SessionListing,
    "sessions prune": PrunePlan | PruneReport,
    "sessions show": Session | list[UserMessage | AgentResponse],
    "stats": Statistics,
    "trash empty": Purged,
    "trash list": list[Trashed],
    "watch": ChangeOfSession | ChangeOfJournal,
}
"""By command, what it prints with ``--json``; of ``search`` and ``watch`` that is each line."""
