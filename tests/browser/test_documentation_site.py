"""Every page of the documentation site, in a window and on a phone, light and dark."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest
from browser.watching import violations, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    Visit = Callable[[str], Iterator[tuple[str, Page]]]

ROOT = Path(__file__).parents[2]

# A wide table or a long line of code scrolls by itself; the page never does.
_TOO_WIDE = """() => {
  const scrolls = (each) => ["auto", "scroll", "hidden"].includes(getComputedStyle(each).overflowX);
  const held = (each) => {
    for (let up = each.parentElement; up && up.tagName !== "ARTICLE"; up = up.parentElement) {
      if (scrolls(up)) return true;
    }
    return false;
  };
  const root = document.documentElement;
  const wide = [...document.querySelectorAll("article *")].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.width && box.right > innerWidth + 1 && !held(each);
  });
  return [
    ...(root.scrollWidth > root.clientWidth ? ["the page"] : []),
    ...wide.slice(0, 2).map((each) => `${each.tagName} ${each.textContent.slice(0, 60)}`),
  ];
}"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    return folder


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(built)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


KINDS = ["", "tutorial", "cli", "comparison", "adr", "how-to/fastapi", "reference/errors"]
"""One page of each kind; axe takes seconds for each."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (1280, 390)


@pytest.fixture
def visit(chromium: Browser, address: str) -> Iterator[Visit]:
    """Opens a page and shows it in each scheme and width; in the end, nothing went wrong."""
    context = chromium.new_context(reduced_motion="reduce")
    watched = watch(context, urlsplit(address).netloc)
    missing: list[str] = []
    context.on("response", lambda each: missing.append(each.url) if each.status >= 400 else None)

    def visit(name: str) -> Iterator[tuple[str, Page]]:
        page = watched.page
        page.goto(f"{address}/{name}")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                yield f"{name}, {scheme}, {width}", page

    yield visit
    context.close()
    assert not missing
    watched.nothing_happened()


@pytest.mark.parametrize("half", [0, 1])
def test_every_page_fits(built: Path, visit: Visit, half: int) -> None:
    names = sorted(str(each.parent.relative_to(built)) for each in built.rglob("index.html"))
    assert len(names) > 100
    shown = (each for name in names[half::2] for each in visit(name))
    assert not {look: wide for look, page in shown if (wide := page.evaluate(_TOO_WIDE))}


@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_nothing(visit: Visit, axe: str, name: str) -> None:
    # Browsers of today let the keyboard reach whatever scrolls; axe does not know.
    ignored = {"scrollable-region-focusable"}
    for look, page in visit(name):
        assert not violations(page, axe, best_practice=False, ignored=ignored), look
