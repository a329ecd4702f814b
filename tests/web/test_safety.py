"""Nobody sees or changes anything but who may."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from starlette.responses import RedirectResponse
from web.client import Browser

from statekeep import Sessions
from statekeep_web import create_app
from statekeep_web.pages import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

    from statekeep import StateStore

PATHS = sorted({page.path for page in ROUTES if page.method == "GET"})
CHANGES = sorted({page.path for page in ROUTES if page.method == "POST"})
SAME = {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8765"}


@pytest.fixture
def stranger(store: StateStore) -> Iterator[Browser]:
    Sessions(store).get_or_create("ada", "secret-plan")
    with Browser(create_app(store, allow_changes=True)) as browser:
        yield browser


@pytest.fixture
def editor(store: StateStore, browse: Callable[..., Browser]) -> Browser:
    Sessions(store).get_or_create("ada", "plan")
    return browse(allow_changes=True)


def form_token(browser: Browser) -> str:
    page = browser.get("/conversation?session=plan").page
    return page.all("input", name="form_token")[0]["value"]


@pytest.mark.parametrize("path", PATHS)
def test_without_the_link_nothing_is_seen(stranger: Browser, path: str) -> None:
    for url in (path, f"{path}?token=", f"{path}?token=%C3%A4", f"{path}?token=wrong"):
        answer = stranger.get(url)
        assert answer.status == 401
        assert "secret-plan" not in answer.text
        assert answer.header("set-cookie") is None


def test_the_icon_is_there_for_pages_that_cannot_name_it(stranger: Browser) -> None:
    answer = stranger.get("/favicon.ico")
    assert (answer.status, answer.header("content-type")) == (200, "image/svg+xml")
    assert "default-src 'none'" in (answer.header("content-security-policy") or "")


@pytest.mark.parametrize("path", CHANGES)
def test_without_the_link_nothing_is_changed(
    stranger: Browser, store: StateStore, path: str
) -> None:
    answer = stranger.post(f"{path}?session=secret-plan", {"form_token": "x"})
    assert answer.status == 401
    assert Sessions(store).load("secret-plan", required=True).metadata == {}


def test_the_token_leaves_the_address_and_becomes_another_secret(stranger: Browser) -> None:
    token = stranger.app.token
    answer = stranger.get(f"/search?q=a%20b&token={token}", follow=False)
    assert (answer.status, answer.header("location")) == (303, "/search?q=a+b")
    cookie = answer.header("set-cookie") or ""
    assert re.fullmatch(
        r"statekeep-8765=[\w-]+\.[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Strict", cookie
    )
    assert token not in cookie
    assert stranger.get("/").status == 200
    assert token not in stranger.get("/").text


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%2F/evil.example"])
def test_the_link_leads_nowhere_else(stranger: Browser, path: str) -> None:
    answer = stranger.get(f"http://127.0.0.1:8765{path}?token={stranger.app.token}", follow=False)
    assert re.match(r"/[^/\\]", answer.header("location") or "")


@pytest.mark.parametrize("value", ["", "x", "x.y", ".", "ä.ö", "a." + "0" * 64])
def test_an_invented_cookie_is_none(stranger: Browser, value: str) -> None:
    stranger.cookies["statekeep-8765"] = value
    assert stranger.get("/").status == 401
    stranger.cookies["statekeep-8765"] = stranger.app.token
    assert stranger.get("/").status == 401


def test_a_cookie_of_another_page_is_none(stranger: Browser, store: StateStore) -> None:
    with Browser(create_app(store)) as other:
        other.get(f"/?token={other.app.token}")
        stranger.cookies.update(other.cookies)
    assert stranger.get("/").status == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8765", "127.0.0.1.evil.example", "10.0.0.1", "", "a b",
        "localhost@evil.example", "127.0.0.1:8765/", "[::1", "0.0.0.0",
    ],
)  # fmt: skip
def test_another_name_that_leads_here_is_refused(browser: Browser, host: str) -> None:
    assert browser.get("/", headers={"host": host}).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:1"])
def test_this_machines_own_names_are_fine(stranger: Browser, host: str) -> None:
    assert stranger.get("/", headers={"host": host}).status == 401


def test_names_and_addresses_are_let_in_if_told(store: StateStore) -> None:
    with Browser(create_app(store, hosts=["box.example", "*ip"])) as browser:
        for host, status in [("box.example", 401), ("10.0.0.1:80", 401), ("[fe80::1]", 401),
                             ("localhost", 421), ("10.0.0.1.evil.example", 421)]:  # fmt: skip
            assert browser.get("/", headers={"host": host}).status == status, host


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate",
          "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate",
          "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
    ],
)  # fmt: skip
def test_other_sites_may_lead_here_and_no_more(
    browser: Browser, headers: dict[str, str], status: int
) -> None:
    assert browser.get("/", headers=headers).status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
        {"origin": "https://127.0.0.1:8765"},
        {"origin": "null"},
        {"origin": "null", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_a_form_of_another_site_changes_nothing(
    editor: Browser, store: StateStore, headers: dict[str, str]
) -> None:
    token = form_token(editor)
    answer = editor.post("/pin?session=plan", {"form_token": token}, headers=headers)
    assert answer.status == 403
    assert Sessions(store).load("plan", required=True).metadata == {}


@pytest.mark.parametrize("headers", [{}, SAME, None, {"sec-fetch-site": "same-origin"}])
def test_a_form_of_this_page_changes_what_it_says(
    editor: Browser, store: StateStore, headers: dict[str, str] | None
) -> None:
    form = {"form_token": form_token(editor)}
    answer = editor.post("/pin?session=plan", form, headers=headers)
    assert answer.status == 200
    assert "Pinned." in answer.page.text
    assert Sessions(store).load("plan", required=True).metadata == {"statekeep.pin": True}


def test_forms_work_where_browsers_do_not_say_which_site_asks(store: StateStore) -> None:
    # They say so by HTTPS and to this machine; not to another machine by HTTP.
    Sessions(store).get_or_create("ada", "plan")
    app = create_app(store, allow_changes=True, hosts=["192.168.0.7"])
    with Browser(app, "http://192.168.0.7:8765") as browser:
        browser.get(f"/?token={app.token}")
        form = {"form_token": form_token(browser)}
        untold = {"origin": "null"}
        assert browser.post("/pin?session=plan", {}, headers=untold).status == 403
        other = {"origin": "null", "sec-fetch-site": "cross-site"}
        assert browser.post("/pin?session=plan", form, headers=other).status == 403
        assert browser.post("/pin?session=plan", form, headers=untold).status == 200
        browser.cookies.clear()
        assert browser.post("/pin?session=plan", form, headers=untold).status == 401


def test_a_cookie_of_another_page_beside_it_does_not_lock_out(browser: Browser) -> None:
    """Of two pages, at / and at /a, the browser sends both cookies to the second."""
    ((name, value),) = browser.cookies.items()
    for cookies in (f"{name}=other.0; {name}={value}", f"{name}={value}; {name}=other.0"):
        assert browser.get("/", headers={"cookie": cookies}).status == 200
    assert browser.get("/", headers={"cookie": f"{name}=other.0; {name}="}).status == 401


@pytest.mark.parametrize("given", ["", "wrong", "ä"])
def test_a_form_without_the_token_changes_nothing(
    editor: Browser, store: StateStore, given: str
) -> None:
    assert editor.post("/pin?session=plan", {"form_token": given}).status == 403
    assert editor.post("/pin?session=plan", {}).status == 403
    assert Sessions(store).load("plan", required=True).metadata == {}


def test_the_token_of_a_form_is_of_one_browser(editor: Browser, store: StateStore) -> None:
    token = form_token(editor)
    editor.cookies.clear()
    editor.get(f"/?token={editor.app.token}")
    assert editor.post("/pin?session=plan", {"form_token": token}).status == 403
    assert Sessions(store).load("plan", required=True).metadata == {}


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_is_changed_unless_that_was_allowed(
    store: StateStore, browser: Browser, path: str
) -> None:
    Sessions(store).get_or_create("ada", "plan")
    assert not browser.get("/conversation?session=plan").page.all("form", method="post")
    answer = browser.post(f"{path}?session=plan", {"form_token": "x"})
    assert answer.status == 403
    assert "--allow-changes" in answer.text
    assert browser.get(path).status == 405


def test_a_form_that_is_too_long_is_refused(editor: Browser) -> None:
    answer = editor.post("/pin?session=plan", {"form_token": "x" * 70_000})
    assert answer.status == 413


@pytest.mark.parametrize("path", [*PATHS, "/static/page.css", "/none"])
def test_every_answer_tells_browsers_to_be_careful(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    policy = answer.header("content-security-policy") or ""
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("cross-origin-opener-policy") == "same-origin"
    assert answer.header("cross-origin-resource-policy") == "same-origin"


@pytest.mark.parametrize("path", PATHS)
def test_no_page_has_script_or_style_inside_or_from_elsewhere(browser: Browser, path: str) -> None:
    page = browser.get(path).page
    for tag, attributes in page.elements:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag != "style"
        for name in ("src", "href", "action"):
            address = attributes.get(name, "/")
            assert address.startswith(("/", "#")), (tag, address)
            assert not address.startswith("//")
    assert [each["src"] for each in page.all("script")] == ["/static/page.js"]


@pytest.mark.parametrize(
    "path",
    [
        "/static", "/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py",
        "/static//etc/passwd",
    ],
)  # fmt: skip
def test_only_what_belongs_to_the_page_is_given_away(stranger: Browser, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status in {401, 404}
    assert b"create_app" not in answer.body
    assert b"root:" not in answer.body


class TestWhoSignedIn:
    def test_is_let_in_by_a_function(self, store: StateStore) -> None:
        asked: list[str] = []

        def authenticate(request: Request) -> str | None:
            asked.append(request.url.path)
            return request.headers.get("x-user")

        Sessions(store).get_or_create("ada", "plan")
        app = create_app(store, authenticate=authenticate, allow_changes=True)
        assert app.token is None
        with Browser(app) as browser:
            assert browser.get("/").status == 403
            assert browser.get("/?token=None").status == 403
            seen = browser.get("/conversation?session=plan", headers={"x-user": "grace"})
            assert seen.status == 200
            assert "grace" in seen.page.text
            token = seen.page.all("input", name="form_token")[0]["value"]
            headers = {"x-user": "grace", **SAME}
            kept = browser.post("/pin?session=plan", {"form_token": token}, headers=headers,
                                follow=False)  # fmt: skip
            assert kept.status == 303
            other = {"x-user": "eve", **SAME}
            assert (
                browser.post("/pin?session=plan", {"form_token": token}, headers=other).status
                == 403
            )
        assert asked

    def test_may_be_asked_for_asynchronously_and_sent_elsewhere(self, store: StateStore) -> None:
        async def authenticate(request: Request) -> bool | RedirectResponse:
            return "x-user" in request.headers or RedirectResponse("/login")

        with Browser(create_app(store, authenticate=authenticate)) as browser:
            answer = browser.get("/", follow=False)
            assert (answer.status, answer.header("location")) == (307, "/login")
            assert browser.get("/", headers={"x-user": "ada"}).status == 200

    def test_may_be_answered_by_another_worker_that_has_the_secret(self, store: StateStore) -> None:
        Sessions(store).get_or_create("ada", "plan")
        secret = "s" * 32
        workers = [
            create_app(store, authenticate=lambda _: True, allow_changes=True, secret=each)
            for each in (secret, secret, None)
        ]
        with Browser(workers[0]) as browser:
            token = form_token(browser)
            for worker, status in zip(workers, (200, 200, 403), strict=True):
                browser.app = worker
                assert browser.post("/pin?session=plan", {"form_token": token}).status == status
        with pytest.raises(ValueError, match="32"):
            create_app(store, secret="short")
        with pytest.raises(ValueError, match="authenticate"):
            create_app(store, secret=secret)

    def test_is_not_let_in_by_an_error(self, store: StateStore) -> None:
        def authenticate(_: Request) -> bool:
            raise RuntimeError("no directory")

        with (
            Browser(create_app(store, authenticate=authenticate)) as browser,
            pytest.raises(RuntimeError, match="no directory"),
        ):
            browser.get("/")

    @pytest.mark.parametrize("given", [(False, "unknown"), {"error": "expired"}, 1, object()])
    def test_is_not_let_in_by_what_says_neither_yes_nor_no(
        self, store: StateStore, given: object
    ) -> None:
        app = create_app(store, authenticate=lambda _: given)  # type: ignore[arg-type,return-value]
        with Browser(app) as browser, pytest.raises(TypeError, match="authenticate returned"):
            browser.get("/")
