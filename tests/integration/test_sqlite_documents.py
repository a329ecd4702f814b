"""What a SQLite file does with keys, versions, sizes and queries."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import (
    ABSENT,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    Session,
    Sessions,
)
from statekeep.store import Filter, Position, SupportsAppend, power
from statekeep_backends._records import COLUMNS
from statekeep_backends.sqlite import SqliteStore, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(path, busy_timeout=0.1) as store:
        yield store


class TestKeys:
    def test_are_told_apart_by_every_byte(self, store: SqliteStore) -> None:
        keys = ["a.md", "A.md", "e\u0301x.md", "\xe9x.md", "ss.md", "\xdf.md", "%.md", "_.md"]
        keys += ["\U0010ffff.md", "/".join(["x" * 199] * 5)[:997] + ".md"]
        for key in keys:
            store.put(key, key.encode(), expect=ABSENT)
        assert [each.key for each in store.scan()] == sorted(keys, key=str.encode)
        for key in keys:
            blob = store.get(key)
            assert blob
            assert blob.data == key.encode()

    def test_below_a_prefix_are_those_behind_its_slash(self, store: SqliteStore) -> None:
        for key in ["foo.md", "foo/a.md", "foo/b/c.md", "foo0/a.md", "foobar/a.md", "Foo/a.md"]:
            store.put(key, b"")
        store.put("%/a.md", b"")
        assert [each.key for each in store.scan("foo")] == ["foo/a.md", "foo/b/c.md"]
        assert [each.key for each in store.scan("%")] == ["%/a.md"]
        assert [each.key for each in store.scan("fo_")] == []


class TestVersions:
    def test_never_come_back(self, store: SqliteStore) -> None:
        seen = [store.put("a.md", data) for data in (b"A", b"B", b"A")]
        store.delete("a.md")
        seen.append(store.put("a.md", b"A", expect=ABSENT))
        assert len(set(seen)) == 4
        for version in seen[:-1]:
            with pytest.raises(ConflictError):
                store.put("a.md", b"C", expect=version)

    def test_are_fingerprints_and_the_database_says_when(self, store: SqliteStore) -> None:
        before = datetime.now(UTC)
        version = store.put("a.md", b"A")
        blob, (entry,) = store.get("a.md"), store.scan()
        assert blob
        assert blob.version == blob.fingerprint == entry.fingerprint == version
        assert blob.modified
        assert abs((blob.modified - before).total_seconds()) < 60
        assert entry.modified_ns == round(blob.modified.timestamp() * 1000) * 10**6


class TestSizes:
    def test_room_behind_what_is_appended_is_never_seen(self, store: SqliteStore) -> None:
        able = power(store, SupportsAppend)
        assert able
        whole, version = b"0", store.put("a.md", b"0")
        for size in (1, 10, 100, 1, 70_000, 5, 100_000):
            whole += bytes([65 + size % 26]) * size
            version = able.append("a.md", whole[-size:], expect=version)
            blob, (entry,) = store.get("a.md"), store.scan()
            assert blob
            assert (blob.data, entry.size) == (whole, len(whole))
        for data in (b"", b"x", b"y" * 200_000):
            version = store.put("a.md", data, expect=version)
            version = able.append("a.md", b"end", expect=version)
            blob, (entry,) = store.get("a.md"), store.scan()
            assert blob
            assert (blob.data, entry.size) == (data + b"end", len(data) + 3)

    def test_what_is_too_large_is_not_written_and_reported_alone(
        self, store: SqliteStore, path: Path
    ) -> None:
        version = store.put("large.md", b"x" * 200)
        store.put("small.md", b"x")
        with SqliteStore(path, max_document_bytes=100) as small:
            with pytest.raises(InvalidDocumentError, match="max_document_bytes"):
                small.put("a.md", b"x" * 101)
            with pytest.raises(InvalidDocumentError, match="max_document_bytes"):
                small.append("large.md", b"x", expect=version)
            with pytest.raises(CorruptDataError, match="max_document_bytes"):
                small.get("large.md")
            found = dict(small.get_many(["large.md", "small.md", "none.md"]))
        assert isinstance(found["large.md"], CorruptDataError)
        assert getattr(found["small.md"], "data", None) == b"x"
        assert found["none.md"] is None

    @pytest.mark.rest
    def test_a_hundred_megabytes_are_one_document(self, store: SqliteStore) -> None:
        for letter in (b"a", b"b"):
            store.put("a.md", letter * 100 * 10**6)
            blob = store.get("a.md")
            assert blob
            assert blob.data == letter * 100 * 10**6
        store.delete("a.md")
        assert list(store.scan()) == []

    def test_a_vacuum_gives_room_back_and_keeps_everything(
        self, store: SqliteStore, path: Path
    ) -> None:
        for n in range(20):
            store.put(f"{n}.md", bytes(100_000))
        versions = {each.key: each.fingerprint for each in store.scan()}
        for n in range(1, 20):
            store.delete(f"{n}.md")
        before = path.stat().st_size
        store.vacuum()
        assert path.stat().st_size < before / 5
        blob = store.get("0.md")
        assert blob
        assert (blob.data, blob.version) == (bytes(100_000), versions["0.md"])


class TestQueries:
    WANTED: tuple[tuple[str, Filter, Any, str], ...] = (
        ("updated", Filter(), None, "by_update"),
        ("updated", Filter(), Position(5, "x", "y"), "by_update"),
        ("created", Filter(), None, "by_creation"),
        ("updated", Filter(user_id="ada"), None, "by_user"),
        ("updated", Filter(updated_after=datetime.now(UTC)), None, "by_update"),
    )

    @pytest.mark.parametrize(("order", "wanted", "after", "index"), WANTED)
    def test_go_by_an_index(
        self, store: SqliteStore, order: Any, wanted: Filter, after: Any, index: str
    ) -> None:
        sessions = Sessions(store)
        for n in range(20):
            sessions.save(Session.new("ada" if n % 2 else "bob", f"s{n}"))
        said: list[str] = []

        def look(db: sqlite3.Connection) -> None:
            db.set_trace_callback(said.append)
            records.find(db, "sessions", wanted, known=1, order=order, after=after, limit=5)
            db.set_trace_callback(None)
            page, problems, missing = [each for each in said if "SELECT" in each]
            plans = [_plan(db, each) for each in (page, problems, missing)]
            assert [len(plan) for plan in plans[1:]] == [1, 1]
            assert f"USING INDEX {index} (place=?" in plans[0][0]
            assert "USING INDEX problems" in plans[1][0]
            assert "by_v (place=? AND v<?)" in plans[2][0]
            assert not any("SCAN" in step for plan in plans for step in plan)
            # Only those of one moment are sorted.
            assert "USE TEMP B-TREE FOR ORDER BY" not in plans[0]

        store._connections.read(look)

    def test_can_ask_for_whatever_a_filter_has(self, store: SqliteStore) -> None:
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            each.name: now if each.name.endswith(("_before", "_after")) else "x"
            for each in fields(Filter)
        }
        everything = Filter(**values)
        assert len(everything.conditions()) == len(values)
        assert {each.field for each in everything.conditions()} <= set(COLUMNS)
        store.put("a.md", b"")
        assert store.count("sessions", everything, known=1) == 0

    @pytest.mark.parametrize("value", [2**64, -(2**64)])
    def test_may_begin_anywhere(self, store: SqliteStore, value: int) -> None:
        Sessions(store).save(Session.new("ada", "s"))
        found = store.query("sessions", Filter(), known=1, after=Position(value, "", ""))
        assert len([*found.rows]) == (value > 0)


def _plan(db: sqlite3.Connection, statement: str) -> list[str]:
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]


def test_a_copy_of_another_mode_keeps_a_log_again(store: SqliteStore, path: Path) -> None:
    store.put("notes/a.md", b"A")
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    with SqliteStore(copy) as restored:
        restored.put("notes/b.md", b"B")
        with closing(sqlite3.connect(copy)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert {entry.key for entry in restored.scan()} == {"notes/a.md", "notes/b.md"}
