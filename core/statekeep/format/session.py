"""Sessions and their messages, as the original has them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import PydanticSerializationError

from statekeep.errors import CorruptDataError, InvalidDocumentError
from statekeep.format.json import check_json_value, decode_json, encode_json, explain
from statekeep.format.summary import OPTIONAL_BOOLEAN, OPTIONAL_TEXT, SessionSummary, summarize
from statekeep.format.version import refuse_newer
from statekeep.store.protocol import Version  # noqa: TC001 - pydantic reads annotations
from statekeep.timestamps import parse_timestamp, to_utc, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["AgentResponse", "Session", "Timestamp", "UserMessage", "remember_version"]

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "id": str,
    "user_id": str,
    "user_messages": list,
    "agent_responses": list,
    "active_seed_id": OPTIONAL_TEXT,
    "active_persona_id": OPTIONAL_TEXT,
    "created_at": datetime,
    "updated_at": datetime,
    "metadata": dict,
}


def _timestamp(value: object) -> datetime:
    if isinstance(value, str):
        return parse_timestamp(value)
    if isinstance(value, datetime):
        return to_utc(value)
    raise ValueError("a time is RFC 3339 text or an aware datetime")


Timestamp = Annotated[datetime, BeforeValidator(_timestamp)]
"""An aware datetime in UTC; reads text as the format has it, refuses naive datetimes."""


class _Model(BaseModel):
    """Strict on types, and what it does not know it keeps."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        validate_assignment=True,
        hide_input_in_errors=True,
        defer_build=True,  # when first used; importing alone shall stay cheap
    )

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        # Unknown fields are kept, not made: a misspelt attribute would be stored for ever.
        if name not in self.__dict__ and not hasattr(self, name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)


class UserMessage(_Model):
    """What the user said."""

    content: str
    timestamp: Timestamp


class AgentResponse(_Model):
    """What the agent answered, and how far it had come by then."""

    content: str
    session_id: str | None = None
    seed_id: str | None = None
    phase_reached: str | None = None
    evaluation_passed: bool | None = None
    timestamp: Timestamp


class Session(_Model):
    """One conversation and its state.

    Make a new one with `Session.new`, get a stored one from `Sessions`. It is mutable; each of
    its methods that changes something moves `updated_at` to now. Fields that statekeep does not
    know survive a load and a save.

    Attributes:
        id: Any non-empty text up to 512 characters; cannot be changed.
        user_id: Whom it belongs to.
        user_messages: Oldest first.
        agent_responses: Oldest first.
        active_seed_id: The seed in work, if any.
        active_persona_id: The persona in use, if any.
        created_at: Aware, UTC, microseconds.
        updated_at: Aware, UTC, microseconds.
        metadata: Text to any JSON value.
    """

    id: str = Field(frozen=True)
    user_id: str
    user_messages: list[UserMessage] = Field(default_factory=list)
    agent_responses: list[AgentResponse] = Field(default_factory=list)
    active_seed_id: str | None = None
    active_persona_id: str | None = None
    created_at: Timestamp
    updated_at: Timestamp
    metadata: dict[str, Any] = Field(default_factory=dict)

    _version: Version | None = PrivateAttr(default=None)

    @classmethod
    def new(cls, user_id: str, session_id: str | None = None) -> Self:
        """Make an empty session; it is stored by `Sessions.save`.

        Args:
            user_id: Whom it belongs to.
            session_id: Its id; without one, a random UUID.
        """
        now = utc_now()
        if session_id is None:
            session_id = str(uuid.uuid4())
        return cls(id=session_id, user_id=user_id, created_at=now, updated_at=now)

    @property
    def version(self) -> Version | None:
        """What `Sessions.save` expects to find stored; None for a session never stored.

        `Sessions` sets it. Set it yourself for a session that was carried elsewhere and came back:
        send the version along, and set it again before saving.
        """
        # Not self._version: pydantic takes twenty times as long to find that.
        version: Version | None = (self.__pydantic_private__ or {}).get("_version")
        return version

    @version.setter
    def version(self, version: Version | None) -> None:
        remember_version(self, version)

    @property
    def exchange_count(self) -> int:
        """How many questions have their answer."""
        return min(len(self.user_messages), len(self.agent_responses))

    @property
    def is_empty(self) -> bool:
        """Whether the user has said nothing yet."""
        return not self.user_messages

    def add_user_message(self, content: str) -> UserMessage:
        """Append what the user said, now."""
        message = UserMessage(content=content, timestamp=utc_now())
        self.user_messages.append(message)
        self._touch()
        return message

    def add_agent_response(
        self,
        content: str,
        *,
        session_id: str | None = None,
        seed_id: str | None = None,
        phase_reached: str | None = None,
        evaluation_passed: bool | None = None,
    ) -> AgentResponse:
        """Append what the agent answered, now.

        Args:
            content: The answer.
            session_id: The session of another system that produced it, if any.
            seed_id: The seed it worked on, if any.
            phase_reached: The phase it reached, if any.
            evaluation_passed: Whether an evaluation passed; None if there was none.
        """
        response = AgentResponse(
            content=content,
            session_id=session_id,
            seed_id=seed_id,
            phase_reached=phase_reached,
            evaluation_passed=evaluation_passed,
            timestamp=utc_now(),
        )
        self.agent_responses.append(response)
        self._touch()
        return response

    def set_active_seed(self, seed_id: str) -> None:
        """Say which seed is in work."""
        self.active_seed_id = seed_id
        self._touch()

    def clear_active_seed(self) -> None:
        """Say that no seed is in work."""
        self.active_seed_id = None
        self._touch()

    def set_active_persona(self, persona_id: str) -> None:
        """Say which persona is in use."""
        self.active_persona_id = persona_id
        self._touch()

    def clear_active_persona(self) -> None:
        """Say that no persona is in use."""
        self.active_persona_id = None
        self._touch()

    def set_metadata(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Set one metadata value.

        Raises:
            InvalidDocumentError: JSON cannot hold the value.
        """
        check_json_value({key: value})
        encode_json({key: value})
        self.metadata[key] = value
        self._touch()

    def get_metadata(self, key: str) -> Any | None:  # noqa: ANN401 - any JSON value
        """Read one metadata value; None if there is none."""
        return self.metadata.get(key)

    def _touch(self) -> None:
        self.updated_at = utc_now()

    def summary(self, *, size: int = 0) -> SessionSummary:
        """What a listing says of it.

        Args:
            size: Bytes that it takes in the store.
        """
        responses = [response.__dict__ for response in self.agent_responses]
        return summarize(self.__dict__, responses, size=size)

    def to_json(self) -> bytes:
        """Write it as the format has it.

        Raises:
            InvalidDocumentError: Something in it is no JSON, or not of its field's type.
        """
        try:
            fields = self._to_plain()
        except InvalidDocumentError:
            raise
        except (PydanticSerializationError, ValueError, TypeError, AttributeError, KeyError):
            raise InvalidDocumentError(f"wrong fields: {self._find_wrong_fields()}") from None
        for optional in ("active_seed_id", "active_persona_id"):
            if fields[optional] is None:
                del fields[optional]
        return encode_json(fields)

    def _to_plain(self) -> dict[str, Any]:
        """The fields as they are, after a look at each.

        `model_dump` would convert each, and a save of a long session take a third longer.

        Raises:
            PydanticSerializationError, ValueError, TypeError, AttributeError, KeyError: One is
                missing or not of its type.
            InvalidDocumentError: Free-form data is no JSON.
        """
        own = self.__dict__
        types_met = {
            type(self),
            *map(type, own["user_messages"]),
            *map(type, own["agent_responses"]),
        }
        if not types_met <= {Session, UserMessage, AgentResponse}:
            # Somebody's subclasses, with rules of their own.
            dumped = self.model_dump(warnings="error")
            check_json_value({"metadata": dumped["metadata"], **(self.__pydantic_extra__ or {})})
            for message in (*own["user_messages"], *own["agent_responses"]):
                check_json_value(message.__pydantic_extra__ or {})
            return type(self).model_validate(dumped).model_dump()
        extra = self.__pydantic_extra__ or {}
        fields = {name: own[name] for name in _TYPES} | extra
        for name, types in _TYPES.items():
            if not isinstance(fields[name], types):
                raise TypeError
        if not fields["created_at"].tzinfo is fields["updated_at"].tzinfo is UTC:
            raise TypeError
        fields |= check_json_value({"metadata": fields["metadata"], **extra})
        fields["user_messages"] = _plain_messages(fields["user_messages"], UserMessage)
        fields["agent_responses"] = _plain_messages(fields["agent_responses"], AgentResponse)
        return fields

    def _find_wrong_fields(self) -> str:
        try:
            type(self).model_validate(self.model_dump(warnings=False))
        except ValidationError as error:
            return explain(error)
        except (PydanticSerializationError, ValueError, TypeError, AttributeError):
            pass
        return "a field is missing or not of its type"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json`, or the original, wrote.

        Raises:
            CorruptDataError: It is not a session; the message says where it fails.
            UnsupportedError: A newer version of statekeep wrote it.
        """
        refuse_newer(data)
        try:
            return cls.model_validate(decode_json(data))
        except ValidationError as error:
            raise CorruptDataError(f"not a session: {explain(error)}") from None


def remember_version(session: Session, version: Version | None) -> None:
    """Set `Session.version`, past the checks of an assignment: each load and each save does so."""
    (session.__pydantic_private__ or {})["_version"] = version


def _plain_messages(
    messages: Iterable[_Model], kind: type[UserMessage | AgentResponse]
) -> list[dict[str, Any]]:
    # All in one loop, without calls: a long session has thousands.
    plain = []
    for message in messages:
        said = message.__dict__
        moment = said["timestamp"]
        if not (
            type(message) is kind
            and isinstance(said["content"], str)
            and type(moment) is datetime
            and moment.tzinfo is UTC
        ):
            raise TypeError
        if kind is AgentResponse and not (
            isinstance(said["session_id"], OPTIONAL_TEXT)
            and isinstance(said["seed_id"], OPTIONAL_TEXT)
            and isinstance(said["phase_reached"], OPTIONAL_TEXT)
            and isinstance(said["evaluation_passed"], OPTIONAL_BOOLEAN)
        ):
            raise TypeError
        if extra := message.__pydantic_extra__:
            said = said | check_json_value(extra)
        plain.append(said)
    return plain
