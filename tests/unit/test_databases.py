"""SQLite files of other programs: which are refused, and what is told of what is damaged."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from theirs import Checkpoints, Messages, said

from statekeep import Journals, NotFoundError, StateStoreError
from statekeep.config import load_importer
from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    OwnershipError,
    PluginNotFoundError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.transport import import_conversations
from statekeep_backends.memory import MemoryStore
from statekeep_plugins.databases.reading import opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from statekeep import StateStore
    from statekeep.transport import ImportsReport


@pytest.fixture
def store() -> StateStore:
    return MemoryStore()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "theirs.db"


def bring(store: StateStore, path: Path, name: str, **given: Any) -> ImportsReport:
    return import_conversations(store, path, load_importer(name), **given)


def remarks(report: ImportsReport) -> list[tuple[str, str]]:
    return [(each.place, each.reason) for one in report.reports for each in one.remarks]


def _other(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes (text)")


def _of_openai(path: Path) -> None:
    with closing(Messages(path)) as theirs:
        theirs.add("a", said("Hello"))


def _of_langgraph(path: Path) -> None:
    with closing(Checkpoints(path)) as theirs:
        theirs.put("a", "1", {"x": 1})


def _of_an_older_time(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE agent_sessions (session_id)")
        db.execute("CREATE TABLE agent_messages (id, session_id)")


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda path: path.write_bytes(b""), "langgraph", "the file is empty"),
        (lambda path: path.write_text("{}"), "openai-agents", "not a SQLite database"),
        (_other, "openai-agents", "no table 'agent_sessions'"),
        (_of_openai, "langgraph", "no table 'checkpoints'"),
        (_of_langgraph, "openai-agents", "no table 'agent_sessions'"),
        (_of_an_older_time, "openai-agents", "no column 'message_data' in its table 'agent_mess"),
        (_of_openai, "codex", "this is a SQLite database"),
        (lambda path: path.write_text('{"statekeep": {}}'), "codex", "an export or a journal"),
        (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd"), "claude-code", "compressed"),
        (lambda path: path.write_text('\0\n{"uuid": ""}'), "codex", "a transcript of claude-code"),
        (lambda path: path.write_text('1\n{"payload": 1}'), "claude-code", "a transcript of codex"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    store: StateStore, path: Path, make: Callable[[Path], object], name: str, message: str
) -> None:
    make(path)
    with pytest.raises(CorruptDataError, match=message) as caught:
        bring(store, path, name)
    assert caught.value.store == str(path)
    assert not [*store.scan()]


def test_a_folder_is_gone_through(store: StateStore, tmp_path: Path) -> None:
    for made in (_other, _of_langgraph, _of_openai):
        made(tmp_path / f"{made.__name__}.db")
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 1000)
    (tmp_path / "text.db").write_text("no")
    report = bring(store, tmp_path, "openai-agents")
    assert (report.imported, report.failed) == (1, 1)
    assert report.failures[0].path == str(tmp_path / "torn.db")
    assert "damaged" in str(report.failures[0].error)
    assert not report.only_conflicts
    assert [each.name for each in tmp_path.glob("*-*")] == []
    with pytest.raises(NotFoundError, match="nothing of the kind"):
        bring(store, tmp_path, "codex")
    with pytest.raises(NotFoundError, match="no such file or folder"):
        bring(store, tmp_path / "none", "codex")
    with pytest.raises(PluginNotFoundError, match="did you mean 'langgraph'"):
        load_importer("langgraf")


def test_a_damaged_page_is_told(store: StateStore, path: Path) -> None:
    with closing(Messages(path)) as theirs:
        theirs.add("a", *[said("x" * 1000) for _ in range(100)])
    data = bytearray(path.read_bytes())
    data[5 * 4096 : -4096] = b"\xff" * (len(data) - 6 * 4096)
    path.write_bytes(data)
    [failure] = bring(store, path, "openai-agents").failures
    assert isinstance(failure.error, CorruptDataError)
    assert "the database is damaged" in str(failure.error)


def test_what_cannot_be_a_name_keeps_no_other_out(store: StateStore, path: Path) -> None:
    with closing(Messages(path)) as theirs:
        for name in ("", "b" * 3000, "c"):
            theirs.add(name, said("Hello"))
        theirs.db.execute(_ODD, [b"\xff"])
        theirs.add("d", said("Hello"))
        report = bring(store, path, "openai-agents")
    assert report.imported == 4
    assert [type(each.error) for each in report.failures] == [InvalidKeyError]


_ODD = "INSERT INTO agent_sessions (session_id) VALUES (CAST(? AS TEXT))"


def test_others_have_their_own(store: StateStore, path: Path) -> None:
    with closing(Messages(path)) as theirs:
        theirs.add("a", said("Hello"))
        bring(store, path, "openai-agents", user_id="ada")
        theirs.add("a", said("more"))
        report = bring(store, path, "openai-agents", user_id="bob")
    assert [type(each.error) for each in report.failures] == [OwnershipError]


def test_a_journal_of_others_is_left_alone(store: StateStore, path: Path) -> None:
    Journals(store, "openai-agents").open("a").append([said("ours")])
    with closing(Messages(path)) as theirs:
        theirs.add("a")
        assert bring(store, path, "openai-agents").complete  # there is nothing to import
        theirs.add("a", said("Hello"))
        assert bring(store, path, "openai-agents").only_conflicts


def test_what_was_taken_back_is_a_conflict(store: StateStore, path: Path) -> None:
    with closing(Messages(path)) as theirs:
        theirs.add("a", said("Hello"), said("wrong"))
        bring(store, path, "openai-agents")
        theirs.pop("a")
        assert bring(store, path, "openai-agents").complete
        theirs.add("a", said("right"))
        report = bring(store, path, "openai-agents")
    [failure] = report.failures
    assert isinstance(failure.error, ConflictError)
    assert "no longer in the file" in str(failure.error)


def test_a_thread_that_began_anew_is_a_conflict(store: StateStore, path: Path) -> None:
    with closing(Checkpoints(path)) as theirs:
        theirs.put("t", "1", {"x": 1})
        bring(store, path, "langgraph")
        theirs.db.execute("DELETE FROM checkpoints")
        theirs.put("t", "2", {"x": 2})
        assert bring(store, path, "langgraph").only_conflicts


def test_damaged_messages(store: StateStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statekeep_plugins.databases.openai_agents._ROWS", 2)
    with closing(Messages(path)) as theirs:
        theirs.add(
            "a", "[1", b"\0", said("Hello"), "NaN", 10**30, "[" * 100_000, "x" * (17 * 2**20)
        )
        theirs.add("a", json.dumps("y" * (17 * 2**20)), said("on"), "z" * (33 * 2**20))
        report = bring(store, path, "openai-agents")
    assert [place.split()[1] for place, _ in remarks(report)] == ["1", "2", "6", "7", "8", "10"]
    assert remarks(report)[-1][1] == f"it has more than {32 * 2**20} bytes"
    assert "more than 16777216" in remarks(report)[-2][1]
    items = Journals(store, "openai-agents").open("a").read() or []
    assert [items[0], items[-1]] == [said("Hello"), said("on")]
    assert report.added == 4


def test_damaged_checkpoints(store: StateStore, path: Path) -> None:
    with closing(Checkpoints(path, has_paths=False)) as theirs:
        theirs.put("t", "1", {"x": 1})
        theirs.put("t", "2", {}, data=b"\x81", parent="1")
        theirs.put("t", "3", {}, data=None)
        theirs.put("t", "4", {}, kind=None)
        theirs.put("t", "5", {"y": 5}, metadata=b"?")
        theirs.put("t", "6", {"y": 6}, metadata=b"[]")
        theirs.put("t", "7", {"y": 7}, metadata=b'{"n": 123456789012345678901234567890}')
        theirs.put("t", "8", {"y": 8}, kind="json")
        theirs.write("t", "1", "task", "one", None)
        report = bring(store, path, "langgraph")
    assert remarks(report) == [
        ("row 2 of writes", "its value is missing"),
        ("row 2 of checkpoints", "it cannot be read: Input data was truncated"),
        ("row 3 of checkpoints", "its value is missing"),
        ("row 4 of checkpoints", "it has no type"),
        (
            "row 5 of checkpoints",
            "it cannot be read: Expecting value: line 1 column 1 (char 0)",
        ),
        ("row 6 of checkpoints", "its metadata is not a JSON object"),
    ]
    items = Journals(store, "langgraph").open("t").read() or []
    assert [each.get("checkpoint", "writes") for each in items] == ["1", "writes", "7", "8"]
    assert [items[2]["metadata"][0], items[3]["data"][0]] == ["json", "json"]
    assert items[1]["path"] == ""


@pytest.mark.parametrize("kind", ["pickle", "msgpack+aes"])
def test_what_only_its_program_reads_makes_nothing(
    store: StateStore, path: Path, kind: str
) -> None:
    with closing(Checkpoints(path)) as theirs:
        theirs.put("t", "1", {"x": 1}, kind=kind)
        report = bring(store, path, "langgraph")
    assert isinstance(report.failures[0].error, UnsupportedError)
    assert kind in str(report.failures[0].error)
    assert not [*store.scan()]


def test_a_value_that_stays_is_attached_once(store: StateStore, path: Path) -> None:
    with closing(Checkpoints(path)) as theirs:
        theirs.put("t", "1", {"x": "y" * 10_000})
        [[data]] = theirs.db.execute("SELECT checkpoint FROM checkpoints")
        for n in range(2, 9):
            theirs.put("t", f"{n}", {}, data=data, parent=f"{n - 1}")
        bring(store, path, "langgraph")
    items = Journals(store, "langgraph").open("t").read() or []
    assert len(items) == 8
    assert len({each["values"]["x"][1]["ref"] for each in items}) == 1


def test_a_program_that_opens_it_meanwhile_is_noticed(path: Path) -> None:
    _of_openai(path)
    with opened(path, {"agent_messages": {"id"}}, "somebody") as database:
        assert database.row("SELECT 1 FROM agent_messages")
        theirs = sqlite3.connect(path)
        theirs.execute("INSERT INTO agent_messages (session_id, message_data) VALUES ('a', 'b')")
        theirs.commit()
        with pytest.raises(UnavailableError, match="import it again"):
            database.row("SELECT 1 FROM agent_messages")
    theirs.close()
    with pytest.raises(StateStoreError), opened(path / "below", {}, "somebody"):
        pass


def test_reports_are_bounded(
    store: StateStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statekeep.transport.conversations._MOST", 3)
    with closing(Messages(path)) as theirs:
        for n in range(5):
            theirs.add(f"s{n}", said("Hello"), "{", "{")
        for n in range(5):
            theirs.db.execute(_ODD, [b"\xff%d" % n])
        theirs.db.commit()
        report = bring(store, path, "openai-agents")
    assert (report.imported, report.failed, report.damaged) == (5, 5, 10)
    assert (len(report.reports), len(report.failures), len(remarks(report))) == (3, 3, 3)
