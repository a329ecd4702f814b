"""One conversation: what is shown of it, a page at a time, and as it grows."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import orjson
import pytest
from web import hostile
from web.client import Browser, Page

from statekeep import Blobs, Journals, Session, Sessions, open_store
from statekeep.errors import UnavailableError
from statekeep.store import StoreWrapper
from statekeep_web import create_app, pictures
from statekeep_web.markdown import LONGEST
from statekeep_web.pages import conversation

if TYPE_CHECKING:
    from web.client import Answer

    from statekeep import StateStore

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
OTHERS = {
    b"GIF89a" + bytes(9): "image/gif",
    b"\xff\xd8\xff" + bytes(9): "image/jpeg",
    b"RIFF\0\0\0\0WEBPVP8 ": "image/webp",
}
NO_PICTURES = [hostile.DRAWING.encode(), b"<html><script>alert(1)</script>", b"", b"BM", b"%PDF-"]
TAGS = {
    "a", "article", "blockquote", "body", "br", "code", "dd", "details", "div", "dl", "dt", "em",
    "footer", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "img", "li",
    "link", "main", "meta", "nav", "ol", "p", "pre", "s", "script", "section", "span", "strong",
    "summary", "table", "tbody", "td", "th", "thead", "time", "title", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "alt", "aria-current", "aria-label", "aria-labelledby", "charset", "class", "content",
    "data-after", "data-follow", "data-kind", "data-mark", "data-role", "data-version", "datetime",
    "defer", "href", "id", "lang", "loading", "name", "open", "rel", "role", "src", "start",
    "tabindex", "title", "type",
}  # fmt: skip
PATHS = {"/", "/conversation", "/raw", "/download", "/text", "/image", "/user"}


class Named(NamedTuple):
    """A conversation, and how the page names it."""

    query: dict[str, Any]
    length: int

    def url(self, path: str = "/conversation", /, **more: Any) -> str:
        return f"{path}?{urlencode({**self.query, **more}, doseq=True)}"


def session(
    store: StateStore, texts: list[str], *, form: Any = "document", name: str = "s"
) -> Named:
    made = Session.new("ada", name)
    for text in texts:
        made.add_user_message(text)
    Sessions(store, form=form).save(made)
    return Named({"session": name}, len(texts))


def journal(store: StateStore, items: list[Any], *name: str, **about: Any) -> Named:
    Journals(store, "support").open(*name or ("j",)).append(items, **about)
    return Named({"collection": "support", "name": name or ("j",)}, len(items))


def messages(count: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"number {each}"} for each in range(count)]


def anchors(page: Page) -> list[int]:
    found = [each["id"] for each in page.all("article")]
    return [int(each.removeprefix("m")) for each in found]


def check(answer: Answer) -> Page:
    """There is nothing on a page that the page did not put there."""
    assert answer.status == 200
    page = answer.page
    for tag, attributes in page.elements:
        assert tag in TAGS, tag
        assert attributes.keys() <= ATTRIBUTES, (tag, attributes)
        assert re.fullmatch(
            r"|content|messages|news|end|empty|m\d+(p\d+|h)?", attributes.get("id", "")
        )
        if tag in {"script", "link"}:
            assert (attributes.get("src") or attributes["href"]).startswith("/static/")
        elif tag == "img":
            assert urlsplit(attributes["src"])[:3] == ("", "", "/image")
        elif "href" in attributes:
            to = urlsplit(attributes["href"])
            if to.scheme or to.netloc:
                assert to.scheme in {"http", "https", "mailto"}
                assert attributes["rel"] == "noopener noreferrer nofollow"
            else:
                assert (
                    to.path in PATHS | {""} or "aria-current" in attributes or to.path in NAVIGATION
                )
    for once in ("main", "h1", "title", "body", "footer"):
        assert len(page.all(once)) == 1
    assert len(page.all("meta")) == 3
    steering = "[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]"
    assert not re.search(steering, answer.text)
    return page


NAVIGATION = {
    "/search", "/users", "/statistics", "/prune", "/trash", "/doctor", "/plugins", "/settings"
}  # fmt: skip


def check_all(browser: Browser, named: Named) -> None:
    seen = []
    url: str | None = named.url()
    while url is not None:
        page = check(browser.get(url))
        seen += anchors(page)
        url = next((each["href"] for each in page.all("a", rel="next")), None)
    assert seen == [*range(named.length)]


def test_hostile_sessions_are_text(store: StateStore, browser: Browser) -> None:
    storable = [each for each in hostile.TEXTS if each.isprintable() or "\x00" not in each]
    check_all(browser, session(store, storable))
    check_all(browser, session(store, storable, form="journal", name="j"))


def test_hostile_journals_are_text(store: StateStore, browser: Browser) -> None:
    items = [item for text in hostile.TEXTS for item in hostile.items(text)]
    check_all(browser, journal(store, items, set=hostile.METADATA))


def test_hostile_names_lead_to_what_they_name(store: StateStore, browser: Browser) -> None:
    for name in hostile.IDS:
        for named in (
            session(store, [f"of {name}"], name=name),
            journal(store, [name], name, "/", set=hostile.METADATA, user_id=name),
        ):
            page = check(browser.get(named.url()))
            assert anchors(page) == [0]
            for link in page.links():
                if urlsplit(link).path in {"/raw", "/download", "/text", "/user"}:
                    assert browser.get(link).status == 200, link
            file = browser.get(named.url("/download")).header("content-disposition") or ""
            assert re.fullmatch(r'attachment; filename="[A-Za-z0-9_-]{1,80}\.jsonl?"', file)


@pytest.mark.parametrize("backend", ["memory", "local", "sqlite", "moto"], indirect=True)
def test_it_is_shown_a_page_at_a_time(
    store: StateStore, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "_PAGE", 10)
    for named in (
        journal(store, messages(25)),
        session(store, [each["content"] for each in messages(25)]),
        session(store, [each["content"] for each in messages(25)], form="journal", name="j"),
    ):
        check_all(browser, named)
        first = browser.get(named.url()).page
        assert anchors(first) == [*range(10)]
        end, _ = [each for each in first.all("a") if "at=-1" in each["href"]]
        last = browser.get(end["href"]).page
        assert anchors(last) == [*range(15, 25)]
        (earlier,) = last.all("a", rel="prev")[:1]
        assert anchors(browser.get(earlier["href"]).page) == [*range(5, 15)]
        for at in (0, 9, 10, 24):
            assert at in anchors(browser.get(named.url(at=at)).page)
        # What is no longer there, or never was: the last page.
        for query in ({"at": 1000}, {"start": 10**18}, {"at": -5}):
            assert anchors(browser.get(named.url(**query)).page) == [*range(15, 25)]
        assert browser.get(named.url(start="x")).status == 400
        assert browser.get(named.url(at="9" * 5000)).status == 200


def test_what_a_message_consists_of_is_shown(store: StateStore, browser: Browser) -> None:
    named = journal(
        store,
        [
            {"role": "user", "content": "**Now**", "timestamp": "2026-11-01T10:00:00Z"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "42"},
            ]},
            {"role": "assistant", "content": "done", "phase_reached": "end"},
            {"anything": ["x"] * 200},
        ],
        user_id="ada",
        set={"title": "Sums", "statekeep.pin": True, "topic": "numbers"},
    )  # fmt: skip
    answer = browser.get(named.url())
    page = check(answer)
    assert [each["data-role"] for each in page.all("article")] == [
        "user", "agent", "tool", "agent", "other"
    ]  # fmt: skip
    assert page.all("time", datetime="2026-11-01T10:00:00Z")
    kinds = [each.get("data-kind") for each in page.all("details", **{"class": "part"})]
    assert kinds == [None, "thinking", "tool_call", "tool_result", "data"]
    assert not [each for each in page.all("details") if "open" in each]
    for said in ("Thinking: hm", 'Call to add: { "a": 1 }', "Result of add: 42", "for ever", "Sums",
                 "numbers", "Phase"[:0], "end"):  # fmt: skip
        assert said in page.text
    assert "<strong>Now</strong>" in answer.text
    # The call leads to its result, and back.
    assert {"#m1p1", "#m2p0"} <= {*page.links()}
    assert {"m1p1", "m2p0"} <= {each.get("id") for _, each in page.elements}
    assert len(page.all("h2")) == 5


def test_an_empty_conversation_is_one(store: StateStore, browser: Browser) -> None:
    for named in (session(store, []), journal(store, [])):
        page = check(browser.get(named.url()))
        assert "Nothing in it yet" in page.text
        assert page.all("section", **{"data-after": "0", "data-mark": ""})


def test_long_texts_are_cut_and_shown_whole_elsewhere(store: StateStore, browser: Browser) -> None:
    text = "<b>long</b> \U0001f600" * 200_000
    named = session(store, [text, "short"])
    answer = browser.get(named.url())
    page = check(answer)
    assert len(answer.text) < 4 * LONGEST
    (whole,) = [link for link in page.links() if "part=0" in link]
    shown = browser.get(whole)
    assert shown.header("content-type") == "text/plain; charset=utf-8"
    assert shown.header("x-content-type-options") == "nosniff"
    assert shown.text == text
    assert orjson.loads(browser.get(named.url("/text", index=0)).body)["content"] == text


@pytest.mark.rest
def test_a_page_of_long_texts_is_bounded(store: StateStore, browser: Browser) -> None:
    items: list[Any] = [{"role": "user", "content": "# <x>\n" * 16_000} for _ in range(40)]
    items.append({"role": "user", "content": [{"type": "text", "text": "x"}] * 5_000})
    items.append({"role": "assistant", "content": [
        {"type": "tool_use", "id": f"c{each}", "name": "n" * 9_000, "input": "x" * 9_000}
        for each in range(100)
    ]})  # fmt: skip
    named = journal(store, items)
    for start in (0, 40):
        answer = browser.get(named.url(start=start))
        assert answer.status == 200
        assert len(answer.body) < 6_000_000
    assert "4 900 more parts" in browser.get(named.url(start=40)).page.text


@pytest.mark.parametrize("data", [PNG, *OTHERS, *NO_PICTURES], ids=lambda data: repr(data[:9]))
def test_pictures_are_what_their_bytes_are(
    store: StateStore, browser: Browser, data: bytes
) -> None:
    Blobs(store, "plots").put(data, "a/b", "x.png")
    made = Journals(store, "support").open("p")
    made.append(["first"])
    ref = made.attach(data, "x.png")
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(data).decode()}
    named = journal(
        store,
        [
            {"role": "user", "content": [{"type": "image", "source": source}]},
            {"role": "user", "content": "![it](blobs/plots/%..a%2Fb/x.png)"},
            {"role": "user", "content": f"![it]({ref})"},
            {
                "role": "user",
                "content": [{"type": "image", "source": "blobs/plots/%..a%2Fb/x.png"}],
            },
        ],
        "p",
    )
    page = browser.get(named.url()).page
    places = [each["src"] for each in page.all("img")]
    assert len(places) == 4 - (data in NO_PICTURES)
    expected = {PNG: "image/png", **OTHERS}.get(data)
    for place in {*places, named.url("/image", index=1, part=0)}:
        shown = browser.get(place)
        assert shown.status == 200
        assert shown.body == data
        assert shown.header("x-content-type-options") == "nosniff"
        assert shown.header("content-security-policy") == "default-src 'none'; sandbox"
        assert shown.header("content-type") == (expected or "application/octet-stream")
        assert (shown.header("content-disposition") is None) == (expected is not None)


def test_pictures_that_are_not_there(
    store: StateStore, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = journal(store, [{"role": "user", "content": "![it](blobs/plots/x.png)"}])
    (place,) = [each["src"] for each in browser.get(named.url()).page.all("img")]
    assert browser.get(place).status == 404
    Journals(store, "support").open("secret").append(["x"])
    for query, status in (
        ({"blob": "sessions/s.json"}, 400), ({"blob": "blobs/plots/../../sessions/s.json"}, 400),
        ({"blob": "journals/support/secret.jsonl"}, 400), ({"blob": ""}, 400),
        ({"attachment": "../secret"}, 400), ({"attachment": "0" * 32}, 404), ({}, 400),
        ({"index": 0, "part": 0}, 404), ({"index": 0, "part": 7}, 404), ({"index": 9}, 404),
        ({"index": -1}, 400),
    ):  # fmt: skip
        assert browser.get(named.url("/image", **query)).status == status, query
    Blobs(store, "plots").put(PNG, "x.png")
    monkeypatch.setattr("statekeep_web.pages.stored.LARGEST", len(PNG) - 1)
    assert browser.get(place).status == 413


@pytest.mark.parametrize("backend", ["memory", "local", "sqlite"], indirect=True)
def test_raw_is_what_is_stored(store: StateStore, browser: Browser) -> None:
    items = [{"role": "user", "content": "x" * 3_000, "n": each} for each in range(2_500)]
    named = journal(store, items)
    raw = browser.get(named.url("/raw"))
    assert raw.header("content-type") == "text/plain; charset=utf-8"
    assert [orjson.loads(line) for line in raw.body.splitlines()] == items
    file = browser.get(named.url("/download"))
    assert file.body == raw.body
    assert file.header("content-disposition") == 'attachment; filename="support-j.jsonl"'
    head = store.get("journals/support/j.jsonl")
    assert head is not None
    assert browser.get(named.url("/raw", stored=1)).body == head.data
    whole = session(store, ["a"], name="d")
    document = store.get("sessions/d.json")
    assert document is not None
    for path, extra in (("/raw", {}), ("/download", {}), ("/raw", {"stored": 1})):
        assert browser.get(whole.url(path, **extra)).body == document.data
    assert browser.get(whole.url("/raw")).header("content-type") == "application/json"
    turns = session(store, ["a", "b"], form="journal", name="t")
    lines = browser.get(turns.url("/raw")).body.splitlines()
    assert [orjson.loads(line)["content"] for line in lines] == ["a", "b"]


def test_raw_of_a_journal_that_shrinks_does_not_end_as_if_it_were_whole(store: StateStore) -> None:
    journal(store, messages(300))
    reads = 0

    class Shrinking(StoreWrapper):
        def get(self, key: str) -> Any:
            nonlocal reads
            reads += 1
            if reads == 4:
                Journals(store, "support").open("j").change(lambda draft: draft.truncate(5))
            return super().get(key)

    app = create_app(Shrinking(store))
    with Browser(app) as browser:
        browser.get(f"/?token={app.token}")
        with pytest.raises(UnavailableError, match="cut back"):
            browser.get("/raw?collection=support&name=j")


class Counting(StoreWrapper):
    """Counts what is asked of a store."""

    asked = 0

    def get(self, key: str) -> Any:
        self.asked += 1
        return super().get(key)


def follow(page: Page) -> str:
    (shown,) = [each for each in page.all("section") if "data-after" in each]
    query = {name: shown[f"data-{name}"] for name in ("after", "version", "mark")}
    return urlencode(query)


@pytest.mark.parametrize("backend", ["memory", "local", "sqlite", "moto"], indirect=True)
@pytest.mark.parametrize("kind", ["journal", "document", "turns"])
def test_what_is_new_is_asked_for(
    store: StateStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "_PAGE", 10)
    counting = Counting(store)
    app = create_app(counting)
    sessions = Sessions(store)
    named = journal(store, messages(12))
    if kind != "journal":
        named = session(store, ["x"] * 12, form="journal" if kind == "turns" else "document")

    def say(text: str) -> None:
        if kind == "journal":
            Journals(store, "support").open("j").append([{"role": "user", "content": text}])
        else:
            sessions.add_turn("s", user=[text])

    with Browser(app) as browser:
        browser.get(f"/?token={app.token}")
        assert not [
            each for each in browser.get(named.url()).page.all("section") if "data-after" in each
        ]
        page = browser.get(named.url(at=-1)).page
        assert page.all("script", src="/static/live.js")
        before = counting.asked
        live = named.url("/live")
        quiet = browser.get(f"{live}&{follow(page)}")
        assert (quiet.status, quiet.body) == (204, b"")
        assert counting.asked == before + 1
        for each in range(3):
            say(f"<i>new</i> {each}")
        news = browser.get(f"{live}&{follow(page)}")
        assert news.status == 200
        assert anchors(news.page) == [12, 13, 14]
        assert "&lt;i&gt;new&lt;/i&gt; 0" in news.text
        assert news.page.all("section", **{"data-count": "3"})
        assert browser.get(f"{live}&{follow(news.page)}").status == 204
        for each in range(15):
            say(str(each))
        some = browser.get(f"{live}&{follow(news.page)}")
        assert some.page.all("section", **{"data-more": "yes"})
        rest = browser.get(f"{live}&{follow(some.page)}")
        assert anchors(some.page) + anchors(rest.page) == [*range(15, 30)]
        assert browser.get(f"{live}&{follow(rest.page)}").status == 204
        # Cut back, and grown again beyond what was shown.
        if kind == "journal":
            Journals(store, "support").open("j").change(lambda draft: draft.truncate(27))
        else:
            sessions.rewind("s", messages=3)
        assert browser.get(f"{live}&{follow(rest.page)}").status == 409
        for each in range(10):
            say(f"other {each}")
        assert browser.get(f"{live}&{follow(rest.page)}").status == 409
        if kind == "journal":
            Journals(store, "support").open("j").delete()
        else:
            sessions.delete("s")
        assert browser.get(f"{live}&{follow(rest.page)}").status == 404


def test_what_changes_besides_messages_is_no_news(store: StateStore, browser: Browser) -> None:
    named = journal(store, messages(3))
    page = browser.get(named.url()).page
    Journals(store, "support").open("j").pin()
    news = browser.get(f"{named.url('/live')}&{follow(page)}")
    assert news.status == 200
    assert news.page.all("section", **{"data-count": "0"})
    assert browser.get(f"{named.url('/live')}&{follow(news.page)}").status == 204


def test_what_cannot_be_shown_is_said(store: StateStore, browser: Browser) -> None:
    store.put("sessions/torn.json", b'{"id": "torn", <script>')
    store.put("sessions/newer.json", b'{"statekeep":9,"about":{}}\n')
    store.put("journals/support/torn.jsonl", b'{"statekeep":2}\n')
    store.put("journals/support/newer.jsonl", b'{"statekeep":9}\n')
    for query, status in (
        ({"session": "torn"}, 500), ({"session": "newer"}, 501),
        ({"collection": "support", "name": "torn"}, 500),
        ({"collection": "support", "name": "newer"}, 501),
    ):  # fmt: skip
        named = Named(query, 0)
        answer = browser.get(named.url())
        assert answer.status == status
        links = [link for link in answer.page.links() if "stored=1" in link]
        assert len(links) == 2
        for link in links:
            assert browser.get(link).body.startswith(b'{"')
    for path in ("/conversation", "/raw", "/download", "/live", "/text", "/image"):
        nobody: tuple[dict[str, Any], ...] = (
            {"session": "nobody"}, {"collection": "support", "name": ["no", "body"]},
        )  # fmt: skip
        for each in nobody:
            assert browser.get(Named(each, 0).url(path, index=0)).status == 404
        wrongs: tuple[dict[str, Any], ...] = (
            {}, {"session": "x" * 600}, {"collection": "No/Such", "name": "x"},
            {"collection": "support"}, {"session": "a", "collection": "support", "name": "x"},
            {"collection": "support", "name": ["x"] * 9},
        )  # fmt: skip
        for wrong in wrongs:
            assert browser.get(Named(wrong, 0).url(path, index=0)).status == 400, (path, wrong)


def test_it_works_under_a_path(store: StateStore) -> None:
    named = journal(store, [{"role": "user", "content": "![x](blobs/plots/x.png)"}] * 101)
    Blobs(store, "plots").put(PNG, "x.png")
    app = create_app(store)
    with Browser(app, root="/admin/state") as browser:
        browser.get(f"/admin/state/?token={app.token}")
        page = browser.get(f"/admin/state{named.url()}").page
        addresses = [*page.links(), *[each["src"] for each in page.all("img")]]
        assert all(each.startswith(("/admin/state/", "#")) for each in addresses)
        assert browser.get(page.all("img")[0]["src"]).body == PNG
        (last,) = page.all("a", rel="next")[:1]
        (shown,) = browser.get(last["href"]).page.all("section")
        assert shown["data-follow"].startswith("/admin/state/live?")


def test_a_store_without_conditions_can_be_looked_at(tmp_path: Any) -> None:
    with open_store(f"fsspec+file://{tmp_path}/state") as store:
        Journals(store, "support", conflicts="last-writer-wins").open("j").append(["x"])
        Sessions(store, conflicts="last-writer-wins").get_or_create("ada", "s")
        app = create_app(store)
        with Browser(app) as browser:
            browser.get(f"/?token={app.token}")
            for query in ({"session": "s"}, {"collection": "support", "name": "j"}):
                for path in ("/conversation", "/raw"):
                    assert browser.get(Named(query, 0).url(path)).status == 200


def test_bytes_of_urls() -> None:
    assert pictures.in_url("data:image/png;base64,aGVsbG8=") == b"hello"
    assert pictures.in_url("data:image/png;base64,aGVs\nbG8") == b"hello"
    assert pictures.in_url("data:,a%20b") == b"a b"
    assert pictures.in_url("DATA:;BASE64,aGk") == b"hi"
    assert pictures.in_url("https://x.example/") is None
    assert pictures.in_url("data:image/png;base64," + "a" * 5) == pictures.in_url(
        "data:;base64,aaaa"
    )
    assert pictures.place_of("0" * 32 + ".png") == ("attachment", "0" * 32 + ".png")
    assert pictures.place_of(f"data:image/png;base64,{'0' * 32}.png") == (
        "attachment", "0" * 32 + ".png"
    )  # fmt: skip
    assert pictures.place_of("blobs/Plots/x.png") is None
    assert pictures.place_of("blobs/plots") is None


@pytest.mark.rest
@pytest.mark.parametrize("backend", ["memory", "local", "sqlite"], indirect=True)
def test_ten_thousand_messages_open_at_once(store: StateStore, browser: Browser) -> None:
    text = "Some **words** of a message, with `code` and a [link](https://x.example).\n\n" * 10
    for named in (
        journal(store, [{"role": "user", "content": text, "n": each} for each in range(10_000)]),
        session(store, [text] * 10_000),
    ):
        for query in ({}, {"at": -1}, {"at": 5_000}):
            begun = datetime.now(UTC)
            check(browser.get(named.url(**query)))
            assert (datetime.now(UTC) - begun).total_seconds() < 5, query


@pytest.mark.rest
def test_a_message_of_fifty_megabytes_opens(store: StateStore, browser: Browser) -> None:
    text = "a [b](c) <d>\n" * 4_000_000
    named = session(store, [text, "short"])
    answer = browser.get(named.url())
    check(answer)
    assert len(answer.body) < 2_000_000
    assert browser.get(named.url("/text", index=0, part=0)).text == text


@pytest.mark.parametrize("path", ["/raw", "/download"])
def test_an_empty_journal_is_an_empty_file(store: StateStore, browser: Browser, path: str) -> None:
    answer = browser.get(journal(store, []).url(path))
    assert (answer.status, answer.body) == (200, b"")


def test_a_picture_whose_address_is_a_book_is_not_sent_along(
    store: StateStore, browser: Browser
) -> None:
    address = "https://pictures.example/" + "a" * 1_000_000
    part = {"type": "image_url", "image_url": {"url": address}}
    named = journal(store, [{"role": "user", "content": [part]}])
    answer = browser.get(named.url())
    assert answer.status == 200
    assert len(answer.body) < 20_000


def test_what_is_nested_too_deeply_is_said_to_be(store: StateStore, browser: Browser) -> None:
    named = session(store, ["hello"])
    stored = store.get("sessions/s.json")
    assert stored is not None
    deep = b"[" * 1000 + b"]" * 1000
    metadata = stored.data.replace(b'"metadata": {}', b'"metadata": {"x": %s}' % deep)
    assert metadata != stored.data
    store.put("sessions/s.json", metadata)
    answer = browser.get(named.url())
    assert answer.status == 200
    assert "nested too deeply" in answer.page.text
    message = stored.data.replace(b'"hello"', b'"hello", "extra": %s' % deep[900:1100])
    store.put("sessions/s.json", message)
    shown = browser.get(named.url())
    assert (shown.status, "It is damaged" in shown.page.text) == (200, False)
    store.put("sessions/s.json", stored.data.replace(b'"hello"', b'"hello", "extra": %s' % deep))
    refused = browser.get(named.url())
    assert refused.status == 500
    assert any("stored=1" in each for each in refused.page.links())
