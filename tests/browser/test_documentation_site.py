"""Every page of the documentation site, in a window and on a phone, light and dark."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from browser.watching import violations, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    Visit = Callable[[str], Page]

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


# One of each kind; axe takes seconds for each.
KINDS = ["", "tutorial", "cli", "comparison", "adr", "how-to/fastapi", "reference/errors"]
looks = pytest.mark.parametrize(
    ("scheme", "width"), [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
)


@pytest.fixture
def visit(chromium: Browser, address: str, scheme: str, width: int) -> Iterator[Visit]:
    """Opens pages in one context; in the end, nothing may have gone wrong in it."""
    context = chromium.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
        reduced_motion="reduce",
    )
    watched = watch(context, urlsplit(address).netloc)
    missing: list[str] = []
    context.on("response", lambda each: missing.append(each.url) if each.status >= 400 else None)

    def visit(name: str) -> Page:
        watched.page.goto(f"{address}/{name}")
        return watched.page

    yield visit
    context.close()
    assert not missing
    watched.nothing_happened()


@looks
def test_every_page_fits(built: Path, visit: Visit) -> None:
    names = sorted(str(each.parent.relative_to(built)) for each in built.rglob("index.html"))
    assert len(names) > 100
    wrong = {name: wide for name in names if (wide := visit(name).evaluate(_TOO_WIDE))}
    assert not wrong


@looks
def test_axe_finds_nothing(visit: Visit, axe: str) -> None:
    for name in KINDS:
        page = visit(name)
        # Browsers of today let the keyboard reach whatever scrolls; axe does not know.
        ignored = {"scrollable-region-focusable"}
        assert not violations(page, axe, best_practice=False, ignored=ignored), name
