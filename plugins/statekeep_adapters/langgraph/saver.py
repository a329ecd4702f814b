"""Checkpoints of LangGraph: one journal for each thread."""

from __future__ import annotations

import random
import secrets
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final

from statekeep import NotFoundError
from statekeep.journals import SKIP
from statekeep_adapters._adapter import Adapter, framework
from statekeep_plugins.layouts.langgraph.threads import (
    Found,
    all_found,
    latest_in,
    needed_by,
    note,
    place_of,
    refs_of,
    rewrite,
    search,
)
from statekeep_plugins.layouts.langgraph.values import COLLECTION, NONCE, packed, title_in

with framework("langgraph"):
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        CheckpointTuple,
        get_checkpoint_id,
        get_checkpoint_metadata,
    )

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        DeltaChannelHistory,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from statekeep import Journal, Retention, StateStore
    from statekeep.events import Observer
    from statekeep.journals import Draft

__all__ = ["StatekeepSaver"]

_AT_ONCE: Final = 16


class StatekeepSaver(Adapter, BaseCheckpointSaver[str]):
    """The checkpoints of graphs, each thread in its own journal.

    A thread's journal in the collection ``langgraph`` is named after the thread's id and holds all
    namespaces. Every call is atomic: if several workers write at once, nothing is lost.

    Args:
        store: The store for the checkpoints: a store, which stays open, or a URL, whose store is
            closed with the saver.
        user_id: The user who owns new threads; those of other users are refused.
        serde: As in the savers of LangGraph: objects that it does not allow are not created from
            what is stored.
        collection: The collection of journals.
        retention: As in `statekeep.Journals`.
        observers: As in `statekeep.Journals`.

    Raises:
        OwnershipError: Raised by every method that names a thread: it belongs to another user.
        CorruptDataError: Raised by every method that reads: what is stored is damaged.
        UnavailableError: Raised by every method: the store does not answer.
        ClosedError: Raised by every method after `close`.
    """

    def __init__(
        self,
        store: StateStore | str,
        *,
        user_id: str | None = None,
        serde: SerializerProtocol | None = None,
        collection: str = COLLECTION,
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        BaseCheckpointSaver.__init__(self, serde=serde)
        Adapter.__init__(
            self, store, collection, user_id=user_id, retention=retention, observers=observers
        )

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, by default the latest one, which has the greatest id.

        Reading the latest takes one request, and one for each large value.
        """
        namespace, wanted = _namespace(config), get_checkpoint_id(config)

        def look(items: Sequence[dict[str, Any]], start: int) -> Found | None:
            item = latest_in(items, namespace, wanted)
            return None if item is None or item["from"] < start else Found(item, items)

        found, files = self._on(
            _name(config), lambda journal: search(journal, namespace, look, lambda it: it.refs)
        )
        if found is None:
            return None
        return self._tuple(config["configurable"]["thread_id"], found, files, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the interface's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """List the checkpoints of each thread, greatest id first; reads whole threads.

        Args:
            config: The thread, and optionally the namespace and checkpoint; None for all threads.
                Without a namespace, those of all namespaces.
            filter: Only checkpoints whose metadata has these values.
            before: Only checkpoints with smaller ids than this one.
            limit: Maximum number of checkpoints.
        """
        configurable = config["configurable"] if config else {}
        wanted = {"checkpoint": configurable.get("checkpoint_id") or None}
        wanted["ns"] = configurable.get("checkpoint_ns")
        end = get_checkpoint_id(before) if before else None
        names = [_name(config)] if config else self._names()
        left = limit
        for name in names:
            items = self._on(name, lambda journal: journal.read()) or []
            found = [
                each
                for each in all_found(items)
                if all(value in {None, each.item[key]} for key, value in wanted.items())
                and (not end or each.item["checkpoint"] < end)
            ]
            thread = configurable.get("thread_id", name[0])
            for each in self._tuples(name, thread, found, filter or {}):
                if left is not None:
                    if left <= 0:
                        return
                    left -= 1
                yield each

    def _tuples(
        self, name: tuple[str, ...], thread: str, found: Sequence[Found], wanted: Mapping[str, Any]
    ) -> Iterator[CheckpointTuple]:
        """Yield checkpoints with what they need, read in batches."""
        for start in range(0, len(found), _AT_ONCE):
            some = found[start : start + _AT_ONCE]
            refs = {ref for each in some for ref in each.refs}
            there = self._attached(name, refs) if refs else {}
            files = {ref: data for ref, data in there.items() if data is not None}
            for each in some:
                if not each.refs <= files.keys():
                    continue  # pruned in the meantime
                metadata = self._unpack(each.item["metadata"], files)
                if all(metadata.get(key) == value for key, value in wanted.items()):
                    yield self._tuple(thread, each, files)

    def _attached(self, name: tuple[str, ...], refs: set[str]) -> Mapping[str, bytes | None]:
        try:
            return self._on(name, lambda journal: journal.attachments(refs))
        except NotFoundError:  # deleted in the meantime
            return {}

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, replacing one with the same id. One request for a known thread.

        Each large value of a channel takes one more, if it is new.
        """
        configurable, namespace = config["configurable"], _namespace(config)
        parent = get_checkpoint_id(config)
        said = get_checkpoint_metadata(config, metadata)
        values = checkpoint["channel_values"]
        rest = {name: value for name, value in checkpoint.items() if name != "channel_values"}
        pack = self._packing()

        def add(draft: Draft) -> None:
            known = draft.metadata.get(place_of(namespace), {})
            large = known["large"] if parent and known.get("id") == parent else {}
            kept = {}
            for name, value in values.items():
                version = checkpoint["channel_versions"].get(name)
                there = large.get(name)
                # What has not changed since the parent is already stored.
                is_known = there and name not in new_versions and there[1]["version"] == version
                kept[name] = there if is_known else pack(draft, value, name, version)
            item = {
                "checkpoint": checkpoint["id"],
                "ns": namespace,
                "parent": parent,
                "data": pack(draft, rest, "", None),
                "metadata": pack(draft, said, "", None),
                "values": kept,
                "run": said.get("run_id"),
                "delta": sorted(said.get("counters_since_delta_snapshot") or {}),
            }
            note(draft.metadata, item, draft.length)
            draft.append([item])
            if (
                not namespace
                and "title" not in draft.metadata
                and (title := title_in(values.get("messages")))
            ):
                draft.metadata["title"] = title

        self._on(_name(config), lambda journal: journal.change(add))
        return _config(configurable["thread_id"], namespace, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote. One request for a known thread."""
        namespace, wanted = _namespace(config), config["configurable"]["checkpoint_id"]
        pack = self._packing()

        def add(draft: Draft) -> None:
            item = {
                "writes": wanted,
                "ns": namespace,
                "task": task_id,
                "path": task_path,
                "of": [
                    [WRITES_IDX_MAP.get(channel, index), channel, pack(draft, value, index, None)]
                    for index, (channel, value) in enumerate(writes)
                ],
            }
            note(draft.metadata, item, draft.length)
            draft.append([item])

        if writes:
            self._on(_name(config), lambda journal: journal.change(add))

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread with all its namespaces; a missing thread is not an error."""
        self._on((str(thread_id),), lambda journal: journal.delete())

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of some runs, and their writes, permanently; reads all threads.

        A delta channel that builds on them loses what they wrote.
        """
        runs = {*run_ids}

        def keep(items: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
            found = {(each.item["ns"], each.item["checkpoint"]): each for each in all_found(items)}
            return {at for at, each in found.items() if each.item["run"] not in runs}

        for name in self._names() if runs else ():
            self._keep(name, keep)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a whole thread.

        Raises:
            ConflictError: A thread with the target id exists; nothing was changed.
            NotFoundError: There is no thread to copy.
        """
        self._on((str(source_thread_id),), lambda journal: journal.fork(str(target_thread_id)))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Permanently delete all but the latest checkpoint of each namespace.

        Ancestors stay as long as a delta channel of the latest checkpoint builds on them.

        Args:
            thread_ids: The threads; a missing thread is not an error.
            strategy: ``keep_latest``, or ``delete`` for all checkpoints.

        Raises:
            ValueError: There is no such strategy.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise ValueError(f"strategy: keep_latest or delete, not {strategy!r}")
        for thread_id in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread_id)
            else:
                self._keep((str(thread_id),), needed_by)

    def _keep(
        self,
        name: tuple[str, ...],
        choose: Callable[[Sequence[dict[str, Any]]], set[tuple[str, str]]],
    ) -> None:
        """Delete a thread's checkpoints that are not chosen, and then their attachments."""
        gone: set[str] = set()

        def take(draft: Draft) -> object:
            gone.clear()
            items = draft.items() if draft.exists else []
            there = {(item["ns"], item["checkpoint"]) for item in items if "checkpoint" in item}
            chosen = choose(items)
            kept = []
            for item in items:
                at = item["ns"], item.get("checkpoint", item.get("writes"))
                # Writes without a checkpoint are waiting for theirs.
                if at in chosen or at not in there:
                    kept.append(item)
            if len(kept) == len(items):
                return SKIP
            gone.update(refs_of(items) - refs_of(kept))
            rewrite(draft, kept)
            return None

        def prune(journal: Journal) -> None:
            journal.change(take)
            if gone:
                journal.detach(gone)

        self._on(name, prune)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what was written to delta channels since an ancestor that has their value.

        It reads no more of the thread than needed.
        """
        if not channels:
            return {}
        namespace, wanted = _namespace(config), get_checkpoint_id(config)

        def look(items: Sequence[dict[str, Any]], start: int) -> Sequence[Found] | None:
            """Return the ancestors, nearest first."""
            by_id = {
                item["checkpoint"]: item
                for item in items
                if "checkpoint" in item and item["ns"] == namespace
            }
            at = by_id.get(wanted) if wanted else latest_in(items, namespace)
            chain: dict[str, Found] = {}
            missing = {*channels}
            while at is not None and missing:
                parent = at["parent"]
                if parent is None or parent in chain:
                    return [*chain.values()]
                at = by_id.get(parent)
                if at is None or at["from"] < start:
                    break
                chain[parent] = Found(at, items)
                missing -= {*at["values"]}
            return None if missing and start else [*chain.values()]

        def refs(chain: Sequence[Found]) -> set[str]:
            return {ref for each in chain for ref in each.refs}

        chain, files = self._on(
            _name(config), lambda journal: search(journal, namespace, look, refs)
        )
        history: dict[str, DeltaChannelHistory] = {name: {"writes": []} for name in channels}
        missing = {*channels}
        for each in chain or ():
            for name in [*missing]:
                written = [
                    (task, name, self._unpack(value, files))
                    for task, channel, value in each.writes
                    if channel == name
                ]
                history[name]["writes"][:0] = written
                if name in each.item["values"]:
                    history[name]["seed"] = self._unpack(each.item["values"][name], files)
                    missing.remove(name)
        return history

    def get_next_version(self, current: str | int | None, channel: None) -> str:  # noqa: ARG002
        """Return the next version of a channel, one that no other branch has."""
        number = int(str(current).split(".", maxsplit=1)[0]) if current is not None else 0
        return f"{number + 1:032}.{random.random():016}"  # noqa: S311 - like LangGraph's own savers

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `get_tuple`."""
        async with self._turn(_name(config)):
            return await self._run(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See `list`."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (each := await self._run(next, found, None)) is not None:
            yield each

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `put`."""
        async with self._turn(_name(config)):
            return await self._run(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """See `put_writes`."""
        async with self._turn(_name(config)):
            await self._run(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """See `delete_thread`."""
        async with self._turn((str(thread_id),)):
            await self._run(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """See `delete_for_runs`."""
        await self._run(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """See `copy_thread`."""
        await self._run(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """See `prune`."""
        await self._run(self.prune, thread_ids, strategy=strategy)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """See `get_delta_channel_history`."""
        async with self._turn(_name(config)):
            return await self._run(self.get_delta_channel_history, config=config, channels=channels)

    def _names(self) -> Sequence[tuple[str, ...]]:
        return [summary.name for summary in self._journals.list(user_id=self._user_id)]

    def _packing(self) -> Callable[[Draft, Any, str | int, Any], Any]:
        """Return a function that packs values, each only once however often a change is retried."""
        done: dict[tuple[str | int, int], tuple[str, bytes]] = {}
        nonce = secrets.token_bytes(NONCE)

        def pack(draft: Draft, value: Any, name: str | int, version: Any) -> Any:  # noqa: ANN401
            at = name, id(value)
            if at not in done:
                done[at] = self.serde.dumps_typed(value)
            kind, data = done[at]
            return packed(draft, kind, data, version, nonce)

        return pack

    def _unpack(self, value: Any, files: Mapping[str, bytes]) -> Any:  # noqa: ANN401
        kind, data = value
        is_large = isinstance(data, dict)
        return self.serde.loads_typed(
            (kind, files[data["ref"]][NONCE:] if is_large else b64decode(data))
        )

    def _tuple(
        self,
        thread_id: str,
        found: Found,
        files: Mapping[str, bytes],
        config: RunnableConfig | None = None,
    ) -> CheckpointTuple:
        item = found.item
        namespace, parent = item["ns"], item["parent"]
        values = {name: self._unpack(value, files) for name, value in item["values"].items()}
        if config is None or not get_checkpoint_id(config):
            config = _config(thread_id, namespace, item["checkpoint"])
        rest: Checkpoint = self._unpack(item["data"], files)
        return CheckpointTuple(
            config,
            {**rest, "channel_values": values},
            self._unpack(item["metadata"], files),
            _config(thread_id, namespace, parent) if parent else None,
            [(task, channel, self._unpack(value, files)) for task, channel, value in found.writes],
        )


def _name(config: RunnableConfig) -> tuple[str, ...]:
    return (str(config["configurable"]["thread_id"]),)


def _namespace(config: RunnableConfig) -> str:
    namespace: str = config["configurable"].get("checkpoint_ns", "")
    return namespace


def _config(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }
