"""Markdown from conversations, rendered for a terminal without losing any of its text."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

from markdown_it import MarkdownIt
from rich.markdown import Markdown, TableElement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from markdown_it.token import Token
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.markdown import MarkdownElement

__all__ = ["rendered"]

_CODE: Final = "ansi_dark"

_NARROW: Final = 4
"""The fewest columns that a cell needs, including its padding."""

_WORD: Final = re.compile(r"[^\W_]+")
_SHORT: Final = re.compile(r"[\w+#.-]{1,20}")


def rendered(text: str) -> RenderableType:
    """Render text as Markdown, or as plain text if Markdown would leave out a word.

    So nothing in a conversation can be hidden from its reader: by HTML, link definitions, table
    cells that have no column, or nesting deeper than the parser goes.

    Args:
        text: The text of a message.
    """
    try:
        tokens = _parser().parse(text)
    except RecursionError:
        return Text(text)
    if _words([text]) - _words(_said(tokens)):
        return Text(text)
    return _Markdown(tokens)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    # These replace what was written with something else.
    return parser.disable(["entity", "image", "reference"])


class _Table(TableElement):
    """A table that wraps long cells, and becomes plain lines where it has no room."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        for table in super().__rich_console__(console, options):
            assert isinstance(table, Table)  # noqa: S101 - it is rich's own
            for column in table.columns:
                column.overflow = "fold"
            if len(table.columns) * _NARROW <= options.max_width:
                yield table
            else:
                yield from self._lines()

    def _lines(self) -> Iterator[Text]:
        rows = [self.header.row] if self.header and self.header.row else []
        for row in [*rows, *(self.body.rows if self.body else ())]:
            yield Text(" | ").join(cell.content for cell in row.cells)


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "table_open": _Table,
    }

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__("", code_theme=_CODE, hyperlinks=False)
        for token in tokens:
            for child in token.children or ():
                if child.type == "softbreak":
                    # In a message, line breaks are meant.
                    child.type = "hardbreak"
        self.parsed = tokens


def _said(tokens: Iterable[Token]) -> Iterator[str]:
    """Yield the texts of tokens that are shown."""
    for token in tokens:
        if token.children is not None:
            yield from _said(token.children)
        elif token.type == "link_open":
            yield str(token.attrs.get("href", ""))
        else:
            yield token.content
        # The language of code, which shows in its colours, or the number in a list.
        yield token.info if _SHORT.fullmatch(token.info.strip()) else ""


def _words(texts: Iterable[str]) -> Counter[str]:
    return Counter(word for text in texts for word in _WORD.findall(text))
