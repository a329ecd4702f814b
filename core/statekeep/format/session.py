"""Sessions and their messages, in the original's format."""

from __future__ import annotations

import uuid
import warnings
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import PydanticSerializationError

from statekeep._arguments import checked, checked_content
from statekeep.errors import CorruptDataError, InvalidDocumentError
from statekeep.format.json import decode_json, encode_json, encode_parts, explain
from statekeep.format.order import ORDER, Conversation, in_order, order_of, rearranged
from statekeep.format.reading import Unread, read_ordinary, unread_of
from statekeep.format.summary import (
    EXPIRES,
    OPTIONAL_TEXT,
    PIN,
    RESTORED,
    SessionSummary,
    summarize,
)
from statekeep.format.values import check_shape, plain_value
from statekeep.format.version import has_format, refuse_head, refuse_newer
from statekeep.store.keys import session_stem
from statekeep.store.protocol import Version  # noqa: TC001 - pydantic reads annotations
from statekeep.timestamps import parse_timestamp, to_utc, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "AgentResponse",
    "Session",
    "Timestamp",
    "UserMessage",
    "add_message",
    "keep_messages",
    "make_session",
    "plain_messages",
    "plain_parts",
    "read_session",
    "remember_order",
    "remember_stored",
    "remember_version",
    "stored_of",
]

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


M = TypeVar("M", bound="_Model")
A = TypeVar("A", "UserMessage", "AgentResponse")
S = TypeVar("S", bound="Session")


def _timestamp(value: object) -> datetime:
    if isinstance(value, str):
        return parse_timestamp(value)
    if isinstance(value, datetime):
        return to_utc(value)
    raise ValueError("a time is RFC 3339 text or an aware datetime")


Timestamp = Annotated[datetime, BeforeValidator(_timestamp)]
"""An aware datetime in UTC; parses text in the file format, refuses naive datetimes."""

Text = Annotated[str, Field(min_length=0)]  # a limit makes pydantic refuse lone surrogates


class _Model(BaseModel):
    """Strict about types; keeps fields that it does not know."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        validate_assignment=True,
        hide_input_in_errors=True,
        defer_build=True,  # until first use, so that importing stays cheap
    )

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        # Unknown fields are kept, never created: a misspelled attribute would be stored forever.
        if name not in self.__dict__ and not hasattr(self, name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)


class UserMessage(_Model):
    """A message from the user."""

    content: Text
    timestamp: Timestamp

    @property
    def role(self) -> Literal["user"]:
        """The author of the message."""
        return "user"


class AgentResponse(_Model):
    """A message from the agent, and how far it had come by then."""

    content: Text
    session_id: Text | None = None
    seed_id: Text | None = None
    phase_reached: Text | None = None
    evaluation_passed: bool | None = None
    timestamp: Timestamp

    @property
    def role(self) -> Literal["agent"]:
        """The author of the message."""
        return "agent"


_PART: Final = 2**18
"""Maximum number of characters of content to encode at once."""

_content_of: Final = itemgetter("content")

_NOTHING: Final = type(None)
_MESSAGE_TYPES: Final[dict[type, dict[str, set[type]]]] = {
    UserMessage: {"content": {str}, "timestamp": {datetime}},
    AgentResponse: {
        "content": {str},
        "session_id": {str, _NOTHING},
        "seed_id": {str, _NOTHING},
        "phase_reached": {str, _NOTHING},
        "evaluation_passed": {bool, _NOTHING},
        "timestamp": {datetime},
    },
}


class Session(_Model):
    """One conversation and its state.

    Create a new one with `Session.new`; get a stored one from `Sessions`. It is mutable, and every
    method that changes it sets `updated_at` to now. Fields that statekeep does not know survive a
    load and a save.

    Attributes:
        id: Any non-empty text of up to 512 characters; cannot be changed.
        user_id: The user who owns it.
        user_messages: The user's messages, oldest first.
        agent_responses: The agent's messages, oldest first.
        active_seed_id: The active seed, if any.
        active_persona_id: The active persona, if any.
        created_at: When it was created; time-zone aware, UTC, to the microsecond.
        updated_at: When it was last changed; time-zone aware, UTC, to the microsecond.
        metadata: Any JSON values, by key.
    """

    # The conversation as last seen, what `Sessions` knows of the stored session, and messages that
    # were not accessed yet: not fields, because they are not part of comparisons.
    __slots__ = ("_said", "_stored", "_unread")

    id: Text = Field(frozen=True)
    user_id: Text
    # With a million invalid messages, the first one says enough.
    user_messages: Annotated[list[UserMessage], FailFast()] = Field(default_factory=list)
    agent_responses: Annotated[list[AgentResponse], FailFast()] = Field(default_factory=list)
    active_seed_id: Text | None = None
    active_persona_id: Text | None = None
    created_at: Timestamp
    updated_at: Timestamp
    metadata: dict[str, Any] = Field(default_factory=dict)

    _version: Version | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:
        # Everything pydantic does with a model goes through this, so the messages exist by then.
        @property
        def __dict__(self) -> dict[str, Any]:
            own = _own_fields(self)
            if "user_messages" not in own:
                _make_messages(self, own)
                own = _own_fields(self)
            return own

        @__dict__.setter
        def __dict__(self, fields: dict[str, Any]) -> None:
            _set_fields(self, fields)

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            if name in _LISTS and name in self.__dict__:
                return self.__dict__[name]
            return super().__getattr__(name)

        def __delattr__(self, name: str) -> None:
            if name in _LISTS:
                _ = self.__dict__
            super().__delattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        if name == "metadata" and ORDER in self.metadata:
            self._conversation()  # the order is not part of the caller's metadata, and stays
        super().__setattr__(name, value)

    @classmethod
    @checked
    def new(cls, user_id: str, session_id: str | None = None) -> Self:
        """Create an empty session; `Sessions.save` stores it.

        Args:
            user_id: The user who owns it.
            session_id: Its id; by default a random UUID.

        Raises:
            InvalidKeyError: An id is empty or cannot be stored.
        """
        now = utc_now()
        if session_id is None:
            session_id = str(uuid.uuid4())
        session_stem(session_id)  # refuses what is not a legal id
        return cls(id=session_id, user_id=user_id, created_at=now, updated_at=now)

    @property
    def version(self) -> Version | None:
        """The version that `Sessions.save` expects in the store; None if it was never stored.

        `Sessions` sets it. Set it yourself for a session that was serialized and came back: send
        the version along, and set it again before saving.
        """
        # Not self._version: pydantic takes twenty times as long to find that.
        version: Version | None = (self.__pydantic_private__ or {}).get("_version")
        return version

    @version.setter
    def version(self, version: Version | None) -> None:
        remember_stored(self, None)  # only the store knows which form this version has
        remember_version(self, version)

    @property
    def exchange_count(self) -> int:
        """How many questions have been answered."""
        return min(len(self.user_messages), len(self.agent_responses))

    @property
    def is_empty(self) -> bool:
        """Whether the user has not said anything yet."""
        return not self.user_messages

    @property
    def messages(self) -> list[UserMessage | AgentResponse]:
        """All messages in the order in which they were added, in a new list.

        The messages are the session's own, so changing one changes the session. To add one, use the
        methods; to remove one, remove it from its list.

        Examples:
            >>> session = Session.new("ada")
            >>> _ = session.add_user_message("Hello")
            >>> _ = session.add_agent_response("Hi there")
            >>> [(message.role, message.content) for message in session.messages]
            [('user', 'Hello'), ('agent', 'Hi there')]
        """
        return [*self._conversation().messages]

    @checked_content
    def add_user_message(
        self,
        content: str,
        *,
        timestamp: datetime | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> UserMessage:
        """Append a message from the user.

        Args:
            content: The text.
            timestamp: When it was said, time-zone aware; by default now.
            extra: More fields to store with it; any JSON values. A name much like that of an
                argument causes a warning.

        Raises:
            InvalidDocumentError: Something in it cannot be stored.
            TypeError, ValueError: The content is not text, or the time is naive.
        """
        message = UserMessage(
            content=content, timestamp=timestamp or utc_now(), **_plain_extra(extra, UserMessage)
        )
        self._append(message, self.user_messages)
        return message

    @checked_content
    def add_agent_response(
        self,
        content: str,
        *,
        session_id: str | None = None,
        seed_id: str | None = None,
        phase_reached: str | None = None,
        evaluation_passed: bool | None = None,
        timestamp: datetime | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> AgentResponse:
        """Append a message from the agent.

        Args:
            content: The text.
            session_id: The session of another system that produced it, if any.
            seed_id: The seed it worked on, if any.
            phase_reached: The phase it reached, if any.
            evaluation_passed: Whether an evaluation passed; None if there was none.
            timestamp: When it was said, time-zone aware; by default now.
            extra: More fields to store with it; any JSON values. A name much like that of an
                argument causes a warning.

        Raises:
            InvalidDocumentError: Something in it cannot be stored.
            TypeError, ValueError: An argument has the wrong type, or the time is naive.
        """
        response = AgentResponse(
            content=content,
            session_id=session_id,
            seed_id=seed_id,
            phase_reached=phase_reached,
            evaluation_passed=evaluation_passed,
            timestamp=timestamp or utc_now(),
            **_plain_extra(extra, AgentResponse),
        )
        self._append(response, self.agent_responses)
        return response

    def _append(self, message: A, messages: list[A]) -> None:
        said = self._said_before
        if said is None or len(said.messages) != len(self.user_messages) + len(
            self.agent_responses
        ):
            said = self._conversation()
            said.settle(self.metadata)
        messages.append(message)
        said.add(message, self.metadata)
        self._touch()

    @property
    def _said_before(self) -> Conversation | None:
        try:
            said: Conversation = object.__getattribute__(self, "_said")
        except AttributeError:
            return None
        return said

    def _conversation(self) -> Conversation:
        """Return the messages in order, even after the lists were changed."""
        asked, answered = self.user_messages, self.agent_responses
        said = self._said_before
        if said is None:
            messages = in_order(asked, answered, self.metadata)
            said = Conversation(messages, is_disordered=ORDER in self.metadata)
        else:
            users, agents = iter(asked), iter(answered)
            if len(said.messages) == len(asked) + len(answered) and all(
                next(users if isinstance(each, UserMessage) else agents, None) is each
                for each in said.messages
            ):
                return said
            messages = rearranged(said.messages, asked, answered)
            said = Conversation(messages, is_disordered=said.is_disordered)
        object.__setattr__(self, "_said", said)
        return said

    def _settle_order(self) -> None:
        said = self._said_before
        if ORDER in self.metadata or (said is not None and said.is_disordered):
            self._conversation().settle(self.metadata)

    @checked_content
    def set_active_seed(self, seed_id: str) -> None:
        """Set the active seed."""
        self.active_seed_id = seed_id
        self._touch()

    def clear_active_seed(self) -> None:
        """Clear the active seed."""
        self.active_seed_id = None
        self._touch()

    @checked_content
    def set_active_persona(self, persona_id: str) -> None:
        """Set the active persona."""
        self.active_persona_id = persona_id
        self._touch()

    def clear_active_persona(self) -> None:
        """Clear the active persona."""
        self.active_persona_id = None
        self._touch()

    @checked_content
    def set_metadata(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Set one metadata value.

        Args:
            key: The key.
            value: Dicts, lists, text, 64-bit integers, finite floats, booleans and None, or
                instances of their subclasses, which become plain.

        Raises:
            InvalidDocumentError: The value cannot be stored.
        """
        plain = plain_value({key: value}, around=1)
        encode_json(plain)
        self.metadata.update(plain)
        self._touch()

    @checked_content
    def get_metadata(self, key: str) -> Any | None:  # noqa: ANN401 - any JSON value
        """Return a metadata value; None if the key is not set."""
        return self.metadata.get(key)

    @checked
    def fork(self, new_id: str, *, upto: int | None = None) -> Self:
        """Create a separate session as a copy of this one: it shares nothing and is not stored.

        Its times are now. A pin and an expiry time are not copied.

        Args:
            new_id: The new session's id.
            upto: How many of `messages` to keep, from the start; by default all.

        Raises:
            InvalidKeyError: The id is not legal.
            ValueError: `upto` is negative.

        Examples:
            >>> session = Session.new("ada", "plan")
            >>> _ = session.add_user_message("Hello")
            >>> session.fork("plan-b").messages[0].content
            'Hello'
        """
        session_stem(new_id)
        if upto is not None and upto < 0:
            raise ValueError(f"upto must be at least 0, not {upto}")
        fork = self.model_copy(deep=True)
        messages = fork.messages[:upto]
        if upto is not None:
            fork.user_messages[:] = [each for each in messages if isinstance(each, UserMessage)]
            fork.agent_responses[:] = [each for each in messages if isinstance(each, AgentResponse)]
        for name in (ORDER, PIN, EXPIRES, RESTORED):
            fork.metadata.pop(name, None)
        if fork.messages != messages:
            fork.metadata[ORDER] = order_of(messages)
        fork.__dict__["id"] = new_id
        fork.version = None
        fork.created_at = fork.updated_at = utc_now()
        return fork

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy it as pydantic does: the copy stands for the same stored session.

        Raises:
            ValueError: The copy would have a different id; see `fork`.
        """
        if update and update.get("id", self.id) != self.id:
            raise ValueError("a copy keeps the id; fork(new_id) makes a separate session")
        self._settle_order()
        return super().model_copy(update=update, deep=deep)

    def _touch(self) -> None:
        self.updated_at = utc_now()

    def summary(self, *, size: int = 0) -> SessionSummary:
        """Return the summary that a listing shows.

        Args:
            size: Its size in the store, in bytes.
        """
        responses = [response.__dict__ for response in self.agent_responses]
        return summarize(self.__dict__, responses, size=size)

    def to_json(self) -> bytes:
        """Encode it in the file format.

        Raises:
            InvalidDocumentError: Something in it is not JSON, or does not have its field's type.
        """
        try:
            self._settle_order()
            fields = self._to_plain()
        except InvalidDocumentError:
            raise
        except (PydanticSerializationError, ValueError, TypeError, AttributeError, KeyError):
            raise InvalidDocumentError(f"wrong fields: {self._find_wrong_fields()}") from None
        for optional in ("active_seed_id", "active_persona_id"):
            if fields[optional] is None:
                del fields[optional]
        parts = {name: _in_parts(fields[name]) for name in _LISTS}
        if all(len(each) < 2 for each in parts.values()):
            return encode_json(fields)
        return encode_parts(fields, {name: each for name, each in parts.items() if each})

    def _to_plain(self) -> dict[str, Any]:
        """Return the fields as they are, after checking each.

        `model_dump` would convert every field, and make saving a long session a third slower.

        Raises:
            PydanticSerializationError, ValueError, TypeError, AttributeError, KeyError: A field is
                missing or has the wrong type.
            InvalidDocumentError: Free-form data is not JSON.
        """
        own = self.__dict__
        types_met = {
            type(self),
            *map(type, own["user_messages"]),
            *map(type, own["agent_responses"]),
        }
        if not types_met <= {Session, UserMessage, AgentResponse}:
            # A subclass can have rules of its own.
            plain_value({"metadata": own["metadata"], **(self.__pydantic_extra__ or {})})
            for message in (*own["user_messages"], *own["agent_responses"]):
                plain_value(message.__pydantic_extra__ or {}, around=2)
            dumped = self.model_dump(warnings="error")
            fields = type(self).model_validate(dumped).model_dump()
            return plain_value(fields, times=True)  # type: ignore[no-any-return]
        fields = _plain_fields(self)
        fields["user_messages"] = _plain_messages(fields["user_messages"], UserMessage)
        fields["agent_responses"] = _plain_messages(fields["agent_responses"], AgentResponse)
        return fields

    def _find_wrong_fields(self) -> str:
        check_shape([self.__dict__.get("metadata"), self.__pydantic_extra__])
        try:
            type(self).model_validate(self.model_dump(warnings=False))
        except ValidationError as error:
            return explain(error)
        except (PydanticSerializationError, ValueError, TypeError, AttributeError):
            pass
        return "a field is missing or has the wrong type"

    @classmethod
    @checked_content
    def from_json(cls, data: bytes) -> Self:
        """Decode what `to_json` or the original wrote.

        Raises:
            CorruptDataError: It is not a session; the message says what is wrong.
            UnsupportedError: It is stored as a journal, or a newer version of statekeep wrote it.
        """
        return cls._from_json(data)

    @classmethod
    def _from_json(cls, data: bytes) -> Self:
        if has_format(data):
            refuse_newer(data)
            refuse_head(data)
        # A subclass can have rules of its own.
        if cls is Session and (ordinary := read_ordinary(data)) is not None:
            session = _unread_session(cls, *ordinary)
        else:
            try:
                session = cls.model_validate(decode_json(data))
            except ValidationError as error:
                raise CorruptDataError(f"not a session: {explain(error)}") from None
        if ORDER in session.metadata:
            session._conversation()  # noqa: SLF001 - as long as the order fits
        return session


# Objects are created bypassing validation where it would only confirm what was already checked.
# Tests make sure that pydantic still works the way this relies on.
_OWN_FIELDS: Final[Any] = BaseModel.__dict__["__dict__"]
_own_fields: Final = _OWN_FIELDS.__get__
_set_fields: Final = _OWN_FIELDS.__set__
_set_names: Final = BaseModel.__pydantic_fields_set__.__set__  # type: ignore[attr-defined]
_set_extra: Final = BaseModel.__pydantic_extra__.__set__  # type: ignore[union-attr]
_set_private: Final = BaseModel.__pydantic_private__.__set__  # type: ignore[union-attr]
_LISTS: Final = frozenset({"user_messages", "agent_responses"})
_remember_unread: Final = vars(Session)["_unread"].__set__


def _made(kind: type[M], fields: dict[str, Any], private: dict[str, Any] | None = None) -> M:
    """Create a model with these fields, which are known to be sound."""
    made = object.__new__(kind)
    _set_fields(made, fields)
    _set_names(made, {*fields})
    _set_extra(made, {})
    _set_private(made, private)
    return made


def _unread_session(kind: type[S], fields: dict[str, Any], unread: Unread) -> S:
    session = _made(kind, fields, {"_version": None})
    given = {name for name, value in fields.items() if value is not None}
    _set_names(session, given | _LISTS)
    _remember_unread(session, unread)
    return session


def _make_messages(session: Session, own: dict[str, Any]) -> None:
    """Create the messages that were not accessed yet, each as the model would have created it."""
    unread = _unread_of(session)
    if unread is None:
        return
    asked, answered = _messages_of(unread)
    made = {"user_messages": asked, "agent_responses": answered}
    whole = {name: made[name] if name in made else own[name] for name in _TYPES}
    # No lock, because a forked child could inherit it locked: all threads get the same lists.
    _set_fields(session, unread.made.setdefault("fields", whole))
    _remember_unread(session, None)


def _unread_of(session: Session) -> Unread | None:
    try:
        unread: Unread | None = object.__getattribute__(session, "_unread")
    except AttributeError:
        return None
    return unread


def _messages_of(unread: Unread) -> tuple[list[UserMessage], list[AgentResponse]]:
    times = iter(unread.times)
    asked = [
        _made(UserMessage, {"content": each.content, "timestamp": next(times)})
        for each in unread.asked
    ]
    answered = [
        _made(
            AgentResponse,
            {
                "content": each.content,
                "session_id": each.session_id,
                "seed_id": each.seed_id,
                "phase_reached": each.phase_reached,
                "evaluation_passed": each.evaluation_passed,
                "timestamp": next(times),
            },
        )
        for each in unread.answered
    ]
    return asked, answered


def make_session(fields: Mapping[str, Any], asked: list[Any], answered: list[Any]) -> Session:
    """Create a session from plain values.

    Args:
        fields: The session's fields except its messages.
        asked: The user's messages.
        answered: The agent's messages.

    Raises:
        ValidationError: They are not a session's.
    """
    lists = {"user_messages": asked, "agent_responses": answered}
    if (unread := unread_of(asked, answered)) is None:
        return Session.model_validate({**fields, **lists})
    session = Session.model_validate({**fields, **{name: [] for name in lists}})
    session.user_messages[:], session.agent_responses[:] = _messages_of(unread)
    return session


def read_session(data: bytes) -> Session:
    """Decode a session from bytes that came from a store, like `Session.from_json`."""
    return Session._from_json(data)  # noqa: SLF001 - of the same module


def remember_version(session: Session, version: Version | None) -> None:
    """Set `Session.version` without validation, which is too slow for every load and save."""
    (session.__pydantic_private__ or {})["_version"] = version


def remember_order(session: Session, messages: list[UserMessage | AgentResponse]) -> None:
    """Set the order of `Session.messages`, which the times may not show."""
    object.__setattr__(session, "_said", Conversation.of(messages))


def remember_stored(session: Session, stored: object) -> None:
    """Attach to a session what is known of how it is stored, for saving; copies lose it."""
    object.__setattr__(session, "_stored", stored)


def stored_of(session: Session) -> object:
    """Return what `remember_stored` was last given; None if nothing."""
    try:
        return object.__getattribute__(session, "_stored")
    except AttributeError:
        return None


def plain_parts(
    session: Session, messages: Sequence[UserMessage | AgentResponse]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a session's fields except its lists of messages, and some messages; with datetimes.

    Raises:
        TypeError, ValueError, AttributeError, KeyError: Use `Session.to_json` for a better error.
        InvalidDocumentError: Free-form data is not JSON.
    """
    if type(session) is not Session:
        raise TypeError
    fields = _plain_fields(session)
    del fields["user_messages"], fields["agent_responses"]
    return fields, plain_messages(messages)


def plain_messages(messages: Iterable[UserMessage | AgentResponse]) -> list[dict[str, Any]]:
    """Return messages of both kinds as dicts, with datetimes.

    Raises:
        TypeError, ValueError, AttributeError, KeyError: One is not a message, or has a wrong field.
        InvalidDocumentError: Free-form data is not JSON.
    """
    are_users = [(isinstance(message, UserMessage), message) for message in messages]
    users = iter(_plain_messages([each for is_user, each in are_users if is_user], UserMessage))
    agents = [each for is_user, each in are_users if not is_user]
    answers = iter(_plain_messages(agents, AgentResponse))
    return [next(users if is_user else answers) for is_user, _ in are_users]


def add_message(session: Session, message: UserMessage | AgentResponse) -> None:
    """Append a message to a session."""
    if isinstance(message, UserMessage):
        session._append(message, session.user_messages)  # noqa: SLF001 - of the same module
    else:
        session._append(message, session.agent_responses)  # noqa: SLF001


def keep_messages(session: Session, count: int) -> None:
    """Keep only the first `count` messages of a session."""
    said = session.messages
    if len(said) <= count:
        return
    kept = said[:count]
    session.user_messages[:] = [each for each in kept if isinstance(each, UserMessage)]
    session.agent_responses[:] = [each for each in kept if isinstance(each, AgentResponse)]
    session._touch()  # noqa: SLF001 - of the same module


def _plain_fields(session: Session) -> dict[str, Any]:
    own, extra = session.__dict__, session.__pydantic_extra__ or {}
    fields = {name: own[name] for name in _TYPES} | extra
    for name, types in _TYPES.items():
        if not isinstance(fields[name], types):
            raise TypeError
    if not fields["created_at"].tzinfo is fields["updated_at"].tzinfo is UTC:
        raise TypeError
    if fields["metadata"] or extra:
        fields |= plain_value({"metadata": fields["metadata"], **extra})
    return fields


def _plain_extra(extra: dict[str, Any], kind: type[UserMessage | AgentResponse]) -> dict[str, Any]:
    if extra:
        _warn_of_misspelled(extra, [*kind.model_fields])
    plain: dict[str, Any] = plain_value(extra, around=2)
    if plain:
        encode_json(plain)
    return plain


def _warn_of_misspelled(extra: Iterable[str], fields: list[str]) -> None:
    from difflib import get_close_matches  # noqa: PLC0415 - seldom needed

    for name in extra:
        begun = [each for each in fields if each.startswith(f"{name}_")]
        for meant in (begun or get_close_matches(name, fields, cutoff=0.8))[:1]:
            warnings.warn(
                f"{name}= is stored as an extra field; did you mean {meant}=?", stacklevel=5
            )


def _plain_messages(
    messages: Iterable[_Model], kind: type[UserMessage | AgentResponse]
) -> list[dict[str, Any]]:
    # Column by column, because a long session has thousands of messages.
    messages = [*messages]
    if not {*map(type, messages)} <= {kind}:
        raise TypeError
    said = [message.__dict__ for message in messages]
    for name, types in _MESSAGE_TYPES[kind].items():
        if not {type(each[name]) for each in said} <= types:
            _refuse_wrong(said, name, types)
    if not {each["timestamp"].tzinfo for each in said} <= {UTC}:
        raise TypeError
    if any(message.__pydantic_extra__ for message in messages):
        return [
            own | plain_value(message.__pydantic_extra__ or {}, around=2)
            for own, message in zip(said, messages, strict=True)
        ]
    return said


def _in_parts(said: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Split messages into parts that encode in about a millisecond; a long message stays whole."""
    if sum(map(len, map(_content_of, said))) <= _PART:
        return [said] if said else []
    parts: list[list[dict[str, Any]]] = [[]]
    room = _PART
    for each in said:
        length = len(each["content"])
        if parts[-1] and length > room:
            parts.append([])
            room = _PART
        parts[-1].append(each)
        room -= length
    return parts


def _refuse_wrong(said: Iterable[dict[str, Any]], name: str, types: set[type]) -> None:
    """Refuse values of the wrong type; subclasses are left to the encoder."""
    if name == "timestamp" or not all(isinstance(each[name], tuple(types)) for each in said):
        raise TypeError
