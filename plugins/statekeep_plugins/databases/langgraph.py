"""Imports threads of LangGraph from a file of its ``SqliteSaver``."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from statekeep import Journals
from statekeep.plugins import ImporterSpec, hookimpl
from statekeep.transport import ImportReport, ImportSource
from statekeep_plugins.databases.checkpoints import Batch
from statekeep_plugins.databases.reading import LONGEST, databases_in, opened
from statekeep_plugins.layouts.langgraph.values import COLLECTION
from statekeep_plugins.marks import Importing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep import StateStore
    from statekeep_plugins.databases.reading import Database

__all__ = ["import_thread", "statekeep_importers"]

_AT: Final = {"thread_id", "checkpoint_ns", "checkpoint_id"}
_TABLES: Final = {
    "checkpoints": {*_AT, "parent_checkpoint_id", "type", "checkpoint", "metadata"},
    "writes": {*_AT, "task_id", "idx", "channel", "type", "value"},
}
_WHOSE: Final = "SqliteSaver of LangGraph"
_BYTES: Final = 2**20
_ITEMS: Final = 500

_CHECKPOINT: Final = f"""
    SELECT rowid AS at, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, metadata,
        length(checkpoint) AS size,
        CASE WHEN length(checkpoint) <= {LONGEST} THEN checkpoint END AS checkpoint
    FROM checkpoints WHERE rowid = ?
"""
_WRITES: Final = f"""
    SELECT rowid AS at, checkpoint_ns, checkpoint_id, task_id, {{path}} AS task_path, idx, channel,
        type, length(value) AS size,
        CASE WHEN length(value) <= {LONGEST} THEN value END AS value
    FROM writes WHERE
"""
_OF_CHECKPOINT: Final = """
    thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? AND +rowid > ? AND +rowid <= ?
    ORDER BY task_id, idx
"""
# Only numbers are sorted; the plus makes SQLite find them by the index on threads.
_NEW: Final = """
    SELECT rowid AS at FROM checkpoints WHERE thread_id = ? AND +rowid > ? ORDER BY +rowid
"""
_LATER: Final = """
    SELECT rowid AS at FROM writes AS w WHERE thread_id = ? AND +rowid > ? AND +rowid <= ?
    AND NOT EXISTS (
        SELECT 1 FROM checkpoints AS c
        WHERE c.thread_id = w.thread_id AND c.checkpoint_ns = w.checkpoint_ns
            AND c.checkpoint_id = w.checkpoint_id AND +c.rowid > ? AND +c.rowid <= ?
    )
    ORDER BY +rowid
"""
_PLACE: Final = (
    "rowid AS at FROM {} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
)
_NAME: Final = "SELECT checkpoint_ns, checkpoint_id, task_id, idx FROM writes WHERE rowid = ?"


class _Thread:
    """Reads a thread from where the last import ended, in passes.

    A pass takes the new checkpoints, each with its writes, and then writes that were added to
    older checkpoints. In the mark, `checkpoints` and `writes` are the last rows that are done,
    `since` is the checkpoint after which the pass began, and `until` is its last write. `at` and
    `wrote` identify the last rows by their ids, because VACUUM renumbers rows, in order.
    """

    def __init__(self, database: Database, thread_id: str, importing: Importing) -> None:
        self._database = database
        self._id = thread_id
        self._importing = importing
        path = "task_path" if "task_path" in database.columns("writes") else "''"
        self._writes = _WRITES.replace("{path}", path)
        mark = importing.mark or {}
        self._checkpoints: int = mark.get("checkpoints", 0)
        self._written: int = mark.get("writes", 0)
        self._since: int = mark.get("since", 0)
        self._until: int = mark.get("until", 0)
        self._last: list[str] | None = mark.get("at")
        self._wrote: list[Any] | None = mark.get("wrote")
        self.rows = 0

    def is_done(self) -> bool:
        """Return whether everything is imported.

        Raises:
            ConflictError: What was imported is no longer in the file, or the file has more and
                the journal has entries that are not from it.
        """
        self._find_last()
        if not self._is_more():
            return True
        self._importing.refuse_others()
        return False

    def batches(self) -> Iterator[Batch]:
        """Yield what is new, in batches that fit in memory."""
        while self._is_more():  # after an interrupted pass, another one is needed
            yield from self._new_checkpoints()
            yield from self._later_writes()
            self._begin()

    def mark(self) -> dict[str, Any]:
        """Return the mark for what was read so far."""
        return {
            "checkpoints": self._checkpoints,
            "writes": self._written,
            "since": self._since,
            "until": self._until,
            "at": self._last,
            "wrote": self._wrote,
        }

    def _find_last(self) -> None:
        """Find where the last import ended, and begin a new pass if it had finished one."""
        is_within, is_numbered_anew = self._until > self._written, False
        if self._last:
            query = f"SELECT {_PLACE.format('checkpoints')}"
            row = self._database.row(query, self._id, *self._last)
            if row is None:
                raise self._importing.conflict("what was imported is no longer in the file")
            # A row that was replaced has a greater number, and counts as new.
            is_numbered_anew = row["at"] < self._checkpoints
            self._checkpoints = min(row["at"], self._checkpoints)
        if self._wrote:
            query = f"SELECT {_PLACE.format('writes')} AND task_id = ? AND idx = ?"
            row = self._database.row(query, self._id, *self._wrote)
            is_numbered_anew |= row is not None and row["at"] < self._written
            self._written = min(row["at"] if row else self._written, self._written)
        if is_within and not is_numbered_anew:
            return
        if is_within:  # it is unknown which writes are done; importing them twice does no harm
            self._written = 0
        self._begin()

    def _begin(self) -> None:
        self._since = self._checkpoints
        last = "SELECT max(+rowid) AS at FROM writes WHERE thread_id = ?"
        self._until = self._database.row(last, self._id)["at"] or 0

    def _is_more(self) -> bool:
        return self._until > self._written or bool(self._page(_NEW, self._checkpoints))

    def _new_checkpoints(self) -> Iterator[Batch]:
        batch = Batch()
        while page := self._page(_NEW, self._checkpoints):
            for at in page:
                row = self._database.row(_CHECKPOINT, at)
                if row is not None:  # it may have just been deleted
                    self._take(batch, row)
                    self._last = [row["checkpoint_ns"], row["checkpoint_id"]]
                self._checkpoints = at
                self.rows += 1
                is_last = at == page[-1] and not self._page(_NEW, at)
                if is_last and not self._page(_LATER, *self._bounds):
                    self._end()
                if is_last or batch.size >= _BYTES or len(batch) >= _ITEMS:
                    yield batch
                    batch = Batch()

    def _take(self, batch: Batch, row: Any) -> None:  # noqa: ANN401
        batch.take_checkpoint(row)
        at = row["checkpoint_ns"], row["checkpoint_id"]
        query = self._writes + _OF_CHECKPOINT
        found = self._database.rows(query, self._id, *at, self._written, self._until)
        for _, rows in groupby(found, _task_of):
            self._take_writes(batch, [*rows])

    def _later_writes(self) -> Iterator[Batch]:
        while self._written < self._until:
            page = self._page(_LATER, *self._bounds)
            batch = Batch()
            found = (self._database.row(f"{self._writes} rowid = ?", at) for at in page)
            for _, rows in groupby(filter(None, found), _task_of):
                some = [*rows]
                self._take_writes(batch, some)
                self._written = some[-1]["at"]
                if batch.size >= _BYTES:
                    break
            else:
                self._written = page[-1] if page else self._until
            if not self._page(_LATER, *self._bounds):
                self._end()
            yield batch

    @property
    def _bounds(self) -> tuple[int, int, int, int]:
        return self._written, self._until, self._since, self._checkpoints

    def _page(self, query: str, *values: int) -> list[int]:
        found = self._database.rows(f"{query} LIMIT {_ITEMS}", self._id, *values)
        return [row["at"] for row in found]

    def _end(self) -> None:
        """Record that the pass is finished."""
        self._written = self._until
        row = self._database.row(_NAME, self._until)
        self._wrote = [*row] if row else None

    def _take_writes(self, batch: Batch, rows: list[Any]) -> None:
        batch.take_writes(rows)
        self.rows += len(rows)


def _task_of(row: Any) -> tuple[str, str, str]:  # noqa: ANN401
    return row["checkpoint_ns"], row["checkpoint_id"], row["task_id"]


def _sources(path: Path) -> Iterator[ImportSource]:
    with opened(path, _TABLES, _WHOSE) as database:
        # One by one, so that no lock is held while one is imported.
        query = "SELECT thread_id FROM checkpoints {} ORDER BY thread_id"
        found = database.row(query.format(""))
        while found:
            yield ImportSource(path, COLLECTION, (found["thread_id"],))
            found = database.row(query.format("WHERE thread_id > ?"), found["thread_id"])


def import_thread(
    store: StateStore,
    source: ImportSource,
    *,
    user_id: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ImportReport:
    """Import a thread, with all its namespaces, so that `StatekeepSaver` can continue it.

    Checkpoints, metadata, parents and pending writes are preserved; values are copied as
    LangGraph's serializer wrote them. A damaged row is reported, and its bytes are kept aside as
    an attachment of the journal.

    Args:
        store: The store for the journal.
        source: The file, and the thread's id as the name.
        user_id: The user the journal belongs to.
        dry_run: Write nothing; report what would be added.
        progress: Called with the number of rows done.

    Raises:
        ConflictError: Both the file and the journal were continued, or what was imported is no
            longer in the file, or the journal is being changed; the message says what was added.
        CorruptDataError: It is not a file of ``SqliteSaver``.
        UnsupportedError: Its checkpoints are encrypted or pickled.
        OwnershipError: The journal belongs to another user.
        AccessDeniedError, UnavailableError: The file or the store cannot be used.
    """
    (thread_id,) = source.name
    journal = Journals(store, COLLECTION).open(thread_id, user_id=user_id)
    with opened(source.path, _TABLES, _WHOSE) as database:
        importing = Importing(journal, dry_run=dry_run)
        thread = _Thread(database, thread_id, importing)
        if not thread.is_done():
            for batch in thread.batches():
                if batch or batch.aside:
                    importing.write(batch.add, len(batch), batch.aside, thread.mark)
                if progress:
                    progress(thread.rows)
    return importing.report(source)


@hookimpl
def statekeep_importers() -> list[ImporterSpec]:
    """Provide the importer."""
    summary = "The file of a SqliteSaver of LangGraph."
    return [
        ImporterSpec("langgraph", summary, partial(databases_in, _TABLES), _sources, import_thread)
    ]
