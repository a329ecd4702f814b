"""On a phone: nothing is beyond the edge, too small to read, or too small to hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from browser.content import SUPPORT, TOOLS
from browser.places import places
from browser.watching import unfold
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser.serving import Served
    from browser.watching import OpenPage

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}

_WIDTH = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"

_SMALL_TEXT = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const small = [];
  while (texts.nextNode()) {
    const around = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() && around.checkVisibility()
        && parseFloat(getComputedStyle(around).fontSize) < 12) {
      small.push(around.outerHTML.slice(0, 200));
    }
  }
  return small;
}"""

# Links in running text are as high as the text; all else a finger must hit.
_SMALL_TARGETS = """() => [...document.querySelectorAll(
  "button, input, select, summary, nav a, th a",
)].filter((each) => {
  const hit = each.closest("label") ?? each;
  const { width, height } = hit.getBoundingClientRect();
  return each.checkVisibility() && each.type !== "hidden" && (height < 24 || width < 24);
}).map((each) => [each.outerHTML.slice(0, 200), each.getBoundingClientRect().height])"""


def test_every_page_is_as_wide_as_the_phone(site: Served, open_page: OpenPage) -> None:
    page = open_page(site, **PHONE).page
    wrong: dict[str, Any] = {}
    for name, address in places(site).items():
        page.goto(address)
        unfold(page)
        found = (page.evaluate(_WIDTH), page.evaluate(_SMALL_TEXT), page.evaluate(_SMALL_TARGETS))
        if found != (360, [], []):
            wrong[name] = found
    assert not wrong


def test_a_conversation_is_read_with_a_finger(site: Served, open_page: OpenPage) -> None:
    watched = open_page(site, **PHONE)
    page = watched.page
    page.get_by_role("link", name="Where is my parcel?").tap()
    page.locator("summary", has_text="Call to find_parcel").tap()
    expect(page.get_by_text('"fields"').last).to_be_visible()
    assert page.url == site.conversation(collection=TOOLS, name=SUPPORT)
    watched.nothing_happened()
