"""A clock that jumps by a year, forwards and backwards, or all the time."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support import tree

from statekeep import (
    ConflictError,
    Documents,
    Session,
    Sessions,
    StateStore,
    UnavailableError,
    load_pruner,
    timestamps,
)
from statekeep.doctor import diagnose, repair
from statekeep.retention import PruneThrottle, Victim

# Both are imported now, not when the first store is opened: then the clock may have jumped.
from statekeep_backends.local import LocalDiskStore
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from statekeep import Summary

    Jump = Callable[[timedelta | None], None]

YEAR = timedelta(days=365)
HOUR = timedelta(hours=1)


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Moves the clock of this process; None makes it jump whenever it is read."""
    offset: timedelta | None = timedelta(0)
    utc_now, now = timestamps.utc_now, time.time

    def shift() -> timedelta:
        return random.choice([-YEAR, timedelta(0), YEAR]) if offset is None else offset

    for name, module in list(sys.modules.items()):
        if name.startswith("statekeep") and getattr(module, "utc_now", None) is utc_now:
            monkeypatch.setattr(module, "utc_now", lambda: utc_now() + shift())
    monkeypatch.setattr(time, "time", lambda: now() + shift().total_seconds())
    monkeypatch.setattr(time, "time_ns", lambda: int((now() + shift().total_seconds()) * 1e9))

    def move(to: timedelta | None) -> None:
        nonlocal offset
        offset = to

    return move


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        yield LocalDiskStore(tmp_path / "store", lock_timeout=60)


def _everything(store: StateStore) -> dict[str, tuple[bytes, datetime | None]]:
    found = {entry.key: store.get(entry.key) for entry in store.scan()}
    return {key: (blob.data, blob.modified) for key, blob in found.items() if blob}


class Everything:
    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:
        assert now.tzinfo
        return [Victim(each, "all") for each in summaries]


def test_no_update_is_lost_while_it_jumps_all_the_time(store: StateStore, jump: Jump) -> None:
    sessions = Sessions(store)
    sessions.get_or_create("ada", "s")
    jump(None)

    def update(n: int) -> None:
        sessions.update("s", lambda session: session.add_user_message(str(n)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(update, range(40)))
    session = sessions.load("s")
    assert session
    assert {message.content for message in session.user_messages} == set(map(str, range(40)))
    assert sessions.list().problems == ()


@pytest.mark.parametrize("by", [YEAR, -YEAR], ids=["forwards", "backwards"])
class TestAJump:
    def test_neither_hides_a_conflict_nor_makes_one(
        self, store: StateStore, jump: Jump, by: timedelta
    ) -> None:
        sessions, documents = Sessions(store), Documents(store)
        mine = sessions.get_or_create("ada", "s")
        version = documents.save_json("specs", "plan", 1)
        jump(by)
        theirs = sessions.load("s")
        assert theirs
        theirs.add_user_message("first")
        sessions.save(theirs)
        with pytest.raises(ConflictError):
            sessions.save(mine)
        assert documents.save_json("specs", "plan", 2, expect=version)

    def test_loses_nothing_from_a_listing_nor_its_pages(
        self, store: StateStore, jump: Jump, by: timedelta
    ) -> None:
        sessions = Sessions(store)
        for n in range(4):
            sessions.save(Session.new("ada", f"before-{n}"))
        page = sessions.list(limit=2)
        jump(by)
        rest = sessions.list(limit=10, cursor=page.cursor)
        seen = [summary.id for summary in (*page, *rest)]
        assert seen == [f"before-{n}" for n in (3, 2, 1, 0)]
        sessions.save(Session.new("ada", "after"))
        ids = [summary.id for summary in sessions.list()]
        assert sorted(ids) == sorted(["after", *seen])
        assert ids.index("after") == (0 if by > timedelta(0) else 4)

    def test_does_not_make_a_listing_show_what_is_no_longer_so(
        self, store: StateStore, jump: Jump, by: timedelta
    ) -> None:
        names = [f"{n:02}" for n in range(20)]  # so many that the index is persisted
        for name in names:
            Sessions(store).save(Session.new("ada", name))
        sessions = Sessions(store)
        for step, offset in enumerate((by, timedelta(0), by)):
            jump(offset)
            for reader in (sessions, Sessions(store)):
                counts = {each.id: each.message_count for each in reader.list()}
                assert counts == dict.fromkeys(names, step)
            for name in names:
                sessions.update(name, lambda session: session.add_user_message("hello"))

    def test_does_not_let_a_prune_delete_what_is_pinned_protected_or_saved_since(
        self, store: StateStore, jump: Jump, by: timedelta
    ) -> None:
        sessions = Sessions(store)
        for name in ("pinned", "protected", "saved", "old"):
            sessions.save(Session.new("ada", name))
        sessions.pin("pinned")
        plan = sessions.plan_prune(Everything(), protect=["protected"])
        jump(by)
        sessions.update("saved", lambda session: session.add_user_message("alive"))
        report = sessions.prune(plan)
        assert [victim.summary.id for victim in report.pruned] == ["old"]
        assert [victim.summary.id for victim in report.skipped] == ["saved"]
        plan = sessions.plan_prune(Everything(), protect=["protected", "saved"])
        assert plan.victims == ()

    def test_neither_opens_nor_blocks_the_throttle(
        self,
        jump: Jump,
        by: timedelta,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        throttle = PruneThrottle(HOUR)
        assert throttle.should_prune()
        jump(by)
        assert not throttle.should_prune()
        later = time.monotonic() + 3601
        monkeypatch.setattr("statekeep.retention.types.time.monotonic", lambda: later)
        assert throttle.should_prune()

    def test_touches_nothing_sound_through_the_doctor(
        self, store: StateStore, jump: Jump, by: timedelta
    ) -> None:
        Sessions(store).get_or_create("ada", "s")
        Documents(store).save_markdown("specs", "plan", "# Plan\n")
        Sessions(store).get_or_create("ada", "old")
        Sessions(store).delete("old", trash=True)
        before = _everything(store)
        jump(by)
        diagnosis = diagnose(store)
        assert diagnosis.findings == ()
        assert repair(store, diagnosis).healthy
        assert _everything(store) == before


class TestBackwards:
    def test_nothing_counts_as_idle_or_old(self, store: StateStore, jump: Jump) -> None:
        sessions = Sessions(store)
        sessions.save(Session.new("ada", "s"))
        jump(-YEAR)
        assert sessions.plan_prune(load_pruner("ttl", ttl_hours=1)).victims == ()
        (protected,) = sessions.plan_prune(Everything(), min_idle=HOUR).protected
        assert protected.summary.id == "s"

    def test_no_leftover_is_old_enough_to_be_removed(self, tmp_path: Path, jump: Jump) -> None:
        with LocalDiskStore(tmp_path / "store") as store:
            store.put("a.md", b"")
            leftover = tmp_path / "store" / ".statekeep-0123456789abcdef.tmp"
            leftover.write_text("half")
            two_hours_ago = time.time() - 7200
            os.utime(leftover, (two_hours_ago, two_hours_ago))
            jump(-YEAR)
            assert Sessions(store).prune(load_pruner("ttl")).swept == 0
            assert diagnose(store).findings == ()
            jump(timedelta(0))
            assert Sessions(store).prune(load_pruner("ttl")).swept == 1


class TestForwards:
    def test_a_write_whose_unfinished_file_is_swept_fails_and_changes_nothing(
        self,
        tmp_path: Path,
        jump: Jump,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with LocalDiskStore(tmp_path / "store") as store:
            sessions = Sessions(store)
            session = sessions.get_or_create("ada", "s")
            before = tree(tmp_path / "store")
            session.add_user_message("hello")
            fsync = os.fsync
            swept: list[int] = []

            def sweep_now(descriptor: int) -> None:
                fsync(descriptor)
                if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".tmp") and not swept:
                    jump(YEAR)
                    swept.append(Sessions(store).prune(load_pruner("ttl", ttl_hours=0)).swept)

            monkeypatch.setattr(os, "fsync", sweep_now)
            with pytest.raises(UnavailableError, match="retry"):
                sessions.save(session)
            assert swept == [1]
            assert tree(tmp_path / "store") == before
            sessions.save(session)

    def test_nobody_gives_up_waiting_for_a_lock(self, tmp_path: Path, jump: Jump) -> None:
        with LocalDiskStore(tmp_path / "store", lock_timeout=60) as store:
            store.put("a.md", b"old")
            held, go_on = threading.Event(), threading.Event()

            def hold() -> None:
                with store._locked("a.md"):
                    held.set()
                    go_on.wait(30)

            holder = threading.Thread(target=hold)
            holder.start()
            held.wait(30)
            writer = threading.Thread(target=store.put, args=("a.md", b"new"))
            writer.start()
            jump(YEAR)
            time.sleep(0.1)
            assert writer.is_alive()
            go_on.set()
            holder.join()
            writer.join()
            blob = store.get("a.md")
        assert blob
        assert blob.data == b"new"
