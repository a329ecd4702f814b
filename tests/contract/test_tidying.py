"""The edges of what retention tidies up, each with the mistake that a test must find."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from statekeep import Retention, Session, Sessions, StateStore, load_pruner, open_store
from statekeep.doctor import diagnose, repair, repairs
from statekeep.events import Event, PruneFinished
from statekeep.format.json import encode_json
from statekeep.retention import pruner, stamp, trash
from statekeep.retention.copies import copy_key, list_copies
from statekeep.retention.stamp import Stamp
from statekeep.retention.trash import empty_trash
from statekeep.store import Blob, Version
from statekeep.store.keys import QUARANTINE, STAMP, TRASH, session_key
from statekeep.store.powers import sweep
from statekeep.store.transfer import Transfer
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
YEAR = timedelta(days=365)


def age(store: StateStore, session_id: str, text: str = "") -> None:
    session = Session.new("ada", session_id)
    session.metadata["text"] = text
    session.updated_at = datetime.now(UTC) - YEAR
    store.put(session_key(session_id), session.to_json())


def copies(store: StateStore) -> int:
    return len(list(store.scan(TRASH)))


class Busy(MemoryStore):
    """Is asked to stop while it deletes the first session, and can have leftovers."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.swept = 0

    def delete(self, key: str, **options: object) -> None:
        if key.startswith("sessions/"):
            self.reached.set()
            self.gate.wait(60)
        super().delete(key, **options)  # type: ignore[arg-type]

    def sweep(self, *, older_than: timedelta) -> int:  # noqa: ARG002
        self.swept += 1
        return 1


class TestAPruneThatIsStopped:
    @staticmethod
    def stop(store: Busy) -> PruneFinished:
        """Prune in the background, and close while the first session is deleted."""
        for name in ("a", "b"):
            age(store, name)
        old = copy_key(session_key("old"), Blob(b"{}", Version("v"), None), NOW - YEAR)
        with mock.patch("statekeep_backends.memory.utc_now", return_value=datetime.now(UTC) - YEAR):
            store.put(old, b"{}")
        events: list[Event] = []
        retention = Retention(load_pruner("ttl"), min_idle=timedelta(0), trash=WEEK)
        sessions = Sessions(store, retention=retention, observers=[events.append])
        sessions.get_or_create("ada", "new")
        assert store.reached.wait(60)
        sessions.close(timeout=timedelta(seconds=0.05))
        store.gate.set()
        sessions.close()
        (finished,) = (event for event in events if isinstance(event, PruneFinished))
        return finished

    def test_tidies_nothing_any_more(self) -> None:
        store = Busy()
        finished = self.stop(store)
        assert finished.pruned == 1
        assert (finished.swept, store.swept) == (0, 0)
        assert finished.purged == 0
        assert copies(store) == 2

    def test_would_tidy_if_nobody_had_asked_it_to_stop(self) -> None:
        store = Busy()
        store.gate.set()
        finished = self.stop(store)
        assert (finished.pruned, finished.swept, finished.purged) == (2, 1, 1)

    def test_is_found_out_if_it_tidies(self) -> None:
        execute = pruner.Pruner.execute

        def tidy_all_the_same(self: pruner.Pruner, *args: object, **options: object) -> object:
            report = execute(self, *args, **options)  # type: ignore[arg-type]
            sweep(self._store, older_than=DAY)
            return report

        with (
            mock.patch.object(pruner.Pruner, "execute", tidy_all_the_same),
            pytest.raises(AssertionError),
        ):
            self.test_tidies_nothing_any_more()


class TestACopyOfAnotherState:
    """A copy under the same name is no copy of this state: only equal bytes are."""

    def test_in_the_trash_is_no_reason_to_leave_a_session(self, store: StateStore) -> None:
        sessions = Sessions(store)
        for text in ("first", "other"):
            age(store, "s", text)
            report = sessions.prune(load_pruner("ttl"), trash=WEEK)
            assert len(report.pruned) == 1
        assert copies(store) == 2

    def test_in_quarantine_is_no_reason_to_leave_a_document(self, store: StateStore) -> None:
        for data in (b"{first", b"{other"):
            store.put("sessions/s.json", data)
            report = repair(store, diagnose(store))
            assert report.failed == ()
            assert store.get("sessions/s.json") is None
        kept = [store.get(entry.key) for entry in store.scan(QUARANTINE)]
        assert sorted(blob.data for blob in kept if blob) == [b"{first", b"{other"]

    @pytest.mark.parametrize("backend", ["memory"])
    def test_is_found_out_if_it_is_accepted(self, store: StateStore, location: str) -> None:
        def holds_the_key(self: repairs._Quarantined, key: str, blob: Blob) -> bool:
            return any(
                entry.size == len(blob.data) and entry.key.endswith(key)
                for entry in self._entries()
            )

        with (
            mock.patch.object(repairs._Quarantined, "holds", holds_the_key),
            pytest.raises(AssertionError),
        ):
            self.test_in_quarantine_is_no_reason_to_leave_a_document(store)
        with (
            open_store(f"{location}-more") as more,
            mock.patch.object(trash, "digest_of", return_value="one for all"),
            mock.patch.object(pruner, "young_copies", return_value={"one for all"}),
            pytest.raises(AssertionError),
        ):
            self.test_in_the_trash_is_no_reason_to_leave_a_session(more)


class TestTheEndOfACopy:
    """It comes when the copy is exactly so old, not a moment before nor after."""

    @pytest.mark.parametrize("older_than", [timedelta(0), DAY, WEEK])
    def test_is_the_very_moment(
        self, older_than: timedelta, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("statekeep_backends.memory.utc_now", lambda: NOW)
        store = MemoryStore()
        store.put(copy_key(session_key("s"), Blob(b"{}", Version("v"), None), NOW), b"{}")
        assert empty_trash(store, older_than=older_than, now=NOW + older_than - TICK) == 0
        assert copies(store) == 1
        assert empty_trash(store, older_than=older_than, now=NOW + older_than) == 1
        assert copies(store) == 0

    def test_is_found_out_if_it_comes_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def later(store: StateStore, now: datetime, older_than: timedelta) -> int:
            old = [each.key for each in list_copies(store) if now - each.trashed_at > older_than]
            for key in old:
                store.delete(key)
            return len(old)

        monkeypatch.setitem(globals(), "empty_trash", later)
        with pytest.raises(AssertionError):
            self.test_is_the_very_moment(WEEK, monkeypatch)


class Between(MemoryStore):
    """Lets somebody else act right after the stamp was read."""

    happens: Callable[[], object] | None = None

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        happens, self.happens = self.happens, None
        if key == STAMP and happens is not None:
            happens()
        return blob


class TestAClaim:
    def test_is_of_one_though_clock_host_and_process_are_equal(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stamp, "utc_now", lambda: NOW)
        store = Between()
        transfer = Transfer(store)
        assert Stamp(transfer).claim(timedelta(0))
        claims: list[datetime | None] = []
        store.happens = lambda: claims.append(Stamp(transfer).claim(timedelta(0)))
        claims.append(Stamp(transfer).claim(timedelta(0)))
        assert len([each for each in claims if each is not None]) == 1

    def test_is_found_out_if_its_bytes_could_be_anothers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stamp, "_new_stamp", lambda: encode_json({"claimed_at": "now"}))
        with pytest.raises(AssertionError):
            self.test_is_of_one_though_clock_host_and_process_are_equal(monkeypatch)
