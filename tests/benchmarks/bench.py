"""What is to be measured, by whom, and what came out."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from benchmarks.machine import Watch
from benchmarks.processes import Make, Nursery, Worker, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from benchmarks.conversations import Size
    from benchmarks.subjects import Cost, Subject

__all__ = ["Bench", "Entry", "Plan", "Row", "folder"]

Kind = Literal["statekeep", "original", "peer", "floor"]


@dataclass(frozen=True)
class Entry:
    """A subject in the tables.

    Attributes:
        name: What it is called there.
        make: Opens it.
        kind: Ours, the original, another's, or bare calls.
    """

    name: str
    make: Make
    kind: Kind

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
        original: The command line of the original, if it was built.
        peers: Whether others are measured, too.
        rounds: How often each subject has its turn.
        sizes: Of sessions, and how many of each are saved and loaded.
        crowd: How many sessions are listed and pruned.
        small_crowd: How many where others list them, too, and on S3.
        processes: How many share a store.
        settling: Seconds after which statekeep's index trusts that a file has its final time.
    """

    disk: Path
    memory: Path | None
    original: Path | None
    peers: bool
    rounds: int
    sizes: dict[Size, int]
    crowd: int
    small_crowd: int
    processes: int
    settling: float


@dataclass
class Row:
    """What was measured of one subject.

    Attributes:
        part: The part of the benchmark.
        place: The filesystem or server.
        size: Of the sessions, or how many there were.
        work: What was done.
        subject: The entry's name.
        kind: The entry's kind.
        unit: ``s``, ``1/s``, ``requests`` or ``B``.
        wall: What was measured in each round; of ``s`` the seconds that passed.
        cpu: Of ``s``: the seconds that processors worked.
    """

    part: str
    place: str
    size: str
    work: str
    subject: str
    kind: Kind
    unit: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def line(self) -> tuple[str, str, str, str]:
        """What is compared with each other: part, place, size and work."""
        return self.part, self.place, self.size, self.work

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
        self.watch = Watch()
        self._rows: dict[tuple[str, ...], Row] = {}
        self._nurseries: dict[tuple[str, str], Nursery] = {}

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

    def rounds(self, count: int) -> Iterator[int]:
        """Count, and look before each round at what else the machine does."""
        for number in range(count):
            self.watch.look()
            yield number

    def add(
        self, entry: Entry, place: str, size: str, work: str, value: Cost | float, unit: str = "s"
    ) -> None:
        """Note the result of one round; for the arguments see `Row`."""
        row = Row(self.part, place, size, work, entry.name, entry.kind, unit)
        row = self._rows.setdefault((*row.line, row.subject), row)
        if isinstance(value, tuple):
            row.wall.append(value.wall)
            row.cpu.append(value.cpu)
        else:
            row.wall.append(value)

    def worker(self, entry: Entry, place: str) -> Worker:
        """A new process with a subject, opened at a place."""
        # Of one name there are subjects for sessions and for turns.
        key = entry.name, entry.subject.__name__
        if key not in self._nurseries:
            self._nurseries[key] = self._stack.enter_context(Nursery(entry.make))
        return self._nurseries[key].worker(place)


@contextmanager
def folder(parent: Path) -> Iterator[str]:
    """A new folder, removed at the end."""
    made = tempfile.mkdtemp(dir=parent, prefix="statekeep-benchmark-")
    try:
        yield made
    finally:
        shutil.rmtree(made)
