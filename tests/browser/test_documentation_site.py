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
    from collections.abc import Iterator

    from playwright.sync_api import Browser

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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_keeps_nobody_out(
    chromium: Browser, built: Path, address: str, axe: str, scheme: str, width: int
) -> None:
    context = chromium.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    watched = watch(context, urlsplit(address).netloc)
    missing: list[str] = []
    context.on("response", lambda each: missing.append(each.url) if each.status >= 400 else None)
    wrong: list[str] = []
    pages = sorted(str(each.parent.relative_to(built)) for each in built.rglob("index.html"))
    assert len(pages) > 100
    for name in pages:
        watched.page.goto(f"{address}/{name}/")
        wrong += [f"{name}: too wide: {each}" for each in watched.page.evaluate(_TOO_WIDE)]
        wrong += [f"{name}: {each}" for each in violations(watched.page, axe, best_practice=False)]
    context.close()
    assert not wrong, "\n".join(wrong)
    assert not missing
    watched.nothing_happened()
