"""Stores and strategies that each break one promise; `test_mutants.py` has it found."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from statekeep import (
    ABSENT,
    ANY,
    ConflictError,
    InvalidKeyError,
    SessionSummary,
    StateStore,
    StateStoreError,
    Summary,
    UnavailableError,
    UnsupportedError,
    Version,
    open_store,
)
from statekeep.retention import PruningStrategy, Victim
from statekeep.store import (
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    Seen,
    StoreWrapper,
    Survey,
    compare,
    delete_many,
    get_many,
)
from statekeep.testing import (
    JournalsContract,
    PrunerContract,
    SessionsContract,
    StateStoreContract,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from statekeep.testing import LossyPlace

T = TypeVar("T")


class Sound(StoreWrapper):
    """Breaks nothing."""


class _Unguarded(StoreWrapper):
    """Its subclasses' own members are held to nothing, as if they were no `StateStore`."""

    def __init_subclass__(cls) -> None:
        pass


class CreatesOverWhatIsThere(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return super().put(key, data, expect=ANY if expect is ABSENT else expect)


class GivesStaleVersions(StoreWrapper):
    """Remembers the first version of a document that it saw."""

    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._versions: dict[str, Version] = {}

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        return blob and replace(blob, version=self._versions.setdefault(key, blob.version))

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return self._versions.setdefault(key, super().put(key, data, expect=expect))


class TakesTheLengthForTheVersion(StoreWrapper):
    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._writing = threading.Lock()

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        return blob and replace(blob, version=Version(str(len(blob.data))))

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        with self._writing:
            blob = self.get(key)
            compare(blob.version if blob else None, expect, key=key, store=self)
            super().put(key, data)
        return Version(str(len(data)))


class MatchesHalfSegments(StoreWrapper):
    def scan(self, prefix: str = "") -> Iterator[Entry]:
        super().scan(prefix)
        return (entry for entry in super().scan() if entry.key.startswith(prefix))


class DeletesTrees(StoreWrapper):
    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        super().delete(key, expect=expect)
        for entry in super().scan(key):
            super().delete(entry.key)


class CachesListings(StoreWrapper):
    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._listings: dict[str, list[Entry]] = {}

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        self._listings.clear()
        return super().put(key, data, expect=expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        self._listings.clear()
        super().delete(key, expect=expect)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        if prefix not in self._listings:
            self._listings[prefix] = list(super().scan(prefix))
        return iter(self._listings[prefix])


class KeepsTheCallersBuffer(_Unguarded):
    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._buffers: dict[Version, bytes] = {}

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        return blob and replace(blob, data=self._buffers.get(blob.version, blob.data))

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        version = super().put(key, data, expect=expect)
        self._buffers[version] = data
        return version


class ChecksThenWrites(StoreWrapper):
    """Whoever comes between its check and its write is lost; it waits there for that."""

    _between = threading.Barrier(2)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if expect is not ANY:
            blob = self.get(key)
            compare(blob.version if blob else None, expect, key=key, store=self)
            if key != "asked.json":
                with suppress(threading.BrokenBarrierError):
                    self._between.wait(0.02)
                self._between.reset()
        return super().put(key, data)


class LetsEqualWritersAllWin(StoreWrapper):
    """Takes bytes that are there already for its own, as if its answer had been lost."""

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        try:
            return super().put(key, data, expect=expect)
        except ConflictError:
            blob = self.get(key)
            if blob is None or blob.data != data:
                raise
            return blob.version


class SwallowsConflicts(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        try:
            return super().put(key, data, expect=expect)
        except ConflictError:
            return Version("somebody else's")


class SwallowsIllegalKeys(StoreWrapper):
    def get(self, key: str) -> Blob | None:
        with suppress(InvalidKeyError):
            return super().get(key)
        return None


class ShowsTemporaryFiles(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        super().put(f"{key}.half", data)
        time.sleep(0.001)
        super().delete(f"{key}.half")
        return super().put(key, data, expect=expect)


class DeletesWhateverIsThere(StoreWrapper):
    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:  # noqa: ARG002
        super().delete(key)


class NeverChangesTheFingerprint(StoreWrapper):
    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        return blob and replace(blob, fingerprint="always the same")

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        return (replace(entry, fingerprint="always the same") for entry in super().scan(prefix))


class TakesTheSizeForTheFingerprint(StoreWrapper):
    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        return blob and replace(blob, fingerprint=str(len(blob.data)))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        return (replace(entry, fingerprint=str(entry.size)) for entry in super().scan(prefix))


class ClaimsWhatItRefuses(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if expect is not ANY:
            raise UnsupportedError("no conditions here", key=key, store=self)
        return super().put(key, data)


class IgnoresWhatItDoesNotClaim(StoreWrapper):
    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=False, conditional_delete=False, shared=False)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:  # noqa: ARG002
        return super().put(key, data)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:  # noqa: ARG002
        super().delete(key)


class ClaimsToBeShared(StoreWrapper):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, shared=True)


class TearsWrites(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if len(data) > 10_000 and expect is ANY:
            super().put(key, data[: len(data) // 2])
            time.sleep(0.001)
        return super().put(key, data, expect=expect)


class LetsForeignErrorsEscape(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if len(key) > 1000:
            raise OSError("File name too long")
        return super().put(key, data, expect=expect)


class RaisesForWhatIsNotThere(StoreWrapper):
    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        if self.get(key) is None:
            raise ConflictError("it is not there", key=key, store=self)
        super().delete(key, expect=expect)


class ScansWhatIsWritten(StoreWrapper):
    """Stops when it is written meanwhile, as an iterator over a dict does."""

    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._writes = 0

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        self._writes += 1
        super().delete(key, expect=expect)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        begun = self._writes
        for entry in super().scan(prefix):
            if self._writes != begun:
                raise RuntimeError("dictionary changed size during iteration")
            yield entry


class TakesNoneForAnything(_Unguarded):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return super().put(key, data, expect=expect or ANY)


class EncodesText(_Unguarded):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        text: Any = data
        return super().put(key, text.encode() if isinstance(text, str) else text, expect=expect)


class AnswersInPythonsWords(_Unguarded):
    def get(self, key: str) -> Blob | None:
        return super().get(key) if len(key) else None


class KeepsTheKeyAsItIs(_Unguarded):
    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._keys: dict[str, str] = {}

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if isinstance(key, str):
            self._keys[key] = key
        return super().put(key, data, expect=expect)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        for entry in super().scan(prefix):
            yield replace(entry, key=self._keys.get(entry.key, entry.key))


class GoesOnAfterItsEnd(_Unguarded):
    def close(self) -> None:
        pass


class ScansOnAfterItsEnd(_Unguarded):
    def scan(self, prefix: str = "") -> Iterator[Entry]:
        return iter(list(super().scan(prefix)))


class GivesLocalTimes(StoreWrapper):
    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        if blob is None or blob.modified is None:
            return blob
        return replace(blob, modified=blob.modified + timedelta(hours=2))


class LosesWhatIsMissingFromMany(StoreWrapper):
    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | None]]:
        return ((key, blob) for key in keys if (blob := self.get(key)) is not None)


class DoesNotSayThatNothingLanded(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        try:
            return super().put(key, data, expect=expect)
        except ConflictError as error:
            raise ConflictError(error.message, key=key, store=self) from None


class SaysNoOfWhatLanded(StoreWrapper):
    """Puts on a condition that does not hold, and says that nothing landed."""

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        try:
            return super().put(key, data, expect=expect)
        except ConflictError:
            super().put(key, data)
            raise


class BlamesReads(StoreWrapper):
    """Says of reads, too, what may have landed."""

    def get(self, key: str) -> Blob | None:
        try:
            return super().get(key)
        except InvalidKeyError as error:
            error.landed = "no"
            raise


class KeepsAVersionForOtherBytes(StoreWrapper):
    """Gives the version of a document's first bytes to all that have their length."""

    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._versions: dict[tuple[str, int], Version] = {}

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        if blob is None:
            return None
        version = self._versions.setdefault((key, len(blob.data)), blob.version)
        return replace(blob, version=version)


class SweepsDocumentsAway(StoreWrapper):
    def sweep(self, *, older_than: timedelta) -> int:  # noqa: ARG002
        entries = list(self.scan())
        for entry in entries:
            self.delete(entry.key)
        return len(entries)


class InitializesDocumentsAway(StoreWrapper):
    def initialize(self) -> None:
        delete_many(self, [entry.key for entry in self.scan()])


class SaysWhatRemainsInOneText(StoreWrapper):
    def remains(self) -> Sequence[str]:
        return "Old versions remain in the bucket."


class SaysNothingOfWhatRemains(StoreWrapper):
    def remains(self) -> Sequence[str]:
        return [""]


class DeletesToLeaveNothing(StoreWrapper):
    def remains(self) -> Sequence[str]:
        delete_many(self, [entry.key for entry in self.scan()])
        return ["Backups remain."]


class ClosesForAll(StoreWrapper):
    """Ends what another client uses, too."""

    _closed: ClassVar[set[str]] = set()

    def get(self, key: str) -> Blob | None:
        if str(self._inner) in self._closed:
            raise ConflictError("the session is closed", key=key, store=self)
        return super().get(key)

    def close(self) -> None:
        self._closed.add(str(self._inner))


PAGE = 1000


class DropsTheLastOfAPage(StoreWrapper):
    def scan(self, prefix: str = "") -> Iterator[Entry]:
        return (each for n, each in enumerate(super().scan(prefix), 1) if n % PAGE)


class RepeatsTheFirstOfAPage(StoreWrapper):
    def scan(self, prefix: str = "") -> Iterator[Entry]:
        for n, entry in enumerate(super().scan(prefix), 1):
            yield entry
            if n % PAGE == 0:
                yield entry


class EndsAfterTwoPages(StoreWrapper):
    def scan(self, prefix: str = "") -> Iterator[Entry]:
        return islice(super().scan(prefix), 2 * PAGE)


class CountsInsteadOfNaming(StoreWrapper):
    """Begins each page after so many documents, not after the last of the page before."""

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        done = 0
        while page := self._sorted(prefix)[done : done + PAGE]:
            yield from page
            done += len(page)

    def _sorted(self, prefix: str) -> list[Entry]:
        return sorted(super().scan(prefix), key=lambda entry: entry.key)


class DeletesOnePageOfMany(StoreWrapper):
    def delete_many(self, keys: Iterable[str]) -> None:
        super().delete_many(islice(keys, PAGE))


class CutsAtAMebibyte(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return super().put(key, data[: 2**20], expect=expect)


class LosesTheLastPart(StoreWrapper):
    """Sends what is large in parts of five mebibytes, and forgets what is left."""

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        part = 5 * 2**20
        whole = len(data) // part * part if len(data) > part else len(data)
        return super().put(key, data[:whole], expect=expect)


class MixesUpParts(StoreWrapper):
    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        if blob is None or len(blob.data) < 5 * 2**20:
            return blob
        half = len(blob.data) // 2
        return replace(blob, data=blob.data[half:] + blob.data[:half])


class KeepsTheFirstTime(StoreWrapper):
    """Says of a document for ever when it was first written."""

    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._times: dict[str, datetime | None] = {}

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        return blob and replace(blob, modified=self._times.setdefault(key, blob.modified))


class ListsTheFirstTime(StoreWrapper):
    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._times: dict[str, int | None] = {}

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        for entry in super().scan(prefix):
            first = self._times.setdefault(entry.key, entry.modified_ns)
            yield replace(entry, modified_ns=first)


class GoesBackInTime(StoreWrapper):
    def __init__(self, inner: StateStore) -> None:
        super().__init__(inner)
        self._reads = 0

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        if blob is None or blob.modified is None:
            return blob
        self._reads += 1
        return replace(blob, modified=blob.modified - timedelta(seconds=self._reads))


class CountsNoRequest(StoreWrapper):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, remote=True)


class TakesSilenceForNothing(StoreWrapper):
    """Reads a place that does not answer as an empty one."""

    def get(self, key: str) -> Blob | None:
        with suppress(UnavailableError):
            return super().get(key)
        return None


class TakesABrokenListingForItsEnd(StoreWrapper):
    def scan(self, prefix: str = "") -> Iterator[Entry]:
        with suppress(UnavailableError):
            yield from super().scan(prefix)


class TakesSilenceForNothingAmongMany(StoreWrapper):
    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        wanted = list(keys)
        try:
            yield from list(super().get_many(wanted))
        except UnavailableError:
            yield from ((key, None) for key in wanted)


class BelievesInWrites(StoreWrapper):
    """Acknowledges what nobody answered."""

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        with suppress(UnavailableError):
            super().delete(key, expect=expect)


class SendsAgainByItself(StoreWrapper):
    """As most client libraries do; what it meets then is its own."""

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        try:
            return super().put(key, data, expect=expect)
        except UnavailableError:
            return super().put(key, data, expect=expect)


class SendsAgainAndComparesBytes(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        try:
            return super().put(key, data, expect=expect)
        except UnavailableError:
            blob = super().get(key)
            if blob is None or blob.data != data:
                raise
            return blob.version


class SaysNoOfALostDelete(StoreWrapper):
    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        try:
            super().delete(key, expect=expect)
        except UnavailableError as error:
            error.landed = "no"
            raise


class SaysNoOfALostPut(StoreWrapper):
    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        try:
            return super().put(key, data, expect=expect)
        except UnavailableError as error:
            error.landed = "no"
            raise


class ComparesBeforeTheLock(StoreWrapper):
    """Takes the lock for the write alone; who waited for it writes over what came meanwhile."""

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        if expect is ABSENT:
            return super().put(key, data, expect=expect)
        if expect is not ANY:
            blob = self.get(key)
            compare(blob.version if blob else None, expect, key=key, store=self)
        return super().put(key, data)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        if expect is not ANY:
            blob = self.get(key)
            compare(blob.version if blob else None, expect, key=key, store=self)
        super().delete(key)


class DeletesWithoutLooking(StoreWrapper):
    """Of many that were seen it deletes whatever is there by now."""

    def delete_seen(self, seen: Iterable[Seen]) -> Iterator[dict[str, StateStoreError | None]]:
        for each in seen:
            self.delete(each.key)
            yield {each.key: None}


class TrustsWhatItKnew(StoreWrapper):
    """Looks at no file whose name it knows."""

    def survey(self, prefix: str, known: Survey | None = None) -> Survey:
        return known if known and known.names else super().survey(prefix, known)


class _Line:
    """A way to a store that loses an answer when it is told to."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._left = -1

    def drop(self, passed: int) -> None:
        self._left = passed

    @property
    def dropped(self) -> bool:
        return self._left < 0

    def loses(self) -> bool:
        self._left -= 1
        return self._left == -1


class _OverALine(StoreWrapper):
    """Does what it is told, and loses answers to it."""

    def __init__(self, inner: StateStore, line: _Line) -> None:
        super().__init__(inner)
        self._line = line

    def get(self, key: str) -> Blob | None:
        return self._answer(lambda: super(_OverALine, self).get(key))

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        return self._answer(lambda: super(_OverALine, self).put(key, data, expect=expect))

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        self._answer(lambda: super(_OverALine, self).delete(key, expect=expect))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        yield from self._answer(lambda: list(super(_OverALine, self).scan(prefix)))

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        yield from self._answer(lambda: list(get_many(self.inner, keys)))

    def delete_many(self, keys: Iterable[str]) -> None:
        self._answer(lambda: delete_many(self.inner, keys))

    def _answer(self, call: Callable[[], T]) -> T:
        refusal = None
        try:
            answer = call()
        except StateStoreError as error:
            refusal = error
        if self._line.loses():
            raise UnavailableError("no answer", store=self)
        if refusal is not None:
            raise refusal
        return answer


class _Nowhere(StateStore):
    """Does not answer."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def get(self, key: str) -> Blob | None:
        raise UnavailableError("no answer", key=key, store="nowhere")

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:  # noqa: ARG002
        raise UnavailableError("no answer", key=key, store="nowhere")

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:  # noqa: ARG002
        raise UnavailableError("no answer", key=key, store="nowhere")

    def scan(self, prefix: str = "") -> Iterator[Entry]:  # noqa: ARG002
        raise UnavailableError("no answer", store="nowhere")

    def close(self) -> None:
        pass


class _Strategy:
    """Chooses sessions without a user message, and does that well."""

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:  # noqa: ARG002
        sessions = (each for each in summaries if isinstance(each, SessionSummary))
        return [Victim(each, "empty") for each in sessions if not each.message_count]


class ChoosesTwice(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        return [*super().select(summaries, now)] * 2


class Invents(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        return [
            Victim(replace(victim.summary, id=victim.summary.id.upper() + "x"), "mine")
            for victim in super().select(summaries, now)
        ]


class GivesNoReason(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        return [replace(victim, reason=" ") for victim in super().select(summaries, now)]


class Remembers(_Strategy):
    """Spares what it chose the last time."""

    def __init__(self) -> None:
        self._chosen: set[str] = set()

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        found = super().select(summaries, now)
        fresh = [victim for victim in found if victim.summary.id not in self._chosen]
        self._chosen |= {victim.summary.id for victim in fresh}
        return fresh


class TakesTheOldestHalf(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:  # noqa: ARG002
        return [Victim(each, "old") for each in summaries[(len(summaries) + 1) // 2 :]]


class NeedsASession(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        newest = summaries[0]
        return [each for each in super().select(summaries, now) if each.summary != newest]


class EmptiesTheListing(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        found = list(super().select(summaries, now))
        for victim in found:
            summaries.remove(victim.summary)  # type: ignore[attr-defined]
        return found


class Overflows(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        week = timedelta(days=7)
        return [Victim(each, "old") for each in summaries if each.updated_at + week < now]


class ReversesTheOrder(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        return [*super().select(summaries, now)][::-1]


class GoesByThePlace(_Strategy):
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:  # noqa: ARG002
        return [Victim(each, "beyond the first five") for each in summaries[5:]]


class Given:
    """A plugin of pytest that hands a mutant to the tests below."""

    def __init__(self, mutant: object) -> None:
        self._mutant = mutant

    @pytest.fixture
    def mutant(self) -> object:
        return self._mutant


class _Clients:
    @pytest.fixture
    def location(self) -> str:
        return f"memory:{secrets.token_hex(8)}"

    @pytest.fixture
    def store(self, location: str, mutant: type[StoreWrapper]) -> Iterator[StateStore]:
        with mutant(open_store(location)) as store:
            yield store


class TestStore(_Clients, StateStoreContract):
    @pytest.fixture
    def other(self, location: str, mutant: type[StoreWrapper]) -> Iterator[StateStore]:
        with mutant(open_store(location)) as store:
            yield store

    @pytest.fixture
    def dropping(self, location: str) -> LossyPlace:
        return _Line(location)

    @pytest.fixture
    def lossy(self, dropping: _Line, mutant: type[StoreWrapper]) -> Iterator[StateStore]:
        with mutant(_OverALine(open_store(dropping.location), dropping)) as store:
            yield store

    @pytest.fixture
    def nowhere(self, mutant: type[StoreWrapper]) -> Iterator[StateStore]:
        with mutant(_Nowhere()) as store:
            yield store


class TestStoreOnDisk(StateStoreContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "store")

    @pytest.fixture
    def store(self, location: str, mutant: type[StoreWrapper]) -> Iterator[StateStore]:
        with mutant(open_store(location)) as store:
            yield store

    @pytest.fixture
    def other(self, location: str, mutant: type[StoreWrapper]) -> Iterator[StateStore]:
        with mutant(open_store(location)) as store:
            yield store


class TestSessions(_Clients, SessionsContract):
    """Its `others` see the location as it is."""


class TestJournals(_Clients, JournalsContract):
    """Its `others` see the location as it is."""


class TestStrategy(PrunerContract):
    in_order = True
    for_any_order = True

    @pytest.fixture
    def strategy(self, mutant: type[PruningStrategy]) -> PruningStrategy:
        return mutant()
