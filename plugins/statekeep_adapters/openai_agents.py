"""Sessions of the OpenAI Agents SDK.

```python
from statekeep_adapters.openai_agents import StatekeepSession

session = StatekeepSession("thread-17", "./state", user_id="ada")
result = await Runner.run(agent, "Hello", session=session)
```
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from statekeep.journals import SKIP
from statekeep_adapters._adapter import (
    Adapter,
    append_objects,
    framework,
    read_object,
)
from statekeep_plugins.layouts.openai_agents import BEGINNING, COLLECTION, title_in

with framework("openai-agents"):
    from agents.memory import SessionABC, SessionSettings
    from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from agents.items import TResponseInputItem

    from statekeep import Journal, Retention, StateStore
    from statekeep.events import Observer
    from statekeep.journals import Draft

__all__ = ["StatekeepSession"]

T = TypeVar("T")


class StatekeepSession(Adapter, SessionABC):
    """The history of a conversation, as `agents.Runner` keeps it.

    It is the journal in the collection ``openai-agents`` that is named after its id. Each call is
    atomic: if several workers add items at once, all of them are there, each batch in one piece.

    Args:
        session_id: Any text.
        store: The store for the history: a store, which stays open, or a URL, whose store is closed
            with the session.
        user_id: The user who owns the session; a session of another user is refused.
        session_settings: As in the sessions of the SDK: `limit` is the number of latest items that
            a run gets.
        collection: The collection of journals.
        retention: As in `statekeep.Journals`.
        observers: As in `statekeep.Journals`.

    Raises:
        OwnershipError: Raised by every method: the session belongs to another user.
        CorruptDataError: Raised by every method: what is stored is damaged.
        UnavailableError: Raised by every method: the store does not answer.
        InvalidDocumentError: JSON cannot hold an item; nothing was added.
        ClosedError: Raised by every method after `close`.
    """

    session_settings: SessionSettings | None = None

    def __init__(
        self,
        session_id: str,
        store: StateStore | str,
        *,
        user_id: str | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        collection: str = COLLECTION,
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.session_id = session_id
        self.session_settings = coerce_session_settings(session_settings or {})
        super().__init__(
            store, collection, user_id=user_id, retention=retention, observers=observers
        )

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the latest items, oldest first.

        Args:
            limit: How many; None for the number in the settings, or all. 0 or less means none.
        """
        last = resolve_session_limit(limit, self.session_settings)
        return [] if last is not None and last <= 0 else (await self._load(last))[0]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append items, all of them or none."""
        added = _listed(items)
        if added:
            await self._change(lambda draft: append_objects(draft, added), create=True)

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove and return the latest item; None if there is none."""
        return await self._change(
            lambda draft: cast(
                "TResponseInputItem", read_object(draft.pop()) if draft.length else SKIP
            )
        )

    async def clear_session(self) -> None:
        """Delete all items permanently."""

        def clear(draft: Draft) -> None:
            draft.clear()
            draft.forget = True
            draft.metadata.pop("title", None)

        await self._change(clear)

    async def replace_items(self, items: list[TResponseInputItem]) -> None:
        """Replace all items in one write, as compaction does.

        The old items are deleted permanently.
        """
        added = _listed(items)

        def replace(draft: Draft) -> None:
            draft.clear()
            draft.forget = True
            append_objects(draft, added)

        await self._change(replace, create=True)

    async def _load(self, last: int | None) -> tuple[list[Any], bool]:
        """Return the latest items, and whether these are all."""

        def load(journal: Journal) -> tuple[list[Any], bool]:
            loaded = journal.load(last=last)
            if loaded is None:
                return [], True
            return [read_object(item) for item in loaded.items], loaded.start == 0

        return await self._run_on((self.session_id,), load)

    async def _change(self, fn: Callable[[Draft], T], *, create: bool = False) -> T | None:
        """Change the history in one write; return None if there is nothing to change."""

        def titled(draft: Draft) -> T:
            if not (create or draft.exists):
                return cast("T", SKIP)
            begins = draft.length < BEGINNING
            result = fn(draft)
            if begins and "title" not in draft.metadata and (title := _title(draft)):
                draft.metadata["title"] = title
            return result

        def change(journal: Journal) -> T | None:
            result = journal.change(titled)
            return None if result is SKIP else result

        return await self._run_on((self.session_id,), change)

    # `OpenAIResponsesCompactionSession` calls this to replace the end in one write.
    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: Callable[[TResponseInputItem], bool] | None = None
    ) -> _Snapshot | None:
        if prune_prefix is not None or type(self) is not StatekeepSession:
            return None
        items, is_complete = await self._load(limit)

        async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
            expected = items[start:]

            def replace(draft: Draft) -> bool:
                if not expected or _last(draft, len(expected)) != expected:
                    return cast("bool", SKIP)
                draft.truncate(draft.length - len(expected))
                append_objects(draft, output)
                draft.forget = True
                return True

            return bool(await self._change(replace))

        return _Snapshot(deepcopy(items), is_complete, replace_suffix)


@dataclass(frozen=True)
class _Snapshot:
    items: list[TResponseInputItem]
    complete: bool
    replace_suffix: Callable[[int, list[TResponseInputItem]], Awaitable[bool]]


def _listed(items: list[TResponseInputItem]) -> list[TResponseInputItem]:
    if isinstance(items, str | dict):
        raise TypeError(f"items: a list of items, not {type(items).__name__}")
    return list(items)


def _last(draft: Draft, n: int) -> list[Any]:
    return [read_object(item) for item in draft.last(n)]


def _title(draft: Draft) -> str:
    return title_in(map(read_object, draft.items(0, BEGINNING)))
