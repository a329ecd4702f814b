"""Who can read what a store writes."""

from __future__ import annotations

import re
from typing import NamedTuple

from statekeep.errors import ConfigError

__all__ = ["Modes"]

_is_octal = re.compile(r"0?[0-7]{3}", re.ASCII).fullmatch
_OWNER = 0o600


class Modes(NamedTuple):
    """The modes of new files and folders, before the umask is applied.

    Attributes:
        file: The mode of documents, and of temporary files and locks.
        folder: The mode of folders.
    """

    file: int
    folder: int

    @classmethod
    def parse(cls, text: object) -> Modes:
        """Parse ``private``, or the octal mode of files.

        Raises:
            ConfigError: It is neither, makes files executable, or denies access to their owner.
        """
        if text == "private":
            return cls(0o600, 0o700)
        # Numbers are refused: 0o640 would be reported as 416.
        if not isinstance(text, str) or not _is_octal(text):
            raise ConfigError(
                f"mode must be 'private' or an octal mode as text, such as '0640', not {text!r}"
            )
        file = int(text, 8)
        if file & _OWNER != _OWNER or file & 0o111:
            raise ConfigError(
                "mode must let the owner of files read and write them, and nobody execute them, "
                f"such as '0640', not {text!r}"
            )
        # Whoever can read files can enter the folders.
        return cls(file, file | (file & 0o444) >> 2)
