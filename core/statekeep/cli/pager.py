"""A pager for output that does not fit on the terminal, as in git."""

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
    """The reader left the pager."""


class Paged(io.TextIOBase):
    """A stream for a terminal that starts the pager once there is more than fits.

    Args:
        command: The shell command that starts the pager.
        height: The number of lines of the terminal.
        width: The number of columns of the terminal.
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
        """The encoding of the terminal."""
        return sys.stdout.encoding

    def isatty(self) -> bool:
        """Return True: its output ends up at a terminal."""
        return True

    def write(self, text: str) -> int:
        """Hold text back while it fits on the terminal, then pass it to the pager."""
        if self._pager is None:
            self._waiting.append(text)
            self._left -= text.count("\n")
            if self._left < 0:
                self._start()
            return len(text)
        self._send(text)
        return len(text)

    def end(self) -> None:
        """Print what is held back, or wait until the reader leaves the pager."""
        if self._pager is None:
            sys.stdout.write("".join(self._waiting))
            sys.stdout.flush()
            return
        assert self._pager.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):
            self._pager.stdin.close()
        self._pager.wait()

    def _start(self) -> None:
        environment = {"LESS": "FRX", "LV": "-c", **os.environ}
        self._pager = subprocess.Popen(  # noqa: S603 - the user's own choice
            ["/bin/sh", "-c", self._command],
            stdin=subprocess.PIPE,
            env=environment,
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
        )
        # From here on, Ctrl-C is for the pager; the command ends when the reader leaves it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._send("".join(self._waiting))
        self._waiting.clear()

    def _send(self, text: str) -> None:
        assert self._pager is not None  # noqa: S101 - it was started
        assert self._pager.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._pager.stdin.write(text)
        except BrokenPipeError:
            raise _ClosedError from None


@contextmanager
def paged(*, wanted: bool) -> Iterator[Paged | None]:
    """Page what is written, if standard output is a terminal and there is a pager.

    Args:
        wanted: Whether a pager may be started.

    Yields:
        The stream to write to; None for standard output.
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
    """Return the pager's command, or None if paging is turned off or it is not installed."""
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
