"""With the keyboard alone: whatever has the focus is seen, and everything is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from browser.content import LONG, SUPPORT, TOOLS
from browser.places import places
from playwright.sync_api import expect

from statekeep import Sessions

if TYPE_CHECKING:
    from browser.serving import Served
    from browser.watching import OpenPage
    from playwright.sync_api import Locator, Page

_MOST = 150
"""Presses of Tab after which something is not reached."""

# A ring around what has the focus, which lies in the window and under nothing else.
_IS_SEEN = """() => {
  const focused = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(focused);
  const { left, top, right, bottom } = focused.getBoundingClientRect();
  const shown = [Math.max(0, left), Math.max(0, top),
                 Math.min(innerWidth, right), Math.min(innerHeight, bottom)];
  const above = document.elementFromPoint((shown[0] + shown[2]) / 2, (shown[1] + shown[3]) / 2);
  const ring = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  const inside = shown[2] > shown[0] && shown[3] > shown[1];
  const uncovered = above && (focused.contains(above) || above.contains(focused));
  return ring && inside && uncovered ? "" : `${[ring, inside, Boolean(uncovered)]} ` +
    focused.outerHTML.slice(0, 200);
}"""
_IS_BODY = "() => document.activeElement === document.body"


def _go_to(page: Page, wanted: Locator) -> None:
    """Press Tab until something has the focus."""
    for _ in range(_MOST):
        page.keyboard.press("Tab")
        if wanted.evaluate("(each) => each === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached")


def test_the_first_stop_skips_the_navigation(site: Served, open_page: OpenPage) -> None:
    page = open_page(site).page
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_what_has_the_focus_is_seen_on_every_page(site: Served, open_page: OpenPage) -> None:
    page = open_page(site).page
    unseen: dict[str, Any] = {}
    for name, address in places(site).items():
        page.goto(address)
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(_IS_BODY):
                break
            if said := page.evaluate(_IS_SEEN):
                unseen.setdefault(name, []).append(said)
    assert not unseen


def test_a_conversation_is_found_opened_and_unfolded(site: Served, open_page: OpenPage) -> None:
    watched = open_page(site)
    page = watched.page
    _go_to(page, page.get_by_label("User"))
    page.keyboard.type("grace")
    _go_to(page, page.get_by_label("Kind"))
    page.keyboard.type(TOOLS)
    _go_to(page, page.get_by_role("button", name="Filter"))
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    _go_to(page, page.get_by_role("link", name="Where is my parcel?"))
    page.keyboard.press("Enter")
    page.wait_for_url(site.conversation(collection=TOOLS, name=SUPPORT))
    call = page.locator("summary", has_text="Call to find_parcel")
    _go_to(page, call)
    page.keyboard.press("Enter")
    arguments = page.get_by_text('"fields"').last
    expect(arguments).to_be_visible()
    _go_to(page, page.get_by_role("link", name="To its result"))
    page.keyboard.press("Enter")
    # From where that led to, not from the top.
    _go_to(page, page.locator("details:target > summary"))
    page.keyboard.press("Space")
    expect(page.locator("details:target")).to_contain_text("Hamburg")
    watched.nothing_happened()


def test_pages_are_turned(site: Served, open_page: OpenPage) -> None:
    page = open_page(site).page
    page.goto(site.conversation(collection=TOOLS, name=LONG))
    _go_to(page, page.get_by_role("link", name="Later").first)
    page.keyboard.press("Enter")
    expect(page.get_by_role("article").first).to_contain_text("Item 100.")


def test_the_trash_is_emptied_of_what_was_not_meant(site: Served, open_page: OpenPage) -> None:
    sessions = Sessions(site.store)
    sessions.add_turn("by-keyboard", user=["Not meant."], user_id="edsger")
    sessions.delete("by-keyboard", trash=True)
    page = open_page(site).page
    _go_to(page, page.get_by_role("link", name="Trash"))
    page.keyboard.press("Enter")
    page.wait_for_url(site.at("/trash"))
    _go_to(page, page.get_by_role("button", name="Restore by-keyboard"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_have_text("Restored from the trash.")
    assert sessions.load("by-keyboard") is not None
