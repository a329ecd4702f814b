"""Every backend, for what is promised over every store."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest

from statekeep import StateStore, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


KITS = {"test_sessions.py", "test_stores.py"}
RACES = re.compile("rac(e|ing)|process|thread|at_once")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On S3 each day one pair keeps all promises; the other only those of the kits.

    And no races, because moto's server does one request at a time.
    """
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        backend = given.get("backend")
        in_kit = item.path.name in KITS and not RACES.search(item.name)
        if backend == "seaweedfs+s3fs" or (backend == "moto+s3fs" and not in_kit):
            item.add_marker("rest")


@pytest.fixture(params=["memory", "local", "moto+s3fs", "seaweedfs+obstore"])
def backend(request: pytest.FixtureRequest) -> str:
    """Those that can do all; the contracts run over more."""
    name: str = request.param
    return name


@pytest.fixture
def new_location(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives the URL of another empty place at each call."""
    server, _, client = backend.partition("+")
    if client:
        endpoint = request.getfixturevalue(f"{server}_url")
        make_s3_place = request.getfixturevalue("make_s3_place")
        return lambda: f"{make_s3_place(endpoint)}?endpoint_url={endpoint}&client={client}"
    pattern = {
        "memory": "memory:{}",
        "local": f"{tmp_path}/not/there/{{}}",
        "local, renaming": f"file:{tmp_path}/{{}}?durability=rename",
        "fsspec's memory": "fsspec+memory://{}/prefix",
        "fsspec's files": f"fsspec+file://{tmp_path}/not/there/{{}}",
    }[backend]
    return lambda: pattern.format(secrets.token_hex(8))


@pytest.fixture
def location(new_location: Callable[[], str]) -> str:
    """The URL of an empty place."""
    return new_location()


@pytest.fixture
def store(location: str) -> Iterator[StateStore]:
    with open_store(location) as store:
        yield store
