"""Sessions and journals of several collections in one list, over every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from statekeep import InvalidKeyError, Journals, Session, Sessions
from statekeep.format.journal import Header, encode_head
from statekeep.format.summary import JournalSummary, Summary
from statekeep.heads.everything import journal_collections, list_together
from statekeep.store.keys import journal_key
from statekeep.store.query import Filter
from statekeep.timestamps import format_timestamp

if TYPE_CHECKING:
    from statekeep import StateStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def put(store: StateStore, collection: str, name: str, moment: datetime) -> None:
    time = format_timestamp(moment)
    about = {"name": [name], "user_id": None, "created_at": time, "updated_at": time}
    header = Header(uid="0" * 32, n=0, about=about)
    store.put(journal_key(collection, [name]), encode_head(header))


def put_session(store: StateStore, session_id: str, moment: datetime) -> None:
    session = Session(id=session_id, user_id="ada", created_at=moment, updated_at=moment)
    store.put(f"sessions/{session_id}.json", session.to_json())


def place(summary: Summary) -> str:
    where = summary.collection if isinstance(summary, JournalSummary) else "-"
    return f"{where}/{summary.id}"


def test_collections_are_those_that_have_journals(store: StateStore) -> None:
    assert journal_collections(store) == []
    for name in ("b", "a.b", "a"):
        Journals(store, name).open("x", "y").append([1])
    store.put("journals/A/x.jsonl", b"not legal")
    store.put("journals/empty/x.txt", b"no journal")
    assert journal_collections(store) == ["a", "a.b", "b"]


def test_the_newest_come_first_whatever_they_are(store: StateStore) -> None:
    for minute, (kind, name) in enumerate([("a", "1"), ("-", "2"), ("b", "3"), ("a", "4")]):
        moment = NOON + timedelta(minutes=minute)
        if kind == "-":
            put_session(store, name, moment)
        else:
            put(store, kind, name, moment)
    listing = list_together(store, ["a", "b"], Filter())
    assert [place(each) for each in listing] == ["a/4", "b/3", "-/2", "a/1"]
    assert [place(each) for each in list_together(store, [], Filter())] == ["-/2"]
    only = list_together(store, ["b", "b"], Filter(), sessions=False)
    assert [place(each) for each in only] == ["b/3"]
    assert [place(each) for each in list_together(store, ["a"], Filter(user_id="ada"))] == ["-/2"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_show_each_once_though_times_and_ids_are_the_same(
    store: StateStore, limit: int
) -> None:
    for name in ("1", "2", "3"):
        for collection in ("a", "b"):
            put(store, collection, name, NOON)
        put_session(store, name, NOON)
    everything = [place(each) for each in list_together(store, ["a", "b"], Filter())]
    assert len(everything) == len({*everything}) == 9
    paged: list[str] = []
    cursor = None
    for _ in range(9):
        page = list_together(store, ["a", "b"], Filter(), limit=limit, cursor=cursor)
        assert len(page) <= limit
        paged += map(place, page)
        cursor = page.cursor
        if cursor is None:
            break
    assert paged == everything


def test_what_cannot_be_read_is_said_of_each(store: StateStore) -> None:
    store.put("sessions/bad.json", b"{")
    store.put("journals/a/bad.jsonl", b"{")
    Sessions(store).get_or_create("ada", "good")
    listing = list_together(store, ["a"], Filter())
    assert [each.key for each in listing.problems] == ["journals/a/bad.jsonl", "sessions/bad.json"]
    assert [each.id for each in listing] == ["good"]


def test_what_is_no_collection_is_refused(store: StateStore) -> None:
    with pytest.raises(InvalidKeyError, match="a collection's name has"):
        list_together(store, ["A"], Filter())
