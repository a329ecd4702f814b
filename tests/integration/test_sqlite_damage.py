"""What a SQLite file says when bytes in it are not what was written."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    CorruptDataError,
    Session,
    Sessions,
    StateStoreError,
)
from statekeep.doctor import diagnose
from statekeep.store import Filter, Version
from statekeep_backends.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def content(store: SqliteStore, key: str = "a.md") -> bytes | None:
    blob = store.get(key)
    return blob.data if blob else None


def anomalies(store: SqliteStore) -> list[str]:
    return [each.reason for each in store.inspect(older_than=timedelta(0))]


def _damage(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


class TestDamage:
    def fill(self, path: Path) -> None:
        with SqliteStore(path) as store:
            sessions = Sessions(store)
            for n in range(10):
                sessions.save(Session.new("ada", f"s{n}"))
            for name in ("a", "b"):
                store.put(f"docs/{name}.md", name.encode() * 50_000)

    def test_of_one_document_is_said_of_this_one(self, path: Path) -> None:
        self.fill(path)
        with closing(sqlite3.connect(path)) as db:
            db.execute(
                "UPDATE contents SET data = x'00' WHERE n = "
                "(SELECT n FROM documents WHERE key = 'docs/a.md')"
            )
            db.execute(
                "DELETE FROM contents WHERE n = "
                "(SELECT n FROM documents WHERE key = 'sessions/s1.json')"
            )
            db.commit()
        with SqliteStore(path) as store:
            found = dict(store.get_many(["docs/a.md", "sessions/s1.json", "docs/b.md"]))
            for key in ("docs/a.md", "sessions/s1.json"):
                assert isinstance(found[key], CorruptDataError)
                with pytest.raises(CorruptDataError, match="not whole") as caught:
                    store.get(key)
                assert caught.value.key == key
            assert getattr(found["docs/b.md"], "data", None) == b"b" * 50_000
            version = Version(next(e.fingerprint or "" for e in store.scan("docs")))
            with pytest.raises(CorruptDataError, match="not whole") as caught:
                store.append("docs/a.md", b"x", expect=version)
            assert caught.value.landed == "no"
            assert anomalies(store) == ["2 documents are not whole"]
            assert {each.kind for each in diagnose(store).findings} == {"damage", "unreadable"}
            # Writing it anew mends it.
            store.put("docs/a.md", b"new")
            assert content(store, "docs/a.md") == b"new"

    def test_of_a_record_has_its_document_read_anew(self, path: Path) -> None:
        self.fill(path)
        for record in ("{", "[]", '{"v": 1}'):
            with closing(sqlite3.connect(path)) as db:
                db.execute("UPDATE documents SET record = ? WHERE id = 's1'", (record,))
                db.commit()
            with SqliteStore(path) as store:
                assert len(Sessions(store).list()) == 10

    def test_of_pages_is_reported(self, path: Path) -> None:
        self.fill(path)
        size = path.stat().st_size
        for at in range(4096, size, 4096):
            _damage(path, at, os.urandom(4096))
        with SqliteStore(path) as store:
            for call in (
                lambda: store.get("docs/a.md"),
                lambda: [*store.scan()],
                lambda: store.put("docs/a.md", b"x"),
                lambda: Sessions(store).list(),
            ):
                with pytest.raises(CorruptDataError, match="restore"):
                    call()
            assert anomalies(store)
        ended = subprocess.run(
            [sys.executable, "-m", "statekeep.cli", "doctor", "--store", f"sqlite:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 7, ended.stderr
        assert "restore it from a backup" in ended.stderr + ended.stdout

    def test_anywhere_is_never_another_error(
        self, path: Path, tmp_path: Path, rounds: Callable[[int], int]
    ) -> None:
        self.fill(path)
        whole = path.read_bytes()
        said = set()
        for n in range(rounds(3000)):
            rng = random.Random(n)
            copy = tmp_path / "copy.db"
            copy.write_bytes(whole)
            for _ in range(rng.choice([1, 5, 50])):
                at = rng.randrange(100, len(whole))
                _damage(copy, at, rng.randbytes(rng.choice([1, 1, 8, 500])))
            with SqliteStore(copy, busy_timeout=1) as store:
                for call in (
                    lambda: [*store.get_many(["docs/a.md", "docs/b.md", "sessions/s1.json"])],
                    lambda: [*store.scan()],
                    lambda: [store.get(each.key) for each in store.scan("sessions")],
                    lambda: [*store.query("sessions", Filter(), known=1).rows],
                    lambda: Sessions(store).list(),
                    lambda: store.put("docs/a.md", b"new"),
                    lambda: store.append("docs/b.md", b"x", expect=store.put("docs/b.md", b"y")),
                    lambda: anomalies(store),
                    store.vacuum,
                ):
                    try:
                        call()
                    except StateStoreError as error:  # nothing else
                        said.add(type(error))
            for each in tmp_path.glob("copy.db*"):
                with suppress(FileNotFoundError):
                    each.unlink()
        assert CorruptDataError in said
