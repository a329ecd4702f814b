"""What the stores that are reached over a network promise where answers are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import tcp_proxy
from proxy import DROP, Fault, Proxy, Request
from tcp_proxy import TcpProxy

from statekeep.testing.answers import AnswersContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.testing import LossyPlace


class LossyBucket:
    """A way to a bucket through a proxy."""

    def __init__(self, proxy: Proxy, location: str) -> None:
        self.location = location.replace(proxy.target, proxy.url)
        self._left = -1
        proxy.fault = self._fault

    def drop(self, passed: int) -> None:
        self._left = passed

    @property
    def dropped(self) -> bool:
        return self._left < 0

    def _fault(self, _: Request) -> Fault:
        self._left -= 1
        return DROP if self._left == -1 else None


class LossyDatabase:
    """A way to a database through a proxy."""

    def __init__(self, proxy: TcpProxy, location: str) -> None:
        self.location = location.replace(f":{proxy.target}/", f":{proxy.port}/")
        self._left = -1
        proxy.fault = self._fault

    def drop(self, passed: int) -> None:
        self._left = passed

    @property
    def dropped(self) -> bool:
        return self._left < 0

    def _fault(self, _: bytes) -> tcp_proxy.Fault:
        self._left -= 1
        return "drop" if self._left == -1 else None


@pytest.mark.parametrize(
    "backend", ["postgres", "valkey", "redis", "moto+s3fs", "seaweedfs+obstore"]
)
class TestStore(AnswersContract):
    @pytest.fixture
    def location(self, new_location: Callable[[], str]) -> str:
        return new_location()

    @pytest.fixture
    def dropping(
        self, backend: str, location: str, request: pytest.FixtureRequest
    ) -> Iterator[LossyPlace]:
        target = request.getfixturevalue(f"{backend.partition('+')[0]}_url")
        if "+" not in backend:
            port = urlsplit(target).port
            assert port
            with TcpProxy(port) as way:
                yield LossyDatabase(way, location)
            return
        with Proxy(target) as proxy:
            yield LossyBucket(proxy, location)

    @pytest.fixture
    def unreachable(self, backend: str, location: str) -> str:
        if "+" not in backend:
            return f"{location.partition(':')[0]}://127.0.0.1:1/0"
        place, client = location.partition("?")[0], backend.partition("+")[2]
        return f"{place}?endpoint_url=http://127.0.0.1:1&retries=0&client={client}"
