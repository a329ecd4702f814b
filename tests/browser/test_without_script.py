"""Without script: all works but what comes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from browser.content import NEEDLE, SUPPORT, TOOLS
from playwright.sync_api import expect

from statekeep import Sessions

if TYPE_CHECKING:
    from browser.serving import Served
    from browser.watching import OpenPage


def test_everything_works_but_what_comes_by_itself(site: Served, open_page: OpenPage) -> None:
    watched = open_page(site, java_script_enabled=False)
    page = watched.page
    expect(page.get_by_label("live updates")).to_have_count(0)
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_role("link", name="First page")).to_be_visible()
    page.goto(site.at("/"))
    page.get_by_label("User").fill("grace")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="Where is my parcel?").click()
    page.locator("summary", has_text="Call to find_parcel").click()
    expect(page.get_by_text('"fields"').last).to_be_visible()
    page.goto(site.at("/search", q=NEEDLE))
    expect(page.locator("mark")).to_have_text(NEEDLE)
    page.goto(site.at("/statistics"))
    expect(page.locator("svg").first).to_be_visible()
    watched.nothing_happened()


def test_refresh_shows_what_is_new(site: Served, open_page: OpenPage) -> None:
    sessions = Sessions(site.store)
    sessions.add_turn("refreshed", user=["Begin."], user_id="ada")
    page = open_page(site, java_script_enabled=False).page
    page.goto(site.conversation("refreshed"))
    sessions.add_turn("refreshed", agent=["Go on."])
    page.get_by_role("link", name="Refresh").click()
    expect(page.get_by_role("article").last).to_contain_text("Go on.")


def test_changes_are_made_by_forms(site: Served, open_page: OpenPage) -> None:
    Sessions(site.store).add_turn("by-form", user=["Begin."], user_id="ada")
    watched = open_page(site, java_script_enabled=False)
    page = watched.page
    page.goto(site.conversation("by-form"))
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_text("Pinned until")).to_be_visible()
    page.get_by_role("button", name="Move to trash").click()
    page.get_by_role("button", name="Restore by-form").click()
    expect(page.get_by_role("status").first).to_have_text("Restored from the trash.")
    watched.nothing_happened()
    assert page.goto(site.conversation(collection=TOOLS, name=SUPPORT))
