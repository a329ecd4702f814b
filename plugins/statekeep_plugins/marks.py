"""Marks in the metadata of journals: how much of a source was imported.

A mark is written in the same change as the items, so an interrupted import can be run again, and
nothing is imported twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from blake3 import blake3

from statekeep.errors import ConflictError
from statekeep.transport import ImportRemark, ImportReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from statekeep import Journal
    from statekeep.journals import Draft
    from statekeep.transport import ImportSource

__all__ = ["MARK", "Aside", "Importing"]

MARK: Final = "statekeep.import"
"""The metadata key of the mark."""

_REPORTED: Final = 1000

Aside = tuple[str, str, bytes | None, str]
"""A damaged part: its place, what is wrong, its bytes, and the name of the attachment."""


class Importing:
    """One import into a journal.

    Args:
        journal: The journal.
        dry_run: Write nothing; count what would be added.

    Attributes:
        mark: The mark; None if nothing was imported yet.
        unchanged: How many items the journal had before.
        added: How many items were added.
        damaged: How many damaged parts were found.
        remarks: The first thousand damaged parts.

    Raises:
        OwnershipError, CorruptDataError, UnavailableError: The journal cannot be read.
    """

    def __init__(self, journal: Journal, *, dry_run: bool = False) -> None:
        self._journal = journal
        self._dry_run = dry_run
        head = journal.head()
        mark = head.metadata.get(MARK) if head else None
        self.mark: dict[str, Any] | None = mark if isinstance(mark, dict) else None
        self.unchanged = head.length if head else 0
        self.added = self.damaged = 0
        self.remarks: list[ImportRemark] = []
        self._is_others = head is not None and (
            self.mark is None or self.mark.get("length") != head.length
        )

    def refuse_others(self) -> None:
        """Check that the journal holds what was imported and nothing else.

        Raises:
            ConflictError: It does not.
        """
        if not self._is_others and self.unchanged and "last" in (self.mark or {}):
            last = self._journal.read(last=1) or []
            self._is_others = _hash(last) != (self.mark or {})["last"]
        if self._is_others:
            raise self.conflict("it has entries that were not imported from this file")

    def conflict(self, why: str) -> ConflictError:
        """Make the error for a source and a journal that no longer fit together."""
        name = "/".join(self._journal.name)
        left = f"items added before ({self.added}) stay" if self.added else "nothing was changed"
        return ConflictError(f"the journal {name!r}: {why}; {left}", landed="no")

    def report(self, source: ImportSource) -> ImportReport:
        """Return the report on the import of a source."""
        return ImportReport(
            str(source.path),
            source.collection,
            source.name,
            self.added,
            self.unchanged,
            self.damaged,
            tuple(self.remarks),
        )

    def write(
        self,
        add: Callable[[Draft], int],
        would_add: int,
        aside: Iterable[Aside],
        mark: Callable[[], dict[str, Any]],
    ) -> None:
        """Add something, together with the new mark, in one change.

        Args:
            add: Adds it to the journal's draft, and returns how many items are new.
            would_add: How many items it adds at most; counted in a dry run.
            aside: Damaged parts, which are attached.
            mark: Returns the new mark.

        Raises:
            ConflictError: Something else is writing to the journal.
        """
        aside = list(aside)
        if self._dry_run:
            self.added += would_add
            for place, reason, _, _ in aside:
                self.remark(place, reason)
            return
        added, refs, after = 0, list[str | None](), dict[str, Any]()

        def change(draft: Draft) -> None:
            nonlocal added, refs, after
            length = self.mark["length"] if self.mark else 0
            if draft.metadata.get(MARK) != self.mark or draft.length != length:
                raise self.conflict("something else is writing to it")
            added = add(draft)
            refs = [
                None if data is None else draft.attach(data, file) for _, _, data, file in aside
            ]
            after = mark() | {"length": draft.length, "last": _hash(draft.last(1))}
            draft.metadata[MARK] = after

        self._journal.change(change)
        self.mark = after
        self.added += added
        for (place, reason, _, _), ref in zip(aside, refs, strict=True):
            self.remark(place, reason, ref)

    def remark(self, place: str, reason: str, ref: str | None = None) -> None:
        """Count a damaged part, and remark on it."""
        self.damaged += 1
        if len(self.remarks) < _REPORTED:
            self.remarks.append(ImportRemark(place, reason, ref))


def _hash(items: list[Any]) -> str:
    return blake3(orjson.dumps(items, option=orjson.OPT_SORT_KEYS)).hexdigest(length=16)
