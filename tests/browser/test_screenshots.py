"""The pictures of the docs: what each page looks like."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from browser.content import SUPPORT, TOOLS, fill
from browser.places import places
from browser.serving import Served, serve
from browser.test_phone import PHONE
from browser.watching import unfold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.watching import OpenPage

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
_LARGEST = 150 * 1024

_DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
_DARK: dict[str, Any] = {**_DESK, "color_scheme": "dark"}

PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "list": ("list", _DESK),
    "list-on-a-phone": ("list", PHONE),
    "conversation": ("conversation", _DESK),
    "conversation-in-the-dark": ("tools", _DARK),
    "search": ("found", _DESK),
    "users": ("users", _DESK),
    "erasure": ("erasure", _DESK),
    "statistics": ("statistics", _DESK),
    "prune": ("plan", _DESK),
    "trash": ("trash", _DESK),
    "doctor": ("findings", _DESK),
    "settings": ("settings", _DESK),
}
"""The name of each picture, the page that it shows, and how."""


@pytest.fixture(scope="module")
def pictured() -> Iterator[Served]:
    # By a path that means something to who sees it.
    with (
        TemporaryDirectory(prefix="agents-") as folder,
        serve(f"sqlite:{folder}/state.db", "--allow-changes", fill=fill) as served,
    ):
        yield served


@pytest.mark.parametrize("name", PICTURES)
def test_what_it_looks_like(pictured: Served, open_page: OpenPage, name: str) -> None:
    shown, options = PICTURES[name]
    page = open_page(pictured, **options).page
    page.goto(places(pictured)[shown])
    if page.url == pictured.conversation(collection=TOOLS, name=SUPPORT):
        unfold(page)
        page.locator("img").last.scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, 0)")
    FOLDER.mkdir(exist_ok=True)
    place = FOLDER / f"{name}.png"
    page.screenshot(path=place, animations="disabled")
    assert place.stat().st_size <= _LARGEST
