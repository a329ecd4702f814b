"""Who may read what a store writes."""

from __future__ import annotations

import re
from typing import NamedTuple

from statekeep.errors import ConfigError

__all__ = ["Modes"]

_is_octal = re.compile(r"0?[0-7]{3}", re.ASCII).fullmatch
_OWNER = 0o600


class Modes(NamedTuple):
    """The modes of new files and folders, before the umask takes its part.

    Attributes:
        file: Of documents, and of what is beside them: temporary files and locks.
        folder: Of folders.
    """

    file: int
    folder: int

    @classmethod
    def parse(cls, text: object) -> Modes:
        """Read ``private``, or the octal mode of files.

        Raises:
            ConfigError: It is neither, makes files executable, or shuts out their owner.
        """
        if text == "private":
            return cls(0o600, 0o700)
        # A number is refused: 0o640 says 416.
        if not isinstance(text, str) or not _is_octal(text):
            raise ConfigError(f"mode is 'private' or an octal text such as '0640', not {text!r}")
        file = int(text, 8)
        if file & _OWNER != _OWNER or file & 0o111:
            raise ConfigError(
                f"mode is for files, which their owner reads and writes and nobody executes: "
                f"'0640', say, not {text!r}"
            )
        # Who may read files may enter the folders.
        return cls(file, file | (file & 0o444) >> 2)
