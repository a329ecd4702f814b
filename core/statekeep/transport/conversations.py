"""Import conversations of other programs, with importers that plugins provide."""

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
"""The most reports, failures and remarks kept, so that they fit into memory."""


class ImportSource(NamedTuple):
    """A conversation that can be imported.

    Attributes:
        path: The file that contains it.
        collection: The collection of the journal to import it into.
        name: The name of that journal.
    """

    path: Path
    collection: str
    name: tuple[str, ...]


class ImportRemark(NamedTuple):
    """A damaged part of a source, which was not imported as it is.

    Attributes:
        place: Where it is, such as ``line 17`` or ``row 4 of agent_messages``.
        reason: What is wrong with it.
        ref: The ref of its bytes for `Journal.attachments`; None if they were not kept.
    """

    place: str
    reason: str
    ref: str | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of importing one conversation.

    Attributes:
        path: The file.
        collection: The collection of the journal.
        name: The name of the journal.
        added: How many items this call added.
        unchanged: How many items the journal had before.
        damaged: How many damaged parts this call found.
        remarks: The first thousand damaged parts.
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
        name: The name of the journal; empty if the file itself could not be read.
        error: The reason.
    """

    path: str
    name: tuple[str, ...]
    error: StateStoreError


@dataclass(frozen=True, slots=True)
class ImportsReport:
    """The result of importing all conversations below a path; for a dry run, what it would be.

    Attributes:
        source: The path.
        target: The store.
        dry_run: Whether nothing was written.
        imported: How many conversations had new items.
        unchanged: How many had none.
        failed: How many conversations, or files, could not be imported.
        added: How many items were added.
        damaged: How many damaged parts were found.
        reports: Reports of conversations with new items or damaged parts; at most a thousand, with
            a thousand remarks in all.
        failures: The first thousand failures.
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
        """Whether all failures were conflicts: the journal and its source were both continued."""
        kept = all(isinstance(each.error, ConflictError) for each in self.failures)
        return kept and self.failed == len(self.failures) > 0


class Importer(Protocol):
    """Imports one kind of source; `statekeep.plugins.ImporterSpec` is one."""

    @property
    def find(self) -> Callable[[Path], Iterable[Path]]:
        """A function that returns the files at or below a path."""

    @property
    def sources(self) -> Callable[[Path], Iterable[ImportSource]]:
        """A function that returns the conversations in a file; raises for another kind of file."""

    @property
    def load(self) -> Loader:
        """A function that imports one conversation."""


class Loader(Protocol):
    """Imports a conversation, or only the rest of it if the journal already has a part."""

    def __call__(
        self,
        store: StateStore,
        source: ImportSource,
        *,
        user_id: str | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Import it, calling `progress` with the number of parts of the source done so far."""


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
    """Import all conversations at or below a path; to those already imported, add what is new.

    A conversation that fails, for example because both sides were continued, does not stop the
    others. To resume an interrupted import, call this again.

    Args:
        store: The store to import into.
        path: A file or a folder.
        importer: The importer; `statekeep.config.load_importer` returns one by name.
        user_id: The user that the journals are to belong to.
        dry_run: Write nothing, and report what would be done.
        progress: Called with the total number of parts (lines or rows) done so far.

    Returns:
        The result.

    Raises:
        NotFoundError: The path does not exist, or has no files of this kind below it.
        CorruptDataError: The path is a file of another kind.
        AccessDeniedError, UnavailableError: The path cannot be reached or, if it is a file, read.

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
        raise NotFoundError("there are no files of this kind below this folder", store=at)
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
    except (OSError, ValueError) as error:  # ValueError: it contains NUL
        raise NotFoundError("there is no such file or folder", store=path) from error
