"""The types of each command's JSON, from which ``make schemas`` generates docs/schemas.

Within a major version, fields may be added, but none is renamed, removed or given another type.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

__all__ = ["OPEN", "RESULTS"]


class Problem(TypedDict):
    """A document that cannot be read."""

    key: str
    version: str | None
    reason: str


class Failed(TypedDict):
    """A session or journal for which the command failed, and why."""

    id: str
    error: str


class Counted(TypedDict):
    """How many sessions and journals, messages and items, and bytes."""

    count: int
    items: int
    bytes: int


class DamagedPart(TypedDict):
    """A damaged part of an imported conversation."""

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
    """The result of an import of conversations."""

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
    """A page of sessions, and of journals if requested."""

    sessions: list[SessionSummary | JournalSummary]
    problems: list[Problem]
    cursor: str | None


class JournalListing(TypedDict):
    """A page of journals."""

    journals: list[JournalSummary]
    problems: list[Problem]
    cursor: str | None


class UserMessage(TypedDict):
    """A message of the user; ``role`` is present with ``--last``."""

    role: NotRequired[str]
    content: str
    timestamp: str


class AgentResponse(TypedDict):
    """A response of the agent; ``role`` is present with ``--last``."""

    role: NotRequired[str]
    content: str
    session_id: str | None
    seed_id: str | None
    phase_reached: str | None
    evaluation_passed: bool | None
    timestamp: str


class Session(TypedDict):
    """A session, as in its stored document."""

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
    """The ids of deleted sessions, and the failures."""

    deleted: list[str]
    failed: list[Failed]


class PlannedVictim(TypedDict):
    """A session or journal that a strategy chose, and why."""

    id: str
    user_id: str | None
    size: int
    reason: str


class Protected(TypedDict):
    """A session or journal that a prune leaves alone, and why."""

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
    """What a prune would do in a collection; null means the sessions."""

    collection: str | None


class ReportOfCollection(PruneReport):
    """What a prune did in a collection; null means the sessions."""

    collection: str | None


class PrunedCollections(TypedDict):
    """What a prune of all configured collections did, or would do."""

    collections: list[PlanOfCollection | ReportOfCollection]


class Head(TypedDict):
    """A journal without its items."""

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
    """The name of a journal and its collection."""

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
    """A document; its value is text if the kind is ``md``, otherwise any JSON."""

    kind: str
    version: str
    value: Any


class Trashed(TypedDict):
    """A copy in the trash; the collection is null for a session."""

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
    """How many copies were permanently deleted."""

    purged: int


class ErasureVictim(TypedDict):
    """Something that belongs to the user, and why it counts as theirs."""

    kind: str
    key: str
    size: int
    reason: str


class ErasureFailure(TypedDict):
    """Something that could not be erased; the key is null for a step on the whole store."""

    key: str | None
    error: str


class Mention(TypedDict):
    """A document that contains the user's id but is left alone."""

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
    """Something that the doctor found."""

    kind: str
    place: str
    reason: str
    action: str | None


class Repaired(Finding):
    """A repaired finding, and where the document is now; null if it was removed."""

    to: str | None


class RepairFailure(Finding):
    """A finding that could not be repaired."""

    error: str


class Diagnosis(TypedDict):
    """What is wrong in a store and, with ``--repair``, what became of it."""

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
    """A document that was not copied; for an import, with its line."""

    key: str
    outcome: str
    reason: str
    line: NotRequired[int]


class CopyReport(TypedDict):
    """The result of a copy, export or import."""

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
    """A message of a session, or the text of an item."""

    index: int
    role: str | None
    timestamp: str | None
    text: str


class MatchInSession(Said):
    """A matching message of a session; spans are the start and end of each match in it."""

    id: str
    user_id: str | None
    spans: list[list[int]]
    before: list[Said]
    after: list[Said]


class MatchInJournal(Said):
    """A matching item of a journal; spans are the start and end of each match in its text."""

    collection: str
    name: list[str]
    user_id: str | None
    spans: list[list[int]]
    before: list[Said]
    after: list[Said]


class _Change(TypedDict):
    """A change; ``added`` may be negative."""

    change: Literal["created", "changed", "deleted"]
    at: str
    user_id: str | None
    length: int
    added: int


class ChangeOfSession(_Change):
    """A change to a session; ``length`` and ``added`` count user messages."""

    id: str


class ChangeOfJournal(_Change):
    """A change to a journal; ``length`` and ``added`` count items."""

    collection: str
    name: list[str]


class OfCollection(Counted):
    """How much a collection contains; null means the sessions."""

    collection: str | None


class OfUser(Counted):
    """How much a user has; null means journals without a user."""

    user_id: str | None


class OfPhase(Counted):
    """Sessions by the last phase they reached; null means none."""

    phase: str | None


class OfDay(Counted):
    """How much was last updated on a day, in UTC."""

    day: str


class OfPlace(Counted):
    """How much a part of the store contains."""

    place: str


class Statistics(TypedDict):
    """How much a store contains."""

    total: Counted
    collections: list[OfCollection]
    users: list[OfUser]
    phases: list[OfPhase]
    days: list[OfDay]
    biggest: list[SessionSummary | JournalSummary]
    places: list[OfPlace]
    problems: list[Problem]


class Plugin(TypedDict):
    """An installed plugin; ``schema`` is the JSON Schema of its options."""

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
    """The result of testing one promise."""

    promise: str
    verdict: str
    reason: str


class Conformance(TypedDict):
    """The results of testing all promises of a store."""

    store: str
    claims: Capabilities
    outcomes: list[Outcome]


OPEN: Final = frozenset({"AgentResponse", "Session", "UserMessage"})
"""Types that may have more fields: statekeep keeps those that other programs write to a session."""

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
"""The type that each command prints with ``--json``; ``search`` and ``watch`` print one a line."""
