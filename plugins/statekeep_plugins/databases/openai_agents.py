"""Imports sessions of the OpenAI Agents SDK from a file of its ``SQLiteSession``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from blake3 import blake3

from statekeep import Journals
from statekeep.errors import InvalidDocumentError
from statekeep.journals.items import read_object, storable
from statekeep.plugins import ImporterSpec, hookimpl
from statekeep.transport import ImportReport, ImportSource
from statekeep_plugins.databases.reading import LONGEST, databases_in, opened, shown
from statekeep_plugins.layouts.openai_agents import BEGINNING, COLLECTION, title_in
from statekeep_plugins.marks import Importing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep import StateStore
    from statekeep.journals import Draft
    from statekeep_plugins.databases.reading import Database
    from statekeep_plugins.marks import Aside

__all__ = ["import_session", "statekeep_importers"]

_TABLES: Final = {
    "agent_sessions": {"session_id"},
    "agent_messages": {"id", "session_id", "message_data"},
}
_WHOSE: Final = "SQLiteSession of the OpenAI Agents SDK"
_ROWS: Final = 1000
_BYTES: Final = 2**20

_SELECT: Final = f"""
    SELECT id, length(CAST(message_data AS BLOB)) AS size,
        CASE WHEN length(CAST(message_data AS BLOB)) <= {LONGEST} THEN message_data END AS data
    FROM agent_messages AS m WHERE session_id = ? AND id > ?
"""
_MAIN: Final = """
    CREATE TEMP TABLE of_main AS
    SELECT message_id FROM (
        SELECT message_id, branch_id, min(id) FROM message_structure WHERE session_id = ?
        GROUP BY message_id
    ) WHERE branch_id = 'main' ORDER BY message_id
"""
"""Finds the messages of the first branch in the file of an ``AdvancedSQLiteSession``.

A message that several branches share belongs to the one where it appeared first. The result is a
temporary table, because the file has no index by message.
"""
_OF_MAIN: Final = "AND id IN of_main "


@dataclass(slots=True)
class _Batch:
    """What is added in one change."""

    items: list[Any] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)
    is_last: bool = True


class _Session:
    """Reads a session from where the last import ended."""

    def __init__(self, database: Database, session_id: str, importing: Importing) -> None:
        self._database = database
        self._id = session_id
        self._importing = importing
        self._query = _SELECT
        if database.row("SELECT 1 FROM sqlite_master WHERE name = 'message_structure'"):
            found = "SELECT 1 FROM message_structure WHERE session_id = ?"
            if database.row(found, session_id):
                database.run(_MAIN, session_id)
                database.run("CREATE UNIQUE INDEX temp.of_main_at ON of_main (message_id)")
                self._query += _OF_MAIN
        self._query += "ORDER BY id"
        self._hash = blake3()
        self.rows = self._last = 0

    def is_done(self) -> bool:
        """Go to where the last import ended, and return whether nothing follows.

        Raises:
            ConflictError: The file does not begin like the one that was imported, or it has more
                and the journal has entries that are not from it.
        """
        mark = self._importing.mark
        after = mark["row"] if mark else 0
        if not self._database.row(self._query, self._id, after):
            return True
        self._importing.refuse_others()
        if mark is None:
            return False
        for row in self._database.rows(self._query, self._id, 0):
            if row["id"] > after:
                break
            self._count(row)
        if self._hash.hexdigest() != mark["blake3"] or self._last != after:
            raise self._importing.conflict(
                "what was imported is no longer in the file, or has changed there"
            )
        return False

    def batches(self) -> Iterator[_Batch]:
        """Yield what follows, in batches that fit in memory."""
        while True:
            batch, size = _Batch(), 0
            for row in self._database.rows(f"{self._query} LIMIT {_ROWS}", self._id, self._last):
                self._count(row)
                self._take(batch, row)
                size += row["size"] or 0
                if size >= _BYTES:
                    break
            batch.is_last = not self._database.row(self._query, self._id, self._last)
            yield batch
            if batch.is_last:
                return

    def mark(self) -> dict[str, Any]:
        """Return the mark for what was read so far."""
        return {"row": self._last, "rows": self.rows, "blake3": self._hash.hexdigest()}

    def _count(self, row: Any) -> None:  # noqa: ANN401
        data = shown(row["data"])
        self._hash.update(b"%d %d " % (row["id"], len(data)))
        self._hash.update(data)
        self._last = row["id"]
        self.rows += 1

    def _take(self, batch: _Batch, row: Any) -> None:  # noqa: ANN401
        data, size = row["data"], row["size"]
        if data is None:
            reason = "it has no data" if size is None else f"it has more than {LONGEST} bytes"
            batch.aside.append((self._place(row), reason, None, ""))
            return
        try:
            # Not orjson, which makes large integers inexact.
            item = storable(json.loads(data))
        except InvalidDocumentError as error:
            reason = error.message
        except (ValueError, TypeError, RecursionError):
            reason = "it is not JSON"
        else:
            batch.items.append(item)
            return
        batch.aside.append((self._place(row), reason, shown(data), f"row-{row['id']}.txt"))

    @staticmethod
    def _place(row: Any) -> str:  # noqa: ANN401
        return f"row {row['id']} of agent_messages"


def _sources(path: Path) -> Iterator[ImportSource]:
    with opened(path, _TABLES, _WHOSE) as database:
        # One by one, so that no lock is held while one is imported.
        query = "SELECT rowid AS at, session_id FROM agent_sessions WHERE rowid > ? ORDER BY rowid"
        last = 0
        while found := database.row(query, last):
            last = found["at"]
            yield ImportSource(path, COLLECTION, (found["session_id"],))


def import_session(
    store: StateStore,
    source: ImportSource,
    *,
    user_id: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ImportReport:
    """Import a session, so that the adapter `StatekeepSession` can continue it.

    A thousand rows are added at a time, with a mark of how far the import is. A row that is not
    JSON is reported, and its bytes are kept aside as an attachment of the journal.

    Args:
        store: The store for the journal.
        source: The file, and the session's id as the name.
        user_id: The user the journal belongs to.
        dry_run: Write nothing; report what would be added.
        progress: Called with the number of rows done.

    Raises:
        ConflictError: Both the file and the journal were continued, or what was imported is no
            longer in the file, or the journal is being changed; the message says what was added.
        CorruptDataError: It is not a file of ``SQLiteSession``.
        OwnershipError: The journal belongs to another user.
        AccessDeniedError, UnavailableError: The file or the store cannot be used.
    """
    (session_id,) = source.name
    journal = Journals(store, COLLECTION).open(session_id, user_id=user_id)
    with opened(source.path, _TABLES, _WHOSE) as database:
        importing = Importing(journal, dry_run=dry_run)
        session = _Session(database, session_id, importing)
        if not session.is_done():
            for batch in session.batches():
                if batch.items or batch.aside:
                    importing.write(_adding(batch), len(batch.items), batch.aside, session.mark)
                if progress:
                    progress(session.rows)
    return importing.report(source)


def _adding(batch: _Batch) -> Callable[[Draft], int]:
    def add(draft: Draft) -> int:
        begins = draft.length < BEGINNING
        draft.append(batch.items)
        if begins and (title := title_in(map(read_object, draft.items(0, BEGINNING)))):
            draft.metadata.setdefault("title", title)
        return len(batch.items)

    return add


@hookimpl
def statekeep_importers() -> list[ImporterSpec]:
    """Provide the importer."""
    summary = "The file of a SQLiteSession of the OpenAI Agents SDK."
    return [
        ImporterSpec(
            "openai-agents", summary, partial(databases_in, _TABLES), _sources, import_session
        )
    ]
