"""Records as the columns of a table, and queries as conditions of SQL, for every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from statekeep.store import Found, Row, Version
from statekeep.store.keys import JOURNALS, SESSIONS
from statekeep.store.query import ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from statekeep.store import Filter, Order, Position, Record

__all__ = ["COLUMNS", "NOTHING", "Clause", "below", "decode", "fits", "page", "place_of", "rows"]

COLUMNS: Final = (
    "id",
    "user_id",
    "project_id",
    "active_seed_id",
    "last_phase",
    "title",
    "created_at",
    "updated_at",
    "size",
    "problem",
)
"""The fields of a record that can be filtered or sorted by; the whole of it is JSON beside them."""

NOTHING: Final = Found((), (), ())


class Clause(NamedTuple):
    """Conditions of SQL, all of which hold, and the values of their parameters.

    Attributes:
        sql: The conditions, joined by ``AND``.
        values: What their parameters stand for, in order.
    """

    sql: str
    values: tuple[Any, ...]

    def __and__(self, other: Clause) -> Clause:
        return Clause(f"{self.sql} AND {other.sql}", (*self.values, *other.values))


def place_of(key: str) -> str | None:
    """Of which listing a document is a part, or what lies below a prefix.

    >>> place_of("sessions/ada.json"), place_of("journals/support/ada.jsonl")
    ('sessions', 'journals/support')
    """
    first, _, rest = key.partition("/")
    if first == SESSIONS:
        return SESSIONS
    if first == JOURNALS and rest:
        return f"{JOURNALS}/{rest.partition('/')[0]}"
    return None


def below(prefix: str, mark: str) -> Clause:
    """What lies below a prefix.

    Args:
        prefix: As of a scan.
        mark: What stands for a parameter: ``?`` or ``%s``.
    """
    place = place_of(prefix)
    clause = Clause(f"place = {mark}", (place,)) if place else Clause("TRUE", ())
    if prefix and prefix != place:
        # "0" follows "/".
        clause &= Clause(f"key > {mark} AND key < {mark}", (f"{prefix}/", f"{prefix}0"))
    return clause


def fits(wanted: Filter, known: int, mark: str) -> Clause:
    """What a filter asks of records that say enough.

    Args:
        wanted: The filter.
        known: The least ``v`` of a record that says enough.
        mark: What stands for a parameter.
    """
    # The sign keeps SQLite from going by the index of `v`, which most documents have in common.
    clause = Clause(f"+v >= {mark}", (known,))
    for field, comparison, value in wanted.conditions():
        assert field in COLUMNS  # noqa: S101 - a test looks at all of them
        clause &= Clause(f"{field} {comparison} {mark}", (value,))
    return clause


def page(order: Order, after: Position | None, mark: str) -> tuple[Clause, str]:
    """What comes after a position, and how it is ordered.

    Args:
        order: What it is sorted by.
        after: Where the page before ended.
        mark: What stands for a parameter.
    """
    field = ORDERS[order]
    clause = Clause(f"{field} IS NOT NULL", ())
    if after is not None:
        value = max(-(2**63), min(after.value, 2**63 - 1))
        # The first for the index; the rest parts those that are equal.
        clause &= Clause(
            f"{field} <= {mark} AND ({field} < {mark} OR (id, key) > ({mark}, {mark}))",
            (value, value, after.id, after.key),
        )
    return clause, f"{field} DESC, id, key"


def rows(found: Iterable[tuple[str, str, int, str | bytes]]) -> Iterator[Row]:
    """Rows of a key, a version, a time and a record."""
    for key, version, modified, record in found:
        yield Row(key, Version(version), modified, decode(record))


def decode(record: str | bytes) -> Record:
    """A record as it is kept; an empty one where it is damaged."""
    try:
        fields = orjson.loads(record)
    except orjson.JSONDecodeError:
        fields = None
    # Who asked for a damaged one finds that it says too little, and reads the document.
    return fields if isinstance(fields, dict) else {}
