"""Untrusted text: made safe to show on a terminal, and made storable."""

from __future__ import annotations

import re

__all__ = ["half_character", "printable", "repair_text"]

# Control characters, and what changes the direction of text, ends a line or is invisible; not the
# joiners, which emoji and many scripts need.
_STEERING = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u180e\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

# In UTF-16, two halves that stand together are one character.
_HALVES = re.compile("(?P<first>[\ud800-\udbff])(?P<second>[\udc00-\udfff])|[\ud800-\udfff]")


def printable(text: str, *, keep: str = "") -> str:
    r"""Escape control and direction characters instead of obeying them.

    Args:
        text: Untrusted text.
        keep: Characters to leave as they are.

    >>> printable("\x1b[2J")
    '\\x1b[2J'
    """
    return _STEERING.sub(
        lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode(),
        text,
    )


def half_character(text: str) -> int | None:
    r"""Return where a text has a lone surrogate, which UTF-8 cannot hold, or None if it has none.

    >>> half_character("a\ud83d")
    1
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def repair_text(text: str) -> str:
    r"""Make text storable: each half of a character, which UTF-8 cannot hold, becomes U+FFFD.

    Halves come, for example, from a stream that was cut in the middle of an emoji.

    Args:
        text: Any text.

    Raises:
        TypeError: It is not text.

    Examples:
        >>> from statekeep import repair_text
        >>> repair_text("Hello \ud83d")
        'Hello �'
    """
    if not isinstance(text, str):
        raise TypeError(f"text: text, not {type(text).__name__}")
    return _HALVES.sub(_whole, text)


def _whole(halves: re.Match[str]) -> str:
    if halves["first"] is None:
        return "\N{REPLACEMENT CHARACTER}"
    return chr(0x10000 + ((ord(halves["first"]) - 0xD800) << 10) + ord(halves["second"]) - 0xDC00)
