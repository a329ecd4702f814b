"""Records in the form in which the scripts keep them, and queries in the form that they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from statekeep.store.query import ORDERS
from statekeep_backends._records import place_of

if TYPE_CHECKING:
    from statekeep.store import Filter, Order, Position, Record

__all__ = ["encode", "place", "question"]

_TEXTS: Final = ("user_id", "project_id", "active_seed_id", "last_phase", "title")
_NUMBERS: Final = tuple(ORDERS.values())
_OPPOSITE: Final = {"<": ">", ">": "<"}


def place(key: str) -> str:
    """Return the listing that a document belongs to; empty if it is not in any.

    >>> place("sessions/ada.json"), place("notes/plan.md")
    ('sessions', '')
    """
    found = place_of(key)
    return found if found and found != key else ""


def encode(key: str, record: Record | None) -> tuple[str, bytes, bytes]:
    """Return a document's place, what its record is found by, and the record itself."""
    if record is None:
        return place(key), b"", b""
    listed: dict[str, Any] = {"v": record["v"], "tail": _tail(str(record.get("id", "")), key)}
    listed |= {name: text for name in _TEXTS if (text := record.get(name)) is not None}
    for name in _NUMBERS:
        if isinstance(value := record.get(name), int):
            listed[name] = _descending(value)
    if record.get("problem") is not None:
        listed["problem"] = True
    return place(key), orjson.dumps(listed), orjson.dumps(record)


def question(
    prefix: str,
    wanted: Filter,
    *,
    known: int,
    order: Order = "updated",
    after: Position | None = None,
    limit: int | None = None,
) -> tuple[bytes, bytes, bytes]:
    """Return a query in the form that a script takes: its conditions, and two bounds of members."""
    field = ORDERS[order]
    low, high = b"", b"+"
    if after is not None:
        low = b"(" + f"{_descending(after.value)}{_tail(after.id, after.key)}".encode()
    equal: dict[str, str | int] = {}
    bounds: list[tuple[str, str, str]] = []
    for name, comparison, value in wanted.conditions():
        if comparison == "=":
            equal[name] = value
            continue
        digits = _descending(int(value))
        if name != field:
            bounds.append((name, _OPPOSITE[comparison], digits))
        elif comparison == ">":
            high = b"(" + digits.encode()
        else:
            # No text starts with this byte, so it sorts after all members with this number.
            low = max(low, b"(" + digits.encode() + b"\xff")
    by_user = equal.pop("user_id") if order == "updated" and "user_id" in equal else None
    asked = {
        "below": f"{prefix}/" if prefix else "",
        "place": place_of(prefix),
        "known": known,
        "order": field,
        "by_user": by_user,
        "limit": limit,
        # In the form in which `encode` writes it.
        "equal": [orjson.dumps({name: text})[1:-1].decode() for name, text in equal.items()],
        "bounds": bounds,
    }
    # Null values are left out, because they are not nil in Lua.
    return (
        orjson.dumps({name: each for name, each in asked.items() if each is not None}),
        low or b"-",
        high,
    )


def _descending(number: int) -> str:
    """Return digits that sort in descending order of numbers; always the same count of them.

    A score would only work for numbers below 2**53, which times reach in the year 2255.

    >>> _descending(2) < _descending(1) < _descending(0) < _descending(-1)
    True
    """
    return f"{2**63 - 1 - max(-(2**63), min(number, 2**63 - 1)):020}"


def _tail(id_: str, key: str) -> str:
    r"""Join an id and a key so that they sort by the id, then by the key.

    An id can contain NUL, which is then followed by what no key of a listing starts with.

    >>> _tail("a", "sessions/b") < _tail("a\0", "sessions/a") < _tail("ab", "sessions/a")
    True
    """
    return f"{id_.replace(chr(0), chr(0) + '~')}\0{key}"
