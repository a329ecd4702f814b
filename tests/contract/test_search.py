"""Searching and counting, over every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import texts

from statekeep import (
    AccessDeniedError,
    InvalidKeyError,
    Journals,
    Sessions,
    UnavailableError,
    open_store,
)
from statekeep.search import Search, Tally, search, statistics
from statekeep.store import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep import StateStore
    from statekeep.search import Match
    from statekeep.sessions.repository import Form
    from statekeep.store import Blob


def say(store: StateStore, session_id: str, *said: str, user: str = "ada", form: str = "") -> None:
    shape: Form = "journal" if form == "journal" else "document"
    sessions = Sessions(store, form=shape)
    session = sessions.get_or_create(user, session_id)
    for number, text in enumerate(said):
        if number % 2:
            session.add_agent_response(text, phase_reached="plan")
        else:
            session.add_user_message(text)
    sessions.save(session)


def places(found: Search) -> list[tuple[str, int]]:
    return [(match.summary.id, match.said.index) for match in found]


@pytest.mark.parametrize("form", ["document", "journal"])
def test_what_was_said_is_found_where_it_was_said(store: StateStore, form: str) -> None:
    say(store, "a", "Where is the parser?", "There.", "The Parser!", form=form)
    say(store, "b", "Nothing", form=form)
    items = [{"role": "user", "content": [{"type": "text", "text": "a parser"}]}, ["x", 5]]
    Journals(store, "support").open("ada", "t").append(items)
    found = search(store, "parser")
    matches = [*found]
    assert [(each.said.index, each.said.role) for each in matches] == [(0, "user"), (0, "user")]
    assert [each.said.text[slice(*span)] for each in matches for span in each.spans] == [
        "parser"
    ] * 2
    assert (found.searched, found.problems) == (3, [])
    assert len(places(search(store, "parser", ignore_case=True))) == 3
    assert places(search(store, "parser", collections=())) == [("a", 0)]
    assert len(places(search(store, "parser", sessions=False))) == 1
    assert places(search(store, r"^[TN]h?", regex=True, collections=())) == [
        ("b", 0),
        ("a", 1),
        ("a", 2),
    ]
    for label in ("user", "text"):
        assert places(search(store, label, sessions=False)) == []


def test_filters_choose_where_it_looks(store: StateStore) -> None:
    say(store, "a", "x")
    say(store, "e", "x", user="eve")
    Journals(store, "support").open("j", user_id="ada").append(["x"])
    Journals(store, "other").open("k").append(["x"])
    assert [*map(whose, search(store, "x", user_id="ada"))] == ["support", "a"]
    assert [*map(whose, search(store, "x", collections=["other"], sessions=False))] == ["other"]
    now = datetime.now(UTC)
    assert not [*search(store, "x", updated_before=now - timedelta(hours=1))]
    assert len([*search(store, "x", updated_after=now - timedelta(hours=1))]) == 4
    assert len([*search(store, "x", limit=3)]) == 3
    with pytest.raises(InvalidKeyError):
        [*search(store, "x", collections=["../x"])]


def whose(match: Match) -> str:
    return getattr(match.summary, "collection", match.summary.id)


def test_the_context_is_what_was_said_around_it(store: StateStore) -> None:
    say(store, "s", "0", "1 x", "2 x", "3", "4", "5 x")
    around = [
        ([each.text[0] for each in match.before], [each.text[0] for each in match.after])
        for match in search(store, "x", context=2)
    ]
    assert around == [(["0"], ["2", "3"]), (["0", "1"], ["3", "4"]), (["3", "4"], [])]


@given(
    st.lists(texts.filter(bool), min_size=1, max_size=6),
    st.integers(0, 3),
    st.data(),
)
def test_it_finds_what_looking_at_each_would(
    said: list[str], context: int, data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(said))
    start = data.draw(st.integers(0, len(whole) - 1))
    text = whole[start : data.draw(st.integers(start + 1, len(whole)))]
    with open_store("memory:") as store:
        say(store, "s", *said)
        matches = [*search(store, text, context=context)]
    assert [match.said.index for match in matches] == [
        index for index, each in enumerate(said) if text in each
    ]
    for match in matches:
        index = match.said.index
        assert [each.text for each in match.before] == said[max(0, index - context) : index]
        assert [each.text for each in match.after] == said[index + 1 : index + 1 + context]
        assert all(match.said.text[begin:end] == text for begin, end in match.spans)


def test_what_cannot_be_read_is_told_and_the_rest_found(store: StateStore) -> None:
    say(store, "a", "x")
    store.put("sessions/bad.json", b"{")
    found = search(store, "x")
    assert places(found) == [("a", 0)]
    assert [each.key for each in found.problems] == ["sessions/bad.json"]


class Failing(StoreWrapper):
    """Does not give one session."""

    error: Exception = AccessDeniedError("not yours")

    def get(self, key: str) -> Blob | None:
        if key == "sessions/a.json":
            raise self.error
        return super().get(key)


def test_what_fails_while_it_is_read_is_told_too(store: StateStore) -> None:
    for name in "abc":
        say(store, name, "x")
    assert [*search(store, "x")]
    found = search(Failing(store), "x")
    assert {name for name, _ in places(found)} == {"b", "c"}
    assert [each.key for each in found.problems] == ["sessions/a.json"]


def test_a_store_that_is_away_is_no_empty_one(store: StateStore) -> None:
    class Away(StoreWrapper):
        def scan(self, prefix: str = "") -> None:  # type: ignore[override]  # noqa: ARG002
            raise UnavailableError("no answer")

    with pytest.raises(UnavailableError):
        [*search(Away(store), "x")]
    with pytest.raises(UnavailableError):
        statistics(Away(store))


def test_a_search_can_be_left(store: StateStore) -> None:
    for number in range(40):
        say(store, f"s{number}", "x")
    found = search(store, "x")
    next(found)
    found.close()
    assert [*found] == []
    assert found.searched < 40


def test_many_are_looked_through_in_order(store: StateStore) -> None:
    for number in range(40):
        say(store, f"s{number:02}", "x" if number % 3 else "y")
    expected = [f"s{number:02}" for number in reversed(range(40)) if number % 3]
    assert [name for name, _ in places(search(store, "x"))] == expected


def test_a_long_journal_is_read_in_pieces(store: StateStore) -> None:
    journal = Journals(store, "support").open("long")
    for start in range(0, 2500, 500):
        journal.append([{"content": f"{number} x"} for number in range(start, start + 500)])
    found = [*search(store, "99 x", context=1)]
    assert [match.said.index for match in found] == [*range(99, 2500, 100)]
    assert [match.after[0].index for match in found[:-1]] == [*range(100, 2401, 100)]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", {}, "empty"),
        ("(", {"regex": True}, "not a valid regular expression"),
        ("x", {"context": -1}, "context"),
        ("x", {"limit": 0}, "limit"),
        ("x", {"updated_after": datetime(2026, 1, 1)}, "naive|offset|aware"),  # noqa: DTZ001
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    text: str, options: dict[str, object], said: str
) -> None:
    with open_store("memory:") as store, pytest.raises(ValueError, match=said):
        search(store, text, **options)  # type: ignore[arg-type]


def test_all_that_is_kept_is_counted(store: StateStore, new_location: Callable[[], str]) -> None:
    say(store, "a", "x", "y", "z")
    say(store, "b", "x", user="eve")
    Journals(store, "support").open("j", user_id="ada").append([1, 2, 3])
    Journals(store, "other").open("k").append([1])
    store.put("notes/a.md", b"12345")
    store.put("sessions/bad.json", b"{")
    found = statistics(store, biggest=2)
    assert (found.total.count, found.total.items) == (4, 7)
    assert {name: each.count for name, each in found.by_collection.items()} == {
        None: 2,
        "support": 1,
        "other": 1,
    }
    assert {name: each.count for name, each in found.by_user.items()} == {
        "ada": 2,
        "eve": 1,
        None: 1,
    }
    assert {name: each.count for name, each in found.by_phase.items()} == {"plan": 1, None: 1}
    assert sum(each.count for each in found.by_day.values()) == 4
    sizes = [each.size for each in found.biggest]
    assert len(sizes) == 2
    assert sizes == sorted(sizes, reverse=True)
    assert found.places["notes"] == Tally(1, 0, 5)
    assert found.places["sessions"].count == 3
    assert found.places["journals"].count == 2
    assert [each.key for each in found.problems] == ["sessions/bad.json"]
    assert statistics(store, user_id="eve").total.count == 1
    assert statistics(store, collections=["other"], sessions=False).total.items == 1
    with open_store(new_location()) as empty:
        assert statistics(empty).total == Tally()
        assert statistics(empty).biggest == []
