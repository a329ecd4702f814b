"""Tests of journals whose heads are torn, damaged or misplaced."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from statekeep import ConflictError, CorruptDataError
from statekeep.journals import Draft
from statekeep.store.keys import SEGMENTS, journal_key
from statekeep.testing.checks import read, shown
from statekeep.testing.journal_checks import COLLECTION, KEY, NAME, lists, refuses, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep import Journals, StateStore

__all__ = ["JournalDamage"]


class JournalDamage:
    """The part of `JournalsContract` about torn, damaged and misplaced heads."""

    @pytest.fixture
    def head(self, store: StateStore, journals: Journals) -> bytes:
        """The head of a journal of five appends."""
        journal = journals.open(*NAME)
        for number in range(5):
            journal.append([[number, "x" * 10]], key=f"request-{number}")
        return _data(store)

    def test_changes_are_numbered_consecutively(
        self, journals: Journals, store: StateStore
    ) -> None:
        journal = journals.open(*NAME)
        changes: tuple[Callable[[], object], ...] = (
            lambda: journal.append([1, 2, 3]),
            lambda: journal.change(lambda draft: draft.pop()),
            journal.pin,
            lambda: journal.change(lambda draft: draft.replace(0, "one")),
            lambda: journal.append([4]),
            lambda: journal.change(lambda draft: draft.clear()),
            lambda: journal.append(["x" * 2**16]),
            lambda: journal.append([5]),
        )
        for number, change in enumerate(changes, start=1):
            change()
            found = _last_number(_data(store))
            assert found == number, f"after {number} changes, the last is numbered {found}"

    def test_damage_is_never_skipped(
        self, journals: Journals, store: StateStore, head: bytes
    ) -> None:
        lines = head.splitlines(keepends=True)
        for what, data in {
            "a flipped bit": head.replace(b'[1,"xxx', b'[1,"xxy'),
            "a flipped bit in the header": head.replace(b'"contract', b'"kontract').replace(
                b'"thread/17"', b'"thread/71"'
            ),
            "another item with an old seal": head.replace(b'[2,"xxx', b'[7,"xxx'),
            "a missing line": b"".join([*lines[:2], *lines[3:]]),
            "a repeated line": b"".join([*lines[:3], *lines[2:]]),
            "lines in another order": b"".join([*lines[:2], lines[3], lines[2], *lines[4:]]),
            "a missing header": b"".join(lines[1:]),
            "two torn lines": b"".join(lines[:-2]) + b"{\n{",
            "nothing": b"",
            "text": b"# notes\n",
        }.items():
            assert data != head, f"{what} does not change the head"
            self._is_refused(journals, store, data, what)

    def test_a_head_under_another_journals_key_is_refused(
        self, journals: Journals, store: StateStore, head: bytes
    ) -> None:
        elsewhere = journal_key(COLLECTION, ["elsewhere"])
        store.put(elsewhere, head)
        refuses(journals.open("elsewhere").read, CorruptDataError, "another journal's head")
        listing = journals.list()
        lists(listing, [NAME])
        assert [problem.key for problem in listing.problems] == [elsewhere], (
            f"another journal's head is listed with the problems {listing.problems}"
        )

    def test_a_torn_end_is_ignored_and_overwritten(
        self, journals: Journals, store: StateStore, head: bytes
    ) -> None:
        lines = head.splitlines(keepends=True)
        begin = len(head) - len(lines[-1])
        before = [[number, "x" * 10] for number in range(4)]
        for cut in (begin + 1, begin + len(lines[-1]) // 2, len(head) - 1):
            zeroed = head[:cut].ljust(len(head), b"\0")
            for what, data in (("cut", head[:cut]), ("zeroed", zeroed)):
                store.put(KEY, data)
                says(journals, before)
                journal = journals.open(*NAME)
                journal.append(["after"], key="request-4")  # the torn append was not acknowledged
                says(journals, [*before, "after"])
                assert b"\0" not in _data(store), (
                    f"bytes were appended after an end that was {what}"
                )

    def test_a_missing_or_changed_segment_is_damage(
        self, journals: Journals, store: StateStore
    ) -> None:
        journal = journals.open(*NAME)
        journal.append(["x" * 2**16])
        journal.append([1])
        (segment,) = store.scan(SEGMENTS)
        data = read(store, segment.key).data
        store.put(segment.key, data.replace(b"xxx", b"xxy"))
        refuses(journals.open(*NAME).read, CorruptDataError, "a changed segment")
        store.delete(segment.key)
        refuses(journals.open(*NAME).read, CorruptDataError, "a missing segment")
        found = journals.open(*NAME).read(last=1)
        assert found == [1], f"the last item, which is in the head, is read as {found}"

    def test_a_handle_notices_that_its_journal_was_replaced(
        self, journals: Journals, others: Journals, head: bytes
    ) -> None:
        handle = journals.open(*NAME)
        handle.read()
        others.open(*NAME).delete()
        others.open(*NAME).append(["anew", "x" * len(head)], set={"k": "x" * len(head)})
        found = handle.read()
        assert found == ["anew", "x" * len(head)], (
            "a handle continued from what it had seen, though its journal was replaced"
        )

    def _is_refused(self, journals: Journals, store: StateStore, data: bytes, what: str) -> None:
        handle = journals.open(*NAME)
        store.put(KEY, data)
        calls: dict[str, Callable[[], object]] = {
            "read": handle.read,
            "read of the last": partial(handle.read, last=1),
            "head": handle.head,
            "append": partial(handle.append, [9]),
            "change": partial(handle.change, partial(Draft.append, items=[9])),
            "pin": handle.pin,
            "delete": handle.delete,
            "all heads": lambda: [*journals.heads()],
        }
        for way, call in calls.items():
            error = refuses(call, CorruptDataError, f"{what}: {way}")
            assert error.key == KEY, f"{what}: the error of {way} names {error.key!r}"
        refuses(partial(handle.create, [9]), (ConflictError, CorruptDataError), f"{what}: create")
        found = _data(store)
        assert found == data, f"{what}: the head was changed to {shown(found)}"
        listing = journals.list()
        lists(listing, [])
        assert [problem.key for problem in listing.problems] == [KEY], (
            f"{what}: the listing reports {listing.problems}"
        )


def _data(store: StateStore) -> bytes:
    return read(store, KEY).data


def _last_number(head: bytes) -> int:
    """The number of the last line, or of the header if there is no other line."""
    found = re.search(rb'"n":(\d+)', head.splitlines()[-1])
    assert found is not None, f"a line without a number: {head.splitlines()[-1]!r:.80}"
    return int(found.group(1))
