"""What a listing says of a session, of one at hand or of stored bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from statekeep.format.json import decode_json
from statekeep.format.version import refuse_newer
from statekeep.timestamps import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "FOREVER",
    "OPTIONAL_BOOLEAN",
    "OPTIONAL_TEXT",
    "PIN",
    "RESTORED",
    "SessionSummary",
    "read_summary",
    "summarize",
]

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
"""`SessionSummary.pinned_until` of a session that is pinned without an end."""

PIN: Final = "statekeep.pin"
"""The metadata key of a pin: a time as text, or true for ever."""

RESTORED: Final = "statekeep.restored"
"""The metadata key that says that a session came out of the trash, and by which restore."""

_PROJECT: Final = "project_ids"

OPTIONAL_TEXT: Final = (str, type(None))
OPTIONAL_BOOLEAN: Final = (bool, type(None))


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What a listing says of a session without its messages.

    Attributes:
        id: The session's id.
        user_id: Whom it belongs to.
        message_count: How many user messages it has.
        active_seed_id: The seed in work, if any.
        project_id: The metadata value ``project_ids``, if that is text.
        created_at: UTC.
        updated_at: UTC.
        size: Bytes that it takes in the store.
        pinned_until: Until when it is protected from pruning; `FOREVER` if without end.
        last_phase: The last phase that a response reached.
        last_evaluation: Whether the last evaluation passed; None if there was none.
    """

    id: str
    user_id: str
    message_count: int
    active_seed_id: str | None
    project_id: str | None
    created_at: datetime
    updated_at: datetime
    size: int
    pinned_until: datetime | None
    last_phase: str | None
    last_evaluation: bool | None

    def to_dict(self) -> dict[str, Any]:
        """The original's JSON form: its fields only, absent ones left out."""
        optional = {"active_seed_id": self.active_seed_id, "project_id": self.project_id}
        return {
            "id": self.id,
            "user_id": self.user_id,
            "message_count": self.message_count,
            **{name: value for name, value in optional.items() if value is not None},
            "created_at": format_timestamp(self.created_at),
            "updated_at": format_timestamp(self.updated_at),
        }


def summarize(
    fields: Mapping[str, Any], responses: Sequence[Mapping[str, Any]], *, size: int
) -> SessionSummary:
    """Sum up a session.

    Args:
        fields: The session's, the times as datetimes.
        responses: The fields of its responses.
        size: Bytes that it takes in the store.
    """
    phases = (r.get("phase_reached") for r in reversed(responses))
    verdicts = (r.get("evaluation_passed") for r in reversed(responses))
    project = fields["metadata"].get(_PROJECT)
    return SessionSummary(
        id=fields["id"],
        user_id=fields["user_id"],
        message_count=len(fields["user_messages"]),
        active_seed_id=fields.get("active_seed_id"),
        project_id=project if isinstance(project, str) else None,
        created_at=fields["created_at"],
        updated_at=fields["updated_at"],
        size=size,
        pinned_until=_pinned_until(fields["metadata"]),
        last_phase=next((each for each in phases if each is not None), None),
        last_evaluation=next((each for each in verdicts if each is not None), None),
    )


def read_summary(data: bytes) -> SessionSummary | None:
    """Sum up a stored session without making it; whatever the model checks is looked at.

    That takes half of the time, and a first listing reads every session.

    Returns:
        The summary, or None if it takes more than this look to say whether these bytes are a
        session; then ask `Session.from_json`.

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
        for message in asked:
            if not isinstance(message["content"], str):
                return None
            parse_timestamp(message["timestamp"])
        for message in answered:
            get = message.get
            if not (
                isinstance(message["content"], str)
                and isinstance(get("session_id"), OPTIONAL_TEXT)
                and isinstance(get("seed_id"), OPTIONAL_TEXT)
                and isinstance(get("phase_reached"), OPTIONAL_TEXT)
                and isinstance(get("evaluation_passed"), OPTIONAL_BOOLEAN)
            ):
                return None
            parse_timestamp(message["timestamp"])
        for name in ("created_at", "updated_at"):
            fields[name] = parse_timestamp(fields[name])
        return summarize(fields, answered, size=len(data))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _pinned_until(metadata: dict[str, Any]) -> datetime | None:
    pin = metadata.get(PIN)
    if pin is None or pin is False:
        return None
    try:
        return parse_timestamp(pin) if isinstance(pin, str) else FOREVER
    except ValueError:
        return FOREVER  # a pin that cannot be read protects: the other mistake deletes
