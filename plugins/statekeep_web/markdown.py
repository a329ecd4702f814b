"""Render Markdown as HTML that contains only what is allowed.

What a model or a user wrote may be hostile: it may contain scripts, imitate a part of the page, or
leak data through a picture that is fetched when shown. So HTML in it is shown as text, nothing is
fetched from elsewhere, and a sanitizer checks the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from statekeep._text import printable
from statekeep_web.code import CLASSES, highlighted

if TYPE_CHECKING:
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token

__all__ = ["LONGEST", "Painter", "Pictures", "to_html", "visible"]

LONGEST: Final = 100_000
"""The most characters rendered as Markdown, which take two seconds in the worst case."""

Pictures = Callable[[str], str | None]
"""Returns the address at which this page shows a picture; None if it does not show it."""

Painter = Callable[[str, str], Markup | None]
"""Returns code in a language as highlighted HTML; None if it cannot be highlighted."""

_TAGS: Final = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "img", "li",
    "ol", "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES: Final[dict[str, set[str]]] = {
    "*": set(),
    "a": {"href"},
    "div": {"tabindex"},
    "img": {"alt", "loading", "src"},
    "ol": {"start"},
}
_ALIGNED: Final = {"left", "center", "right"}
_CLASSES: Final = {
    "div": {"wide"},
    "pre": {"code"},
    "span": {*CLASSES, "unseen-picture"},
    "td": _ALIGNED,
    "th": _ALIGNED,
}
_REL: Final = "noopener noreferrer nofollow"

_leads_elsewhere = re.compile(r"(?:https?://[^/?#]|mailto:.)", re.IGNORECASE).match


def visible(text: str) -> str:
    """Make control characters in text visible, and normalize line ends."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t")


def to_html(text: str, *, pictures: Pictures | None = None, paint: Painter = highlighted) -> Markup:
    r"""Render Markdown as HTML.

    Headings begin at the third level, below those of the page. Pictures from elsewhere become
    links.

    Args:
        text: Markdown; anything beyond `LONGEST` characters is left out.
        pictures: Returns the address of a picture that this page may show.
        paint: Highlights code.

    Example:
        >>> to_html("*Hello* <script>")
        Markup('<p><em>Hello</em> &lt;script&gt;</p>\n')
    """
    shown: set[str] = set()

    def where(source: str) -> str | None:
        address = pictures(source) if pictures else None
        if address is not None:
            shown.add(address)
        return address

    def allowed(_: str, attribute: str, value: str) -> str | None:
        if attribute == "href":
            return value if _leads_elsewhere(value) else None
        if attribute == "src":
            return value if value in shown else None
        return value

    source = visible(text[:LONGEST])
    try:
        html = _parser.render(source, {"pictures": where, "paint": paint})
    except RecursionError:  # pragma: no cover - nesting is bounded; in case the parser changes
        return Markup('<p class="plain">{}</p>').format(source)
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        allowed_classes=_CLASSES,
        attribute_filter=allowed,
        link_rel=_REL,
        strip_comments=True,
        url_schemes={"http", "https", "mailto"},
    )
    # Again, because an entity may stand for a control character.
    return Markup(visible(clean))  # noqa: S704 - it was sanitized just now


def _is_link(address: str) -> bool:
    # An address without a scheme may name a picture in the store; `_tidy` removes other links.
    return ":" not in address or _leads_elsewhere(address) is not None


def _tidy(tokens: Sequence[Token]) -> None:
    """Lower the levels of headings, align cells by class, and tidy links and pictures."""
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + 2)}"
        elif token.type in {"th_open", "td_open"} and (style := token.attrGet("style")):
            token.attrs = {"class": str(style).rpartition(":")[2]}
        elif token.children:
            _tidy_line(token.children)


def _tidy_line(tokens: Sequence[Token]) -> None:
    """Show links to forbidden addresses as text, and mark pictures that are inside a link."""
    address = None
    for token in tokens:
        if token.type == "link_open":
            address = str(token.attrGet("href"))
            if not _leads_elsewhere(address):
                token.type, token.tag, token.content = "text", "", "["
        elif token.type == "link_close" and address is not None:
            if not _leads_elsewhere(address):
                token.type, token.tag, token.content = "text", "", f"]({address})"
            address = None
        elif token.type == "image" and address is not None:
            token.meta = {"linked": True}


def _fence(
    _: RendererHTML, tokens: Sequence[Token], place: int, __: object, env: dict[str, Any]
) -> str:
    token = tokens[place]
    words = token.info.split()
    code = env["paint"](token.content, words[0]) if words else None
    return f'<pre class="code"><code>{escape(token.content) if code is None else code}</code></pre>'


def _image(
    _: RendererHTML, tokens: Sequence[Token], place: int, __: object, env: dict[str, Any]
) -> str:
    token = tokens[place]
    source, said = str(token.attrGet("src") or ""), _said(token)
    if (address := env["pictures"](source)) is not None:
        return Markup('<img src="{}" alt="{}" loading="lazy">').format(address, said or "picture")
    if _leads_elsewhere(source) and not token.meta.get("linked"):
        # Fetching it would reveal that, and when, this is read.
        return Markup('<a href="{}">picture: {}</a>').format(source, said or source)
    return Markup('<span class="unseen-picture">picture: {}</span>').format(said or source[:200])


def _said(token: Token) -> str:
    """The alternative text of a picture."""
    return "".join([each.content for each in token.children or ()])


def _made() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = _is_link  # type: ignore[assignment,method-assign]
    encode = parser.normalizeLink
    # The key of a blob must stay as it is.
    parser.normalizeLink = (  # type: ignore[method-assign]
        lambda url: url if url.startswith("blobs/") else encode(url)
    )
    parser.core.ruler.push("tidy", lambda state: _tidy(state.tokens))
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("code_block", _fence)
    parser.add_render_rule("image", _image)
    for name, tag in (("table_open", '<div class="wide" tabindex="0"><table>'),
                      ("table_close", "</table></div>")):  # fmt: skip
        parser.add_render_rule(name, _constant(tag))
    return parser


def _constant(html: str) -> Callable[..., str]:
    return lambda *_: html


_parser: Final = _made()
