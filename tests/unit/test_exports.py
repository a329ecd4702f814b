"""Exports: what comes back is what went, and nothing else."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import json_values, texts

from statekeep.errors import (
    ConfigError,
    ConflictError,
    CorruptDataError,
    NotFoundError,
    UnsupportedError,
)
from statekeep.format.json import encode_json
from statekeep.store import is_key
from statekeep.transport import CopyReport, export_documents, import_documents
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from statekeep import StateStore

DATA = Path(__file__).parents[1] / "data" / "exports"
OURS = {".statekeep", "sessions", "journals"}

keys = (
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3)
    .map("/".join)
    .filter(is_key)
    .filter(lambda key: key.casefold().split("/")[0] not in OURS)
)
json_lines = st.lists(json_values).map(
    lambda lines: b"".join(orjson.dumps(e) + b"\n" for e in lines)
)
contents = (
    st.binary()
    | texts.map(str.encode)
    | json_values.map(orjson.dumps)
    | json_values.map(encode_json)
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_lines
)


def stored(store: StateStore) -> dict[str, bytes]:
    return {
        entry.key: blob.data for entry in store.scan() if (blob := store.get(entry.key)) is not None
    }


def filled(documents: dict[str, bytes]) -> StateStore:
    store = MemoryStore()
    for key, data in documents.items():
        store.put(key, data)
    return store


def exported(documents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    assert export_documents(filled(documents), file).complete
    return file.getvalue()


def imported(file: bytes) -> tuple[dict[str, bytes], CopyReport]:
    store = MemoryStore()
    report = import_documents(io.BytesIO(file), store)
    return stored(store), report


def line_of(document: dict[str, bytes]) -> bytes:
    return exported(document).splitlines(keepends=True)[1]


def stored_from(path: Path) -> dict[str, bytes]:
    return imported(path.read_bytes())[0]


@given(st.dictionaries(keys, contents, max_size=5))
@settings(max_examples=40)
@example({"a": b"[" * 300 + b"]" * 300, "b": b"[" * 200 + b"]" * 200, "c": b"[" * 253 + b"]" * 253})
@example(
    {"a": b"1.0", "b": b"-0.0", "c": b"1e400", "d": b"18446744073709551616", "e": b'"\\ud800"'}
)
@example({"a": b'{"a":1,"a":2}', "b": b"", "c": b"\n", "d": b"\xef\xbb\xbf{}", "e": b"{}\n\n"})
@example({"a": b"\0" * 100, "b": b"null", "c": b"null\n", "d": b'{"key":1}\n{"end":2}\n'})
def test_what_comes_back_is_what_went(documents: dict[str, bytes]) -> None:
    file = exported(documents)
    back, report = imported(file)
    assert back == documents
    assert report.complete
    assert report.copied == len(documents) == file.count(b"\n") - 2
    for line in file.splitlines():
        json.loads(line)


def test_an_export_of_format_1_is_still_read() -> None:
    # A file that was written by 0.2, never to be written anew.
    back, report = imported((DATA / "1.jsonl").read_bytes())
    assert report.complete
    assert back == {
        "blobs/plots/x.png": b"\x89PNG\0",
        "logs/a.jsonl": b'{"n":1}\n{"n":2}\n',
        "notes/compact.json": b'{"a":1.0}',
        "notes/indented.json": b'{\n  "tokens": 4096\n}',
        "notes/plan.md": "# Plän\n".encode(),
    }


DOCUMENTS = {
    "notes/a.md": "# Ä\n".encode(),
    "notes/b.json": encode_json({"a": [1, 2.5, None]}),
    "notes/c.bin": bytes(range(256)),
    "notes/d.jsonl": b'{"a":1}\n{"a":2}\n',
}
FILE = exported(DOCUMENTS)


@given(at=st.integers(0, len(FILE) - 1), byte=st.integers(0, 255))
@settings(max_examples=200)
def test_whatever_byte_is_changed_nothing_else_comes_back(at: int, byte: int) -> None:
    damaged = FILE[:at] + bytes([byte]) + FILE[at + 1 :]
    try:
        back, report = imported(damaged)
    except (CorruptDataError, UnsupportedError):
        assert at <= FILE.index(b"\n")
        return
    assert back.items() <= DOCUMENTS.items()
    is_last = at == len(FILE) - 1 and byte in b" \r\t\n"
    assert report.complete == (damaged == FILE or is_last)
    # One line is lost at the most, or two that run into each other.
    assert len(back) >= len(DOCUMENTS) - 2


@given(st.integers(1, len(FILE) - 2))
def test_wherever_it_is_torn_it_is_said(end: int) -> None:
    if end <= FILE.index(b"\n") - 1:
        with pytest.raises(CorruptDataError, match="not a statekeep export"):
            imported(FILE[:end])
        return
    back, report = imported(FILE[:end])
    assert not report.complete
    assert back.items() <= DOCUMENTS.items()
    assert len(back) >= FILE[:end].count(b"\n") - 1


def test_damaged_lines_are_told_by_number() -> None:
    lines = FILE.splitlines(keepends=True)
    lines[1] = b"\0" * 50 + b"\n"
    lines[3] = lines[3][:20] + b"\n"
    back, report = imported(b"".join(lines))
    assert len(back) == 2
    assert [(each.line, each.reason) for each in report.remarks] == [
        (2, "it has 51 bytes and no text, all NUL"),
        (4, "it is damaged: not JSON"),
    ]


def test_lines_of_one_key_are_told_apart() -> None:
    store = filled({"a.md": b"Mine"})
    file = exported({"a.md": b"One"}) + exported({"a.md": b"Two"})
    report = import_documents(io.BytesIO(file), store)
    assert [(each.key, each.line) for each in report.remarks] == [("a.md", 2), ("a.md", 5)]


def test_lines_that_are_missing_are_missed() -> None:
    lines = FILE.splitlines(keepends=True)
    del lines[2]
    back, report = imported(b"".join(lines))
    assert len(back) == 3
    assert [each.reason for each in report.remarks] == [
        "the lines differ from the 4 documents exported"
    ]


def test_exports_can_be_put_together() -> None:
    back, report = imported(FILE + exported({"other.md": b"Other"}))
    assert report.complete
    assert back == {**DOCUMENTS, "other.md": b"Other"}


def test_one_that_was_cut_off_is_told_though_others_follow() -> None:
    cut = b"".join(FILE.splitlines(keepends=True)[:3])
    back, report = imported(cut + exported({"other.md": b"Other"}))
    assert len(back) == 3
    assert [(each.line, each.reason) for each in report.remarks] == [
        (4, "before this line, the end of the export is missing; the file was cut off")
    ]


def test_what_follows_the_end_is_vouched_for_by_none() -> None:
    line = line_of({"other.md": b"Other"})
    for more in (line, line + FILE):
        _, report = imported(FILE + more)
        assert [each.line for each in report.remarks] == [8]


@pytest.mark.parametrize("file", [b"", b"{}\n", b"Hello\n", b"[1]\n", b'"key"\n', FILE[1:]])
def test_what_is_no_export_is_refused(file: bytes) -> None:
    with pytest.raises(CorruptDataError, match="not a statekeep export"):
        imported(file)


def test_a_newer_export_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="format 2"):
        imported(FILE.replace(b'"export":1', b'"export":2', 1))


@pytest.mark.parametrize("key", [".statekeep/retention.json", ".statekeep/cache/a.json", "../a"])
def test_keys_that_no_export_holds_are_refused(key: str) -> None:
    from statekeep.store import Blob, Version
    from statekeep.transport.lines import encode_document

    line = encode_document(key, Blob(b"{}", Version(""), None))
    back, report = imported(FILE.replace(b'{"end"', line + b'{"end"'))
    assert back == DOCUMENTS
    assert "an export cannot contain this key" in report.remarks[0].reason


@pytest.mark.parametrize("data", [b'"\\' * 5000, b"\\" * 9999, b"\xff" * 9999, b"\n" * 9999])
def test_what_is_large_is_read_if_it_is_one_text(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr("statekeep.transport.lines._PARSED", 1000)
    for key in ("a.md", 'a"b{"key":.md', "ä/b.md"):
        back, report = imported(exported({key: data}))
        assert report.complete
        assert back == {key: data}


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("data", [b"{}\n" * 3000, b"[%b1]" % (b"{}," * 3000)])
def test_what_is_large_and_takes_more_memory_is_never_parsed(
    monkeypatch: pytest.MonkeyPatch, data: bytes, *, torn: bool
) -> None:
    whole = exported({"a.md": b"# A", "b.json": data, "c.md": b"# C"}).splitlines(keepends=True)
    large = whole[2]
    beside = whole[1].replace(b'"# A"', b'"# A","x":[%b1]' % (b"{}," * 3000))
    assert imported(b"".join([whole[0], beside, *whole[2:]]))[0]["a.md"] == b"# A"
    monkeypatch.setattr("statekeep.transport.lines._PARSED", 1000)
    parsed: list[int] = []
    parse = orjson.loads

    def loads(line: bytes) -> object:
        parsed.append(len(line))
        return parse(line)

    monkeypatch.setattr("statekeep.transport.lines.orjson.loads", loads)
    if torn:
        _, report = imported(b"".join(whole[:2]) + large[:-9])
        assert report.remarks[0].reason == "it is cut off"
    else:
        _, report = imported(b"".join([whole[0], beside, *whole[2:]]))
        assert {each.line for each in report.remarks} == {2, 3}
        assert "bytes, too many to parse" in report.remarks[0].reason
    assert max(parsed) < 2000


def test_what_no_import_would_read_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("files", "exporting"):
        monkeypatch.setattr(f"statekeep.transport.{module}.MAX_LINE", 1000, raising=False)
    rest = 1000 - len(line_of({"a.md": b""}))
    file = io.BytesIO()
    documents = {"a.md": b"x" * rest, "b.md": b"x" * (rest + 1), "c.md": b""}
    report = export_documents(filled(documents), file)
    assert [each.key for each in report.remarks] == ["b.md"]
    assert (report.copied, report.failed) == (2, 1)
    back, told = imported(file.getvalue())
    assert told.complete
    assert back == {"a.md": b"x" * rest, "c.md": b""}


class TestFiles:
    def test_are_whole_or_not_there(self, tmp_path: Path) -> None:
        path = tmp_path / "state.jsonl"

        def fail(_done: int, _total: int) -> None:
            (part,) = tmp_path.iterdir()
            assert re.fullmatch(r"state\.jsonl\.[0-9a-f]{8}\.part", part.name)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export_documents(filled(DOCUMENTS), path, progress=fail)
        assert [*tmp_path.iterdir()] == []

    def test_are_not_overwritten_unless_asked(self, tmp_path: Path) -> None:
        path = tmp_path / "state.jsonl"
        path.write_bytes(b"mine")
        with pytest.raises(ConflictError, match="already"):
            export_documents(filled(DOCUMENTS), path)
        assert path.read_bytes() == b"mine"
        export_documents(filled(DOCUMENTS), str(path), overwrite=True)
        store = MemoryStore()
        assert import_documents(path, store).copied == 4
        assert import_documents(path, store).equal == 4

    def test_of_two_who_write_one_at_once_both_are_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "state.jsonl"
        theirs = tmp_path / "state.jsonl.part"
        theirs.write_bytes(b"somebody's")

        def write_another(_done: int, _total: int) -> None:
            export_documents(filled({"other.md": b"Other"}), path)
            assert import_documents(path, MemoryStore()).complete

        with pytest.raises(ConflictError, match="already"):
            export_documents(filled(DOCUMENTS), path, progress=write_another)
        assert stored_from(path) == {"other.md": b"Other"}
        path.unlink()
        export_documents(filled(DOCUMENTS), path, progress=write_another, overwrite=True)
        assert stored_from(path) == DOCUMENTS
        assert theirs.read_bytes() == b"somebody's"
        assert {*tmp_path.iterdir()} == {path, theirs}

    def test_that_are_not_there_are_named(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.jsonl", tmp_path / "none" / "a.jsonl"):
            with pytest.raises(NotFoundError, match=r"none.*jsonl"):
                import_documents(path, MemoryStore())
        with pytest.raises(NotFoundError, match="none"):
            export_documents(MemoryStore(), tmp_path / "none" / "a.jsonl")
        for name in ("", ".", "/"):
            with pytest.raises(ConfigError, match="not a file name"):
                export_documents(MemoryStore(), name, overwrite=True)
        with pytest.raises(TypeError, match="a path or a binary file, not int"):
            export_documents(MemoryStore(), 5)  # type: ignore[arg-type]

    def test_in_zstd_are_read_by_others_and_by_us(self, tmp_path: Path) -> None:
        pytest.importorskip("zstandard")
        path = tmp_path / "state.jsonl.zst"
        export_documents(filled(DOCUMENTS), path)
        store = MemoryStore()
        assert import_documents(path, store).complete
        assert stored(store) == DOCUMENTS
        whole = path.read_bytes()
        assert whole[:4] == b"\x28\xb5\x2f\xfd"
        if shutil.which("zstd"):
            told = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True)
            assert imported(told.stdout)[0] == DOCUMENTS
        with path.open("rb") as opened:
            assert import_documents(opened, MemoryStore()).complete
            assert not opened.closed
        twice = io.BytesIO(whole + whole)
        assert import_documents(twice, MemoryStore()).complete
        for damaged in (whole[:-20], whole[:60] + b"\xff\xff" + whole[62:], whole[:-1] + b"\0"):
            try:
                report = import_documents(io.BytesIO(damaged), MemoryStore())
            except CorruptDataError:
                continue
            assert not report.complete
