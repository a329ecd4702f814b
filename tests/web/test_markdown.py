"""Of Markdown comes HTML in which nothing works but what is allowed."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web import hostile

import statekeep_web
from statekeep._text import printable
from statekeep_web import code
from statekeep_web.markdown import LONGEST, to_html

ALLOWED = {
    "a": {"href", "rel"}, "blockquote": set(), "br": set(), "code": set(),
    "div": {"class", "tabindex"}, "em": set(), "h3": set(), "h4": set(), "h5": set(), "h6": set(),
    "hr": set(), "img": {"alt", "loading", "src"}, "li": set(), "ol": {"start"}, "p": {"class"},
    "pre": {"class"}, "s": set(), "span": {"class"}, "strong": set(), "table": set(),
    "tbody": set(), "td": {"class"}, "th": {"class"}, "thead": set(), "tr": set(), "ul": set(),
}  # fmt: skip
OURS = "/image?blob=blobs%2Fplots%2Fx.png"


def pictures(source: str) -> str | None:
    return OURS if source == "blobs/plots/x.png" else None


class Checker(HTMLParser):
    """Sees that there is only what is allowed, and that what begins ends."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], html

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= ALLOWED[tag], (tag, attrs)
        found = dict(attrs)
        if tag == "a" and "href" in found:
            assert urlsplit(found["href"] or "").scheme.lower() in {"http", "https", "mailto"}
            assert found["rel"] == "noopener noreferrer nofollow"
        if tag == "img":
            assert found["src"] == OURS
        known = {*code.CLASSES, "wide", "code", "plain", "left", "center", "right"}
        assert {*(found.get("class") or "").split()} <= known | {"unseen-picture"}
        if tag not in {"br", "hr", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def check(text: str) -> str:
    html = to_html(text, pictures=pictures)
    Checker(html)
    html.encode()
    assert printable(html, keep="\n\t") == html
    return html


@pytest.mark.parametrize("text", hostile.TEXTS)
def test_what_is_hostile_is_text(text: str) -> None:
    check(text)
    for around in (
        "- {}",
        "> {}",
        "|a|\n|-|\n|{}|",
        "**{}**",
        "[{}](https://x.example)",
        "{}\n===",
    ):
        check(around.format(text))


@given(
    st.lists(
        st.one_of(
            st.sampled_from(hostile.TEXTS[:60]),
            st.sampled_from([*"[]()<>!`*_~|#->\\&;:/\"'= \n", "```", "~~~", "~~", "\n\n"]),
            st.text(max_size=5),
        ),
        max_size=12,
    ).map("".join)
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_put_together_is_safe(text: str) -> None:
    check(text)


def test_what_people_write_looks_so() -> None:
    html = check(
        "# Plan\n\n1. *first*\n2. ~~second~~\nnext line\n\n|a|b|\n|-|-:|\n|1|2|\n\n"
        "[site](https://x.example/?a=1&b=2) <mailto:a@x.example>\n\n```py\nif x: pass\n```\n"
    )
    for part in (
        "<h3>Plan</h3>", "<em>first</em>", "<s>second</s>", "<br>", '<td class="right">2</td>',
        '<a href="https://x.example/?a=1&amp;b=2" rel="noopener noreferrer nofollow">site</a>',
        '<a href="mailto:a@x.example" rel="noopener noreferrer nofollow">',
        '<pre class="code"><code><span class="hl-k">if</span>',
    ):  # fmt: skip
        assert part in html


def test_links_that_lead_nowhere_are_shown_with_their_address() -> None:
    for text in ("[a](javascript:alert(1))", "[a](/prune)", "[a](#m0)", "[a](//evil.example)"):
        assert check(text) == f"<p>{text}</p>\n"


def test_pictures_are_never_fetched_from_elsewhere() -> None:
    assert "<img" not in check("![seen](https://evil.example/track.png)")
    assert ">picture: seen</a>" in check("![seen](https://evil.example/track.png)")
    linked = check("[![seen](https://evil.example/track.png)](https://x.example)")
    assert linked.count("<a ") == 1
    assert "evil" not in linked
    assert f'src="{OURS}"' in check("![plot](blobs/plots/x.png)")
    assert "<img" not in check("![plot](blobs/plots/y.png)")
    assert "<img" not in check(f"![plot]({OURS})")


def test_what_steers_is_shown() -> None:
    html = check("a\u202eb \x1b[2J \x00 &#x202e; \ud83d <https://x.example/%E2%80%AE>")
    assert html.count(r"\u202e") == 3
    assert r"\x1b[2J \x00" in html
    assert r"\ud83d" in html


@pytest.mark.parametrize(
    "piece",
    [
        "[", "![", "](", "[a](", "*", "*a", "**a ", "_a ", "*a_", "**x*y", "`", "<", "<a ", "&",
        "~~a ", ">", "> ", ">\n", "- ", "- a\n", "1. ", "|", "a|b\n-|-\n", "\\", "# a\n",
        "a\n=\n", "```\n",
        "[a]: <\n", '[a](b "', "<!--", "<http://a", "\n", " ", "\t", "![a](b)[", "*a **b _c __d ",
        "&#x202e;", "\u202e", "a  \n", "</p>\n",
    ],
)  # fmt: skip
def test_the_worst_takes_linear_time(piece: str) -> None:
    def taken(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        begun = time.process_time()
        to_html(text)
        return time.process_time() - begun

    small = taken(1_000)
    # Eight times as long takes eight times as long, and not 64 times; with room for a busy machine.
    assert min(taken(8_000) for _ in range(3)) < max(30 * small, 0.3)


@pytest.mark.rest
def test_deep_nesting_ends() -> None:
    for text in (
        ">" * 50_000 + "a",
        "".join(f"{' ' * 2 * depth}- a\n" for depth in range(400)),
        "[" * 40_000 + "a" + "]" * 40_000,
        "*" * 40_000 + "a" + "*" * 40_000,
        "a|" * 10_000 + "\n" + "-|" * 10_000 + "\n" + "x\n" * 2_000,
    ):
        begun = time.process_time()
        check(text)
        assert time.process_time() - begun < 5


def test_too_much_is_left_out() -> None:
    assert len(to_html("a" * (LONGEST + 5_000))) == LONGEST + len("<p></p>\n")


def test_code_is_text_in_colours() -> None:
    assert code.highlighted("x = '</pre><script>'", "python") == (
        '<span class="hl-n">x</span> <span class="hl-o">=</span> '
        "<span class=\"hl-s1\">'&lt;/pre&gt;&lt;script&gt;'</span>"
    )
    assert code.highlighted("x", "no such language") is None
    assert code.highlighted("x" * (code.LONGEST + 1), "python") is None


@pytest.mark.rest
@pytest.mark.parametrize("language", sorted(code.LANGUAGES))
def test_no_language_takes_too_long(language: str) -> None:
    for piece in (
        '"',
        "'",
        "(",
        "<",
        "a\n",
        "a ",
        "1_",
        "${",
        "/*",
        "a.",
        "\\",
        "{",
        "<<a\n",
        "%q(",
    ):
        begun = time.process_time()
        code.highlighted((piece * code.LONGEST)[: code.LONGEST], language)
        assert time.process_time() - begun < 2, piece


def test_the_stylesheet_has_the_colours_of_both_themes() -> None:
    stored = (Path(statekeep_web.__file__).parent / "static" / "code.css").read_text()
    assert stored == code.stylesheet()
    for kept in ("prefers-color-scheme: dark", ".code .hl-k ", ".code .hl-s1 "):
        assert kept in stored
