"""The doctor finds what is wrong in any store, and repairs it without touching what is sound."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from statekeep import (
    AccessDeniedError,
    Documents,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    Version,
    open_store,
)
from statekeep.doctor import Diagnosis, repair
from statekeep.doctor import diagnose as diagnose_sessions
from statekeep.doctor import diagnosis as module
from statekeep.doctor import repairs as repair_module
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.records import encode_index
from statekeep.retention.copies import copy_key
from statekeep.store import Blob, SupportsQuery, power
from statekeep.store.keys import QUARANTINE, STAMP, TRASH
from statekeep.timestamps import utc_now
from statekeep_backends import memory as memory_module

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX = SESSION_HEADS.index
HOUR = timedelta(hours=1)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
SESSION = Session.new("ada", "elsewhere").to_json()
BLOB = Blob(SESSION, Version("v"), NOW)
TRASHED = copy_key("sessions/elsewhere.json", BLOB, NOW)
DAMAGE = {
    "a session that is empty": ("sessions/x.json", b"", "corrupt session"),
    "a session cut in the middle": ("sessions/x.json", SESSION[:-9], "corrupt session"),
    "a session that is no UTF-8": ("sessions/x.json", b'{"id": "\xff"}', "corrupt session"),
    "JSON that is no session": ("sessions/x.json", b'{"id": "x"}', "corrupt session"),
    "a session under another name": ("sessions/x.json", SESSION, "misplaced session"),
    "a session without an id": (
        "sessions/.json",
        Session.new("ada", "s").to_json().replace(b'"id": "s"', b'"id": ""'),
        "misplaced session",
    ),
    "a JSON document cut in the middle": ("specs/x.json", b'{"a": ', "corrupt document"),
    "a JSON document that is no UTF-8": ("x.json", b'"\xff"', "corrupt document"),
    "a Markdown document that is no UTF-8": ("specs/v1/x.md", b"\xff", "corrupt document"),
    "a retention stamp that is no JSON": (STAMP, b"{", "retention stamp"),
    "trash that is no session": (TRASHED, SESSION[:-9], "trash"),
    "trash under another name": (
        copy_key("sessions/x.json", BLOB, NOW),
        SESSION,
        "trash",
    ),
    "trash that has no name of ours": (f"{TRASH}/elsewhere.json", SESSION, "trash"),
}


def diagnose(store: StateStore, **more: Any) -> Diagnosis:
    """Documents are taken for statekeep's own here, too."""
    return diagnose_sessions(store, documents=True, **more)


@pytest.fixture
def memory() -> Iterator[StateStore]:
    """For what the doctor does by itself, whatever the store."""
    with open_store("memory:") as store:
        yield store


def fill(store: StateStore) -> dict[str, tuple[bytes, str]]:
    """Put there what is sound."""
    sessions, documents = Sessions(store), Documents(store)
    for session_id in ("plain", "../../etc/passwd", "ü" * 200, "x.json"):
        session = sessions.get_or_create("ada", session_id)
        session.add_user_message("hello")
        sessions.save(session)
    documents.save_json("specs/v1", "limits", {"tokens": 4096})
    documents.save_markdown("specs/v1", "limits", "# Limits\n")
    documents.save_markdown(".", "root", "")
    store.put("blob.bin", b"\xff")
    for session_id in ("old", "../../etc/passwd", "ü" * 200):
        session = sessions.get_or_create("ada", f"{session_id} thrown away")
        sessions.delete(session.id, trash=True)
    store.put(STAMP, b'{"claimed_at": "2024-06-01T00:00:00Z"}')
    store.put(INDEX, encode_index())
    return everything(store)


def everything(store: StateStore) -> dict[str, tuple[bytes, str]]:
    found = {}
    for entry in store.scan():
        blob = store.get(entry.key)
        assert blob
        found[entry.key] = blob.data, str(blob.version)
    return found


def in_quarantine(store: StateStore) -> dict[str, bytes]:
    """What lies there, without the folder of the repair."""
    return {
        key.removeprefix(f"{QUARANTINE}/").partition("/")[2]: data
        for key, (data, _) in everything(store).items()
        if key.startswith(QUARANTINE)
    }


def outside(store: StateStore) -> dict[str, tuple[bytes, str]]:
    return {
        key: found for key, found in everything(store).items() if not key.startswith(QUARANTINE)
    }


def kinds(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(each.kind, each.place) for each in diagnosis.findings]


def test_a_sound_store_is_healthy_and_stays_as_it_is(store: StateStore) -> None:
    sound = fill(store)
    if power(store, SupportsQuery):
        store.delete(INDEX)
        del sound[INDEX]
    diagnosis = diagnose(store)
    assert diagnosis == Diagnosis(str(store), True, 7, 0, ())
    assert diagnosis.healthy
    report = repair(store, diagnosis)
    assert report.healthy
    assert everything(store) == sound


@pytest.mark.parametrize("backend", ["sqlite"])
def test_an_index_that_nobody_reads_is_removed(store: StateStore) -> None:
    sound = fill(store)
    diagnosis = diagnose(store)
    assert kinds(diagnosis) == [("summary index", INDEX)]
    assert repair(store, diagnosis).healthy
    del sound[INDEX]
    assert everything(store) == sound


def test_an_empty_store_is_healthy(store: StateStore) -> None:
    assert diagnose(store) == Diagnosis(str(store), True, 0, 0, ())


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_read_is_found_and_moved_to_quarantine(
    memory: StateStore, damage: str
) -> None:
    sound = fill(memory)
    key, data, kind = DAMAGE[damage]
    sound.pop(key, None)
    memory.put(key, data)
    before = everything(memory)

    diagnosis = diagnose(memory)
    assert kinds(diagnosis) == [(kind, key)]
    assert diagnosis.problems == diagnosis.findings
    assert not diagnosis.healthy
    assert everything(memory) == before

    report = repair(memory, diagnosis)
    assert [each.finding for each in report.repaired] == list(diagnosis.findings)
    assert (report.skipped, report.failed, report.left) == ((), (), ())
    assert report.healthy
    (repaired,) = report.repaired
    assert repaired.to
    assert repaired.to.startswith(f"{QUARANTINE}/")
    assert repaired.to.endswith(f"/{key}")
    assert in_quarantine(memory) == {key: data}
    assert outside(memory) == sound

    again = diagnose(memory)
    assert (again.findings, again.quarantined) == ((), 1)


def test_every_store_is_repaired(store: StateStore) -> None:
    sound = fill(store)
    # Several kinds of damage are of one name; here each has its own.
    damage = {key: data for key, data, _ in DAMAGE.values()}
    for key, data in (damage | {INDEX: b"{"}).items():
        sound.pop(key, None)
        store.put(key, data)
    before = everything(store)
    diagnosis = diagnose(store)
    assert {each.place for each in diagnosis.problems} == damage.keys() | {INDEX}
    assert everything(store) == before
    report = repair(store, diagnosis)
    assert report.healthy
    assert len(report.repaired) == len(damage) + 1
    assert in_quarantine(store) == damage
    assert outside(store) == sound
    assert diagnose(store).findings == ()


def test_a_damaged_summary_index_is_removed(memory: StateStore) -> None:
    sound = fill(memory)
    memory.put(INDEX, encode_index()[:-1])
    diagnosis = diagnose(memory)
    assert kinds(diagnosis) == [("summary index", INDEX)]
    (repaired,) = repair(memory, diagnosis).repaired
    assert repaired.to is None
    del sound[INDEX]
    assert everything(memory) == sound
    assert diagnose(memory).healthy


@pytest.mark.parametrize(
    ("clock", "said"),
    [(-2 * HOUR, "clocks is wrong"), (200 * HOUR, "no prune has begun for 8 days")],
)
def test_a_stamp_from_the_future_or_of_long_ago_is_only_a_remark(
    memory: StateStore, monkeypatch: pytest.MonkeyPatch, clock: timedelta, said: str
) -> None:
    sound = fill(memory)
    monkeypatch.setattr(module, "utc_now", lambda: utc_now() + clock)
    diagnosis = diagnose(memory)
    assert diagnosis.healthy
    assert kinds(diagnosis) == [("retention stamp", STAMP)]
    assert said in diagnosis.findings[0].reason
    assert repair(memory, diagnosis).healthy
    assert everything(memory) == sound


@pytest.mark.parametrize("clock", [-HOUR / 2, 160 * HOUR])
def test_a_stamp_whose_age_may_well_be_is_none(
    memory: StateStore, monkeypatch: pytest.MonkeyPatch, clock: timedelta
) -> None:
    memory.put(STAMP, b"{}")
    monkeypatch.setattr(module, "utc_now", lambda: utc_now() + clock)
    assert diagnose(memory).findings == ()


class TestWhatIsLeftToAPerson:
    def test_a_session_that_the_original_can_read(self, memory: StateStore) -> None:
        theirs = b'{"id": "x", "user_id": "ada", "created_at": "2016-12-31T23:59:60Z", '
        theirs += b'"updated_at": "9999-12-31T23:59:59-01:00"}'
        memory.put("sessions/x.json", theirs)
        diagnosis = diagnose(memory)
        assert kinds(diagnosis) == [("corrupt session", "sessions/x.json")]
        assert "other programs" in diagnosis.findings[0].reason
        before = everything(memory)
        report = repair(memory, diagnosis)
        assert report.left == diagnosis.findings
        assert not report.healthy
        assert everything(memory) == before

    def test_but_not_one_that_nobody_can_read(self, memory: StateStore) -> None:
        nobodys = b'{"id": "x", "created_at": "2016-12-31T23:59:60Z", "updated_at": 5}'
        memory.put("sessions/x.json", nobodys)
        assert repair(memory, diagnose(memory)).healthy
        assert in_quarantine(memory) == {"sessions/x.json": nobodys}

    def test_a_session_whose_name_is_spelt_another_way(self, memory: StateStore) -> None:
        for name, inner in (("ADA", "ada"), ("e\u0301", "\u00e9")):
            memory.put(f"sessions/{name}.json", Session.new("ada", inner).to_json())
        diagnosis = diagnose(memory)
        assert [each.kind for each in diagnosis.findings] == ["misplaced session"] * 2
        before = everything(memory)
        assert len(repair(memory, diagnosis).left) == 2
        assert everything(memory) == before

    def test_documents_that_would_be_one_file_elsewhere(self, memory: StateStore) -> None:
        for key in ("specs/Plan.md", "specs/plan.md", "SPECS/other.md", "specs/other.md"):
            memory.put(key, b"")
        diagnosis = diagnose(memory)
        assert kinds(diagnosis) == [("collision", "specs/other.md"), ("collision", "specs/plan.md")]
        assert diagnosis.healthy
        assert diagnosis.remarks == diagnosis.findings
        before = everything(memory)
        assert repair(memory, diagnosis).healthy
        assert everything(memory) == before

    def test_markdown_beside_a_session(self, memory: StateStore) -> None:
        for session_id in ("s", "s.json"):
            Sessions(memory).get_or_create("ada", session_id)
        memory.put("sessions/s.md", b"")
        memory.put("sessions/t.md", b"")
        diagnosis = diagnose(memory)
        assert kinds(diagnosis) == [("collision", "sessions/s.md")]
        assert diagnosis.healthy


def test_a_document_that_is_a_category_as_well() -> None:
    with open_store("memory:") as store:
        store.put("specs.md", b"")
        store.put("specs.md/deep/plan.md", b"")
        diagnosis = diagnose(store)
    assert kinds(diagnosis) == [("collision", "specs.md")]
    assert diagnosis.healthy


class TestARaceWithWriters:
    @pytest.fixture
    def diagnosis(self, store: StateStore) -> Diagnosis:
        store.put("sessions/x.json", b"{")
        store.put("specs/y.json", b"{")
        return diagnose(store)

    def test_what_was_mended_since_is_left_alone(
        self, store: StateStore, diagnosis: Diagnosis
    ) -> None:
        Sessions(store).save(Session.new("ada", "x"), overwrite=True)
        store.delete("specs/y.json")
        before = everything(store)
        report = repair(store, diagnosis)
        assert report.skipped == diagnosis.findings
        assert not report.healthy
        assert everything(store) == before
        assert diagnose(store).healthy

    def test_what_is_mended_between_copying_and_deleting_is_left_alone(
        self, store: StateStore, diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        delete = store.delete

        def save_first(key: str, **expect: Any) -> None:
            if key == "sessions/x.json":
                Sessions(store).save(Session.new("ada", "x"), overwrite=True)
            delete(key, **expect)

        monkeypatch.setattr(store, "delete", save_first)
        report = repair(store, diagnosis)
        assert [each.place for each in report.skipped] == ["sessions/x.json"]
        assert Sessions(store).load("x")
        assert in_quarantine(store) == {"specs/y.json": b"{"}

    def test_what_is_deleted_while_it_is_read_is_no_finding(
        self, memory: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory.put("sessions/x.json", b"{")
        scan = memory.scan

        def delete_after(prefix: str = "") -> Iterator[Any]:
            yield from list(scan(prefix))
            memory.delete("sessions/x.json")

        monkeypatch.setattr(memory, "scan", delete_after)
        assert diagnose(memory).findings == ()


class Died(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_leaves_a_document_in_one_place_or_in_both(
    memory: StateStore, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    sound = fill(memory)
    for call, data in (("put", b"{"), ("delete", b"{{")):
        memory.put("sessions/x.json", data)
        original = getattr(memory, call)

        def die(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            if when == "after":
                original(*args, **kwargs)
            raise Died

        with monkeypatch.context() as patch:
            patch.setattr(memory, call, die)
            with pytest.raises(Died):
                repair(memory, diagnose(memory))
        found = [there for key, (there, _) in everything(memory).items() if key.endswith("/x.json")]
        assert data in found
        with monkeypatch.context() as patch:
            # A copy may be one of a repair that is still under way, for a day.
            patch.setattr(memory_module, "utc_now", lambda: utc_now() + 25 * HOUR)
            assert repair(memory, diagnose(memory)).healthy
        assert data in in_quarantine(memory).values()
        now = outside(memory)
        # The stamp is written to learn what time it is in the store.
        assert {**now, STAMP: None} == {**sound, STAMP: None}
        assert diagnose(memory).healthy


def test_no_second_copy_comes_into_quarantine_within_a_day(
    memory: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put("sessions/x.json", b"{")
    delete = memory.delete

    def no_answer(key: str, **expect: Any) -> None:
        if key == "sessions/x.json":
            raise UnavailableError("no answer", key=key)
        delete(key, **expect)

    with monkeypatch.context() as patch:
        patch.setattr(memory, "delete", no_answer)
        for _ in range(3):
            report = repair(memory, diagnose(memory))
            assert [each.finding.place for each in report.failed] == ["sessions/x.json"]
            assert len(in_quarantine(memory)) == 1
    assert "less than a day ago" in repair(memory, diagnose(memory)).failed[0].error.message
    monkeypatch.setattr(memory_module, "utc_now", lambda: utc_now() + 25 * HOUR)
    assert repair(memory, diagnose(memory)).healthy


class TestAFolderOfSomebodyElse:
    """`statekeep doctor --repair` in a project's folder."""

    THEIRS: ClassVar = {
        "README.md": "Gr\xfc\xdfe".encode("latin-1"),
        "tsconfig.json": b"{ // a comment\n}",
        "sessions/theirs.json": b"[1, 2",
        "src/app.py": b"pass",
    }

    def test_is_left_as_it_is(self, memory: StateStore) -> None:
        for key, data in self.THEIRS.items():
            memory.put(key, data)
        for documents in (False, True):
            diagnosis = diagnose_sessions(memory, documents=documents)
            assert not diagnosis.is_store
            assert diagnosis.healthy
            assert {each.place for each in diagnosis.remarks} == self.THEIRS.keys() - {"src/app.py"}
            report = repair(memory, diagnosis)
            assert (report.repaired, report.failed) == ((), ())
            assert {entry.key for entry in memory.scan()} == self.THEIRS.keys()

    def test_that_holds_a_store_has_its_sessions_repaired_and_no_more(
        self, memory: StateStore
    ) -> None:
        for key, data in self.THEIRS.items():
            memory.put(key, data)
        Sessions(memory).get_or_create("ada", "s")
        diagnosis = diagnose_sessions(memory)
        assert diagnosis.is_store
        assert kinds(diagnosis) == [
            ("corrupt document", "README.md"),
            ("corrupt session", "sessions/theirs.json"),
            ("corrupt document", "tsconfig.json"),
        ]
        assert [each.place for each in diagnosis.problems] == ["sessions/theirs.json"]
        report = repair(memory, diagnosis)
        assert [each.finding.place for each in report.repaired] == ["sessions/theirs.json"]

    def test_has_its_documents_repaired_if_told(self, memory: StateStore) -> None:
        Sessions(memory).get_or_create("ada", "s")
        memory.put("specs/x.json", b"{")
        report = repair(memory, diagnose_sessions(memory, documents=True))
        assert [each.finding.place for each in report.repaired] == ["specs/x.json"]


def test_what_the_store_refuses_is_reported_and_the_rest_repaired(
    memory: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "xyz":
        memory.put(f"specs/{name}.json", b"{")
    diagnosis = diagnose(memory)
    put = memory.put
    errors: dict[str, StateStoreError] = {
        "x": AccessDeniedError("not yours"),
        "y": UnavailableError("no room"),
    }

    def refuse(key: str, data: bytes, **expect: Any) -> Any:
        if error := errors.get(key[-6]):
            raise error
        return put(key, data, **expect)

    monkeypatch.setattr(memory, "put", refuse)
    report = repair(memory, diagnosis)
    assert [(each.finding.place, each.error) for each in report.failed] == [
        ("specs/x.json", errors["x"]),
        ("specs/y.json", errors["y"]),
    ]
    assert [each.finding.place for each in report.repaired] == ["specs/z.json"]
    assert not report.healthy


def test_what_may_not_be_read_is_a_problem_without_a_action(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_store("memory:") as store:
        store.put("specs/theirs.json", b"1")
        get = store.get

        def refuse(key: str) -> Any:
            if key == "specs/theirs.json":
                raise AccessDeniedError("not yours", key=key)
            return get(key)

        monkeypatch.setattr(store, "get", refuse)
        diagnosis = diagnose(store)
    assert kinds(diagnosis) == [("unreadable", "specs/theirs.json")]
    assert [each.action for each in diagnosis.problems] == [None]


def test_a_store_without_conditions_is_repaired_as_well_as_it_can(default_form: str) -> None:
    with open_store(f"fsspec+memory://doctor-without-conditions-{default_form}") as store:
        store.put("sessions/x.json", b"{")
        store.put("sessions/y.json", b"{")
        store.put(INDEX, b"{")
        diagnosis = diagnose(store)
        store.put("sessions/y.json", Session.new("ada", "y").to_json())
        report = repair(store, diagnosis)
        assert [each.place for each in report.skipped] == ["sessions/y.json"]
        assert len(report.repaired) == 2
        assert in_quarantine(store) == {"sessions/x.json": b"{"}
        assert diagnose(store).healthy


def test_progress_is_told(memory: StateStore) -> None:
    fill(memory)
    memory.put("sessions/x.json", b"{")
    examined: list[tuple[int, int]] = []
    diagnosis = diagnose(memory, progress=lambda *done: examined.append(done))
    assert examined == [(n, 13) for n in range(1, 14)]
    repaired: list[int] = []
    repair(memory, diagnosis, progress=repaired.append)
    assert repaired == [1]


def test_a_diagnosis_is_for_one_store(memory: StateStore) -> None:
    with open_store("memory:elsewhere") as elsewhere, pytest.raises(ValueError, match="made for"):
        repair(elsewhere, diagnose(memory))


def test_an_old_repair_is_never_overwritten(memory: StateStore) -> None:
    for n in range(2):
        memory.put("sessions/x.json", b"%d" % n)
        assert repair(memory, diagnose(memory)).healthy
    kept = [data for key, (data, _) in everything(memory).items() if key.startswith(QUARANTINE)]
    assert sorted(kept) == [b"0", b"1"]
    assert diagnose(memory).quarantined == 2


def test_a_second_writer_at_the_same_place_in_quarantine_is_not_overwritten(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair_module, "secrets", SimpleNamespace(token_hex=lambda _: "same"))
    now = utc_now()
    monkeypatch.setattr(repair_module, "utc_now", lambda: now)
    reports = []
    for n in range(2):
        store.put("sessions/x.json", b"%d" % n)
        reports.append(repair(store, diagnose(store)))
    assert reports[0].healthy
    assert [each.place for each in reports[1].skipped] == ["sessions/x.json"]
    assert in_quarantine(store) == {"sessions/x.json": b"0"}
    blob = store.get("sessions/x.json")
    assert blob
    assert blob.data == b"1"
