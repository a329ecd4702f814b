"""A journal's head as changes come: what it says, what leaves it, and what it remembers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeep import CorruptDataError
from statekeep.format.contents import BOUNDS, fit, fold
from statekeep.format.journal import MAX_IDS, MAX_KEYS, Change, Header, decode_head, encode_head

HEADER = Header(uid="0" * 32, n=0, about={"updated_at": "2026-01-01T00:00:00Z"})


def change(n: int, **fields: Any) -> Change:
    return Change(n=n, id=f"{n:024x}", **fields)


class Journal:
    """The simplest journal: a head, and what left it."""

    def __init__(self) -> None:
        self.header = HEADER
        self.changes: tuple[Change, ...] = ()
        self.left: list[Any] = []

    def add(self, **fields: Any) -> None:
        n = self.header.n + len(self.changes) + 1
        fitted = fit(self.header, (*self.changes, change(n, **fields)))
        self.left += fitted.leaving
        data = encode_head(fitted.header, fitted.changes)
        lines = decode_head(data)
        assert (lines.header, lines.changes) == (fitted.header, fitted.changes)
        assert sum(lines.sizes) <= BOUNDS.lines
        self.header, self.changes = lines.header, lines.changes

    @property
    def tail(self) -> list[Any]:
        return fold(self.header, self.changes).tail

    @property
    def items(self) -> list[Any]:
        return self.left + self.tail


sizes = st.sampled_from([1, 100, 5_000, 20_000, 70_000])
steps = st.lists(st.tuples(sizes, st.integers(0, 3)), max_size=30)


@given(steps)
def test_items_are_in_the_lines_or_have_left_in_their_order(steps: list[tuple[int, int]]) -> None:
    journal, expected = Journal(), list[Any]()
    for number, (size, wanted) in enumerate(steps):
        drop = min(wanted, len(journal.tail))
        item = [number, "x" * size]
        journal.add(items=(item,), drop=drop)
        expected = [*expected[: len(expected) - drop], item]
        assert journal.items == expected


def test_what_changes_besides_the_items_is_kept_when_lines_leave() -> None:
    journal = Journal()
    for number in range(300):
        journal.add(
            items=("x" * 500,),
            at=f"2026-01-01T00:00:{number % 60:02}Z",
            keys=(f"{number:024x}",),
            set={"last": number, f"k{number}": 1},
            unset=(f"k{number - 1}",) if number else (),
            about={"user_id": "ada", "gone": None if number % 2 else 1},
        )
    contents = fold(journal.header, journal.changes)
    assert contents.n == 300
    assert contents.metadata == {"last": 299, "k299": 1}
    assert contents.about == {"updated_at": "2026-01-01T00:00:59Z", "user_id": "ada"}
    assert contents.keys == [f"{number:024x}" for number in range(300)]
    assert [*contents.ids.values()][-MAX_IDS:] == [*range(300 - MAX_IDS + 1, 301)]
    assert len(journal.left) + len(journal.tail) == 300
    assert journal.left


def test_remembers_so_many_keys_and_changes() -> None:
    changes = [change(n, keys=(f"{n}-0", f"{n}-1")) for n in range(1, 2000)]
    fitted = fit(HEADER, changes)
    kept = len(fitted.changes)
    assert len(fitted.header.keys) == MAX_KEYS
    assert fitted.header.keys[-1] == f"{1999 - kept}-1"
    assert len(fitted.header.ids) == MAX_IDS
    assert fitted.header.ids[-1] == (f"{1999 - kept:024x}", 1999 - kept)


def test_the_newest_lines_stay() -> None:
    fitted = fit(HEADER, [change(n, items=("x" * 1000,)) for n in range(1, 80)])
    assert 12 < len(fitted.changes) < 16
    assert fitted.changes[-1].n == 79


def test_a_change_beyond_the_bound_takes_the_tail_along() -> None:
    fitted = fit(HEADER, [change(1, items=(1,)), change(2, items=("x" * BOUNDS.lines,))])
    assert fitted.changes == ()
    assert fitted.leaving == (1, "x" * BOUNDS.lines)
    assert fitted.header.ids == ((f"{1:024x}", 1), (f"{2:024x}", 2))


def test_a_drop_beyond_what_is_there_is_damage() -> None:
    with pytest.raises(CorruptDataError, match=r"change 2 .* drops what is not there"):
        fold(HEADER, [change(1, items=(1,)), change(2, drop=2)])
