"""Chromium, and the page over each kind of store."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from browser.content import fill
from browser.serving import Served, serve
from browser.watching import OpenPage, Watched, watch
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

AXE = "4.14.1"
"""The version of axe-core that looks for what keeps people out."""

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_NAMES = "MAP evil.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""An attacker's name leads to this machine; no other leads anywhere."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", action="store_true", help="make the pictures of docs/screenshots anew"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("screenshots"):
        pictures = [item for item in items if item.path.name == "test_screenshots.py"]
        config.hook.pytest_deselected(items=pictures)
        items[:] = [item for item in items if item not in pictures]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A Chromium of this system; none is downloaded."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None:
        pytest.fail(
            "these tests need Chromium: apt-get install --no-install-recommends chromium; "
            "or say where it is: CHROMIUM=/path/to/it"
        )
    # Chromium keeps no sandbox for the superuser, who runs this in CI.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=[*arguments, f"--host-resolver-rules={_NAMES}"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The script of axe-core; fetched from npm once."""
    folder: Path = pytestconfig.cache.mkdir(f"axe-core-{AXE}")
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        if shutil.which("npm") is None:
            pytest.fail("these tests need npm, which fetches axe-core: apt-get install npm")
        place = folder / secrets.token_hex(8)  # another process may be about the same
        place.mkdir()
        packed = subprocess.run(
            ["npm", "pack", "--silent", f"axe-core@{AXE}"],
            cwd=place, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if packed.returncode:
            pytest.fail(f"npm did not fetch axe-core {AXE}: {packed.stderr[-500:]}")
        shutil.unpack_archive(place / packed.stdout.strip(), place, filter="data")
        script.parent.mkdir(exist_ok=True)
        (place / "package" / "axe.min.js").rename(script)
        shutil.rmtree(place)
    return script.read_text()


# What takes a while to fill is filled once.
@pytest.fixture(
    scope="session",
    params=["memory", "disk", "sqlite", pytest.param("s3", marks=pytest.mark.xdist_group("s3"))],
)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def new_location(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Makes the URL of an empty store of a kind."""

    def new(backend: str) -> str:
        if backend == "s3":
            endpoint = request.getfixturevalue("moto_url")
            place = request.getfixturevalue("make_s3_place")(endpoint)
            return f"{place}?endpoint_url={endpoint}&client=obstore"
        folder = tmp_path_factory.mktemp("store")  # where nothing is to outlive the machine
        return {
            "memory": f"memory:{secrets.token_hex(8)}",
            "disk": f"file:{folder}/state?durability=rename",
            "sqlite": f"sqlite:{folder}/state.db?durability=normal",
        }[backend]

    return new


@pytest.fixture(scope="session")
def served(backend: str, new_location: Callable[[str], str]) -> Iterator[Served]:
    """The page over some of everything, in each kind of store; changes are allowed."""
    with serve(new_location(backend), "--allow-changes", fill=fill) as served:
        yield served


@pytest.fixture(scope="session")
def site(new_location: Callable[[str], str]) -> Iterator[Served]:
    """The same over one kind of store, for what the store cannot change."""
    with serve(new_location("sqlite"), "--allow-changes", fill=fill) as served:
        yield served


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Opens the link of what is served in a context of its own, which takes playwright's options.

    At the end of the test, nothing may have been asked of anybody else.
    """
    with ExitStack() as contexts:
        opened: list[Watched] = []

        def open_page(served: Served, **options: Any) -> Watched:
            context = chromium.new_context(**options)
            contexts.callback(context.close)
            watched = watch(context, urlsplit(served.base).netloc)
            opened.append(watched)
            watched.page.goto(served.link)
            return watched

        yield open_page
        for each in opened:
            assert not each.outside
