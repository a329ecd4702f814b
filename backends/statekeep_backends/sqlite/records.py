"""Records in the columns of a database, and queries by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from statekeep.store import Found, Row, Version
from statekeep.store.query import ORDERS
from statekeep_backends.sqlite.connections import transaction
from statekeep_backends.sqlite.schema import COLUMNS, place_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from statekeep.store import Filter, Order, Position, Record

__all__ = ["INDEXED", "NOTHING", "columns", "count", "encode", "find", "set_record"]

NOTHING: Final = Found((), (), ())

INDEXED: Final = ("place", "v", "user_id", "created_at", "problem")
"""The columns of indexes that seldom change. A save that changes none of them leaves them out of
what it sets, because SQLite writes the indexes of whatever is named there."""

_OTHERS: Final = tuple([name for name in COLUMNS if name not in INDEXED])
_NAMES: Final = ("record", *_OTHERS)
_SET: Final = f"""
    UPDATE documents SET {", ".join(f"{name} = ?" for name in (*INDEXED, *_NAMES))}
    WHERE key = ? AND version = ?
"""


def encode(key: str, record: Record | None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The values of the columns for a record: those of `INDEXED`, and the others."""
    if record is None:
        return (place_of(key), 0, None, None, None), (None,) * len(_NAMES)
    get = record.get
    return (
        (place_of(key), get("v"), get("user_id"), get("created_at"), get("problem")),
        (orjson.dumps(record).decode(), *[get(name) for name in _OTHERS]),
    )


def columns(*, indexed: bool) -> tuple[str, ...]:
    """The columns of what `encode` gives, with those of `INDEXED` or without."""
    return (*INDEXED, *_NAMES) if indexed else _NAMES


def set_record(db: sqlite3.Connection, key: str, version: Version, record: Record) -> None:
    """Give a document a record, if it is of that version."""
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
    below, values = _below(prefix)
    conditions, more = _conditions(wanted, known)
    field = ORDERS[order]
    conditions.append(f"{field} IS NOT NULL")
    if after is not None:
        # The first for the index; the rest parts those that are equal.
        conditions += [f"{field} <= ?", f"({field} < ? OR (id, key) > (?, ?))"]
        value = max(-(2**63), min(after.value, 2**63 - 1))
        more += [value, value, after.id, after.key]
    select = "SELECT key, version, modified, record FROM documents WHERE"
    with transaction(db, "DEFERRED"):  # so that all is of one moment
        rows = db.execute(
            f"{select} {' AND '.join([*below, *conditions])} "
            f"ORDER BY {field} DESC, id, key LIMIT ?",
            (*values, *more, -1 if limit is None else limit),
        ).fetchall()
        problems = db.execute(
            f"{select} {' AND '.join(below)} AND problem IS NOT NULL AND +v >= ?",
            (*values, known),
        ).fetchall()
        missing = db.execute(
            f"SELECT key FROM documents WHERE {' AND '.join(below)} AND v < ?",
            (*values, known),
        ).fetchall()
    return Found(_rows(rows), [*_rows(problems)], [key for (key,) in missing])


def count(db: sqlite3.Connection, prefix: str, wanted: Filter, *, known: int) -> int:
    """See `SupportsQuery.count`."""
    below, values = _below(prefix)
    conditions, more = _conditions(wanted, known)
    (number,) = db.execute(
        "SELECT count(*) FROM documents WHERE "
        f"{' AND '.join([*below, *conditions])} AND updated_at IS NOT NULL",
        (*values, *more),
    ).fetchone()
    return int(number)


def _below(prefix: str) -> tuple[list[str], list[Any]]:
    """The conditions for what lies below a prefix, and their values."""
    place = place_of(prefix)
    conditions: list[str] = ["place = ?"] if place else []
    values: list[Any] = [place] if place else []
    if prefix and prefix != place:
        conditions += ["key > ?", "key < ?"]
        values += [f"{prefix}/", f"{prefix}0"]  # "0" follows "/"
    return conditions or ["TRUE"], values


def _conditions(wanted: Filter, known: int) -> tuple[list[str], list[Any]]:
    # The sign keeps SQLite from going by the index of `v`, which most documents have in common.
    conditions, values = ["+v >= ?"], [known]
    for field, comparison, value in wanted.conditions():
        assert field in COLUMNS  # noqa: S101 - a test looks at all of them
        conditions.append(f"{field} {comparison} ?")
        values.append(value)  # type: ignore[arg-type]
    return conditions, values


def _rows(found: Sequence[tuple[str, str, int, str]]) -> Iterator[Row]:
    for key, version, modified, record in found:
        yield Row(key, Version(version), modified, _decode(record))


def _decode(record: str) -> Record:
    try:
        fields = orjson.loads(record)
    except orjson.JSONDecodeError:
        fields = None
    # Who asked for a damaged one finds that it says too little, and reads the document.
    return fields if isinstance(fields, dict) else {}
