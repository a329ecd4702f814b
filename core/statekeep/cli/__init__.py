"""The command line. Needs the extra ``cli``.

Here live commands and how results look to a person. What they do is in the library, and what
machines are given is in `statekeep.views`.
"""

from __future__ import annotations

import sys

from statekeep.cli.errors import INTERRUPTED

__all__ = ["main"]


def main() -> None:
    """Run ``statekeep``."""
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
        sys.exit("The command line needs two more packages: pip install 'statekeep[cli]'")
