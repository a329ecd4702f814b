"""The help of every command teaches: in plain words, and with an example that is accepted."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from statekeep.cli.app import app
from statekeep.cli.options import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLE = re.compile(r"^For example: (statekeep .+)$", re.MULTILINE)


def _walk(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    yield " ".join(("statekeep", *path)), command
    for name, each in getattr(command, "commands", {}).items():
        yield from _walk(each, *path, name)


COMMANDS = dict(_walk(get_command(app)))


def _accepted(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the parser takes a command line for; nothing is run."""
    met: list[str] = []
    monkeypatch.setattr(Command, "invoke", lambda _, ctx: met.append(ctx.command_path))
    get_command(app).main(words, prog_name="statekeep", standalone_mode=False)
    (path,) = met
    return path


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_an_example_that_is_accepted(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = _EXAMPLE.findall(COMMANDS[path].help)
    assert examples, f"the help of {path!r} lacks a line 'For example: {path} …'"
    for example in examples:
        taken = _accepted(shlex.split(example)[1:], monkeypatch)
        assert f"{taken} ".startswith(f"{path} "), f"it is an example of {taken!r}"


def test_an_example_that_is_wrong_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in ("sessions show", "sessions list --limit none", "sessions lst", "stats --user"):
        with pytest.raises(Exception, match=r"Missing|number|No such|requires"):
            _accepted(words.split(), monkeypatch)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_and_argument_is_described_in_a_sentence(path: str) -> None:
    command = COMMANDS[path]
    texts = {each.name: each.help for each in command.params if getattr(each, "help", None)}
    undescribed = {each.name for each in command.params} - texts.keys() - {"help"}
    assert not undescribed
    for name, text in texts.items():
        assert re.match(r"[A-Z']", text), (name, text)
        # `--help` and completion are typer's own.
        assert text.endswith(".") or name in {"help", "show_completion"}, (name, text)
        assert "so many" not in text, (name, text)
