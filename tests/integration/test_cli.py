"""The command line, as a person and as a script uses it."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import GOLDEN, at_terminal, tree
from theirs import Checkpoints, Messages

from statekeep import Documents, Journals, Session, Sessions, load_pruner, open_store
from statekeep.cli.errors import INTERRUPTED
from statekeep.store.keys import session_key

if TYPE_CHECKING:
    from collections.abc import Iterator


# Importing takes longer than the command; so it is done once, and each command runs in a fork.
_FORKS = """
import json, os, sys
import rich.status, rich.table
import statekeep.cli.app, statekeep.config.settings, statekeep.plugins.loader
import statekeep_backends.local.store
for line in sys.stdin:
    folder, environment, arguments, *streams = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for descriptor, path in enumerate(streams):
            emptied = os.O_CREAT | os.O_TRUNC if descriptor else 0
            os.dup2(os.open(path, os.O_RDWR | emptied, 0o600), descriptor)
        sys.stdin = os.fdopen(0)
        sys.argv[1:] = arguments
        statekeep.cli.main()
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Shell:
    """Runs ``statekeep`` in a folder, as a process of its own."""

    def __init__(self, folder: Path, outputs: Path, forks: subprocess.Popen[str]) -> None:
        self.folder = folder
        self._outputs = [outputs / "stdout", outputs / "stderr"]
        self._input = outputs / "stdin"
        self._forks = forks

    def on(
        self,
        output: int,
        *arguments: str | bytes,
        encoding: str = "utf-8",
    ) -> tuple[int, str]:
        """Run it with another standard output, in a new process; give its code and errors."""
        ended = subprocess.run(
            [sys.executable, "-m", "statekeep.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": encoding},
            stdout=output,
            stderr=subprocess.PIPE,
            check=False,
        )
        said = ended.stderr.decode()
        assert "Traceback" not in said
        assert "Exception ignored" not in said
        return ended.returncode, said

    def __call__(
        self, *arguments: str, code: int = 0, stdin: str | bytes = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        assert self._forks.stdin
        assert self._forks.stdout
        self._input.write_bytes(stdin if isinstance(stdin, bytes) else stdin.encode())
        asked = [
            str(self.folder),
            {**os.environ, "NO_COLOR": "1", **environment},
            arguments,
            *map(str, [self._input, *self._outputs]),
        ]
        print(json.dumps(asked), file=self._forks.stdin, flush=True)
        ended = subprocess.CompletedProcess(
            arguments,
            int(self._forks.stdout.readline()),
            *(path.read_text() for path in self._outputs),
        )
        assert ended.returncode == code, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _FORKS],
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


@pytest.fixture
def shell(empty_folder: Path, tmp_path: Path, forks: subprocess.Popen[str]) -> Shell:
    return Shell(empty_folder, tmp_path, forks)


@pytest.fixture
def store_url(empty_folder: Path) -> str:
    with open_store(empty_folder / "state") as store:
        start = datetime.now(UTC) - timedelta(days=10)
        for n in range(5):
            moment = start + timedelta(days=n)
            session = Session(
                id=f"s{n}", user_id="ada" if n % 2 else "bob", created_at=moment, updated_at=moment
            )
            store.put(session_key(session.id), session.to_json())
        documents = Documents(store)
        documents.save_markdown("specs/v1", "plan", "# Plan\n\nDo it.\n")
        documents.save_json("specs/v1", "limits", {"tokens": 5})
    return str(empty_folder / "state")


def test_the_demo_keeps_a_conversation_where_it_says(shell: Shell) -> None:
    said = shell("demo").stdout
    where = str(shell.folder / "statekeep-data")
    assert where in said
    assert "\\n" not in said
    commands = re.findall(r"^  \S+ ((?:sessions|documents) .*)$", said, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert shell(*command.split()).stdout
    (session_file,) = (name for name in tree(shell.folder) if "sessions/" in name)
    assert json.loads((shell.folder / session_file).read_bytes())["user_id"] == "ada"
    assert "# Parser" in said
    shell("demo")


def test_a_folder_that_the_original_wrote_works_at_once(shell: Shell) -> None:
    shutil.copytree(GOLDEN / "rust-store", shell.folder / "theirs")
    listed = shell("sessions", "list", "--store", "theirs")
    assert len(listed.stdout.splitlines()) == 37
    assert "time-tie-a" in listed.stdout
    for name in ("time-leap-second", "time-year-0", "time-year-10000", "time-year-negative"):
        assert f"sessions/{name}.json" in listed.stderr
        assert name not in listed.stdout.split()
    shown = shell("sessions", "show", "shape-full", "--store", "theirs").stdout
    assert "question" in shown
    assert "evaluate" in shown
    assert len(shell("documents", "list", "--store", "theirs").stdout.splitlines()) == 21
    assert shell("documents", "show", ".", "at-the-root", "--store", "theirs").stdout


class TestSessions:
    def test_are_listed_newest_first(self, shell: Shell, store_url: str) -> None:
        lines = shell("sessions", "list", "--store", store_url).stdout.splitlines()
        assert [line.split()[0] for line in lines] == ["ID", "s4", "s3", "s2", "s1", "s0"]

    def test_are_listed_for_machines(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            store.put("sessions/bad.json", b"{")
        first = json.loads(
            shell("sessions", "list", "--store", store_url, "--json", "--limit", "3").stdout
        )
        assert [each["id"] for each in first["sessions"]] == ["s4", "s3", "s2"]
        assert [each["key"] for each in first["problems"]] == ["sessions/bad.json"]
        second = json.loads(
            shell("sessions", "list", "--store", store_url, "--json", "--cursor", first["cursor"])
            .stdout
        )  # fmt: skip
        assert [each["id"] for each in second["sessions"]] == ["s1", "s0"]
        assert second["cursor"] is None

    def test_are_filtered(self, shell: Shell, store_url: str) -> None:
        moment = (datetime.now(UTC) - timedelta(days=9)).isoformat()
        listed = shell(
            "sessions", "list", "--store", store_url, "--user", "bob", "--updated-before", moment,
            "--json",
        )  # fmt: skip
        assert [each["id"] for each in json.loads(listed.stdout)["sessions"]] == ["s0"]
        assert "7d, 2h, yesterday, 2026-01-31" in shell(
            "sessions", "list", "--updated-after", "lately", code=2
        ).stderr.replace("\n", " ")

    def test_are_shown(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            Sessions(store).update("s1", lambda session: session.add_user_message("hello"))
        assert "hello" in shell("sessions", "show", "s1", "--store", store_url).stdout
        shown = json.loads(shell("sessions", "show", "s1", "--store", store_url, "--json").stdout)
        assert shown["user_messages"][0]["content"] == "hello"

    def test_cannot_steer_the_terminal(self, shell: Shell, store_url: str) -> None:
        hostile = "\x1b[2J\x07\x9b31m[bold]\u202e"
        with open_store(store_url) as store:
            session = Session.new(hostile, hostile)
            session.add_user_message(hostile)
            Sessions(store).save(session)
            store.put("sessions/\x1b[2J.json", b"{")
        for arguments in (["list"], ["show", hostile]):
            ended = shell("sessions", *arguments, "--store", store_url)
            for text in (ended.stdout, ended.stderr):
                assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
            assert "\\x1b[2J" in ended.stdout
            assert "[bold]" in ended.stdout

    def test_with_half_a_character_are_shown_when_asked(self, shell: Shell, store_url: str) -> None:
        session = Session.new("ada", "half")
        session.add_user_message("cut TEXT")
        with open_store(store_url) as store:
            store.put(session_key("half"), session.to_json().replace(b"TEXT", rb"\ud83d"))
        show = ["sessions", "show", "half", "--store", store_url]
        assert "repair_text='replace'" in shell(*show, code=7).stderr
        assert "cut \ufffd" in shell(*show, "--repair-text").stdout
        shown = json.loads(shell(*show, "--repair-text", "--json").stdout)
        assert shown["user_messages"][0]["content"] == "cut \ufffd"

    def test_are_deleted_as_far_as_they_can_be(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            store.put("sessions/bad.json", b"{")
        asked = ["sessions", "delete", "s1", "bad", "nothing", "s2", "--store", store_url]
        ended = shell(*asked, code=7)
        assert ended.stdout.splitlines() == ["deleted s1", "deleted s2"]
        assert "sessions/bad.json" in ended.stderr
        assert "sessions/nothing.json" in ended.stderr
        report = json.loads(
            shell(*asked[:2], "s3", "s1", "--store", store_url, "--json", code=3).stdout
        )
        assert report["deleted"] == ["s3"]
        assert [each["id"] for each in report["failed"]] == ["s1"]

    def test_are_deleted(self, shell: Shell, store_url: str) -> None:
        assert "deleted s1" in shell("sessions", "delete", "s1", "s2", "--store", store_url).stdout
        assert (
            "no such session"
            in shell("sessions", "delete", "s1", "--store", store_url, code=3).stderr
        )
        assert "s1" not in shell("sessions", "list", "--store", store_url).stdout

    def test_are_pinned_and_pruned(self, shell: Shell, store_url: str) -> None:
        shell("sessions", "pin", "s0", "--store", store_url)
        shell("sessions", "pin", "s1", "--until", "2999-01-01T00:00:00Z", "--store", store_url)
        shell("sessions", "unpin", "s1", "--store", store_url)
        prune = ["sessions", "prune", "--store", store_url, "--strategy", "max-sessions", "--set",
                 "max_sessions=2"]  # fmt: skip
        fresh = json.loads(shell(*prune, "--json").stdout)
        assert fresh["pruned"] == []
        assert {each["reason"] for each in fresh["protected"]} == {
            "pinned",
            "changed within 0:01:00",
        }
        prune += ["--min-idle", "0"]
        dry = shell(*prune, "--dry-run").stdout
        assert re.search(r"^2 would be pruned \(\d+ B\), 3 kept$", dry, re.MULTILINE)
        assert "pinned" in dry
        assert "older than the newest 2" in dry
        report = json.loads(shell(*prune, "--json").stdout)
        assert [each["id"] for each in report["pruned"]] == ["s2", "s1"]
        assert [each["id"] for each in report["protected"]] == ["s0"]
        left = json.loads(shell("sessions", "list", "--store", store_url, "--json").stdout)
        assert [each["id"] for each in left["sessions"]] == ["s4", "s3", "s0"]

    def test_are_pruned_by_the_configured_strategy(self, shell: Shell, store_url: str) -> None:
        asked = shell("sessions", "prune", "--store", store_url, code=2).stderr
        assert "--strategy" in asked
        (shell.folder / "statekeep.toml").write_text(
            '[retention]\nstrategy = "ttl"\noptions = {ttl_hours = 212}\nmin_idle = 0\n'
        )
        pruned = json.loads(shell("sessions", "prune", "--store", store_url, "--json").stdout)
        assert [each["id"] for each in pruned["pruned"]] == ["s1", "s0"]

    def test_wait_in_the_trash_and_come_back(self, shell: Shell, store_url: str) -> None:
        place = ["--store", store_url]
        prune = ["sessions", "prune", *place, "--strategy", "max-sessions", "--set",
                 "max_sessions=3", "--trash", "7", "--min-idle", "0"]  # fmt: skip
        assert "2 pruned" in shell(*prune).stdout
        shell("sessions", "delete", "s4", "--trash", *place)
        listed = json.loads(shell("trash", "list", "--json", *place).stdout)
        assert listed[0]["stem"] == "s4"
        assert {each["stem"] for each in listed} == {"s0", "s1", "s4"}
        assert "s1" in shell("trash", "list", *place).stdout
        assert "restored s1" in shell("sessions", "restore", "s1", *place).stdout
        assert "s1" in shell("sessions", "show", "s1", *place).stdout
        assert (
            "the session already exists"
            in shell("sessions", "restore", "s1", *place, code=4).stderr
        )
        assert (
            "no such session in the trash"
            in shell("sessions", "restore", "s9", *place, code=3).stderr
        )
        copy = next(each["key"] for each in listed if each["id"] == "s0")
        assert "restored s0" in shell("sessions", "restore", "s0", "--copy", copy, *place).stdout
        assert (
            "0 permanently deleted" in shell("trash", "empty", "--older-than", "1", *place).stdout
        )
        assert (
            "3 permanently deleted" in shell("trash", "empty", "--older-than", "0", *place).stdout
        )
        assert "nothing in the trash" in shell("trash", "list", *place).stderr

    def test_are_converted_into_another_form(self, shell: Shell, store_url: str) -> None:
        place = ["--store", store_url]
        convert = ["sessions", "convert", "s1", "s2", *place]
        assert "converted s1\nconverted s2" in shell(*convert, "--form", "journal").stdout
        assert "left unchanged s2" in shell(*convert, "--form", "journal").stdout
        with open_store(store_url) as store:
            blob = store.get("sessions/s1.json")
        assert blob
        assert blob.data.startswith(b'{"statekeep":2,')
        assert "s1" in shell("sessions", "show", "s1", *place).stdout
        gone = shell("sessions", "convert", "none", "s1", *place, "--form", "document", code=3)
        assert "no such session" in gone.stderr
        assert "converted s1" in gone.stdout
        wrong = shell(*convert, "--form", "whole", code=2)
        assert "'document'" in wrong.stderr

    def test_of_a_collection_wait_there_as_well(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            journals = Journals(store, "agents")
            journals.open("ada", "old").append([1], user_id="ada")
            journals.open("ada", "new").append([1], user_id="ada")
            strategy = load_pruner("max-sessions", max_sessions=1)
            assert journals.prune(strategy, trash=timedelta(days=1)).pruned
        place = ["--store", store_url, "--collection", "agents"]
        (listed,) = json.loads(shell("trash", "list", "--json", *place).stdout)
        assert (listed["collection"], listed["name"]) == ("agents", ["ada", "old"])
        assert "ada/old" in shell("trash", "list", *place).stdout
        assert "nothing in the trash" in shell("trash", "list", "--store", store_url).stderr
        assert (
            "1 permanently deleted" in shell("trash", "empty", "--older-than", "0", *place).stdout
        )

    def test_leave_what_the_doctor_sweeps(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            journal = Journals(store, "agents").open("a")
            journal.append(["x" * 100_000])
            journal.delete()
        place = ["--store", store_url]
        told = shell("doctor", *place)
        assert "1 that no journal refers to" in told.stdout
        assert "a prune, or --repair, deletes" in told.stderr
        report = json.loads(shell("doctor", "--repair", "--json", *place).stdout)
        assert report["swept"] == 0
        candidates = Path(store_url) / ".statekeep" / "segments" / "candidates.json"
        past = datetime.now(UTC).timestamp() - 25 * 3600
        os.utime(candidates, (past, past))
        assert "1 orphan deleted" in shell("doctor", "--repair", *place).stdout
        assert "0 problems found" in shell("doctor", *place).stdout

    def test_are_pruned_into_the_configured_trash_by_a_command_alone(
        self, shell: Shell, store_url: str
    ) -> None:
        (shell.folder / "statekeep.toml").write_text(
            '[retention]\nstrategy = "max-sessions"\noptions = {max_sessions = 1}\n'
            'every = "PT1S"\ntrash = "P7D"\nmin_idle = 0\n'
        )
        shell("sessions", "pin", "s0", "--store", store_url)
        left = json.loads(shell("sessions", "list", "--store", store_url, "--json").stdout)
        assert len(left["sessions"]) == 5
        report = json.loads(shell("sessions", "prune", "--store", store_url, "--json").stdout)
        assert len(report["pruned"]) == 3
        listed = json.loads(shell("trash", "list", "--json", "--store", store_url).stdout)
        assert len(listed) == 3


class TestJournals:
    """A shell can keep a conversation."""

    def test_are_appended_to_listed_shown_and_deleted(self, shell: Shell) -> None:
        one, two = '{"role":"user","content":"Hällo"}', '["\\u001b",1.5,null]'
        said = shell("journals", "append", "support", "ada", "t 1", "--user", "ada", "--title", "T",
                     stdin=f"{one}\n\n{two}").stdout  # fmt: skip
        assert said == f"support ada 't 1' has 2 items, in {shell.folder}/statekeep-data\n"
        shell("journals", "append", "support", "ada", "t 1", "--item", "3", "--item", '"4"')
        shown = shell("journals", "show", "support", "ada", "t 1").stdout
        assert shown == f'{one}\n{two}\n3\n"4"\n'
        assert (
            shell("journals", "tail", "support", "ada", "t 1", "--last", "2").stdout == '3\n"4"\n'
        )
        (_, row) = shell("journals", "list").stdout.splitlines()
        assert row.split()[:6] == ["support", "ada", "'t", "1'", "ada", "4"]
        assert "deleted support ada 't 1'" in shell(
            "journals", "delete", "support", "ada", "t 1"
        ).stdout  # fmt: skip
        for command in ("show", "tail", "delete"):
            asked = shell("journals", command, "support", "ada", "t 1", code=3)
            assert "no such journal [key 'journals/support/ada/t 1.jsonl'" in asked.stderr
        assert "no such journals in" in shell("journals", "list").stderr

    def test_what_is_shown_can_be_appended(self, shell: Shell) -> None:
        with open_store(shell.folder / "state") as store:
            items = [{"n": number, "text": "x" * 3000} for number in range(50)]
            Journals(store, "a").open("one").create(items)
        place = ["--store", "state"]
        shown = shell("journals", "show", "a", "one", *place).stdout
        shell("journals", "append", "b", "two", *place, stdin=shown)
        with open_store(shell.folder / "state") as store:
            assert Journals(store, "b").open("two").read() == items

    def test_are_shown_whole_to_machines(self, shell: Shell) -> None:
        shell("journals", "append", "a", "b", "--item", "1", "--item", "2", "--title", "T")
        shown = json.loads(shell("journals", "tail", "a", "b", "--last", "1", "--json").stdout)
        assert (shown["start"], shown["items"]) == (1, [2])
        assert (shown["head"]["metadata"], shown["head"]["length"]) == ({"title": "T"}, 2)
        (listed,) = json.loads(shell("journals", "list", "a", "--json").stdout)["journals"]
        assert (listed["collection"], listed["name"], listed["length"]) == ("a", ["b"], 2)
        head = json.loads(shell("journals", "append", "a", "b", "--item", "3", "--json").stdout)
        assert head["length"] == 3
        gone = json.loads(shell("journals", "delete", "a", "b", "--json").stdout)
        assert gone == {"deleted": {"collection": "a", "name": ["b"]}}

    def test_are_listed_by_what_is_asked_for(self, shell: Shell) -> None:
        with open_store(shell.folder / "state") as store:
            for collection, name, user in [
                ("a", ("ada", "1"), "ada"),
                ("a", ("bob", "1"), "bob"),
                ("b", ("ada", "2"), "ada"),
            ]:
                Journals(store, collection).open(*name).create(
                    user_id=user, metadata={"title": "T"}
                )

        def names(*arguments: str) -> list[tuple[str, str]]:
            listed = shell("journals", "list", *arguments, "--json", "--store", "state").stdout
            return [
                (each["collection"], "/".join(each["name"]))
                for each in json.loads(listed)["journals"]
            ]

        assert names() == [("b", "ada/2"), ("a", "bob/1"), ("a", "ada/1")]
        assert names("a") == [("a", "bob/1"), ("a", "ada/1")]
        assert names("a", "ada") == names("a", "--user", "ada") == [("a", "ada/1")]
        assert names("--user", "ada", "--title", "T") == [("b", "ada/2"), ("a", "ada/1")]
        assert names("--title", "other") == names("c") == []
        paged: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            more = ["--cursor", cursor] if cursor else []
            listed = shell("journals", "list", "--limit", "1", *more, "--json", "--store", "state")
            page = json.loads(listed.stdout)
            paged += [each["collection"] for each in page["journals"]]
            cursor = page["cursor"]
        assert (paged, cursor) == (["b", "a", "a"], None)

    @pytest.mark.parametrize(
        ("stdin", "says"),
        [
            ("1\n{\n2\n", "line 2: not JSON"),
            (b"1\n\xff\n", "line 2: not JSON"),
            ("[" * 100_000, "line 1: not JSON"),
            ("", "no items given"),
            ("\n \n", "no items given"),
        ],
    )
    def test_take_all_items_or_none(self, shell: Shell, stdin: str | bytes, says: str) -> None:
        refused = shell("journals", "append", "a", "b", stdin=stdin, code=2).stderr
        assert says in re.sub(r"\s+", " ", refused)
        assert not (shell.folder / "statekeep-data").exists()

    @pytest.mark.parametrize("item", ["NaN", "99999999999999999999", '"\\ud83d"'])
    def test_refuse_what_cannot_be_stored(self, shell: Shell, item: str) -> None:
        assert "error: " in shell("journals", "append", "a", "b", "--item", item, code=1).stderr
        shell("journals", "show", "a", "b", code=3)

    def test_are_appended_to_once_under_a_key(self, shell: Shell) -> None:
        for _ in range(2):
            shell("journals", "append", "a", "b", "--item", "1", "--key", "request-1")
        assert shell("journals", "show", "a", "b").stdout == "1\n"

    def test_belong_to_their_user(self, shell: Shell) -> None:
        shell("journals", "append", "a", "b", "--item", "1", "--user", "ada")
        refused = shell("journals", "append", "a", "b", "--item", "2", "--user", "bob", code=1)
        assert "does not belong to 'bob'" in refused.stderr

    def test_have_names_of_several_arguments(self, shell: Shell) -> None:
        shell("journals", "append", "a", "-100", "x", "--item", "1")
        assert shell("journals", "show", "a", "-100", "x").stdout == "1\n"
        asked = shell("journals", "show", "a", "-100/x", code=3).stderr
        assert "give each part of a name as its own argument: -100 x" in asked
        assert "Missing argument" in shell("journals", "show", "a", code=2).stderr
        assert (
            "a collection's name has a to z" in shell("journals", "show", "A", "x", code=2).stderr
        )

    def test_that_cannot_be_read_are_said_to_be(self, shell: Shell) -> None:
        with open_store(shell.folder / "state") as store:
            store.put("journals/a/bad.jsonl", b"{}\n")
        place = ["--store", "state"]
        assert "journals/a/bad.jsonl" in shell("journals", "list", *place).stderr
        (problem,) = json.loads(shell("journals", "list", *place, "--json").stdout)["problems"]
        assert problem["key"] == "journals/a/bad.jsonl"
        shell("journals", "show", "a", "bad", *place, code=7)

    def test_cannot_steer_the_terminal(self, shell: Shell) -> None:
        hostile = "\x1b[2J\u202e\x9b31m"
        shell("journals", "append", "a", hostile, "--item", json.dumps(hostile), "--title", hostile)
        for text in (
            shell("journals", "list").stdout,
            _at_a_terminal(shell.folder, "journals", "show", "a", hostile),
        ):
            assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", text)
        assert "\\x1b[2J" in shell("journals", "list").stdout

    def test_make_no_folder_but_by_appending(self, shell: Shell) -> None:
        for arguments in (["list"], ["list", "a"], ["show", "a", "b"], ["delete", "a", "b"]):
            refused = shell("journals", *arguments, "--store", "nowhere", code=3).stderr
            assert "no such folder" in refused
        assert not (shell.folder / "nowhere").exists()


class TestEverything:
    def test_is_listed_in_one_table(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            about = {"title": "Trip"}
            journals = Journals(store, "agents")
            journals.open("ada", "t 1").create([1, 2], user_id="ada", metadata=about)
            Journals(store, "langgraph.writes").open("x").create()
        place = ["--store", store_url]

        def ids(*arguments: str) -> list[str]:
            listed = json.loads(shell("sessions", "list", *arguments, "--json", *place).stdout)
            return [each.get("id") or each["collection"] for each in listed["sessions"]]

        sessions = ["s4", "s3", "s2", "s1", "s0"]
        assert ids() == sessions
        assert ids("--all") == ["langgraph.writes", "agents", *sessions]
        assert ids("--collection", "agents") == ["agents", *sessions]
        assert ids("--all", "--user", "ada") == ["agents", "s3", "s1"]
        assert ids("--all", "--project", "none") == []
        rows = [
            line.split() for line in shell("sessions", "list", "--all", *place).stdout.splitlines()
        ]
        assert rows[0][-2:] == ["TITLE", "COLLECTION"]
        assert rows[2][:5] == ["ada", "'t", "1'", "ada", "2"]
        assert rows[2][-2:] == ["Trip", "agents"]
        assert rows[3][0] == "s4"
        assert "a collection's name has" in shell(
            "sessions", "list", "--collection", "A", *place, code=2
        ).stderr  # fmt: skip


class TestDocuments:
    def test_are_listed(self, shell: Shell, store_url: str) -> None:
        assert "limits" in shell("documents", "list", "--store", store_url).stdout
        listed = json.loads(shell("documents", "list", "--store", store_url, "--json").stdout)
        assert [(each["category"], each["name"], each["kind"]) for each in listed] == [
            ("specs/v1", "limits", "json"),
            ("specs/v1", "plan", "md"),
        ]

    def test_are_shown_to_the_letter(self, shell: Shell, store_url: str) -> None:
        show = ["documents", "show", "--store", store_url, "specs/v1"]
        assert shell(*show, "plan").stdout == "# Plan\n\nDo it.\n"
        assert json.loads(shell(*show, "limits").stdout) == {"tokens": 5}
        shown = json.loads(shell(*show, "plan", "--json").stdout)
        assert (shown["kind"], shown["value"]) == ("md", "# Plan\n\nDo it.\n")

    def test_with_half_a_character_are_shown_when_asked(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            store.put("specs/half.json", rb'"cut \ud83d"')
            store.put("specs/cut.md", b"cut \xf0")
        for name, said in (("half", '"cut \ufffd"\n'), ("cut", "cut \ufffd")):
            show = ["documents", "show", "specs", name, "--store", store_url]
            assert "repair_text='replace'" in shell(*show, code=7).stderr
            assert shell(*show, "--repair-text").stdout == said

    def test_of_one_name_need_a_kind(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            Documents(store).save_json("specs/v1", "plan", 1)
        show = ["documents", "show", "--store", store_url, "specs/v1", "plan"]
        assert "--kind" in shell(*show, code=2).stderr
        assert shell(*show, "--kind", "json").stdout == "1\n"
        assert (
            "no such document"
            in shell("documents", "show", "specs", "nothing", "--store", store_url, code=3).stderr
        )


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (["sessions", "list", "--store", "nowhere:x"], 2, "nowhere"),
            (["sessions", "list", "--store", "s3://k:hunter2@b"], 2, "environment"),
            (["sessions", "list", "--store", "file:x?durable=1"], 2, "durability"),
            (["sessions", "show", "nothing"], 3, "no such session"),
            (["sessions", "pin", "nothing"], 3, "no such folder"),
            (["sessions", "show", "x" * 513], 2, "512"),
            (["sessions", "list", "--cursor", "nonsense"], 2, "cursor"),
            (["sessions", "prune", "--strategy", "tll"], 2, "did you mean 'ttl'"),
            (["sessions", "prune", "--strategy", "ttl", "--set", "hours=1"], 2, "ttl_hours"),
            (["sessions", "prune", "--strategy", "ttl", "--set", "hours"], 2, "NAME=VALUE"),
            (
                ["sessions", "list", "--limit", "many"],
                2,
                "must be a whole number of at least 1, not 'many'",
            ),
            (["sessions", "list", "--limit", "0"], 2, "whole number of at least 1, not '0'"),
            (["documents", "show", "a", "b", "--kind", "txt"], 2, "'json' or 'md'"),
            (["trash", "empty", "--older-than", "-1"], 2, "7d, 2w or PT5M, not '-1'"),
            (["documents", "show", "../x", "y"], 2, "'..'"),
            (["session", "list"], 2, "session"),
        ],
    )
    def test_end_with_a_clear_word_and_code(
        self, shell: Shell, arguments: list[str], code: int, said: str
    ) -> None:
        ended = shell(*arguments, code=code)
        assert said in ended.stderr
        assert "hunter2" not in ended.stderr
        assert ended.stdout == ""

    def test_corrupt_data_has_a_code_of_its_own(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            store.put("sessions/bad.json", b"{")
        said = shell("sessions", "show", "bad", "--store", store_url, code=7).stderr
        assert "sessions/bad.json" in said
        assert store_url in said.replace("\n", "")


def test_the_doctor_gives_back_room_where_there_is_some(shell: Shell) -> None:
    url = "sqlite:state.db?durability=normal"
    file = shell.folder / "state.db"
    with open_store(f"sqlite:{file}") as store:
        store.put("notes/large.md", b"x" * 10**6)
        store.delete("notes/large.md")
    assert file.stat().st_size > 10**6
    assert "0 problems found" in shell("doctor", "--vacuum", "--store", url).stdout
    assert file.stat().st_size < 10**5
    refused = shell("doctor", "--vacuum", "--store", "memory:", code=1)
    assert "a store in memory is empty in each new process" in refused.stderr
    assert "0 problems found" in refused.stdout
    assert "there is none to release" in refused.stderr


class TestListsAndShows:
    @pytest.fixture
    def url(self, shell: Shell) -> str:
        with open_store(shell.folder / "talk") as store:
            sessions = Sessions(store)
            for number, user in enumerate(["ada", "bob", "ada"]):
                session = sessions.get_or_create(user, f"s{number}")
                for turn in range(3 * (3 - number)):
                    session.add_user_message(f"question {turn} {'x' * 1000}")
                    session.add_agent_response(f"answer {turn}", phase_reached=f"p{number}")
                sessions.save(session)
        return "talk"

    def listed(self, shell: Shell, url: str, *options: str) -> list[str]:
        said = shell("sessions", "list", "--json", *options, "--store", url).stdout
        return [each["id"] for each in json.loads(said)["sessions"]]

    def test_are_sorted_and_chosen(self, shell: Shell, url: str) -> None:
        assert self.listed(shell, url) == ["s2", "s1", "s0"]
        assert self.listed(shell, url, "--sort", "size") == ["s0", "s1", "s2"]
        assert self.listed(shell, url, "--sort", "created", "--limit", "1") == ["s2"]
        assert self.listed(shell, url, "--phase", "p1") == ["s1"]
        assert self.listed(shell, url, "--larger-than", "5k") == ["s0", "s1"]
        assert self.listed(shell, url, "--larger-than", "1.5 MB") == []
        assert self.listed(shell, url, "--larger-than", "5k", "--limit", "1") == ["s0"]
        clash = ("--larger-than", "5k", "--sort", "created")
        assert "leave --sort out" in shell("sessions", "list", *clash, code=2).stderr
        assert "10k" in shell("sessions", "list", "--larger-than", "much", code=2).stderr

    def test_show_the_last_messages(self, shell: Shell, url: str) -> None:
        said = shell("sessions", "show", "s2", "--last", "3", "--store", url).stdout
        assert "question 2" in said
        assert "answer 1" in said
        assert "question 1" not in said
        shown = shell("sessions", "show", "s2", "--last", "1", "--json", "--store", url).stdout
        (message,) = json.loads(shown)
        assert (message["role"], message["content"], message["phase_reached"]) == (
            "agent", "answer 2", "p2",
        )  # fmt: skip
        assert message["timestamp"].endswith("Z")
        assert (
            "no such"
            in shell("sessions", "show", "x", "--last", "1", "--store", url, code=3).stderr
        )

    def test_say_whose_a_prune_would_take_and_how_much(self, shell: Shell, url: str) -> None:
        prune = ("sessions", "prune", "--strategy", "max-sessions", "--set", "max_sessions=1")
        said = shell(*prune, "--min-idle", "0", "--dry-run", "--store", url).stdout
        assert "2 would be pruned (1" in said
        assert re.search(r"^ada +1 +\S+ KB *$", said, re.MULTILINE)
        assert re.search(r"^bob +1 +\S+ KB *$", said, re.MULTILINE)


class TestPruningAllThatIsConfigured:
    def test_says_what_would_go_and_prunes_it(self, shell: Shell) -> None:
        (shell.folder / "statekeep.toml").write_text(
            """
            [retention]
            strategy = "max-sessions"
            options = { max_sessions = 1 }
            min_idle = "0"

            [journal_retention.support]
            strategy = "max-sessions"
            options = { max_sessions = 2 }
            min_idle = "0"
            trash = "7d"

            [journal_retention.absent]
            strategy = "ttl"
            """
        )
        assert "no such folder" in shell("prune", code=3).stderr
        with open_store(shell.folder / "statekeep-data") as store:
            for n, user in enumerate(("ada", "bob", "ada", "eve")):
                Sessions(store).get_or_create(user, f"s{n}")
                Journals(store, "support").open(user, f"{n}").append([n], user_id=user)
        ended = shell("prune", "--dry-run")
        said = ended.stdout
        assert "[journal_retention.absent]: the store has no such journals (it has: support)" in (
            " ".join(ended.stderr.split())
        )
        assert "support]" not in ended.stderr
        assert [line for line in said.splitlines() if "would be pruned" in line] == [
            line for line in said.splitlines() if re.match(r"[032] would be pruned", line)
        ]
        for word in ("(sessions)", "support", "absent", "JOURNALS", "SESSIONS", "bob"):
            assert word in said
        found = json.loads(shell("prune", "--dry-run", "--json").stdout)["collections"]
        assert [each["collection"] for each in found] == [None, "absent", "support"]
        assert [len(each["would_prune"]) for each in found] == [3, 0, 2]
        # The command for sessions leaves journals alone.
        assert "3 pruned" in shell("sessions", "prune").stdout
        assert "2 pruned" in shell("prune").stdout
        with open_store(shell.folder / "statekeep-data") as store:
            assert len(Sessions(store).list()) == 1
            assert len(Journals(store, "support").list()) == 2
            assert len(Journals(store, "support").list_trash()) == 2

    def test_needs_some_configuration(self, shell: Shell, store_url: str) -> None:
        said = shell("prune", "--store", store_url, code=2).stderr
        assert "no pruning is configured" in said


class TestSearching:
    @pytest.fixture
    def url(self, shell: Shell) -> str:
        with open_store(shell.folder / "talk") as store:
            sessions = Sessions(store)
            for name, said in (("a", "x" * 200 + " the parser " + "y" * 200), ("b", "Nothing.")):
                session = sessions.get_or_create("ada", name)
                session.add_user_message(f"first line\n{said}\nlast line")
                session.add_agent_response("Yes.", phase_reached="plan")
                sessions.save(session)
            Journals(store, "support").open("eve", "t").append([{"role": "tool", "text": "parser"}])
        return "talk"

    def test_shows_where_it_was_said(self, shell: Shell, url: str) -> None:
        said = shell("search", "parser", "--store", url).stdout.splitlines()
        assert said[0] == "support/eve/t #0 tool: parser"
        assert said[1].startswith("a #0 user: …xxx")
        assert " the parser yyy" in said[1]
        assert len(said[1]) < 200
        around = shell("search", "PARSER", "-i", "-C", "1", "--store", url).stdout
        assert "a #1 agent- Yes." in around
        assert shell("search", "Noth..", "-e", "--limit", "1", "--store", url).stdout

    def test_gives_json_in_lines(self, shell: Shell, url: str) -> None:
        lines = shell("search", "parser", "--json", "--store", url).stdout.splitlines()
        journal, session = map(json.loads, lines)
        assert (journal["collection"], journal["name"]) == ("support", ["eve", "t"])
        (span,) = session["spans"]
        assert session["text"][slice(*span)] == "parser"
        assert (session["id"], session["user_id"], session["role"]) == ("a", "ada", "user")

    def test_that_finds_nothing_says_where_it_looked(self, shell: Shell, url: str) -> None:
        ended = shell("search", "parser", "--user", "eve", "--store", url)
        assert (ended.stdout, "not found in any of 0" in ended.stderr) == ("", True)
        refused = shell("search", "(", "-e", "--store", url, code=2)
        assert "not a valid regular expression" in refused.stderr
        assert shell("search", "x", "--store", "./nowhere", code=3).stdout == ""

    def test_counts_what_is_kept(self, shell: Shell, url: str) -> None:
        said = shell("stats", "--store", url).stdout
        assert said.startswith("3 sessions and journals, 3 messages and items, ")
        for word in ("(sessions)", "support", "ada", "(nobody)", "plan", "WHOLE STORE"):
            assert word in said
        found = json.loads(shell("stats", "--json", "--user", "ada", "--store", url).stdout)
        assert found["total"]["count"] == 2
        assert [each["user_id"] for each in found["users"]] == ["ada"]
        assert {each["place"] for each in found["places"]} >= {"sessions", "journals"}
        assert found["days"][0]["day"]


class TestErasing:
    def test_says_what_goes_and_what_is_left(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            Sessions(store).get_or_create("eve", "hers")
            Sessions(store).get_or_create("bob", "about-eve")
            Documents(store).save_markdown("users/eve", "profile", "# eve")
            before = tree(Path(store_url))
            planned = shell("erase", "eve", "--dry-run", "--json", "--store", store_url)
            plan = json.loads(planned.stdout)
            assert [each["key"] for each in plan["would_erase"]] == ["sessions/hers.json"]
            assert tree(Path(store_url)) == before
            at = ("--documents", "users/eve/*", "--store", store_url)
            said = shell("erase", "eve", "--dry-run", *at)
            assert "2 would be erased" in said.stdout
            assert "backups" in said.stderr
            report = json.loads(shell("erase", "eve", "--json", *at).stdout)
            assert {each["kind"] for each in report["erased"]} == {"document", "session"}
            assert [each["key"] for each in report["mentions"]] == ["sessions/about-eve.json"]
            assert report["complete"]
            store.put("sessions/broken.json", b"{")
            again = shell("erase", "eve", "--verify-everything", *at, code=7)
            assert "0 erased, 0 B; 0 left" in again.stdout
            assert "look at it yourself" in "".join(again.stdout.split("\n")).replace("  ", "")

    def test_takes_a_store_that_is_there(self, shell: Shell) -> None:
        assert "no such folder" in shell("erase", "eve", "--store", "./not-there", code=3).stderr

    def test_empties_the_trash_of_one_user(self, shell: Shell, store_url: str) -> None:
        with open_store(store_url) as store:
            for user in ("eve", "bob"):
                Sessions(store).get_or_create(user, f"of-{user}")
                Sessions(store).delete(f"of-{user}", trash=True)
        place = ("--user", "eve", "--store", store_url)
        (listed,) = json.loads(shell("trash", "list", "--json", *place).stdout)
        assert listed["id"] == "of-eve"
        assert (
            "1 permanently deleted" in shell("trash", "empty", "--older-than", "0", *place).stdout
        )
        assert "of-bob" in shell("trash", "list", "--store", store_url).stdout


def test_a_store_is_made_before_it_is_written(shell: Shell) -> None:
    for _ in range(2):
        assert "sqlite:" in shell("init", "--store", "sqlite:state.db").stdout
        assert (shell.folder / "state.db").exists()
    listed = json.loads(shell("sessions", "list", "--json", "--store", "sqlite:state.db").stdout)
    assert listed["sessions"] == []
    assert "needs no setup" in shell("init", "--store", "./state").stdout
    assert not (shell.folder / "state").exists()


def test_the_environment_chooses_the_store(shell: Shell, store_url: str) -> None:
    assert "s4" in shell("sessions", "list", STATEKEEP_URL=store_url).stdout


def test_help_teaches(shell: Shell) -> None:
    said = shell("--help").stdout
    for word in ("demo", "sessions", "documents", "plugins", "STATEKEEP_URL", "Exit codes"):
        assert word in said
    assert shell("--version").stdout.startswith("statekeep ")


def test_plugins_are_listed_with_their_options(shell: Shell) -> None:
    said = shell("plugins").stdout
    for word in ("file", "memory", "ttl+count", "durability=fsync", "max_sessions=100"):
        assert word in said
    found = json.loads(shell("plugins", "--json").stdout)
    (local,) = (each for each in found if each["name"] == "file")
    assert local["status"] == "ok"
    assert "durability" in local["schema"]["properties"]


class TestGlobalOptions:
    @pytest.mark.parametrize(
        "words",
        [
            ["--store", "URL", "--json", "sessions", "list"],
            ["sessions", "--json", "--store", "URL", "list"],
            ["--json", "sessions", "list", "--store", "URL"],
            ["--store=./elsewhere", "sessions", "list", "--store", "URL", "--json"],
        ],
    )
    def test_stand_before_or_after_the_command(
        self, shell: Shell, store_url: str, words: list[str]
    ) -> None:
        listed = shell(*(store_url if word == "URL" else word for word in words))
        assert len(json.loads(listed.stdout)["sessions"]) == 5

    def test_are_refused_by_a_command_that_has_no_use_for_them(
        self, shell: Shell, store_url: str
    ) -> None:
        said = shell("--json", "sessions", "pin", "s1", "--store", store_url, code=2).stderr
        assert "sessions pin' has no --json" in said
        assert "plugins' has no --store" in shell("--store", store_url, "plugins", code=2).stderr

    @pytest.mark.parametrize(
        "words",
        ["-v sessions list", "sessions -v list", "sessions list -v", "sessions list --verbose"],
    )
    def test_verbose_says_what_is_done(self, shell: Shell, store_url: str, words: str) -> None:
        ended = shell(*words.split(), STATEKEEP_URL=store_url)
        assert re.search(r"debug: Sessions\.list: ok in \d+\.\d ms, 0 requests", ended.stderr)
        assert "debug" not in ended.stdout
        assert shell("sessions", "list", STATEKEEP_URL=store_url).stderr == ""

    def test_verbose_says_nothing_of_other_libraries(self, shell: Shell, store_url: str) -> None:
        import logging

        from statekeep.cli import output

        before = {each: logging.getLogger(each).level for each in ("", *output._OURS)}
        try:
            output.log_debug()
            assert logging.getLogger("statekeep.operations").isEnabledFor(logging.DEBUG)
            assert not logging.getLogger("botocore").isEnabledFor(logging.DEBUG)
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
        said = shell("-v", "documents", "list", STATEKEEP_URL=store_url).stderr
        assert said.startswith("debug: Documents.list: ok in ")


class TestIds:
    @pytest.mark.parametrize("name", ["-100123", "-5:-6", "-1.json"])
    @pytest.mark.rest
    def test_may_be_negative_numbers(self, shell: Shell, store_url: str, name: str) -> None:
        with open_store(store_url) as store:
            Sessions(store).get_or_create(name, name)
        at = ["--store", store_url]
        for words in ([name, *at], [*at, name], [*at, "--", name]):
            assert f"session  {name}" in shell("sessions", "show", *words).stdout
        listed = json.loads(shell("sessions", "list", "--user", name, "--json", *at).stdout)
        assert [each["id"] for each in listed["sessions"]] == [name]
        shell("sessions", "pin", name, "--until", "7d", *at)
        shell("sessions", "unpin", *at, name)
        assert shell("sessions", "delete", "s1", name, "s2", "--trash", *at).stdout.split() == [
            "deleted", "s1", "deleted", name, "deleted", "s2"
        ]  # fmt: skip
        shell("sessions", "restore", name, *at)

    def test_do_not_hide_a_misspelt_option(self, shell: Shell, store_url: str) -> None:
        said = shell("sessions", "show", "-100123", "--stroe", store_url, code=2).stderr
        assert "--stroe" in said
        assert "requires an argument" in shell("sessions", "show", "-5", "--store", code=2).stderr

    def test_that_are_long_are_cut_at_a_terminal_only(self, shell: Shell, store_url: str) -> None:
        name = "chat:" + "x" * 400 + ":end"
        with open_store(store_url) as store:
            Sessions(store).get_or_create("u" * 100, name)
        words = ["sessions", "list", "--limit", "1", "--store", store_url]
        assert name in shell(*words).stdout
        assert name in shell(*words, "--json").stdout
        shown = _at_a_terminal(shell.folder, *words)
        assert name not in shown
        assert re.search("chat:x+…x+:end", shown)
        assert len(shown.splitlines()) <= 4
        assert "…" in _at_a_terminal(shell.folder, *words, "--all")


@pytest.mark.rest
class TestTimes:
    def test_are_written_as_people_do(self, shell: Shell, store_url: str) -> None:
        def names(*words: str) -> list[str]:
            listed = shell("sessions", "list", "--json", "--store", store_url, *words).stdout
            return [each["id"] for each in json.loads(listed)["sessions"]]

        assert names("--updated-before", "9d 12h") == ["s0"]
        assert names("--updated-after", "6d 12h") == ["s4"]
        assert names("--updated-after", "yesterday") == []
        assert len(names("--updated-after", "2024-01-31")) == 5
        assert len(names("--updated-before", "2999-01-31T00:00:00Z")) == 5

    def test_of_a_pin_lie_in_the_future(self, shell: Shell, store_url: str) -> None:
        shell("sessions", "pin", "s1", "--until", "7d", "--store", store_url)
        shown = shell("sessions", "list", "--json", "--store", store_url).stdout
        (until,) = {each["pinned_until"] for each in json.loads(shown)["sessions"]} - {None}
        ahead = datetime.fromisoformat(until) - datetime.now(UTC)
        assert timedelta(days=6, hours=23) < ahead <= timedelta(days=7)

    @pytest.mark.parametrize("time", ["yesterday", "now", "7d ago", "2024-01-31"])
    def test_of_a_pin_that_are_over_are_refused(
        self, shell: Shell, store_url: str, time: str
    ) -> None:
        pin = ["sessions", "pin", "s1", "--store", store_url, "--until", time]
        said = " ".join(shell(*pin, code=2).stderr.split())
        assert f"must be in the future, such as 7d or tomorrow, not '{time}'" in said
        shown = shell("sessions", "list", "--json", "--store", store_url).stdout
        assert {each["pinned_until"] for each in json.loads(shown)["sessions"]} == {None}

    def test_of_a_prune_have_units(self, shell: Shell, store_url: str) -> None:
        prune = ["sessions", "prune", "--strategy", "max-sessions", "--set", "max_sessions=1",
                 "--dry-run", "--json", "--store", store_url]  # fmt: skip
        for idle, said in (
            ("7d 12h", "7 days, 12:00:00"),
            ("180", "7 days, 12:00:00"),
            ("P1D", "1 day, 0:00:00"),
        ):
            planned = json.loads(shell(*prune, "--min-idle", idle).stdout)
            assert {each["reason"] for each in planned["protected"]} == {f"changed within {said}"}
        assert len(json.loads(shell(*prune, "--min-idle", "0").stdout)["would_prune"]) == 4
        assert "7d, 2w or PT5M, not 'soon'" in shell(*prune, "--trash", "soon", code=2).stderr
        empty = ["trash", "empty", "--store", store_url, "--older-than"]
        for age in ("7", "7d", "1 week", "PT1H"):
            assert "0 permanently deleted" in shell(*empty, age).stdout


@pytest.mark.rest
class TestAFolderThatIsNotThere:
    @pytest.mark.parametrize(
        "words",
        [
            ["sessions", "list"],
            ["sessions", "list", "--json"],
            ["sessions", "show", "s"],
            ["sessions", "prune", "--strategy", "ttl", "--dry-run"],
            ["documents", "list"],
            ["documents", "show", "a", "b"],
            ["trash", "list"],
            ["doctor"],
            ["doctor", "--repair"],
            ["sessions", "delete", "s"],
            ["sessions", "delete", "s", "--trash", "--json"],
            ["sessions", "pin", "s"],
            ["sessions", "prune", "--strategy", "ttl"],
            ["sessions", "restore", "s"],
            ["sessions", "unpin", "s"],
            ["trash", "empty", "--older-than", "0"],
        ],
    )
    def test_is_said_not_to_be_there(self, shell: Shell, words: list[str]) -> None:
        ended = shell(*words, "--store", "./nowhere", code=3)
        assert "there is no such folder" in ended.stderr
        assert str(shell.folder / "nowhere") in ended.stderr
        assert ended.stdout == ""
        assert list(shell.folder.iterdir()) == []
        ended = shell(*words, "--store", "sqlite:nowhere.db", code=3)
        assert "there is no such file" in ended.stderr
        assert list(shell.folder.iterdir()) == []

    def test_is_made_by_the_demo(self, shell: Shell) -> None:
        shell("demo", "--store", "./nowhere")
        assert shell("sessions", "list", "--store", "./nowhere").stdout

    def test_is_another_thing_than_an_empty_one(self, shell: Shell) -> None:
        (shell.folder / "empty").mkdir()
        assert "no such sessions" in shell("sessions", "list", "--store", "empty").stderr


@pytest.mark.rest
class TestOutput:
    @pytest.mark.parametrize(
        "words",
        [
            ["sessions", "list"],
            ["sessions", "list", "--json"],
            ["documents", "show", "specs/v1", "plan"],
            ["--help"],
        ],
    )
    def test_that_does_not_fit_is_an_error(
        self, shell: Shell, store_url: str, words: list[str]
    ) -> None:
        at = [] if words == ["--help"] else ["--store", store_url]
        with open("/dev/full", "w") as full:  # noqa: PTH123
            code, said = shell.on(full.fileno(), *words, *at)
        assert code == 1
        assert said == "error: the output cannot be written: No space left on device\n"

    def test_that_nobody_reads_ends_it_without_a_word(self, shell: Shell, store_url: str) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        assert shell.on(writing, "sessions", "list", "--store", store_url) == (1, "")
        assert shell.on(writing, "plugins", "--json") == (1, "")
        os.close(writing)

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_may_be_less_than_utf_8(
        self, shell: Shell, store_url: str, tmp_path: Path, encoding: str
    ) -> None:
        with open_store(store_url) as store:
            Sessions(store).get_or_create("ada", "\u0436😀")
            Documents(store).save_markdown("specs", "z", "\u0436😀")
        written = tmp_path / "written"

        def said(*words: str) -> bytes:
            with written.open("wb") as file:
                code, errors = shell.on(
                    file.fileno(), *words, "--store", store_url, encoding=encoding
                )
            assert (code, errors) == (0, "")
            return written.read_bytes()

        assert rb"\u0436\U0001f600" in said("sessions", "list")
        assert b"\\" in said("sessions", "show", "\u0436😀")
        # Machines and files are given UTF-8.
        listed = json.loads(said("sessions", "list", "--json").decode())
        assert listed["sessions"][0]["id"] == "\u0436😀"
        assert said("documents", "show", "specs", "z").decode() == "\u0436😀"

    def test_can_be_closed_before_it_begins(self, store_url: str) -> None:
        command = f"{sys.executable} -m statekeep.cli sessions list --store {store_url} >&-"
        ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        command = f"{sys.executable} -m statekeep.cli export - --store {store_url} >&-"
        ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (2, "error: standard output is closed\n")

    def test_with_half_a_character_is_still_json(self, capsysbinary: Any) -> None:
        from statekeep.cli import output

        output.print_json({"store": "caf\udce9"})
        assert json.loads(capsysbinary.readouterr().out) == {"store": "caf\udce9"}


@pytest.mark.parametrize(
    "words", [[b"sessions", b"show", b"caf\xe9"], [b"--store", b"\xff", b"doctor"]]
)
def test_an_argument_that_is_not_utf_8_is_refused(shell: Shell, words: list[bytes]) -> None:
    code, said = shell.on(subprocess.DEVNULL, *words)
    assert code == 2
    assert re.fullmatch(r"error: argument [23] is not UTF-8: .*\\udc.*\n", said)


@pytest.mark.parametrize(("columns", "widest"), [(60, 60), (100, 100), (300, 120)])
def test_help_is_as_wide_as_the_terminal(shell: Shell, columns: int, widest: int) -> None:
    said = shell("--help", COLUMNS=str(columns)).stdout
    assert widest - 15 < max(map(len, said.splitlines())) <= widest
    # Nothing is cut.
    assert "..." not in said.replace("[ARGS]...", "")
    assert "with their options." in " ".join(said.split())


def test_a_conversation_is_shown_in_its_order(shell: Shell, store_url: str) -> None:
    session = Session.new("ada", "talk")
    now = datetime.now(UTC)
    session.add_user_message("first", timestamp=now)
    session.add_agent_response("second", timestamp=now - timedelta(hours=1))
    session.add_user_message("third", timestamp=now - timedelta(hours=2))
    with open_store(store_url) as store:
        Sessions(store).save(session)
    said = shell("sessions", "show", "talk", "--store", store_url).stdout
    assert re.findall("first|second|third", said) == ["first", "second", "third"]


def _at_a_terminal(folder: Path, *arguments: str) -> str:
    """What the command line shows at a terminal of 120 columns."""
    command = [sys.executable, "-m", "statekeep.cli", *arguments]
    plain = {"TERM": "dumb", "COLUMNS": "120", "LINES": "25"}
    return at_terminal(command, folder, {**os.environ, **plain})


def test_progress_is_for_terminals_only(shell: Shell, store_url: str) -> None:
    arguments = [sys.executable, "-m", "statekeep.cli", "sessions", "prune", "--store", store_url,
                 "--strategy", "max-sessions", "--set", "max_sessions=1",
                 "--min-idle", "0"]  # fmt: skip
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        arguments,
        cwd=shell.folder,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:
            break
        if not chunk:
            break
        said += chunk
    os.close(ours)
    assert process.wait() == 0
    assert b"4 pruned" in said
    assert b"reading the sessions" not in said  # it was over before that was worth saying
    again = shell("sessions", "prune", "--store", store_url, "--strategy", "ttl")
    assert again.stderr == ""


class TestCopies:
    def test_go_anywhere_and_say_what_they_did(self, shell: Shell, store_url: str) -> None:
        copy = ["copy", store_url, "sqlite:other.db"]
        assert shell(*copy, "--dry-run").stdout.startswith("7 would be copied (")
        assert not (shell.folder / "other.db").exists()
        assert shell(*copy).stdout.startswith("7 copied (")
        assert shell(*copy).stdout == "0 copied (0 B), 7 there already\n"
        listed = shell("sessions", "list", "--json", "--store", "sqlite:other.db").stdout
        assert len(json.loads(listed)["sessions"]) == 5
        with open_store("sqlite:" + str(shell.folder / "other.db")) as store:
            store.put("specs/v1/plan.md", b"Another")
            store.put("specs/v1/more.md", b"More")
        told = shell(*copy)
        assert re.search(r"differs +specs/v1/plan.md", told.stdout)
        assert "--overwrite replaces documents that differ" in told.stderr
        report = json.loads(shell(*copy, "--delete", "--json").stdout)
        assert (report["deleted"], report["differing"], report["complete"]) == (1, 1, True)
        assert report["remarks"][0]["outcome"] == "differs"

    def test_of_what_is_not_there_make_nothing(self, shell: Shell, store_url: str) -> None:
        for words in (["copy", "./no", "other"], ["export", "a.jsonl", "--store", "./no"]):
            assert "there is no such folder" in shell(*words, code=3).stderr
        assert "no" in shell("import", "no.jsonl", "--store", "./other", code=3).stderr
        assert shell("copy", store_url, "other", "--include", "cache", code=2).stdout == ""
        assert [each.name for each in shell.folder.iterdir()] == ["state"]

    def test_need_something_to_read_or_write(self, shell: Shell, store_url: str) -> None:
        nowhere = shell("export", "", "--overwrite", "--store", store_url, code=2)
        assert nowhere.stderr == "error: '' is not a file name\n"
        ended = subprocess.run(
            ["sh", "-c", '"$0" -m statekeep.cli import - --store b <&-', sys.executable],
            cwd=shell.folder,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert ended.stderr.decode() == "error: standard input is closed\n"
        assert ended.returncode == 2

    def test_go_through_a_file_or_a_pipe(self, shell: Shell, store_url: str) -> None:
        from_it = ["--store", store_url]
        assert shell("export", "a.jsonl", *from_it).stdout.startswith("7 exported (")
        assert "--overwrite (in" in shell("export", "a.jsonl", *from_it, code=4).stderr
        piped = shell("export", "-", *from_it).stdout
        assert len(piped.splitlines()) == 9
        assert shell("import", "a.jsonl", "--store", "b").stdout.startswith("7 imported (")
        assert "7 there already" in shell("import", "-", "--store", "b", stdin=piped).stdout
        torn = shell("import", "-", "--store", "c", stdin=piped[:-50], code=1)
        assert re.search(r"failed +line 9 +it is cut off", torn.stdout)
        shell("export", "-", "--json", *from_it, code=2)


def test_an_interrupt_ends_it_with_a_code_of_its_own(shell: Shell) -> None:
    script = "import statekeep.cli; print('ready', flush=True); statekeep.cli.main()"
    words = ["journals", "append", "notes", "ada"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=shell.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (INTERRUPTED, b"")


def test_an_interrupted_copy_says_how_to_resume(shell: Shell) -> None:
    with open_store(shell.folder / "from") as store:
        for n in range(3_000):
            store.put(f"notes/{n}.md", b"x")
    words = ["-m", "statekeep.cli", "copy", "from", "to"]
    with subprocess.Popen(
        [sys.executable, *words], cwd=shell.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stderr
        while process.poll() is None and len([*shell.folder.glob("to/notes/*.md")]) < 10:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == INTERRUPTED
    assert b"interrupted; run the same command again to resume" in said
    assert "there already" in shell("copy", "from", "to").stdout
    assert shell("copy", "from", "to").stdout.startswith("0 copied (0 B), 3000 there already")


def test_one_store_is_not_copied_into_the_other(shell: Shell) -> None:
    open_store(shell.folder / "from").put("a.md", b"A")
    open_store(shell.folder / "from" / "sub").put("a.md", b"A")
    for source, target in (("from", "from/to"), ("from/sub", "file:from")):
        refused = shell("copy", source, target, code=2).stderr
        assert "one store must not lie inside the other" in refused
    assert not (shell.folder / "from" / "to").exists()


class TestImportsOfConversations:
    @pytest.fixture
    def projects(self, shell: Shell) -> Path:
        folder = shell.folder / "projects" / "-home-ada"
        folder.mkdir(parents=True)
        for n in range(3):
            said = {"type": "user", "uuid": f"u{n}", "message": {"content": "Hello"}}
            (folder / f"s{n}.jsonl").write_text(json.dumps(said) + "\n")
        return folder

    def test_of_a_folder(self, shell: Shell, projects: Path) -> None:
        (projects / "s1.jsonl").write_text((projects / "s1.jsonl").read_text() + "{\n")
        words = ["import", "projects", "--from", "claude-code", "--user", "ada", "--store", "b"]
        would = shell(*words, "--dry-run")
        assert would.stdout.endswith(
            "3 items would be added in 3 of 3 conversations, 1 damaged part\n"
        )
        assert not (shell.folder / "b").exists()
        done = shell(*words)
        assert re.search(r"claude +-home-ada/s0 +1 +0", done.stdout)
        assert "s1.jsonl: line 2: it is not JSON" in done.stderr
        assert shell(*words).stdout == "0 items added in 0 of 3 conversations\n"
        listed = json.loads(shell("journals", "list", "--json", "--store", "b").stdout)["journals"]
        assert {each["user_id"] for each in listed} == {"ada"}

    def test_go_on_after_one_that_conflicts(self, shell: Shell, projects: Path) -> None:
        words = ["import", "projects", "--from", "claude-code", "--store", "b"]
        shell(*words)
        with open_store(shell.folder / "b") as store:
            Journals(store, "claude").open("-home-ada", "s1").append([{"type": "user"}])
        for each in projects.iterdir():
            each.write_text(each.read_text() * 2)
        told = shell(*words, "--json", code=4)
        report = json.loads(told.stdout)
        # The same entry twice is there once.
        assert (report["added"], report["failed"], report["complete"]) == (0, 1, False)
        assert "nothing was changed" in report["failures"][0]["error"]
        assert report["failures"][0]["name"] == ["-home-ada", "s1"]
        (projects / "s9.jsonl").symlink_to("nowhere")  # another failure, and not a conflict
        told = shell(*words, code=1)
        assert told.stderr.count("error: ") == 2

    def test_of_something_else_make_nothing(
        self, shell: Shell, store_url: str, projects: Path
    ) -> None:
        shell("export", "a.jsonl", "--store", store_url)
        (shell.folder / "notes.md").write_text("# Notes\n\nNo transcript.\n")
        with sqlite3.connect(shell.folder / "other.db") as db:
            db.execute("CREATE TABLE agent_sessions (session_id)")
        for path, name, code, message in (
            ("notes.md", "codex", 7, "a file without any JSON object at its beginning"),
            ("a.jsonl", "codex", 7, "import an export without --from"),
            ("a.jsonl", "langgraph", 7, "this is not a SQLite database"),
            ("other.db", "langgraph", 7, "no table 'checkpoints'"),
            ("other.db", "openai-agents", 7, "no table 'agent_messages'"),
            ("other.db", "claude-code", 7, "this is a SQLite database"),
            (str(projects / "s0.jsonl"), "codex", 7, "a transcript of claude-code"),
            ("no", "codex", 3, "there is no such file or folder"),
            ("projects", "codx", 2, "did you mean 'codex'? there are: claude-code, codex, lang"),
        ):
            assert (
                message in shell("import", path, "--from", name, "--store", "b", code=code).stderr
            )
        shell("import", "a.jsonl", "--user", "ada", "--store", "b", code=2)
        shell("import", "projects", "--from", "codex", "--overwrite", "--store", "b", code=2)
        assert not (shell.folder / "b").exists()

    def test_of_sqlite(self, shell: Shell) -> None:
        with closing(Messages(shell.folder / "sessions.db")) as theirs:
            theirs.add("a", {"role": "user", "content": "Hello"})
        with closing(Checkpoints(shell.folder / "checkpoints.db")) as saved:
            saved.put("t", "1", {"x": 1})
        for name in ("openai-agents", "langgraph"):
            told = shell("import", ".", "--from", name, "--store", "b").stdout
            assert told.endswith("1 item added in 1 of 1 conversation\n")
        assert "openai-agents" in shell("plugins").stdout
