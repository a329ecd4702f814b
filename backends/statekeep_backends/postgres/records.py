"""Records in the columns of a table, and queries by them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from statekeep.store import Found
from statekeep_backends._records import COLUMNS, below, fits, page, place_of, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.store import Filter, Order, Position, Record, Version
    from statekeep_backends.postgres.connections import Connection
    from statekeep_backends.postgres.schema import Schema

__all__ = ["count", "find", "set_records", "values_of"]

# Text in PostgreSQL cannot contain NUL. To preserve the sort order, the next character is escaped.
_ESCAPES = {0: "\1\1", 1: "\1\2"}


def values_of(key: str, record: Record | None) -> tuple[Any, ...]:
    """Return a record's values for the columns `schema.RECORD`."""
    if record is None:
        return (place_of(key), 0, None, *(None for _ in COLUMNS))
    get = record.get
    return (
        place_of(key),
        get("v"),
        orjson.dumps(record).decode(),
        *[_plain(get(name)) for name in COLUMNS],
    )


def set_records(
    db: Connection, schema: Schema, given: Iterable[tuple[str, Version, Record]]
) -> None:
    """Set the records of documents, each only if it has that version."""
    columns = ("place", "v", "record", *COLUMNS)
    objects = [
        {"key": key, "version": version, **dict(zip(columns, values_of(key, record), strict=True))}
        for key, version, record in given
    ]
    db.execute(schema.set_records, (orjson.dumps(objects).decode(),))


def find(
    db: Connection,
    schema: Schema,
    prefix: str,
    wanted: Filter,
    *,
    known: int,
    order: Order,
    after: Position | None,
    limit: int | None,
) -> Found:
    """See `SupportsQuery.query`; a single statement, so that everything is of one moment."""
    there = below(prefix, "%s")
    rest, by = page(order, after, "%s")
    listed = there & fits(wanted, known, "%s") & rest
    parameters = (*listed.values, limit, *there.values, known, *there.values, known)
    found = db.execute(
        schema.listing(there.sql, listed.sql, by), [*map(_plain, parameters)], binary=True
    ).fetchall()
    # They come in this order, but nothing guarantees that.
    paged = sorted((row for row in found if row[0] > 0), key=itemgetter(0))
    return Found(
        rows(row[1:] for row in paged),
        [*rows(row[1:] for row in found if row[0] == -1)],
        [row[1] for row in found if row[0] == -2],
    )


def count(db: Connection, schema: Schema, prefix: str, wanted: Filter, *, known: int) -> int:
    """See `SupportsQuery.count`."""
    counted = below(prefix, "%s") & fits(wanted, known, "%s")
    row = db.execute(
        schema.count(f"{counted.sql} AND updated_at IS NOT NULL"), [*map(_plain, counted.values)]
    ).fetchone()
    return int(row[0]) if row else 0


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any type
    if isinstance(value, str) and ("\0" in value or "\1" in value):
        return value.translate(_ESCAPES)
    return value
