"""Looking around in a store, as people do; on each kind of store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from browser.content import LONG, LONG_LENGTH, NEEDLE, PARSER, SUPPORT, TOOLS
from playwright.sync_api import expect

from statekeep import Sessions

if TYPE_CHECKING:
    from browser.serving import Served
    from browser.watching import OpenPage


def test_a_list_is_filtered_and_leads_to_a_conversation(
    served: Served, open_page: OpenPage
) -> None:
    watched = open_page(served)
    page = watched.page
    assert page.url == served.at("/")
    rows = page.locator("tbody [role=rowheader]")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(rows).not_to_have_count(50)
    assert rows.count()
    page.get_by_role("link", name="First page").click()
    page.get_by_label("User").fill("grace")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("td[data-label=User]").first).to_have_text("grace")
    assert {*page.locator("td[data-label=User]").all_inner_texts()} == {"grace"}
    page.get_by_label("Kind").select_option(TOOLS)
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Where is my parcel?").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Where is my parcel?")
    watched.nothing_happened()


def test_what_cannot_be_read_is_said(served: Served, open_page: OpenPage) -> None:
    watched = open_page(served)
    watched.page.get_by_text("1 cannot be read").click()
    expect(watched.page.get_by_role("rowheader", name="sessions/damaged.json")).to_be_visible()
    answer = watched.page.goto(served.conversation("damaged"))
    assert answer is not None
    assert answer.status == 500
    expect(watched.page.get_by_role("heading", level=1)).to_have_text("It is damaged")


def test_a_search_leads_to_the_message(served: Served, open_page: OpenPage) -> None:
    watched = open_page(served)
    page = watched.page
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Search").click()
    page.get_by_role("searchbox", name="Text").fill(NEEDLE.upper())
    page.get_by_role("button", name="Search").click()
    expect(page.locator("mark")).to_have_text(NEEDLE)
    page.get_by_role("link", name="#2 user").click()
    assert page.url.endswith("#m2")
    expect(page.locator("#m2")).to_contain_text(NEEDLE)
    watched.nothing_happened()


def test_a_conversation_is_read_with_its_tables_and_its_code(
    served: Served, open_page: OpenPage
) -> None:
    watched = open_page(served)
    page = watched.page
    page.goto(served.conversation(PARSER))
    answer = page.get_by_role("article").nth(1)
    expect(answer.get_by_role("heading", level=2)).to_have_text("agent")
    expect(answer.get_by_role("cell", name="the file")).to_be_visible()
    expect(answer.get_by_role("link", name="the manual")).to_have_attribute(
        "rel", re.compile("noopener.*noreferrer")
    )
    # A keyword of Python has a colour of its own.
    colours = "e => [getComputedStyle(e).color, getComputedStyle(e.parentElement).color]"
    one, other = page.locator("pre span", has_text=re.compile("^def$")).evaluate(colours)
    assert one != other
    page.get_by_text("Metadata").click()
    expect(page.get_by_text('"ticket": 4711')).to_be_visible()
    watched.nothing_happened()


def test_tool_calls_are_folded_and_pictures_are_shown(served: Served, open_page: OpenPage) -> None:
    watched = open_page(served)
    page = watched.page
    page.goto(served.conversation(collection=TOOLS, name=SUPPORT))
    arguments = page.get_by_text('"fields"').last
    expect(arguments).to_be_hidden()
    page.locator("summary", has_text="Call to find_parcel").click()
    expect(arguments).to_be_visible()
    page.get_by_role("link", name="To its result").click()
    expect(page.locator("details:target")).to_contain_text("find_parcel")
    shown = page.locator("article img")
    expect(shown).to_have_count(2)
    for each in shown.all():
        each.scroll_into_view_if_needed()
        expect(each).to_have_js_property("naturalWidth", 32)
    watched.nothing_happened()


def test_a_long_conversation_has_pages(served: Served, open_page: OpenPage) -> None:
    watched = open_page(served)
    page = watched.page
    page.goto(served.conversation(collection=TOOLS, name=LONG))
    articles = page.get_by_role("article")
    expect(articles).to_have_count(100)
    page.get_by_role("link", name="Later").first.click()
    expect(articles.first).to_contain_text("Item 100.")
    page.get_by_role("link", name="Jump to the end").first.click()
    expect(articles.last).to_contain_text(f"Item {LONG_LENGTH - 1}.")
    expect(articles.last).to_be_in_viewport()
    page.get_by_role("link", name="First page").first.click()
    expect(articles.first).to_contain_text("Item 0.")
    watched.nothing_happened()


def test_of_a_huge_message_only_the_beginning_is_shown(site: Served, open_page: OpenPage) -> None:
    words = "<b>Many</b> *words*, [and](javascript:alert(1)) `more`. " * 100_000
    Sessions(site.store).add_turn("huge", user=[words, "The end."], user_id="ada")
    watched = open_page(site)
    page = watched.page
    page.goto(site.conversation("huge"))
    expect(page.get_by_role("article").last).to_contain_text("The end.")
    assert len(page.content()) < 1_000_000
    page.get_by_role("link", name=re.compile("Show all")).click()
    page.wait_for_load_state()
    assert page.evaluate("document.contentType") == "text/plain"
    assert page.evaluate("document.body.textContent.length") == len(words)
    watched.nothing_happened()


def test_raw_is_text_and_a_download_a_file(served: Served, open_page: OpenPage) -> None:
    watched = open_page(served)
    page = watched.page
    page.goto(served.conversation(PARSER))
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    assert started.value.suggested_filename == f"{PARSER}.json"
    assert NEEDLE in started.value.path().read_text()
    page.get_by_role("link", name="Raw JSON").click()
    expect(page.locator("body")).to_contain_text(NEEDLE)
    assert not page.locator("script").count()


def test_what_is_thrown_away_can_be_restored(served: Served, open_page: OpenPage) -> None:
    Sessions(served.store).add_turn("unwanted", user=["Hm."], user_id="edsger")
    watched = open_page(served)
    page = watched.page
    page.goto(served.conversation("unwanted"))
    page.get_by_role("button", name="Move to trash").click()
    expect(page.get_by_role("status")).to_have_text("Moved to the trash.")
    assert Sessions(served.store).load("unwanted") is None
    page.get_by_role("button", name="Restore unwanted").click()
    expect(page.get_by_role("status").first).to_have_text("Restored from the trash.")
    expect(page.get_by_role("article")).to_contain_text("Hm.")
    assert Sessions(served.store).load("unwanted") is not None
    watched.nothing_happened()


def test_a_session_is_pinned_and_unpinned(served: Served, open_page: OpenPage) -> None:
    Sessions(served.store).add_turn("precious", user=["Keep this."], user_id="edsger")
    watched = open_page(served)
    page = watched.page
    page.goto(served.conversation("precious"))
    page.get_by_label("Pin until").fill("7d")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("status").first).to_have_text("Pinned.")
    expect(page.get_by_text("Pinned until")).to_be_visible()
    page.get_by_role("button", name="Unpin").click()
    expect(page.get_by_text("Pinned until")).to_have_count(0)
    watched.nothing_happened()


def test_what_reads_everything_is_shown(served: Served, open_page: OpenPage) -> None:
    watched = open_page(served)
    page = watched.page
    navigation = page.get_by_role("navigation", name="Pages")
    navigation.get_by_role("link", name="Statistics").click()
    expect(page.locator("svg").first).to_be_visible()
    page.get_by_text("Show as a table: Users, by size").click()
    expect(page.get_by_role("rowheader", name="margaret")).to_be_visible()
    navigation.get_by_role("link", name="Users").click()
    page.get_by_role("link", name="preview of erasing grace").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Erasing grace")
    expect(page.get_by_role("cell", name="session").first).to_be_visible()
    navigation.get_by_role("link", name="Prune").click()
    page.get_by_label("Strategy").select_option("max-sessions")
    page.get_by_role("button", name="Choose").click()
    page.get_by_label(re.compile("^max_count|^count|^max_sessions")).fill("10")
    page.get_by_role("button", name="Plan").click()
    expect(page.get_by_role("status")).to_contain_text("would be deleted")
    navigation.get_by_role("link", name="Doctor").click()
    page.get_by_role("button", name="Examine the store").click()
    expect(page.get_by_role("rowheader", name="sessions/damaged.json")).to_be_visible()
    navigation.get_by_role("link", name="Plugins").click()
    expect(page.get_by_role("rowheader", name="sqlite")).to_be_visible()
    navigation.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("cell", name="allowed", exact=True)).to_be_visible()
    watched.nothing_happened()
