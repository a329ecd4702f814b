"""The layout of a LangGraph thread in its journal.

The items are checkpoints and the writes of tasks, in the order of arrival; if several have the same
id, readers choose the one that counts. The metadata says for each namespace where its latest
checkpoint begins, so that resuming reads only the end of the journal, however long it is.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from statekeep import Journal
    from statekeep.journals import Draft, Head, Loaded

__all__ = [
    "Found",
    "all_found",
    "latest_in",
    "needed_by",
    "note",
    "place_of",
    "refs_of",
    "rewrite",
    "search",
]

T = TypeVar("T")
Item = dict[str, Any]

_LATEST: Final = "latest"
_EARLY: Final = "early"
_EVICTED: Final = "evicted"

_SPACES: Final = 512
"""How many namespaces the metadata records: each run of a subgraph has its own."""

_WITH_LARGE: Final = 4
"""For how many of them it records large values, besides the root."""

_MOST_EARLY: Final = 1024
_WINDOW: Final = 64
"""Minimum number of items to read from the end if the latest checkpoint is not enough."""


class Found:
    """A checkpoint and its writes.

    Attributes:
        item: The checkpoint's item.
        writes: What tasks wrote, in the order in which LangGraph applies it: the task's id, the
            channel and the packed value.
    """

    def __init__(self, item: Item, items: Iterable[Item]) -> None:
        self.item = item
        kept: dict[tuple[str, int], tuple[str, str, Any]] = {}
        for each in items:
            if each.get("writes") == item["checkpoint"] and each["ns"] == item["ns"]:
                for index, channel, value in each["of"]:
                    at = each["task"], index
                    if index < 0 or at not in kept:
                        kept[at] = each["path"], channel, value
        self.writes = [
            (task, channel, value)
            for (_, task, _), (channel, value) in sorted(
                [((path, *at), (channel, value)) for at, (path, channel, value) in kept.items()],
                key=lambda write: write[0],
            )
        ]

    @property
    def refs(self) -> set[str]:
        """The attachments that hold large values."""
        return refs_of([self.item]) | _refs([value for _, _, value in self.writes])


def place_of(namespace: str) -> str:
    """Return the metadata key that describes the latest checkpoint of a namespace."""
    if not namespace:
        return _LATEST
    return f"{_LATEST}:{blake2b(namespace.encode(errors='replace'), digest_size=8).hexdigest()}"


def note(metadata: dict[str, Any], item: Item, position: int) -> None:
    """Record in the metadata an item that is about to be appended.

    Args:
        metadata: The journal's metadata; changed in place.
        item: Writes, or a checkpoint, whose ``from`` is set to the position where its writes begin.
        position: The position that the item will have.
    """
    place = place_of(item["ns"])
    known: Item | None = metadata.get(place)
    early: dict[str, int] = metadata.get(_EARLY, {})
    if "writes" in item:
        # LangGraph may send a task's writes before the checkpoint that they belong to.
        if known is None or item["writes"] > known["id"]:
            early.setdefault(_early(place, item["writes"]), position)
            if len(early) > _MOST_EARLY:
                early = {"": min(early.values())}
            metadata[_EARLY] = early
        return
    checkpoint = item["checkpoint"]
    # It is unknown where the writes of these begin and, without an entry, which is the latest.
    is_unknown = checkpoint < known["id"] if known else checkpoint <= metadata.get(_EVICTED, "")
    begins = 0 if is_unknown else position
    if known and checkpoint == known["id"]:
        begins = known["from"]
    before = (early.pop(_early(place, checkpoint), position), early.get("", position))
    if early:
        metadata[_EARLY] = early
    else:
        metadata.pop(_EARLY, None)
    item["from"] = min(begins, *before)
    if not is_unknown:
        values = item["values"].items()
        large = {name: value for name, value in values if isinstance(value[1], dict)}
        metadata[place] = {"id": checkpoint, "at": position, "from": item["from"], "large": large}
        _bound(metadata)


def _bound(metadata: dict[str, Any]) -> None:
    """Limit the namespaces in the metadata, and those with large values.

    A large value that is not recorded is written again, and a missing namespace is searched for.
    """
    spaces = [key for key in metadata if key.startswith(f"{_LATEST}:")]
    spaces.sort(key=lambda key: metadata[key]["at"], reverse=True)
    for key in spaces[_WITH_LARGE:]:
        metadata[key]["large"] = {}
    for key in spaces[_SPACES:]:
        gone = metadata.pop(key)
        metadata[_EVICTED] = max(gone["id"], metadata.get(_EVICTED, ""))


def _early(place: str, checkpoint: str) -> str:
    return f"{place} {checkpoint}"


def rewrite(draft: Draft, kept: Sequence[Item]) -> None:
    """Replace all items by these, and delete the others permanently."""
    for key in [*draft.metadata]:
        if key in {_LATEST, _EARLY, _EVICTED} or key.startswith(f"{_LATEST}:"):
            del draft.metadata[key]
    for position, item in enumerate(kept):
        note(draft.metadata, item, position)
    draft.clear()
    draft.append(kept)
    draft.forget = True


def latest_in(items: Iterable[Item], namespace: str, checkpoint: str | None = None) -> Item | None:
    """Return the checkpoint with this id, or the greatest; among equal ids, the last written."""
    best: Item | None = None
    for item in items:
        if (
            item.get("checkpoint") is not None
            and item["ns"] == namespace
            and (checkpoint is None or item["checkpoint"] == checkpoint)
            and (best is None or item["checkpoint"] >= best["checkpoint"])
        ):
            best = item
    return best


def all_found(items: Sequence[Item]) -> Iterator[Found]:
    """Yield each checkpoint with its writes, greatest id first."""
    last = {(item["ns"], item["checkpoint"]): item for item in items if "checkpoint" in item}
    writes: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        if "writes" in item:
            writes.setdefault((item["ns"], item["writes"]), []).append(item)
    for at in sorted(last, key=lambda at: at[1], reverse=True):
        yield Found(last[at], writes.get(at, []))


def search(
    journal: Journal,
    namespace: str,
    look: Callable[[Sequence[Item], int], T | None],
    refs: Callable[[T], Iterable[str]],
) -> tuple[T | None, dict[str, bytes]]:
    """Search the items of a thread, newest first.

    Args:
        journal: The thread's journal.
        namespace: The namespace. The items from its latest checkpoint on are read first, then
            twice as many, and so on.
        look: Searches the items from a position to the end; returns None if it needs earlier ones
            or, if the position is 0, if it finds nothing.
        refs: Returns the attachments that a result needs.

    Returns:
        What was found, and the attachments that it needs.
    """
    found: T | None = None
    start = -1

    def begin(head: Head) -> int:
        nonlocal start
        known = head.metadata.get(place_of(namespace))
        if known is None:
            start = 0 if _EVICTED in head.metadata else head.length  # otherwise there is none
        elif start < 0:
            start = known["from"]
        else:
            start = max(0, head.length - max(_WINDOW, 2 * (head.length - start)))
        return start

    def named(loaded: Loaded) -> Iterable[str]:
        nonlocal found
        found = look(loaded.items, loaded.start)
        return () if found is None else refs(found)

    while True:
        loaded = journal.load(start=begin, refs=named)
        if loaded is None:
            return None, {}
        if found is not None or not loaded.start or not loaded.items:
            return found, loaded.attachments


def needed_by(items: Sequence[Item]) -> set[tuple[str, str]]:
    """Return each namespace's latest checkpoint, and those that its delta channels build on.

    The value of a delta channel is what was written since an ancestor that has a value for it.
    """
    by_id = {(item["ns"], item["checkpoint"]): item for item in items if "checkpoint" in item}
    latest: dict[str, str] = {}
    for ns, checkpoint in by_id:
        latest[ns] = max(checkpoint, latest.get(ns, ""))
    needed = {*latest.items()}
    for ns, checkpoint in latest.items():
        item = by_id[ns, checkpoint]
        missing = {*item["delta"]} - {*item["values"]}
        while missing and (above := by_id.get((ns, item["parent"]))) is not None:
            if (ns, above["checkpoint"]) in needed:
                break  # the namespace's own ancestor
            needed.add((ns, above["checkpoint"]))
            missing -= {*above["values"]}
            item = above
    return needed


def refs_of(items: Iterable[Item]) -> set[str]:
    """Return the attachments that items refer to."""
    refs: set[str] = set()
    for item in items:
        if "writes" in item:
            refs |= _refs([value for _, _, value in item["of"]])
        else:
            refs |= _refs([item["data"], item["metadata"], *item["values"].values()])
    return refs


def _refs(values: Iterable[Any]) -> set[str]:
    return {value[1]["ref"] for value in values if isinstance(value[1], dict)}
