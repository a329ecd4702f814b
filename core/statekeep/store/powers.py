"""Optional powers of a store, each with what is done where a store lacks it.

A power is a small protocol. `power` says whether a store has it, and is the only place that asks:
a wrapper answers for what it wraps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import (
    TYPE_CHECKING,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    cast,
    runtime_checkable,
)

from statekeep._arguments import refuse_type
from statekeep.errors import (
    AccessDeniedError,
    CorruptDataError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.store.arguments import plain_keys
from statekeep.store.query import Record, SupportsQuery

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from datetime import timedelta

    from statekeep.store.protocol import Blob, StateStore, Version

__all__ = [
    "Anomaly",
    "RepairAction",
    "Seen",
    "SupportsAppend",
    "SupportsDeleteMany",
    "SupportsDeleteSeen",
    "SupportsGetMany",
    "SupportsInitialize",
    "SupportsInspect",
    "SupportsQuery",
    "SupportsRemains",
    "SupportsSurvey",
    "SupportsSweep",
    "SupportsVacuum",
    "Survey",
    "delete_many",
    "get_many",
    "initialize",
    "inspect",
    "methods_of",
    "power",
    "remains",
    "sweep",
    "vacuum",
]

P = TypeVar("P")


@runtime_checkable
class SupportsAppend(Protocol):
    """A store that adds to the end of a document for less than writing it anew."""

    def append(
        self, key: str, data: bytes, *, expect: Version, record: Record | None = None
    ) -> Version:
        """Add bytes at the end of a document, if it is the one that was seen.

        Until it returns, and for ever if its process dies meanwhile, a reader may see a beginning
        of what is added, and the version of just these bytes. So only what tells its own end may
        be written so; who finds a torn end replaces the document by a `put` that expects it.

        Args:
            key: Where the document lies.
            data: What is added.
            expect: The version of all bytes that are there.
            record: What to keep beside the document; given only where the store has
                `SupportsQuery` as well.

        Returns:
            The version of all bytes that are then there.

        Raises:
            ConflictError: Something else is there, or nothing.
            InvalidKeyError: The key is not legal.
            InvalidDocumentError: The document would be too large.
            UnavailableError: No room or no answer; what this call wrote itself is taken back, or
                `landed` is ``"unknown"``.
            AccessDeniedError: The store refused.
        """
        ...


@runtime_checkable
class SupportsGetMany(Protocol):
    """A store that reads many documents faster than one after the other."""

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See the function `get_many`."""
        ...


@runtime_checkable
class SupportsDeleteMany(Protocol):
    """A store that deletes many documents faster than one after the other."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """See the function `delete_many`."""
        ...


class Seen(NamedTuple):
    """A document as it was seen.

    Attributes:
        key: Where it lies.
        version: Its `Blob.version`.
        fingerprint: The `Blob.fingerprint` that came with it.
    """

    key: str
    version: Version
    fingerprint: str | None


@runtime_checkable
class SupportsDeleteSeen(Protocol):
    """A store that deletes many documents, each on a condition, faster than one after the other."""

    def delete_seen(self, seen: Iterable[Seen]) -> Iterator[dict[str, StateStoreError | None]]:
        """Delete documents, each if it is what was seen.

        Args:
            seen: Which; no key is there twice.

        Yields:
            What was done in one go, before more is done: some of the keys, each with the error
            that `delete` would have raised, or None. No key is left out, in the end.

        Raises:
            InvalidKeyError, ClosedError: As `StateStore.delete`; some may be deleted already.
        """
        ...


@runtime_checkable
class SupportsSweep(Protocol):
    """A store in which a killed writer can leave something behind."""

    def sweep(self, *, older_than: timedelta) -> int:
        """Remove leftovers of unfinished writes.

        Args:
            older_than: Only what was last written longer ago; younger ones may be in use.

        Returns:
            How many were removed. What this process may not see or remove stays.
        """
        ...


@runtime_checkable
class SupportsVacuum(Protocol):
    """A store whose file keeps the room that deleted documents leave."""

    def vacuum(self) -> None:
        """See the function `vacuum`."""
        ...


@runtime_checkable
class SupportsInitialize(Protocol):
    """A store that keeps documents in something that must be made first, such as tables."""

    def initialize(self) -> None:
        """See the function `initialize`."""
        ...


@runtime_checkable
class SupportsRemains(Protocol):
    """A store that keeps, out of reach of what reads it, some of what was deleted."""

    def remains(self) -> Sequence[str]:
        """See the function `remains`."""
        ...


RepairAction = Literal["move", "remove"]
"""What a repair does with what it finds: move it to quarantine, or remove what holds nothing."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something in a store that is no document, as the backend found it.

    Attributes:
        kind: What it is, in a word.
        place: Where, relative to the store, as printable text.
        reason: What is wrong with it, for a person.
        action: What `SupportsInspect.repair` would do; None if nothing would be safe.
        harmless: Whether it is only worth knowing.
        identity: How the backend knows it again; nobody else's business.
    """

    kind: Literal["closed folder", "damage", "leftover", "lock", "no document", "no key"]
    place: str
    reason: str
    action: RepairAction | None
    harmless: bool = False
    identity: object = None


@runtime_checkable
class SupportsInspect(Protocol):
    """A store in which there can be what no scan shows, because it is no document."""

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:
        """Look for what is no document. Changes nothing, and needs no right to write.

        Args:
            older_than: Leftovers of unfinished writes count only if they were last written longer
                ago; younger ones may be in use.

        Raises:
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused.
        """
        ...

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:
        """Do what the action of an anomaly says, if it is still what was seen.

        Args:
            anomaly: What `inspect` of this store found; it has an action.
            quarantine: A prefix under which there is nothing yet. What is moved goes below it.

        Returns:
            Where it went, or None if it was removed.

        Raises:
            ConflictError: It has changed, or is gone.
            CorruptDataError: Something that is no document is in the way.
            UnavailableError: No room or no answer.
            AccessDeniedError: The store refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class Survey:
    """What a scan tells, by columns: for very many documents that is less time and memory.

    Attributes:
        keys: Of the documents, each once.
        fingerprints: Each document's `Entry.fingerprint`, in lines, in the order of the keys.
        modified_ns: Each document's `Entry.modified_ns`; empty in a survey that comes from a cache.
        names: Lets the store see whether a document has come or gone since; None if it could not.
    """

    keys: Sequence[str]
    fingerprints: str
    modified_ns: Sequence[int | None]
    names: str | None


@runtime_checkable
class SupportsSurvey(Protocol):
    """A store that knows when no document has come or gone, and then looks at those it is told."""

    def survey(self, prefix: str, known: Survey | None = None) -> Survey:
        """Tell what a scan would.

        Args:
            prefix: As for `StateStore.scan`.
            known: An earlier survey of this prefix, by any store in the same place, or a part of
                one, its documents in any order.

        Returns:
            If none has come or gone since, the keys and `Survey.names` of the known one, with the
            fingerprints of now. Otherwise all that there is.

        Raises:
            InvalidKeyError, UnavailableError, AccessDeniedError: As `StateStore.scan`.
        """
        ...


FASTER: Final[dict[type, tuple[tuple[str, str], ...]]] = {
    SupportsAppend: (("append", "put"),),
    SupportsDeleteMany: (("delete_many", "delete"),),
    SupportsDeleteSeen: (("delete_seen", "delete"),),
    SupportsGetMany: (("get_many", "get"),),
    SupportsQuery: (
        ("put_record", "put"),
        ("query", "scan"),
        ("query", "get"),
        ("count", "scan"),
        ("count", "get"),
    ),
    SupportsSurvey: (("survey", "scan"),),
}
"""Of a power its methods, each with a member of every store that it is a faster way of."""


def power(store: StateStore, protocol: type[P]) -> P | None:
    """The store as one that has a power, or None if it lacks it.

    A store says so by having the protocol's methods. A subclass that overrides `get`, `put`,
    `delete` or `scan` loses the faster ways to do the same that it inherits, `get_many`, `append`,
    `delete_many`, `delete_seen`, `query` and `survey`, which would bypass the override; override
    both to keep the power. A store whose powers are not told by its methods, such as a wrapper, has
    a method ``power`` that takes the protocol and answers instead.

    Args:
        store: Any store.
        protocol: `SupportsAppend`, `SupportsGetMany`, `SupportsDeleteMany`, `SupportsDeleteSeen`,
            `SupportsInitialize`, `SupportsSurvey`, `SupportsSweep`, `SupportsInspect`,
            `SupportsQuery`, `SupportsRemains` or `SupportsVacuum`.

    Raises:
        TypeError: It is no store.

    Examples:
        >>> from statekeep import open_store
        >>> with open_store("memory:") as store:
        ...     power(store, SupportsSweep) is None
        True
    """
    if not hasattr(store, "scan"):
        refuse_type("store", "a StateStore", store)
    if (answer := getattr(store, "power", None)) is not None:
        return cast("P | None", answer(protocol))
    able = all(hasattr(store, name) for name in methods_of(protocol))
    return store if able and not _bypasses(type(store), cast("Hashable", protocol)) else None  # type: ignore[return-value]


def methods_of(protocol: type) -> tuple[str, ...]:
    """The names of the methods of a power."""
    return _methods_of(cast("Hashable", protocol))


@cache
def _methods_of(protocol: Hashable) -> tuple[str, ...]:
    # Not isinstance(), which takes longer than some appends.
    return tuple([name for name in vars(protocol) if not name.startswith("_")])


@cache
def _bypasses(kind: type, protocol: Hashable) -> bool:
    """Whether a power would bypass what a subclass has made of a member it is faster than."""
    return any(
        _overrides(kind, member, method)
        for method, member in FASTER.get(cast("type", protocol), ())
        if hasattr(kind, method)
    )


def _overrides(kind: type, member: str, method: str) -> bool:
    slow, quick = _owner(kind, member), _owner(kind, method)
    return slow is not quick and issubclass(slow, quick)


def _owner(kind: type, name: str) -> type:
    """The class that a method comes from."""
    method = getattr(kind, name)
    return [each for each in kind.__mro__ if getattr(each, name, None) is method][-1]


def get_many(
    store: StateStore, keys: Iterable[str]
) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
    """Read many documents, at once where the store can.

    Args:
        store: Where they lie.
        keys: Which.

    Yields:
        Each key with its document, None where there is none, or the error where this one cannot
        be read (`AccessDeniedError`, `CorruptDataError`); in any order.

    Raises:
        InvalidKeyError, UnavailableError, ClosedError: As `StateStore.get`.
    """
    if able := power(store, SupportsGetMany):
        yield from able.get_many(keys)
        return
    for key in plain_keys(keys):
        try:
            yield key, store.get(key)
        except (AccessDeniedError, CorruptDataError) as error:
            yield key, error


def delete_many(store: StateStore, keys: Iterable[str]) -> None:
    """Delete many documents, whatever they are by now, at once where the store can.

    Args:
        store: Where they lie.
        keys: Which.

    Raises:
        InvalidKeyError, UnavailableError, AccessDeniedError: As `StateStore.delete`; some may be
            deleted already.
    """
    if able := power(store, SupportsDeleteMany):
        able.delete_many(keys)
        return
    for key in plain_keys(keys):
        store.delete(key)


def sweep(store: StateStore, *, older_than: timedelta) -> int:
    """Remove leftovers of unfinished writes and give how many; 0 where there can be none.

    Args:
        store: Where they may lie.
        older_than: As `SupportsSweep.sweep`.

    Raises:
        UnavailableError, AccessDeniedError: The store did not answer, or refused.
    """
    able = power(store, SupportsSweep)
    return able.sweep(older_than=older_than) if able else 0


def inspect(store: StateStore, *, older_than: timedelta) -> Iterator[Anomaly]:
    """Look for what is no document; nothing where a store can hold nothing else.

    Args:
        store: Where to look.
        older_than: As `SupportsInspect.inspect`.

    Raises:
        UnavailableError, AccessDeniedError: As `SupportsInspect.inspect`.
    """
    if able := power(store, SupportsInspect):
        yield from able.inspect(older_than=older_than)


def initialize(store: StateStore) -> bool:
    """Make what a store keeps its documents in, if it is not there; what is there stays as it is.

    The first write does so as well. Whoever writes may lack the right to: then somebody who has it
    calls this once, or ``statekeep init``.

    Args:
        store: Whose.

    Returns:
        Whether such stores need that; False where there is never anything to make.

    Raises:
        UnavailableError, AccessDeniedError: The store did not answer, or refused.
        CorruptDataError: What is there is another program's.
    """
    able = power(store, SupportsInitialize)
    if able is None:
        return False
    able.initialize()
    return True


def remains(store: StateStore) -> tuple[str, ...]:
    """Say what a store may keep of what was deleted, where only its administrator can delete it.

    Args:
        store: Whose.

    Returns:
        Sentences for a person; none of a store that keeps nothing. Backups that others make of a
        store it knows nothing of.
    """
    able = power(store, SupportsRemains)
    return tuple(able.remains()) if able else ()


def vacuum(store: StateStore) -> None:
    """Give back the room that deleted documents have left.

    Nobody can write meanwhile, and it takes as much room again as what is stored.

    Args:
        store: Whose.

    Raises:
        UnsupportedError: This store keeps no such room.
        UnavailableError: Another process is writing, or there is too little room.
        AccessDeniedError: The store refused.
    """
    able = power(store, SupportsVacuum)
    if able is None:
        raise UnsupportedError(
            "this store keeps no room of what was deleted, so there is none to give back",
            store=store,
        )
    able.vacuum()
