"""Records: what a store keeps beside a document so that listings need not read it.

A record is a flat JSON object. The store understands only the fields it filters and sorts by; what
a record says about a session or journal is written and read by the layers above.
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
"""What is kept beside a document. ``v``, an integer from 1, says how complete it is: fields are
only ever added. ``problem`` says why the document cannot be read; it is then the only other field.
"""

Order = Literal["updated", "created", "size"]
"""What a listing is sorted by: newest first, or largest first."""

ORDERS: Final[Mapping[Order, str]] = {
    "updated": "updated_at",
    "created": "created_at",
    "size": "size",
}
"""For each order, the record field it sorts by, an integer."""


class Condition(NamedTuple):
    """What a field of a record must be.

    Attributes:
        field: The name of the field.
        operator: How the field compares with the value.
        value: The value to compare with; never None.
    """

    field: str
    operator: Literal["=", "<", ">"]
    value: str | int

    def holds_for(self, found: object) -> bool:
        """Return whether a field with this value meets the condition."""
        return found is not None and bool(_OPERATORS[self.operator](found, self.value))


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_FIELDS: Final = ("user_id", "project_id", "active_seed_id", "last_phase", "title")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which sessions or journals a listing shows; None matches any.

    Attributes:
        user_id: Only those of this user.
        project_id: Only those of this project.
        active_seed_id: Only those whose active seed is this one.
        last_phase: Only those where this is the last phase that a response reached.
        title: Only those with this title.
        updated_before: Only those updated before this time; time-zone aware.
        updated_after: Only those updated after this time; time-zone aware.
        created_before: Only those created before this time; time-zone aware.
        created_after: Only those created after this time; time-zone aware.

    Raises:
        ValueError: A time is naive; raised by `conditions`.
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
        """Return the conditions on record fields, with times in microseconds since 1970."""
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
    """Where a page ends; the next page begins after it.

    Attributes:
        value: The last record's value of the field that is sorted by.
        id: The last record's field ``id``.
        key: The key of the last record's document.
    """

    value: int
    id: str
    key: str


class Row(NamedTuple):
    """A document as listed.

    Attributes:
        key: Its key.
        version: The version of the bytes that the record describes.
        modified_ns: When the store says it was last written, in nanoseconds since 1970.
        record: The record kept beside it.
    """

    key: str
    version: Version
    modified_ns: int | None
    record: Record


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a query, as of a single moment.

    Attributes:
        rows: The matching documents, in order; iterate over them only once.
        problems: All documents that cannot be read, whatever the filter and the page.
        missing: The keys of all documents whose record is missing or incomplete.
    """

    rows: Iterable[Row]
    problems: Sequence[Row]
    missing: Sequence[str]


@runtime_checkable
class SupportsQuery(Protocol):
    """A store that keeps records beside documents and lists documents by them.

    A store that can also append accepts a ``record`` there: ``append(key, data, expect=…,
    record=…)``.
    """

    def put_record(self, key: str, data: bytes, record: Record, *, expect: Expect) -> Version:
        """Write a document with its record; like `StateStore.put`, which leaves it without one."""
        ...

    def set_records(self, records: Iterable[tuple[str, Version, Record]]) -> None:
        """Set the records of documents; skip those whose version has changed.

        Args:
            records: For each, the key, the version that the record describes, and the record.

        Raises:
            UnavailableError, AccessDeniedError: The store did not answer, or refused access; some
                records may be set.
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

        Sorted from the greatest value of `order` down, then by id, then by key.

        Args:
            prefix: As in `StateStore.scan`.
            wanted: Which documents: those whose records meet all of its conditions, on any field.
            known: The smallest ``v`` of a record that is complete enough.
            order: What they are sorted by.
            after: Return only those after this position.
            limit: Maximum number of rows; None for all.

        Raises:
            InvalidKeyError: The prefix is not legal.
            UnavailableError, AccessDeniedError: The store did not answer, or refused access.
        """
        ...

    def count(self, prefix: str, wanted: Filter, *, known: int) -> int:
        """Count the matching documents below a prefix whose record is complete enough.

        Raises:
            InvalidKeyError, UnavailableError, AccessDeniedError: As in `query`.
        """
        ...
