"""Copies between stores: nothing lost, nothing overwritten, heads never before their parts."""

from __future__ import annotations

import json
import random
import secrets
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from threading import Event
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from statekeep import ANY, Blobs, Documents, Journals, Sessions, StateStore, open_store
from statekeep.doctor import diagnose
from statekeep.errors import (
    AccessDeniedError,
    InvalidKeyError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.store import Blob, StoreWrapper, Version
from statekeep.store.keys import ATTACHMENTS, CACHE, SEGMENTS, STAMP
from statekeep.transport import copy, export_documents, import_documents, importing
from statekeep.transport.lines import encode_document, encode_end, header
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep.journals import Draft
    from statekeep.store import Expect
    from statekeep.transport import CopyReport


def fill(store: StateStore, *, journals: int = 3, sessions: int = 5) -> None:
    """Write something of everything."""
    Documents(store).save_markdown("specs/v1", "plan", "# Plan")
    Blobs(store, "plots").put(b"\x89PNG", "ada", "a.png")
    in_journals = Sessions(store, form="journal")
    for n in range(sessions):
        for kept in (Sessions(store), in_journals):
            session = kept.get_or_create("ada", f"{'long' * (kept is in_journals)}{n}")
            session.add_user_message(f"Hello {n}")
            kept.save(session)
    for n in range(journals):
        journal = Journals(store, "support").open("ada", f"{n}")
        for turn in range(3):  # each leaves for a segment
            journal.append([{"turn": turn, "text": "x" * 70_000}])
        journal.attach(b"file", "a.txt")


def contents(store: StateStore) -> dict[str, bytes]:
    """All that a copy brings, unnamed parts included."""
    found = {}
    for entry in store.scan():
        blob = store.get(entry.key)
        if blob is not None and not entry.key.startswith(CACHE) and entry.key != STAMP:
            found[entry.key] = blob.data
    return found


def named(found: dict[str, bytes], of: dict[str, bytes]) -> dict[str, bytes]:
    """What is found, without parts that the other lacks because nobody names them."""
    return {key: data for key, data in found.items() if key in of or not key.startswith(SEGMENTS)}


def assert_same(source: StateStore, target: StateStore) -> None:
    there = contents(target)
    assert named(contents(source), there) == there
    assert diagnose(target).healthy


@pytest.fixture
def target(new_location: Callable[[], str]) -> Iterator[StateStore]:
    with open_store(new_location()) as store:
        yield store


@pytest.fixture
def filled() -> StateStore:
    store = MemoryStore()
    fill(store)
    return store


class TestACopy:
    def test_brings_everything_and_then_nothing_more(
        self, store: StateStore, target: StateStore
    ) -> None:
        fill(store, journals=1, sessions=2)
        seen: list[tuple[int, int]] = []
        first = copy(store, target, progress=lambda done, total: seen.append((done, total)))
        assert first.complete
        assert (first.equal, first.remarks) == (0, ())
        assert seen[-1] == (7, 7)
        assert_same(store, target)
        assert any(key.startswith(ATTACHMENTS) for key in contents(target))
        assert len(Journals(target, "support").open("ada", "0").read() or ()) == 3
        again = copy(store, target)
        assert (again.copied, again.bytes, again.equal) == (0, 0, first.copied)
        assert first.bytes == sum(map(len, contents(target).values()))

    def test_of_nothing_written_says_what_it_would(
        self, filled: StateStore, target: StateStore
    ) -> None:
        would = copy(filled, target, dry_run=True)
        assert contents(target) == {}
        did = copy(filled, target)
        assert would.dry_run
        assert (would.copied, would.bytes) == (did.copied, did.bytes)

    def test_of_a_part_brings_what_its_journals_name(
        self, filled: StateStore, target: StateStore
    ) -> None:
        copy(filled, target, prefix="journals/support/ada")
        there = contents(target)
        assert {key.split("/")[0] for key in there} == {"journals", ".statekeep"}
        assert diagnose(target).healthy
        assert Journals(target, "support").open("ada", "1").head() is not None

    def test_brings_documents_that_are_called_as_folders_are(self, filled: StateStore) -> None:
        filled.put("sessions", b"a document")
        filled.put("journals", b"another")
        target = MemoryStore()
        report = copy(filled, target)
        assert (report.complete, report.equal) == (True, 0)
        assert contents(target) == named(contents(filled), contents(target))
        assert contents(target)["sessions"] == b"a document"
        assert contents(target)["journals"] == b"another"

    def test_leaves_what_the_target_has(self, filled: StateStore, target: StateStore) -> None:
        theirs = {"specs/v1/plan.md": b"another", "specs/v2/plan.md": b"not in the source"}
        for key, data in theirs.items():
            target.put(key, data)
        report = copy(filled, target)
        assert (report.differing, report.newer, report.failed, report.deleted) == (1, 0, 0, 0)
        assert [each.key for each in report.remarks] == ["specs/v1/plan.md"]
        assert theirs.items() <= contents(target).items()

    def test_overwrites_when_asked_but_nothing_newer(
        self, filled: StateStore, target: StateStore
    ) -> None:
        copy(filled, target)
        time.sleep(0.01)
        for store, ids in ((target, ["0", "long0"]), (filled, ["1", "long1"])):
            for each in ids:
                Sessions(store).update(each, lambda session: session.add_user_message("More"))
        filled.put("specs/v1/plan.md", b"older")
        time.sleep(1.1)  # the grain of some stores' times
        target.put("specs/v1/plan.md", b"newer")
        kept = contents(target)
        report = copy(filled, target, overwrite=True)
        assert (report.copied, report.overwritten) == (2, 2)
        assert {each.key for each in report.remarks if each.outcome == "newer"} == {
            "sessions/0.json", "sessions/long0.json", "specs/v1/plan.md",
        }  # fmt: skip
        changed = {key for key, data in contents(target).items() if data != kept.get(key)}
        assert changed == {"sessions/1.json", "sessions/long1.json"}

    def test_deletes_when_asked(self, filled: StateStore, target: StateStore) -> None:
        fill(target, journals=1, sessions=1)
        target.put("specs/v2/plan.md", b"# Another")
        target.put(STAMP, b"{}")
        would = copy(filled, target, overwrite=True, delete=True, dry_run=True)
        report = copy(filled, target, overwrite=True, delete=True)
        assert would.deleted == report.deleted == 1
        assert target.get("specs/v2/plan.md") is None
        assert target.get(STAMP) is not None

    def test_deletes_nothing_if_any_failed(self, filled: StateStore) -> None:
        class Refusing(StoreWrapper):
            def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
                if key == "specs/v1/renamed.md":
                    raise AccessDeniedError("not that", key=key, store=self, landed="no")
                return super().put(key, data, expect=expect)

        target = MemoryStore()
        copy(filled, target)
        filled.delete("specs/v1/plan.md")
        filled.put("specs/v1/renamed.md", b"# Plan")
        for report in (
            copy(filled, Refusing(target), delete=True),
            copy(filled, Refusing(target), prefix="specs", delete=True),
        ):
            assert (report.failed, report.deleted, report.deletion_skipped) == (1, 0, True)
            assert target.get("specs/v1/plan.md") is not None
        report = copy(filled, target, delete=True)
        assert (report.failed, report.deleted, report.deletion_skipped) == (0, 1, False)

    def test_of_nothing_never_deletes(self, filled: StateStore) -> None:
        before = contents(filled)
        with pytest.raises(NotFoundError, match="nothing to copy"):
            copy(MemoryStore(), filled, delete=True)
        assert contents(filled) == before

    def test_brings_the_trash_when_asked(self, filled: StateStore, target: StateStore) -> None:
        Journals(filled, "support").open("ada", "1").delete()
        Sessions(filled).delete("1", trash=True)
        copy(filled, target)
        assert Sessions(target).list_trash() == []
        report = copy(filled, target, include=["trash"])
        assert report.copied == 1
        assert len(Sessions(target).list_trash()) == 1

    def test_refuses_wrong_arguments(self, filled: StateStore) -> None:
        with pytest.raises(InvalidKeyError, match="include="):
            copy(filled, MemoryStore(), prefix=SEGMENTS)
        with pytest.raises(ValueError, match="trash and quarantine"):
            copy(filled, MemoryStore(), include=["cache"])
        with pytest.raises(ValueError, match="workers"):
            copy(filled, MemoryStore(), workers=0)


def export_of(key: str, data: bytes) -> BytesIO:
    """An export of one document, of which the time is not known."""
    lines = header("", ()) + encode_document(key, Blob(data, Version(""), None))
    return BytesIO(lines + encode_end(1, blake3(lines).hexdigest()))


class TestAnExport:
    def test_brings_what_a_copy_brings(self, store: StateStore, target: StateStore) -> None:
        fill(store, journals=1, sessions=2)
        file = BytesIO()
        seen: list[int] = []
        report = export_documents(store, file, progress=lambda done, _: seen.append(done))
        assert report.complete
        file.seek(0)
        would = import_documents(file, target, dry_run=True)
        assert contents(target) == {}
        file.seek(0)
        did = import_documents(file, target, progress=seen.append)
        assert seen == [7, report.copied]
        assert (would.copied, did.copied, did.failed) == (report.copied, report.copied, 0)
        assert_same(store, target)
        file.seek(0)
        assert import_documents(file, target).equal == report.copied

    def test_shows_journals_line_by_line(self, filled: StateStore) -> None:
        file = BytesIO()
        export_documents(filled, file, prefix="journals")
        lines = [json.loads(line) for line in file.getvalue().splitlines()]
        heads = [line["lines"] for line in lines if line.get("key", "").startswith("journals/")]
        assert [head[0]["statekeep"] for head in heads] == [2, 2, 2]
        assert any("lines" in line for line in lines if SEGMENTS in line.get("key", ""))

    def test_overwrites_nothing_newer(self, filled: StateStore) -> None:
        file = BytesIO()
        target = MemoryStore()
        export_documents(filled, file)
        copy(filled, target)
        Sessions(target).update("0", lambda session: session.add_user_message("More"))
        for overwrite, outcome in ((False, "differs"), (True, "newer")):
            file.seek(0)
            report = import_documents(file, target, overwrite=overwrite)
            assert [(each.key, each.outcome) for each in report.remarks] == [
                ("sessions/0.json", outcome)
            ]

    @pytest.mark.parametrize("place", [SEGMENTS, ATTACHMENTS])
    def test_overwrites_no_part_of_a_journal(self, filled: StateStore, place: str) -> None:
        before = contents(filled)
        at = next(entry.key for entry in filled.scan(place))
        report = import_documents(export_of(at, b"{}\n"), filled, overwrite=True)
        assert [(each.key, each.outcome) for each in report.remarks] == [(at, "differs")]
        assert contents(filled) == before
        assert diagnose(filled).healthy

    @pytest.mark.parametrize("target_is", ["as it was", "newer", "older"])
    @pytest.mark.parametrize("workers", [1, 4])
    def test_mends_damaged_parts_when_asked(
        self, filled: StateStore, target_is: str, workers: int
    ) -> None:
        file, target = BytesIO(), MemoryStore()
        if target_is == "older":
            copy(filled, target)
            Journals(filled, "support").open("ada", "0").append([{"turn": 3}])
        export_documents(filled, file)
        copy(filled, target)
        if target_is == "newer":
            Journals(target, "support").open("ada", "0").append([{"turn": 3}])
        sound = contents(target)
        parts = [key for key in sound if key.startswith((SEGMENTS, ATTACHMENTS))]
        assert {key.split("/")[1] for key in parts} == {"segments", "attachments"}
        for key in parts:
            target.put(key, sound[key][:-1])
        damaged = contents(target)

        def imported(*, overwrite: bool = False, dry_run: bool = False) -> CopyReport:
            file.seek(0)
            return import_documents(
                file, target, workers=workers, overwrite=overwrite, dry_run=dry_run
            )

        left = imported()
        assert {each.key for each in left.remarks} >= {*parts}
        assert contents(target) == damaged
        would = imported(overwrite=True, dry_run=True)
        assert contents(target) == damaged
        did = imported(overwrite=True)
        assert did.overwritten == len(parts) + (target_is == "older")
        assert (would.copied, would.overwritten) == (did.copied, did.overwritten)
        assert (did.newer, did.differing, did.failed) == (target_is == "newer", 0, 0)
        assert diagnose(target).healthy
        assert {key: contents(target)[key] for key in parts} == {key: sound[key] for key in parts}

    def test_keeps_no_more_in_memory_than_it_may(
        self, filled: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "_HELD", 80_000)  # one segment
        file, target = BytesIO(), MemoryStore()
        export_documents(filled, file)
        copy(filled, target)
        segments = [entry.key for entry in target.scan(SEGMENTS)]
        for key in segments:
            target.put(key, b"damaged")
        for _ in segments:
            file.seek(0)
            report = import_documents(file, target, overwrite=True)
            assert report.copied + report.equal + report.differing + report.failed == len(
                contents(filled)
            )
        assert_same(filled, target)

    def test_that_lacks_a_part_brings_no_half_journal(self, filled: StateStore) -> None:
        file = BytesIO()
        export_documents(filled, file)
        lines = file.getvalue().splitlines(keepends=True)
        lost = next(n for n, line in enumerate(lines) if SEGMENTS.encode() in line)
        lines[lost] = b"\0" * 20 + b"\n"
        target = MemoryStore()
        report = import_documents(BytesIO(b"".join(lines)), target)
        assert report.remarks[0].line == lost + 1
        assert report.remarks[1].key.startswith("journals/")
        assert report.remarks[1].line is not None
        assert report.failed == 2
        assert diagnose(target).healthy

    def test_leaves_out_a_journal_that_lacks_a_part(self, filled: StateStore) -> None:
        head = Journals(filled, "support").open("ada", "0").head()
        assert head is not None
        for entry in [*filled.scan(f"{SEGMENTS}/{head.uid}")]:
            filled.delete(entry.key)
        file = BytesIO()
        report = export_documents(filled, file)
        assert [each.key for each in report.remarks] == ["journals/support/ada/0.jsonl"]
        target = MemoryStore()
        file.seek(0)
        assert import_documents(file, target).complete
        assert diagnose(target).healthy


class Dying(StoreWrapper):
    """Dies at a write, before it."""

    def __init__(self, store: StateStore, at: int) -> None:
        super().__init__(store)
        self._left = at

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        self._left -= 1
        if self._left == 0:
            raise UnavailableError("it died", key=key, store=self, landed="no")
        return super().put(key, data, expect=expect)


def test_a_copy_that_dies_anywhere_leaves_no_half_journal_and_goes_on(filled: StateStore) -> None:
    number = copy(filled, MemoryStore()).copied
    for at in range(1, number + 1):
        target = MemoryStore()
        with pytest.raises(UnavailableError):
            copy(filled, Dying(target, at))
        assert diagnose(target).healthy
        report = copy(filled, target)
        assert report.complete
        assert report.equal >= at - 1
        assert_same(filled, target)


class Interrupted(StoreWrapper):
    """Lets others come between: before each read of a part of a journal something happens."""

    def __init__(self, store: StateStore, happens: Callable[[], object]) -> None:
        super().__init__(store)
        self._happens = happens

    def get(self, key: str) -> Blob | None:
        if key.startswith(SEGMENTS):
            self._happens()
        return super().get(key)


def test_a_journal_that_is_written_anew_is_copied_as_it_then_is(filled: StateStore) -> None:
    journal = Journals(filled, "support").open("ada", "0")
    left = [1, 2]

    def forget() -> None:
        if left:
            left.pop()

            def change(draft: Draft) -> None:
                draft.forget = True
                draft.replace(0, {"redacted": len(left), "text": "y" * 70_000})

            journal.change(change)

    target = MemoryStore()
    report = copy(Interrupted(filled, forget), target)
    assert not left
    assert report.complete
    assert diagnose(target).healthy
    assert Journals(target, "support").open("ada", "0").read() == journal.read()


def test_a_journal_that_has_lost_a_part_is_reported_and_no_other_is_kept_back(
    filled: StateStore, target: StateStore
) -> None:
    head = Journals(filled, "support").open("ada", "0").head()
    assert head is not None
    for entry in [*filled.scan(f"{SEGMENTS}/{head.uid}")]:
        filled.delete(entry.key)
    filled.put("journals/support/ada/damaged.jsonl", b'{"statekeep":2,"uid"')
    filled.put("journals/support/ada/newer.jsonl", b'{"statekeep":9}\n')
    report = copy(filled, target)
    assert {each.key for each in report.remarks if each.error} == {
        "journals/support/ada/0.jsonl",
        "journals/support/ada/damaged.jsonl",
        "journals/support/ada/newer.jsonl",
    }
    assert diagnose(target).healthy
    assert Journals(target, "support").open("ada", "1").read() is not None


def test_attachments_are_what_their_names_say_or_the_journal_does_not_come(
    filled: StateStore,
) -> None:
    journal = Journals(filled, "support").open("ada", "0")
    head = journal.head()
    assert head is not None
    (entry,) = filled.scan(f"{ATTACHMENTS}/{head.uid}")
    name = "journals/support/ada/0.jsonl"

    other = MemoryStore()
    other.put(entry.key, b"another")
    report = copy(filled, other)
    assert [(each.key, each.outcome) for each in report.remarks] == [(name, "failed")]
    assert "different content" in report.remarks[0].reason
    assert other.get(name) is None
    assert copy(filled, other, overwrite=True).complete
    assert_same(filled, other)

    file = BytesIO()
    for data, what in ((b"damaged", "damaged"), (b"file", "")):
        filled.put(entry.key, data)
        target = MemoryStore()
        for report in (copy(filled, target), export_documents(filled, file)):
            assert [each.key for each in report.remarks] == [name] * bool(what)
            assert all(what in each.reason for each in report.remarks)
        assert (target.get(name) is None) == bool(what)
        assert diagnose(target).healthy
    told = import_documents(export_of(entry.key, b"damaged"), MemoryStore())
    assert [each.reason for each in told.remarks] == ["it is not what was attached"]


def test_what_a_sweep_takes_before_the_head_comes_is_brought_again(filled: StateStore) -> None:
    class Sweeping(StoreWrapper):
        def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            if key.startswith("journals/"):
                for entry in [*self.inner.scan(SEGMENTS), *self.inner.scan(ATTACHMENTS)]:
                    if entry.key in found_before and entry.key.split("/")[2].encode() in data:
                        self.inner.delete(entry.key)
            return super().put(key, data, expect=expect)

    target = MemoryStore()
    copy(filled, target, prefix="journals")
    found_before = {entry.key for entry in target.scan(".statekeep")}
    for entry in [*target.scan("journals")]:
        target.delete(entry.key)
    assert copy(filled, Sweeping(target), workers=1).complete
    assert diagnose(target).healthy
    assert len(contents(target)) == len(contents(filled))


def test_what_a_sweep_takes_of_an_import_is_told_and_comes_again(filled: StateStore) -> None:
    class Sweeping(StoreWrapper):
        def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            if key == "journals/support/ada/1.jsonl":
                for entry in [*self.inner.scan(SEGMENTS)]:
                    if entry.key.split("/")[2].encode() in data:
                        self.inner.delete(entry.key)
            return super().put(key, data, expect=expect)

    file, target = BytesIO(), MemoryStore()
    exported = export_documents(filled, file).copied
    file.seek(0)
    report = import_documents(file, Sweeping(target), workers=1)
    assert [each.key for each in report.remarks] == ["journals/support/ada/1.jsonl"]
    assert (report.copied, report.failed) == (exported - 1, 1)
    assert report.remarks[0].line is not None
    assert "start again" in report.remarks[0].reason
    file.seek(0)
    assert import_documents(file, target).complete
    assert_same(filled, target)


def test_a_copy_holds_few_documents_at_a_time(tmp_path: Path) -> None:
    count, size = 60, 2**20
    with (
        open_store(f"file:{tmp_path}/one?durability=rename") as source,
        open_store(f"file:{tmp_path}/two?durability=rename") as target,
    ):
        for n in range(count):
            source.put(f"large/{n}.md", bytes([n]) * size)
        tracemalloc.start()
        try:
            assert copy(source, target).copied == count
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < count * size / 2


def test_copies_of_what_others_write_meanwhile_are_whole(
    store: StateStore, target: StateStore
) -> None:
    fill(store, journals=2, sessions=2)
    done = Event()

    def write() -> None:
        journal = Journals(store, "support").open("ada", "0")
        while not done.is_set():
            journal.append([{"text": "x" * 40_000}])
            Sessions(store).update("0", lambda session: session.add_user_message("More"))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        for _ in range(3):
            assert copy(store, target, overwrite=True).complete
            assert diagnose(target).healthy
        done.set()
        writing.result()
    copy(store, target, overwrite=True)
    assert Journals(target, "support").open("ada", "0").read() == (
        Journals(store, "support").open("ada", "0").read()
    )


def test_of_two_who_write_one_document_none_is_overwritten(filled: StateStore) -> None:
    class Raced(StoreWrapper):
        """Somebody else is always faster."""

        def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            if not key.startswith(".statekeep"):
                self.inner.put(key, b"another's")
            return super().put(key, data, expect=expect)

    target = MemoryStore()
    report = copy(filled, Raced(target))
    assert report.differing == 15
    assert {data for key, data in contents(target).items() if key[0] != "."} == {b"another's"}


def test_what_the_target_gives_back_otherwise_is_a_failure(filled: StateStore) -> None:
    class Lying(StoreWrapper):
        def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            return super().put(key, data[:-1] if key.endswith(".md") else data, expect=expect)

    report = copy(filled, Lying(MemoryStore()))
    assert [each.key for each in report.remarks] == ["specs/v1/plan.md"]
    assert not report.complete


def test_a_lost_answer_is_looked_up(filled: StateStore) -> None:
    class Losing(StoreWrapper):
        def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            super().put(key, data, expect=expect)
            raise UnavailableError("no answer", key=key, store=self, landed="unknown")

    target = MemoryStore()
    assert copy(filled, Losing(target)).complete
    assert_same(filled, target)


def test_a_key_that_the_target_cannot_hold_keeps_no_other_out(filled: StateStore) -> None:
    class Narrow(StoreWrapper):
        def _check(self, key: str) -> None:
            if key.endswith(".md"):
                raise InvalidKeyError("too long for this store", key=key, store=self)

        def get(self, key: str) -> Blob | None:
            self._check(key)
            return super().get(key)

        def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
            self._check(key)
            return super().put(key, data, expect=expect)

    report = copy(filled, Narrow(MemoryStore()))
    assert [(each.key, each.reason) for each in report.remarks] == [
        ("specs/v1/plan.md", "too long for this store")
    ]
    assert report.copied == copy(filled, MemoryStore()).copied - 1


def test_a_target_without_conditions_is_for_those_who_accept_that(filled: StateStore) -> None:
    with open_store(f"fsspec+memory://copies-{secrets.token_hex(8)}") as target:
        with pytest.raises(UnsupportedError, match="last-writer-wins"):
            copy(filled, target)
        assert copy(filled, target, dry_run=True).copied
        assert copy(filled, target, conflicts="last-writer-wins").complete
        Documents(filled).delete("specs/v1", "plan", kind="md")
        report = copy(filled, target, conflicts="last-writer-wins", delete=True)
        assert (report.copied, report.deleted) == (0, 1)
        assert named(contents(filled), contents(target)) == contents(target)


def test_a_target_that_keeps_no_conditions_after_all_ends_the_copy(filled: StateStore) -> None:
    class Late(StoreWrapper):
        def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:  # noqa: ARG002
            raise UnsupportedError("no conditions", key=key, store=self, landed="no")

    with pytest.raises(UnsupportedError, match="no conditions"):
        copy(filled, Late(MemoryStore()))


def test_only_the_first_remarks_are_kept_and_all_are_counted(
    filled: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statekeep.transport.reports._MOST", 3)
    target = MemoryStore()
    for entry in [*filled.scan("sessions")]:
        target.put(entry.key, b"{}")
    report = copy(filled, target)
    assert (report.differing, len(report.remarks)) == (10, 3)


def test_what_cannot_be_read_never_replaces_what_can(filled: StateStore) -> None:
    target = MemoryStore()
    copy(filled, target)
    filled.put("sessions/0.json", b"{")
    report = copy(filled, target, overwrite=True)
    assert [(each.key, each.outcome) for each in report.remarks] == [("sessions/0.json", "newer")]
    assert "cannot" in report.remarks[0].reason


class Unreliable(StoreWrapper):
    """Loses, alters and refuses what it is given now and then, and changes it by itself."""

    def __init__(self, store: StateStore, chance: random.Random) -> None:
        super().__init__(store)
        self._chance = chance

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        match self._chance.randrange(12):
            case 0:
                raise AccessDeniedError("refused", key=key, store=self, landed="no")
            case 1:
                super().put(key, b"of another")
            case 2:
                version = super().put(key, data, expect=expect)
                super().put(key, data + b"\n")
                return version
            case 3:
                for entry in [*self.inner.scan(SEGMENTS)][:1]:
                    super().delete(entry.key)
        return super().put(key, data, expect=expect)


def test_an_import_counts_every_document_once(rounds: Callable[[int], int]) -> None:
    source = MemoryStore()
    fill(source, journals=2, sessions=2)
    Sessions(source).delete("1", trash=True)
    Sessions(source).delete("long1", trash=True)
    file = BytesIO()
    exported = export_documents(source, file, include=["trash"]).copied
    met: Counter[str] = Counter()
    for seed in range(rounds(60)):
        chance = random.Random(seed)
        target = MemoryStore()
        file.seek(0)
        if chance.random() < 0.7:
            import_documents(file, target)
        for entry in [*target.scan()]:
            if chance.random() < 0.3:
                target.delete(entry.key)
            elif chance.random() < 0.3:
                target.put(entry.key, chance.choice([b"damaged", b"{}", b""]))
        file.seek(0)
        report = import_documents(
            file,
            Unreliable(target, chance) if chance.random() < 0.8 else target,
            overwrite=chance.random() < 0.5,
            dry_run=chance.random() < 0.2,
            workers=chance.choice([1, 4]),
        )
        became = {
            "copied": report.copied,
            "equal": report.equal,
            "differing": report.differing,
            "newer": report.newer,
            "failed": report.failed,
        }
        assert sum(became.values()) == exported, (seed, became)
        assert report.overwritten <= report.copied
        assert len(report.remarks) == report.differing + report.newer + report.failed
        met.update(became)
    assert met["copied"]
