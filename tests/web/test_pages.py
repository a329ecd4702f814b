"""Each page shows what the core says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from web.client import Browser

from statekeep import Journals, Session, Sessions, load_pruner
from statekeep.config import load_settings
from statekeep.errors import AccessDeniedError, StateStoreError, UnavailableError
from statekeep.search import statistics
from statekeep_web import create_app
from statekeep_web.pages import ROUTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from web.client import Answer

    from statekeep import StateStore

NO_PAGES = {"/download", "/image", "/live", "/raw", "/text"}
PATHS = sorted({page.path for page in ROUTES if page.method == "GET"} - NO_PAGES)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sessions(store: StateStore) -> Sessions:
    return Sessions(store)


def save(sessions: Sessions, session_id: str, user: str = "ada", **fields: Any) -> Session:
    session = Session.new(user, session_id)
    for text in fields.pop("said", ()):
        session.add_user_message(text)
    session.metadata.update(fields.pop("metadata", {}))
    session.created_at = session.updated_at = fields.pop("at", START)
    sessions.save(session)
    return session


def listed(answer: Answer) -> list[str]:
    """What the addresses of the list's rows name."""
    queries = [
        parse_qs(urlsplit(link).query)
        for link in answer.page.links()
        if urlsplit(link).path == "/conversation"
    ]
    return [
        query["session"][0] if "session" in query else "/".join(query["collection"] + query["name"])
        for query in queries
    ]


@pytest.mark.parametrize("backend", ["memory", "local", "sqlite", "moto"], indirect=True)
def test_the_list_is_paged_filtered_and_complete(
    store: StateStore, sessions: Sessions, browser: Browser
) -> None:
    for number in range(53):
        save(sessions, f"s{number:02}", at=START + timedelta(minutes=number))
    journal = Journals(store, "support").open("grace", "a/b")
    journal.append([{"role": "user", "content": "Hello"}], user_id="grace")
    store.put("sessions/broken.json", b"{")
    first = browser.get("/")
    assert listed(first) == ["support/grace/a/b", *(f"s{n:02}" for n in range(52, 3, -1))]
    assert "1 cannot be read" in first.page.text
    assert "sessions/broken.json" in first.page.text
    (following,) = [each["href"] for each in first.page.all("a", rel="next")]
    second = browser.get(following)
    assert listed(second) == ["s03", "s02", "s01", "s00"]
    assert not second.page.all("a", rel="next")
    assert listed(browser.get("/?user=grace")) == ["support/grace/a/b"]
    assert listed(browser.get("/?collection=support")) == ["support/grace/a/b"]
    assert len(listed(browser.get("/?collection=*"))) == 50
    assert listed(browser.get("/?before=2026-01-01T00:02:00Z")) == ["s01", "s00"]


def test_filters_go_together_and_are_kept_on_the_next_page(
    sessions: Sessions, browser: Browser
) -> None:
    for number in range(60):
        save(
            sessions, f"s{number:02}", user=("ada", "bob")[number % 2],
            metadata={"project_ids": "p&q", "title": f"T{number}"}, said=["x" * number],
        )  # fmt: skip
    found = browser.get("/?user=ada&project=p%26q&larger=10")
    assert len(listed(found)) == 30
    assert listed(browser.get("/?title=T7")) == ["s07"]
    page = browser.get("/?project=p%26q&order=size")
    assert listed(page)[0] == "s59"
    following = page.page.all("a", rel="next")[0]["href"]
    assert "project=p%26q" in following
    assert "order=size" in following
    assert len(listed(browser.get(following))) == 10
    assert page.page.all("input", name="project")[0]["value"] == "p&q"
    assert listed(browser.get("/?larger=1G")) == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("after=soonish", "after"), ("larger=much", "larger"), ("order=colour", "order"),
        ("cursor=x", "cursor"), ("collection=A/B", "collection"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_beside_the_form(
    browser: Browser, query: str, said: str
) -> None:
    answer = browser.get(f"/?{query}")
    assert answer.status == 400
    assert said in answer.page.text


def test_a_search_finds_marks_and_leads_to_the_place(
    store: StateStore, sessions: Sessions, browser: Browser
) -> None:
    save(sessions, "plan", said=["Nothing", "Where is the PARSER now?"])
    Journals(store, "support").open("ada").append([{"role": "user", "content": "a parser"}])
    answer = browser.get("/search?q=parser")
    assert "2 with a match, of 2" in answer.page.text
    assert "<mark>PARSER</mark>" in answer.text
    assert "/conversation?at=1&session=plan#m1" in answer.page.links()
    assert "/conversation?at=0&collection=support&name=ada#m0" in answer.page.links()
    assert "1 with a match" in browser.get("/search?q=parser&case=1").page.text
    assert "0 with a match" in browser.get("/search?q=p.rs&regex=1").page.text
    assert "1 with a match" in browser.get("/search?q=parser&collection=support").page.text
    assert "0 with a match" in browser.get("/search?q=parser&user=bob").page.text
    wrong = browser.get("/search?q=x&after=soonish")
    assert (wrong.status, "after" in wrong.page.text) == (400, True)


def test_a_search_goes_on_where_it_ended_and_misses_nothing(
    sessions: Sessions, browser: Browser
) -> None:
    # Many of one time, so that stretches end between such.
    names = [f"s{number:03}" for number in range(130)]
    for number, name in enumerate(names):
        save(sessions, name, said=["needle"], at=START + timedelta(seconds=number // 40))
    found: list[str] = []
    url: str | None = "/search?q=needle"
    while url:
        answer = browser.get(url)
        found += listed(answer)[::2]  # each has a link, and one to its match
        url = next((each["href"] for each in answer.page.all("a", rel="next")), None)
    assert sorted(found) == names


def test_users_and_what_erasing_one_would_delete(
    store: StateStore, sessions: Sessions, browser: Browser
) -> None:
    save(sessions, "plan")
    save(sessions, "other", user='<b>"o\'x"')
    Journals(store, "support").open("x").append(["Hello"], user_id="ada")
    answer = browser.get("/users")
    assert "/user?id=%3Cb%3E%22o%27x%22" in answer.page.links()
    user = browser.get("/user?id=%3Cb%3E%22o%27x%22")
    assert listed(user) == ["other"]
    plan = browser.get("/user?id=ada&erasure=1").page.text
    assert "2 would be deleted" in plan
    assert "sessions/plan.json" in plan
    assert "journals/support/x.jsonl" in plan
    assert "backups of the store" in plan
    assert sessions.load("plan") is not None
    assert browser.get("/user").status == 400


def test_statistics_are_drawn_and_are_tables_too(sessions: Sessions, browser: Browser) -> None:
    save(sessions, "plan", at=START)
    save(sessions, "other", user="<bob>", at=START + timedelta(days=3))
    answer = browser.get("/statistics")
    assert "2 sessions and journals" in answer.page.text
    assert "2026-01-01: 1" in answer.page.text
    assert "2026-01-02: 0" in answer.page.text
    assert "&lt;bob&gt;" in answer.text
    pictures = answer.page.all("svg")
    assert len(pictures) >= 4
    assert all(each["aria-hidden"] == "true" for each in pictures)
    assert len(answer.page.all("table")) >= len(pictures)
    assert "1 session or journal" in browser.get("/statistics?user=ada").page.text
    assert browser.get("/statistics?after=soonish").status == 400


def test_the_list_does_not_wait_for_what_reads_everything(
    sessions: Sessions, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(sessions, "plan")
    go_on = Event()

    def count_slowly(*given: Any, **options: Any) -> Any:
        assert go_on.wait(60)
        return statistics(*given, **options)

    monkeypatch.setattr("statekeep_web.pages.statistics.statistics", count_slowly)
    with ThreadPoolExecutor(20) as threads:
        slow = [threads.submit(browser.get, "/statistics") for _ in range(20)]
        assert listed(browser.get("/")) == ["plan"]
        assert not any(each.done() for each in slow)
        go_on.set()
        assert {each.result().status for each in slow} == {200}


def test_what_nobody_waits_for_any_more_is_not_read(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = [], Event()

    def count_slowly(*given: Any, **options: Any) -> Any:
        begun.append(given)
        may_end.wait(20)
        return statistics(*given, **options)

    monkeypatch.setattr("statekeep_web.pages.statistics.statistics", count_slowly)
    app = create_app(store, authenticate=lambda _: True)
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/statistics", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }  # fmt: skip
    statuses: list[int] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def waits() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def has_gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def ask(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        await app({**scope}, receive, send)

    async def ask_often() -> None:
        async with anyio.create_task_group() as tasks:
            for receive in (waits, waits, waits, has_gone, has_gone, waits):
                tasks.start_soon(ask, receive)
                await anyio.wait_all_tasks_blocked()
            may_end.set()

    anyio.run(ask_often)
    assert sorted(statuses) == [200, 200, 200, 200, 499, 499]
    assert len(begun) == 4


def test_a_prune_is_planned_and_not_run(sessions: Sessions, browser: Browser) -> None:
    save(sessions, "old")
    save(sessions, "kept")
    sessions.pin("kept")
    assert {"ttl", "max-sessions"} <= {
        each["value"] for each in browser.get("/prune").page.all("option")
    }
    options = browser.get("/prune?strategy=ttl").page
    assert options.all("input", name="option.ttl_hours")
    plan = browser.get("/prune?strategy=ttl&plan=1&option.ttl_hours=24&min_idle=0")
    assert "1 would be deleted" in plan.page.text
    assert listed(plan) == ["old", "kept"]
    assert "pinned" in plan.page.text
    assert sessions.load("old") is not None
    for query in ("option.ttl_hours=x", "option.ttl_hours=1&min_idle=x", "collection=A/B"):
        assert browser.get(f"/prune?strategy=ttl&plan=1&{query}").status == 400
    assert browser.get("/prune?strategy=none&plan=1").status == 400
    assert browser.get("/prune?strategy=*&plan=1").status == 400


@pytest.mark.parametrize("backend", ["memory", "local", "sqlite", "moto"], indirect=True)
def test_what_is_put_into_the_trash_comes_back(
    sessions: Sessions, browse: Callable[..., Browser]
) -> None:
    browser = browse(allow_changes=True)
    name = 'a/../"x" <b>'
    save(sessions, name)
    page = browser.get("/")
    page = browser.get(next(each for each in page.page.links() if "/conversation" in each))
    send(browser, page, "/to-trash")
    assert sessions.load(name) is None
    trash = browser.get("/trash")
    assert name in trash.page.text
    back = send(browser, trash, "/restore")
    assert "Restored" in back.page.text
    assert sessions.load(name) is not None


def send(browser: Browser, answer: Answer, path: str, **fields: str) -> Answer:
    """Send the form of a page that goes to a path."""
    (form,) = [each for each in answer.page.all("form") if each["action"].startswith(path)]
    token = answer.page.all("input", name="form_token")[0]["value"]
    return browser.post(form["action"], {"form_token": token, **fields})


def test_journals_come_back_from_the_trash_too(
    store: StateStore, browse: Callable[..., Browser]
) -> None:
    browser = browse(allow_changes=True)
    journals = Journals(store, "support")
    journals.open("a/b", "ü").append(["Hello"])
    journals.open("newer").append(["Hello"])
    strategy = load_pruner("max-sessions", max_sessions=1)
    assert journals.prune(strategy, trash=timedelta(days=7)).pruned
    send(browser, browser.get("/trash"), "/restore")
    assert journals.open("a/b", "ü").read() == ["Hello"]


def test_a_long_trash_is_paged(sessions: Sessions, browser: Browser) -> None:
    for number in range(53):
        save(sessions, f"s{number}")
        sessions.delete(f"s{number}", trash=True)
    first = browser.get("/trash")
    assert "53 copies" in first.page.text
    second = browser.get(first.page.all("a", rel="next")[0]["href"])
    assert len(second.page.all("th", scope="row")) == 3


def test_pins_last_until_a_time_or_for_ever(
    store: StateStore, sessions: Sessions, browse: Callable[..., Browser]
) -> None:
    browser = browse(allow_changes=True)
    save(sessions, "plan")
    page = browser.get("/conversation?session=plan")
    assert send(browser, page, "/pin", until="yesterday").status == 400
    assert send(browser, page, "/pin", until="soonish").status == 400
    assert send(browser, page, "/pin", until="7d").status == 200
    assert sessions.load("plan", required=True).metadata["statekeep.pin"] > "2026"
    assert send(browser, page, "/unpin").status == 200
    assert sessions.load("plan", required=True).metadata == {}
    Journals(store, "support").open("x").append(["Hello"])
    page = browser.get("/conversation?collection=support&name=x")
    assert send(browser, page, "/pin").status == 200
    assert not [each for each in page.page.all("form") if each["action"].startswith("/to-trash")]
    head = Journals(store, "support").open("x").head()
    assert head is not None
    assert head.metadata == {"statekeep.pin": True}


def test_the_doctor_examines_once_asked(store: StateStore, browser: Browser) -> None:
    store.put("sessions/broken.json", b"{")
    assert "examined" not in browser.get("/doctor").page.text
    found = browser.get("/doctor?examine=1").page.text
    assert "1 problem found" in found
    assert "sessions/broken.json" in found
    assert "move it to quarantine" in found


def test_plugins_and_settings_are_shown_without_values_that_may_be_secret(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "statekeep_backends" not in browser.get("/plugins").page.text
    assert "sqlite" in browser.get("/plugins").page.text
    assert "A program gave this store" in browser.get("/settings").page.text
    monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
    monkeypatch.setenv("STATEKEEP_RETENTION__OPTIONS__TTL_HOURS", "4711")
    tables = {"support": {"strategy": "max-sessions"}}
    settings = load_settings(url="memory:", journal_retention=tables)
    app = create_app(settings)
    with Browser(app) as other:
        other.get(f"/?token={app.token}")
        text = other.get("/settings").page.text
        assert "ttl" in text
        assert "4711" not in text
        assert "as configured" in other.get("/prune").page.text
        plan = "/prune?strategy=*&plan=1"
        assert "0 would be deleted" in other.get(plan).page.text
        assert "0 would be deleted" in other.get(f"{plan}&collection=support").page.text
        unknown = other.get(f"{plan}&collection=other")
        assert (unknown.status, "configured for other" in unknown.page.text) == (400, True)
    app.close()


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_for_people(sessions: Sessions, browser: Browser, path: str) -> None:
    save(sessions, "plan", said=["Hello"])
    query = {"/conversation": "?session=plan", "/user": "?id=ada", "/search": "?q=Hello"}
    answer = browser.get(path + query.get(path, ""))
    page = answer.page
    assert answer.status == 200
    assert page.all("html", lang="en")
    assert len(page.all("h1")) == 1
    assert len(page.all("main", id="content")) == 1
    assert page.all("a", href="#content")
    assert page.all("meta", name="viewport")
    current = [each for each in page.all("a") if each.get("aria-current")]
    assert len(current) == (path not in {"/conversation", "/user"})
    assert len(page.all("table")) == len(page.all("caption"))
    assert all("scope" in each for each in page.all("th"))
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    labels = len(page.all("label"))
    fields = len(page.all("select")) + len(
        [each for each in page.all("input") if each.get("type") != "hidden"]
    )
    assert labels == fields
    for region in page.all("div", role="region"):
        assert region["tabindex"] == "0"
        assert region["aria-label"]


def test_what_is_not_there_is_said_and_nothing_else_breaks(browser: Browser) -> None:
    for url in ("/none", "/conversation?session=none", "/conversation?collection=a&name=b"):
        answer = browser.get(url)
        assert answer.status == 404
        assert answer.page.all("a", href="/")
    for url in ("/conversation", "/conversation?session=", "/conversation?collection=a",
                "/conversation?session=a&collection=b&name=c"):  # fmt: skip
        assert browser.get(url).status == 400
    assert browser.send("DELETE", "/").status == 405


def test_a_store_that_does_not_answer_is_said_to(store: StateStore, browser: Browser) -> None:
    store.close()
    answer = browser.get("/")
    assert answer.status == 503
    assert "closed" in answer.page.text


@pytest.mark.parametrize(
    "path", ["/?larger={}", "/?after={}", "/prune?strategy=ttl&plan=1&min_idle={}"]
)
@pytest.mark.parametrize("typed", ["9" * 400, "9" * 30 + "d", "inf", "1e400"])
def test_numbers_beyond_all_bounds_are_said_to_be(browser: Browser, path: str, typed: str) -> None:
    answer = browser.get(path.format(typed))
    assert answer.status == 400
    assert answer.page.all("p", role="alert")


def test_a_user_is_kept_to_the_letter_on_the_next_page(
    sessions: Sessions, browser: Browser
) -> None:
    for number in range(60):
        save(sessions, f"s{number}", " ada")
        save(sessions, f"t{number}", "ada")
    first = browser.get("/?user=%20ada")
    following = next(each for each in first.page.links() if "cursor=" in each)
    names = [*listed(first), *listed(browser.get(following))]
    assert sorted(names) == sorted(f"s{number}" for number in range(60))


@pytest.mark.parametrize(
    ("error", "status"), [(UnavailableError("no answer"), 503), (AccessDeniedError("denied"), 502)]
)
def test_a_store_that_fails_while_a_prune_is_planned_is_no_mistake_of_who_asks(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, error: StateStoreError, status: int
) -> None:
    monkeypatch.setattr(Sessions, "plan_prune", Mock(side_effect=error))
    assert browser.get("/prune?strategy=ttl&plan=1&option.ttl_hours=1").status == status
