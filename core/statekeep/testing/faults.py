"""A store wrapper that injects reproducible faults."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from statekeep.errors import UnavailableError
from statekeep.store import ANY, StoreWrapper, SupportsAppend, SupportsQuery, power

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from statekeep.store import (
        Blob,
        Entry,
        Expect,
        ExpectSeen,
        Filter,
        Found,
        Order,
        Position,
        Record,
        StateStore,
        Version,
    )

__all__ = ["Fault", "FaultKind", "FaultyStore", "Operation"]

P = TypeVar("P")
T = TypeVar("T")

FaultKind = Literal["before", "after", "slow", "throttled"]
Operation = Literal["get", "put", "append", "delete", "scan"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was injected into one call.

    Attributes:
        kind: ``before`` or ``after`` the call takes effect, ``slow``, or ``throttled``.
        operation: ``get``, ``put``, ``append``, ``delete`` or ``scan``.
        key: The key; for a scan, the prefix.
    """

    kind: FaultKind
    operation: Operation
    key: str


class FaultyStore(StoreWrapper):
    """A wrapper that makes a store's calls fail at random, the same way on each run.

    What happens to a call depends on the seed, the operation, the key and the number of earlier
    calls like it, not on the clock or on other threads using other keys. (Which calls fall into a
    burst of throttling does depend on their order.) The inner store's errors and capabilities are
    passed on unchanged. Closing the wrapper closes the inner store.

    Args:
        store: The inner store.
        seed: The seed; each seed gives a different series of faults.
        before: The probability that a call fails before it takes effect.
        after: The probability that a call takes effect and then fails, as if its response were
            lost; a scan fails halfway.
        slow: The probability that a call takes longer.
        throttled: The probability that a call is refused, along with the calls that follow it.
        delay: How much longer a slow call takes, in seconds.
        burst: The number of calls in a row that throttling refuses, including the first.
        operations: The operations that can fail.

    Attributes:
        faults: The faults injected so far.

    Raises:
        ValueError: A probability is negative, or their sum is more than 1.

    Examples:
        >>> from statekeep import Sessions, UnavailableError, open_store
        >>> store = FaultyStore(open_store("memory:"), seed=1, after=1, operations=["put"])
        >>> try:
        ...     Sessions(store).get_or_create("ada", "s")
        ... except UnavailableError:
        ...     Sessions(store).load("s").user_id
        'ada'
    """

    def __init__(
        self,
        store: StateStore,
        *,
        seed: int = 0,
        before: float = 0.0,
        after: float = 0.0,
        slow: float = 0.0,
        throttled: float = 0.0,
        delay: float = 0.01,
        burst: int = 3,
        operations: Collection[Operation] = ("get", "put", "append", "delete", "scan"),
    ) -> None:
        super().__init__(store)
        self._chances: dict[FaultKind, float] = {
            "before": before,
            "after": after,
            "slow": slow,
            "throttled": throttled,
        }
        chances = self._chances.values()
        if min(chances) < 0 or sum(chances) > 1:
            raise ValueError(
                f"probabilities must be 0 or more and add up to at most 1, not {self._chances}"
            )
        self._seed = seed
        self._delay = delay
        self._burst = burst
        self._operations = frozenset(operations)
        self._calls: Counter[tuple[Operation, str]] = Counter()
        self._refusing = 0
        self._lock = threading.Lock()
        self.faults: list[Fault] = []

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        return self._call("get", key, lambda: self._inner.get(key))

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        return self._call("put", key, lambda: self._inner.put(key, data, expect=expect))

    def append(
        self, key: str, data: bytes, *, expect: Version, record: Record | None = None
    ) -> Version:
        """See `SupportsAppend.append`."""
        append = super().append
        return self._call("append", key, lambda: append(key, data, expect=expect, record=record))

    def put_record(self, key: str, data: bytes, record: Record, *, expect: Expect) -> Version:
        """See `SupportsQuery.put_record`; it fails as a put does."""
        put = super().put_record
        return self._call("put", key, lambda: put(key, data, record, expect=expect))

    def query(
        self,
        prefix: str,
        wanted: Filter,
        *,
        known: int,
        order: Order = "updated",
        after: Position | None = None,
        limit: int | None = None,
    ) -> Found:
        """See `SupportsQuery.query`; it fails as a scan does."""
        query = super().query
        return self._call(
            "scan",
            prefix,
            lambda: query(prefix, wanted, known=known, order=order, after=after, limit=limit),
        )

    def count(self, prefix: str, wanted: Filter, *, known: int) -> int:
        """See `SupportsQuery.count`; it fails as a scan does."""
        count = super().count
        return self._call("scan", prefix, lambda: count(prefix, wanted, known=known))

    def power(self, protocol: type[P]) -> P | None:
        """See `StoreWrapper.power`; it can append and query if the inner store can."""
        if protocol in {SupportsAppend, SupportsQuery} and power(self._inner, protocol) is None:
            return None
        return super().power(protocol)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        self._call("delete", key, lambda: self._inner.delete(key, expect=expect))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        fault = self._begin("scan", prefix)
        entries = list(self._inner.scan(prefix))
        yield from entries[: len(entries) // 2] if fault == "after" else entries
        self._end(fault, prefix)

    def _call(self, operation: Operation, key: str, call: Callable[[], T]) -> T:
        fault = self._begin(operation, key)
        result = call()
        self._end(fault, key)
        return result

    def _begin(self, operation: Operation, key: str) -> FaultKind | None:
        fault = self._fault(operation, key)
        if fault == "slow":
            time.sleep(self._delay)
        elif fault in {"before", "throttled"}:
            raise UnavailableError(f"a fault was injected: {fault}", key=key, store=self)
        return fault

    def _end(self, fault: FaultKind | None, key: str) -> None:
        if fault == "after":
            raise UnavailableError("a fault was injected: no response", key=key, store=self)

    def _fault(self, operation: Operation, key: str) -> FaultKind | None:
        if operation not in self._operations:
            return None
        with self._lock:
            count = self._calls[operation, key]
            self._calls[operation, key] += 1
            fault = self._draw(f"{self._seed} {operation} {key} {count}")
            if fault == "throttled" or self._refusing:
                self._refusing = (self._refusing or self._burst) - 1
                fault = "throttled"
            if fault is not None:
                self.faults.append(Fault(fault, operation, key))
        return fault

    def _draw(self, lot: str) -> FaultKind | None:
        drawn = random.Random(lot.encode(errors="surrogatepass")).random()
        for kind, chance in self._chances.items():
            drawn -= chance
            if drawn < 0:
                return kind
        return None
