"""The test vectors of format 2: what must come of each file, whoever reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import DATA, store_with_vector

from statekeep import Journals, Sessions, errors
from statekeep.format.journal import decode_head, encode_head
from statekeep.store.keys import journal_key, session_key
from statekeep.timestamps import format_timestamp
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from statekeep.errors import StateStoreError

VECTORS = DATA / "journals"
CASES: dict[str, dict[str, Any]] = json.loads((VECTORS / "cases.json").read_text())
READABLE = [name for name, case in CASES.items() if "error" not in case]
REFUSED = [name for name, case in CASES.items() if "error" in case]
NAME = ("ada", "thread-17")
KEY = journal_key("vectors", NAME)


def head(name: str) -> bytes:
    return (VECTORS / "heads" / f"{name}.jsonl").read_bytes()


def journals_with(name: str) -> Journals:
    """A store in which that head lies, with all segments."""
    return Journals(store_with_vector(KEY, head(name)), "vectors")


def test_are_all_listed() -> None:
    assert {file.stem for file in (VECTORS / "heads").iterdir()} == CASES.keys()
    described = (VECTORS / "README.md").read_text()
    assert all(f"`{name}`" in described for name in CASES)


@pytest.mark.parametrize("name", READABLE)
class TestWhatCanBeRead:
    def test_is_read_so(self, name: str) -> None:
        case, journals = CASES[name], journals_with(name)
        loaded = journals.open(*NAME).load()
        assert loaded
        assert loaded.items == case["items"]
        assert loaded.head.metadata == case["metadata"]
        assert loaded.head.user_id == case["user_id"]
        assert format_timestamp(loaded.head.updated_at) == case["updated_at"]
        assert decode_head(head(name)).n == case["n"]
        (summary,) = journals.list()
        assert (summary.name, summary.length) == (NAME, len(case["items"]))

    def test_goes_on_from_there(self, name: str) -> None:
        case, journals = CASES[name], journals_with(name)
        journals.open(*NAME).append(["more"])
        assert journals.open(*NAME).read() == [*case["items"], "more"]
        blob = journals.store.get(KEY)
        assert blob
        lines = decode_head(blob.data)
        assert (lines.n, lines.sound) == (case["n"] + 1, len(blob.data))

    def test_is_sealed_by_us_as_it_was(self, name: str) -> None:
        lines = decode_head(head(name))
        assert encode_head(lines.header, lines.changes) == head(name)[: lines.sound]

    def test_is_no_session(self, name: str) -> None:
        store = MemoryStore()
        store.put(session_key("s"), head(name))
        with pytest.raises(errors.CorruptDataError):
            Sessions(store).load("s")


@pytest.mark.parametrize("name", REFUSED)
class TestWhatCannotBeRead:
    def test_is_refused_and_neither_changed_nor_passed_over(self, name: str) -> None:
        case, journals = CASES[name], journals_with(name)
        kind: type[StateStoreError] = getattr(errors, case["error"])
        with pytest.raises(kind, match=case["says"]):
            journals.open(*NAME).read()
        before = {entry.key: entry.fingerprint for entry in journals.store.scan()}
        if "segment" not in name:
            with pytest.raises(kind, match=case["says"]):
                journals.open(*NAME).append(["more"])
            (problem,) = journals.list().problems
            assert problem.key == KEY
        with pytest.raises(kind, match=case["says"]):
            journals.open(*NAME).fork("copy")
        after = {entry.key: entry.fingerprint for entry in journals.store.scan()}
        assert {key: after.get(key) for key in before} == before


def test_a_key_of_the_caller_is_known_again() -> None:
    for name in ("sound", "with-segments"):
        journals = journals_with(name)
        length = len(CASES[name]["items"])
        assert journals.open(*NAME).append(["again"], key="request-41").length == length


def test_what_a_head_holds_needs_no_segment() -> None:
    assert journals_with("missing-segment").open(*NAME).read(last=2) == ["five", "six"]


def test_unknown_fields_survive_when_a_head_is_written_anew() -> None:
    journals = journals_with("unknown-fields")
    journals.open(*NAME).append(["x" * 70_000])
    blob = journals.store.get(KEY)
    assert blob
    assert decode_head(blob.data).header.more == {"later": {"a": [1]}}
