"""Filesystems that lack something, or answer as no other does: found out by what they do."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import tree

from statekeep import (
    ABSENT,
    ANY,
    AccessDeniedError,
    ConflictError,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
    open_store,
)
from statekeep.store import SupportsAppend, power

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep import Version

# What filesystems were seen to say of what they lack, and what none should.
LACKS = [
    errno.EACCES,
    errno.EBADF,
    errno.EINVAL,
    errno.EMLINK,
    errno.ENODATA,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTTY,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
    errno.EXDEV,
    9999,
]
TROUBLE = [errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT]
FSYNC, FLOCK, LINK, OPEN = os.fsync, fcntl.flock, os.link, os.open


def append(store: StateStore, key: str, data: bytes, seen: Version) -> object:
    able = power(store, SupportsAppend)
    assert able is not None
    return able.append(key, data, expect=seen)


WRITES: dict[str, Callable[[StateStore, Version], object]] = {
    "a put": lambda store, _: store.put("a/old.md", b"new"),
    "a put that creates": lambda store, _: store.put("a/new.md", b"new", expect=ABSENT),
    "a put that replaces": lambda store, seen: store.put("a/old.md", b"new", expect=seen),
    "a put into a new folder": lambda store, _: store.put("b/c/new.md", b"new", expect=ABSENT),
    "an append": lambda store, seen: append(store, "a/old.md", b"new", seen),
    "a delete": lambda store, _: store.delete("a/old.md"),
    "a delete on a condition": lambda store, seen: store.delete("a/old.md", expect=seen),
}
lacks = pytest.mark.parametrize("number", LACKS, ids=lambda n: errno.errorcode.get(n, str(n)))
each_write = pytest.mark.parametrize("what", WRITES)
each_durability = pytest.mark.parametrize("durability", ["fsync", "rename"])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def seen(base: Path) -> Version:
    """The version of a document that was there before this process."""
    with open_store(base) as store:
        return store.put("a/old.md", b"old")


@pytest.fixture
def store(base: Path, seen: Version) -> Iterator[StateStore]:
    assert seen
    with open_store(base) as store:
        yield store


def fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def everything(base: Path) -> set[str]:
    return {str(path.relative_to(base)) for path in base.rglob("*")}


def is_folder(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_dir()


class TestWithoutHardLinks:
    @lacks
    @each_durability
    def test_a_document_is_created_once(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, number: int, durability: str
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise fail(number)

        monkeypatch.setattr(os, "link", refuse)
        with open_store(f"file:{base}?durability={durability}") as store:
            store.put("a/b.md", b"1", expect=ABSENT)
            with pytest.raises(ConflictError):
                store.put("a/b.md", b"2", expect=ABSENT)
        assert tree(base) == {"a/b.md": b"1"}

    @pytest.mark.parametrize("number", [errno.EEXIST, errno.EIO, errno.ETIMEDOUT])
    def test_a_link_whose_answer_was_lost_is_known_again(
        self, base: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def answer_wrongly(*args: Any, **kwargs: Any) -> None:
            LINK(*args, **kwargs)
            raise fail(number)

        monkeypatch.setattr(os, "link", answer_wrongly)
        with open_store(base) as store:
            store.put("a/b.md", b"1", expect=ABSENT)
        assert tree(base) == {"a/b.md": b"1"}


class TestWithoutFlushes:
    """`fsync` of a folder fails."""

    @pytest.fixture
    def refuse(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        monkeypatch.setattr(os, "sync", lambda: None)

        def refuse_with(number: int) -> None:
            def refuse(descriptor: int) -> None:
                if is_folder(descriptor):
                    raise fail(number)
                FSYNC(descriptor)

            monkeypatch.setattr(os, "fsync", refuse)

        return refuse_with

    @each_write
    def test_a_write_is_refused_before_anything_happens(
        self,
        store: StateStore,
        base: Path,
        seen: Version,
        what: str,
        refuse: Callable[[int], None],
    ) -> None:
        before = everything(base)
        for number in LACKS:
            refuse(number)
            with pytest.raises(UnsupportedError, match="durability=rename") as caught:
                WRITES[what](store, seen)
            assert caught.value.landed == "no", number
            assert everything(base) == before
            assert tree(base) == {"a/old.md": b"old"}
        with open_store(base, durability="rename") as relaxed:
            WRITES[what](relaxed, seen)
        assert tree(base) != {"a/old.md": b"old"}

    @each_write
    def test_trouble_with_the_disk_is_not_taken_for_a_lack(
        self,
        store: StateStore,
        base: Path,
        seen: Version,
        what: str,
        refuse: Callable[[int], None],
    ) -> None:
        before = everything(base)
        for number in TROUBLE:
            refuse(number)
            with pytest.raises(UnavailableError) as caught:
                WRITES[what](store, seen)
            assert caught.value.landed == "no", number
            assert "durability" not in str(caught.value)
            assert everything(base) == before

    @pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES, errno.EIO])
    @pytest.mark.parametrize("what", [each for each in WRITES if "folder" not in each])
    def test_what_works_no_more_is_found_out_once_and_then_in_time(
        self,
        store: StateStore,
        base: Path,
        seen: Version,
        what: str,
        number: int,
        refuse: Callable[[int], None],
    ) -> None:
        store.put("a/other.md", b"flushes what leads there")
        refuse(number)
        with pytest.raises(UnavailableError, match="may have landed") as caught:
            WRITES[what](store, seen)
        assert caught.value.landed == "unknown"
        after = tree(base)
        with pytest.raises(StateStoreError) as refused:
            store.put("a/next.md", b"x")
        assert refused.value.landed == "no"
        assert tree(base) == after


def test_a_folder_around_the_store_that_may_not_be_read_is_flushed_with_all_else(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.mkdir()
    synced: list[bool] = []

    def open_file(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == str(base.parent):
            raise fail(errno.EACCES)
        return OPEN(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))
    with open_store(base) as store:
        store.put("a.md", b"1")
        store.put("b.md", b"2")
    assert synced == [True]
    assert tree(base) == {"a.md": b"1", "b.md": b"2"}


@pytest.mark.parametrize("closed", ["", "a"])
@pytest.mark.parametrize("key", ["a.md", "a/b.md", "a/b/c.md"])
def test_a_folder_that_may_be_entered_and_not_read_is_no_filesystem_without_flushes(
    base: Path, monkeypatch: pytest.MonkeyPatch, closed: str, key: str
) -> None:
    (base / "a/b").mkdir(parents=True)
    shut = (base / closed).stat()

    def open_file(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        descriptor = OPEN(path, flags, *args, **kwargs)
        if os.path.samestat(os.fstat(descriptor), shut) and not flags & os.O_PATH:
            os.close(descriptor)
            raise fail(errno.EACCES)
        return descriptor

    monkeypatch.setattr(os, "open", open_file)
    with open_store(base) as store:
        if closed == "a" and key == "a.md":
            store.put(key, b"x")
            return
        with pytest.raises(AccessDeniedError, match="who owns the folder") as caught:
            store.put(key, b"x")
        assert caught.value.landed == "no"
    assert tree(base) == {}


class TestWithoutLocks:
    @pytest.fixture
    def refuse(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        def refuse_with(number: int) -> None:
            def refuse(*_: object) -> None:
                raise fail(number)

            monkeypatch.setattr(fcntl, "flock", refuse)

        return refuse_with

    @each_write
    def test_a_write_is_refused_before_anything_happens(
        self,
        store: StateStore,
        base: Path,
        seen: Version,
        what: str,
        refuse: Callable[[int], None],
    ) -> None:
        before = everything(base)
        for number in LACKS:
            refuse(number)
            with pytest.raises(UnsupportedError, match="locks") as caught:
                WRITES[what](store, seen)
            assert caught.value.landed == "no", number
            assert "retry" not in str(caught.value)
            assert "durability" not in str(caught.value)
            assert {each for each in everything(base) - before if "locks/" not in each} == set()
            assert tree(base) == {"a/old.md": b"old"}

    def test_the_first_write_leaves_nothing_behind(
        self, base: Path, refuse: Callable[[int], None]
    ) -> None:
        for number in LACKS:
            refuse(number)
            with open_store(base) as store, pytest.raises(UnsupportedError):
                store.put("a/b.md", b"x")
            assert not base.exists(), number

    def test_trouble_is_not_taken_for_a_lack(
        self, store: StateStore, base: Path, refuse: Callable[[int], None]
    ) -> None:
        for number in TROUBLE:
            refuse(number)
            with pytest.raises(UnavailableError) as caught:
                store.put("a/old.md", b"new")
            assert caught.value.landed == "no"
        assert tree(base) == {"a/old.md": b"old"}

    def test_where_a_lock_that_another_has_is_denied_it_is_waited_for(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        denials: list[int] = []

        def deny_at_first(descriptor: int, operation: int) -> None:
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            if "/locks/" in name and not name.endswith(".tmp") and len(denials) < 3:
                denials.append(descriptor)
                raise fail(errno.EACCES)
            FLOCK(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", deny_at_first)
        store.put("a/old.md", b"new")
        assert len(denials) == 3
        assert tree(base) == {"a/old.md": b"new"}
        assert not [each for each in everything(base) if each.endswith(".tmp")]

    def test_where_only_what_is_open_for_writing_is_locked_writers_do_well(
        self, store: StateStore, base: Path, seen: Version, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lock_as_nfs_does(descriptor: int, operation: int) -> None:
            mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
            if operation & fcntl.LOCK_EX and mode == os.O_RDONLY:
                raise fail(errno.EBADF)
            FLOCK(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", lock_as_nfs_does)
        store.put("a/old.md", b"new", expect=seen)
        store.delete("a/old.md")
        assert tree(base) == {}


class TestWhereNothingCanBeMade:
    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
    @pytest.mark.parametrize("key", ["a.md", "a/b.md"])
    @pytest.mark.parametrize("expect", [ANY, ABSENT])
    def test_as_in_proc_a_write_says_so(self, key: str, expect: Any) -> None:
        with open_store("file:/proc?durability=rename") as store:
            with pytest.raises(UnsupportedError, match="choose another") as caught:
                store.put(key, b"x", expect=expect)
            assert "retry" not in str(caught.value)
            assert caught.value.landed == "no"
            assert store.get("sessions/none.json") is None
            assert Sessions(store).list().summaries == ()

    def test_a_folder_that_is_there_and_takes_no_file_is_no_folder_that_vanishes(
        self, store: StateStore, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def open_file(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & os.O_EXCL:
                raise fail(errno.ENOENT)
            return OPEN(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", open_file)
        with pytest.raises(UnsupportedError, match="nothing can be created") as caught:
            store.put("a/old.md", b"new")
        assert caught.value.landed == "no"
        assert tree(base) == {"a/old.md": b"old"}
