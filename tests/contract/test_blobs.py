"""What `Blobs` promises over every store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support import facts

from statekeep import ABSENT, Blobs, ConflictError, Documents, InvalidKeyError, Journals, Sessions
from statekeep.doctor import diagnose, repair
from statekeep.documents import BlobInfo
from statekeep.events import BlobDeleted, BlobSaved, ConflictDetected, Event

if TYPE_CHECKING:
    from statekeep import StateStore

GIF = b"GIF89a\0\xff\n"


@pytest.fixture
def blobs(store: StateStore) -> Blobs:
    return Blobs(store, "plots")


class TestABlob:
    @pytest.mark.parametrize("data", [b"", GIF, bytes(range(256)) * 5000])
    def test_comes_back_to_the_byte(self, blobs: Blobs, data: bytes) -> None:
        version = blobs.put(data, "ada", "2026", "plot.gif")
        loaded = blobs.get("ada", "2026", "plot.gif")
        assert loaded
        assert (loaded.data, loaded.version, loaded.media_type) == (data, version, "image/gif")
        if loaded.modified is not None:
            assert abs(datetime.now(UTC) - loaded.modified) < timedelta(hours=1)

    def test_that_is_not_there_is_none(self, blobs: Blobs) -> None:
        blobs.put(GIF, "ada", "plot.gif")
        assert blobs.get("ada", "plot") is None
        assert blobs.get("plot.gif") is None
        assert blobs.get("ada") is None

    def test_is_replaced_unless_something_else_is_expected(self, blobs: Blobs) -> None:
        first = blobs.put(b"1", "a.bin", expect=ABSENT)
        blobs.put(b"2", "a.bin")
        for expect in (ABSENT, first):
            with pytest.raises(ConflictError) as caught:
                blobs.put(b"3", "a.bin", expect=expect)
            assert caught.value.landed == "no"
        loaded = blobs.get("a.bin")
        assert loaded
        assert loaded.data == b"2"
        blobs.put(b"3", "a.bin", expect=loaded.version)

    def test_of_racing_creators_one_wins(self, blobs: Blobs) -> None:
        start = threading.Barrier(4)

        def create(number: int) -> bool:
            start.wait()
            try:
                blobs.put(str(number).encode(), "a.bin", expect=ABSENT)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            won = [*pool.map(create, range(4))]
        assert won.count(True) == 1
        loaded = blobs.get("a.bin")
        assert loaded
        assert loaded.data == str(won.index(True)).encode()

    @pytest.mark.parametrize(
        ("file_name", "media_type"),
        [
            ("plot.png", "image/png"),
            ("PLOT.JPG", "image/jpeg"),
            ("notes.md", "text/markdown"),
            ("table.csv", "text/csv"),
            ("a.tar.gz", "application/gzip"),
            ("a.csv.xz", "application/octet-stream"),
            ("Makefile", "application/octet-stream"),
            ("data:text/html,x.png", "image/png"),
            ("http://host/x.webp", "image/webp"),
            ("unknown.qqq", "application/octet-stream"),
        ],
    )
    def test_is_of_the_type_that_its_name_says(
        self, blobs: Blobs, file_name: str, media_type: str
    ) -> None:
        blobs.put(GIF, file_name)
        loaded = blobs.get(file_name)
        assert loaded
        (listed,) = blobs.list()
        assert loaded.media_type == listed.media_type == media_type


class TestListing:
    def test_reads_nothing_and_sorts_by_name(self, blobs: Blobs) -> None:
        for name in [("b.txt",), ("ada", "x.txt"), ("ada", "2026", "y.txt"), ("a/b", "..")]:
            blobs.put(b"12", *name)
        found = blobs.list()
        assert [each.name for each in found] == [
            ("a/b", ".."),
            ("ada", "2026", "y.txt"),
            ("ada", "x.txt"),
            ("b.txt",),
        ]
        assert {(each.media_type, each.size) for each in found[1:]} == {("text/plain", 2)}

    def test_goes_by_the_beginning_of_a_name(self, blobs: Blobs) -> None:
        for name in [("ada", "x.txt"), ("ada", "2026", "y.txt"), ("adam", "z.txt"), ("ada",)]:
            blobs.put(b"1", *name)
        assert [each.name for each in blobs.list("ada")] == [
            ("ada", "2026", "y.txt"),
            ("ada", "x.txt"),
        ]
        assert [each.name[-1] for each in blobs.list("ada", "2026")] == ["y.txt"]
        assert blobs.list("ada", "x.txt") == blobs.list("eve") == ()

    def test_is_of_one_collection(self, blobs: Blobs, store: StateStore) -> None:
        Blobs(store, "plots.old").put(GIF, "a.gif")
        Journals(store, "plots").open("a").append([1])
        Documents(store).save_json("plots", "a", 1)
        store.put("blobs/plots/x..y", b"not ours")
        assert blobs.list() == ()
        blobs.put(GIF, "a.gif")
        (found,) = blobs.list()
        assert isinstance(found, BlobInfo)

    def test_of_a_part_that_was_cut_shows_what_is_stored(self, blobs: Blobs) -> None:
        long = "long/" * 100
        blobs.put(GIF, long, "a.gif")
        assert blobs.get(long, "a.gif")
        (found,) = blobs.list()
        assert found.name[0].startswith("%..long%2Flong")
        assert blobs.list(long) == (found,)


class TestDeleting:
    def test_says_whether_there_was_one(self, blobs: Blobs) -> None:
        blobs.put(GIF, "ada", "a.gif")
        assert blobs.delete("ada", "a.gif")
        assert not blobs.delete("ada", "a.gif")
        assert blobs.list() == ()

    def test_may_expect_a_version(self, blobs: Blobs) -> None:
        old = blobs.put(b"1", "a.bin")
        new = blobs.put(b"2", "a.bin")
        with pytest.raises(ConflictError):
            blobs.delete("a.bin", expect=old)
        assert blobs.delete("a.bin", expect=new)
        with pytest.raises(ConflictError):
            blobs.delete("a.bin", expect=new)

    def test_of_all_below_leaves_what_is_beside(self, blobs: Blobs, store: StateStore) -> None:
        for name in [("ada", "x.txt"), ("ada", "2026", "y.txt"), ("adam", "z.txt"), ("ada",)]:
            blobs.put(b"1", *name)
        assert blobs.delete_below("ada") == 2
        assert [each.name for each in blobs.list()] == [("ada",), ("adam", "z.txt")]
        Blobs(store, "other").put(b"1", "a.bin")
        assert blobs.delete_below() == 2
        assert blobs.delete_below() == 0
        assert len(Blobs(store, "other").list()) == 1


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            ("plot", "plot"),
            ("plot",),
            ("plot", "plot", "plot"),
            ("plot.png", "plot.png"),
            ("plot.png",),
            ("%.plot", "plot"),
            ("", "."),
            (".", ".."),
            ("..", "../../etc/passwd"),
            ("C:\\x", "a\\b.png"),
            ("😀", "é 😀.png"),
            ("a" * 300, "x.tmp"),
            ("x.tmp", ".tmp"),
            ("a", "b", "c", "d", "e", "f.txt"),
        ],
    )
    def test_may_be_any_text_and_stand_beside_each_other(
        self, blobs: Blobs, store: StateStore, name: tuple[str, ...]
    ) -> None:
        for other in [("plot",), ("plot.png",), ("plot", "plot.png"), ("plot.png", "plot")]:
            blobs.put(b"other", *other)
        blobs.put(GIF, *name)
        loaded = blobs.get(*name)
        assert loaded
        assert loaded.data == GIF
        assert all(entry.key.startswith("blobs/plots/") for entry in store.scan())

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ((), "at least one part"),
            (("a",) * 7, "at most 6 parts, not 7"),
            (("a", ""), "must not be empty"),
            (("a", "x" * 197 + ".png"), "at most 200 bytes, and this one takes"),
            (("a", "/" * 66 + ".png"), "at most 200 bytes, and this one takes 204"),
            (("\ud83d", "a.png"), "half a character"),
        ],
    )
    def test_that_are_not_legal_are_refused(
        self, blobs: Blobs, name: tuple[str, ...], says: str
    ) -> None:
        for call in (lambda: blobs.put(GIF, *name), lambda: blobs.get(*name)):
            with pytest.raises(InvalidKeyError, match=says):
                call()

    def test_are_those_of_a_collection(self, store: StateStore) -> None:
        with pytest.raises(InvalidKeyError, match="a collection's name has a to z"):
            Blobs(store, "A/b")


def test_documents_and_sessions_see_none_of_them(blobs: Blobs, store: StateStore) -> None:
    blobs.put(b"{", "plan.json")
    assert Documents(store).list() == ()
    assert len(Sessions(store).list()) == 0
    with pytest.raises(InvalidKeyError, match="written through Blobs"):
        Documents(store).save_json("blobs/plots", "plan", 1)


def test_the_doctor_takes_none_for_damage(blobs: Blobs, store: StateStore) -> None:
    for file_name in ("plan.json", "notes.md", "plot.gif", "Makefile"):
        for data in (b"{", b"\xff", b'{"statekeep":9}', b""):
            blobs.put(data, data.hex(), file_name)
    diagnosis = diagnose(store, documents=True)
    assert (diagnosis.healthy, diagnosis.findings, diagnosis.examined) == (True, (), 16)
    repair(store, diagnosis)
    assert len(blobs.list()) == 16


def test_observers_hear_of_what_happened(store: StateStore) -> None:
    told: list[Event] = []
    blobs = Blobs(store, "plots", observers=[told.append])
    version = blobs.put(GIF, "ada", "a.gif")
    with pytest.raises(ConflictError):
        blobs.put(GIF, "ada", "a.gif", expect=ABSENT)
    blobs.put(GIF, "ada", "b.gif")
    blobs.delete("ada", "a.gif")
    blobs.delete("ada", "a.gif")
    blobs.delete_below("ada")
    where = str(store)
    happened = facts(told)
    assert happened[0] == BlobSaved(where, "plots", ("ada", "a.gif"), version)
    assert happened[1] == ConflictDetected(where, "blobs/plots/ada/a.gif")
    assert happened[3:] == [
        BlobDeleted(where, "plots", ("ada", "a.gif")),
        BlobDeleted(where, "plots", ("ada", "b.gif")),
    ]
