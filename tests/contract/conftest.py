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


MOTO, SEAWEEDFS = "moto+s3fs", "seaweedfs+obstore"
DATABASES = {"postgres": "{}?store=s{}", "valkey": "{}/0/{}", "redis": "{}/0/{}"}
"""The URL of an empty place on each."""

KITS = {"test_sessions.py", "test_stores.py"}
ON_MOTO = {
    "test_index.py", "test_journals.py", "test_lost_answers.py", "test_pruning.py",
    "test_retention.py", "test_sweeping.py", "test_trash.py",
}  # fmt: skip
LONG = re.compile(
    "rac(e|ing)|processes|threads|fifty|many_pages"
    "|failed_write|looked_up|popped_from|never_skipped|older_head|or_raises|a_list_whatever"
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    twice = {item for item in items if _is_tried_elsewhere(item)}
    config.hook.pytest_deselected(items=[*twice])
    items[:] = [item for item in items if item not in twice]
    for item in items:
        backend = item.callspec.params.get("backend", "") if hasattr(item, "callspec") else ""
        if not _every_day(backend, item.path.name, item.nodeid):
            item.add_marker("rest")


def _is_tried_elsewhere(item: pytest.Item) -> bool:
    """Whether it tries on moto what only knows the protocol: one server of S3 is enough for that.

    Of the two clients s3fs keeps the contracts of stores, sessions, journals and pruning there.
    """
    given = item.callspec.params if hasattr(item, "callspec") else {}
    if given.get("backend") != MOTO:
        return False
    forms = {given.get("form"), given.get("default_form")}
    return "journal" in forms or item.path.name not in KITS | ON_MOTO


def _every_day(backend: str, file: str, test: str) -> bool:
    """Whether `make test` tries it there; what is long waits for `make test-rest`."""
    if file == "test_wrappers.py" and re.search("Journals|Sessions", test):
        return False
    if backend in {"", "memory"}:
        return True
    if backend in {"local, renaming", "sqlite, full"}:  # as the other durability, but for a flush
        return False
    if "processes" in test:  # each imports everything, which takes longer than what it does
        return backend in {"local", "sqlite"} and "[document" not in test
    if file == "test_journals.py":  # which goes through a few calls that each store is held to
        return backend == "local" and not LONG.search(test.rpartition("::")[2])
    if "+" in backend:  # a server of S3 and a client; moto's does one request at a time
        return backend == SEAWEEDFS and file == "test_stores.py"
    if backend in DATABASES:
        return backend != "redis" and file == "test_stores.py"
    if backend == "sqlite":
        return file in KITS | {"test_index.py", "test_pruning.py"}
    return file != "test_wrappers.py"


@pytest.fixture(
    params=["memory", "local", "sqlite", "postgres", "valkey", "moto+s3fs", "seaweedfs+obstore"]
)
def backend(request: pytest.FixtureRequest) -> str:
    """Those that can do all; the contracts run over more."""
    name: str = request.param
    return name


@pytest.fixture
def new_location(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives the URL of another empty place at each call."""
    if backend in DATABASES:
        url: str = request.getfixturevalue(f"{backend}_url")
        return lambda: DATABASES[backend].format(url, secrets.token_hex(8))
    server, _, client = backend.partition("+")
    if client:
        endpoint = request.getfixturevalue(f"{server}_url")
        make_s3_place = request.getfixturevalue("make_s3_place")
        return lambda: f"{make_s3_place(endpoint)}?endpoint_url={endpoint}&client={client}"
    pattern = {
        "memory": "memory:{}",
        "local": f"{tmp_path}/not/there/{{}}",
        "local, renaming": f"file:{tmp_path}/{{}}?durability=rename",
        "sqlite": f"sqlite:{tmp_path}/not/there/{{}}.db?durability=normal",
        "sqlite, full": f"sqlite:{tmp_path}/{{}}.db",
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
