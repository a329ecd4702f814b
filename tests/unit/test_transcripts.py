"""Transcripts of other programs: all that is sound comes in once, the rest is told and kept."""

from __future__ import annotations

import errno
import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import Journals, OwnershipError
from statekeep.config import load_importer
from statekeep.errors import AccessDeniedError, ConflictError, NotFoundError, UnavailableError
from statekeep.store import StoreWrapper
from statekeep.transport import import_conversations
from statekeep_backends.memory import MemoryStore
from statekeep_plugins.marks import MARK
from statekeep_plugins.transcripts import import_transcript, transcripts_in

if TYPE_CHECKING:
    from pathlib import Path

    from statekeep import Journal, StateStore
    from statekeep.store import Version
    from statekeep.transport import ImportReport

UUID = "0198f2d4-1111-4222-8333-abcdefabcdef"


def entry(n: int, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": f"Say {n}"}
    at = f"2026-01-01T00:00:{n % 60:02}.000Z"
    return {"type": "user", "uuid": f"u{n}", "timestamp": at, "message": message, **more}


def written(entries: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in entries)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "projects" / "-home-ada-work"
    folder.mkdir(parents=True)
    return folder / f"{UUID}.jsonl"


@pytest.fixture
def store() -> StateStore:
    return MemoryStore()


@pytest.fixture
def journal(store: StateStore) -> Journal:
    return Journals(store, "claude").open("-home-ada-work", UUID)


def bring(store: StateStore, path: Path) -> ImportReport:
    return import_transcript(store, path, "claude-code")


def test_entries_come_in_once_and_what_follows_later(
    store: StateStore, journal: Journal, path: Path
) -> None:
    entries = [entry(n) for n in range(2500)]
    path.write_bytes(written(entries))
    seen: list[int] = []
    report = import_transcript(store, path, "claude-code", user_id="ada", progress=seen.append)
    assert (report.added, report.unchanged, report.damaged) == (2500, 0, 0)
    assert seen == [1000, 2000, 2500]
    assert journal.read() == entries
    head = journal.head()
    assert head is not None
    assert head.user_id == "ada"
    assert head.metadata["title"] == "Say 0"
    assert head.metadata["latest"] == "2026-01-01T00:00:59.000Z"
    assert head.metadata["mtime"] == path.stat().st_mtime_ns // 10**6
    assert bring(store, path).added == 0
    now = journal.head()
    assert now is not None
    assert now.version == head.version
    with path.open("ab") as file:
        file.write(written([entry(2500)]))
    assert bring(store, path).added == 1
    assert journal.read(last=2) == [entry(2499), entry(2500)]


def test_damaged_lines_are_told_and_kept(store: StateStore, journal: Journal, path: Path) -> None:
    lines = [
        *written([entry(0)]).splitlines(),
        b"\0" * 100,
        b'{"type":"us' + written([entry(1)]).strip(),
        b"\0\0" + written([entry(2)]).strip(),
        b"[1]",
        b"",
        b"\xff\xfe",
        *written([entry(3)]).splitlines(),
    ]
    path.write_bytes(b"\n".join(lines) + b'\n{"type":"user","mess')
    report = bring(store, path)
    assert journal.read() == [entry(0), entry(2), entry(3)]
    assert [(each.place, each.reason) for each in report.remarks] == [
        ("line 2", "it is all NUL, 100 bytes"),
        ("line 3", "it is not JSON"),
        ("line 4", "NUL bytes around it were left out"),
        ("line 5", "it is not a JSON object"),
        ("line 7", "it is not JSON"),
        ("line 9", "it is cut off"),
    ]
    assert report.damaged == 6
    kept = journal.attachments([each.ref for each in report.remarks if each.ref])
    assert kept[report.remarks[1].ref or ""] == lines[2] + b"\n"
    # Nothing is written again, and the end is told again.
    before = journal.head()
    again = bring(store, path)
    assert [(each.place, each.reason) for each in again.remarks] == [("line 9", "it is cut off")]
    assert journal.head() == before
    with path.open("ab") as file:  # it was being written
        file.write(b'age":{}}\n')
    assert bring(store, path).added == 1
    assert journal.read(last=1) == [{"type": "user", "message": {}}]


@pytest.mark.parametrize("text", ["x" * 17 * 2**20, "\\ud800" * (3 * 2**20)], ids=["plain", "half"])
def test_an_entry_that_is_too_large_is_kept_aside(
    store: StateStore, journal: Journal, path: Path, text: str
) -> None:
    large = b'{"type":"user","text":"%b"}\n' % text.encode()
    path.write_bytes(written([entry(0)]) + large + written([entry(1)]))
    report = bring(store, path)
    assert (report.added, report.damaged) == (2, 1)
    assert journal.read() == [entry(0), entry(1)]
    (told,) = report.remarks
    assert told.place == "line 2"
    assert "more than 16777216" in told.reason
    assert told.ref is not None
    kept = journal.attachments([told.ref])[told.ref]
    assert kept is not None
    assert json.loads(kept) == json.loads(large)
    assert bring(store, path).added == 0


def test_an_end_without_a_line_feed_counts_once(
    store: StateStore, journal: Journal, path: Path
) -> None:
    path.write_bytes(written([entry(0), entry(1)]).rstrip())
    assert bring(store, path).added == 2
    with path.open("ab") as file:
        file.write(b"\n" + written([entry(2)]) + b"\n{\n")
    report = bring(store, path)
    assert [each.place for each in report.remarks] == ["line 5"]
    assert journal.read() == [entry(0), entry(1), entry(2)]


def test_what_json_says_comes_back_as_it_was(
    store: StateStore, journal: Journal, path: Path
) -> None:
    path.write_bytes(b'{"n":123456789012345678901234567890}\n{"t":"\\ud83d"}\n{"n":NaN}\n')
    assert bring(store, path).added == 3
    assert [json.loads(item) for item in (journal.read() or [])[:2]] == [
        {"n": 123456789012345678901234567890},
        {"t": "\ud83d"},
    ]


class Dying(StoreWrapper):
    """Dies at random."""

    def __init__(self, store: StateStore, drawn: random.Random) -> None:
        super().__init__(store)
        self._drawn = drawn

    def put(self, key: str, data: bytes, **given: Any) -> Version:
        if self._drawn.random() < 0.3:
            raise UnavailableError("it died", key=key, store=self, landed="no")
        return super().put(key, data, **given)


@pytest.mark.parametrize("seed", range(5))
def test_an_import_that_dies_goes_on(
    store: StateStore, journal: Journal, path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statekeep_plugins.transcripts.work._LINES", 10)
    entries = [entry(n, more="x" * 1000) for n in range(200)]
    path.write_bytes(written(entries))
    drawn = random.Random(seed)
    added = 0
    for _ in range(1000):
        try:
            bring(Dying(store, drawn), path)
        except UnavailableError:
            continue
        added += 1
        break
    assert added == 1
    assert journal.read() == entries


@pytest.mark.parametrize("change", ["file", "journal", "other"])
def test_what_is_something_else_is_left_alone(
    store: StateStore, journal: Journal, path: Path, change: str
) -> None:
    path.write_bytes(written([entry(0), entry(1)]))
    if change != "other":
        bring(store, path)
    if change == "file":
        path.write_bytes(written([entry(5), entry(1), entry(2)]))
    else:
        journal.append([entry(9)])
    before = journal.head()
    with pytest.raises(ConflictError, match="nothing was changed"):
        bring(store, path)
    assert journal.head() == before


def test_a_conflict_in_the_middle_says_what_stays(
    store: StateStore, journal: Journal, path: Path
) -> None:
    path.write_bytes(written([entry(n) for n in range(1500)]))

    def interfere(lines: int) -> None:
        if lines == 1000:
            journal.append([{"from": "somebody else"}])

    with pytest.raises(ConflictError, match=r"items added before \(1000\) stay"):
        import_transcript(store, path, "claude-code", progress=interfere)
    assert len(journal.read() or []) == 1001


def test_damage_at_the_beginning_is_no_other_kind_of_file(store: StateStore, path: Path) -> None:
    path.write_bytes(bytes(100) + b"\n" + b'{"type": "us')
    report = import_conversations(store, path, load_importer("claude-code"))
    assert (report.damaged, report.failed) == (2, 0)


def test_others_have_their_own(store: StateStore, path: Path) -> None:
    path.write_bytes(written([entry(0)]))
    import_transcript(store, path, "claude-code", user_id="ada")
    path.write_bytes(written([entry(0), entry(1)]))
    with pytest.raises(OwnershipError):
        import_transcript(store, path, "claude-code", user_id="bob")
    with pytest.raises(NotFoundError, match="no such transcript"):
        bring(store, path.with_name("none.jsonl"))


def test_all_of_a_folder_are_found_and_named(store: StateStore, path: Path) -> None:
    inside = path.with_suffix("") / "subagents"
    inside.mkdir(parents=True)
    (inside / "agent-a1.jsonl").write_bytes(written([entry(0, isSidechain=True)]))
    path.write_bytes(written([entry(0)]))
    found = [*transcripts_in(path.parents[1], "claude-code")]
    assert {bring(store, each).name for each in found} == {
        ("-home-ada-work", UUID),
        ("-home-ada-work", UUID, "subagents/agent-a1"),
    }
    assert [*transcripts_in(path, "claude-code")] == [path]
    with pytest.raises(NotFoundError, match="no such folder"):
        [*transcripts_in(path.with_name("none"), "claude-code")]


def test_those_of_codex_go_by_their_session(store: StateStore, tmp_path: Path) -> None:
    path = tmp_path / f"rollout-2026-01-01T00-00-00-{UUID}.jsonl"
    said = [{"type": "input_text", "text": "<environment_context>"}]
    asked = [{"type": "input_text", "text": "Mend the\nparser"}]
    lines = [
        {"type": "session_meta", "payload": {"id": UUID}},
        {"type": "response_item", "payload": {"role": "user", "content": said}},
        {"type": "response_item", "payload": {"role": "user", "content": asked}},
    ]
    path.write_bytes(written(lines))
    (tmp_path / "other.jsonl").write_bytes(b"{}\n")
    (found,) = transcripts_in(tmp_path, "codex")
    assert import_transcript(store, found, "codex").name == (UUID,)
    head = Journals(store, "codex").open(UUID).head()
    assert head is not None
    assert head.metadata["title"] == "Mend the parser"
    assert head.metadata[MARK]["lines"] == 3
    assert Journals(store, "codex").open(UUID).read() == lines


def test_a_folder_may_hold_what_is_no_file_and_what_cannot_be_read(
    store: StateStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(written([entry(0)]))
    pipe = path.with_name("pipe.jsonl")
    os.mkfifo(pipe)
    with pytest.raises(NotFoundError, match="nothing of the kind"):
        import_conversations(store, pipe, load_importer("codex"))
    path.with_name("folder.jsonl").mkdir()
    path.with_name("link.jsonl").symlink_to("nowhere")
    private = path.parents[1] / "private"
    private.mkdir()

    def scan(folder: str) -> Any:
        if folder == str(private):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return real(folder)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    for name in ("claude-code", "langgraph"):
        found = import_conversations(store, path.parents[1], load_importer(name))
        assert {each.path for each in found.failures} == {
            str(private), str(path.with_name("link.jsonl"))
        }  # fmt: skip
        assert found.added == (name == "claude-code")


def test_a_path_that_cannot_be_reached_is_told(
    store: StateStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(at: Path, **_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(at))

    with pytest.raises(NotFoundError):
        import_conversations(store, "a\0b", load_importer("codex"))
    monkeypatch.setattr(type(path), "stat", refuse)
    with pytest.raises(AccessDeniedError, match="reached"):
        import_conversations(store, path, load_importer("codex"))
    with pytest.raises(AccessDeniedError, match="reached"):
        [*transcripts_in(path, "codex")]
