"""A pager for what does not fit on the terminal, as git has it."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Paged", "paged"]

_NONE: Final = {"", "cat"}
"""Values of ``PAGER`` that turn paging off."""


class _ClosedError(Exception):
    """The reader has seen enough."""


class Paged(io.TextIOBase):
    """Takes text for a terminal, and starts the pager once there is more than fits.

    Args:
        command: The shell command that starts the pager.
        height: The number of lines of the terminal.
        width: The number of its columns.
    """

    def __init__(self, command: str, height: int, width: int) -> None:
        super().__init__()
        self._command = command
        self._left = height - 1  # the prompt takes one
        self.width = width
        self._waiting: list[str] = []
        self._pager: subprocess.Popen[str] | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The terminal's."""
        return sys.stdout.encoding

    def isatty(self) -> bool:
        """Whether a person is shown this."""
        return True

    def write(self, text: str) -> int:
        """Keep it, or hand it to the pager."""
        if self._pager is None:
            self._waiting.append(text)
            self._left -= text.count("\n")
            if self._left < 0:
                self._start()
            return len(text)
        self._send(text)
        return len(text)

    def end(self) -> None:
        """Show what is left, and wait until the pager has been left."""
        if self._pager is None:
            sys.stdout.write("".join(self._waiting))
            sys.stdout.flush()
            return
        assert self._pager.stdin is not None  # noqa: S101 - it was asked for
        with suppress(BrokenPipeError):
            self._pager.stdin.close()
        self._pager.wait()

    def _start(self) -> None:
        environment = {"LESS": "FRX", "LV": "-c", **os.environ}
        self._pager = subprocess.Popen(  # noqa: S603 - what the user has chosen
            ["/bin/sh", "-c", self._command],
            stdin=subprocess.PIPE,
            env=environment,
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
        )
        # From here on Ctrl-C is for the pager; leaving it ends the command.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._send("".join(self._waiting))
        self._waiting.clear()

    def _send(self, text: str) -> None:
        assert self._pager is not None  # noqa: S101 - it was started
        assert self._pager.stdin is not None  # noqa: S101 - it was asked for
        try:
            self._pager.stdin.write(text)
        except BrokenPipeError:
            raise _ClosedError from None


@contextmanager
def paged(*, wanted: bool) -> Iterator[Paged | None]:
    """Page what is written, if a person is shown it and a pager is there.

    Args:
        wanted: Whether a pager may be started.

    Yields:
        Where to write; None if that is standard output.
    """
    command = _command() if wanted and sys.stdout.isatty() else None
    if command is None:
        yield None
        return
    size = shutil.get_terminal_size()
    paged = Paged(command, size.lines, size.columns)
    before = signal.getsignal(signal.SIGINT)
    try:
        with suppress(_ClosedError):
            yield paged
    finally:
        paged.end()
        signal.signal(signal.SIGINT, before)


def _command() -> str | None:
    """The pager that the environment names; None if it turns paging off or is not installed."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return None
    named = (os.environ[name] for name in ("PAGER", "MANPAGER") if name in os.environ)
    command = next(named, "less").strip()
    if command in _NONE:
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    program = next((word for word in words if "=" not in word), "")
    return command if shutil.which(program) else None
