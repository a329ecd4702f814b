"""Text from outside, shown so that it can steer nothing: no terminal, and no line of a log."""

from __future__ import annotations

import re

__all__ = ["printable"]

# Controls, what changes the direction of text, ends a line or shows nothing; not the joiners, which
# emoji and many scripts need.
_STEERING = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u180e\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str, *, keep: str = "") -> str:
    r"""Show control and direction characters instead of obeying them.

    Args:
        text: What came from outside.
        keep: Those that may stay.

    >>> printable("\x1b[2J")
    '\\x1b[2J'
    """
    return _STEERING.sub(
        lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode(),
        text,
    )
