"""What processes of their own do with a candidate, and how they are begun and killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from types import TracebackType

    from benchmarks.guarantees.candidates import Candidate

__all__ = ["Process", "RemoteError", "text", "warm"]

_forkserver = multiprocessing.get_context("forkserver")
_TIMEOUT = 600


class RemoteError(Exception):
    """A call raised in the other process.

    Args:
        kind: The name of the class of the error.
        message: What it says.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Process:
    """A new process that opens a candidate and does one piece of work; a context manager.

    Args:
        candidate: Its class.
        place: Where it is opened.
        work: The name of a function of this module.
        arguments: Of the function.
    """

    def __init__(
        self, candidate: type[Candidate], place: Path, work: str, *arguments: object
    ) -> None:
        self.connection, theirs = _forkserver.Pipe()
        self._process = _forkserver.Process(
            target=_serve, args=(theirs, candidate, str(place), work, arguments)
        )
        self._process.start()
        theirs.close()

    @classmethod
    def call(cls, candidate: type[Candidate], place: Path, work: str, *arguments: object) -> Any:
        """Do a piece of work in a process of its own.

        Raises:
            RemoteError: It raised there.
        """
        with cls(candidate, place, work, *arguments) as process:
            return process.answer()

    def answer(self) -> Any:
        """The next thing that it says.

        Raises:
            RemoteError: It raised.
        """
        if not self.connection.poll(_TIMEOUT):
            raise TimeoutError("the process says nothing")
        kind, *rest = self.connection.recv()
        if kind == "error":
            raise RemoteError(*rest)
        return rest[0]

    def kill(self) -> list[Any]:
        """Kill it; all that it has said and nobody has heard yet."""
        self._process.kill()
        self._process.join()
        heard = []
        try:
            while self.connection.poll():
                heard.append(self.answer())
        except EOFError:
            pass
        return heard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.join()
        self.connection.close()


def warm(candidates: Sequence[type[Candidate]]) -> None:
    """Have what the candidates need imported once, for all processes."""
    modules = [module for each in candidates for module in each.modules]
    ours = sorted({each.__module__ for each in candidates})
    # Each process runs the main module again, which is quick once its imports are there.
    spec = sys.modules["__main__"].__spec__
    main = spec.name if spec else "pytest"
    _forkserver.set_forkserver_preload([*ours, *modules, main])


def text(number: int, size: int = 1_000) -> str:
    """The words of a turn, from which both its number and its end can be seen."""
    return f"{number} ".ljust(size - 4, ".") + " end"


def race(
    candidate: Candidate, say: Connection, session: str, name: str, changes: int, pause: float
) -> dict[str, Any]:
    """Add turns to a conversation of others; whatever is refused is tried again."""
    say.send(("ready", True))
    say.recv()
    errors: dict[str, int] = {}
    acknowledged = []
    dice = random.Random(name)
    for number in range(changes):
        said = f"{name}-{number}"
        for _ in range(1_000):
            try:
                candidate.turn(session, said, pause)
            except Exception as error:  # noqa: BLE001 - whichever it raises
                errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
                time.sleep(dice.uniform(0, 0.02))
            else:
                acknowledged.append(said)
                break
    return {"acknowledged": acknowledged, "errors": errors}


def write(candidate: Candidate, say: Connection, session: str, begin: int) -> None:
    """Add turns until killed; says the number of each that was acknowledged."""
    candidate.hold(session)
    say.send(("ready", True))
    for number in range(begin, begin + 1_000_000):
        candidate.append(text(number))
        say.send(("saved", number))


def prepare(candidate: Candidate, _: Connection, session: str, turns: int) -> None:
    """A conversation of so many turns."""
    candidate.create(session)
    if turns:
        candidate.fill(session, [text(number) for number in range(turns)])


def read(candidate: Candidate, _: Connection, session: str) -> list[str]:
    """What the user has said in a conversation."""
    return candidate.read(session)


def history(candidate: Candidate, _: Connection, session: str) -> list[str]:
    """What the user has said, in any state of a conversation."""
    return candidate.history(session)


def keep(candidate: Candidate, _: Connection, session: str, said: str) -> None:
    """Begin a conversation and say something."""
    candidate.create(session)
    candidate.turn(session, said)


def keep_on(candidate: Candidate, _: Connection, session: str, said: str) -> None:
    """Say something more."""
    candidate.turn(session, said)


def populate(candidate: Candidate, _: Connection, count: int) -> None:
    """Store many conversations."""
    candidate.populate(count)


def listing(candidate: Candidate, _: Connection, limit: int) -> dict[str, float]:
    """List the newest, in a process that has listed nothing of this place."""
    _rehearse(candidate)
    opened = [0]
    sys.addaudithook(lambda event, _: opened.__setitem__(0, opened[0] + (event == "open")))
    before, start = _io("rchar"), time.perf_counter()
    count = opened[0]
    found = candidate.newest(limit)
    seconds = time.perf_counter() - start
    count = opened[0] - count
    return {
        "found": len(found),
        "files": count,
        "bytes": _io("rchar") - before,
        "seconds": seconds,
    }


def turns(candidate: Candidate, _: Connection, session: str, begin: int, count: int) -> Any:
    """Add turns to a conversation at hand; what each writes, and takes."""
    candidate.hold(session)
    found = []
    for number in range(begin, begin + count):
        before, start = [_io("wchar"), _io("write_bytes")], time.perf_counter()
        candidate.append(text(number, 1_024))
        seconds = time.perf_counter() - start
        written, dirtied = _io("wchar") - before[0], _io("write_bytes") - before[1]
        found.append((written or dirtied, seconds))  # what goes by io_submit is in the second only
    return found[1:]  # what is done at the first turn only is no cost of one more


def delete_later(candidate: Candidate, say: Connection, session: str) -> None:
    """Look at a conversation, wait until told, and delete it."""
    seen = candidate.look(session)
    say.send(("looked", True))
    say.recv()
    candidate.delete(seen)


def open_as(candidate: Candidate, _: Connection, session: str, user: str) -> str:
    """Try to open another user's conversation."""
    return "nothing" if candidate.open_as(session, user) is None else "opened"


def _rehearse(candidate: Candidate) -> None:
    """Let a library do elsewhere what it does on its first use only."""
    with_care = type(candidate)(f"{candidate.place}-rehearsal-{os.getpid()}")
    with_care.populate(1)
    with_care.newest(1)
    with_care.close()


def _io(what: str) -> int:
    """Bytes that the calls read and write of this process have moved, of all its threads."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


def _serve(
    say: Connection,
    make: type[Candidate],
    place: str,
    work: str,
    arguments: Sequence[object],
) -> None:
    warnings.simplefilter("ignore")
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    try:
        candidate = make(place)
        result = globals()[work](candidate, say, *arguments)
        candidate.close()
    except Exception as error:  # noqa: BLE001 - the other side must hear of it
        say.send(("error", type(error).__name__, str(error)[:200]))
    else:
        say.send(("done", result))
    say.close()
    os._exit(0)  # what frameworks leave running is not waited for
