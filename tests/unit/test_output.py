"""Progress is shown to a person who waits, and to nobody else."""

from __future__ import annotations

import io
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from statekeep.cli import output

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _work_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> str:
    # Not in a fixture: pytest puts its own streams back before the test begins.
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    _work()
    return terminal.getvalue()


def _work() -> None:
    with output.waiting("reading the sessions"):
        time.sleep(0.2)
    with output.bar("pruning", 4) as progress:
        for done in range(5):
            progress(done)
            time.sleep(0.05)


def test_it_is_shown_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PATIENCE", timedelta(seconds=0.01))
    said = _work_at_a_terminal(monkeypatch)
    assert "reading the sessions" in said
    assert "pruning" in said
    assert "4/4" in said


def test_how_much_there_is_to_do_may_be_found_out_later(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(output, "PATIENCE", timedelta(0))
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with output.bar("examining") as progress:
        for done in range(5):
            time.sleep(0.05)
            progress(done, 4)
    assert "examining" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()


def test_it_is_not_worth_showing_when_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _work_at_a_terminal(monkeypatch)
    assert "reading" not in said
    assert "pruning" not in said


def test_it_is_not_shown_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "PATIENCE", timedelta(0))
    _work()
    assert capsys.readouterr().err == ""
