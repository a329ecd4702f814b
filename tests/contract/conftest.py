"""Every backend that can do all, for what is promised over every store."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from statekeep import StateStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["memory", "local", "moto-s3fs", "seaweedfs-obstore"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty place."""
    if request.param == "memory":
        return f"memory:{secrets.token_hex(8)}"
    if request.param == "local":
        return str(tmp_path / "store")
    server, client = request.param.split("-")
    endpoint = request.getfixturevalue(f"{server}_url")
    place = request.getfixturevalue("make_s3_place")(endpoint)
    return f"{place}?endpoint_url={endpoint}&client={client}"


@pytest.fixture
def store(location: str) -> Iterator[StateStore]:
    with open_store(location) as store:
        yield store
