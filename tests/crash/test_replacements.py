"""A document that is replaced behind our back while its store is open and in use."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from support import tree

from statekeep import (
    ConflictError,
    CorruptDataError,
    NotFoundError,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    load_pruner,
    open_store,
)
from statekeep.doctor import diagnose, repair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPLACEMENTS: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"\xff{"),
    "a folder": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a link out of the store": lambda path: path.symlink_to(path.parents[2] / "outside.json"),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(base: Path) -> Iterator[StateStore]:
    with open_store(base) as store:
        yield store


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", REPLACEMENTS)
def test_a_session_in_use_is_neither_mixed_up_nor_lost(
    store: StateStore, base: Path, tmp_path: Path, what: str
) -> None:
    sessions = Sessions(store)
    session = sessions.get_or_create("ada", "s")
    other = sessions.get_or_create("ada", "other")
    outside = tmp_path / "outside.json"
    outside.write_bytes(session.to_json())
    path, kept = base / "sessions/s.json", tmp_path / "kept"
    path.rename(kept)
    REPLACEMENTS[what](path)
    before = os.lstat(path)
    garbage = what == "garbage"

    session.add_user_message("hello")
    with pytest.raises(ConflictError):
        sessions.save(session)
    with pytest.raises(CorruptDataError if garbage else NotFoundError):
        sessions.update("s", lambda s: s.add_user_message("hello"))
    with pytest.raises(CorruptDataError):
        sessions.get_or_create("ada", "s")
    if garbage:
        with pytest.raises(CorruptDataError):
            sessions.load("s")
        with pytest.raises(CorruptDataError):
            sessions.delete("s")
    else:
        assert sessions.load("s") is None
        assert sessions.delete("s") is False
        with pytest.raises(CorruptDataError):
            sessions.save(session, overwrite=True)
    listing = sessions.list()
    assert [summary.id for summary in listing] == ["other"]
    assert [each.key for each in listing.problems] == ["sessions/s.json"] * garbage
    assert sessions.prune(load_pruner("ttl", ttl_hours=0)).failed == ()
    other.add_user_message("not my business")
    sessions.save(other)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert Session.from_json(outside.read_bytes()).user_messages == []

    assert repair(store, diagnose(store)).healthy
    kept.rename(path)
    sessions.save(session)
    assert [summary.message_count for summary in sessions.list()] == [1, 1]


class TestTheFolderItself:
    @pytest.fixture
    def sessions(self, store: StateStore) -> Sessions:
        sessions = Sessions(store)
        sessions.get_or_create("ada", "s")
        return sessions

    def test_may_vanish_and_is_made_again(self, sessions: Sessions, base: Path) -> None:
        session = sessions.load("s")
        assert session
        shutil.rmtree(base)
        assert sessions.load("s") is None
        assert sessions.list().summaries == ()
        with pytest.raises(ConflictError):
            sessions.save(session)
        assert not base.exists()
        sessions.get_or_create("ada", "new")
        assert list(tree(base)) == ["sessions/new.json"]

    def test_may_become_a_file_but_not_pass_for_an_empty_store(
        self, sessions: Sessions, base: Path
    ) -> None:
        shutil.rmtree(base)
        base.write_text("a file")
        attempts: list[Callable[[], object]] = [
            sessions.list,
            lambda: sessions.load("s"),
            lambda: sessions.store.get("a.md"),
            lambda: sessions.store.delete("a.md"),
            lambda: sessions.get_or_create("ada", "s"),
            lambda: sessions.store.put("a.md", b""),
            lambda: sessions.prune(load_pruner("ttl")),
            lambda: diagnose(sessions.store),
        ]
        for attempt in attempts:
            with pytest.raises(StateStoreError, match=r"Not a directory|in the way"):
                attempt()
        assert base.read_text() == "a file"
