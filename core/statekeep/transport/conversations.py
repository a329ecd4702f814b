"""Importing conversations that other programs keep, by the importers that plugins offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from statekeep._arguments import checked
from statekeep.errors import AccessDeniedError, ConflictError, NotFoundError, StateStoreError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from statekeep.store.protocol import StateStore

__all__ = [
    "ImportFailure",
    "ImportRemark",
    "ImportReport",
    "ImportSource",
    "Importer",
    "ImportsReport",
    "import_conversations",
]

_MOST: Final = 1000
"""Reports, failures and remarks that are kept, so that they fit into memory whatever comes."""


class ImportSource(NamedTuple):
    """A conversation that can be imported.

    Attributes:
        path: The file that it is in.
        collection: The collection of the journal that it becomes.
        name: The name of that journal.
    """

    path: Path
    collection: str
    name: tuple[str, ...]


class ImportRemark(NamedTuple):
    """A part of a source that was not imported as it is.

    Attributes:
        place: Where it is, such as ``line 17`` or ``row 4 of agent_messages``.
        reason: What is wrong with it.
        ref: What `Journal.attachments` takes to give its bytes; None if they were not kept.
    """

    place: str
    reason: str
    ref: str | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a conversation.

    Attributes:
        path: The file.
        collection: The collection of the journal.
        name: Its name.
        added: How many items were added by this call.
        unchanged: How many the journal had before.
        damaged: How many parts this call found damaged.
        remarks: The first thousand of these.
    """

    path: str
    collection: str
    name: tuple[str, ...]
    added: int
    unchanged: int
    damaged: int
    remarks: tuple[ImportRemark, ...]


class ImportFailure(NamedTuple):
    """A file or a conversation that could not be imported.

    Attributes:
        path: The file.
        name: The name of the journal; empty if it is the file that could not be read.
        error: Why not.
    """

    path: str
    name: tuple[str, ...]
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class ImportsReport:
    """What became of all conversations below a path; of a dry run, what would.

    Attributes:
        source: The path.
        target: The store.
        dry_run: Whether nothing was written.
        imported: How many conversations have something new in the store now.
        unchanged: How many had nothing new.
        failed: How many, files that cannot be read included, could not be imported.
        added: How many items were added.
        damaged: How many damaged parts were met.
        reports: Of the conversations that have something new or damaged, the first thousand,
            with a thousand remarks in all.
        failures: The first thousand.
    """

    source: str
    target: str
    dry_run: bool
    imported: int
    unchanged: int
    failed: int
    added: int
    damaged: int
    reports: tuple[ImportReport, ...]
    failures: tuple[ImportFailure, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def only_conflicts(self) -> bool:
        """Whether whatever failed was a conflict: both sides were continued."""
        kept = all(isinstance(each.error, ConflictError) for each in self.failures)
        return kept and self.failed == len(self.failures) > 0


class Importer(Protocol):
    """What knows one kind of source; `statekeep.plugins.ImporterSpec` is one."""

    @property
    def find(self) -> Callable[[Path], Iterable[Path]]:
        """Gives the files at or below a path."""

    @property
    def sources(self) -> Callable[[Path], Iterable[ImportSource]]:
        """Gives the conversations in a file; raises if it is no file of this kind."""

    @property
    def load(self) -> Loader:
        """Imports one of them."""


class Loader(Protocol):
    """Imports a conversation; if a part of it is there by now, only the rest."""

    def __call__(
        self,
        store: StateStore,
        source: ImportSource,
        *,
        user_id: str | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Import it, and call `progress` with how many parts of the source are done."""


@dataclass(slots=True)
class _Tally:
    imported: int = 0
    unchanged: int = 0
    failed: int = 0
    added: int = 0
    damaged: int = 0
    reports: list[ImportReport] = field(default_factory=list)
    failures: list[ImportFailure] = field(default_factory=list)
    remarks: int = 0

    def take(self, report: ImportReport) -> None:
        self.imported += report.added > 0
        self.unchanged += not report.added
        self.added += report.added
        self.damaged += report.damaged
        if not (report.added or report.remarks) or len(self.reports) >= _MOST:
            return
        remarks = report.remarks[: _MOST - self.remarks]
        self.remarks += len(remarks)
        self.reports.append(
            ImportReport(
                report.path,
                report.collection,
                report.name,
                report.added,
                report.unchanged,
                report.damaged,
                remarks,
            )
        )

    def fail(self, path: Path, name: tuple[str, ...], error: StateStoreError) -> None:
        self.failed += 1
        if len(self.failures) < _MOST:
            self.failures.append(ImportFailure(str(path), name, error))


@checked
def import_conversations(
    store: StateStore,
    path: str | os.PathLike[str],
    importer: Importer,
    *,
    user_id: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ImportsReport:
    """Import all conversations at or below a path; of those that are there, what is new.

    One that fails, because both sides were continued for one, keeps no other out. An import that
    was interrupted goes on by being called again.

    Args:
        store: Where the journals lie.
        path: A file or a folder.
        importer: What knows the files; `statekeep.config.load_importer` gives it by its name.
        user_id: Whom the journals belong to.
        dry_run: Write nothing, and say what would be done.
        progress: Called with how many parts, lines or rows, are done in all.

    Returns:
        What became of them.

    Raises:
        NotFoundError: There is no such path, or nothing of the kind below it.
        CorruptDataError: The path is a file of another kind.
        AccessDeniedError, UnavailableError: The path cannot be reached, or, if it is a file, read.

    Example:
        >>> import tempfile
        >>> from statekeep import open_store
        >>> from statekeep.config import load_importer
        >>> with tempfile.TemporaryDirectory() as folder, open_store("memory:") as store:
        ...     size = Path(folder, "rollout-1.jsonl").write_text('{"type": "session_meta"}')
        ...     import_conversations(store, folder, load_importer("codex")).added
        1
    """
    at = Path(path).expanduser()
    _refuse_missing(at)
    tally, done, files = _Tally(), 0, 0

    def note(count: int) -> None:
        if progress:
            progress(done + count)

    for file in importer.find(at):
        files += 1
        try:
            for each in importer.sources(file):
                latest = 0

                def watch(count: int) -> None:
                    nonlocal latest
                    latest = count
                    note(count)

                try:
                    report = importer.load(
                        store, each, user_id=user_id, dry_run=dry_run, progress=watch
                    )
                except StateStoreError as error:
                    tally.fail(file, each.name, error)
                else:
                    tally.take(report)
                done += latest
        except StateStoreError as error:
            if file == at:
                raise
            tally.fail(file, (), error)
    if not files:
        raise NotFoundError("there is nothing of the kind below this folder", store=at)
    return ImportsReport(
        source=str(at),
        target=str(store),
        dry_run=dry_run,
        imported=tally.imported,
        unchanged=tally.unchanged,
        failed=tally.failed,
        added=tally.added,
        damaged=tally.damaged,
        reports=tuple(tally.reports),
        failures=tuple(tally.failures),
    )


def _refuse_missing(path: Path) -> None:
    try:
        path.stat()
    except PermissionError as error:
        raise AccessDeniedError(f"it cannot be reached: {error.strerror}", store=path) from error
    except (OSError, ValueError) as error:  # ValueError: it has NUL in it
        raise NotFoundError("there is no such file or folder", store=path) from error
