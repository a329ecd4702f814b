"""The page as part of somebody's own application."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from web.client import Browser

from statekeep import Sessions, open_store
from statekeep.config import load_settings
from statekeep.errors import ClosedError, ConfigError
from statekeep_web import create_app

if TYPE_CHECKING:
    from pathlib import Path

    from web.client import Answer

    from statekeep import StateStore
    from statekeep_web import BrowseApp

PAGES = ["", "search?q=Hello", "users", "user?id=ada", "statistics", "prune?strategy=ttl", "trash",
         "doctor", "plugins", "settings", "conversation?session=plan"]  # fmt: skip


def in_fastapi(page: BrowseApp) -> FastAPI:
    app = FastAPI()
    app.mount("/admin/über state", page)
    return app


def in_starlette_twice(page: BrowseApp) -> Starlette:
    return Starlette(routes=[Mount("/admin", routes=[Mount("/über state", page)])])


@pytest.mark.parametrize("mount", [in_fastapi, in_starlette_twice])
def test_every_address_is_below_the_mount(store: StateStore, mount: object) -> None:
    session = Sessions(store).get_or_create("ada", "plan")
    session.add_user_message("Hello")
    Sessions(store).save(session)
    page = create_app(store, allow_changes=True)
    below = "/admin/%C3%BCber%20state/"
    with Browser(mount(page)) as browser:  # type: ignore[operator]
        entered = browser.get(f"{below}?token={page.token}", follow=False)
        assert entered.header("location") == below
        assert f"Path={below.rstrip('/')};" in (entered.header("set-cookie") or "")
        for path in PAGES:
            answer = browser.get(below + path)
            assert answer.status == 200, path
            for _, attributes in answer.page.elements:
                for name in ("href", "src", "action"):
                    address = attributes.get(name, below)
                    assert address.startswith((below, "#")), (path, address)
            current = [each for each in answer.page.all("a") if each.get("aria-current")]
            assert len(current) == (path.split("?")[0] not in {"user", "conversation"}), path
        shown = browser.get(f"{below}conversation?session=plan").page
        token = shown.all("input", name="form_token")[0]["value"]
        done = browser.post(f"{below}pin?session=plan", {"form_token": token})
        assert urlsplit(done.url).path == f"{below}conversation"
        assert browser.get(f"{below}static/page.css").status == 200
        assert browser.get(f"{below}static/../app.py").status == 404
        assert browser.get(f"{below}none").status == 404
        browser.cookies.clear()
        assert browser.get(f"{below}static.").status == 401
        assert browser.get(below).status == 401


def test_behind_a_proxy_that_takes_a_prefix_away(store: StateStore) -> None:
    app = create_app(store, authenticate=lambda _: True)

    async def proxied(scope: dict[str, object], receive: object, send: object) -> None:
        await app({**scope, "root_path": "/tools"}, receive, send)  # type: ignore[arg-type]

    with Browser(proxied) as browser:
        assert "/tools/search" in browser.get("/tools/").page.links()
        assert browser.get("/tools/search").status == 200
        stripped = browser.get("/search").page
        assert stripped.all("a", **{"aria-current": "page"}) == [
            {"href": "/tools/search", "aria-current": "page"}
        ]


def test_a_store_that_was_given_stays_open(store: StateStore) -> None:
    page = create_app(store)
    page.close()
    assert Sessions(store).get_or_create("ada", "plan").id == "plan"


def test_a_store_that_was_opened_here_is_closed_once(tmp_path: Path) -> None:
    with open_store(tmp_path / "state") as store:
        Sessions(store).get_or_create("ada", "plan")
    for wanted in (tmp_path / "state", str(tmp_path / "state"),
                   load_settings(url=str(tmp_path / "state"))):  # fmt: skip
        page = create_app(wanted, authenticate=lambda _: "ada")
        with Browser(page) as browser:
            assert "plan" in browser.get("/").page.text
            page.close()
            page.close()
            assert browser.get("/").status == 503
    with pytest.raises(ConfigError):
        create_app("postgresql://ada:secret@box/db")


def test_whoever_serves_it_closes_it_at_the_end(tmp_path: Path) -> None:
    page = create_app(str(tmp_path / "state"), authenticate=lambda _: True)
    told: list[str] = []

    async def serve() -> None:
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive() -> dict[str, str]:
            return messages.pop(0)

        async def send(message: dict[str, str]) -> None:
            told.append(message["type"])

        await page({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)  # type: ignore[arg-type]

    with Browser(page) as browser:
        assert browser.run(serve) is None
        assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert browser.get("/").status == 503


def test_a_store_without_conditions_can_be_looked_at() -> None:
    with open_store("fsspec+memory://web/looked-at") as store:
        sessions = Sessions(store, conflicts="last-writer-wins")
        sessions.get_or_create("ada", "plan")
        page = create_app(store, authenticate=lambda _: True)
        with Browser(page) as browser:
            for path in ("/", "/trash", "/conversation?session=plan", "/prune?strategy=ttl&plan=1"):
                assert browser.get(path).status == 200, path
        editing = create_app(store, authenticate=lambda _: True, allow_changes=True)
        with Browser(editing) as browser:
            assert _pin(browser).status == 501
        editing = create_app(
            store, authenticate=lambda _: True, allow_changes=True, conflicts="last-writer-wins"
        )
        with Browser(editing) as browser:
            assert _pin(browser).status == 200


def _pin(browser: Browser) -> Answer:
    page = browser.get("/conversation?session=plan").page
    token = page.all("input", name="form_token")[0]["value"]
    return browser.post("/pin?session=plan", {"form_token": token})


def test_a_closed_store_is_refused_like_everywhere(store: StateStore) -> None:
    store.close()
    with pytest.raises(ClosedError):
        store.get("a.md")
    with Browser(create_app(store, authenticate=lambda _: True)) as browser:
        assert browser.get("/trash").status == 503
