"""Fixtures for the tests of all adapters."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from statekeep import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from statekeep import StateStore

_BACKENDS = [
    "memory",
    "sqlite",
    pytest.param("file", marks=pytest.mark.rest),
    pytest.param("s3", marks=pytest.mark.rest),
    pytest.param("postgres", marks=pytest.mark.rest),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=_BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where each test keeps its state: on every backend, one after the other."""
    if request.param == "s3":
        endpoint = request.getfixturevalue("seaweedfs_url")
        place = request.getfixturevalue("make_s3_place")(endpoint)
        return f"{place}?endpoint_url={endpoint}"
    if request.param == "postgres":
        return f"{request.getfixturevalue('postgres_url')}?store=t{secrets.token_hex(8)}"
    return {
        "memory": "memory:",
        "sqlite": f"sqlite:{tmp_path}/state.db",
        "file": f"file://{tmp_path}/state",
    }[request.param]


@pytest.fixture
def store(url: str) -> Iterator[StateStore]:
    with open_store(url) as opened:
        yield opened
