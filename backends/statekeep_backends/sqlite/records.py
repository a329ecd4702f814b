"""Records in the columns of a database, and queries on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from statekeep.store import Found
from statekeep_backends._records import COLUMNS, below, fits, page, place_of, rows
from statekeep_backends.sqlite.connections import transaction

if TYPE_CHECKING:
    import sqlite3

    from statekeep.store import Filter, Order, Position, Record, Version

__all__ = ["INDEXED", "columns", "count", "encode", "find", "set_record"]

INDEXED: Final = ("place", "v", "user_id", "created_at", "problem")
"""Indexed columns that rarely change. A save that changes none of them does not set them, because
SQLite updates the indexes of every column that a statement names."""

_OTHERS: Final = tuple([name for name in COLUMNS if name not in INDEXED])
_NAMES: Final = ("record", *_OTHERS)
_SET: Final = f"""
    UPDATE documents SET {", ".join(f"{name} = ?" for name in (*INDEXED, *_NAMES))}
    WHERE key = ? AND version = ?
"""


def encode(key: str, record: Record | None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return a record's values for the columns: those of `INDEXED`, and the others."""
    if record is None:
        return (place_of(key), 0, None, None, None), (None,) * len(_NAMES)
    get = record.get
    return (
        (place_of(key), get("v"), get("user_id"), get("created_at"), get("problem")),
        (orjson.dumps(record).decode(), *[get(name) for name in _OTHERS]),
    )


def columns(*, indexed: bool) -> tuple[str, ...]:
    """Return the columns for the values of `encode`, with or without those of `INDEXED`."""
    return (*INDEXED, *_NAMES) if indexed else _NAMES


def set_record(db: sqlite3.Connection, key: str, version: Version, record: Record) -> None:
    """Set the record of a document, if it has that version."""
    indexed, others = encode(key, record)
    db.execute(_SET, (*indexed, *others, key, version))


def find(
    db: sqlite3.Connection,
    prefix: str,
    wanted: Filter,
    *,
    known: int,
    order: Order,
    after: Position | None,
    limit: int | None,
) -> Found:
    """See `SupportsQuery.query`."""
    there = below(prefix, "?")
    rest, by = page(order, after, "?")
    listed = there & fits(wanted, known, "?") & rest
    select = "SELECT key, version, modified, record FROM documents WHERE"
    with transaction(db, "DEFERRED"):  # so that everything is of one moment
        found = db.execute(
            f"{select} {listed.sql} ORDER BY {by} LIMIT ?",
            (*listed.values, -1 if limit is None else limit),
        ).fetchall()
        problems = db.execute(
            f"{select} {there.sql} AND problem IS NOT NULL AND +v >= ?", (*there.values, known)
        ).fetchall()
        missing = db.execute(
            f"SELECT key FROM documents WHERE {there.sql} AND v < ?", (*there.values, known)
        ).fetchall()
    return Found(rows(found), [*rows(problems)], [key for (key,) in missing])


def count(db: sqlite3.Connection, prefix: str, wanted: Filter, *, known: int) -> int:
    """See `SupportsQuery.count`."""
    counted = below(prefix, "?") & fits(wanted, known, "?")
    (number,) = db.execute(
        f"SELECT count(*) FROM documents WHERE {counted.sql} AND updated_at IS NOT NULL",
        counted.values,
    ).fetchone()
    return int(number)
