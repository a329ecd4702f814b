"""Tests of stores that keep records with their documents."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import ABSENT, ANY, ClosedError, ConflictError, InvalidKeyError, StateStore
from statekeep.store import Filter, Position, SupportsAppend, SupportsQuery, power
from statekeep.store.query import ORDERS
from statekeep.testing.checks import holds, read
from statekeep.testing.claims import NO_SUCH_VERSION
from statekeep.testing.fixtures import StoreFixtures
from statekeep.timestamps import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from statekeep.store import Found, Order, Record, Row

__all__ = ["QueryContract"]

KEY = "sessions/s.json"
EVERYTHING = Filter()
_TEXTS = ("", "a", "A", "ä", "a\0b", "a\0", "'; --", "%", "日本", "\U0001f40d", "a" * 300)


class QueryContract(StoreFixtures):
    """The part of `StateStoreContract` about `SupportsQuery`."""

    @pytest.fixture
    def querying(self, store: StateStore) -> SupportsQuery:
        """The store if it keeps records; otherwise the test is skipped."""
        return _querying(store)

    def test_a_record_is_found_with_its_document(
        self, store: StateStore, other: StateStore, querying: SupportsQuery
    ) -> None:
        record = _record("s", title="a\0b", problem_of="nobody")
        version = querying.put_record(KEY, b"A", record, expect=ABSENT)
        holds(store, b"A", KEY)
        assert read(store, KEY).version == version
        for client in (querying, _querying(other)):
            (row,) = _rows(client.query("sessions", EVERYTHING, known=1))
            assert row.key == KEY
            assert row.version == version, "a query and the put returned different versions"
            assert dict(row.record) == record, "a query and the put returned different records"
            (entry,) = store.scan()
            assert row.modified_ns == entry.modified_ns, (
                "a query and a scan returned different times"
            )

    def test_a_document_written_without_a_record_has_none(
        self, store: StateStore, querying: SupportsQuery
    ) -> None:
        for write in (
            lambda: store.put(KEY, b"B"),
            lambda: store.put(KEY, b"B", expect=read(store, KEY).version),
            lambda: _append(store, None),
        ):
            querying.put_record(KEY, b"A", _record("s"), expect=ANY)
            write()
            found = querying.query("sessions", EVERYTHING, known=1)
            assert not _rows(found), "a query returned an outdated record"
            assert [*found.missing] == [KEY], "a query does not report a document without a record"

    def test_an_append_can_replace_the_record(
        self, store: StateStore, querying: SupportsQuery
    ) -> None:
        querying.put_record(KEY, b"A", _record("s", length=1), expect=ABSENT)
        _append(store, _record("s", length=2))
        (row,) = _rows(querying.query("sessions", EVERYTHING, known=1))
        assert row.record["length"] == 2
        assert row.version == read(store, KEY).version

    def test_a_conflicting_write_changes_neither_document_nor_record(
        self, store: StateStore, querying: SupportsQuery
    ) -> None:
        querying.put_record(KEY, b"A", _record("s"), expect=ABSENT)
        for expect in (ABSENT, NO_SUCH_VERSION):
            with pytest.raises(ConflictError) as caught:
                querying.put_record(KEY, b"B", _record("other"), expect=expect)
            assert caught.value.landed == "no"
        holds(store, b"A", KEY)
        (row,) = _rows(querying.query("sessions", EVERYTHING, known=1))
        assert row.record["id"] == "s"

    def test_a_deleted_document_is_not_found(
        self, store: StateStore, querying: SupportsQuery
    ) -> None:
        querying.put_record(KEY, b"A", _record("s"), expect=ABSENT)
        store.delete(KEY)
        found = querying.query("sessions", EVERYTHING, known=1)
        assert not _rows(found)
        assert not [*found.missing]

    def test_a_record_can_be_set_later_for_the_version_it_describes(
        self, store: StateStore, querying: SupportsQuery
    ) -> None:
        old = store.put(KEY, b"A")
        new = store.put(KEY, b"B")
        querying.set_records([(KEY, old, _record("old"))])
        assert [*querying.query("sessions", EVERYTHING, known=1).missing] == [KEY]
        gone = "sessions/gone.json"
        querying.set_records([(gone, new, _record("gone")), (KEY, new, _record("new"))])
        (row,) = _rows(querying.query("sessions", EVERYTHING, known=1))
        assert (row.record["id"], row.version) == ("new", new)
        assert read(store, KEY).version == new, "setting a record changed the version"

    def test_a_record_with_too_old_a_layout_counts_as_missing(
        self, querying: SupportsQuery
    ) -> None:
        querying.put_record(KEY, b"A", {**_record("s"), "v": 2}, expect=ABSENT)
        for known, rows, missing in ((1, 1, 0), (2, 1, 0), (3, 0, 1)):
            found = querying.query("sessions", EVERYTHING, known=known)
            assert (len(_rows(found)), len(found.missing)) == (rows, missing)
            assert querying.count("sessions", EVERYTHING, known=known) == rows

    def test_problems_are_in_every_result_but_are_not_rows(self, querying: SupportsQuery) -> None:
        querying.put_record("sessions/a.json", b"A", _record("a"), expect=ABSENT)
        version = querying.put_record(KEY, b"{", {"v": 1, "problem": "torn"}, expect=ABSENT)
        for wanted in (EVERYTHING, Filter(user_id="nobody")):
            found = querying.query("sessions", wanted, known=1, limit=1)
            assert [(row.key, row.version, row.record["problem"]) for row in found.problems] == [
                (KEY, version, "torn")
            ]
            assert KEY not in [row.key for row in _rows(found)]
        assert querying.count("sessions", EVERYTHING, known=1) == 1

    def test_a_query_prefix_matches_whole_segments(self, querying: SupportsQuery) -> None:
        keys = ["journals/a/b.jsonl", "journals/a/b/c.jsonl", "journals/ab/c.jsonl", KEY]
        keys += ["journals/a/b0/c.jsonl", "journals/a/bc.jsonl", "notes/n.json"]
        for key in keys:
            querying.put_record(key, b"A", _record(key), expect=ABSENT)
        for prefix in ("", "journals", "journals/a", "journals/a/b", "sessions", "sessions/s"):
            below = sorted(key for key in keys if not prefix or key.startswith(f"{prefix}/"))
            found = querying.query(prefix, EVERYTHING, known=1)
            assert sorted(row.key for row in _rows(found)) == below
            assert sorted(querying.query(prefix, EVERYTHING, known=2).missing) == below
            assert querying.count(prefix, EVERYTHING, known=1) == len(below)
        for wrong in ("../x", "sessions/", "/"):
            with pytest.raises(InvalidKeyError):
                querying.query(wrong, EVERYTHING, known=1)

    def test_filters_orders_and_pages_match_those_of_a_list(self, querying: SupportsQuery) -> None:
        chance = random.Random(7)
        records: dict[str, Record] = {}
        for n in range(60):
            key = f"sessions/{n:02}.json"
            texts = ("user_id", "project_id", "active_seed_id", "last_phase", "title")
            records[key] = _record(
                chance.choice(_TEXTS) + (str(n) if n % 3 else ""),
                **{name: chance.choice([*_TEXTS, None]) for name in texts},
                **{name: chance.randrange(5) * 10**6 for name in ("created_at", "updated_at")},
                size=chance.randrange(4),
            )
            querying.put_record(key, b"A", records[key], expect=ABSENT)
        moments = [from_microseconds(n * 10**6) for n in (0, 2, 3)]
        filters = [
            EVERYTHING,
            *(Filter(user_id=text) for text in _TEXTS),
            *(Filter(title=text) for text in _TEXTS),
            *(Filter(project_id=text, last_phase=text) for text in _TEXTS),
            *(Filter(active_seed_id=text) for text in _TEXTS),
            *(Filter(updated_before=each, created_after=moments[0]) for each in moments),
            *(Filter(updated_after=each, created_before=moments[2]) for each in moments),
        ]
        for wanted, order in product(filters, ORDERS):
            expected = _listed(records, wanted, order)
            found = _rows(querying.query("sessions", wanted, known=1, order=order))
            assert [row.key for row in found] == expected, (wanted, order)
            assert querying.count("sessions", wanted, known=1) == len(expected)
            paged: list[str] = []
            after = None
            while page := _rows(
                querying.query("sessions", wanted, known=1, order=order, after=after, limit=7)
            ):
                assert len(page) <= 7
                paged += [row.key for row in page]
                last: Any = page[-1].record
                after = Position(last[ORDERS[order]], last["id"], page[-1].key)
            assert paged == expected, (wanted, order)

    def test_a_query_sees_a_single_moment(self, other: StateStore, querying: SupportsQuery) -> None:
        querying.put_record(KEY, b"A", _record("s"), expect=ABSENT)
        theirs = _querying(other)

        def write() -> None:
            for n in range(150):
                if n % 3 == 0:
                    other.put(KEY, b"B")
                elif n % 3 == 1:
                    theirs.set_records([(KEY, read(other, KEY).version, _record("s"))])
                else:
                    theirs.put_record(KEY, b"{", {"v": 1, "problem": "torn"}, expect=ANY)

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not writing.done():
                found = querying.query("sessions", EVERYTHING, known=1)
                found_as = [*_rows(found), *found.problems, *found.missing]
                assert len(found_as) == 1, f"one query returned a document {len(found_as)} times"
            writing.result()

    def test_a_closed_store_answers_no_query(
        self, store: StateStore, querying: SupportsQuery
    ) -> None:
        version = querying.put_record(KEY, b"A", _record("s"), expect=ABSENT)
        store.close()
        for call in (
            partial(querying.query, "sessions", EVERYTHING, known=1),
            partial(querying.count, "sessions", EVERYTHING, known=1),
            partial(querying.put_record, KEY, b"B", _record("s"), expect=ANY),
            partial(querying.set_records, [(KEY, version, _record("s"))]),
        ):
            with pytest.raises(ClosedError):
                call()


def _querying(store: StateStore) -> SupportsQuery:
    able = power(store, SupportsQuery)
    if able is None:
        pytest.skip("not claimed: query")
    return able


def _append(store: StateStore, record: Record | None) -> None:
    able = power(store, SupportsAppend)
    if able is None:
        store.put(KEY, b"AB") if record is None else pytest.skip("not claimed: append")
    elif record is None:
        able.append(KEY, b"B", expect=read(store, KEY).version)
    else:
        able.append(KEY, b"B", expect=read(store, KEY).version, record=record)


def _record(id_: str, **fields: str | int | None) -> Record:
    """A record like a session's, with other values in some of its fields."""
    moment = int(timedelta(days=20_000) / timedelta(microseconds=1))
    return {
        "v": 1,
        "id": id_,
        "user_id": "ada",
        "length": 0,
        "active_seed_id": None,
        "project_id": None,
        "created_at": moment,
        "updated_at": moment,
        "size": 1,
        "last_evaluation": True,
        **fields,
    }


def _rows(found: Found) -> Sequence[Row]:
    return [*found.rows]


def _listed(records: dict[str, Record], wanted: Filter, order: Order) -> list[str]:
    """The keys that a query must return, computed in the simplest way."""

    def place(key: str) -> tuple[Any, ...]:
        found: Any = records[key]
        return -found[ORDERS[order]], found["id"], key

    return sorted(
        (
            key
            for key, record in records.items()
            if all(each.holds_for(record.get(each.field)) for each in wanted.conditions())
        ),
        key=place,
    )
