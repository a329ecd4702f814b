"""Tests of what `Sessions` promises on every store."""

from __future__ import annotations

import base64
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    NotFoundError,
    OwnershipError,
    Session,
    Sessions,
    SessionSummary,
    StateStore,
    Summary,
    UnsupportedError,
)
from statekeep.events import (
    ConflictDetected,
    Event,
    OperationFinished,
    ProblemFound,
    PruneFinished,
    SessionDeleted,
    SessionSaved,
)
from statekeep.retention import Victim
from statekeep.store import StoreWrapper
from statekeep.store.keys import RESERVED, session_key
from statekeep.testing.hostile import hostile_ids
from statekeep.testing.listing import ListingContract
from statekeep.testing.processes import in_processes, take_part
from statekeep.testing.turns import TurnsContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from statekeep.heads.pages import Listing
    from statekeep.sessions.repository import Form
    from statekeep.store import Blob, ConflictPolicy

__all__ = ["SessionsContract"]

_START = datetime(2024, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)


class SessionsContract(ListingContract, TurnsContract):
    """What `Sessions` promises on every store; subclass it and override `location`.

    On a store that cannot detect conflicts, sessions are opened with ``"last-writer-wins"``, and
    the tests that need more are skipped with the reason ``not claimed: …``.

    Examples:
        >>> class TestSessionsInMine(SessionsContract):
        ...     @pytest.fixture
        ...     def location(self, tmp_path: Path) -> str:
        ...         return f"mine:{tmp_path}"
    """

    def test_detecting_conflicts_works_or_is_refused(
        self, store: StateStore, form: Form, conflicts: ConflictPolicy
    ) -> None:
        if conflicts == "detect":
            Sessions(store, form=form).get_or_create("ada", "s")
        else:
            with pytest.raises(UnsupportedError, match="last-writer-wins"):
                Sessions(store, form=form)

    # saving and loading

    def test_a_saved_session_can_be_loaded(self, sessions: Sessions, others: Sessions) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("hello")
        sessions.save(session)
        _is(others, "s", session)

    def test_a_missing_session_is_none(self, sessions: Sessions) -> None:
        _is_gone(sessions, "s")

    def test_an_id_is_never_taken_for_a_path(self, sessions: Sessions, store: StateStore) -> None:
        ids = hostile_ids()
        for session_id in ids:
            sessions.save(Session.new("ada", session_id))
        assert sorted(summary.id for summary in sessions.list()) == sorted(ids)
        _holds_only(store, sorted(map(session_key, ids)))
        for session_id in ids:
            assert _load(sessions, session_id).id == session_id
            assert sessions.delete(session_id)
        _holds_only(store, [])

    def test_an_invalid_id_is_refused_everywhere(self, sessions: Sessions) -> None:
        for session_id in ("", "x" * 513, "\ud83d"):
            # Without validation, as a subclass might be created.
            session = Session.model_construct(
                id=session_id, user_id="ada", created_at=_START, updated_at=_START
            )
            for operation in (
                partial(sessions.load, session_id),
                partial(sessions.delete, session_id),
                partial(sessions.save, session),
                partial(sessions.update, session_id, _say("x")),
                partial(sessions.get_or_create, "ada", session_id),
            ):
                with pytest.raises(InvalidKeyError):
                    operation()

    @pytest.mark.usefixtures("_creates")
    def test_a_new_session_does_not_replace_an_existing_one(self, sessions: Sessions) -> None:
        sessions.save(Session.new("ada", "s"))
        with pytest.raises(ConflictError, match="exists already"):
            sessions.save(Session.new("eve", "s"))
        assert _load(sessions, "s").user_id == "ada"

    @pytest.mark.usefixtures("_detects")
    def test_the_second_of_two_savers_gets_a_conflict(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        sessions.save(Session.new("ada", "s"))
        mine, theirs = _load(sessions, "s"), _load(others, "s")
        theirs.add_user_message("theirs")
        others.save(theirs)
        mine.add_user_message("mine")
        with pytest.raises(ConflictError, match="since it was loaded"):
            sessions.save(mine)
        _is(sessions, "s", theirs)

    @pytest.mark.usefixtures("_detects")
    def test_a_deleted_session_is_not_brought_back(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        others.delete("s")
        with pytest.raises(ConflictError):
            sessions.save(session)
        _is_gone(sessions, "s")

    @pytest.mark.usefixtures("_detects")
    def test_a_session_can_be_sent_elsewhere_with_its_version(self, sessions: Sessions) -> None:
        stored = sessions.get_or_create("ada", "s")
        text, version = stored.to_json(), stored.version
        sessions.update("s", _say("meanwhile"))
        back = Session.from_json(text)
        back.version = version
        with pytest.raises(ConflictError):
            sessions.save(back)

    def test_a_session_can_be_saved_repeatedly(self, sessions: Sessions) -> None:
        session = Session.new("ada", "s")
        versions = []
        for n in range(3):
            session.add_user_message(str(n))
            versions.append(sessions.save(session))
        assert len(set(versions)) == 3, f"three states of a session have the versions {versions}"
        assert session.version == versions[-1], "a save does not set the session's version"

    def test_overwriting_replaces_a_session_or_a_corrupt_file(
        self, sessions: Sessions, others: Sessions, store: StateStore
    ) -> None:
        sessions.save(Session.new("eve", "s"))
        session = Session.new("ada", "s")
        sessions.save(session, overwrite=True)
        _is(others, "s", session)
        store.put(session_key("s"), b"garbage")
        sessions.save(session, overwrite=True)
        _is(others, "s", session)

    def test_overwriting_never_replaces_a_file_with_another_id(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        store.put(session_key("s"), Session.new("ada", "other").to_json())
        with pytest.raises(CorruptDataError, match="other"):
            sessions.save(Session.new("ada", "s"), overwrite=True)

    def test_a_value_that_cannot_be_stored_changes_nothing(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        for bad in (float("nan"), 2**70, {"a set"}):
            session.metadata["bad"] = bad
            with pytest.raises(InvalidDocumentError, match=r"metadata\.bad") as caught:
                sessions.save(session)
            assert (caught.value.key, caught.value.store) == ("sessions/s.json", str(store))
        assert _load(sessions, "s").metadata == {}

    # with last-writer-wins

    def test_the_last_writer_wins_if_requested(self, store: StateStore, form: Form) -> None:
        sessions = Sessions(store, form=form, conflicts="last-writer-wins")
        mine = sessions.get_or_create("ada", "s")
        theirs = _load(sessions, "s")
        mine.add_user_message("mine")
        sessions.save(mine)
        theirs.add_user_message("theirs")
        sessions.save(theirs)
        _says(_load(sessions, "s"), ["theirs"])
        sessions.update("s", _say("more"))
        _says(_load(sessions, "s"), ["theirs", "more"])
        assert sessions.delete("s")
        assert not sessions.delete("s")

    @pytest.mark.usefixtures("_creates")
    def test_a_new_session_replaces_none_even_if_the_last_writer_wins(
        self, store: StateStore, form: Form
    ) -> None:
        sessions = Sessions(store, form=form, conflicts="last-writer-wins")
        sessions.save(Session.new("ada", "s"))
        with pytest.raises(ConflictError):
            sessions.save(Session.new("bob", "s"))

    # owners

    def test_another_users_session_is_refused(self, sessions: Sessions) -> None:
        sessions.save(Session.new("alice", "s"))
        assert sessions.load("s", user_id="alice")
        for operation in (
            partial(sessions.load, "s", user_id="mallory"),
            partial(sessions.update, "s", _say("x"), user_id="mallory"),
            partial(sessions.delete, "s", user_id="mallory"),
            partial(sessions.get_or_create, "mallory", "s"),
        ):
            with pytest.raises(OwnershipError):
                operation()
        assert _load(sessions, "s").is_empty

    @pytest.mark.usefixtures("_detects")
    def test_a_session_recreated_by_another_user_is_not_deleted(
        self, sessions: Sessions, store: StateStore, others: Sessions
    ) -> None:
        sessions.get_or_create("ada", "s")

        def replace() -> None:
            others.delete("s")
            others.get_or_create("eve", "s")

        with pytest.raises(OwnershipError):
            Sessions(_BusyStore(store, replace)).delete("s", user_id="ada")
        assert others.load("s", user_id="eve")

    # getting or creating

    def test_an_existing_session_is_returned(self, sessions: Sessions) -> None:
        session = Session.new("ada", "s")
        session.add_user_message("hello")
        sessions.save(session)
        assert sessions.get_or_create("ada", "s") == session

    def test_a_missing_session_is_created_and_stored(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        assert (session.id, session.user_id) == ("s", "ada")
        _is(others, "s", session)

    def test_an_id_is_generated_if_none_is_given(self, sessions: Sessions) -> None:
        one, two = sessions.get_or_create("ada"), sessions.get_or_create("ada")
        assert one.id != two.id
        assert len(sessions.list()) == 2

    @pytest.mark.usefixtures("_creates")
    def test_fifty_racing_callers_get_one_session(
        self, location: str, form: Form, conflicts: ConflictPolicy
    ) -> None:
        gate = threading.Barrier(50)
        with ExitStack() as stack:
            clients = [stack.enter_context(self.open(location)) for _ in range(5)]
            workers = [Sessions(client, form=form, conflicts=conflicts) for client in clients]

            def race(n: int) -> Session:
                gate.wait()
                return workers[n % 5].get_or_create("ada", "s")

            with ThreadPoolExecutor(50) as pool:
                got = list(pool.map(race, range(50)))
        others = [session for session in got if session != got[0]]
        assert not others, (
            f"of 50 racing callers, {len(others)} got a different session than the first"
        )

    # updating

    def test_an_update_changes_the_stored_session(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        updated = sessions.update("s", _say("hello"))
        _is(sessions, "s", updated)
        _says(updated, ["hello"])

    def test_an_update_needs_a_session(self, sessions: Sessions) -> None:
        with pytest.raises(NotFoundError):
            sessions.update("s", _say("x"))

    def test_a_change_that_raises_changes_nothing(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")

        def fail(session: Session) -> None:
            session.add_user_message("half")
            raise RuntimeError

        with pytest.raises(RuntimeError):
            sessions.update("s", fail)
        assert _load(sessions, "s").is_empty

    def test_a_change_that_returns_another_session_is_refused(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        with pytest.raises(TypeError, match="in place"):
            sessions.update("s", lambda session: session.model_copy(update={"user_id": "eve"}))

    @pytest.mark.usefixtures("_detects")
    def test_an_update_sees_concurrent_saves(self, sessions: Sessions, others: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        seen: list[int] = []

        def change(session: Session) -> None:
            if not seen:
                others.update("s", _say("theirs"))
            seen.append(len(session.user_messages))
            session.add_user_message("mine")

        _says(sessions.update("s", change), ["theirs", "mine"])
        assert seen == [0, 1], f"the change saw {seen} messages instead of none and then one"

    @pytest.mark.usefixtures("_detects")
    def test_an_update_gives_up_after_its_timeout(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        sessions.get_or_create("ada", "s")

        def interfere(_: Session) -> None:
            others.update("s", _say("theirs"))

        with pytest.raises(ConflictError):
            sessions.update("s", interfere, timeout=timedelta(0))
        _says(_load(sessions, "s"), ["theirs"])

    @pytest.mark.usefixtures("_detects")
    def test_fifty_concurrent_updates_are_all_kept(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: sessions.update("s", _say(str(n))), range(50)))
        _none_is_lost(_load(sessions, "s"), map(str, range(50)))

    @pytest.mark.usefixtures("_detects", "_shared")
    def test_racing_processes_get_one_session_and_lose_no_update(
        self, sessions: Sessions, location: str, form: Form, race: tuple[int, int]
    ) -> None:
        workers, updates = race
        created = in_processes(
            take_part, [(self.open, location, form, n, updates) for n in range(workers)]
        )
        times = set(created)
        assert len(times) == 1, f"racing processes created {len(times)} sessions with one id"
        updated = (f"{w}-{n}" for w in range(workers) for n in range(updates))
        _none_is_lost(_load(sessions, "s"), updated)

    # deleting

    def test_a_delete_says_whether_there_was_a_session(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        assert sessions.delete("s") is True, "deleting a session says there was none"
        assert sessions.delete("s") is False, "deleting a missing session says there was one"
        _is_gone(sessions, "s")

    def test_a_delete_leaves_documents_alone(self, sessions: Sessions, store: StateStore) -> None:
        keys = ["outside.json", "sessions/s.md", "specs/secret.json"]
        for key in keys:
            store.put(key, b"{}")
        for session_id in ("../specs/secret", "../outside", "s", "specs/secret"):
            assert sessions.delete(session_id) is False
        _holds_only(store, keys)

    def test_a_delete_also_deletes_a_concurrent_save(
        self, sessions: Sessions, store: StateStore, others: Sessions, conflicts: ConflictPolicy
    ) -> None:
        sessions.get_or_create("ada", "s")
        busy = _BusyStore(store, lambda: others.update("s", _say("x")))
        assert Sessions(busy, conflicts=conflicts).delete("s") is True
        _is_gone(sessions, "s")

    # files that are not valid sessions

    def test_a_file_with_another_sessions_id_is_reported_and_left_alone(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        store.put("specs/victim.json", b'"precious"')
        store.put("sessions/planted.json", Session.new("eve", "../specs/victim").to_json())
        listing = sessions.list()
        _lists(listing, [])
        _reports(listing, ["sessions/planted.json"])
        with pytest.raises(CorruptDataError, match="does not belong here"):
            sessions.load("planted")
        with pytest.raises(CorruptDataError):
            sessions.delete("planted")
        _is_gone(sessions, "../specs/victim")
        assert store.get("specs/victim.json")
        assert store.get("sessions/planted.json")

    def test_a_copy_of_a_session_under_another_key_is_reported(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        store.put("sessions/copy of s.json", session.to_json())
        listing = sessions.list()
        _lists(listing, ["s"])
        _reports(listing, ["sessions/copy of s.json"])
        assert sessions.delete("s")
        assert store.get("sessions/copy of s.json")

    def test_a_corrupt_file_is_reported_and_left_alone(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        for data in (b"", b"{", b"null", b"[]", b"\xff\xfe", b"{}", b'{"id": "s"}', b"[" * 2000):
            store.put("sessions/s.json", data)
            (problem,) = sessions.list().problems
            assert (problem.key, bool(problem.reason)) == ("sessions/s.json", True)
            for operation in (
                partial(sessions.load, "s"),
                partial(sessions.delete, "s"),
                partial(sessions.get_or_create, "ada", "s"),
                partial(sessions.update, "s", _say("x")),
            ):
                with pytest.raises(CorruptDataError) as caught:
                    operation()
                assert caught.value.key == "sessions/s.json"
                assert caught.value.store == str(store)
            blob = store.get("sessions/s.json")
            assert blob is not None, "a corrupt file is gone"
            assert blob.data == data, f"a corrupt file was changed to {blob.data!r}"

    @pytest.mark.usefixtures("_creates")
    def test_a_new_session_does_not_replace_a_corrupt_file(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        store.put("sessions/s.json", b"{")
        with pytest.raises(ConflictError):
            sessions.save(Session.new("ada", "s"))

    def test_a_corrupt_file_is_logged_once_and_again_when_it_changes(
        self, sessions: Sessions, store: StateStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "statekeep"):
            for data in (b"{", b"["):
                store.put("sessions/s.json", data)
                sessions.list()
                sessions.list()
        warnings = len(caplog.records)
        assert warnings == 2, f"two kinds of damage, each found twice, were logged {warnings} times"
        assert "sessions/s.json" in caplog.text

    def test_problems_are_sorted_by_key(self, sessions: Sessions, store: StateStore) -> None:
        for name in ("c", "a", "b", ""):
            store.put(f"sessions/{name}.json", Session.new("ada", "another").to_json())
        found = [problem.key for problem in sessions.list().problems]
        assert found == ["sessions/.json", *(f"sessions/{name}.json" for name in "abc")]

    def test_other_files_beside_sessions_are_ignored(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        session = sessions.get_or_create("ada", "s")
        store.put("sessions/s.md", b"# about s")
        store.put("sessions/sub/s.json", session.to_json())
        store.put("sessions/s.txt", b"")
        listing = sessions.list()
        _lists(listing, ["s"])
        assert listing.problems == ()

    # listing

    def test_a_listing_is_newest_first_with_ties_by_id(self, sessions: Sessions) -> None:
        for session_id, hours in (("old", 0), ("b", 1), ("a", 1), ("new", 2)):
            _put_session(sessions, session_id, _START + hours * _HOUR)
        _lists(sessions.list(), ["new", "a", "b", "old"])

    def test_a_listing_without_sessions_is_empty(self, sessions: Sessions) -> None:
        listing = sessions.list()
        assert (listing.summaries, listing.problems, listing.cursor) == ((), (), None)

    def test_a_listing_is_up_to_date(self, sessions: Sessions, others: Sessions) -> None:
        _lists(sessions.list(), [])
        others.get_or_create("ada", "s")
        for messages in (0, 1):
            (listed,) = sessions.list()
            assert listed.message_count == messages, (
                f"a listing is outdated: {listed.message_count} messages instead of {messages}"
            )
            others.update("s", _say("hello"))
        others.delete("s")
        _lists(sessions.list(), [])

    def test_a_listing_can_be_filtered(self, sessions: Sessions) -> None:
        for n in range(6):
            _put_session(
                sessions,
                str(n),
                _START + n * _HOUR,
                user_id="ada" if n % 2 else "bob",
                active_seed_id="seed" if n < 3 else None,
                metadata={"project_ids": "p"} if n > 3 else {},
            )

        def ids(**filters: object) -> str:
            return "".join(summary.id for summary in sessions.list(**filters))  # type: ignore[arg-type]

        assert ids() == "543210"
        assert ids(user_id="ada") == "531"
        assert ids(project_id="p") == "54"
        assert ids(active_seed_id="seed") == "210"
        assert ids(updated_before=_START + 2 * _HOUR) == "10"
        assert ids(updated_after=_START + 3 * _HOUR) == "54"
        assert ids(user_id="bob", project_id="p") == "4"
        assert ids(user_id="nobody") == ""
        assert ids(user_id="ada", limit=2) == "53"

    def test_pages_add_up_to_the_whole_listing(self, sessions: Sessions) -> None:
        for n in range(7):
            _put_session(sessions, str(n), _START + n // 3 * _HOUR)
        whole = sessions.list().summaries
        for limit in (1, 3, 7, 8):
            paged: list[SessionSummary] = []
            cursor = None
            while True:
                listing = sessions.list(limit=limit, cursor=cursor)
                paged += listing.summaries
                cursor = listing.cursor
                if cursor is None:
                    break
                assert len(listing) == limit, f"a page of {limit} is short, though not the last"
            assert tuple(paged) == whole, (
                f"pages of {limit} add up to something other than the whole listing"
            )

    def test_a_page_continues_where_the_last_ended_despite_deletions(
        self, sessions: Sessions
    ) -> None:
        for n in range(6):
            _put_session(sessions, str(n), _START + n * _HOUR)
        first = sessions.list(limit=3)
        sessions.delete(first.summaries[-1].id)
        second = sessions.list(limit=3, cursor=first.cursor)
        _lists(second, ["2", "1", "0"])

    def test_an_invalid_cursor_and_a_limit_of_zero_are_refused(self, sessions: Sessions) -> None:
        coded = [base64.b64encode(text).decode() for text in (b"{}", b"[1,2]")]
        for cursor in ("", "nonsense", "é", *coded):
            with pytest.raises(InvalidKeyError, match="cursor"):
                sessions.list(cursor=cursor)
        with pytest.raises(ValueError, match="limit"):
            sessions.list(limit=0)

    # pruning

    def test_a_prune_deletes_what_it_reports_and_nothing_else(
        self, sessions: Sessions, store: StateStore
    ) -> None:
        for n in range(4):
            _put_session(sessions, str(n), _START + n * _HOUR)
        store.put("sessions/bad.json", b"{")
        store.put("notes/plan.md", b"")
        sessions.pin("0")
        plan = sessions.plan_prune(_Everything(), protect=["1"])
        assert {each.summary.id: each.reason for each in plan.protected} == {
            "0": "pinned",
            "1": "protected",
        }
        assert [victim.summary.id for victim in plan.victims] == ["3", "2"]
        _lists(sessions.list(), ["3", "2", "1", "0"])
        report = sessions.prune(plan)
        assert report.pruned == plan.victims, f"an undisturbed prune reports {report}"
        others = (report.skipped, report.unknown, report.failed)
        assert others == ((), (), ()), f"an undisturbed prune reports {report}"
        listing = sessions.list()
        _lists(listing, ["1", "0"])
        _reports(listing, ["sessions/bad.json"])
        assert store.get("notes/plan.md")

    @pytest.mark.usefixtures("_detects")
    def test_a_prune_skips_sessions_saved_pinned_or_deleted_since_its_plan(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        for session_id in ("saved", "pinned", "deleted", "old"):
            _put_session(sessions, session_id, _START)
        plan = sessions.plan_prune(_Everything())
        others.update("saved", _say("alive"))
        others.pin("pinned")
        others.delete("deleted")
        report = sessions.prune(plan)
        pruned = sorted(victim.summary.id for victim in report.pruned)
        assert pruned == ["old"], f"{pruned} were pruned, though only 'old' was unchanged"
        skipped = sorted(victim.summary.id for victim in report.skipped)
        assert skipped == ["deleted", "pinned", "saved"], f"a prune reports {skipped} as skipped"
        left = sorted(summary.id for summary in sessions.list())
        assert left == ["pinned", "saved"], (
            f"a prune left {left} instead of the two that had changed"
        )

    @pytest.mark.usefixtures("_detects")
    def test_two_concurrent_prunes_report_each_session_once(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        for n in range(8):
            _put_session(sessions, str(n), _START)
        plan = sessions.plan_prune(_Everything())
        with ThreadPoolExecutor(2) as pool:
            prunes = [pool.submit(sessions.prune, plan), pool.submit(sessions.prune, plan)]
        pruned = [victim.summary.id for each in prunes for victim in each.result().pruned]
        assert sorted(pruned) == list("01234567"), (
            f"two prunes of eight sessions together report {sorted(pruned)}"
        )
        _lists(others.list(), [])

    def test_a_pin_does_not_change_the_time_of_the_last_update(self, sessions: Sessions) -> None:
        before = sessions.get_or_create("ada", "s")
        after = sessions.pin("s")
        assert after.updated_at == before.updated_at, "a pin changed updated_at"
        assert after.version != before.version, "a pinned session still has the old version"
        _is(sessions, "s", after)
        assert sessions.unpin("s").metadata == {}

    # the trash

    def test_a_session_deleted_into_the_trash_can_be_restored(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        for session_id in ("s", "../../x"):
            session = sessions.get_or_create("ada", session_id)
            assert sessions.delete(session_id, trash=True)
            _is_gone(sessions, session_id)
            (copy,) = (each for each in others.list_trash() if each.id == session_id)
            assert (copy.user_id, copy.updated_at) == ("ada", session.updated_at)
            restored = others.restore(session_id)
            assert restored.metadata.pop("statekeep.restored")
            assert restored.to_json() == session.to_json()
            assert sessions.load(session_id) is not None
        assert {each.id for each in others.list_trash()} == {"s", "../../x"}
        with pytest.raises(NotFoundError):
            sessions.restore("another")

    @pytest.mark.usefixtures("_creates")
    def test_restoring_does_not_replace_a_session(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        sessions.delete("s", trash=True)
        newer = sessions.get_or_create("ada", "s")
        with pytest.raises(ConflictError):
            sessions.restore("s")
        _is(sessions, "s", newer)
        assert len(sessions.list_trash()) == 1

    @pytest.mark.usefixtures("_detects")
    def test_a_prune_into_the_trash_skips_sessions_saved_since_its_plan(
        self, sessions: Sessions, others: Sessions
    ) -> None:
        for session_id in ("saved", "old"):
            _put_session(sessions, session_id, _START)
        plan = sessions.plan_prune(_Everything())
        others.update("saved", _say("alive"))
        report = sessions.prune(plan, trash=timedelta(days=1))
        skipped = [victim.summary.id for victim in report.skipped]
        assert skipped == ["saved"], f"a prune reports {skipped} as skipped"
        trash = [trashed.stem for trashed in others.list_trash()]
        assert trash == ["old"], f"the trash holds {trash}, but only 'old' was pruned"
        _lists(sessions.list(), ["saved"])

    def test_the_trash_is_emptied_by_age(self, sessions: Sessions) -> None:
        sessions.get_or_create("ada", "s")
        sessions.delete("s", trash=True)
        report = sessions.prune(_Everything(), trash=timedelta(0))
        assert report.purged == 0, "a prune deleted a copy less than a day old"
        young = sessions.empty_trash(older_than=timedelta(days=1))
        assert young == 0, "a copy less than a day old was deleted"
        assert sessions.empty_trash() == 1, "the only copy was not deleted"
        assert sessions.list_trash() == [], "a deleted copy is still there"

    # events

    def test_observers_are_told_what_happened(
        self, store: StateStore, form: Form, conflicts: ConflictPolicy
    ) -> None:
        events: list[Event] = []
        where = str(store)
        sessions = Sessions(store, form=form, conflicts=conflicts, observers=[events.append])
        session = sessions.get_or_create("ada", "s")
        (created,) = _facts(events)
        assert isinstance(created, SessionSaved)
        assert created.created
        session.add_user_message("hello")
        version = sessions.save(session)
        sessions.delete("s")
        store.put("sessions/bad.json", b"")
        sessions.list()
        sessions.list()
        assert _facts(events)[1:3] == [
            SessionSaved(where, "s", "ada", version, created=False),
            SessionDeleted(where, "s", pruned=False, trashed=False),
        ]
        (problem,) = _facts(events)[3:]
        assert isinstance(problem, ProblemFound)
        assert problem.key == "sessions/bad.json"

    @pytest.mark.usefixtures("_detects")
    def test_observers_are_told_of_conflicts(
        self, store: StateStore, form: Form, others: Sessions
    ) -> None:
        events: list[Event] = []
        sessions = Sessions(store, form=form, observers=[events.append])
        session = sessions.get_or_create("ada", "s")
        others.update("s", _say("theirs"))
        with pytest.raises(ConflictError):
            sessions.save(session)
        assert _facts(events)[1:] == [ConflictDetected(str(store), "sessions/s.json")]

    def test_observers_are_told_of_prunes(
        self, store: StateStore, form: Form, conflicts: ConflictPolicy
    ) -> None:
        events: list[Event] = []
        _put_session(Sessions(store, form=form, conflicts=conflicts), "s", _START)
        sessions = Sessions(store, form=form, conflicts=conflicts, observers=[events.append])
        sessions.prune(_Everything())
        assert _facts(events) == [
            SessionDeleted(str(store), "s", pruned=True, trashed=False),
            PruneFinished(str(store), 1, 0, 0, 0, 0, 0),
        ]

    def test_an_overwritten_session_is_not_reported_as_created(
        self, store: StateStore, form: Form, conflicts: ConflictPolicy
    ) -> None:
        events: list[Event] = []
        sessions = Sessions(store, form=form, conflicts=conflicts, observers=[events.append])
        for _ in range(2):
            sessions.save(Session.new("ada", "s"), overwrite=True)
        assert [e.created for e in events if isinstance(e, SessionSaved)] == [True, False]


def _facts(events: list[Event]) -> list[Event]:
    """The events except those that measure operations."""
    return [event for event in events if not isinstance(event, OperationFinished)]


class _BusyStore(StoreWrapper):
    """A store that makes a call right after the first read."""

    def __init__(self, inner: StateStore, happens: Callable[[], object]) -> None:
        super().__init__(inner)
        self._happens = [happens]

    def get(self, key: str) -> Blob | None:
        blob = super().get(key)
        while self._happens:
            self._happens.pop()()
        return blob


class _Everything:
    """A strategy that keeps nothing."""

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterable[Victim]:  # noqa: ARG002
        return [Victim(summary, "everything is pruned") for summary in summaries]


def _keys(store: StateStore) -> list[str]:
    """The keys in the store, except statekeep's own."""
    found = sorted(entry.key for entry in store.scan())
    return [key for key in found if not key.startswith(f"{RESERVED}/")]


def _load(sessions: Sessions, session_id: str) -> Session:
    session = sessions.load(session_id)
    assert session is not None, f"{session_id!r} is gone"
    return session


def _put_session(
    sessions: Sessions,
    session_id: str,
    updated_at: datetime,
    user_id: str = "ada",
    **more: object,
) -> None:
    times = {"created_at": updated_at, "updated_at": updated_at}
    session = Session.model_validate({"id": session_id, "user_id": user_id, **times, **more})
    sessions.save(session, overwrite=True)


def _is(sessions: Sessions, session_id: str, expected: Session) -> None:
    found = _load(sessions, session_id)
    assert found == expected, f"{session_id!r} differs from what was stored"


def _is_gone(sessions: Sessions, session_id: str) -> None:
    assert sessions.load(session_id) is None, f"{session_id!r} should not be there but is"


def _says(session: Session, expected: list[str]) -> None:
    found = _said(session)
    assert found == expected, (
        f"{session.id!r} should hold the messages {expected} but holds {found}"
    )


def _none_is_lost(session: Session, expected: Iterable[str]) -> None:
    wanted, found = sorted(expected), sorted(_said(session))
    lost = len(set(wanted) - set(found))
    assert not lost, f"{lost} of {len(wanted)} acknowledged updates are lost"
    assert found == wanted, f"{len(wanted)} updates left {len(found)} messages; some happened twice"


def _lists(listing: Iterable[SessionSummary], expected: list[str]) -> None:
    found = [summary.id for summary in listing]
    assert found == expected, f"the sessions are listed as {found} but are {expected}"


def _reports(listing: Listing[SessionSummary], expected: list[str]) -> None:
    found = [problem.key for problem in listing.problems]
    assert found == expected, f"the listing reports the problems {found} instead of {expected}"


def _holds_only(store: StateStore, expected: list[str]) -> None:
    found = _keys(store)
    assert found == expected, f"the store holds {found} instead of {expected}"


def _say(text: str) -> Callable[[Session], object]:
    return partial(Session.add_user_message, content=text)


def _said(session: Session) -> list[str]:
    return [message.content for message in session.user_messages]
