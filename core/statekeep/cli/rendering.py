"""Rendering of a conversation's entries for people.

The text is not trusted. Control characters are made harmless twice: before it is parsed as
Markdown, and after, because Markdown has its own ways to write any character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text

from statekeep._text import printable
from statekeep.cli.markdown import rendered
from statekeep.cli.output import counted
from statekeep.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderableType

    from statekeep.conversations import Entry, Part

__all__ = ["render"]

_ROLES: Final = {"user": "bold cyan", "agent": "bold green", "tool": "bold yellow"}
_CODE: Final = "ansi_dark"

_LONG: Final = 4000
_LINES: Final = 60
"""Characters and lines that are shown of a text, unless all of it is asked for."""

_LINE: Final = 200
"""Characters that are looked at for a folded part."""

_MARKDOWN: Final = 200_000
"""Characters from which on text is shown as it is: parsing it as Markdown takes too long."""

_KEPT: Final = "\n\t"


class _Harmless:
    """Renders untrusted text without control characters and links."""

    def __init__(self, inside: RenderableType) -> None:
        self._inside = inside

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._inside, options):
            if segment.control:
                continue
            style = segment.style
            if style is not None and style.link:
                style = style.update_link(None)
            yield Segment(printable(segment.text, keep=_KEPT), style)


def render(entry: Entry, *, full: bool, symbols: bool) -> RenderableType:
    """Render an entry for people.

    Args:
        entry: The entry to render.
        full: Whether to show everything, without folding or cutting.
        symbols: Whether the terminal can show more than ASCII.
    """
    parts = [_part(part, full=full, symbols=symbols) for part in entry.parts]
    return Group(_heading(entry), *parts)


def _heading(entry: Entry) -> RenderableType:
    role = printable(entry.role or "item")
    heading = Text()
    heading.append(f"#{entry.index} ", "dim")
    heading.append(role[:_LINE], _ROLES.get(role, "bold"))
    if entry.phase:
        heading.append(f", {printable(entry.phase)[:_LINE]}")
    if entry.timestamp is not None:
        heading.append(f"  {format_timestamp(entry.timestamp)}", "dim")
    return heading


def _part(part: Part, *, full: bool, symbols: bool) -> RenderableType:
    if part.kind == "image":
        return _folded(f"[image{_about(part)}]", "magenta")
    if part.kind == "text":
        return _Harmless(_text(part.text, full=full))
    if part.kind == "tool_call":
        called = f"{'▸' if symbols else '>'} {part.name or 'tool'}"
        if full:
            return Group(_folded(called, "yellow"), _json(part.text))
        return _folded(f"{called} {_one_line(part.text)}", "yellow")
    if part.kind == "tool_result":
        mark = "✓" if symbols else "="
        if full:
            return Group(_folded(f"{mark} {part.name or ''}", "yellow"), _plain(part.text))
        return _folded(f"{mark} {_lines(part.text)}", "yellow")
    if part.kind == "thinking":
        mark = "…" if symbols else "..."
        if full:
            return Group(_folded(f"{mark} thinking", "dim"), _plain(part.text, "dim"))
        return _folded(f"{mark} thinking, {_lines(part.text)}", "dim")
    name = f"{part.name}: " if part.name else ""
    if full:
        return Group(*([_folded(name, "dim")] if name else []), _json(part.text))
    return _folded(f"{name}{_one_line(part.text)}", "dim")


def _text(text: str, *, full: bool) -> RenderableType:
    shown = printable(text, keep=_KEPT)
    left_out = 0
    if not full:
        cut = "\n".join(shown[:_LONG].split("\n")[:_LINES])
        left_out, shown = len(shown) - len(cut), cut
    body = Text(shown) if len(shown) > _MARKDOWN else rendered(shown)
    if not left_out:
        return body
    return Group(body, Text(f"({left_out} more characters: --full)", style="dim"))


def _json(text: str) -> RenderableType:
    shown = printable(text, keep=_KEPT)
    if len(shown) > _MARKDOWN:
        return _plain(text)
    code = Syntax(shown, "json", theme=_CODE, word_wrap=True, background_color="default")
    return _Harmless(Padding(code, (0, 0, 0, 2)))


def _plain(text: str, style: str = "") -> RenderableType:
    return Padding(Text(printable(text, keep=_KEPT), style=style), (0, 0, 0, 2))


def _folded(line: str, style: str) -> RenderableType:
    return Text(printable(line), style=Style.parse(style), no_wrap=True, overflow="ellipsis")


def _one_line(text: str) -> str:
    return " ".join(text[:_LINE].split())


def _lines(text: str) -> str:
    return "nothing" if not text else counted(len(text.splitlines()), "line")


def _about(part: Part) -> str:
    source = part.source or ""
    kind, comma, _ = source.removeprefix("data:")[:_LINE].partition(";base64,")
    said = [part.media_type or kind] if comma else [part.media_type or "", source[:_LINE]]
    return "".join(f" {each}" for each in said if each)
