"""Markdown at a terminal, as people write it in conversations, of which nothing gets lost."""

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
"""Columns that a cell takes at least, with what is around it."""

_WORD: Final = re.compile(r"[^\W_]+")
_SHORT: Final = re.compile(r"[\w+#.-]{1,20}")


def rendered(text: str) -> RenderableType:
    """Markdown as it is meant, or the text as it is, if that would leave a word of it out.

    So nobody can say anything in a conversation that who looks at it is not shown: by HTML, by
    definitions of links, by cells that a table has no column for, or deeper than a parser goes.

    Args:
        text: What is said.
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
    # What these make of a text does not say any more what was written.
    return parser.disable(["entity", "image", "reference"])


class _Table(TableElement):
    """Cuts no cells."""

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
                    # Whoever writes a message means the lines that he makes.
                    child.type = "hardbreak"
        self.parsed = tokens


def _said(tokens: Iterable[Token]) -> Iterator[str]:
    """The texts that are shown of tokens."""
    for token in tokens:
        if token.children is not None:
            yield from _said(token.children)
        elif token.type == "link_open":
            yield str(token.attrs.get("href", ""))
        else:
            yield token.content
        # The language of code, which its colours show, or the number in a list.
        yield token.info if _SHORT.fullmatch(token.info.strip()) else ""


def _words(texts: Iterable[str]) -> Counter[str]:
    return Counter(word for text in texts for word in _WORD.findall(text))
