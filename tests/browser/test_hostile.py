"""What is hostile is shown as text: no script of it runs, nobody else is asked, nothing moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browser.places import places
from browser.serving import Served, serve
from browser.watching import unfold
from web.hostile import IDS, METADATA, TEXTS, items

from statekeep import Journals, Session, Sessions
from statekeep.errors import StateStoreError
from statekeep.store.keys import session_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.watching import OpenPage
    from playwright.sync_api import Page

    from statekeep import StateStore

# What a page holds that is none of its own: elements and attributes that do something, links that
# lead somewhere else than they may, and what lies outside of the page.
_FOREIGN = """() => {
  const found = [];
  const say = (what, each) => found.push(`${what}: ${each.outerHTML.slice(0, 300)}`);
  const own = ["page.js", "live.js"];
  for (const each of document.querySelectorAll("*")) {
    for (const { name, value } of each.attributes) {
      if (name.startsWith("on") || name === "style" || name === "srcdoc" || name === "formaction") {
        say(`attribute ${name}`, each);
      }
      if (["href", "src", "action", "data", "poster"].includes(name)) {
        const { protocol, origin, pathname } = new URL(value, location.href);
        const here = origin === location.origin;
        const link = name === "href" && each.localName === "a";
        if (!here && !(link && ["http:", "https:", "mailto:"].includes(protocol))) {
          say(`address ${value}`, each);
        }
        if (link && !here && !/noopener.*noreferrer|noreferrer.*noopener/.test(each.rel)) {
          say("rel", each);
        }
      }
    }
  }
  for (const each of document.querySelectorAll("script")) {
    if (each.textContent || !own.includes(new URL(each.src).pathname.split("/").pop())) {
      say("script", each);
    }
  }
  const never = "iframe, object, embed, base, style, meta[http-equiv], math, video, audio, dialog" +
    ", frame, portal, svg script, animate, foreignObject, template, marquee, h1 ~ h1, main main";
  document.querySelectorAll(never).forEach((each) => say("element", each));
  if (document.querySelectorAll("h1").length !== 1) {
    found.push("headings");
  }
  if (document.querySelectorAll("main, body > header").length !== 2) {
    found.push("landmarks");
  }
  if (!document.title.endsWith(" \u2013 statekeep")) {
    found.push(`title: ${document.title}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) {
    found.push(`width: ${document.documentElement.scrollWidth}`);
  }
  const controls = "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]";
  const directions = "[\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]";
  const steers = new RegExp(`${controls}|${directions}`);
  const shown = document.body.innerText.match(steers);
  if (shown || steers.test(document.title)) {
    found.push(`steers: ${shown && shown[0].codePointAt(0)}`);
  }
  return found;
}"""


def _fill(store: StateStore) -> None:
    """Put every hostile text into every place that takes one."""
    journals = Journals(store, "attacks")
    for number, text in enumerate(TEXTS):
        metadata = {**METADATA, "title": text, "note": [text]}
        journals.open(f"{number:02}").append(items(text), set=metadata)
    for number, name in enumerate(IDS):
        session = Session.new(name, session_id=name)
        session.metadata.update(METADATA, title=name, project_id=name)
        session.active_seed_id = name
        session.add_user_message(TEXTS[number])
        session.add_agent_response(TEXTS[-number], phase_reached=name, evaluation_passed=False)
        try:
            Sessions(store).save(session)
        except StateStoreError:
            continue  # no such name is possible
        journals.open(name, name, user_id=name).append([{"role": "user", "content": name}])
        thrown = f"gone {name}"
        Sessions(store).add_turn(thrown, user=[name], user_id=name)
        Sessions(store).delete(thrown, trash=True)
    for number, text in enumerate((*TEXTS[:20], *IDS)):
        store.put(session_key(f"damaged{number} {text[:60]!a}"), text.encode(errors="replace"))


@pytest.fixture(scope="module")
def attacked(new_location: Callable[[str], str]) -> Iterator[Served]:
    with serve(new_location("sqlite"), "--allow-changes", fill=_fill) as served:
        yield served


def _look(page: Page, address: str, found: dict[str, Any]) -> None:
    """Open a page, unfold all of it, and note what it holds that is foreign."""
    page.goto(address)
    unfold(page)
    if foreign := page.evaluate(_FOREIGN):
        found[address] = foreign[:5]


@pytest.mark.parametrize("part", range(2))
def test_every_text_in_every_field(attacked: Served, open_page: OpenPage, part: int) -> None:
    watched = open_page(attacked)
    found: dict[str, Any] = {}
    for number in range(part, len(TEXTS), 2):
        address = attacked.conversation(collection="attacks", name=(f"{number:02}",))
        _look(watched.page, address, found)
        _nothing_ran(watched.page)
    assert not found
    _only_missing_pictures(watched.said)
    watched.nothing_happened()


def test_every_name_on_every_page(attacked: Served, open_page: OpenPage) -> None:
    watched = open_page(attacked)
    page, found = watched.page, dict[str, Any]()
    every = dict(places(attacked))
    for number, name in enumerate(IDS):
        every |= {
            f"session {number}": attacked.conversation(name),
            f"journal {number}": attacked.conversation(collection="attacks", name=(name, name)),
            f"user {number}": attacked.at("/user", id=name),
        }
    for number, text in enumerate((*TEXTS[:6], *IDS[5:9])):
        every[f"asked {number}"] = attacked.at("/", user=text, title=text, after=text, order=text)
        every[f"searched {number}"] = attacked.at("/search", q=text[:50], user=text)
    every |= {
        "erasure": attacked.at("/user", id=IDS[6], erasure=1),
        "attacks": attacked.at("/", collection="attacks"),
        "found": attacked.at("/search", q="alert"),
        "by expression": attacked.at("/search", q="<.*", regex=1),
        "plan": attacked.at("/prune", strategy=TEXTS[0], plan=1),
        "planned": attacked.at(
            "/prune", strategy="max-sessions", plan=1, **{"option.max_sessions": 1}
        ),
    }
    for address in every.values():
        _look(page, address, found)
        _nothing_ran(page)
    assert not found
    _only_missing_pictures(watched.said)
    watched.nothing_happened()


def test_what_is_hostile_comes_live_too(attacked: Served, open_page: OpenPage) -> None:
    journal = Journals(attacked.store, "attacks").open("live")
    journal.append([{"role": "user", "content": "Begin."}])
    watched = open_page(attacked)
    page = watched.page
    page.goto(attacked.conversation(collection="attacks", name=("live",)))
    journal.append([item for text in TEXTS[:40] for item in items(text)[:4]])
    page.locator("#m160").wait_for(timeout=15_000)
    unfold(page)
    page.wait_for_timeout(300)
    assert page.evaluate(_FOREIGN) == []
    _nothing_ran(page)
    _only_missing_pictures(watched.said)
    watched.nothing_happened()


def test_links_that_lead_nowhere_good_lead_nowhere(attacked: Served, open_page: OpenPage) -> None:
    watched = open_page(attacked)
    page = watched.page
    number = TEXTS.index("[link](javascript:alert(1))")
    page.goto(attacked.conversation(collection="attacks", name=(f"{number:02}",)))
    assert page.locator(".said a").count() == 0
    for each in page.get_by_text("[link](javascript:alert(1))").all():
        if each.is_visible():
            each.click()
    watched.nothing_happened()


def _nothing_ran(page: Page) -> None:
    assert page.evaluate("Object.keys(window).filter((name) => name.startsWith('pwned'))") == []


def _only_missing_pictures(said: list[str]) -> None:
    """Leave out what a text may bring about: a picture that the store does not have."""
    kept = [each for each in said if not each.startswith("Failed to load resource")]
    said[:] = kept
