"""The page as a part of somebody's own application."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from browser.content import fill
from browser.serving import serve_app
from browser.watching import watch
from fastapi import FastAPI
from playwright.sync_api import expect

from statekeep import Sessions, open_store
from statekeep_web import create_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from starlette.requests import Request

# Of links, forms, styles and scripts; what a text in a conversation links to leads elsewhere.
_ADDRESSES = """[...document.querySelectorAll("a, link, script, form")]
  .map((each) => each.href ?? each.src ?? each.action)
  .filter((each) => each.startsWith(location.origin))"""


def _ada(request: Request) -> str | None:
    """Lets in whom the application's own cookie names."""
    return request.cookies.get("signed-in")


def test_links_forms_and_news_stay_below_the_mount(chromium: Browser) -> None:
    app = FastAPI()
    with open_store("memory:") as store:
        fill(store)
        app.mount("/admin/state", create_app(store, authenticate=_ada, allow_changes=True))
        with serve_app(app) as base, chromium.new_context() as context:
            watched = watch(context, urlsplit(base).netloc)
            page = watched.page
            answer = page.goto(f"{base}/admin/state/")
            assert answer is not None
            assert answer.status == 403
            watched.said.clear()
            context.add_cookies([{"name": "signed-in", "value": "ada", "url": base}])
            page.goto(f"{base}/admin/state/")
            expect(page.get_by_role("contentinfo")).to_contain_text("ada")
            page.get_by_label("User").fill("ada")
            page.get_by_role("button", name="Filter").click()
            page.get_by_role("link", name="Plan the parser").click()
            expect(page.get_by_role("article")).to_have_count(4)
            Sessions(store).update("plan-the-parser", lambda each: each.add_user_message("News."))
            expect(page.get_by_role("article").last).to_contain_text("News.", timeout=10_000)
            page.get_by_role("button", name="Move to trash").click()
            page.get_by_role("button", name="Restore plan-the-parser").click()
            expect(page.get_by_role("status").first).to_have_text("Restored from the trash.")
            assert urlsplit(page.url).path == "/admin/state/conversation"
            addresses = page.evaluate(_ADDRESSES)
            assert len(addresses) > 20
            assert all(each.startswith(f"{base}/admin/state/") for each in addresses)
            cookies = {each["name"]: each["path"] for each in context.cookies()}
            assert {path for name, path in cookies.items() if name != "signed-in"} == {
                "/admin/state"
            }
            watched.nothing_happened()
