"""What is to be measured, by whom, and what came out."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from benchmarks.processes import Make, Nursery, Worker, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from benchmarks.adapters import Subject
    from benchmarks.conversations import Size

__all__ = ["Bench", "Entry", "Plan", "Row"]

Kind = Literal["statekeep", "peer", "floor"]


@dataclass(frozen=True)
class Entry:
    """A subject in the tables.

    Attributes:
        name: What it is called there.
        make: Opens it.
        kind: Ours, another's, or bare calls.
        synced: What of a save survives a power cut: ``yes``, ``no``, ``file`` (the file, but
            perhaps not its name), or empty where that is not its business.
    """

    name: str
    make: Make
    kind: Kind
    synced: str = ""

    @property
    def subject(self) -> type[Subject]:
        """The subject's class."""
        return subject_of(self.make)


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        disk: A folder on a real disk.
        memory: A folder in memory, if there is one.
        peers: Whether others are measured, too.
        rounds: How often each subject has its turn.
        seconds: For how long an operation is repeated in one turn.
        sizes: Of sessions.
        counts: How many sessions are listed and pruned.
        many: With so many sessions, statekeep and the bare calls are measured alone.
        objects: How many sessions are listed in a bucket.
        counted: How many are listed there for the number of requests alone.
        processes: How many share a store.
        threads: How many share a bucket.
        settling: Seconds after which statekeep's index trusts that a file has its final time.
    """

    disk: Path
    memory: Path | None
    peers: bool
    rounds: int
    seconds: float
    sizes: tuple[Size, ...]
    counts: tuple[int, ...]
    many: tuple[int, ...]
    objects: tuple[int, ...]
    counted: tuple[int, ...]
    processes: int
    threads: int
    settling: float


@dataclass
class Row:
    """What was measured of one subject.

    Attributes:
        part: The part of the benchmark.
        place: The filesystem or server.
        work: What was done.
        size: How long the session was, or how many there were.
        subject: The entry's name.
        kind: The entry's kind.
        synced: The entry's `synced`.
        unit: ``s``, ``1/s``, ``requests`` or ``B``.
        rounds: The median of each round.
    """

    part: str
    place: str
    work: str
    size: str
    subject: str
    kind: Kind
    synced: str
    unit: str
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of all rounds."""
        return statistics.median(self.rounds)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Bench:
    """Measures; use it as a context manager.

    Args:
        plan: How much.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.part = ""
        self._rows: dict[tuple[str, ...], Row] = {}
        self._nurseries: dict[str, Nursery] = {}

    def __enter__(self) -> Self:
        self._stack = ExitStack().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def rows(self) -> list[Row]:
        """What was measured so far."""
        return [*self._rows.values()]

    def add(
        self, entry: Entry, place: str, work: str, size: str, value: float, unit: str = "s"
    ) -> None:
        """Note the result of one round; for the arguments see `Row`."""
        row = Row(self.part, place, work, size, entry.name, entry.kind, entry.synced, unit)
        key = (row.part, row.place, row.work, row.size, row.subject)
        self._rows.setdefault(key, row).rounds.append(value)

    def worker(self, entry: Entry, place: str) -> Worker:
        """A new process with a subject, opened at a place."""
        if entry.name not in self._nurseries:
            self._nurseries[entry.name] = self._stack.enter_context(Nursery(entry.make))
        return self._nurseries[entry.name].worker(place)

    @contextmanager
    def workers(self, entries: Iterable[Entry], places: Iterable[str]) -> Iterator[list[Worker]]:
        """A new process for each subject, each at its place."""
        with ExitStack() as stack:
            pairs = zip(entries, places, strict=True)
            yield [stack.enter_context(self.worker(*each)) for each in pairs]


@contextmanager
def folder(parent: Path) -> Iterator[str]:
    """A new folder, removed at the end."""
    made = tempfile.mkdtemp(dir=parent, prefix="statekeep-benchmark-")
    try:
        yield made
    finally:
        shutil.rmtree(made)
