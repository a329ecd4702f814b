"""Sessions and storage of Strands Agents.

```python
from statekeep_adapters.strands import StatekeepSessionRepository

repository = StatekeepSessionRepository("./state", user_id="ada")
manager = RepositorySessionManager("thread-17", session_repository=repository)
agent = Agent(session_manager=manager)
```
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from statekeep.errors import ConflictError, StateStoreError
from statekeep_adapters._adapter import (
    Adapter,
    Recent,
    erase,
    framework,
    read_object,
    storable,
    title_of,
)

with framework("strands-agents"):
    from strands.session.session_repository import SessionRepository
    from strands.storage import Storage
    from strands.types.exceptions import SessionException, StorageError
    from strands.types.session import (
        Session,
        SessionAgent,
        SessionMessage,
        decode_bytes_values,
        encode_bytes_values,
    )

if TYPE_CHECKING:
    import builtins
    from collections.abc import Awaitable, Callable, Iterable

    from strands.multiagent.base import MultiAgentBase

    from statekeep import Journal, Retention, StateStore
    from statekeep.events import Observer
    from statekeep.journals import Draft

__all__ = ["StatekeepSessionRepository", "StatekeepStorage"]

P = ParamSpec("P")
T = TypeVar("T")

_FAR: Final = 64
"""How many of the last messages to search before reading all of them."""

_MESSAGES: Final = ("message", "redact_message")

_CHUNK: Final = 2**20
"""Maximum length of an item, in characters, so that none is too large."""


class StatekeepSessionRepository(Adapter, SessionRepository):
    """Sessions, as `strands.session.RepositorySessionManager` keeps them.

    A session is the journal that is named after its id: the messages of its agents are the items,
    and the agents' states, at most 1 MiB together, are in its metadata.

    New messages never overwrite others. If the index of a message is taken, because two managers
    use the same one, the message gets the next free one, also in the object that was passed in.
    Redacted text is removed from the store at once.

    Args:
        store: The store for the sessions: a store, which stays open, or a URL, whose store is
            closed with this object.
        user_id: The user who owns new sessions; those of other users are refused.
        collection: The collection of journals.
        retention: As in `statekeep.Journals`.
        observers: As in `statekeep.Journals`.

    Raises:
        OwnershipError: Raised by every method: the session belongs to another user.
        CorruptDataError: Raised by every method: what is stored is damaged.
        UnavailableError: Raised by every method: the store does not answer.
        InvalidDocumentError: JSON cannot hold something, or a state is too large; nothing was
            written.
    """

    def __init__(
        self,
        store: StateStore | str,
        *,
        user_id: str | None = None,
        collection: str = "strands",
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        super().__init__(
            store, collection, user_id=user_id, retention=retention, observers=observers
        )

    def create_session(self, session: Session, **_: object) -> Session:
        """Create a session.

        Raises:
            SessionException: It already exists.
        """

        def create(draft: Draft) -> None:
            if "session" in draft.metadata:
                raise SessionException(f"Session {session.session_id} already exists")
            draft.metadata["session"] = {**session.to_dict(), "session_type": str(session_type)}

        session_type = getattr(session.session_type, "value", session.session_type)
        self._change(session.session_id, create)
        return session

    def read_session(self, session_id: str, **_: object) -> Session | None:
        """Return a session, or None if it does not exist."""
        plain = self._about(session_id, "session")
        return None if plain is None else Session.from_dict(plain)

    def delete_session(self, session_id: str, **_: object) -> None:
        """Delete a session and everything in it, permanently.

        Raises:
            SessionException: It does not exist.
        """
        self._on(
            (session_id,),
            lambda journal: erase(journal, lambda draft: _find(draft, session_id, "session")),
        )

    def create_agent(self, session_id: str, session_agent: SessionAgent, **_: object) -> None:
        """Create an agent in a session.

        Raises:
            SessionException: It already exists, or there is no such session.
        """
        self._create(session_id, f"agent:{session_agent.agent_id}", session_agent.to_dict())

    def read_agent(self, session_id: str, agent_id: str, **_: object) -> SessionAgent | None:
        """Return an agent, or None if it does not exist."""
        plain = self._about(session_id, f"agent:{agent_id}")
        return None if plain is None else SessionAgent.from_dict(plain)

    def update_agent(self, session_id: str, session_agent: SessionAgent, **_: object) -> None:
        """Replace the stored state of an agent; `created_at` stays.

        Raises:
            SessionException: There is no such agent.
        """
        name = f"agent:{session_agent.agent_id}"
        plain = session_agent.to_dict()

        def update(draft: Draft) -> str:
            created_at: str = _find(draft, session_id, name)["created_at"]
            draft.metadata[name] = storable({**plain, "created_at": created_at})
            return created_at

        session_agent.created_at = self._change(session_id, update)

    def create_message(
        self, session_id: str, agent_id: str, session_message: SessionMessage, **_: object
    ) -> None:
        """Add a message under its index or, if that is taken, the next free one.

        Raises:
            SessionException: There is no such agent.
        """
        plain = _plain(session_message)

        def create(draft: Draft) -> int:
            _find(draft, session_id, f"agent:{agent_id}")
            last = _last(draft, agent_id, None)
            number = session_message.message_id
            if last is not None:
                number = max(number, draft.items(last, last + 1)[0]["message_id"] + 1)
            if not draft.metadata.get("title") and (said := _said(plain)):
                draft.metadata["title"] = title_of(said)
            draft.append([{"agent_id": agent_id, **_stored(plain), "message_id": number}])
            return number

        session_message.message_id = self._change(session_id, create)

    def read_message(
        self, session_id: str, agent_id: str, message_id: int, **_: object
    ) -> SessionMessage | None:
        """Return a message, or None if it does not exist."""
        place = max(0, message_id)

        def read(journal: Journal) -> SessionMessage | None:
            # If only one agent counts from 0, the index is the position.
            for items in (journal.read(start=place, stop=place + 1), None):
                for item in (journal.read() or ()) if items is None else items:
                    if (item["agent_id"], item["message_id"]) == (agent_id, message_id):
                        return _read(item)
            return None

        return self._on((session_id,), read)

    def update_message(
        self, session_id: str, agent_id: str, session_message: SessionMessage, **_: object
    ) -> None:
        """Replace the message with the same index; `created_at` stays.

        The old message is deleted permanently, including from the trash; of a redacted message,
        only the text that replaces it is stored.

        Raises:
            SessionException: There is no such message.
        """
        plain = _plain(session_message)

        def update(draft: Draft) -> str:
            place = _last(draft, agent_id, session_message.message_id)
            if place is None:
                raise SessionException(f"Message {session_message.message_id} does not exist")
            [old] = draft.items(place, place + 1)
            if (said := _said(old)) and draft.metadata.get("title") == title_of(said):
                draft.metadata["title"] = title_of(_said(plain))
            created_at: str = old["created_at"]
            item = {"agent_id": agent_id, **_stored(plain), "created_at": created_at}
            draft.replace(place, item)
            draft.forget = True
            return created_at

        session_message.created_at = self._change(session_id, update)

    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **_: object
    ) -> list[SessionMessage]:
        """Return messages of an agent, oldest first.

        Args:
            session_id: The session.
            agent_id: The agent.
            limit: Maximum number of messages; None for all.
            offset: How many of the oldest messages to skip.

        Raises:
            SessionException: There is no such agent.
        """
        stop = None if limit is None else offset + limit

        def read(journal: Journal) -> list[Any]:
            loaded = journal.load(start=offset, stop=stop)
            agents = (
                [name for name in loaded.head.metadata if name.startswith("agent:")]
                if loaded
                else []
            )
            if loaded is None or f"agent:{agent_id}" not in agents:
                raise _missing(session_id, f"agent:{agent_id}")
            if len(agents) == 1:
                return loaded.items
            items = journal.read() or []
            return [item for item in items if item["agent_id"] == agent_id][offset:stop]

        return [_read(item) for item in self._on((session_id,), read)]

    def create_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **_: object) -> None:
        """Create the state of several agents in a session.

        Raises:
            SessionException: It already exists, or there is no such session.
        """
        state = encode_bytes_values(multi_agent.serialize_state())
        self._create(session_id, f"multi-agent:{multi_agent.id}", state)

    def read_multi_agent(
        self, session_id: str, multi_agent_id: str, **_: object
    ) -> dict[str, Any] | None:
        """Return the state of several agents, or None if it does not exist."""
        state: dict[str, Any] | None = decode_bytes_values(
            self._about(session_id, f"multi-agent:{multi_agent_id}")
        )
        return state

    def update_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **_: object) -> None:
        """Replace the stored state of several agents.

        Raises:
            SessionException: It does not exist.
        """
        name = f"multi-agent:{multi_agent.id}"
        state = encode_bytes_values(multi_agent.serialize_state())

        def update(draft: Draft) -> None:
            _find(draft, session_id, name)
            draft.metadata[name] = storable(state)

        self._change(session_id, update)

    def _change(self, session_id: str, fn: Callable[[Draft], T]) -> T:
        return self._on((session_id,), lambda journal: journal.change(fn))

    def _create(self, session_id: str, name: str, plain: dict[str, Any]) -> None:
        def create(draft: Draft) -> None:
            _find(draft, session_id, "session")
            if name in draft.metadata:
                raise SessionException(f"{_said_of(session_id, name)} already exists")
            draft.metadata[name] = storable(plain)

        self._change(session_id, create)

    def _about(self, session_id: str, name: str) -> dict[str, Any] | None:
        head = self._on((session_id,), lambda journal: journal.head())
        return None if head is None else read_object(head.metadata.get(name))


class StatekeepStorage(Adapter, Storage):
    """Bytes under keys, as `strands.session.SnapshotSessionManager` and others keep them.

    If others have written or deleted a key since this object read or wrote it, `write` raises
    until the key is read again. A key that this object has never read is overwritten, whatever it
    holds. So give each session manager its own storage, on one store.

    A key is the name of a journal in the collection; a value that is overwritten or deleted is
    deleted permanently. As in the storages of the framework, leading, trailing and repeated slashes
    are ignored.

    Args:
        store: The store for the values: a store, which stays open, or a URL, whose store is closed
            with this object.
        user_id: The user who owns new values; those of other users are refused, and not listed.
        collection: The collection of journals.
        retention: As in `statekeep.Journals`.
        observers: As in `statekeep.Journals`.

    Raises:
        StorageError: Raised by every method, with statekeep's error as its cause.
    """

    def __init__(
        self,
        store: StateStore | str,
        *,
        user_id: str | None = None,
        collection: str = "strands-storage",
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self._revisions = Recent[str | None]()
        self._attempts = Recent[str]()
        super().__init__(
            store, collection, user_id=user_id, retention=retention, observers=observers
        )

    async def write(self, key: str, data: bytes) -> None:
        """Store bytes under a key.

        Raises:
            StorageError: Its cause is a `ConflictError` if someone else has changed the value
                since it was read; nothing was written.
        """
        name = _key(key)
        items = _items(bytes(data))
        revision = secrets.token_hex(12)

        def write(draft: Draft) -> None:
            stored = draft.metadata.get("revision")
            # This object's own attempt may have landed although it failed.
            if stored not in {self._revisions.get(name, stored), self._attempts.get(name, "")}:
                raise ConflictError(
                    "it was changed since this storage read it; read it again, and decide what to "
                    "write",
                    key=name,
                    store=self._journals.store,
                    landed="no",
                )
            draft.clear()
            draft.append(items)
            draft.metadata["revision"] = revision
            draft.forget = draft.exists

        def change(journal: Journal) -> None:
            try:
                journal.change(write)
            except StateStoreError as error:
                if error.landed == "unknown":
                    self._attempts.put(name, revision)
                raise
            self._revisions.put(name, revision)

        await self._call(self._run_on, (name,), change)

    async def read(self, key: str) -> bytes | None:
        """Return the bytes under a key, or None if the key does not exist."""
        name = _key(key)

        def read(journal: Journal) -> bytes | None:
            loaded = journal.load()
            revision = loaded.head.metadata.get("revision") if loaded else None
            self._revisions.put(name, revision)
            return _data(loaded.items) if loaded and revision else None

        return await self._call(self._run_on, (name,), read)

    async def delete(self, key: str) -> None:
        """Delete the value under a key, permanently; a missing key is not an error."""
        name = _key(key)

        def delete(journal: Journal) -> None:
            erase(journal, lambda _: None)
            self._revisions.put(name, None)

        await self._call(self._run_on, (name,), delete)

    async def list(self, query: str = "") -> builtins.list[str]:
        """Return the keys that start with `query`, sorted."""
        ends = "/" if query.endswith("/") and query.strip("/") else ""
        prefix = "/".join([part for part in query.split("/") if part]) + ends

        def read() -> builtins.list[str]:
            found = self._journals.list(user_id=self._user_id)
            return sorted([each.name[0] for each in found if each.length])

        return [key for key in await self._call(self._run, read) if key.startswith(prefix)]

    async def _call(
        self, run: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return await run(*args, **kwargs)
        except StateStoreError as error:
            raise StorageError(str(error)) from error


def _find(draft: Draft, session_id: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = read_object(draft.metadata.get(name))
    if found is None:
        raise _missing(session_id, name)
    return found


def _missing(session_id: str, name: str) -> SessionException:
    return SessionException(f"{_said_of(session_id, name)} does not exist")


def _said_of(session_id: str, name: str) -> str:
    kind, _, name = name.partition(":")
    return (
        f"{kind.capitalize()} {name} in session {session_id}" if name else f"Session {session_id}"
    )


def _plain(message: SessionMessage) -> dict[str, Any]:
    plain = message.to_dict()
    if plain["redact_message"] is not None:
        plain["message"] = plain["redact_message"]
    return plain


def _stored(plain: dict[str, Any]) -> dict[str, Any]:
    return plain | {name: storable(plain[name]) for name in _MESSAGES}


def _read(item: dict[str, Any]) -> SessionMessage:
    return SessionMessage.from_dict(item | {name: read_object(item[name]) for name in _MESSAGES})


def _last(draft: Draft, agent_id: str, message_id: int | None) -> int | None:
    """Return the position of an agent's last message, or of its message with an index."""
    for size in (1, min(_FAR, draft.length), draft.length):
        items = draft.last(size)
        for back, item in enumerate(reversed(items), 1):
            if item["agent_id"] == agent_id and message_id in {None, item["message_id"]}:
                return draft.length - back
    return None


def _said(plain: dict[str, Any]) -> str:
    """Return the text of a message if it is from the user."""
    message = read_object(plain["message"])
    if message["role"] != "user":
        return ""
    return " ".join([block["text"] for block in message["content"] if "text" in block])


def _key(key: str) -> str:
    name = "/".join([part for part in key.split("/") if part])
    if not name:
        raise StorageError("a key must not be empty")
    return name


def _items(data: bytes) -> list[dict[str, str]]:
    try:
        kind, text = "text", data.decode()
    except UnicodeDecodeError:
        kind, text = "base64", b64encode(data).decode()
    return [{kind: text[at : at + _CHUNK]} for at in range(0, max(1, len(text)), _CHUNK)]


def _data(items: list[dict[str, str]]) -> bytes:
    if "text" in items[0]:
        return "".join([item["text"] for item in items]).encode()
    return b64decode("".join([item["base64"] for item in items]))
