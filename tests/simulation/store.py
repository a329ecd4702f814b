"""A store in simulated memory: each of its calls lets others run, and may go wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from simulation.clocks import MINUTE, SECOND, as_datetime
from statekeep import ANY, ConflictError, UnavailableError, Version
from statekeep.store import (
    Blob,
    Capabilities,
    Entry,
    StateStore,
    check_key,
    check_prefix,
    compare,
    content_version,
)
from statekeep.store.protocol import Expectation
from statekeep.timestamps import to_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from simulation.operations import Operation
    from simulation.scheduler import Scheduler
    from statekeep.store import Expect, ExpectSeen

__all__ = ["CALM", "Effect", "Kind", "SimulatedStore", "Stored", "Trouble"]

_PAUSES = (SECOND // 50, SECOND // 5, 2 * SECOND, MINUTE)
"""What is late, or sent again, is so by at most one of these."""

_PAGE = 4
"""Keys that a listing gives before others may run."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """How likely each thing goes wrong with a call that writes; with one that reads, less often.

    Attributes:
        refused: The store says no, and nothing lands.
        lost_before: There is no answer, and nothing landed.
        lost_after: There is no answer, and it landed.
        late: There is no answer, and it lands later, if its condition still holds then.
        resent: There is no answer; the client sends the same again a while later, whether it
            landed or not, and reports what the store says to that.
        killed_before: The process dies before it sends anything.
        killed_after: The process dies before it gets the answer.
        killed_late: The process dies, and what it had sent lands later.
    """

    refused: float = 0.0
    lost_before: float = 0.0
    lost_after: float = 0.0
    late: float = 0.0
    resent: float = 0.0
    killed_before: float = 0.0
    killed_after: float = 0.0
    killed_late: float = 0.0

    def draw(self, chance: Random, *, writes: bool) -> str | None:
        """What goes wrong with one call, if anything."""
        drawn = chance.random() * (1 if writes else _READS_ARE_SAFER)
        for name in _TROUBLES:
            drawn -= getattr(self, name)
            if drawn < 0:
                return name
        return None


_READS_ARE_SAFER = 8
_TROUBLES = tuple(field.name for field in fields(Trouble))

CALM: Final = Trouble()
"""Nothing goes wrong."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of store it is.

    Attributes:
        counted: A version is a number that never comes back, instead of a hash of the bytes.
        dated: It says when something was written.
        marked: It has fingerprints.
        steps: By how many microseconds its clock is set forward or back, now and then.
    """

    counted: bool = False
    dated: bool = True
    marked: bool = True
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies at a key.

    Attributes:
        data: The bytes.
        version: Their version.
        written: The number of the effect that put it there.
        since: The number of the effect since which there has been something at this key.
        by: Whose effect that was.
        moment: When the store says that it was written, or would say.
    """

    data: bytes
    version: Version
    written: int
    since: int
    by: Operation
    moment: int


@dataclass(frozen=True, slots=True)
class Effect:
    """A change of one key.

    Attributes:
        number: Effects are numbered from 1.
        key: The key.
        before: What was there; None for nothing.
        after: What is there now; None for nothing.
        by: On whose behalf.
        was_read: Whether the key had been read or listed when a delete of it was sent, which may
            be long before it lands.
    """

    number: int
    key: str
    before: Stored | None
    after: Stored | None
    by: Operation
    was_read: bool = False


class SimulatedStore(StateStore):
    """See the module.

    Args:
        scheduler: Lets others run.
        kind: What sort of store it is.
        trouble: What goes wrong with the calls of an operation that is not calm.
        on_effect: Told of each effect when it has happened.
        say: Takes a line for the trace.

    Attributes:
        kind: What sort of store it is.
        documents: What it holds.
        effects: How many effects there have been.
        calls: How many calls there have been.
    """

    def __init__(
        self,
        scheduler: Scheduler[Operation],
        kind: Kind,
        trouble: Trouble,
        on_effect: Callable[[Effect], object],
        say: Callable[[str], object],
    ) -> None:
        self.kind = kind
        self.documents: dict[str, Stored] = {}
        self.effects = 0
        self.calls = 0
        self._scheduler = scheduler
        self._trouble = trouble
        self._on_effect = on_effect
        self._say = say
        self._set_by = 0
        self._labels: dict[str, str] = {}

    def __repr__(self) -> str:
        return "simulated:"

    @property
    def now(self) -> int:
        """What the store's clock says, in microseconds since the beginning."""
        return self._scheduler.now + self._set_by

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def close(self) -> None:
        pass

    def get(self, key: str) -> Blob | None:
        check_key(key)
        self._ask("get", key)
        document = self.documents.get(key)
        self._scheduler.current.operation.read(key, document, self.effects)
        self._say(f"get {key}: {self._label(_version(document))}")
        if document is None:
            return None
        dated = as_datetime(document.moment) if self.kind.dated else None
        mark = document.version if self.kind.marked else None
        return Blob(document.data, document.version, dated, mark)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        operation = self._scheduler.current.operation
        below = f"{prefix}/" if prefix else ""
        last = ""
        while True:
            self._ask("scan", prefix)
            keys = sorted(key for key in self.documents if key.startswith(below) and key > last)
            self._say(f"scan {prefix or 'everything'}: {', '.join(keys[:_PAGE]) or 'nothing'}")
            page = []
            for key in keys[:_PAGE]:
                document = self.documents[key]
                operation.read(key, document, self.effects)
                dated = to_nanoseconds(as_datetime(document.moment)) if self.kind.dated else None
                mark = document.version if self.kind.marked else None
                page.append(Entry(key, len(document.data), dated, mark))
            yield from page
            if len(keys) <= _PAGE:
                return
            last = keys[_PAGE - 1]

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        check_key(key)
        by = self._scheduler.current.operation
        call = f"put {key} ({len(data)} bytes, expecting {self._wanted(expect)})"
        document = self._write(call, key, lambda: self._put(by, key, data, expect))
        assert document is not None
        return document.version

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        check_key(key)
        by = self._scheduler.current.operation
        call = f"delete {key} (expecting {self._wanted(expect)})"
        was_read = key in by.reads
        self._write(call, key, lambda: self._delete(by, key, expect, was_read=was_read))

    def plant(self, key: str, data: bytes) -> None:
        """Let another program leave something at once, if there is nothing."""
        if key not in self.documents:
            self._put(self._scheduler.current.operation, key, data, ANY)

    def _begin(self, key: str, *, writes: bool) -> str | None:
        """Let others run for as long as a call takes, and say what goes wrong with it."""
        operation = self._scheduler.current.operation
        self.calls += 1
        try:
            self._scheduler.sleep(_latency(operation.chance))
        except BaseException:
            operation.troubled.add(key)
            raise
        if operation.calm:
            return None
        if self.kind.steps and operation.chance.random() < 0.05:
            self._set_by = operation.chance.choice([-self.kind.steps, 0, self.kind.steps])
            self._say(f"the store's clock is {self._set_by / SECOND:g} s ahead")
        trouble = self._trouble.draw(operation.chance, writes=writes)
        if trouble is not None:
            operation.troubled.add(key)
        return trouble

    def _ask(self, call: str, key: str) -> None:
        """Make a call that changes nothing."""
        trouble = self._begin(key, writes=False)
        if trouble is None:
            return
        self._say(f"{call} {key}: {trouble}")
        if trouble.startswith("killed"):
            self._scheduler.crash()
        if trouble != "resent":
            raise UnavailableError(trouble, key=key, store=self)

    def _write(self, call: str, key: str, effect: Callable[[], Stored | None]) -> Stored | None:
        trouble = self._begin(key, writes=True)
        scheduler = self._scheduler
        if trouble is None:
            return self._send(call, effect)
        self._say(f"{call}: {trouble}")
        if trouble == "refused":
            raise UnavailableError(trouble, key=key, store=self, landed="no")
        if trouble == "resent":
            return self._resend(call, key, effect)
        if trouble in {"late", "killed_late"}:
            by = scheduler.current.operation
            delay = int(by.chance.random() * by.chance.choice(_PAUSES))
            late = f"late, by {by.who}: {call}"
            scheduler.later(delay, lambda: self._send_unanswered(late, effect))
        if trouble in {"lost_after", "killed_after"}:
            self._send_unanswered(call, effect)
        if trouble.startswith("killed"):
            scheduler.crash()
        raise UnavailableError(trouble, key=key, store=self)

    def _send(self, call: str, effect: Callable[[], Stored | None]) -> Stored | None:
        try:
            document = effect()
        except ConflictError:
            self._say(f"{call}: conflict")
            raise
        self._say(f"{call}: {self._label(_version(document))}")
        return document

    def _send_unanswered(self, call: str, effect: Callable[[], Stored | None]) -> Stored | None:
        try:
            return self._send(call, effect)
        except ConflictError:
            return None

    def _resend(self, call: str, key: str, effect: Callable[[], Stored | None]) -> Stored | None:
        """Send it, lose the answer, send it again, and report what the store says to that.

        A put that finds itself there has landed, as on S3, where each has a nonce.
        """
        operation = self._scheduler.current.operation
        written = None
        if operation.chance.random() < 0.7:
            written = self._send_unanswered(f"unheard: {call}", effect)
        self._scheduler.sleep(int(operation.chance.random() * operation.chance.choice(_PAUSES)))
        try:
            return self._send(f"again: {call}", effect)
        except ConflictError as error:
            self._scheduler.sleep(_latency(operation.chance))
            if written is not None and self.documents.get(key) is written:
                return written
            error.landed = "unknown"
            raise

    def _put(self, by: Operation, key: str, data: bytes, expect: Expect) -> Stored:
        before = self.documents.get(key)
        compare(_version(before), expect, key=key, store=self)
        self.effects += 1
        number = self.effects
        version = Version(str(number)) if self.kind.counted else content_version(data)
        since = before.since if before else number
        after = Stored(data, version, number, since, by, self.now)
        self.documents[key] = after
        self._on_effect(Effect(number, key, before, after, by))
        return after

    def _delete(self, by: Operation, key: str, expect: ExpectSeen, *, was_read: bool) -> None:
        before = self.documents.get(key)
        compare(_version(before), expect, key=key, store=self)
        if before is None:
            return
        self.effects += 1
        del self.documents[key]
        self._on_effect(Effect(self.effects, key, before, None, by, was_read))

    def _wanted(self, expect: Expect) -> str:
        return expect.value if isinstance(expect, Expectation) else self._label(expect)

    def _label(self, version: str | None) -> str:
        """A version as the trace names it: short, and the same whenever it is replayed."""
        if version is None:
            return "nothing"
        return self._labels.setdefault(version, f"v{len(self._labels) + 1}")


def _version(document: Stored | None) -> Version | None:
    return None if document is None else document.version


def _latency(chance: Random) -> int:
    """How long a call takes: mostly milliseconds, sometimes seconds, seldom many minutes."""
    drawn = chance.random()
    if drawn < 0.9:
        return 1000 + int(chance.random() * 20_000)
    if drawn < 0.98:
        return int(chance.random() * SECOND)
    if drawn < 0.998:
        return int(chance.random() * MINUTE)
    return int(chance.random() * 15 * MINUTE)
