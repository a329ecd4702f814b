"""A state machine that compares journals with lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from statekeep import ConflictError, Journals, NotFoundError, StateStore, open_store
from statekeep.testing.journal_checks import COLLECTION, NAME, small_bounds

if TYPE_CHECKING:
    from statekeep import Journal, Version
    from statekeep.journals import Draft, Head

__all__ = ["JournalMachine"]

_handles = st.integers(0, 1)
_keys = st.sampled_from(["k", "l", "m"])
# Sizes around the bounds: a few lines, a full head, and more than a head holds.
_sizes = st.sampled_from([0, 1, 30, 200, 900])
_places = st.integers(0, 40)


class JournalMachine(RuleBasedStateMachine):
    """Compares two handles of one journal, on two clients, with a list; override `location`.

    The limits of heads and segments are lowered, so that a few items are enough to move lines to
    segments and to merge segments. Needs a store that detects conflicts.

    Examples:
        >>> from hypothesis import settings
        >>> @settings(max_examples=10, stateful_step_count=30, deadline=None)
        ... class Machine(JournalMachine):
        ...     def location(self) -> str:
        ...         return f"mine:{tempfile.mkdtemp()}"
        >>> TestMachine = Machine.TestCase
    """

    def __init__(self) -> None:
        super().__init__()
        self._where = self.location()
        self._bounds = small_bounds()
        self._bounds.__enter__()
        self._clients = [self.open(self._where), self.open(self._where)]
        self._handles = [self._journal(0), self._journal(1)]
        # The uid of the journal that each handle knows: the current one, an earlier one, or none.
        self._uids: list[str | None] = [None, None]
        self._uid: str | None = None
        self._items: list[Any] = []
        self._metadata: dict[str, Any] = {}
        self._known: set[str] = set()
        self._versions: list[Version] = []
        self._count = 0

    def location(self) -> str:
        """The URL of an empty place, new for each call."""
        raise NotImplementedError("override location() with the URL of an empty place")

    def open(self, location: str) -> StateStore:
        """Open a client; override it if `open_store` cannot."""
        return open_store(location)

    def teardown(self) -> None:
        """Close the clients."""
        self._bounds.__exit__(None, None, None)
        for client in self._clients:
            client.close()

    def _journal(self, handle: int) -> Journal:
        return Journals(self._clients[handle], COLLECTION).open(*NAME)

    @rule(handle=_handles, sizes=st.lists(_sizes, max_size=4))
    def append(self, handle: int, sizes: list[int]) -> None:
        items = [self._item(size) for size in sizes]
        if self._is_refused(handle, lambda: self._handles[handle].append(items)):
            return
        self._items += items

    @rule(handle=_handles, key=_keys, size=_sizes, value=st.integers(0, 3))
    def append_with_a_key(self, handle: int, key: str, size: int, value: int) -> None:
        item = self._item(size)

        def append() -> Head:
            return self._handles[handle].append([item], key=key, set={"k": value})

        if not self._is_refused(handle, append) and key not in self._known:
            self._items.append(item)
            self._metadata["k"] = value
            self._known.add(key)

    @rule(
        handle=_handles,
        keys=st.lists(st.none() | _keys, max_size=4),
        unset=st.lists(st.sampled_from(["j", "k"]), max_size=2),
    )
    def append_with_keys(self, handle: int, keys: list[str | None], unset: list[str]) -> None:
        items = [self._item(30) for _ in keys]

        def append() -> Head:
            return self._handles[handle].append(items, keys=keys, unset=unset, set={"j": len(keys)})

        if not self._is_refused(handle, append):
            self._append_fresh(items, keys)
            for name in unset:
                self._metadata.pop(name, None)
            self._metadata["j"] = len(keys)

    @rule(handle=_handles, age=st.integers(0, 3))
    def append_to_a_version(self, handle: int, age: int) -> None:
        item = self._item(1)
        versions = self._versions
        if not versions:
            return
        version = versions[-1 - age % len(versions)]
        if version != versions[-1]:
            with pytest.raises(ConflictError):
                self._handles[handle].append([item], expect=version)
        elif not self._is_refused(
            handle, lambda: self._handles[handle].append([item], expect=version)
        ):
            self._items.append(item)

    @rule(
        handle=_handles,
        steps=st.lists(
            st.tuples(st.just("append"), _sizes)
            | st.tuples(st.just("append with a key"), _keys)
            | st.tuples(st.sampled_from(["pop", "clear", "look"]), st.just(0))
            | st.tuples(st.sampled_from(["replace", "truncate", "set"]), _places),
            max_size=5,
        ),
    )
    def change(self, handle: int, steps: list[tuple[str, Any]]) -> None:
        items: list[Any] = []
        metadata: dict[str, Any] = {}
        known: set[str] = set()

        def change(draft: Draft) -> None:
            # It may be called again after a conflict, so it starts over each time.
            items[:] = self._items if draft.exists else []
            metadata.clear()
            metadata.update(self._metadata if draft.exists else {})
            known.clear()
            known.update(self._known if draft.exists else set())
            for step, value in steps:
                self._step(draft, step, value, items, metadata, known)
            assert draft.length == len(items), f"the length of a draft is {draft.length}"

        if not self._is_refused(handle, lambda: self._handles[handle].change(change)):
            self._items, self._metadata, self._known = [*items], dict(metadata), set(known)

    def _step(
        self,
        draft: Draft,
        step: str,
        value: Any,  # noqa: ANN401 - each step has its own kind
        items: list[Any],
        metadata: dict[str, Any],
        known: set[str],
    ) -> None:
        match step:
            case "append":
                item = self._item(value)
                assert draft.append([item]) == [True], "a draft left out an item without a key"
                items.append(item)
            case "append with a key":
                item = self._item(30)
                is_new = value not in known
                assert draft.has(value) != is_new, (
                    f"a draft is wrong about whether it has the key {value!r}"
                )
                assert draft.append([item], [value]) == [is_new], (
                    "a draft is wrong about whether a key is new"
                )
                if is_new:
                    items.append(item)
                    known.add(value)
            case "pop" if items:
                assert draft.pop() == items.pop(), "a draft popped an item other than the last"
            case "clear":
                draft.clear()
                items.clear()
            case "look":
                assert draft.items() == items, (
                    f"a draft has the items {draft.items()!r:.200}, not {items!r}"
                )
                assert draft.last(2) == items[-2:], "a draft's last two items are wrong"
            case "replace" if value < len(items):
                items[value] = self._item(30)
                draft.replace(value, items[value])
            case "truncate":
                draft.truncate(value)
                del items[value:]
            case "set":
                draft.metadata["k"] = metadata["k"] = value

    @rule(handle=_handles)
    def pin(self, handle: int) -> None:
        if self._uid is None and self._uids[handle] is None:
            with pytest.raises(NotFoundError):
                self._handles[handle].pin()
        elif not self._is_refused(handle, self._handles[handle].pin):
            self._metadata["statekeep.pin"] = True

    @rule(handle=_handles)
    def create(self, handle: int) -> None:
        item = self._item(1)
        if self._uid is not None or self._uids[handle] is not None:
            with pytest.raises(ConflictError):
                self._handles[handle].create([item])
        elif not self._is_refused(handle, lambda: self._handles[handle].create([item])):
            self._items = [item]

    @rule(handle=_handles)
    def delete(self, handle: int) -> None:
        if self._is_stale(handle) and self._uid is not None:
            with pytest.raises(ConflictError):
                self._handles[handle].delete()
            return
        deleted = self._handles[handle].delete()
        assert deleted == (self._uid is not None), f"a delete wrongly returned {deleted}"
        self._uids[handle] = None
        self._begin_anew(None)

    @precondition(lambda self: self._uid is not None)
    @rule(handle=_handles)
    def delete_the_current_version(self, handle: int) -> None:
        if not self._is_stale(handle) and self._versions:
            self._handles[handle].delete(expect=self._versions[-1])
            self._uids[handle] = None
            self._begin_anew(None)

    @rule(handle=_handles)
    def reopen(self, handle: int) -> None:
        self._clients[handle].close()
        self._clients[handle] = self.open(self._where)
        self._handles[handle] = self._journal(handle)
        self._uids[handle] = None

    @rule(handle=_handles, start=_places, length=st.integers(0, 9))
    def read_a_slice(self, handle: int, start: int, length: int) -> None:
        found = self._handles[handle].read(start=start, stop=start + length)
        expected = None if self._uid is None else self._items[start : start + length]
        assert found == expected, f"a slice is read as {found!r:.200} but is {expected!r:.200}"
        self._uids[handle] = self._uid

    @rule(handle=_handles, last=st.integers(0, 9))
    def read_the_last(self, handle: int, last: int) -> None:
        found = self._handles[handle].read(last=last)
        expected = None if self._uid is None else self._items[max(0, len(self._items) - last) :]
        assert found == expected, (
            f"the last {last} are {expected!r:.200} but read as {found!r:.200}"
        )
        self._uids[handle] = self._uid

    @invariant()
    def equals_the_list(self) -> None:
        loaded = self._journal(0).load()
        found = loaded and loaded.items
        expected = None if self._uid is None else self._items
        equal = found == expected
        assert equal, f"the journal is read as {found!r:.300} but is {expected!r:.300}"
        if loaded is not None:
            head = loaded.head
            assert head.metadata == self._metadata, (
                f"its metadata is {head.metadata} but should be {self._metadata}"
            )
            assert head.length == len(self._items), f"its head gives the length {head.length}"
            assert head.uid == self._uid, "its uid changed, though nobody recreated it"
            if head.version not in self._versions:
                self._versions.append(head.version)

    def _item(self, size: int) -> list[Any]:
        self._count += 1
        return [self._count, "x" * size]

    def _append_fresh(self, items: list[Any], keys: list[str | None]) -> None:
        for item, key in zip(items, keys, strict=True):
            if key is None or key not in self._known:
                self._items.append(item)
            if key is not None:
                self._known.add(key)

    def _is_stale(self, handle: int) -> bool:
        return self._uids[handle] not in {None, self._uid}

    def _is_refused(self, handle: int, write: Any) -> bool:  # noqa: ANN401 - its result is not used
        """Write, check that this is refused if the handle is stale, and return whether it was."""
        if self._is_stale(handle):
            with pytest.raises(ConflictError) as caught:
                write()
            assert caught.value.landed == "no", (
                "the error of a refused write does not say that it did not land"
            )
            return True
        write()
        if self._uid is None:
            head = self._journal(0).head()
            assert head is not None, "the journal is missing after its first write"
            self._begin_anew(head.uid)
        self._uids[handle] = self._uid
        return False

    def _begin_anew(self, uid: str | None) -> None:
        assert uid is None or uid != self._uid, "a recreated journal has the uid of the one before"
        self._uid = uid
        self._items, self._metadata, self._known, self._versions = [], {}, set(), []
