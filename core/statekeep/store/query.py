"""Records: what a store keeps beside a document, so that it is listed without being read.

A record is a flat JSON object. The store understands only what it is asked to filter and to sort
by; what a record says of a session or journal is written and read above.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

from statekeep.timestamps import to_microseconds, to_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from statekeep.store.values import Expect, Version

__all__ = [
    "ORDERS",
    "Condition",
    "Filter",
    "Found",
    "Order",
    "Position",
    "Record",
    "Row",
    "SupportsQuery",
]

Record = Mapping[str, str | int | bool | None]
"""What is kept beside a document. ``v``, an integer from 1 on, says how much it says: fields are
only ever added. ``problem`` says why the document cannot be read; there is no other field then."""

Order = Literal["updated", "created", "size"]
"""What a listing is sorted by: the newest first, or the largest."""

ORDERS: Final[Mapping[Order, str]] = {
    "updated": "updated_at",
    "created": "created_at",
    "size": "size",
}
"""Of each order the field of a record, an integer."""


class Condition(NamedTuple):
    """What a field of a record must be.

    Attributes:
        field: Which.
        operator: How it compares with the value.
        value: What it compares with; never None.
    """

    field: str
    operator: Literal["=", "<", ">"]
    value: str | int

    def holds_for(self, found: object) -> bool:
        """Whether a field that has this value meets the condition."""
        return found is not None and bool(_OPERATORS[self.operator](found, self.value))


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_FIELDS: Final = ("user_id", "project_id", "active_seed_id", "last_phase", "title")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which sessions or journals a listing shows; None is any.

    Attributes:
        user_id: Only this user's.
        project_id: Only this project's.
        active_seed_id: Only those with this seed at work.
        last_phase: Only those whose last response reached this phase.
        title: Only those of this title.
        updated_before: Only those updated before; aware.
        updated_after: Only those updated after; aware.
        created_before: Only those created before; aware.
        created_after: Only those created after; aware.

    Raises:
        ValueError: By `conditions`, for a time that is naive.
    """

    user_id: str | None = None
    project_id: str | None = None
    active_seed_id: str | None = None
    last_phase: str | None = None
    title: str | None = None
    updated_before: datetime | None = None
    updated_after: datetime | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None

    def conditions(self) -> Sequence[Condition]:
        """What it asks of the fields of a record; times in microseconds since 1970."""
        values: list[tuple[str, Literal["=", "<", ">"], str | datetime | None]] = [
            (field, "=", getattr(self, field)) for field in _FIELDS
        ]
        values += [
            ("updated_at", "<", self.updated_before),
            ("updated_at", ">", self.updated_after),
            ("created_at", "<", self.created_before),
            ("created_at", ">", self.created_after),
        ]
        return [
            Condition(
                field,
                comparison,
                to_microseconds(to_utc(value)) if isinstance(value, datetime) else value,
            )
            for field, comparison, value in values
            if value is not None
        ]


class Position(NamedTuple):
    """Where a page ends: the next begins with what comes after.

    Attributes:
        value: Of the field that is sorted by, of the last record.
        id: Its field ``id``.
        key: Where its document lies.
    """

    value: int
    id: str
    key: str


class Row(NamedTuple):
    """A document, as it is listed.

    Attributes:
        key: Where it lies.
        version: Of the bytes that the record is about.
        modified_ns: When the store says it was last written, in nanoseconds since 1970.
        record: What is kept beside it.
    """

    key: str
    version: Version
    modified_ns: int | None
    record: Record


@dataclass(frozen=True, slots=True)
class Found:
    """What a query finds, all at one moment.

    Attributes:
        rows: Those asked for, in order; to be iterated once.
        problems: All documents that cannot be read, whatever the filter and the page.
        missing: The keys of all documents without a record, or with one that says too little.
    """

    rows: Iterable[Row]
    problems: Sequence[Row]
    missing: Sequence[str]


@runtime_checkable
class SupportsQuery(Protocol):
    """A store that keeps records beside documents, and lists by them.

    A store that also appends takes a ``record`` there, too: ``append(key, data, expect=…,
    record=…)``.
    """

    def put_record(self, key: str, data: bytes, record: Record, *, expect: Expect) -> Version:
        """Write a document and its record; as `StateStore.put`, which leaves it without one."""
        ...

    def set_records(self, records: Iterable[tuple[str, Version, Record]]) -> None:
        """Give documents records; those whose version is another by now are left as they are.

        Args:
            records: Of each the key, the version that it is about, and the record.

        Raises:
            UnavailableError, AccessDeniedError: The store did not answer, or refused; some may
                have theirs.
        """
        ...

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
        """List the documents below a prefix by their records.

        The greatest `Order` comes first, ties by id, then by key.

        Args:
            prefix: As of a scan.
            wanted: Which ones: those whose records meet each of its conditions, on whatever field.
            known: The least ``v`` of a record that says enough.
            order: What they are sorted by.
            after: Only those that come after.
            limit: At most so many; None for all.

        Raises:
            InvalidKeyError: The prefix is not legal.
            UnavailableError, AccessDeniedError: The store did not answer, or refused.
        """
        ...

    def count(self, prefix: str, wanted: Filter, *, known: int) -> int:
        """Count the documents below a prefix that have a record that says enough, and fit.

        Raises:
            InvalidKeyError, UnavailableError, AccessDeniedError: As `query`.
        """
        ...
