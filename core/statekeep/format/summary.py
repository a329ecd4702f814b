"""What a listing shows of a session, from the session itself or its stored bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from statekeep.format.json import decode_json
from statekeep.format.version import refuse_newer
from statekeep.timestamps import format_timestamp, parse_timestamp, parse_timestamps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "EXPIRES",
    "FOREVER",
    "OPTIONAL_BOOLEAN",
    "OPTIONAL_TEXT",
    "PIN",
    "PROJECT",
    "RESTORED",
    "JournalSummary",
    "SessionSummary",
    "Summary",
    "expires_at",
    "pinned_until",
    "read_summary",
    "summarize",
    "title_of",
]

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
"""The `Summary.pinned_until` of what is pinned indefinitely."""

PIN: Final = "statekeep.pin"
"""The metadata key of a pin: a time as text, or true for no end."""

EXPIRES: Final = "statekeep.expires"
"""The metadata key of the expiry time of a session or journal: a time as text."""

RESTORED: Final = "statekeep.restored"
"""The metadata key that records a restore from the trash, and which one it was."""

TITLE: Final = "title"
"""The metadata key of a title."""

PROJECT: Final = "project_ids"
"""The metadata key of a project."""

_TEXT: Final = {str}
_TEXTS: Final = ("session_id", "seed_id", "phase_reached")
OPTIONAL_TEXT: Final = (str, type(None))
OPTIONAL_BOOLEAN: Final = (bool, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a listing shows of a session or journal; pruning strategies work with this.

    Attributes:
        id: The session's id; for a journal, unique in its collection.
        user_id: The user who owns it; None for a journal without an owner.
        created_at: When it was created (UTC).
        updated_at: When it was last changed (UTC).
        size: Its size in the store, in bytes.
        pinned_until: Until when it is protected from pruning; `FOREVER` if indefinitely.
        expires_at: Its own expiry time, if any; see the strategy ``expired``.
        title: The metadata value ``title``, if that is text.
        last_phase: The last phase that a response of a session reached.
        last_evaluation: Whether the last evaluation passed; None if there was none.
    """

    id: str
    user_id: str | None
    created_at: datetime
    updated_at: datetime
    size: int
    pinned_until: datetime | None
    expires_at: datetime | None = None
    title: str | None = None
    last_phase: str | None = None
    last_evaluation: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary(Summary):
    """What a listing shows of a session without its messages.

    Attributes:
        user_id: The user who owns it.
        message_count: How many user messages it has.
        active_seed_id: The active seed, if any.
        project_id: The metadata value ``project_ids``, if that is text.
    """

    user_id: str
    message_count: int
    active_seed_id: str | None
    project_id: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the original's JSON form: only its fields, without absent ones."""
        optional = {"active_seed_id": self.active_seed_id, "project_id": self.project_id}
        return {
            "id": self.id,
            "user_id": self.user_id,
            "message_count": self.message_count,
            **{name: value for name, value in optional.items() if value is not None},
            "created_at": format_timestamp(self.created_at),
            "updated_at": format_timestamp(self.updated_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSummary(Summary):
    """What a listing shows of a journal without its items.

    Attributes:
        collection: The collection it is in.
        name: Its name in the collection.
        length: How many items it has.
    """

    collection: str
    name: tuple[str, ...]
    length: int


def summarize(
    fields: Mapping[str, Any], responses: Sequence[Mapping[str, Any]], *, size: int
) -> SessionSummary:
    """Summarize a session.

    Args:
        fields: The session's fields, with times as datetimes.
        responses: The fields of its responses.
        size: Its size in the store, in bytes.
    """
    phases = (r.get("phase_reached") for r in reversed(responses))
    verdicts = (r.get("evaluation_passed") for r in reversed(responses))
    project = fields["metadata"].get(PROJECT)
    return SessionSummary(
        id=fields["id"],
        user_id=fields["user_id"],
        message_count=len(fields["user_messages"]),
        active_seed_id=fields.get("active_seed_id"),
        project_id=project if isinstance(project, str) else None,
        created_at=fields["created_at"],
        updated_at=fields["updated_at"],
        size=size,
        pinned_until=pinned_until(fields["metadata"]),
        expires_at=expires_at(fields["metadata"]),
        title=title_of(fields["metadata"]),
        last_phase=next((each for each in phases if each is not None), None),
        last_evaluation=next((each for each in verdicts if each is not None), None),
    )


def read_summary(data: bytes) -> SessionSummary | None:
    """Summarize a stored session without creating it, checking all that the model checks.

    This takes half the time, and a first listing reads every session.

    Returns:
        The summary, or None if this check cannot tell whether the bytes are a session; then use
        `Session.from_json`.

    Raises:
        CorruptDataError: They are not JSON.
        UnsupportedError: A newer version of statekeep wrote them.
    """
    refuse_newer(data)
    fields = decode_json(data)
    try:
        for name, empty in (("user_messages", []), ("agent_responses", []), ("metadata", {})):
            fields.setdefault(name, empty)
        asked, answered = fields["user_messages"], fields["agent_responses"]
        if not (
            isinstance(fields["id"], str)
            and isinstance(fields["user_id"], str)
            and isinstance(asked, list)
            and isinstance(answered, list)
            and isinstance(fields.get("active_seed_id"), OPTIONAL_TEXT)
            and isinstance(fields.get("active_persona_id"), OPTIONAL_TEXT)
        ):
            return None
        # Field by field, which takes half the time of message by message.
        messages = asked + answered
        if not (
            {type(each["content"]) for each in messages} <= _TEXT
            and {type(each.get(name)) for name in _TEXTS for each in answered} <= {*OPTIONAL_TEXT}
            and {type(each.get("evaluation_passed")) for each in answered} <= {*OPTIONAL_BOOLEAN}
        ):
            return None
        times = [fields["created_at"], fields["updated_at"]]
        times += [each["timestamp"] for each in messages]
        fields["created_at"], fields["updated_at"], *_ = parse_timestamps(times)
        return summarize(fields, answered, size=len(data))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def pinned_until(metadata: Mapping[str, Any]) -> datetime | None:
    """Return until when a pin in some metadata protects; None if there is no pin."""
    pin = metadata.get(PIN)
    if pin is None or pin is False:
        return None
    try:
        return parse_timestamp(pin) if isinstance(pin, str) else FOREVER
    except ValueError:
        return FOREVER  # an unreadable pin protects: the opposite mistake would delete


def expires_at(metadata: Mapping[str, Any]) -> datetime | None:
    """Return the expiry time in some metadata; None if there is none that can be read."""
    end = metadata.get(EXPIRES)
    try:
        return parse_timestamp(end) if isinstance(end, str) else None
    except ValueError:
        return None


def title_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the title in some metadata, if that is text."""
    title = metadata.get(TITLE)
    return title if isinstance(title, str) else None
