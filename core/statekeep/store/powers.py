"""Optional powers of a store, each with a fallback for stores that lack it.

A power is a small protocol. `power` says whether a store has it, and is the only place that does:
a wrapper answers for the store it wraps.
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
    """A store that can append to a document for less than the cost of rewriting it."""

    def append(
        self, key: str, data: bytes, *, expect: Version, record: Record | None = None
    ) -> Version:
        """Append bytes to a document if it is still the one that was seen.

        Until this returns, and forever if its process dies before that, a reader may see only the
        first part of the appended bytes, with a version that covers just those. So append only
        data that marks its own end; a reader that finds a torn end replaces the document with a
        `put` that expects the version it read.

        Args:
            key: The key of the document.
            data: The bytes to append.
            expect: The version of all bytes that are there now.
            record: What to keep beside the document; passed only if the store also has
                `SupportsQuery`.

        Returns:
            The version of the whole document after the append.

        Raises:
            ConflictError: The document has changed or is gone.
            InvalidKeyError: The key is not legal.
            InvalidDocumentError: The document would be too large.
            UnavailableError: The store is full or did not answer. What this call wrote is undone,
                or `landed` is ``"unknown"``.
            AccessDeniedError: The store refused access.
        """
        ...


@runtime_checkable
class SupportsGetMany(Protocol):
    """A store that reads many documents faster than one by one."""

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See the function `get_many`."""
        ...


@runtime_checkable
class SupportsDeleteMany(Protocol):
    """A store that deletes many documents faster than one by one."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """See the function `delete_many`."""
        ...


class Seen(NamedTuple):
    """A document as it was when it was read.

    Attributes:
        key: Its key.
        version: Its `Blob.version`.
        fingerprint: The `Blob.fingerprint` that came with it.
    """

    key: str
    version: Version
    fingerprint: str | None


@runtime_checkable
class SupportsDeleteSeen(Protocol):
    """A store that deletes many documents, each on a condition, faster than one by one."""

    def delete_seen(self, seen: Iterable[Seen]) -> Iterator[dict[str, StateStoreError | None]]:
        """Delete documents, each only if it is still the one that was seen.

        Args:
            seen: The documents; no key occurs twice.

        Yields:
            The result of one step, before the next begins: some of the keys, each with the error
            that `delete` would have raised, or None. By the end, every key has been yielded.

        Raises:
            InvalidKeyError, ClosedError: As in `StateStore.delete`; some may already be deleted.
        """
        ...


@runtime_checkable
class SupportsSweep(Protocol):
    """A store in which a killed writer can leave something behind."""

    def sweep(self, *, older_than: timedelta) -> int:
        """Remove what unfinished writes left behind.

        Args:
            older_than: Minimum age since the last write; anything younger may be in use.

        Returns:
            How many were removed. What this process cannot see or remove stays.
        """
        ...


@runtime_checkable
class SupportsVacuum(Protocol):
    """A store whose file does not shrink when documents are deleted."""

    def vacuum(self) -> None:
        """See the function `vacuum`."""
        ...


@runtime_checkable
class SupportsInitialize(Protocol):
    """A store whose documents live in something that must be created first, such as tables."""

    def initialize(self) -> None:
        """See the function `initialize`."""
        ...


@runtime_checkable
class SupportsRemains(Protocol):
    """A store that retains some deleted data where its readers cannot reach it."""

    def remains(self) -> Sequence[str]:
        """See the function `remains`."""
        ...


RepairAction = Literal["move", "remove"]
"""What a repair does with a finding: move it to quarantine, or remove it because it is empty."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something in a store that is not a document, as the backend found it.

    Attributes:
        kind: What it is, in a word.
        place: Where it is, relative to the store, as printable text.
        reason: What is wrong with it, for a person to read.
        action: What `SupportsInspect.repair` would do; None if no action is safe.
        harmless: Whether it is only a remark, and nothing is wrong.
        identity: How the backend recognizes it again; opaque to everyone else.
    """

    kind: Literal["closed folder", "damage", "leftover", "lock", "no document", "no key"]
    place: str
    reason: str
    action: RepairAction | None
    harmless: bool = False
    identity: object = None


@runtime_checkable
class SupportsInspect(Protocol):
    """A store that can hold things no scan shows, because they are not documents."""

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:
        """Look for things that are not documents. Changes nothing, and needs no write access.

        Args:
            older_than: Minimum age since the last write for leftovers of unfinished writes;
                anything younger may be in use.

        Raises:
            UnavailableError: The store did not answer.
            AccessDeniedError: The store refused access.
        """
        ...

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:
        """Carry out the action of an anomaly if it is still what was seen.

        Args:
            anomaly: What `inspect` found in this store; it has an action.
            quarantine: A prefix with nothing under it yet. What is moved goes below it.

        Returns:
            Where it went, or None if it was removed.

        Raises:
            ConflictError: It has changed or is gone.
            CorruptDataError: Something that is not a document is in the way.
            UnavailableError: The store is full or did not answer.
            AccessDeniedError: The store refused access.
        """
        ...


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a scan as columns, which saves time and memory for many documents.

    Attributes:
        keys: The keys of the documents, each once.
        fingerprints: Each document's `Entry.fingerprint`, one per line, in the order of the keys.
        modified_ns: Each document's `Entry.modified_ns`; empty in a survey read from a cache.
        names: Lets the store tell whether a document was added or removed since; None if it cannot.
    """

    keys: Sequence[str]
    fingerprints: str
    modified_ns: Sequence[int | None]
    names: str | None


@runtime_checkable
class SupportsSurvey(Protocol):
    """A store that can tell when no document was added or removed, to check only known ones."""

    def survey(self, prefix: str, known: Survey | None = None) -> Survey:
        """Return what a scan would find.

        Args:
            prefix: As in `StateStore.scan`.
            known: An earlier survey of this prefix, made by any store at the same location, or a
                part of one, with its documents in any order.

        Returns:
            If no document was added or removed since, the keys and `Survey.names` of the known
            one, with current fingerprints. Otherwise, everything that is there.

        Raises:
            InvalidKeyError, UnavailableError, AccessDeniedError: As in `StateStore.scan`.
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
"""For each power, its methods, each with the `StateStore` member that it speeds up."""


def power(store: StateStore, protocol: type[P]) -> P | None:
    """Return the store typed as having a power, or None if it lacks that power.

    A store has a power if it has the methods of its protocol. A subclass that overrides `get`,
    `put`, `delete` or `scan` loses the inherited faster ways to do the same (`get_many`, `append`,
    `delete_many`, `delete_seen`, `query` and `survey`), since they would bypass the override;
    override both to keep the power. A store whose methods do not tell which powers it has, such as
    a wrapper, has a method ``power`` that takes the protocol and answers instead.

    Args:
        store: Any store.
        protocol: `SupportsAppend`, `SupportsGetMany`, `SupportsDeleteMany`, `SupportsDeleteSeen`,
            `SupportsInitialize`, `SupportsSurvey`, `SupportsSweep`, `SupportsInspect`,
            `SupportsQuery`, `SupportsRemains` or `SupportsVacuum`.

    Raises:
        TypeError: `store` is not a store.

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
    """Return the names of the methods of a power."""
    return _methods_of(cast("Hashable", protocol))


@cache
def _methods_of(protocol: Hashable) -> tuple[str, ...]:
    # Not isinstance(), which takes longer than some appends do.
    return tuple([name for name in vars(protocol) if not name.startswith("_")])


@cache
def _bypasses(kind: type, protocol: Hashable) -> bool:
    """Whether a power would bypass a subclass's override of the slower member."""
    return any(
        _overrides(kind, member, method)
        for method, member in FASTER.get(cast("type", protocol), ())
        if hasattr(kind, method)
    )


def _overrides(kind: type, member: str, method: str) -> bool:
    slow, quick = _owner(kind, member), _owner(kind, method)
    return slow is not quick and issubclass(slow, quick)


def _owner(kind: type, name: str) -> type:
    """Return the class that a method comes from."""
    method = getattr(kind, name)
    return [each for each in kind.__mro__ if getattr(each, name, None) is method][-1]


def get_many(
    store: StateStore, keys: Iterable[str]
) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
    """Read many documents, all at once where the store can.

    Args:
        store: The store to read from.
        keys: The keys to read.

    Yields:
        Each key with its document, None if it does not exist, or the error if this one cannot be
        read (`AccessDeniedError`, `CorruptDataError`); in any order.

    Raises:
        InvalidKeyError, UnavailableError, ClosedError: As in `StateStore.get`.
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
    """Delete many documents, whatever their versions, all at once where the store can.

    Args:
        store: The store to delete from.
        keys: The keys to delete.

    Raises:
        InvalidKeyError, UnavailableError, AccessDeniedError: As in `StateStore.delete`; some may
            already be deleted.
    """
    if able := power(store, SupportsDeleteMany):
        able.delete_many(keys)
        return
    for key in plain_keys(keys):
        store.delete(key)


def sweep(store: StateStore, *, older_than: timedelta) -> int:
    """Remove what unfinished writes left behind; return how many, 0 if the store never has any.

    Args:
        store: The store to sweep.
        older_than: As in `SupportsSweep.sweep`.

    Raises:
        UnavailableError, AccessDeniedError: The store did not answer, or refused access.
    """
    able = power(store, SupportsSweep)
    return able.sweep(older_than=older_than) if able else 0


def inspect(store: StateStore, *, older_than: timedelta) -> Iterator[Anomaly]:
    """Look for things that are not documents; yield nothing if the store can hold none.

    Args:
        store: The store to inspect.
        older_than: As in `SupportsInspect.inspect`.

    Raises:
        UnavailableError, AccessDeniedError: As in `SupportsInspect.inspect`.
    """
    if able := power(store, SupportsInspect):
        yield from able.inspect(older_than=older_than)


def initialize(store: StateStore) -> bool:
    """Create what a store keeps its documents in, such as tables, unless it exists.

    The first write does this too, if the writer has the rights. Otherwise someone who does must
    call this once, or run ``statekeep init``.

    Args:
        store: The store to initialize.

    Returns:
        Whether this kind of store needs it; False if there is never anything to create.

    Raises:
        UnavailableError, AccessDeniedError: The store did not answer, or refused access.
        CorruptDataError: What is there belongs to another program.
    """
    able = power(store, SupportsInitialize)
    if able is None:
        return False
    able.initialize()
    return True


def remains(store: StateStore) -> tuple[str, ...]:
    """Describe deleted data that a store may retain and only its administrator can delete.

    Args:
        store: The store to ask.

    Returns:
        Sentences for a person to read; empty if the store retains nothing. Backups made by others
        are not included.
    """
    able = power(store, SupportsRemains)
    return tuple(able.remains()) if able else ()


def vacuum(store: StateStore) -> None:
    """Release the space that deleted documents leave behind.

    Nobody can write while this runs, and it needs as much free space as the data takes.

    Args:
        store: The store to compact.

    Raises:
        UnsupportedError: This store has no such space to release.
        UnavailableError: Another process is writing, or there is too little space.
        AccessDeniedError: The store refused access.
    """
    able = power(store, SupportsVacuum)
    if able is None:
        raise UnsupportedError(
            "deleted documents leave no space behind in this store, so there is none to release",
            store=store,
        )
    able.vacuum()
