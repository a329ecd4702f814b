"""The command line. Needs the extra ``cli``.

This package has the commands and their output for people. The work is done by the library, and
the output for machines comes from `statekeep.views`.
"""

from __future__ import annotations

import sys

from statekeep.cli.errors import INTERRUPTED

__all__ = ["main"]


def main() -> None:
    """Run the command ``statekeep``."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> None:
    try:
        from statekeep.cli.app import run  # noqa: PLC0415 - its libraries are an extra

        run()
    except ModuleNotFoundError as error:
        if error.name not in {"rich", "typer"}:
            raise
        sys.exit("The command line needs more packages: pip install 'statekeep[cli]'")
