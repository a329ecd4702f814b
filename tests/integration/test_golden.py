"""What the original wrote, and what it reads: each deliberate difference is listed here.

The same list, with reasons, is in docs/format.md.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support import GOLDEN, golden_lines, tree

from statekeep import (
    CorruptDataError,
    Documents,
    InvalidDocumentError,
    InvalidKeyError,
    Session,
    Sessions,
    load_pruner,
    open_store,
)
from statekeep.format.json import decode_json, encode_json
from statekeep.format.values import plain_value
from statekeep.timestamps import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from statekeep import StateStore

UNHOLDABLE = {"time-leap-second", "time-year-0", "time-year-10000", "time-year-negative"}

ACCEPTED_BY_US_ALONE = {"duplicate field id", "duplicate content in a message"}
REFUSED_BY_US_ALONE = {
    "lone surrogate in an unknown field",
    "1e400 in an unknown field",
    "the session as an array of nine",
    "the session as an array of eight",
    "a message as an array",
    "a response as an array",
}

CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")


def _to_microseconds(value: Any) -> Any:
    """Cut the fractions of all times, as statekeep does when it reads."""
    if isinstance(value, dict):
        return {key: _to_microseconds(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_to_microseconds(each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
        return format_timestamp(parse_timestamp(value))
    return value


def _without_unknown(value: Any, known: Any) -> Any:
    """Leave out the fields that the original forgets and statekeep keeps."""
    if isinstance(known, dict) and isinstance(value, dict):
        return {key: _without_unknown(each, known[key]) for key, each in value.items()
                if key in known}  # fmt: skip
    if isinstance(known, list) and isinstance(value, list) and len(known) == len(value):
        return [_without_unknown(*pair) for pair in zip(value, known, strict=True)]
    return value


@pytest.fixture
def rust_store(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN / "rust-store", tmp_path / "rust-store")


@pytest.fixture
def store(rust_store: Path) -> Iterator[StateStore]:
    with open_store(rust_store) as store:
        yield store


class TestAStoreThatTheOriginalWrote:
    def test_lists_as_the_original_lists_it(self, store: StateStore) -> None:
        dump = [line for line in golden_lines("rust-store.dump.jsonl") if "message_count" in line]
        expected = [_to_microseconds(line) for line in dump if line["id"] not in UNHOLDABLE]
        listed = [summary.to_dict() for summary in Sessions(store).list()]
        assert len(listed) == 36
        # The original leaves the order of equal times to chance; ours is by id.
        assert listed == sorted(
            sorted(expected, key=lambda line: line["id"]),
            key=lambda line: parse_timestamp(line["updated_at"]),
            reverse=True,
        )

    def test_every_session_loads_to_what_the_original_read(self, store: StateStore) -> None:
        sessions = Sessions(store)
        checked = 0
        for line in golden_lines("rust-store.dump.jsonl"):
            if "canonical" in line and line["id"] not in UNHOLDABLE:
                session = sessions.load(line["id"])
                assert session is not None
                canonical = _to_microseconds(json.loads(line["canonical"]))
                assert json.loads(session.to_json()) == canonical
                checked += 1
        assert checked == 36

    def test_what_a_datetime_cannot_hold_is_a_problem_and_never_altered(
        self, store: StateStore, rust_store: Path
    ) -> None:
        before = tree(rust_store)
        sessions = Sessions(store)
        assert {problem.key for problem in sessions.list().problems} == {
            f"sessions/{name}.json" for name in UNHOLDABLE
        }
        for name in UNHOLDABLE:
            with pytest.raises(CorruptDataError):
                sessions.load(name)
            with pytest.raises(CorruptDataError):
                sessions.delete(name)
        assert tree(rust_store) == before
        sessions.prune(load_pruner("max-sessions", max_sessions=1))
        left = {key: data for key, data in tree(rust_store).items() if key.startswith("sessions/")}
        assert left.keys() == {
            *(f"sessions/{name}.json" for name in UNHOLDABLE),
            "sessions/time-year-9999.json",
        }
        assert all(before[key] == data for key, data in left.items())

    def test_every_document_loads(self, store: StateStore, rust_store: Path) -> None:
        documents = Documents(store)
        files = {key: data for key, data in tree(rust_store).items() if "sessions/" not in key}
        listed = documents.list()
        assert len(listed) == len(files) == 20
        for each in listed:
            folder = "" if each.category == "." else f"{each.category}/"
            data = files[f"{folder}{each.name}.{each.kind}"]
            if each.kind == "md":
                text = documents.load_markdown(each.category, each.name)
                assert text is not None
                assert text.value.encode() == data
            else:
                value = documents.load_json(each.category, each.name)
                assert value is not None
                assert value.value == json.loads(data)

    def test_saving_what_was_loaded_changes_no_value(
        self, store: StateStore, rust_store: Path
    ) -> None:
        before = tree(rust_store)
        sessions = Sessions(store)
        for summary in sessions.list():
            session = sessions.load(summary.id)
            assert session is not None
            sessions.save(session)
        after = tree(rust_store)
        assert after.keys() == before.keys()
        for key, data in after.items():
            loadable = key.removeprefix("sessions/").removesuffix(".json") not in UNHOLDABLE
            if key.startswith("sessions/") and loadable:
                assert json.loads(data) == _to_microseconds(json.loads(before[key]))
            else:
                assert data == before[key]


@pytest.mark.parametrize("line", golden_lines("session_texts.jsonl"), ids=lambda line: line["case"])
def test_a_session_text_is_read_as_the_original_reads_it(line: dict[str, Any]) -> None:
    data = line["text"].encode("utf-8", "surrogatepass")
    accepted = (line.get("ok") is not None and line["case"] not in REFUSED_BY_US_ALONE) or (
        line["case"] in ACCEPTED_BY_US_ALONE
    )
    if not accepted:
        with pytest.raises(CorruptDataError):
            Session.from_json(data)
        return
    session = Session.from_json(data)
    assert Session.from_json(session.to_json()) == session
    if line.get("ok") is not None:
        expected = _to_microseconds(json.loads(line["ok"]))
        written = _without_unknown(json.loads(session.to_json()), expected)
        assert written == expected
        if written == json.loads(session.to_json()):
            assert list(written) == list(expected)


def test_a_session_is_written_to_the_byte_as_the_original_writes_it() -> None:
    (plain,) = (line for line in golden_lines("session_texts.jsonl") if line["case"] == "compact")
    assert Session.from_json(plain["text"].encode()).to_json() == plain["ok"].encode()


@pytest.mark.parametrize("line", golden_lines("json_values.jsonl"), ids=lambda line: line["text"])
def test_a_json_text_is_read_as_the_original_reads_it(line: dict[str, Any]) -> None:
    data = line["text"].encode("utf-8", "surrogatepass")
    if "err" in line:
        with pytest.raises(CorruptDataError):
            decode_json(data)
        return
    value = decode_json(data)
    plain_value(value)
    assert decode_json(encode_json(value)) == value
    if line["text"] not in {"9007199254740993.0", "12345678901234567.0"}:
        # Those two the original reads one unit in the last place beside the truth.
        assert value == json.loads(line["ok"])
        if not re.search(r"[0-9]e[0-9]|\{", line["ok"]) and line["text"].strip() != "-0":
            assert encode_json(value) == line["ok"].encode()


def test_every_double_is_written_so_that_it_reads_back() -> None:
    for line in golden_lines("floats.jsonl"):
        (double,) = struct.unpack("<d", struct.pack("<Q", int(line["bits"])))
        if not math.isfinite(double):
            # The original writes null and loses the value; statekeep refuses to.
            with pytest.raises(InvalidDocumentError):
                plain_value(double)
            continue
        assert struct.pack("<d", decode_json(encode_json(double))) == struct.pack("<d", double)
        # The original's own reading may be one unit off; the text it wrote is exact.
        assert struct.pack("<d", float(decode_json(line["text"].encode()))) == (
            struct.pack("<d", double)
        )


@pytest.mark.parametrize("line", golden_lines("timestamps.jsonl"), ids=str)
def test_a_time_is_read_as_the_original_reads_it(line: dict[str, Any]) -> None:
    text = json.dumps(
        {"id": "i", "user_id": "u", "created_at": line["value"], "updated_at": line["value"]}
    ).encode()
    written = line.get("ok", "")
    holdable = re.match(r"(?!0000)\d{4}-", written) and ":60" not in written
    if not holdable:
        with pytest.raises(CorruptDataError):
            Session.from_json(text)
        return
    assert Session.from_json(text).created_at == parse_timestamp(written)
    fraction = re.search(r"\.(\d+)Z", written)
    micros = int(fraction[1][:6].ljust(6, "0")) if fraction else 0
    assert Session.from_json(text).created_at.microsecond == micros


def _deliberately_refused(category: str, name: str) -> bool:
    return not name or bool(CONTROL.search(category + name)) or (
        category.split("/", maxsplit=1)[0].lower() == "sessions"
    )  # fmt: skip


@pytest.mark.parametrize("line", golden_lines("names.jsonl"), ids=ascii)
def test_a_name_is_taken_as_the_original_takes_it(line: dict[str, Any], short_path: Path) -> None:
    category, name = line["category"], line["name"]
    with open_store(short_path / "s", durability="rename") as store:
        documents = Documents(store)
        # The original's limits are those of its temporary names and of an accident with '/.'.
        fits = len(name.encode()) <= 252 and all(
            len(part.encode()) <= 255 for part in category.split("/")
        )
        ours_alone = category == "a/." or (
            line.get("error", "").startswith("File name too long")
            and fits
            and len(category.encode()) < 3500
        )
        if (line["accept"] and not _deliberately_refused(category, name)) or ours_alone:
            documents.save_markdown(category, name, "text")
            loaded = documents.load_markdown(category, name)
            assert loaded is not None
            assert loaded.value == "text"
            assert [each.name for each in documents.list(category)] == [name]
            if "files" in line:
                assert list(tree(short_path / "s")) == line["files"]
            assert documents.delete(category, name)
        else:
            with pytest.raises(InvalidKeyError):
                documents.save_markdown(category, name, "text")
            assert tree(short_path / "s") == {}
            assert {path.name for path in short_path.glob("s/*")} <= {".statekeep"}


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("n")
    yield path
    # Some of these trees are deeper than shutil.rmtree recurses.
    subprocess.run(["rm", "-rf", str(path)], check=True)
