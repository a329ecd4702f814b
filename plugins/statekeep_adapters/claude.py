"""Sessions of the Claude Agent SDK.

```python
from statekeep_adapters.claude import StatekeepSessionStore

store = StatekeepSessionStore("./state", user_id="ada")
options = ClaudeAgentOptions(session_store=store)
```
"""

from __future__ import annotations

import json
import time
from threading import Lock
from typing import TYPE_CHECKING, Final

from statekeep import Journal
from statekeep.journals import SKIP
from statekeep_adapters._adapter import (
    Adapter,
    append_objects,
    framework,
    read_object,
    storable,
    title_of,
)

with framework("claude-agent-sdk"):
    from claude_agent_sdk import SessionStore, fold_session_summary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )

    from statekeep import Retention, StateStore
    from statekeep.events import Observer
    from statekeep.journals import Draft, Head

__all__ = ["StatekeepSessionStore"]

COLLECTION: Final = "claude"

_REMEMBERED: Final = 1024
"""How many keys a journal remembers; one change can have as many."""


class StatekeepSessionStore(Adapter, SessionStore):
    """Transcripts of sessions and of their subagents, as ``ClaudeAgentOptions.session_store``.

    The transcript of a session is a journal in the collection ``claude`` with the name
    ``(project_key, session_id)``; that of a subagent is ``(project_key, session_id, subpath)``.
    Works under asyncio and trio.

    Args:
        store: The store for the transcripts: a store, which stays open, or a URL, whose store is
            closed with this object.
        user_id: The user who owns new sessions; those of other users are refused, and not listed.
        collection: The collection of journals.
        retention: As in `statekeep.Journals`.
        observers: As in `statekeep.Journals`.

    Raises:
        OwnershipError: Raised by `append`, `load` and `delete`: the session belongs to another
            user.
        CorruptDataError: Raised by every method: what is stored is damaged.
        UnavailableError: Raised by every method: the store does not answer.
        InvalidDocumentError: JSON cannot hold an entry, or it is larger than 16 MiB; no entry of
            the batch was added.
        ValueError: A subpath is empty.
    """

    def __init__(
        self,
        store: StateStore | str,
        *,
        user_id: str | None = None,
        collection: str = COLLECTION,
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        super().__init__(
            store, collection, user_id=user_id, retention=retention, observers=observers
        )

    def _start(self) -> None:
        super()._start()
        self._clock = Lock()
        self._latest = 0

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Append entries to a transcript, all of them or none.

        An entry whose ``uuid`` is already there is skipped; one without a ``uuid`` is always added.
        """
        name, given = _name(key), list(entries)

        def add(draft: Draft) -> object:
            added = _add(draft, given)
            if not added:
                return SKIP
            metadata = draft.metadata
            metadata["mtime"] = self._next_mtime(metadata.get("mtime", 0))
            times = [_time(entry) for entry in added]
            metadata["latest"] = max(metadata.get("latest", ""), *times)
            is_main = len(name) == _MAIN
            if title := _fold(draft, key, added) if is_main else title_of(name[-1]):
                metadata["title"] = title
            return None

        if given:
            await self._run_on(name, lambda journal: journal.change(add))

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return all entries of a transcript, in order; None if it does not exist."""

        def load(journal: Journal) -> list[SessionStoreEntry] | None:
            items = journal.read()
            return None if items is None else [read_object(item) for item in items]

        return await self._run_on(_name(key), load)

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """List the sessions of a project, without subagents; reads their heads.

        A session's time increases with every change, even if a clock goes back.
        """
        heads = await self._run(self._heads, project_key, parts=_MAIN)
        return [{"session_id": head.name[1], "mtime": _mtime(head)} for head in heads]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """List the summaries of a project's sessions; reads their heads."""
        heads = await self._run(self._heads, project_key, parts=_MAIN)
        return [
            {
                "session_id": head.name[1],
                "mtime": _mtime(head),
                "data": read_object(head.metadata["summary"]),
            }
            for head in heads
            if "summary" in head.metadata
        ]

    async def delete(self, key: SessionKey) -> None:
        """Delete a transcript; for a session, also those of its subagents, which go first."""
        name = _name(key)
        if len(name) == _MAIN:
            await self._run(self._journals.delete_below, *name, user_id=self._user_id)
        else:
            await self._run_on(name, Journal.delete)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """List the subpaths of a session; reads the heads of their transcripts."""
        name = key["project_key"], key["session_id"]
        heads = await self._run(self._heads, *name, parts=_MAIN + 1)
        return [head.name[_MAIN] for head in heads]

    def _heads(self, *prefix: str, parts: int) -> list[Head]:
        heads = self._journals.heads(*prefix, parts=parts)
        return [head for head in heads if self._user_id in {None, head.user_id}]

    def _next_mtime(self, before: int) -> int:
        """Return milliseconds since 1970, greater than `before` and than any returned earlier."""
        with self._clock:
            self._latest = max(time.time_ns() // 10**6, self._latest + 1)
            # One session whose clock is ahead does not affect the others.
            return max(self._latest, before + 1)


_LONG: Final = 10_000
"""Maximum length of a text in a summary, in characters."""

_MAIN: Final = 2
"""The number of parts in the name of a session's own transcript."""


def _name(key: SessionKey) -> tuple[str, ...]:
    name, subpath = (key["project_key"], key["session_id"]), key.get("subpath")
    if subpath == "":
        raise ValueError("subpath is empty; leave it out for the transcript of the session itself")
    return name if subpath is None else (*name, subpath)


def _mtime(head: Head) -> int:
    return int(head.metadata.get("mtime", head.updated_at.timestamp() * 1000))


def _add(draft: Draft, entries: list[SessionStoreEntry]) -> list[SessionStoreEntry]:
    """Append the entries that are new, and return them."""
    if _may_be_forgotten(draft, entries):
        known, unknown = {_uuid(read_object(item)) for item in draft.items()}, []
        for entry in entries:
            key = _uuid(entry)
            if key is None or key not in known:
                unknown.append(entry)
            known.add(key)
        entries = unknown
    keys = [_uuid(entry) for entry in entries]
    for place in [place for place, key in enumerate(keys) if key][:-_REMEMBERED]:
        keys[place] = None
    new = append_objects(draft, entries, keys)
    return [entry for entry, is_new in zip(entries, new, strict=True) if is_new]


def _may_be_forgotten(draft: Draft, entries: list[SessionStoreEntry]) -> bool:
    """Return whether an entry may be stored although the journal no longer remembers its key.

    In that case the whole journal is read. An entry later than all stored ones is new.
    """
    keys = {key: _time(entry) for entry in entries if (key := _uuid(entry))}
    latest = draft.metadata.get("latest", "")
    return len(keys) > _REMEMBERED or (
        draft.length > _REMEMBERED
        and any(at <= latest and not draft.has(key) for key, at in keys.items())
    )


def _uuid(entry: SessionStoreEntry) -> str | None:
    uuid = entry.get("uuid")
    return json.dumps(uuid) if uuid and isinstance(uuid, str) else None  # may hold any character


def _time(entry: SessionStoreEntry) -> str:
    at = entry.get("timestamp")
    return at if isinstance(at, str) and at.isascii() else ""


def _fold(draft: Draft, key: SessionKey, added: list[SessionStoreEntry]) -> str | None:
    """Fold entries into a session's summary, and return its title."""
    before: SessionSummaryEntry | None = None
    if "summary" in draft.metadata:
        data = read_object(draft.metadata["summary"])
        before = {"session_id": key["session_id"], "mtime": 0, "data": data}
    else:
        added = [read_object(item) for item in draft.items()]
    data = fold_session_summary(before, key, added)["data"]
    # The size of the metadata is limited, and a summary must not keep a transcript from growing.
    data = {
        name: value[:_LONG] if isinstance(value, str) else value for name, value in data.items()
    }
    draft.metadata["summary"] = storable(data)
    names = "custom_title", "ai_title", "first_prompt", "command_fallback"
    found = [data[name] for name in names if data.get(name)]
    return title_of(found[0]) if found else None
