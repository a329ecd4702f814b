"""Highlight code with CSS classes; a stylesheet has the colours, light and dark."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES

__all__ = ["CLASSES", "LANGUAGES", "LONGEST", "highlighted", "stylesheet"]

LONGEST: Final = 8_000
"""The most characters of code that are highlighted, since some lexers are slow on long input."""

_PREFIX: Final = "hl-"

CLASSES: Final = frozenset(f"{_PREFIX}{short}" for short in STANDARD_TYPES.values() if short)
"""All classes of spans in highlighted code."""

# Only lexers of Pygments that take linear time on any input. Those of C#, Java, TypeScript and
# makefiles do not.
_LEXERS: Final = {
    "bash": "bash", "c": "c", "c++": "cpp", "console": "console", "cpp": "cpp", "cs": "cpp",
    "csharp": "cpp", "css": "css", "diff": "diff", "dockerfile": "docker", "go": "go",
    "golang": "go", "html": "html", "ini": "ini", "java": "cpp", "javascript": "javascript",
    "js": "javascript", "json": "json", "jsonc": "json", "jsonl": "json", "jsx": "javascript",
    "kotlin": "kotlin", "lua": "lua", "patch": "diff", "php": "php", "pycon": "pycon",
    "py": "python", "python": "python", "python3": "python", "rb": "ruby", "ruby": "ruby",
    "rs": "rust", "rust": "rust", "scala": "scala", "sh": "bash", "shell": "bash",
    "sql": "sql", "swift": "swift", "toml": "toml", "ts": "javascript", "tsx": "javascript",
    "typescript": "javascript", "xml": "xml", "yaml": "yaml", "yml": "yaml", "zsh": "bash",
}  # fmt: skip


LANGUAGES: Final = frozenset(_LEXERS.values())
"""The Pygments lexers in use."""


def highlighted(code: str, language: str) -> Markup | None:
    """Highlight code as HTML with `CLASSES`; None if the language is unknown or the code too long.

    Args:
        code: At most `LONGEST` characters.
        language: The language, as written after a Markdown code fence.

    Example:
        >>> highlighted("1", "python")
        Markup('<span class="hl-mi">1</span>')
    """
    lexer = _lexer(language.lower())
    if lexer is None or len(code) > LONGEST:
        return None
    return Markup(highlight(code, lexer, _formatter).removesuffix("\n"))  # noqa: S704 - it escapes


@cache
def _made(name: str) -> Any:  # noqa: ANN401 - Pygments has no types
    return get_lexer_by_name(name, stripnl=False, ensurenl=False)


def _lexer(language: str) -> Any:  # noqa: ANN401
    name = _LEXERS.get(language)
    return None if name is None else _made(name)


_formatter: Final[Any] = HtmlFormatter(nowrap=True, classprefix=_PREFIX)


def stylesheet() -> str:
    """The content of ``static/code.css``: two themes of Pygments that have enough contrast.

    Example:
        >>> ".hl-k" in stylesheet()
        True
    """
    light, dark = _rules("xcode"), _rules("lightbulb")
    inside = "".join(f"  {line}\n" for line in dark)
    return "\n".join(light) + "\n\n@media (prefers-color-scheme: dark) {\n" + inside + "}\n"


def _rules(style: str) -> list[str]:
    formatter: Any = HtmlFormatter(style=style, classprefix=_PREFIX, nobackground=True)
    rules = formatter.get_token_style_defs(".code")
    return [rule.partition(" /*")[0] for rule in rules]
