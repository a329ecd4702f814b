"""Pages over stores of several kinds, asked for as a browser does."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from web.client import Browser

from statekeep import open_store
from statekeep_web import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep import StateStore


@pytest.fixture(params=["memory"])
def backend(request: pytest.FixtureRequest) -> str:
    """One store will do, unless a test asks for more: the pages know only the core."""
    name: str = request.param
    return name


@pytest.fixture
def store(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    if backend == "moto":
        endpoint = request.getfixturevalue("moto_url")
        place = request.getfixturevalue("make_s3_place")(endpoint)
        location = f"{place}?endpoint_url={endpoint}&client=s3fs"
    else:
        location = {
            "memory": f"memory:{secrets.token_hex(8)}",
            "local": f"file:{tmp_path}/state?durability=rename",
            "sqlite": f"sqlite:{tmp_path}/state.db?durability=normal",
        }[backend]
    with open_store(location) as store:
        yield store


@pytest.fixture
def browse(store: StateStore) -> Iterator[Callable[..., Browser]]:
    """Start the page with some options, and open its link."""
    browsers: list[Browser] = []

    def browse(**options: Any) -> Browser:
        app = create_app(store, **options)
        browser = Browser(app).__enter__()
        browsers.append(browser)
        if app.token is not None:
            assert browser.get(f"/?token={app.token}").status == 200
        return browser

    yield browse
    for each in browsers:
        each.__exit__()


@pytest.fixture
def browser(browse: Callable[..., Browser]) -> Browser:
    return browse()
