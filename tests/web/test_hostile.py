"""What is stored may be anything, and is text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from support import texts
from web.client import Browser

from statekeep import Journals, Sessions, open_store
from statekeep.errors import InvalidKeyError
from statekeep_web import create_app

if TYPE_CHECKING:
    from statekeep import StateStore

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "' onfocus='alert(1)' autofocus='",
    "{{ 7 * 7 }}{% raw %}",
    "</title><svg onload=alert(1)>",
    "\u202egpj.exe",
    "a/../../b",
    "..",
    "%2e%2e%2f",
    "a?b=c&d#e",
    "-->",
    "日本語/ü",
]
PAGES = ["/", "/users", "/statistics", "/trash", "/search?q=needle", "/doctor?examine=1",
         "/prune?strategy=ttl&plan=1&option.ttl_hours=0&min_idle=0"]  # fmt: skip
EXPECTED = {
    "a", "article", "body", "button", "caption", "code", "dd", "details", "div", "dl", "dt",
    "footer", "form", "h1", "h2",
    "head", "header", "html", "input", "label", "li", "line", "link", "main", "mark", "meta",
    "nav", "ol",
    "option", "p", "pre", "q", "rect", "script", "section", "select", "small", "span", "summary",
    "svg", "table", "tbody", "td", "text", "th", "thead", "time", "title", "tr", "ul",
}  # fmt: skip


def check(browser: Browser, url: str) -> str:
    """Look at a page: it has nothing in it that only what is stored could have brought."""
    answer = browser.get(url)
    assert answer.status == 200, url
    for tag, attributes in answer.page.elements:
        assert tag in EXPECTED, (url, tag)
        assert not [name for name in attributes if name.startswith("on")], (url, tag)
        for name in ("href", "src", "action"):
            assert attributes.get(name, "/")[0] in "/#", (url, attributes)
    for script in answer.page.all("script"):
        assert script["src"].startswith("/static/")
    # A field holds to the letter what it will send.
    assert "\u202e" not in re.sub(' value="[^"]*"', "", answer.text)
    return answer.text


def fill(store: StateStore, text: str) -> None:
    sessions = Sessions(store)
    session = sessions.get_or_create(text, text)
    session.add_user_message(f"needle {text}")
    session.add_agent_response(text, phase_reached=text)
    session.metadata.update({"title": text, "project_ids": text})
    sessions.save(session)
    items = [{"role": text, "content": [{"text": f"needle {text}"}]}]
    Journals(store, "support").open(text, text).append(items, user_id=text)
    sessions.get_or_create(text, f"{text} gone")
    sessions.delete(f"{text} gone", trash=True)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text(store: StateStore, text: str) -> None:
    fill(store, text)
    app = create_app(store, allow_changes=True)
    with Browser(app) as browser:
        browser.get(f"/?token={app.token}")
        for url in PAGES:
            check(browser, url)
        named = quote(text, safe="")
        for url in (
            f"/conversation?session={named}",
            f"/conversation?collection=support&name={named}&name={named}",
            f"/user?id={named}",
            f"/user?id={named}&erasure=1",
            f"/?user={named}&title={named}&phase={named}&project={named}",
            f"/search?q={named}",
        ):
            check(browser, url)
        # And each name leads from the list to what it names.
        for link in browser.get("/").page.links():
            assert browser.get(link).status == 200, link


@given(texts)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("\n")
@example("\r\n \t")
@example("\x00\x1b[2J")
@example("x" * 512)
@example("\N{RIGHT-TO-LEFT OVERRIDE}")
def test_any_legal_name_can_be_reached_pinned_and_restored(name: str) -> None:
    with open_store("memory:") as store:
        sessions = Sessions(store)
        try:
            sessions.get_or_create("ada", name)
        except InvalidKeyError:
            return
        app = create_app(store, allow_changes=True)
        with Browser(app) as browser:
            browser.get(f"/?token={app.token}")
            (link,) = [
                each for each in browser.get("/").page.links() if each.startswith("/conversation?")
            ]
            page = browser.get(link).page
            token = page.all("input", name="form_token")[0]["value"]
            forms = [each["action"] for each in page.all("form", method="post")]
            assert browser.post(forms[0], {"form_token": token}).status == 200
            pinned = sessions.load(name, required=True)
            assert pinned.metadata == {"statekeep.pin": True}


def test_large_things_are_shown_in_part(store: StateStore) -> None:
    sessions = Sessions(store)
    session = sessions.get_or_create("ada", "large")
    session.add_user_message("needle " + "<" * 5_000_000)
    session.metadata["title"] = "T" * 100_000
    sessions.save(session)
    app = create_app(store)
    with Browser(app) as browser:
        browser.get(f"/?token={app.token}")
        for url in ("/", "/search?q=needle", "/search?q=<", "/users", "/statistics"):
            assert len(check(browser, url)) < 50_000, url


def test_what_cannot_be_read_is_hostile_too(store: StateStore) -> None:
    name = "<svg onload=alert(1)>\u202e"
    for key in ("sessions/x.json", f"sessions/{name}.json", f"journals/support/{name}.jsonl"):
        store.put(key, f'{{"id": "{name}"'.encode())
    app = create_app(store)
    with Browser(app) as browser:
        browser.get(f"/?token={app.token}")
        for url in ("/", "/doctor?examine=1", "/search?q=x", "/statistics", "/user?id=a&erasure=1"):
            check(browser, url)
