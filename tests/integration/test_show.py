"""Showing conversations on the command line: at a terminal, through a pager, as they grow."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support import at_terminal

from statekeep import Journals, Sessions, open_store
from statekeep.conversations import Conversation, reading
from statekeep.format.contents import BOUNDS
from statekeep.search import search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from statekeep import StateStore

rest = partial(pytest.param, marks=pytest.mark.rest)

COMMAND = [sys.executable, "-m", "statekeep.cli"]


def environment(**given: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"PAGER", "LESS"}}
    return {**kept, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **given}


def shown(folder: Path, *arguments: str, **given: str) -> str:
    """What a person sees who runs a command that ends well."""
    said = at_terminal([*COMMAND, *arguments], folder, environment(**given))
    return re.sub(r"\x1b\[[\d;]*m", "", said).replace("\r\n", "\n")


@pytest.fixture
def folder(empty_folder: Path) -> Path:
    """A folder with a short session and a long journal."""
    with open_store(empty_folder / "state") as store:
        Sessions(store).add_turn("s", user=["**Hello**"], agent=["Hi"], user_id="ada")
        items = [{"role": "user", "content": f"number {each}"} for each in range(100)]
        Journals(store, "c").open("j").append(items)
    return empty_folder


SESSION = ["sessions", "show", "s", "--store", "state"]
JOURNAL = ["journals", "show", "c", "j", "--store", "state"]


def ran(folder: Path, *arguments: str, code: int = 0) -> str:
    ended = subprocess.run([*COMMAND, *arguments], cwd=folder, env=environment(), text=True,
                           capture_output=True, check=False)  # fmt: skip
    assert ended.returncode == code, ended.stderr
    return ended.stdout or ended.stderr


def test_people_see_what_is_rendered_and_programs_what_is_stored(folder: Path) -> None:
    seen = shown(folder, *SESSION)
    assert seen.startswith("session  s\nuser     ada\n")
    assert "#0 user  2" in seen
    assert "\nHello " in seen
    piped = ran(folder, *SESSION)
    assert "\n**Hello**\n" in piped
    assert "#0" not in piped
    raw = [json.loads(line) for line in ran(folder, *SESSION, "--raw", "--last", "1").splitlines()]
    assert [(each["role"], each["content"]) for each in raw] == [("agent", "Hi")]
    assert shown(folder, *SESSION, "--raw").startswith('{"role":"user","content":"**Hello**"')
    lines = ran(folder, *JOURNAL, "--last", "2").splitlines()
    assert lines == [f'{{"role":"user","content":"number {each}"}}' for each in (98, 99)]


def test_what_does_not_fit_goes_through_the_pager(folder: Path) -> None:
    pager = "sh -c 'echo LESS=$LESS >paged; cat >>paged'"
    assert "number 50" not in shown(folder, *JOURNAL, PAGER=pager)
    paged = (folder / "paged").read_text()
    assert paged.startswith("LESS=FRX\n")
    assert all(f"number {each}" in paged for each in range(100))
    shown(folder, *JOURNAL, MANPAGER=pager, LESS="S")
    assert (folder / "paged").read_text().startswith("LESS=S\n")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (SESSION, {"PAGER": "touch paged"}),
        ([*JOURNAL, "--no-pager"], {"PAGER": "touch paged"}),
        (JOURNAL, {"PAGER": "no-such-pager --at-all"}),
        rest([*JOURNAL, "--raw"], {"PAGER": "touch paged"}),
        rest(JOURNAL, {"PAGER": "touch paged", "TERM": "dumb"}),
        rest(JOURNAL, {"PAGER": ""}),
        rest(JOURNAL, {"PAGER": "cat"}),
        rest(JOURNAL, {"PAGER": "not 'quoted"}),
    ],
)
def test_else_there_is_no_pager(folder: Path, arguments: list[str], given: dict[str, str]) -> None:
    seen = shown(folder, *arguments, **given)
    assert ("Hello" if arguments is SESSION else "number 99") in seen
    assert not (folder / "paged").exists()


@pytest.mark.parametrize("pager", ["head -n 1", rest("true"), rest("false")])
def test_leaving_the_pager_is_no_error(folder: Path, pager: str) -> None:
    with open_store(folder / "state") as store:
        Journals(store, "c").open("j").append([{"text": "x" * 1000}] * 1000)
    assert "rror" not in shown(folder, *JOURNAL, PAGER=pager)


class Following:
    """Somebody who follows, and what was printed so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, env=environment(),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)  # fmt: skip

    def lines(self, count: int) -> list[str]:
        assert self.process.stdout
        return [self.process.stdout.readline().strip() for _ in range(count)]

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def test_what_comes_is_shown_until_it_is_interrupted(folder: Path) -> None:
    following = Following(folder, *JOURNAL, "--follow", "--last", "1")
    assert following.lines(1) == ['{"role":"user","content":"number 99"}']
    with open_store(folder / "state") as store:
        journal = Journals(store, "c").open("j")
        journal.append([1])
        assert following.lines(1) == ["1"]
        journal.change(lambda draft: draft.pop())
        journal.append([2, 3])
        assert following.lines(2) == ["2", "3"]
    following.process.send_signal(signal.SIGINT)
    code, said = following.end()
    assert code == 130
    assert "taken back, from #100 on" in said
    assert "Traceback" not in said


def test_following_ends_when_it_is_deleted(folder: Path) -> None:
    following = Following(folder, *SESSION, "-f")
    assert "session  s" in following.lines(8)
    with open_store(folder / "state") as store:
        Sessions(store).delete("s")
    assert following.end() == (0, "it was deleted\n")


def test_what_changes_in_a_store_is_said_as_it_happens(folder: Path) -> None:
    following = Following(folder, "watch", "--every", "0.05", "--json", "--store", "state")
    assert following.process.stderr
    assert following.process.stderr.readline().startswith("watching ")
    with open_store(folder / "state") as store:
        Sessions(store).add_turn("new", user=["x"], user_id="eve")
        (line,) = following.lines(1)
        Journals(store, "c").open("j").delete()
        (other,) = following.lines(1)
    created, deleted = json.loads(line), json.loads(other)
    assert (created["change"], created["id"], created["added"]) == ("created", "new", 1)
    assert (deleted["change"], deleted["collection"], deleted["name"]) == ("deleted", "c", ["j"])
    following.process.send_signal(signal.SIGINT)
    assert following.end()[0] == 130


def test_watching_for_people_is_a_line_for_each(folder: Path) -> None:
    following = Following(folder, "watch", "--every", "0.05", "--user", "ada", "--store", "state")
    assert following.process.stderr
    following.process.stderr.readline()
    with open_store(folder / "state") as store:
        Sessions(store).add_turn("s", user=["x"])
    (line,) = following.lines(1)
    assert line.endswith("  changed  session s  ada  (+1, now 2 messages)")
    following.process.send_signal(signal.SIGINT)
    following.end()
    assert "no such folder" in ran(folder, "watch", "--store", "nowhere", code=3)
    assert "such as 2s" in ran(folder, "watch", "--every", "0", "--store", "state", code=2)


def test_what_makes_no_sense_is_refused(folder: Path) -> None:
    for option in ("--follow", "--raw"):
        for arguments in (SESSION, JOURNAL):
            assert option in ran(folder, *arguments, "--json", option, code=2)
    for option in ("--follow", "--raw", "--full"):
        ran(folder, "sessions", "show", "none", option, "--store", "state", code=3)
        ran(folder, "journals", "show", "c", "none", option, "--store", "state", code=3)


@pytest.mark.parametrize(("count", "at_once"), [(300, 10), rest(5000, 200)])
def test_a_long_conversation_is_never_held_whole(
    tmp_path: Path, count: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many parts of a short one as there are of a long one.
    monkeypatch.setattr(reading, "_FIRST", at_once)
    monkeypatch.setattr(reading, "_TEXT", at_once * 20_000)
    monkeypatch.setattr(BOUNDS, "merged", at_once * 20_000)
    with open_store(tmp_path / "state") as store:
        journal = Journals(store, "c").open("j")
        sessions = Sessions(store, form="journal")
        sessions.get_or_create("ada", "s")
        for start in range(0, count, 10):
            texts = [f"{number} {'x' * 20_000}" for number in range(start, start + 10)]
            journal.append([{"role": "user", "content": text} for text in texts])
            sessions.add_turn("s", user=texts)
        shown: list[Callable[[StateStore], int]] = [
            lambda store: _count(Conversation(store, "j", collection="c")),
            lambda store: _count(Conversation(store, "s")),
            lambda store: sum(1 for _ in search(store, " xxx")) // 2,
        ]
        for show in shown:
            tracemalloc.start()
            try:
                assert show(store) == count
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            # What is read at once, and the segments that it lies in.
            assert peak < 8 * at_once * 20_000


def _count(conversation: Conversation) -> int:
    return sum(len(part.entries) for part in conversation.parts())
