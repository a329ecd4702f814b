"""The conversations of Pydantic AI.

```python
from statekeep_adapters.pydantic_ai import StatekeepConversationStore

store = StatekeepConversationStore("./state", user_id="ada")
conversation = await store.load("thread-17") or Conversation(conversation_id="thread-17")
await store.save(await agent.run("Hello", conversation=conversation))
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from statekeep.errors import CorruptDataError, InvalidDocumentError, NotFoundError
from statekeep_adapters._adapter import Adapter, Recent, erase, framework, title_of

with framework("pydantic-ai"):
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )
    from pydantic_ai.messages import ModelMessagesTypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic_ai.messages import ModelMessage

    from statekeep import Journal, Retention, StateStore
    from statekeep.events import Observer
    from statekeep.journals import Draft, Head

__all__ = ["StatekeepConversationStore"]

# The root's configuration applies to values of any type below it, as it does for messages.
_records: TypeAdapter[list[ConversationRecord]] = TypeAdapter(
    list[ConversationRecord],
    config=ConfigDict(defer_build=True, ser_json_bytes="base64", val_json_bytes="base64"),
)


class StatekeepConversationStore(Adapter, ConversationStore):
    """Conversations, as `pydantic_ai.Agent` continues them.

    A conversation is the journal that is named after its id; entries are its items, and the record
    is in its metadata: a save is one write, of everything or nothing. A fork has copies of the
    entries that it keeps, under their ids, so changes to a conversation do not affect its forks.

    `delete` erases at once: nothing of the conversation stays in the store, except entries that
    forks keep. Entries that no branch uses anymore stay as long as their conversation.

    An entry is looked for first in the conversation where this object last saw it, then in all
    conversations of the user: first their heads are read, then their messages until it is found.
    Only `read_entry` and `read_history` with an id from elsewhere need to do that.

    Args:
        store: The store for the conversations: a store, which stays open, or a URL, whose store is
            closed with this object.
        user_id: The user who owns new conversations; those of other users are refused, and not
            listed.
        collection: The collection of journals.
        retention: As in `statekeep.Journals`.
        observers: As in `statekeep.Journals`.

    Raises:
        OwnershipError: Raised by every method: the conversation belongs to another user.
        CorruptDataError: Raised by every method: what is stored is damaged.
        UnavailableError: Raised by every method: the store does not answer.
        InvalidDocumentError: JSON cannot hold something; nothing was saved.
    """

    def __init__(
        self,
        store: StateStore | str,
        *,
        user_id: str | None = None,
        collection: str = "pydantic-ai",
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self._places = Recent[str | None]()
        super().__init__(
            store, collection, user_id=user_id, retention=retention, observers=observers
        )

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation, or None if it does not exist. One request."""

        def read(journal: Journal) -> ConversationRecord | None:
            head = journal.head()
            return None if head is None else self._record_of(head)

        return await self._run_on((conversation_id,), read)

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """Return records, newest first: a listing, and one request per record.

        Args:
            scope: Only records with this scope; others are read, too.
            limit: Maximum number of records.
        """
        if limit is not None and limit <= 0:
            return []
        return await self._run(self._list, scope, limit)

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """Return the entries up to and including one, in order, or only the last of them.

        Raises:
            NotFoundError: There is no such entry; it is also a `LookupError`.
        """
        if head_id is None or (limit is not None and limit <= 0):
            return []
        return await self._run(self._history, head_id, limit)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry.

        Raises:
            NotFoundError: There is no such entry; it is also a `LookupError`.
        """
        return (await self._run(self._history, entry_id, 1))[0]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and entries, in one write.

        Raises:
            ConversationConflict: The stored record has a different revision, or the new one refers
                to an entry that does not exist.
        """
        name = record.conversation_id
        [plain] = _plain(_records, [record])
        messages = _plain(ModelMessagesTypeAdapter, [entry.message for entry in new_entries])
        new = {
            entry.id: {"id": entry.id, "parent_id": entry.parent_id, "message": message}
            for entry, message in zip(new_entries, messages, strict=True)
        }

        def write(draft: Draft) -> None:
            _compare(draft, name, expected_revision)
            items = [*self._missing(draft, plain, new), *new.values()]
            if "title" not in draft.metadata and (said := _said_first(items)):
                draft.metadata["title"] = title_of(said)
            draft.append(items)
            draft.metadata["record"] = plain

        await self._run_on((name,), lambda journal: journal.change(write))
        self._note(name, [*new, *_tips(plain)])

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a conversation with its entries, permanently; forks have copies of theirs.

        Raises:
            ConversationConflict: The stored record has a different revision, or does not exist.
        """

        def delete(journal: Journal) -> None:
            erase(journal, lambda draft: _compare(draft, conversation_id, expected_revision))

        await self._run_on((conversation_id,), delete)

    async def _unsaved_after_history(
        self,
        record: ConversationRecord | None,
        conversation_id: str,
        messages: list[ModelMessage],
        branches: list[str],
        *,
        window: int | None,
    ) -> tuple[str | None, list[ModelMessage], list[str]]:
        # An image, for example, reads back as another type, and would seem to be changed.
        same = _read_back(ModelMessagesTypeAdapter, _plain(ModelMessagesTypeAdapter, messages))
        parent_id, unsaved, branches = await super()._unsaved_after_history(
            record, conversation_id, same, branches, window=window
        )
        return parent_id, messages[len(messages) - len(unsaved) :], branches

    def _record_of(self, head: Head) -> ConversationRecord | None:
        plain = head.metadata.get("record")
        if plain is None:
            return None
        self._note(head.name[0], _tips(plain))
        record: ConversationRecord = self._restored(_records, [plain], head.name[0])[0]
        return record

    def _list(self, scope: str | None, limit: int | None) -> list[ConversationRecord]:
        found: list[ConversationRecord] = []
        cursor = None
        while True:
            page = self._journals.list(
                user_id=self._user_id, limit=limit and limit + 1, cursor=cursor
            )
            for summary in page:
                head = self._open(summary.name).head()
                record = head and self._record_of(head)
                if record and scope in {None, record.scope}:
                    found.append(record)
            found.sort(key=lambda record: record.updated_at, reverse=True)
            cursor = page.cursor
            # Journals are sorted by the time of their last write, and no record is newer than that.
            if cursor is None or (
                limit is not None
                and len(found) >= limit
                and found[limit - 1].updated_at >= page.summaries[-1].updated_at
            ):
                return found[:limit]

    def _history(self, entry_id: str, limit: int | None) -> list[ConversationEntry]:
        items = self._find(entry_id, limit)
        if items is None:
            raise NotFoundError(
                "no conversation has this entry", key=entry_id, store=self._journals.store
            )
        plain = [item["message"] for item in items]
        messages = self._restored(ModelMessagesTypeAdapter, plain, self._places.get(entry_id, None))
        return [
            ConversationEntry(id=item["id"], parent_id=item["parent_id"], message=message)
            for item, message in zip(items, messages, strict=True)
        ]

    def _find(self, entry_id: str, limit: int | None) -> list[dict[str, Any]] | None:
        """Return an entry and those before it, in order; None if no conversation has them all."""
        for name in self._candidates(entry_id):
            items = _line(self._open((name,)), entry_id, limit)
            if items is not None:
                self._note(name, [item["id"] for item in items])
                return items
        return None

    def _candidates(self, entry_id: str) -> Iterator[str]:
        """Yield the conversations that may have an entry, likelier ones first."""
        known = self._places.get(entry_id, None)
        if known is not None:
            yield known
        heads = [
            (head.name[0], entry_id in _tips(head.metadata.get("record", {})))
            for head in self._journals.heads()
            if self._user_id in {None, head.user_id}
        ]
        for name, _ in sorted(heads, key=lambda head: head[1], reverse=True):
            if name != known:
                yield name

    def _missing(
        self, draft: Draft, record: dict[str, Any], new: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the other conversations' entries that a record's history and branches need."""
        parents = [item["parent_id"] for item in new.values()]
        needed = {*_tips(record), *parents} - {None, *new}
        here = {*_tips(draft.metadata.get("record", {}))}
        if needed - here:
            here |= {item["id"] for item in draft.items()}
        found: dict[str, dict[str, Any]] = {}
        for entry in needed - here:
            items = self._find(entry, None)
            if items is None:
                raise ConversationConflict(record["conversation_id"])
            found |= {item["id"]: item for item in items if item["id"] not in here}
        return [*found.values()]

    def _restored(
        self, adapter: TypeAdapter[Any], plain: list[Any], conversation_id: str | None
    ) -> list[Any]:
        try:
            return _read_back(adapter, plain)
        except ValidationError as error:
            raise CorruptDataError(
                f"this version of Pydantic AI cannot read it: {error.errors()[0]['msg']}",
                key=conversation_id,
                store=self._journals.store,
            ) from None

    def _note(self, conversation_id: str, entries: Iterable[str]) -> None:
        """Remember which conversation has these entries."""
        for entry in entries:
            self._places.put(entry, conversation_id)


def _line(journal: Journal, entry_id: str, limit: int | None) -> list[dict[str, Any]] | None:
    """Return an entry and those before it, up to a limit; None if the journal lacks any of them."""
    for last in (limit, None) if limit is not None else (None,):
        loaded = journal.load(last=last)
        if loaded is None:
            return None
        entries = {item["id"]: item for item in loaded.items}
        line: list[dict[str, Any]] = []
        before: str | None = entry_id
        while before in entries and len(line) != limit:
            line.append(entries.pop(before))
            before = line[-1]["parent_id"]
        if before is None or len(line) == limit:
            return line[::-1]
        if loaded.start == 0:
            break
    return None


def _compare(draft: Draft, conversation_id: str, revision: str | None) -> None:
    if draft.metadata.get("record", {}).get("revision") != revision:
        raise ConversationConflict(conversation_id)


def _tips(record: dict[str, Any]) -> list[str]:
    """Return the last entries of a record's history and branches."""
    tips = [record.get("head_id"), *record.get("branches", ())]
    return [tip for tip in tips if tip is not None]


def _plain(adapter: TypeAdapter[Any], values: list[Any]) -> list[Any]:
    try:
        plain: list[Any] = from_json(adapter.dump_json(values))
        _read_back(adapter, plain)
    except (PydanticSerializationError, ValueError) as error:
        raise InvalidDocumentError(
            f"it cannot be written as JSON and read back: {error}", landed="no"
        ) from None
    return plain


def _read_back(adapter: TypeAdapter[Any], plain: list[Any]) -> list[Any]:
    # In Python mode, text would be mistaken for the bytes that it encodes.
    values: list[Any] = adapter.validate_json(to_json(plain))
    return values


def _said_first(items: Iterable[dict[str, Any]]) -> str:
    """Return the text of the user's first prompt."""
    for item in items:
        for part in item["message"]["parts"]:
            if part.get("part_kind") == "user-prompt":
                content = part["content"]
                texts = [content] if isinstance(content, str) else content
                if said := " ".join([text for text in texts if isinstance(text, str)]):
                    return said
    return ""
