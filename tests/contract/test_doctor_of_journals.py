"""The doctor finds what is wrong with journals, and moves only what cannot be read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from statekeep import Journals, Session, Sessions, StateStore, open_store
from statekeep.doctor import Diagnosis, diagnose, repair
from statekeep.format.journal import decode_head
from statekeep.heads.journals import journal_heads
from statekeep.heads.records import encode_index
from statekeep.retention.copies import copy_key
from statekeep.retention.stamp import Stamp
from statekeep.retention.sweeping import CANDIDATES
from statekeep.store import SupportsQuery, power
from statekeep.store.keys import ATTACHMENTS, QUARANTINE, SEGMENTS, journal_key
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.store import Blob

DAY = timedelta(days=1)
KEY = journal_key("agents", ["ada", "long"])


@pytest.fixture
def memory() -> Iterator[StateStore]:
    with open_store("memory:") as store:
        yield store


def fill(store: StateStore) -> None:
    """Put there what is sound: short journals and a long one, one in the trash, their index."""
    journals = Journals(store, "agents")
    for name in (("ada", "a"), ("", "."), ("x" * 200, "y.jsonl")):
        journals.open(*name).append([1, {"two": 2}], user_id="ada")
    long = journals.open("ada", "long")
    for number in range(30):
        long.append([[number, "x" * 8000]])
    blob = get(store, journal_key("agents", ["ada", "a"]))
    thrown = Journals(store, "others").open("gone").append([1]).name
    copied = get(store, journal_key("others", thrown))
    store.put(copy_key(journal_key("others", thrown), copied, utc_now()), copied.data)
    store.delete(journal_key("others", thrown))
    store.put(f"{ATTACHMENTS}/{decode_head(blob.data).header.uid}/{'0' * 32}.png", b"x")
    if power(store, SupportsQuery) is None:  # which has none
        store.put(journal_heads("agents").index, encode_index())
    sweep_away(store)


def sweep_away(store: StateStore) -> None:
    """Delete what merging has left, without a word about it."""
    named = {segment for segment, _ in segments(store)}
    for entry in [*store.scan(SEGMENTS)]:
        if entry.key not in named:
            store.delete(entry.key)


def get(store: StateStore, key: str) -> Blob:
    blob = store.get(key)
    assert blob
    return blob


def segments(store: StateStore, key: str = KEY) -> list[tuple[str, int]]:
    header = decode_head(get(store, key).data).header
    return [(f"{SEGMENTS}/{header.uid}/{each.name}.jsonl", each.items) for each in header.segments]


def kinds(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(each.kind, each.place) for each in diagnosis.findings]


def everything(store: StateStore) -> dict[str, bytes]:
    return {entry.key: get(store, entry.key).data for entry in store.scan()}


def in_quarantine(store: StateStore) -> dict[str, bytes]:
    return {
        key.removeprefix(f"{QUARANTINE}/").partition("/")[2]: data
        for key, data in everything(store).items()
        if key.startswith(QUARANTINE)
    }


def test_sound_journals_are_healthy_and_stay_as_they_are(store: StateStore) -> None:
    fill(store)
    sound = everything(store)
    diagnosis = diagnose(store)
    assert diagnosis == Diagnosis(str(store), True, 4, 0, ())
    assert repair(store, diagnosis).healthy
    assert everything(store) == sound


LINES = b'{"n":1}\n{"n":2}\n{"n":3}\n'


def flipped(data: bytes) -> bytes:
    """With another bit in the second line, and sound lines after it."""
    place = data.index(b"\n") + 20
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda _: b"", "header"),
    "zeros": (lambda data: bytes(len(data)), "header"),
    "a header that is cut": (lambda data: data[:40], "header"),
    "lines of another": (lambda _: LINES, "header"),
    "a line that is damaged": (flipped, "line 2"),
    "more than a torn end": (lambda data: data + LINES, "what is before change"),
}


class TestADamagedHead:
    @pytest.mark.parametrize("damage", DAMAGE)
    def test_is_moved_whole(self, memory: StateStore, damage: str) -> None:
        fill(memory)
        change, said = DAMAGE[damage]
        data = change(get(memory, KEY).data)
        memory.put(KEY, data)
        diagnosis = diagnose(memory)
        assert [(each.kind, each.place) for each in diagnosis.problems] == [
            ("corrupt journal", KEY)
        ]
        assert said in diagnosis.problems[0].reason
        report = repair(memory, diagnosis)
        assert report.healthy
        assert in_quarantine(memory) == {KEY: data}
        assert diagnose(memory).healthy
        assert Journals(memory, "agents").open("ada", "long").head() is None

    def test_is_said_to_have_a_sound_beginning(self, memory: StateStore) -> None:
        journal = Journals(memory, "agents").open("ada", "long")
        for number in range(5):
            journal.append([number])
        lines = get(memory, KEY).data.split(b"\n")
        lines[4] = lines[4].replace(b'"n":4', b'"n":7')
        memory.put(KEY, b"\n".join(lines))
        (finding,) = diagnose(memory).problems
        assert finding.reason.endswith("; what is before change 4 is sound")

    def test_in_the_trash_is_found_as_well(self, memory: StateStore) -> None:
        fill(memory)
        (copy,) = [key for key in everything(memory) if key.startswith(".statekeep/trash")]
        memory.put(copy, b"{")
        diagnosis = diagnose(memory)
        assert kinds(diagnosis) == [("trash", copy)]
        assert repair(memory, diagnosis).healthy
        assert in_quarantine(memory) == {copy: b"{"}


class TestAHeadInTheWrongPlace:
    def test_is_moved(self, store: StateStore) -> None:
        Journals(store, "agents").open("a").append([1])
        data = get(store, journal_key("agents", ["a"])).data
        place = journal_key("agents", ["b"])
        store.put(place, data)
        diagnosis = diagnose(store)
        assert kinds(diagnosis) == [("misplaced journal", place)]
        assert repair(store, diagnosis).healthy
        assert in_quarantine(store) == {place: data}
        assert Journals(store, "agents").open("a").read() == [1]

    def test_stays_if_only_its_spelling_is_another(self, memory: StateStore) -> None:
        Journals(memory, "agents").open("Ada").append([1])
        data = get(memory, journal_key("agents", ["Ada"])).data
        memory.delete(journal_key("agents", ["Ada"]))
        memory.put(journal_key("agents", ["ada"]), data)
        diagnosis = diagnose(memory)
        assert [(each.kind, each.action) for each in diagnosis.findings] == [
            ("misplaced journal", None)
        ]
        assert not repair(memory, diagnosis).healthy

    def test_is_none_where_no_journal_can_lie(self, memory: StateStore) -> None:
        fill(memory)
        for key in (
            "journals/notes.txt",
            "journals/x.md",
            "journals/a.jsonl",
            "journals/A/b.jsonl",
        ):
            memory.put(key, b"{")
        assert diagnose(memory).findings == ()
        memory.put("journals/Notes.txt", b"{")
        assert kinds(diagnose(memory)) == [("collision", "journals/notes.txt")]


class TestASegment:
    def test_that_is_gone_makes_its_head_a_deleted_journal(self, store: StateStore) -> None:
        fill(store)
        head = get(store, KEY).data
        (first, _), *others = segments(store)
        store.delete(first)
        diagnosis = diagnose(store)
        (finding,) = diagnosis.problems
        assert (finding.kind, finding.place, finding.action) == ("missing segment", KEY, "move")
        assert f"1 of its {len(others) + 1} segments" in finding.reason
        assert repair(store, diagnosis).healthy
        assert in_quarantine(store) == {KEY: head}
        # What is left of it waits for who mends it.
        assert diagnose(store).findings == ()
        assert {key for key, _ in others} <= everything(store).keys()

    def test_that_is_damaged_is_left_to_a_person(self, store: StateStore) -> None:
        fill(store)
        damaged, _ = segments(store)[0]
        for data in (get(store, damaged).data[:-1], b"", b"[1]\n"):
            store.put(damaged, data)
            diagnosis = diagnose(store)
            (finding,) = diagnosis.problems
            assert (finding.kind, finding.place, finding.action) == (
                "corrupt segment", damaged, None,
            )  # fmt: skip
            assert KEY in finding.reason
            assert not repair(store, diagnosis).healthy
            assert get(store, damaged).data == data
        assert Journals(store, "agents").open("ada", "long").read(last=1)

    def test_that_a_newer_head_does_not_name_is_not_missed(
        self, memory: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(memory)
        get_one = memory.get
        (first, _), *_ = segments(memory)

        def merged_meanwhile(key: str) -> Blob | None:
            if key == first:
                memory.delete(first)
                Journals(memory, "agents").open("ada", "long").change(lambda draft: draft.clear())
            return get_one(key)

        monkeypatch.setattr(memory, "get", merged_meanwhile)
        assert diagnose(memory).healthy


def test_a_torn_end_is_only_a_remark(memory: StateStore) -> None:
    fill(memory)
    memory.put(KEY, get(memory, KEY).data + b'{"n":3')
    diagnosis = diagnose(memory)
    assert kinds(diagnosis) == [("torn end", KEY)]
    assert diagnosis.healthy
    assert "the last 6 bytes" in diagnosis.findings[0].reason
    before = everything(memory)
    assert repair(memory, diagnosis).healthy
    assert everything(memory) == before


class TestWhatNobodyNames:
    def test_is_swept_by_repairs_that_are_a_day_apart(
        self, store: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(store)
        sound = everything(store)
        uid = "f" * 32
        left = [f"{SEGMENTS}/{uid}/{0:012d}-{0:016x}.jsonl", f"{ATTACHMENTS}/{uid}/x.png"]
        for key in left:
            store.put(key, b"123\n")
        diagnosis = diagnose(store)
        assert kinds(diagnosis) == [("orphan", ATTACHMENTS), ("orphan", SEGMENTS)]
        assert diagnosis.healthy
        assert "1 that no journal refers to, 4 bytes" in diagnosis.findings[0].reason
        report = repair(store, diagnosis)
        assert (report.healthy, report.swept) == (True, 0)
        assert everything(store).keys() >= {*left}
        later = Stamp.write

        monkeypatch.setattr(Stamp, "write", lambda self: later(self) + DAY)
        report = repair(store, diagnose(store))
        assert (report.healthy, report.swept) == (True, 2)
        assert diagnose(store).findings == ()
        now = everything(store)
        assert {key: now[key] for key in sound} == sound

    def test_is_told_with_what_holds_it(self, memory: StateStore) -> None:
        fill(memory)
        memory.put(f"{SEGMENTS}/{'f' * 32}/{0:012d}-{0:016x}.jsonl", b"1\n")
        memory.put(f"{QUARANTINE}/2026-01-01T000000Z-00000000/{KEY}", b"")
        (remark,) = diagnose(memory).findings
        assert remark.kind == "orphan"
        assert f"/{KEY}' cannot be read" in remark.reason


class TestMarks:
    @pytest.mark.parametrize(
        ("value", "pin", "end"),
        [
            (True, False, True),
            (False, False, True),
            (None, False, False),
            ("2030-01-01T00:00:00Z", False, False),
            ("some day", True, True),
            (5, True, True),
            ([], True, True),
        ],
    )
    @pytest.mark.parametrize("of", ["session", "journal"])
    def test_that_cannot_be_read_are_remarks(
        self, memory: StateStore, of: str, value: object, pin: bool, end: bool
    ) -> None:
        metadata = {"statekeep.pin": value, "statekeep.expires": value}
        if of == "session":
            session = Session.new("ada", "s")
            session.metadata.update(metadata)
            Sessions(memory).save(session)
            key = "sessions/s.json"
        else:
            Journals(memory, "agents").open("a").append([], set=metadata)
            key = journal_key("agents", ["a"])
        diagnosis = diagnose(memory)
        assert diagnosis.healthy
        assert kinds(diagnosis) == [("expiry", key)] * end + [("pin", key)] * pin
        assert repair(memory, diagnosis).healthy
        assert diagnose(memory).findings == diagnosis.findings


class TestFilesBesideJournals:
    def test_a_damaged_index_is_removed(self, store: StateStore) -> None:
        fill(store)
        place = journal_heads("agents").index
        store.put(place, encode_index()[:-1])
        diagnosis = diagnose(store)
        assert kinds(diagnosis) == [("summary index", place)]
        (repaired,) = repair(store, diagnosis).repaired
        assert repaired.to is None
        assert store.get(place) is None

    def test_an_index_of_another_version_is_nobody_elses_business(self, memory: StateStore) -> None:
        fill(memory)
        for name in ("agents-1.jsonl", "notes", "A-2.jsonl"):
            memory.put(f".statekeep/cache/journals/{name}", b"{")
        assert diagnose(memory).findings == ()

    def test_damaged_candidates_of_the_sweep_are_removed(self, memory: StateStore) -> None:
        fill(memory)
        Journals(memory, "agents").sweep()
        assert diagnose(memory).findings == ()
        memory.put(CANDIDATES, b"{}")
        diagnosis = diagnose(memory)
        assert kinds(diagnosis) == [("sweep candidates", CANDIDATES)]
        assert repair(memory, diagnosis).repaired[0].to is None
        assert memory.get(CANDIDATES) is None


def test_a_sound_journal_makes_a_folder_a_store(memory: StateStore) -> None:
    memory.put("src/app.py", b"pass")
    memory.put("sessions/theirs.json", b"[1, 2")
    assert not diagnose(memory).is_store
    Journals(memory, "agents").open("a").append([1])
    diagnosis = diagnose(memory)
    assert diagnosis.is_store
    assert [each.place for each in diagnosis.problems] == ["sessions/theirs.json"]


def test_progress_counts_segments_too(memory: StateStore) -> None:
    fill(memory)
    told: list[tuple[int, int]] = []
    diagnose(memory, progress=lambda *done: told.append(done))
    documents, named = 4 + 1 + 1, len(segments(memory))
    assert told[-1] == (documents + named, documents + named)
    assert [done for done, _ in told] == [*range(1, documents + named + 1)]
