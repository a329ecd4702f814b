"""Records as table columns, and queries as SQL conditions, for all databases."""

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
"""The record fields that can be filtered or sorted by; beside them is the whole record as JSON."""

NOTHING: Final = Found((), (), ())


class Clause(NamedTuple):
    """SQL conditions, all of which must hold, and the values of their parameters.

    Attributes:
        sql: The conditions, joined by ``AND``.
        values: The values of their parameters, in order.
    """

    sql: str
    values: tuple[Any, ...]

    def __and__(self, other: Clause) -> Clause:
        return Clause(f"{self.sql} AND {other.sql}", (*self.values, *other.values))


def place_of(key: str) -> str | None:
    """Return the listing that a document, or everything below a prefix, belongs to.

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
    """Return the condition for keys below a prefix.

    Args:
        prefix: As in `StateStore.scan`.
        mark: The placeholder of a parameter: ``?`` or ``%s``.
    """
    place = place_of(prefix)
    clause = Clause(f"place = {mark}", (place,)) if place else Clause("TRUE", ())
    if prefix and prefix != place:
        # "0" follows "/".
        clause &= Clause(f"key > {mark} AND key < {mark}", (f"{prefix}/", f"{prefix}0"))
    return clause


def fits(wanted: Filter, known: int, mark: str) -> Clause:
    """Return the condition for complete records that match a filter.

    Args:
        wanted: The filter.
        known: The smallest ``v`` of a record that is complete enough.
        mark: The placeholder of a parameter.
    """
    # The sign keeps SQLite from using the index on `v`, whose value most documents share.
    clause = Clause(f"+v >= {mark}", (known,))
    for field, comparison, value in wanted.conditions():
        assert field in COLUMNS  # noqa: S101 - a test covers all fields
        clause &= Clause(f"{field} {comparison} {mark}", (value,))
    return clause


def page(order: Order, after: Position | None, mark: str) -> tuple[Clause, str]:
    """Return the condition for rows after a position, and how to order them.

    Args:
        order: What to sort by.
        after: Where the previous page ended.
        mark: The placeholder of a parameter.
    """
    field = ORDERS[order]
    clause = Clause(f"{field} IS NOT NULL", ())
    if after is not None:
        value = max(-(2**63), min(after.value, 2**63 - 1))
        # The first condition uses the index; the rest separates equal values.
        clause &= Clause(
            f"{field} <= {mark} AND ({field} < {mark} OR (id, key) > ({mark}, {mark}))",
            (value, value, after.id, after.key),
        )
    return clause, f"{field} DESC, id, key"


def rows(found: Iterable[tuple[str, str, int, str | bytes]]) -> Iterator[Row]:
    """Yield rows made from key, version, time and record."""
    for key, version, modified, record in found:
        yield Row(key, Version(version), modified, decode(record))


def decode(record: str | bytes) -> Record:
    """Decode a stored record; a damaged one becomes empty."""
    try:
        fields = orjson.loads(record)
    except orjson.JSONDecodeError:
        fields = None
    # An empty record counts as incomplete, so the caller reads the document instead.
    return fields if isinstance(fields, dict) else {}
