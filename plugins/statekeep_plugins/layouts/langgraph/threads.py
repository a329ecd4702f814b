"""How a thread of LangGraph lies in its journal.

The items are checkpoints and the writes of tasks, as they came; of two of one name, those who read
take the one that counts. The metadata says of each namespace where its latest checkpoint begins,
so that resuming reads the end of the journal, however long it is.
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
"""How many namespaces the metadata knows: each run of a subgraph has one of its own."""

_WITH_LARGE: Final = 4
"""Of how many of them it knows the large values, besides the root's."""

_MOST_EARLY: Final = 1024
_WINDOW: Final = 64
"""Items from the end that are read at least where the latest checkpoint is not enough."""


class Found:
    """A checkpoint and its writes.

    Attributes:
        item: The item of the checkpoint.
        writes: What tasks wrote, in the order in which LangGraph applies it: the id of the task,
            the channel and the packed value.
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
        """The attachments that hold what is large."""
        return refs_of([self.item]) | _refs([value for _, _, value in self.writes])


def place_of(namespace: str) -> str:
    """The key of the metadata that tells of the latest checkpoint of a namespace."""
    if not namespace:
        return _LATEST
    return f"{_LATEST}:{blake2b(namespace.encode(errors='replace'), digest_size=8).hexdigest()}"


def note(metadata: dict[str, Any], item: Item, position: int) -> None:
    """Let the metadata know of an item that is about to have a position.

    Args:
        metadata: The journal's; changed in place.
        item: A checkpoint, which is told from where on its writes lie, or writes.
        position: Where it will be.
    """
    place = place_of(item["ns"])
    known: Item | None = metadata.get(place)
    early: dict[str, int] = metadata.get(_EARLY, {})
    if "writes" in item:
        # LangGraph may send the writes of a task before the checkpoint that they belong to.
        if known is None or item["writes"] > known["id"]:
            early.setdefault(_early(place, item["writes"]), position)
            if len(early) > _MOST_EARLY:
                early = {"": min(early.values())}
            metadata[_EARLY] = early
        return
    checkpoint = item["checkpoint"]
    # Of these nobody knows where their writes begin, nor, without an entry, which is the latest.
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
    """Know the large values of few namespaces only, and no more namespaces than may be.

    What is not known is written again, and what is not there is looked for.
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
    """Put these items in the place of all, and delete for good what goes."""
    for key in [*draft.metadata]:
        if key in {_LATEST, _EARLY, _EVICTED} or key.startswith(f"{_LATEST}:"):
            del draft.metadata[key]
    for position, item in enumerate(kept):
        note(draft.metadata, item, position)
    draft.clear()
    draft.append(kept)
    draft.forget = True


def latest_in(items: Iterable[Item], namespace: str, checkpoint: str | None = None) -> Item | None:
    """The checkpoint of that id, or the one with the greatest; of several, the last written."""
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
    """Each checkpoint with its writes, the greatest id first."""
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
    """Look for something in the items of a thread, the newest first.

    Args:
        journal: The thread's.
        namespace: The namespace; what begins with its latest checkpoint is read first, and then
            twice as much, and so on.
        look: Looks in the items from a position to the end; None if it needs earlier ones, or, if
            that is 0, finds nothing.
        refs: What it needs to be read besides.

    Returns:
        What was found, and the attachments that it needs.
    """
    found: T | None = None
    start = -1

    def begin(head: Head) -> int:
        nonlocal start
        known = head.metadata.get(place_of(namespace))
        if known is None:
            start = 0 if _EVICTED in head.metadata else head.length  # else there is none
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
    """The latest checkpoint of each namespace, and those that delta channels are made of.

    A delta channel without a value is what was written since an ancestor that has one.
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
                break  # its own ancestor
            needed.add((ns, above["checkpoint"]))
            missing -= {*above["values"]}
            item = above
    return needed


def refs_of(items: Iterable[Item]) -> set[str]:
    """The attachments that some items name."""
    refs: set[str] = set()
    for item in items:
        if "writes" in item:
            refs |= _refs([value for _, _, value in item["of"]])
        else:
            refs |= _refs([item["data"], item["metadata"], *item["values"].values()])
    return refs


def _refs(values: Iterable[Any]) -> set[str]:
    return {value[1]["ref"] for value in values if isinstance(value[1], dict)}
