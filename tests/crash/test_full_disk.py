"""A disk without room, or one that fails otherwise, at each single step of a write.

The steps are not listed here but recorded: whatever a write does, each of its system calls fails
once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support import tree

from statekeep import (
    ABSENT,
    ANY,
    Journal,
    Journals,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    load_pruner,
    open_store,
)
from statekeep.store import content_version
from statekeep.store.keys import SEGMENTS
from statekeep.testing.journal_checks import small_bounds
from statekeep_backends.local.locks import is_lock_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

NEEDS_ROOM = ("open", "write", "fsync", "close", "mkdir", "link", "replace", "unlink")
CAN_FAIL = (*NEEDS_ROOM, "fstat", "lstat", "read", "flock")
PUBLISHES = ("link", "replace", "unlink")
OLD, NEW = b"old", b"new content"

# What is written, and what is there before and after.
WRITES: dict[str, tuple[Callable[[StateStore], object], bytes | None, bytes | None]] = {
    "the first document": (lambda store: store.put("a.md", NEW), None, NEW),
    "the first document, if there is none": (
        lambda store: store.put("a.md", NEW, expect=ABSENT),
        None,
        NEW,
    ),
    "the first document of a deep category": (lambda store: store.put("x/y/z.md", NEW), None, NEW),
    "another document": (lambda store: store.put("a.md", NEW), OLD, NEW),
    "a version seen": (
        lambda store: store.put("a.md", NEW, expect=content_version(OLD)),
        OLD,
        NEW,
    ),
    "a deletion": (lambda store: store.delete("a.md"), OLD, None),
    "the deletion of a version seen": (
        lambda store: store.delete("a.md", expect=content_version(OLD)),
        OLD,
        None,
    ),
}


class Disk:
    """Records some system calls of this thread, and lets one of them fail.

    A call that fails does nothing, unless it has its effect before.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        fail_at: int | None = None,
        *,
        of: Sequence[str] = NEEDS_ROOM,
        number: int = errno.ENOSPC,
        has_effect: bool = False,
    ) -> None:
        self.calls: list[str] = []
        self._fail_at = fail_at
        self._number = number
        self._has_effect = has_effect
        self._thread = threading.get_ident()
        for name in of:
            module: Any = fcntl if name == "flock" else os
            patch.setattr(module, name, self._wrap(name, getattr(module, name)))

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return call(*args, **kwargs)
            self.calls.append(name)
            fails = len(self.calls) - 1 == self._fail_at
            if name == "close":
                call(*args, **kwargs)  # the descriptor is gone even if that fails
            if fails:
                if self._has_effect and name != "close":
                    call(*args, **kwargs)
                raise OSError(self._number, os.strerror(self._number))
            if name == "write":
                # As much as there is room for: the rest takes another call.
                return call(args[0], bytes(args[1])[:4])
            return None if name == "close" else call(*args, **kwargs)

        return wrapped


@pytest.fixture(params=["fsync", "rename"])
def make_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[bytes | None], tuple[StateStore, Path]]]:
    """Makes a store in a new folder, with a document in it or without."""
    made: list[StateStore] = []

    def make(old: bytes | None) -> tuple[StateStore, Path]:
        for each in made:
            each.close()  # or its locks, left open, would be closed in between
        base = tmp_path / str(len(made)) / "store"
        base.parent.mkdir()
        store = open_store(f"file:{base}?durability={request.param}")
        made.append(store)
        if old is not None:
            store.put("a.md", old)
        return store, base

    yield make
    for each in made:
        each.close()


def _folders(base: Path) -> set[Path]:
    return {path for path in base.parent.rglob("*") if path.is_dir()}


@pytest.mark.parametrize("what", WRITES)
def test_leaves_the_old_content_and_nothing_else(
    make_store: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    write, old, new = WRITES[what]
    store, base = make_store(old)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        write(store)
    after = tree(base)
    assert list(after.values()) == ([] if new is None else [new])
    for step, call in enumerate(disk.calls):
        store, base = make_store(old)
        before, folders = tree(base), _folders(base)
        with monkeypatch.context() as patch:
            failing = Disk(patch, fail_at=step)
            with pytest.raises(UnavailableError, match="free some space") as caught:
                write(store)
        assert failing.calls[: step + 1] == disk.calls[: step + 1]
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.key
        done = any(each in PUBLISHES for each in disk.calls[:step])
        assert tree(base) == (after if done else before), (step, call)
        made = _folders(base) - folders
        assert all(any(folder.iterdir()) for folder in made), (step, call, made)
        # It is not in the way of the next attempt.
        if not done:
            write(store)
        assert tree(base) == after, (step, call)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize(
    ("number", "has_effect"),
    [
        (errno.ENOSPC, False),
        (errno.EROFS, False),
        (errno.EINVAL, False),
        (errno.EIO, False),
        (errno.EIO, True),
    ],
)
@pytest.mark.rest
@pytest.mark.parametrize("what", WRITES)
def test_an_error_says_what_may_have_landed(
    make_store: Any,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    number: int,
    has_effect: bool,
    links: bool,
) -> None:
    write, old, _ = WRITES[what]
    if not links:
        monkeypatch.setattr(os, "link", _refuse_link)
    store, base = make_store(old)
    with monkeypatch.context() as patch:
        disk = Disk(patch, of=CAN_FAIL)
        write(store)
    after = _documents(base)
    said = set()
    for step, call in enumerate(disk.calls):
        store, base = make_store(old)
        before = _documents(base)
        with monkeypatch.context() as patch:
            Disk(patch, step, of=CAN_FAIL, number=number, has_effect=has_effect)
            try:
                write(store)
            except StateStoreError as caught:
                error = caught
            else:
                # It could do without, or the call had another answer to give than that error.
                assert _documents(base) == after, (step, call)
                continue
        assert _documents(base) in (before, after), (step, call)
        # Nobody knows what a call did that failed with an error of the disk.
        in_doubt = number == errno.EIO and call in PUBLISHES
        certain = _documents(base) == before and not in_doubt
        assert error.landed == ("no" if certain else "unknown"), (step, call)
        assert ("may have landed" in str(error)) == (error.landed == "unknown")
        said.add(error.landed)
    assert said == {"no", "unknown"}


def _documents(base: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(base).items() if not name.endswith(".tmp")}


def _refuse_link(*_: object, **__: object) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_what_is_recorded_is_all_that_a_write_does(
    make_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = make_store(None)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        store.put("x/y.md", NEW)
    assert set(disk.calls) >= {"open", "write", "close", "mkdir", "replace"}
    assert disk.calls.count("write") == 3


def test_a_session_can_be_saved_when_there_is_room_again(
    make_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, base = make_store(None)
    sessions = Sessions(store)
    session = sessions.get_or_create("ada", "s")
    before = tree(base)
    session.add_user_message("hello")
    for _ in range(2):
        with monkeypatch.context() as patch:
            Disk(patch, fail_at=0)
            with pytest.raises(UnavailableError):
                sessions.save(session)
        assert tree(base) == before
    sessions.save(session)
    assert [summary.message_count for summary in sessions.list()] == [1]


@pytest.mark.rest
@pytest.mark.parametrize("has_effect", [False, True])
def test_an_append_is_there_or_is_not_as_it_says(
    make_store: Any, monkeypatch: pytest.MonkeyPatch, has_effect: bool
) -> None:
    items: list[Any] = [[number, "x" * 100] for number in range(6)]

    def prepare() -> tuple[StateStore, Journal]:
        store, _ = make_store(None)
        journal = Journals(store, "c").open("a")
        for item in items:
            journal.append([item])
        return store, journal

    with small_bounds():
        store, journal = prepare()
        with monkeypatch.context() as patch:
            disk = Disk(patch)
            journal.append(["new"])  # with a segment, for which others are merged
        assert len(list(store.scan(SEGMENTS))) > 1
        said = set()
        after = [*items, "new"]
        for step, call in enumerate(disk.calls):
            store, journal = prepare()
            number = errno.EIO if has_effect else errno.ENOSPC
            with monkeypatch.context() as patch:
                Disk(patch, fail_at=step, number=number, has_effect=has_effect)
                try:
                    journal.append(["new"])
                except StateStoreError as error:
                    landed = error.landed
                else:
                    landed = None
            said.add(landed)
            found = Journals(store, "c").open("a").read()
            assert found is not None
            if landed != "unknown":
                assert found == (items if landed else after), (step, call)
            assert found in (items, after), (step, call)
            journal.append(["next"])
            assert Journals(store, "c").open("a").read() == [*found, "next"]
    assert "no" in said


def test_a_prune_that_cannot_delete_says_so(
    make_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, base = make_store(None)
    sessions = Sessions(store)
    for n in range(3):
        sessions.save(Session.new("ada", str(n)))
    plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=1))
    before = tree(base)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        report = sessions.prune(plan)
    assert [each.error.landed for each in report.failed] == ["no", "no"]
    assert tree(base) == before
    assert len(sessions.prune(plan).pruned) == 2


def test_a_writer_does_not_mind_that_another_takes_back_the_folder_of_the_locks(
    make_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, base = make_store(None)
    open_file = os.open
    taken: list[str] = []

    def take_back(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        locks = base / ".statekeep" / "locks"
        if is_lock_name(path) and locks.exists() and len(taken) < 3:
            locks.rmdir()
            taken.append(path)
        return open_file(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", take_back)
    store.put("a.md", NEW, expect=ANY)
    assert len(taken) == 3
    assert tree(base) == {"a.md": NEW}
