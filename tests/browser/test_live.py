"""A conversation grows before the reader's eyes, while somebody else goes on with it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from browser.content import TOOLS
from playwright.sync_api import expect

from statekeep import Journals, Sessions

if TYPE_CHECKING:
    from browser.serving import Served
    from browser.watching import OpenPage

_SOON = 10_000
"""Milliseconds in which what is new is there; it is asked for every two seconds."""

_APPEND = """
import sys
from statekeep import Journals, open_store
with open_store(sys.argv[1]) as store:
    Journals(store, sys.argv[2]).open(sys.argv[3]).append(
        [{"role": "assistant", "content": text} for text in sys.argv[4:]]
    )
"""


def _append(served: Served, name: str, *texts: str) -> None:
    """Append to a journal, from another process if that can reach the store."""
    if served.location.startswith("memory:"):
        items = [{"role": "assistant", "content": text} for text in texts]
        Journals(served.store, TOOLS).open(name).append(items)
        return
    command = [sys.executable, "-c", _APPEND, served.location, TOOLS, name, *texts]
    subprocess.run(command, check=True, timeout=60)


def test_what_another_process_appends_appears(served: Served, open_page: OpenPage) -> None:
    _append(served, "live", *(f"Message {number}.\n\n" * 3 for number in range(20)))
    watched = open_page(served)
    page = watched.page
    page.goto(served.conversation(collection=TOOLS, name=("live",)))
    status = page.locator("#news")
    expect(status).to_have_role("status")
    page.locator("#m10").scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    assert before
    _append(served, "live", "A **new** message.")
    new = page.get_by_role("article").filter(has_text="A new message.")
    expect(new).to_be_attached(timeout=_SOON)
    expect(new.locator("strong")).to_have_text("new")
    # The words are few, and the reader stays where he was.
    expect(status).to_have_text("1 new message")
    assert page.evaluate("scrollY") == before
    _append(served, "live", "One more.", "And the last.")
    expect(page.locator("#m22")).to_be_attached(timeout=_SOON)
    expect(status).to_have_text("3 new messages")
    assert page.evaluate("scrollY") == before
    # Who is at the end stays there.
    page.keyboard.press("End")
    expect(page.get_by_role("contentinfo")).to_be_in_viewport()
    _append(served, "live", "Seen at once. " * 50)
    expect(page.locator("#m23")).to_be_in_viewport(timeout=_SOON)
    watched.nothing_happened()


def test_a_session_is_followed_too(site: Served, open_page: OpenPage) -> None:
    sessions = Sessions(site.store)
    sessions.add_turn("followed", user=["Begin."], user_id="ada")
    page = open_page(site).page
    page.goto(site.conversation("followed"))
    sessions.add_turn("followed", agent=["Go on."])
    expect(page.get_by_role("article").last).to_contain_text("Go on.", timeout=_SOON)


def test_what_is_gone_is_said(site: Served, open_page: OpenPage) -> None:
    journal = Journals(site.store, TOOLS).open("short")
    journal.append([{"role": "user", "content": f"Item {number}."} for number in range(5)])
    page = open_page(site).page
    page.goto(site.conversation(collection=TOOLS, name=("short",)))
    journal.change(lambda draft: draft.truncate(2))
    expect(page.locator("#news")).to_contain_text("cut back", timeout=_SOON)
    page.get_by_role("link", name="Refresh").click()
    expect(page.get_by_role("article")).to_have_count(2)
    journal.delete()
    expect(page.locator("#news")).to_contain_text("deleted", timeout=_SOON)


def test_what_is_unchanged_is_not_sent_again(site: Served, open_page: OpenPage) -> None:
    _append(site, "calm", "Nothing happens here.")
    watched = open_page(site)
    page = watched.page
    page.goto(site.conversation(collection=TOOLS, name=("calm",)))
    for _ in range(2):
        with page.expect_response("**/live?*") as asked:
            pass
        assert asked.value.status == 204
    assert page.locator("#news").inner_text() == ""
    watched.nothing_happened()


@pytest.mark.parametrize("hidden", ["hidden", "visible"])
def test_nobody_asks_for_what_nobody_sees(site: Served, open_page: OpenPage, hidden: str) -> None:
    _append(site, "unseen", "Nobody looks.")
    page = open_page(site).page
    page.goto(site.conversation(collection=TOOLS, name=("unseen",)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden === "hidden" });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
    page.wait_for_timeout(2_500)
    assert any("/live?" in each for each in asked) == (hidden == "visible")


def test_the_list_grows_when_asked_to(site: Served, open_page: OpenPage) -> None:
    watched = open_page(site)
    page = watched.page
    page.get_by_label("live updates").check()
    Sessions(site.store).add_turn("just-made", user=["Hi"], user_id="ada")
    expect(page.get_by_role("link", name="just-made")).to_be_visible(timeout=_SOON)
    watched.nothing_happened()
