"""Turn the entries of a conversation into what the page shows, safe and of bounded size.

A page has a budget. Beyond it, texts are shown without Markdown, and then only their beginnings, so
that neither a message of 50 MB nor a hundred large ones make a page that no browser can open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from blake3 import blake3
from markupsafe import Markup, escape

from statekeep_web import code
from statekeep_web.markdown import LONGEST, to_html, visible
from statekeep_web.pictures import BEGINNING, in_url, picture_type, place_of
from statekeep_web.rendering import LONGEST_LINK, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from statekeep.conversations import Entry, Part

__all__ = ["PartView", "View", "Viewer", "mark_of"]

_MARKDOWN: Final = 300_000
_COLOURS: Final = 60_000
_SHOWN: Final = 1_500_000
"""The most characters of a page that are rendered as Markdown, highlighted, and shown in full."""

_BEGINNING: Final = 500
"""How many characters of each text are shown once the page has used up its budget."""

_PARTS: Final = 100
"""The most parts of one entry that are shown."""

_FOLDED: Final = 600
_SUMMARY: Final = 80
_NOTHING: Final = Markup()
_KNOWN: Final = {"user", "agent", "system", "tool"}


@dataclass(frozen=True, slots=True)
class PartView:
    """A part of an entry as the page shows it.

    Attributes:
        kind: As `Part.kind`.
        anchor: Its fragment in the page's address.
        html: Its content.
        summary: The line shown while it is folded; empty if it cannot be folded.
        is_open: Whether it is initially unfolded.
        tied: The fragment of a call's result, or of a result's call, on the same page.
        length: Its length in characters if only the beginning is shown; otherwise 0.
        whole: The address of the full text.
        picture: The address of a picture that is shown.
        elsewhere: The address of a picture that is not shown, because it is not in the store or may
            contain more than a picture.
        name: The name of a picture or a tool.
    """

    kind: str
    anchor: str
    html: Markup = _NOTHING
    summary: str = ""
    is_open: bool = True
    tied: str | None = None
    length: int = 0
    whole: str = ""
    picture: str | None = None
    elsewhere: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """An entry as the page shows it.

    Attributes:
        index: Its position.
        role: Who speaks.
        is_known: Whether the role has its own colour.
        timestamp: When it was said, if known.
        phase: The phase that it reached, if any.
        parts: Its parts.
        more: How many parts are left out.
        whole: The address of the entire entry as JSON.
    """

    index: int
    role: str
    is_known: bool
    timestamp: datetime | None
    phase: str | None
    parts: Sequence[PartView]
    more: int
    whole: str


class Viewer:
    """Prepares the entries of one page.

    Args:
        link: Returns the address of a page, as `Visit.link`.
        query: The query parameters that name the conversation.
    """

    def __init__(self, link: Callable[..., str], query: dict[str, Any]) -> None:
        self._link = link
        self._query = query
        self._markdown, self._colours, self._shown = _MARKDOWN, _COLOURS, _SHOWN
        self._calls: dict[str, str] = {}
        self._results: dict[str, str] = {}
        self._tools: dict[str, str] = {}

    def views(self, entries: Sequence[Entry]) -> Iterator[View]:
        """Yield entries as the page shows them."""
        for entry in entries:
            for place, part in enumerate(entry.parts[:_PARTS]):
                known = {"tool_call": self._calls, "tool_result": self._results}.get(part.kind)
                if known is not None and part.call_id:
                    known.setdefault(part.call_id, _anchor(entry.index, place))
                    if part.name:
                        self._tools.setdefault(part.call_id, part.name)
        return map(self._view, entries)

    def _view(self, entry: Entry) -> View:
        shown = enumerate(entry.parts[:_PARTS])
        return View(
            entry.index,
            entry.role or "",
            entry.role in _KNOWN,
            entry.timestamp,
            entry.phase,
            [self._part(entry.index, place, part) for place, part in shown],
            max(0, len(entry.parts) - _PARTS),
            self._address("/text", index=entry.index),
        )

    def _part(self, index: int, place: int, part: Part) -> PartView:
        anchor = _anchor(index, place)
        if part.kind == "image":
            return self._picture(anchor, index, place, part)
        text, longest = part.text, LONGEST if self._shown > 0 else _BEGINNING
        is_cut = len(text) > longest
        text = text[:longest]
        self._shown -= len(text)
        summary, is_open = self._summary(part)
        return PartView(
            part.kind,
            anchor,
            self._html(part.kind, text),
            summary,
            is_open,
            self._tied(part),
            len(part.text) if is_cut else 0,
            self._address("/text", index=index, part=place) if is_cut else "",
            name=part.name or "",
        )

    def _html(self, kind: str, text: str) -> Markup:
        if kind in {"text", "thinking"}:
            if len(text) <= self._markdown:
                self._markdown -= len(text)
                return to_html(text, pictures=self._stored, paint=self._paint)
            return Markup('<p class="plain">{}</p>').format(visible(text))
        text = visible(text)
        painted = self._paint(text, "json") if kind != "tool_result" else None
        shown = text if painted is None else painted
        return Markup('<pre class="code" tabindex="0"><code>{}</code></pre>').format(shown)

    def _paint(self, text: str, language: str) -> Markup | None:
        if len(text) > min(self._colours, code.LONGEST):
            return None
        self._colours -= len(text)
        return code.highlighted(text, language)

    def _summary(self, part: Part) -> tuple[str, bool]:
        """The line shown for a folded part, and whether the part is initially unfolded."""
        said = _first_line(part.text)
        tool = cut(part.name or self._tools.get(part.call_id or "") or "a tool", _SUMMARY)
        if part.kind == "thinking":
            return f"Thinking: {said}", False
        if part.kind == "tool_call":
            return f"Call to {tool}: {said}", False
        if part.kind == "tool_result":
            return f"Result of {tool}: {said}", False
        if part.kind == "data":
            return f"{cut(part.name or 'Data', _SUMMARY)}: {said}", len(part.text) <= _FOLDED
        return "", True

    def _tied(self, part: Part) -> str | None:
        if not part.call_id:
            return None
        others = {"tool_call": self._results, "tool_result": self._calls}.get(part.kind, {})
        return others.get(part.call_id)

    def _picture(self, anchor: str, index: int, place: int, part: Part) -> PartView:
        source, address = part.source or "", None
        is_shown = False
        if (stored := place_of(source)) is not None:
            address, is_shown = self._at(stored.kind, stored.name), stored.may_be_shown
        elif (begins := in_url(source, BEGINNING)) is not None:
            address = self._address("/image", index=index, part=place)
            is_shown = picture_type(begins) is not None
        elif len(source) <= LONGEST_LINK and source.lower().startswith(("https://", "http://")):
            address = source
        name = part.name or part.media_type or "picture"
        if is_shown:
            return PartView("image", anchor, picture=address, name=name)
        said = name if source.startswith("data:") else source[:200]
        return PartView("image", anchor, escape(visible(said)), elsewhere=address, name=name)

    def _stored(self, source: str) -> str | None:
        """The address of a picture that Markdown names, if the store has it."""
        stored = place_of(source)
        if stored is None or not stored.may_be_shown:
            return None
        return self._at(stored.kind, stored.name)

    def _at(self, kind: str, name: str) -> str:
        return self._address("/image", **{kind: name})

    def _address(self, path: str, **more: object) -> str:
        return self._link(path, **self._query, **more)


def mark_of(entries: Iterable[Entry]) -> str:
    """A hash of the last entry, to recognize it later; empty if there is none."""
    last = None
    for last in entries:  # noqa: B007 - only the last is needed
        pass
    if last is None:
        return ""
    return blake3(orjson.dumps(last.raw)).hexdigest(length=12)


def _anchor(index: int, place: int) -> str:
    return f"m{index}p{place}"


def _first_line(text: str) -> str:
    """The beginning of a text, as one line."""
    return cut(" ".join(text[: 4 * _SUMMARY].split()), _SUMMARY)
