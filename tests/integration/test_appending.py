"""Appends on a local disk: one write in place, of which nothing else can suffer."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import (
    AccessDeniedError,
    ConflictError,
    InvalidDocumentError,
    Journals,
    UnavailableError,
    open_store,
)
from statekeep.store import content_version
from statekeep.store.keys import journal_key
from statekeep_backends.local import LocalDiskStore, appending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep import Version

KEY = "notes/log.jsonl"
WRITE, FSYNC = os.write, os.fsync


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(params=["fsync", "rename"])
def store(request: pytest.FixtureRequest, base: Path) -> Iterator[LocalDiskStore]:
    with LocalDiskStore(base, durability=request.param) as opened:
        yield opened


def of_file(descriptor: int, base: Path) -> bool:
    return os.readlink(f"/proc/self/fd/{descriptor}") == str(base / KEY)


def held(base: Path) -> bytes:
    return (base / KEY).read_bytes()


class TestWhatIsWritten:
    def test_is_added_to_the_same_file(self, store: LocalDiskStore, base: Path) -> None:
        version = store.put(KEY, b"a\n")
        before = (base / KEY).stat()
        version = store.append(KEY, b"b\n", expect=version)
        after = (base / KEY).stat()
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
        assert held(base) == b"a\nb\n"
        assert version == content_version(b"a\nb\n")

    def test_is_not_read_again_by_who_wrote_last(
        self, store: LocalDiskStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = store.put(KEY, b"a" * 1000)
        version = store.append(KEY, b"b", expect=version)
        read: list[int] = []

        def pread(*_: Any) -> bytes:
            read.append(1)
            return b""

        monkeypatch.setattr(os, "pread", pread)
        for number in range(10):
            version = store.append(KEY, b"%d" % number, expect=version)
        assert not read
        monkeypatch.undo()
        blob = store.get(KEY)
        assert blob is not None
        assert blob.version == version == content_version(b"a" * 1000 + b"b0123456789")

    def test_is_hashed_anew_after_an_edit_of_the_same_size(
        self, store: LocalDiskStore, base: Path
    ) -> None:
        version = store.append(KEY, b"bb", expect=store.put(KEY, b"aa"))
        before = (base / KEY).stat()
        with (base / KEY).open("r+b") as file:
            file.write(b"xx")
        os.utime(base / KEY, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        with pytest.raises(ConflictError) as caught:
            store.append(KEY, b"cc", expect=version)
        assert caught.value.landed == "no"
        assert store.append(KEY, b"cc", expect=content_version(b"xxbb")) == content_version(
            b"xxbbcc"
        )

    def test_may_be_appended_to_by_many_in_turns(self, store: LocalDiskStore, base: Path) -> None:
        keys = [f"notes/{number}.jsonl" for number in range(3 * appending._REMEMBERED)]
        versions = {key: store.put(key, b"") for key in keys}
        for number in range(3):
            for key in keys:
                versions[key] = store.append(key, b"%d" % number, expect=versions[key])
        assert {(base / key).read_bytes() for key in keys} == {b"012"}
        assert len(store._ends._ends) <= appending._REMEMBERED

    def test_leaves_a_second_name_of_the_file_alone(
        self, store: LocalDiskStore, base: Path, tmp_path: Path
    ) -> None:
        version = store.put(KEY, b"a")
        (tmp_path / "snapshot").hardlink_to(base / KEY)
        version = store.append(KEY, b"b", expect=version)
        assert (held(base), (tmp_path / "snapshot").read_bytes()) == (b"ab", b"a")
        assert store.append(KEY, b"c", expect=version) == content_version(b"abc")

    def test_replaces_what_may_not_be_written_in_place(
        self, store: LocalDiskStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = store.put(KEY, b"a")
        monkeypatch.setattr(appending, "_APPEND", -1)
        open_file = os.open

        def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags == -1:
                raise OSError(errno.EACCES, "denied")
            return open_file(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        assert store.append(KEY, b"b", expect=version) == content_version(b"ab")
        with pytest.raises(ConflictError):
            store.append(KEY, b"c", expect=version)
        assert held(base) == b"ab"

    def test_may_not_grow_beyond_what_is_read(self, base: Path) -> None:
        with LocalDiskStore(base, max_document_bytes=10) as store:
            version = store.put(KEY, b"12345678")
            with pytest.raises(InvalidDocumentError, match="11 bytes, more than") as caught:
                store.append(KEY, b"abc", expect=version)
            assert caught.value.landed == "no"
            assert store.append(KEY, b"ab", expect=version) == content_version(b"12345678ab")
            (base / KEY).write_bytes(b"x" * 11)
            with pytest.raises(InvalidDocumentError, match="more than max_document_bytes"):
                store.append(KEY, b"a", expect=version)


@pytest.mark.parametrize(("durability", "flushed"), [("fsync", 3), ("rename", 0)])
def test_each_append_is_flushed_if_it_shall_outlive_a_power_cut(
    base: Path, monkeypatch: pytest.MonkeyPatch, durability: Any, flushed: int
) -> None:
    with LocalDiskStore(base, durability=durability) as store:
        version = store.put(KEY, b"")
        sizes: list[int] = []

        def fsync(descriptor: int) -> None:
            if of_file(descriptor, base):
                sizes.append(os.fstat(descriptor).st_size)
            FSYNC(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        for _ in range(3):
            version = store.append(KEY, b"x", expect=version)
        assert sizes == [1, 2, 3][:flushed]


def test_an_append_waits_for_the_one_that_is_at_it(
    store: LocalDiskStore, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store.put(KEY, b"")
    with LocalDiskStore(base) as other, ThreadPoolExecutor(1) as pool:
        rivals: list[Future[Version]] = []

        def write(descriptor: int, data: Any) -> int:
            if of_file(descriptor, base) and not rivals:
                rivals.append(pool.submit(other.append, KEY, b"theirs", expect=version))
                assert wait(rivals, timeout=0.2).not_done, "two were in the file at once"
            return WRITE(descriptor, data)

        monkeypatch.setattr(os, "write", write)
        store.append(KEY, b"ours", expect=version)
        with pytest.raises(ConflictError):
            rivals[0].result()
    assert held(base) == b"ours"


class TestAWriteThatFails:
    @pytest.fixture
    def version(self, store: LocalDiskStore) -> Version:
        return store.put(KEY, b"whole\n")

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_in_the_middle_is_taken_back(
        self,
        store: LocalDiskStore,
        base: Path,
        version: Version,
        number: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def write(descriptor: int, data: Any) -> int:
            if not of_file(descriptor, base):
                return WRITE(descriptor, data)
            if len(data) < 100:
                raise OSError(number, os.strerror(number))
            return WRITE(descriptor, data[:50])

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(UnavailableError) as caught:
            store.append(KEY, b"x" * 120, expect=version)
        assert caught.value.landed == "no"
        assert held(base) == b"whole\n"
        monkeypatch.undo()
        assert store.append(KEY, b"x", expect=version) == content_version(b"whole\nx")

    def test_takes_back_nothing_of_anybody_elses(
        self,
        store: LocalDiskStore,
        base: Path,
        version: Version,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def write(descriptor: int, data: Any) -> int:
            if not of_file(descriptor, base):
                return WRITE(descriptor, data)
            if len(data) < 100:
                with (base / KEY).open("ab") as file:
                    file.write(b"theirs")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return WRITE(descriptor, data[:50])

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(UnavailableError, match="may have landed") as caught:
            store.append(KEY, b"x" * 120, expect=version)
        assert caught.value.landed == "unknown"
        assert held(base) == b"whole\n" + b"x" * 50 + b"theirs"

    def test_without_an_answer_may_have_landed(
        self,
        store: LocalDiskStore,
        base: Path,
        version: Version,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def write(descriptor: int, data: Any) -> int:
            written = WRITE(descriptor, data)
            if of_file(descriptor, base):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return written

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(UnavailableError, match="may have landed") as caught:
            store.append(KEY, b"x", expect=version)
        assert caught.value.landed == "unknown"

    def test_to_be_flushed_is_not_undone(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with LocalDiskStore(base) as store:
            version = store.put(KEY, b"a")

            def fsync(descriptor: int) -> None:
                if of_file(descriptor, base):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                FSYNC(descriptor)

            monkeypatch.setattr(os, "fsync", fsync)
            with pytest.raises(UnavailableError, match="may have landed") as caught:
                store.append(KEY, b"b", expect=version)
            assert caught.value.landed == "unknown"
            assert held(base) == b"ab"

    def test_is_refused_to_who_may_not(
        self, store: LocalDiskStore, version: Version, monkeypatch: pytest.MonkeyPatch, base: Path
    ) -> None:
        def write(descriptor: int, data: Any) -> int:
            if of_file(descriptor, base):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return WRITE(descriptor, data)

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(AccessDeniedError) as caught:
            store.append(KEY, b"x", expect=version)
        assert caught.value.landed == "no"
        assert held(base) == b"whole\n"


class TestAWriterWithoutLocks:
    """The original, an editor, a script."""

    def meanwhile(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
    ) -> None:
        acted: list[bool] = []

        def write(descriptor: int, data: Any) -> int:
            if of_file(descriptor, base) and not acted:
                acted.append(True)
                act()
            return WRITE(descriptor, data)

        monkeypatch.setattr(os, "write", write)

    def test_who_replaces_the_file_meanwhile_takes_nothing_acknowledged_with_it(
        self, store: LocalDiskStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = store.put(KEY, b"a")

        def replace() -> None:
            (base / "new").write_bytes(b"replaced")
            (base / "new").replace(base / KEY)

        self.meanwhile(base, monkeypatch, replace)
        with pytest.raises(ConflictError) as caught:
            store.append(KEY, b"b", expect=version)
        assert caught.value.landed == "no"
        assert held(base) == b"replaced"

    def test_who_deletes_the_file_meanwhile_does_not_either(
        self, store: LocalDiskStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = store.put(KEY, b"a")
        self.meanwhile(base, monkeypatch, (base / KEY).unlink)
        with pytest.raises(ConflictError) as caught:
            store.append(KEY, b"b", expect=version)
        assert caught.value.landed == "no"
        assert not (base / KEY).exists()

    def test_who_appends_meanwhile_loses_nothing(
        self, store: LocalDiskStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = store.put(KEY, b"a")

        def append() -> None:
            with (base / KEY).open("ab") as file:
                file.write(b"theirs")

        self.meanwhile(base, monkeypatch, append)
        with pytest.raises(ConflictError) as caught:
            store.append(KEY, b"ours", expect=version)
        assert caught.value.landed == "unknown"
        assert held(base) == b"atheirsours"


class TestATornEnd:
    def test_of_a_journal_is_ignored_and_then_replaced(self, base: Path) -> None:
        with open_store(base, durability="rename") as store:
            Journals(store, "agents").open("a").append([1])
            path = base / journal_key("agents", ["a"])
            sound = path.read_bytes()
            for torn in (b"{", b'{"n":2,"id":', b"\0" * 30, b"\xff"):
                path.write_bytes(sound + torn)
                journal = Journals(store, "agents").open("a")
                assert journal.read() == [1]
                journal.append([2])
                data = path.read_bytes()
                assert data.startswith(sound)
                assert json.loads(data[len(sound) :])["items"] == [2]
                assert Journals(store, "agents").open("a").read() == [1, 2]

    def test_is_taken_for_what_is_there_by_who_appends(self, store: LocalDiskStore) -> None:
        version = store.append(KEY, b"torn", expect=store.put(KEY, b"a\n"))
        assert store.put(KEY, b"a\nb\n", expect=version) == content_version(b"a\nb\n")


def _append_in_child(store: LocalDiskStore, version: Version) -> None:
    store.append(KEY, b"child", expect=version)


def test_a_forked_child_goes_on_by_itself(base: Path) -> None:
    with LocalDiskStore(base, durability="rename") as store:
        version = store.append(KEY, b"b", expect=store.put(KEY, b"a"))
        process = multiprocessing.get_context("fork").Process(
            target=_append_in_child, args=(store, version)
        )
        process.start()
        process.join()
        assert process.exitcode == 0
        with pytest.raises(ConflictError):
            store.append(KEY, b"parent", expect=version)
        version = content_version(b"abchild")
        assert store.append(KEY, b"!", expect=version) == content_version(b"abchild!")
